"""Whatever names, texts and disks there are: a clear error or a sound report, and never a lost run."""

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

import pytest
from programs import (
    FIL,
    TIMEOUT,
    bytes_of_lines,
    only_report,
    plain,
    profiled,
    report_directories,
    report_in,
    run,
    with_small_disks,
)

PROGRAM = "held = bytearray(20_000_000)\nprint('ran')\n"
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\"'`"


def temporary(directory: Path) -> Path:
    place = directory / "temporary"
    place.mkdir()
    return place


@pytest.mark.parametrize(
    "name",
    [
        b"with spaces.py",
        b"with:colon;and;semicolons.py",
        b"with\nnewline\tand\ttab.py",
        b"<img src=x onerror=alert(1)>&\"'.py",
        b"-starts-with-a-dash.py",
        "\N{SNOWMAN} \N{RIGHT-TO-LEFT OVERRIDE}.py".encode(),
        b"not \xff\xfe text.py",
    ],
    ids=repr,
)
def test_a_script_of_any_name_is_profiled(tmp_path, name):
    (tmp_path / os.fsdecode(name)).write_text(PROGRAM)
    arguments = [b"./" + name, b"argument \xff\n"]
    expected = plain(arguments, tmp_path)
    done = profiled(arguments, tmp_path)
    assert done.behaviour == expected.behaviour == (0, b"ran\n", b"")
    (directory,) = report_directories(tmp_path)
    held = bytes_of_lines(report_in(directory))
    assert max(held.values()) >= 20_000_000
    assert "<img" not in (directory / "index.html").read_text("utf-8").lower()
    for picture in directory.glob("*.svg"):
        xml.etree.ElementTree.parse(picture)
    # One stack a line, however many lines the name has.
    stacks = (directory / "peak-memory.prof").read_text("utf-8").splitlines()
    assert all(line.rpartition(" ")[2].isdigit() for line in stacks)


def test_names_and_texts_of_code_are_text_in_reports(tmp_path):
    (tmp_path / "script.py").write_text(
        f"text = {HOSTILE!r}\n"
        "code = compile('def f():\\n    global held\\n    held = bytearray(20_000_000)\\nf()', text, 'exec')\n"
        "exec(code)\n"
        f"more = bytearray(30_000_000), {HOSTILE!r}\n"
    )
    assert profiled(["script.py"], tmp_path).behaviour == (0, b"", b"")
    (directory,) = report_directories(tmp_path)
    page = (directory / "index.html").read_text("utf-8")
    assert "<img" not in page.lower()
    assert "alert(1)</script>" not in page
    for picture in directory.glob("*.svg"):
        assert "<img" not in picture.read_text("utf-8").lower()
        xml.etree.ElementTree.parse(picture)


@pytest.mark.parametrize("name", ["with spaces", "a:b;c", "new\nline", "<b>&", "\N{SNOWMAN}"])
def test_a_directory_of_any_name_takes_reports_and_holds_fil(tmp_path, name):
    here = tmp_path / name
    here.mkdir()
    (here / "script.py").write_text(PROGRAM)
    assert run([*FIL, "-o", f"out {name}", "run", "script.py"], here).behaviour == (0, b"ran\n", b"")
    assert len(list((here / f"out {name}").glob("*/index.html"))) == 1


def test_an_output_directory_whose_name_is_no_text_is_refused(tmp_path):
    (tmp_path / "script.py").write_text(PROGRAM)
    done = run([*FIL, "-o", b"out \xff", "run", "script.py"], tmp_path)
    assert (done.status, done.stdout) == (2, b"")
    assert b"not valid UTF-8" in done.stderr


