"""Containers of 64 and 128 MiB: what fits plainly fits with Fil; whatever becomes of a program, it has a report."""

import signal
import time
from pathlib import Path
from typing import Any

import pytest
from memory_group import limited
from programs import FIL, bytes_of_lines, only_report, plain, report_directories, split_stderr

MIB = 1 << 20

MODES = {"exact": [], "sampled": ["--sample"]}

FITS = """\
def blocks(): return [bytes(100_000) for _ in range(60)]
def objects(): return [{"number": number} for number in range(25_000)]
kept = [blocks(), objects()]
print(len(kept[0]), len(kept[1]))
"""

# So many call sites that their tables are larger than the program.
SITES = """\
space = {"kept": []}
for number in range(60):
    lines = "    kept.append(bytes(600))\\n" * 100
    exec(f"def function_{number}():\\n{lines}", space)
for call in range(60):
    space[f"function_{call}"]()
print(len(space["kept"]))
"""

# Where there is no group to be made nothing ends it.
FILLS = """\
import sys
kept = []
for _ in range(int(sys.argv[1]) // 100_000):
    kept.append(bytes(100_000))
print("all of it")
"""


@pytest.fixture(params=[64 * MIB, 128 * MIB], ids=["64 MiB", "128 MiB"])
def limit(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("program", [FITS, SITES], ids=["objects", "call sites"])
def test_what_fits_runs_as_without_fil_and_its_report_is_complete(tmp_path, limit, mode, program):
    (tmp_path / "program.py").write_text(program)
    with limited(limit) as place:
        done = place.run([*FIL, "--no-browser", "run", *MODES[mode], "program.py"], cwd=str(tmp_path))
    errors, _ = split_stderr(done.stderr.encode())
    assert (done.returncode, done.stdout.encode(), errors) == plain(["program.py"], tmp_path).behaviour
    assert done.returncode == 0
    report = only_report(tmp_path)
    assert report["outcome"] == {"kind": "completed"}
    assert [note["code"] for note in report["notes"]] == (["sampled"] if mode == "sampled" else [])
    lines = bytes_of_lines(report)
    if program == FITS:
        # Blocks of this size are exact in both.
        assert 6_000_000 <= lines[("program.py", 1)] < 6_100_000
    elif mode == "exact":
        inner = sum(held for (file, line), held in lines.items() if file == "<string>" and line > 1)
        assert 6000 * 633 <= inner < 6000 * 660


@pytest.mark.parametrize(
    ("options", "status"),
    [(["run"], 53), (["--disable-oom-detection", "run"], -signal.SIGKILL), (["run", "--sample"], -signal.SIGKILL)],
    ids=["exact", "undetected", "sampled"],
)
def test_what_does_not_fit_leaves_a_report_of_what_it_held(tmp_path, limit, options, status):
    (tmp_path / "program.py").write_text(FILLS)
    with limited(limit) as place:
        done = place.run([*FIL, "--no-browser", *options, "program.py", str(2 * limit)], cwd=str(tmp_path))
        # Where there is no group nobody but Fil ends it.
        is_ended = status == 53 or place.enter is not None
    assert done.returncode == (status if is_ended else 0)
    report = the_report_to_come(tmp_path)
    assert bytes_of_lines(report)[("program.py", 4)] > limit * 0.3
    assert ("outOfMemory" in report) == (is_ended and "--sample" not in options)


def the_report_to_come(cwd: Path) -> dict[str, Any]:
    """A sampled job that is killed does not wait for its report."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        complete = [path for path in report_directories(cwd) if not path.name.endswith(".part")]
        if complete:
            return only_report(cwd)
        time.sleep(0.1)
    pytest.fail("there is no report")
