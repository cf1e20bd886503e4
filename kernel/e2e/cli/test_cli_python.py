"""`fil-profile python`: Python as it is, which can profile parts of itself by `filprofiler.api`."""

import json
import os
import sys
from pathlib import Path

import pytest
from programs import FIL, Run, bytes_of_lines, plain, report_in, run


def under_fil(directory: Path, program: str, **environment: str) -> Run:
    (directory / "program.py").write_text("from filprofiler import api\n" + program)
    return run([*FIL, "python", "program.py"], directory, **environment)


def shown(directory: Path, program: str) -> object:
    """What a program shows as JSON."""
    done = under_fil(directory, program)
    assert (done.status, done.stderr) == (0, b""), done
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", "import sys; print(sys.argv, sys.flags)", "x"],
        ["-V"],
        ["-m", "json.tool", "-h"],
        ["missing.py"],
        ["--bogus"],
    ],
    ids=str,
)
def test_any_command_line_of_python_is_as_without_fil(tmp_path, arguments):
    expected = plain(arguments, tmp_path)
    done = run([*FIL, "python", *arguments], tmp_path)
    assert done.behaviour == expected.behaviour
    assert done.said == ()
    assert list(tmp_path.iterdir()) == []


def test_the_prompt_reads_standard_input(tmp_path):
    done = run([*FIL, "python", "-q", "-i"], tmp_path, stdin=b"print(6 * 7)\nexit(3)\n")
    assert (done.status, done.stdout) == (3, b"42\n")


def test_a_profiled_call_writes_its_report_into_the_directory_and_returns(tmp_path):
    program = """
def make():
    return len(bytearray(20_000_000))

print(api.profile(make, "reports/make"))
"""
    done = under_fil(tmp_path, program)
    assert done.behaviour == (0, b"20000000\n", b"")
    report = report_in(tmp_path / "reports" / "make")
    assert report["subject"] == {"kind": "call", "name": "make"}
    assert bytes_of_lines(report)[("program.py", 4)] >= 20_000_000
    assert report["peakBytes"] < 20_100_000
    assert (tmp_path / "reports" / "make" / "index.html").exists()


def test_what_a_profiled_call_raises_is_raised_after_the_report_is_written(tmp_path):
    program = """
import os

def fail():
    held = bytearray(10_000_000)
    raise KeyError("mine")

try:
    api.profile(fail, "out")
except KeyError as error:
    print(repr(error), os.path.exists("out/index.html"))
"""
    assert under_fil(tmp_path, program).behaviour == (0, b"KeyError('mine') True\n", b"")
    assert report_in(tmp_path / "out")["outcome"] == {"kind": "error"}


def test_a_program_that_dies_in_a_profiled_call_has_its_report(tmp_path):
    program = """
import os

def die():
    held = bytearray(10_000_000)
    os.kill(os.getpid(), 9)

api.profile(die, "out")
"""
    done = under_fil(tmp_path, program)
    assert done.status == -9
    report = report_in(tmp_path / "out")
    assert report["outcome"] == {"kind": "died", "exitCode": None, "signal": "SIGKILL"}
    assert bytes_of_lines(report)[("program.py", 6)] >= 10_000_000


NUMBERS = """
import asyncio, json

def make(size, *, times=1):
    return len(bytearray(size * times))

async def make_later(size):
    await asyncio.sleep(0)
    return len(bytearray(size))

found = {}
measured = api.measure(make, 1_000_000, times=3)
found["measure"] = [measured.value, measured.profile.peak_bytes]
measured = asyncio.run(api.measure_async(make_later, 4_000_000))
found["measure_async"] = [measured.value, measured.profile.peak_bytes]
with api.tracking() as tracked:
    kept = bytearray(5_000_000)
found["with"] = [tracked.result.retained_bytes, tracked.result.peak_bytes]

async def block():
    async with api.tracking() as tracked:
        return len(bytearray(6_000_000)), tracked

value, tracked = asyncio.run(block())
found["async with"] = [value, tracked.result.peak_bytes]
tracker = api.tracking("decorated", title="Mine")
decorated = tracker(make)
found["decorator"] = [decorated(7_000_000), tracker.result.peak_bytes]
found["name"] = [decorated.__name__, str(tracker.result.files[0]), tracker.result.report["title"]]
decorated = tracker(make_later)
found["async decorator"] = [asyncio.run(decorated(8_000_000)), tracker.result.peak_bytes]
found["profile_async"] = asyncio.run(api.profile_async(lambda: make_later(9), "async"))
print(json.dumps(found))
"""


