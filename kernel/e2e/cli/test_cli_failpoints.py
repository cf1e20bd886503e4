"""Whatever fails in the tracker, a program under `fil-profile run` ends as it would without Fil, and a line says why.

Only with the checked build, which can be made to fail (native/tracker/checks/failpoints.def).
"""

import re
from pathlib import Path

import pytest
from programs import plain, profiled, report_directories

PROGRAM = """
import sys, threading
def rows(count): return [{"number": number, "text": str(number) * 3} for number in range(count)]
kept = [rows(5000), bytearray(3_000_000)]
thread = threading.Thread(target=lambda: kept.append(rows(1000)))
thread.start()
thread.join()
print(sum(len(each) for each in kept))
print("to stderr", file=sys.stderr)
sys.exit(3)
"""

# No report: the program is not tracked.
UNTRACKED = {
    "map_segment": "could not be mapped",
    "segment_size": "missing or too small",
    "segment_layout": "of different versions",
    "watch_forks": "no memory to notice forks",
    "python_symbol": "does not export",
    "watch_code": "code watchers",
    "reserve": "not enough address space",
    "python_offset:0": "main interpreter",
    **{f"python_offset:{number}": "can't read the call stacks" for number in range(1, 12)},
}
REPORTED = ["barrier", "discard", "canary", "call_stack", "small_leaf", "sites_full", "names_full", "thread_note"]


@pytest.mark.parametrize("failpoint", UNTRACKED)
def test_a_program_that_cannot_be_tracked_runs_untracked_and_a_line_says_why(failpoint, tmp_path):
    (tmp_path / "script.py").write_text(PROGRAM)
    done = profiled(["script.py"], tmp_path, FIL_FAILPOINTS=failpoint)
    assert done.behaviour == plain(["script.py"], tmp_path).behaviour
    assert done.status == 3
    reasons = [line for line in done.said if UNTRACKED[failpoint] in line]
    assert len(reasons) == 1
    assert reasons[0].endswith("The program runs without being profiled.")
    assert report_directories(tmp_path) == []


@pytest.mark.parametrize("failpoint", REPORTED)
def test_a_program_that_is_tracked_in_part_has_its_report(failpoint, tmp_path):
    (tmp_path / "script.py").write_text(PROGRAM)
    done = profiled(["script.py"], tmp_path, FIL_FAILPOINTS=failpoint)
    assert done.behaviour == plain(["script.py"], tmp_path).behaviour
    assert len(report_directories(tmp_path)) == 1


DEFINITIONS = Path(__file__).resolve().parents[3] / "native" / "tracker" / "checks" / "failpoints.def"
EVERY = re.findall(r"^FIL_FAILPOINT\((\w+)\)", DEFINITIONS.read_text(), re.MULTILINE)
# A C library without malloc is none.
EVERY.remove("missing_function")


@pytest.mark.parametrize("failpoint", EVERY)
def test_a_sampled_job_is_not_disturbed_by_any_failure(failpoint, tmp_path):
    (tmp_path / "script.py").write_text(PROGRAM)
    done = profiled(["--sample", "--mean", "1KiB", "script.py"], tmp_path, FIL_FAILPOINTS=failpoint)
    assert done.behaviour == plain(["script.py"], tmp_path).behaviour
    assert done.status == 3
    assert len(done.said) <= 1, done.said
    # Either a report, or a line that says why there is none.
    assert len(report_directories(tmp_path)) + len(done.said) == 1


def test_without_memory_for_its_report_a_job_is_let_go_first(tmp_path):
    (tmp_path / "script.py").write_text(PROGRAM)
    done = profiled(["--sample", "script.py"], tmp_path, FIL_FAILPOINTS="production_memory")
    assert done.behaviour == plain(["script.py"], tmp_path).behaviour
    assert done.said == ()
    assert len(report_directories(tmp_path)) == 1