@pytest.mark.parametrize("output", ["a_file", "a_file/below", "/proc/below", "/dev/null"])
def test_an_output_directory_that_can_not_be_written_is_refused_before_the_program_runs(tmp_path, output):
    (tmp_path / "a_file").write_text("")
    (tmp_path / "script.py").write_text(PROGRAM)
    done = run([*FIL, "-o", output, "run", "script.py"], tmp_path)
    assert (done.status, done.stdout) == (2, b"")
    assert output in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_a_report_whose_directory_became_unusable_is_written_elsewhere(tmp_path):
    elsewhere = temporary(tmp_path)
    (tmp_path / "script.py").write_text("open('fil-result', 'w').close()\n" + PROGRAM)
    done = profiled(["script.py"], tmp_path, TMPDIR=str(elsewhere))
    assert done.behaviour == (0, b"ran\n", b"")
    (directory,) = elsewhere.glob("fil-result-*")
    assert bytes_of_lines(report_in(directory))[("script.py", 2)] >= 20_000_000
    assert any("No directory can be made" in line for line in done.said)
    assert any(str(directory) in line for line in done.said)


def on_small_disks(directory: Path, mounts: list[Path], **environment: str) -> tuple[int, str, str]:
    command = with_small_disks(mounts, "64k", [*FIL, "run", "script.py"])
    done = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_on_a_full_disk_the_report_is_written_elsewhere(tmp_path):
    elsewhere = temporary(tmp_path)
    (tmp_path / "fil-result").mkdir()
    (tmp_path / "script.py").write_text(PROGRAM)
    status, stdout, stderr = on_small_disks(tmp_path, [tmp_path / "fil-result"], TMPDIR=str(elsewhere))
    assert (status, stdout) == (0, "ran\n")
    assert "no space left on device" in stderr.lower()
    (directory,) = elsewhere.glob("fil-result-*")
    assert str(directory) in stderr
    assert bytes_of_lines(report_in(directory))[("script.py", 1)] >= 20_000_000


def test_where_no_disk_has_room_the_report_is_said_in_short(tmp_path):
    elsewhere = temporary(tmp_path)
    (tmp_path / "fil-result").mkdir()
    (tmp_path / "script.py").write_text(PROGRAM)
    status, stdout, stderr = on_small_disks(tmp_path, [tmp_path / "fil-result", elsewhere], TMPDIR=str(elsewhere))
    assert (status, stdout) == (0, "ran\n")
    assert "script.py:1" in stderr
    assert "19.1 MiB" in stderr


def test_a_directory_with_spaces_and_colons_can_hold_fil_itself(tmp_path):
    package = Path(__file__).parents[3] / "filprofiler"
    place = tmp_path / "some place: here"
    shutil.copytree(package, place / "filprofiler", ignore=shutil.ignore_patterns("labextension", "__pycache__"))
    (tmp_path / "script.py").write_text(PROGRAM)
    done = run([*FIL, "run", "script.py"], tmp_path, PYTHONPATH=str(place))
    assert done.behaviour == (0, b"ran\n", b"")
    assert only_report(tmp_path)["peakBytes"] >= 20_000_000


# Pythons into which the tracker can't be loaded, or that tell nothing about themselves.

FIXTURES = Path(__file__).resolve().parents[3] / "build" / "native" / "test"


def started_with_python(python, tmp_path):
    """`fil-profile run script.py`, as if Fil were installed for `python`."""
    (tmp_path / "script.py").write_text(PROGRAM)
    command = f"import sys; sys.executable = {str(python)!r}; sys.argv[1:] = ['run', 'script.py']; import runpy; "
    return run([sys.executable, "-c", command + "runpy.run_module('filprofiler', run_name='__main__')"], tmp_path)


def test_a_static_python_is_refused_before_the_program_begins(tmp_path):
    done = started_with_python(FIXTURES / "fil_static", tmp_path)
    assert (done.status, done.stdout) == (1, b"")
    (line,) = done.said
    assert "fil_static is linked statically" in line
    assert "Use a dynamically linked CPython" in line
    assert report_directories(tmp_path) == []


def test_a_stripped_python_runs_its_program_and_is_told_why_it_is_not_profiled(tmp_path):
    stripped = tmp_path / "python3.12"
    shutil.copy(FIXTURES / "fil_stripped", stripped)
    done = started_with_python(stripped, tmp_path)
    assert done.status == 0
    (reason,) = [line for line in done.said if "exports no Py_Version" in line]
    assert reason.endswith("The program runs without being profiled.")
    assert report_directories(tmp_path) == []
