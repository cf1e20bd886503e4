"""Where it can't work it says so, in one line, and says what to do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import BUNDLE, PYTHONS, REPOSITORY

from filprofiler import _tracker


def test_without_the_preload_it_names_the_kernel_to_choose() -> None:
    assert not _tracker.is_loaded()
    with pytest.raises(_tracker.TrackerError, match="Python 3 with Fil"):
        _tracker.check()
    with pytest.raises(_tracker.TrackerError):
        _tracker.begin([])
    _tracker.end()
    assert not _tracker.is_tracking()


def test_a_preloaded_process_without_a_segment_is_told_so(python: str) -> None:
    done = subprocess.run(
        [python, "-c", "from filprofiler import _tracker; _tracker.check()"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "LD_PRELOAD": str(BUNDLE / "libfil_tracker.so"), "PYTHONPATH": str(REPOSITORY)},
    )
    assert "This process was not started by Fil" in done.stderr


def _start_with_segment(content: bytes, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    stale = tmp_path / "segment"
    with stale.open("wb") as file:
        file.write(content)
        file.truncate(1 << 30)
    with stale.open("rb+") as file:
        return subprocess.run(
            [sys.executable, "-c", "print('started')"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            pass_fds=[file.fileno()],
            env={
                **os.environ,
                "LD_PRELOAD": str(BUNDLE / "libfil_tracker.so"),
                "FIL_SEGMENT_DESCRIPTOR": str(file.fileno()),
            },
        )


def test_a_segment_of_another_version_is_refused_with_one_line_and_the_program_runs(tmp_path: Path) -> None:
    done = _start_with_segment(b"FILMEM01" + (999).to_bytes(4, "little"), tmp_path)
    assert done.returncode == 0
    assert done.stdout == "started\n"
    (line,) = done.stderr.splitlines()
    assert line.startswith("=fil-profile= ")
    assert "Reinstall filprofiler" in line


def test_a_file_that_is_no_segment_is_refused_and_the_program_runs(tmp_path: Path) -> None:
    done = _start_with_segment(b"something else", tmp_path)
    assert (done.returncode, done.stdout) == (0, "started\n")
    assert done.stderr.startswith("=fil-profile= ")


def test_a_segment_that_is_gone_is_refused_and_the_program_runs(python: str) -> None:
    program = (
        "from filprofiler import _tracker\n"
        "print('started')\n"
        "try: _tracker.check()\n"
        "except _tracker.TrackerError as reason: print(reason)"
    )
    done = subprocess.run(
        [python, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={
            **os.environ,
            "LD_PRELOAD": str(BUNDLE / "libfil_tracker.so"),
            "PYTHONPATH": str(REPOSITORY),
            "FIL_SEGMENT_DESCRIPTOR": "87",
        },
    )
    reason = "The shared memory for profiling is missing or too small: was its descriptor closed?"
    assert done.stdout.splitlines() == ["started", reason]
    assert done.stderr == f"=fil-profile= {reason} The program runs without being profiled.\n"


def test_the_release_build_has_neither_failpoints_nor_invariants_nor_marks() -> None:
    library = (REPOSITORY / "filprofiler" / "_bundle" / "libfil_tracker.so").read_bytes()
    definitions = REPOSITORY / "native" / "tracker" / "checks"
    # As strings: as parts of symbols they are names of functions.
    names = [
        b"\0" + name.encode() + b"\0"
        for file in ("failpoints.def", "marks.def")
        for name in re.findall(r"^FIL_\w+\((\w+)\)$", (definitions / file).read_text(), re.MULTILINE)
    ]
    assert len(names) > 40
    found = [name for name in [*names, b"FIL_FAILPOINTS", b"FIL_MARKS_FILE", b"does not hold"] if name in library]
    assert found == []


def test_there_is_a_python_to_test_for_each_version_of_this_machine() -> None:
    assert PYTHONS
