"""Whatever fails inside the tracker, the program runs as without it, and somebody says what is missing.

Only with the checked build: native/tracker/checks/failpoints.def lists what can be made to fail.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from conftest import FIXTURES, REPOSITORY, Run, RunTracked

# A bit of everything: small and large objects, realloc, mappings, threads, deep recursion, code that dies, a fork, two
# sessions, an exit status.
PROGRAM = """
import ctypes, mmap, os, sys, threading
from filprofiler import _tracker as tracker
def start():
    try:
        tracker.check()
        tracker.begin([])
    except tracker.TrackerError as reason:
        print("untracked:", reason, file=sys.stderr)
def rows(count):
    return [{"number": number, "text": str(number) * 3} for number in range(count)]
def deep(depth):
    return [rows(50) for _ in range(20)] if depth == 0 else deep(depth - 1)
def known():
    return bytes(1_000_003)
kept, seen = [], []
start()
kept.append(rows(2000))
kept.append(deep(150))
kept.append(known())
grown = bytearray(1000)
for _ in range(30):
    grown += bytes(20_000)
pages = mmap.mmap(-1, 1 << 20)
pages[0:5] = b"hello"
threads = [threading.Thread(target=lambda: seen.append(len(rows(500)))) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
for number in range(200):
    exec(f"def function_{number}(): return [0] * {number + 600}\\nkept.append(function_{number}())", {"kept": kept})
many = []
exec("\\n".join(["many.append(object())"] * 9000), {"many": many})
child = os.fork()
if child == 0:
    rows(100)
    os._exit(4)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
try:
    bytearray(1 << 60)
except MemoryError:
    print("MemoryError")
tracker.end()
start()
kept.append(rows(100))
kept.append(known())
tracker.end()
print(seen, pages[0:5], len(grown), sum(len(each) for each in kept), len(str(kept)))
sys.exit(3)
"""

BEFORE_MAIN = {
    "map_segment": "could not be mapped",
    "segment_size": "missing or too small",
    "segment_layout": "of different versions",
    "watch_forks": "no memory to notice forks",
}
REFUSED = {
    "python_symbol": "does not export",
    "watch_code": "code watchers",
    **{f"reserve={nth}": "not enough address space" for nth in range(1, 5)},
    # Which of the offsets: with the list in interpreter.cpp.
    **{f"python_offset:{number}": "" for number in range(12)},
}
NOTHING_LOST = [
    "barrier",
    "stack_slot_key",
    "discard",
    "punch_hole",
    "read_own_memory",
    "canary",
    "aliases_full",
    # reallocarray, memalign, valloc and pvalloc, which nothing here calls.
    "missing_function:3",
    "missing_function:7",
    "missing_function:8",
    "missing_function:9",
]
SAID_IN_THE_REPORT = {
    "codes_full": "call-sites-full",
    "codes_full=20": "call-sites-full",
    "names_full": "call-sites-full",
    "sites_full": "call-sites-full",
    "sites_full=40": "call-sites-full",
    "sites_by_line_full": "call-sites-full",
    "stack_depth": "stacks-truncated",
    "call_stack": "stacks-missing",
    "thread_note": "stacks-missing",
    "small_leaf": "tracker-memory-exhausted",
    "large_leaf": "tracker-memory-exhausted",
    "ranges_full": "tracker-memory-exhausted",
    "reserve=9": "tracker-memory-exhausted",
}
# Of sampled sessions.
REFUSED_SAMPLING = {"map_sampled": "sampler's tables"}
SAID_OF_SAMPLES = {"sampling_allocator": "small-objects-missing", "sample_table_full": "tracker-memory-exhausted"}
# By kernel/e2e/cli/test_cli_failpoints.py: they are of jobs that nobody of ours has started.
TESTED_WITH_JOBS = {"production_segment", "production_recorder", "production_memory"}
# By tests of their own: in C++, as no machine of ours has a block of 32 GiB; below, as glibc's dlsym() is frugal.
TESTED_APART = {"huge_blocks_full", "early_arena_full"}


@pytest.fixture
def plain(python: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """The program without the tracker."""
    program = tmp_path / "plain.py"
    program.write_text(PROGRAM)
    return subprocess.run(
        [python, str(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def run_with(run: RunTracked, failpoint: str, plain: subprocess.CompletedProcess[str]) -> Run:
    """Run the program with something failing; it must not show in what the program does."""
    result = run(PROGRAM, preamble="", failpoints=failpoint)
    assert (result.output, result.code) == (plain.stdout.rstrip("\n"), plain.returncode), result.errors
    assert plain.returncode == 3
    assert f"failed {re.split('[:=]', failpoint)[0]}" in result.marks
    return result


@pytest.mark.parametrize("failpoint", BEFORE_MAIN)
def test_a_failure_before_the_program_leaves_it_untracked_and_says_so(
    run: RunTracked, plain: subprocess.CompletedProcess[str], failpoint: str
) -> None:
    result = run_with(run, failpoint, plain)
    first, *untracked = result.errors.splitlines()
    assert first.startswith("=fil-profile= ")
    assert BEFORE_MAIN[failpoint] in first
    assert first.endswith("The program runs without being profiled.")
    assert len(untracked) == 2
    assert all(BEFORE_MAIN[failpoint] in line for line in untracked)
    assert result.peak == 0


@pytest.mark.parametrize("failpoint", REFUSED)
def test_a_failure_when_tracking_begins_refuses_it_with_a_sentence(
    run: RunTracked, plain: subprocess.CompletedProcess[str], failpoint: str
) -> None:
    result = run_with(run, failpoint, plain)
    assert result.errors.count("untracked:") == 2
    assert REFUSED[failpoint] in result.errors
    assert result.peak == 0


@pytest.mark.parametrize("failpoint", NOTHING_LOST)
def test_a_failure_that_costs_only_time_leaves_the_figures_exact(
    run: RunTracked, plain: subprocess.CompletedProcess[str], failpoint: str
) -> None:
    result = run_with(run, failpoint, plain)
    assert result.errors == ""
    assert result.degradations == []
    assert result.current_in("known") == 1_000_003 + 33
    # The first session's blocks are not in the second.
    assert result.peak < 1_100_000


@pytest.mark.parametrize("failpoint", SAID_IN_THE_REPORT)
def test_a_failure_that_costs_figures_is_said_in_the_report(run: RunTracked, python: str, failpoint: str) -> None:
    # One session, as the next begins with a clean slate.
    program = PROGRAM.replace("tracker.end()\nstart()", "")
    without = subprocess.run(
        [python, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    result = run(program, preamble="", failpoints=failpoint)
    assert (result.output, result.code, result.errors) == (without.stdout.rstrip("\n"), 3, "")
    assert f"failed {failpoint.split('=')[0]}" in result.marks
    assert SAID_IN_THE_REPORT[failpoint] in result.degradations


def test_every_failpoint_is_tested() -> None:
    definitions = (REPOSITORY / "native" / "tracker" / "checks" / "failpoints.def").read_text()
    tested = {re.split("[:=]", each)[0] for each in [*BEFORE_MAIN, *REFUSED, *NOTHING_LOST, *SAID_IN_THE_REPORT]}
    assert set(re.findall(r"^FIL_FAILPOINT\((\w+)\)", definitions, re.MULTILINE)) == tested | TESTED_APART | {
        *REFUSED_SAMPLING,
        *SAID_OF_SAMPLES,
        *TESTED_WITH_JOBS,
    }


@pytest.mark.parametrize("failpoint", [*REFUSED_SAMPLING, *SAID_OF_SAMPLES])
def test_a_sampled_session_in_which_something_fails_says_so_and_leaves_the_program_alone(
    run: RunTracked, python: str, failpoint: str
) -> None:
    program = PROGRAM.replace("tracker.end()\nstart()", "")
    without = subprocess.run(
        [python, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    result = run(
        program.replace("tracker.begin([])", "tracker.begin([], 1024)"),
        preamble="",
        failpoints=failpoint,
        environment={"FIL_SAMPLING": "1"},
    )
    assert (result.output, result.code) == (without.stdout.rstrip("\n"), 3)
    assert f"failed {failpoint}" in result.marks
    if failpoint in REFUSED_SAMPLING:
        assert REFUSED_SAMPLING[failpoint] in result.errors
    else:
        assert SAID_OF_SAMPLES[failpoint] in result.degradations


@pytest.mark.parametrize("failpoint", ["", "early_arena_full"])
def test_a_dlsym_that_allocates_before_there_is_an_allocator_is_served_or_told_that_there_is_none(
    run: RunTracked, failpoint: str
) -> None:
    result = run(
        """
        tracker.begin([])
        kept = bytes(1_000_003)
        tracker.end()
        """,
        environment={"LD_PRELOAD": str(FIXTURES / "libfil_dlsym_fixture.so")},
        failpoints=failpoint,
    )
    assert (result.code, result.errors) == (0, "")
    assert ("early_block_given" in result.marks) == (failpoint == "")
    assert ("failed early_arena_full" in result.marks) == (failpoint != "")
    assert 1_000_036 <= result.current < 1_001_000


def test_a_function_that_the_c_library_lacks_fails_as_if_there_were_no_memory(run: RunTracked) -> None:
    result = run(
        """
        import ctypes, errno
        libc = ctypes.CDLL(None, use_errno=True)
        libc.memalign.restype, libc.memalign.argtypes = ctypes.c_void_p, [ctypes.c_size_t] * 2
        print(libc.memalign(64, 1000), ctypes.get_errno() == errno.ENOSYS)
        """,
        failpoints="missing_function:7",
    )
    assert result.output == "None True"


def test_an_invariant_that_is_broken_ends_the_checked_build_with_a_sentence(run: RunTracked) -> None:
    # A wild store of native code: the site of this very block gets bytes that no event brought.
    result = run("""
        import ctypes, re
        tracker.begin([])
        kept = bytes(1_000_003)
        line = next(line for line in open("/proc/self/maps") if "memfd:filprofiler" in line)
        counts = int(line.split("-")[0], 16) + 4096
        ctypes.c_int64.from_address(counts + 3 * 40).value += 16
        tracker.end()
    """)
    assert result.signal == "SIGABRT"
    assert "=fil-profile= This does not hold: " in result.errors
