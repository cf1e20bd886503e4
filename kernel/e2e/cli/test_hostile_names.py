"""Names and source lines that are markup, separators or no text: every file of the report stays what it is."""

import os
import xml.etree.ElementTree as ET

import pytest
from programs import FIL, only_report, profiled, report_directories, run

SIZE = 5_000_000
SOURCE = (
    "def make():  # </script><script>alert(1)</script>\n"
    f"    return bytearray({SIZE})  # ]]> <!-- </title> & \" ' ; \x1b[31m\n"
    "kept = make()\n"
)
NAMES = [
    "a;b.py",
    "new\nline.py",
    "<b>&\"'.py",
    "sp ace:colon.py",
    "]]>.py",
    b"no text \xff\xfe.py",
    "\u202ereversed.py",
    "=1+1.py",
]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_files_of_a_program_with_a_hostile_name_stay_well_formed(name, tmp_path):
    path = os.path.join(os.fsencode(tmp_path), os.fsencode(name))  # noqa: PTH118 (bytes that are no text)
    with open(path, "w") as script:  # noqa: PTH123
        script.write(SOURCE)
    assert profiled([os.fsencode(name)], tmp_path).status == 0
    report = only_report(tmp_path)
    (directory,) = report_directories(tmp_path)
    lines = (directory / "peak-memory.prof").read_bytes().decode().split("\n")
    assert sum(int(line.rsplit(" ", 1)[1]) for line in lines[:-1]) == report["peakBytes"]
    (stack,) = [line for line in lines if "(make)" in line]
    assert len(stack.split(";")) == 2
    for picture in ("peak-memory.svg", "peak-memory-reversed.svg"):
        root = ET.parse(directory / picture).getroot()
        assert len(root.findall(".//{http://www.w3.org/2000/svg}script")) == 1
    page = (directory / "index.html").read_text()
    assert "<script>alert" not in page
    for command in (["report", "--text"], ["export", "-f", "csv"], ["diff", "--format", "text", str(directory)]):
        done = run([*FIL, *command, str(directory)], tmp_path)
        assert done.status == 0
        # A terminal would obey it.
        assert b"\x1b" not in done.stdout