def test_the_numbers_are_return_values_in_every_form(tmp_path):
    found = shown(tmp_path, NUMBERS)
    assert isinstance(found, dict)
    assert found.pop("name") == ["make", str(tmp_path / "decorated" / "index.html"), "Mine"]
    assert found.pop("profile_async") == 9
    assert (tmp_path / "async" / "index.html").exists()
    expected = {
        "measure": 3_000_000,
        "measure_async": 4_000_000,
        "with": 5_000_000,
        "async with": 6_000_000,
        "decorator": 7_000_000,
        "async decorator": 8_000_000,
    }
    for form, size in expected.items():
        value, peak = found.pop(form)
        assert size <= value <= size + 1000, form
        assert size <= peak <= size + 100_000, form
    assert found == {}


REFUSALS = {
    "nested": "api.profile(lambda: api.measure(len, []), 'out')",
    "concurrent": """
import threading
errors = []
def other():
    try:
        api.measure(len, [])
    except RuntimeError as error:
        errors.append(error)
with api.tracking():
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
raise errors[0]
""",
    "not ended": "with api.tracking() as tracked:\n    tracked.result",
    "not writable": "api.profile(list, '/proc/none/here')",
}
REASONS = {
    "nested": "another profile is running",
    "concurrent": "another profile is running",
    "not ended": "has not ended",
    "not writable": "/proc/none/here",
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_can_not_be_profiled_is_a_runtime_error_that_says_why(tmp_path, case):
    program = f"""
try:
    exec({REFUSALS[case]!r})
except RuntimeError as error:
    print(error)
print(api.measure(len, []).value)
"""
    done = under_fil(tmp_path, program)
    assert done.status == 0
    text, value = done.stdout.decode().splitlines()
    assert REASONS[case] in text
    # The next profile is none the worse.
    assert value == "0"


def test_a_forked_child_can_not_be_profiled_and_its_parent_can(tmp_path):
    program = """
import os

if os.fork() == 0:
    try:
        api.measure(len, [])
    except RuntimeError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
print(api.measure(len, []).value)
"""
    lines = under_fil(tmp_path, program).stdout.decode().splitlines()
    assert "was forked" in lines[0]
    assert "fil-profile python" in lines[0]
    assert lines[1] == "0"


@pytest.mark.parametrize(
    ("front", "way_out"), [([], "fil-profile python"), ([*FIL, "run"], "fil-profile python")], ids=["plain", "run"]
)
def test_elsewhere_the_api_says_how_to_start_the_program(tmp_path, front, way_out):
    (tmp_path / "program.py").write_text("from filprofiler.api import profile\nprofile(list, 'out')\n")
    done = run([*(front or [sys.executable]), "program.py"], tmp_path)
    assert done.status == 1
    assert b"RuntimeError: " in done.stderr
    assert way_out in done.stderr.decode()
    assert not (tmp_path / "out").exists()


def test_nothing_of_fil_is_in_the_environment_or_left_behind(tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    program = """
import json, os

names = [name for name in os.environ if name.startswith(("FIL_", "LD_"))]
print(json.dumps([names, len(os.listdir("/proc/self/fd"))]))
"""
    done = under_fil(tmp_path, program, TMPDIR=str(temporary))
    expected = [[name for name in os.environ if name.startswith(("FIL_", "LD_"))], 4]
    assert json.loads(done.stdout) == expected
    assert list(temporary.iterdir()) == []
