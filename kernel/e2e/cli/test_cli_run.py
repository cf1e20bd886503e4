"""`fil-profile run`: a program is profiled, and runs as it would without Fil."""

import sys
import zipfile

import pytest
from programs import FIL, bytes_of_lines, only_report, plain, profiled, report_directories, run, write

MEGABYTES = 30
HOLD = f"held = bytearray({MEGABYTES} * 2**20)\n"
SHOW = """
import sys, os
print(sys.argv, sys.path[0], __name__, __file__ if "__file__" in globals() else None, __spec__, __package__)
print(sys.orig_argv, sys.flags, sorted(name for name in sys.modules), sys.warnoptions, sys._xoptions)
print(sorted(os.environ.items()), len(os.listdir("/proc/self/fd")))
print(sys.gettrace(), sys.getprofile(), sys.meta_path, sys.path_hooks)
"""


def test_a_script_is_profiled_and_the_line_that_held_most_is_named(tmp_path):
    write(tmp_path, "script.py", "def make():\n    return bytearray(50_000_000)\n\nkept = make()\n")
    done = profiled(["script.py"], tmp_path)
    assert done.behaviour == (0, b"", b"")
    report = only_report(tmp_path)
    assert report["subject"] == {"kind": "program", "command": ["python", "script.py"]}
    assert report["outcome"] == {"kind": "completed"}
    held = bytes_of_lines(report)[("script.py", 2)]
    assert 50_000_000 <= held < 50_100_000
    assert held <= report["peakBytes"] < 51_000_000
    assert any("index.html" in line for line in done.said)


@pytest.mark.parametrize(
    "arguments",
    [
        ["show.py", "one", "--two", "-m", "--", ""],
        ["./show.py"],
        ["-m", "package", "one", "--two"],
        ["-m", "package.module"],
        ["-mshow"],
        ["-c", SHOW, "one"],
        ["-X", "dev", "-W", "error::ImportWarning", "-OO", "show.py"],
        ["-I", "show.py"],
        ["-S", "-E", "show.py"],
        ["-bbu", "-P", "show.py", "-b"],
        ["folder", "one"],
        ["archive.zip"],
        ["-"],
    ],
    ids=lambda arguments: " ".join(arguments).replace(SHOW, "SHOW"),
)
def test_the_program_finds_what_it_would_find_without_fil(tmp_path, arguments):
    write(tmp_path, "show.py", SHOW)
    for name in ("package/__init__.py", "package/__main__.py", "package/module.py", "folder/__main__.py"):
        write(tmp_path, name, SHOW)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", SHOW)
    expected = plain(arguments, tmp_path, stdin=SHOW.encode())
    assert expected.status == 0
    assert profiled(arguments, tmp_path, stdin=SHOW.encode()).behaviour == expected.behaviour
    assert len(report_directories(tmp_path)) == 1


ENDS = {
    "status": "raise SystemExit(7)",
    "message": "import sys; sys.exit('said at the end')",
    "exception": "def f():\n    raise ValueError('no')\nf()",
    "chained": "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise RuntimeError('x') from error",
    "group": "raise ExceptionGroup('several', [ValueError(1), KeyError(2)])",
    "recursion": "def f():\n    f()\nf()",
    "interrupt": "raise KeyboardInterrupt",
    "own signal": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
    "killed": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "real-time signal": "import os, signal\nos.kill(os.getpid(), signal.SIGRTMIN + 3)",
    "segfault": "import ctypes\nctypes.string_at(0)",
    "abort": "import os\nos.abort()",
    "os._exit": "import os\nprint('lost', end='')\nos._exit(9)",
    "exec": "import os, sys\nsys.stdout.flush()\nos.execv('/bin/sh', ['sh', '-c', 'echo other; exit 5'])",
    "atexit": "import atexit\natexit.register(print, 'last')\natexit.register(lambda: 1 / 0)\nprint('first')",
    "thread": "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.2), print('late'))).start()",
    "failing thread": "import threading\nthreading.Thread(target=lambda: 1 / 0).start()",
    "unraisable": "class C:\n    def __del__(self):\n        1 / 0\nC()",
    "warning": "import warnings\nwarnings.warn('careful', DeprecationWarning)",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_a_program_ends_as_without_fil_and_leaves_its_report(tmp_path, end):
    write(tmp_path, "script.py", HOLD + end)
    expected = plain(["script.py"], tmp_path)
    done = profiled(["script.py"], tmp_path)
    assert done.behaviour == expected.behaviour
    assert bytes_of_lines(only_report(tmp_path))[("script.py", 1)] >= MEGABYTES * 2**20


def test_a_program_that_only_passes_has_its_report(tmp_path):
    write(tmp_path, "script.py", "pass\n")
    assert profiled(["script.py"], tmp_path).behaviour == (0, b"", b"")
    assert only_report(tmp_path)["outcome"] == {"kind": "completed"}


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["missing.py"], 2),
        (["-m", "missing"], 1),
        (["-m", "package.missing"], 1),
        (["empty_folder"], 1),
        (["not_python.bin"], 1),
        (["wrong_syntax.py"], 1),
        (["-c", "x = ("], 1),
    ],
    ids=str,
)
def test_what_python_can_not_run_is_said_by_python_and_leaves_no_report(tmp_path, arguments, status):
    write(tmp_path, "wrong_syntax.py", "x = (\n")
    write(tmp_path, "package/__init__.py", "")
    (tmp_path / "empty_folder").mkdir()
    (tmp_path / "not_python.bin").write_bytes(bytes(range(256)))
    expected = plain(arguments, tmp_path)
    assert expected.status == status
    if arguments == ["-m", "package.missing"]:
        # The package around it has run.
        assert profiled(arguments, tmp_path).behaviour == expected.behaviour
    else:
        assert profiled(arguments, tmp_path).behaviour == expected.behaviour
        assert not (tmp_path / "fil-result").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "--bogus", "x.py"],
        ["run", "-c"],
        ["unknown"],
        ["--unknown"],
        ["-o"],
        ["--open", "--no-browser"],
    ],
    ids=str,
)
def test_wrong_usage_ends_with_status_2_and_says_how_it_is_meant(tmp_path, arguments):
    done = run([*FIL, *arguments], tmp_path)
    assert (done.status, done.stdout) == (2, b"")
    assert b"usage: fil-profile" in done.stderr
    assert b"Traceback" not in done.stderr


def test_standard_input_is_the_programs(tmp_path):
    write(tmp_path, "script.py", "import sys\nprint(input(), sys.stdin.buffer.read())\n")
    text = b"a line\nand \xff bytes"
    expected = plain(["script.py"], tmp_path, stdin=text)
    assert profiled(["script.py"], tmp_path, stdin=text).behaviour == expected.behaviour


def test_memory_of_imports_counts(tmp_path):
    write(tmp_path, "library.py", "TABLE = bytearray(20_000_000)\n")
    write(tmp_path, "script.py", "import library\n")
    assert profiled(["script.py"], tmp_path).status == 0
    assert bytes_of_lines(only_report(tmp_path))[("library.py", 1)] >= 20_000_000


MULTIPROCESSING = """
import multiprocessing, pickle, sys

class Thing:
    def __init__(self, value):
        self.value = value

def work(thing):
    return Thing(thing.value + 1)

if __name__ == "__main__":
    assert pickle.loads(pickle.dumps(Thing(1))).value == 1
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        print([thing.value for thing in pool.map(work, map(Thing, range(4)))])
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_main_can_be_pickled_and_imported_again_by_other_processes(tmp_path, method):
    write(tmp_path, "script.py", MULTIPROCESSING)
    done = profiled(["script.py", method], tmp_path)
    assert done.behaviour == (0, b"[1, 2, 3, 4]\n", b"")
    assert len(report_directories(tmp_path)) == 1


def test_options_of_the_python_that_runs_fil_are_for_the_program_too(tmp_path):
    write(tmp_path, "script.py", "import sys\nprint(sys.flags, sys._xoptions, sys.warnoptions)\n")
    options = ["-X", "dev", "-W", "error", "-O"]
    expected = plain([*options, "script.py"], tmp_path)
    done = run([sys.executable, *options, *FIL[1:], "run", "script.py"], tmp_path)
    assert done.behaviour == expected.behaviour


def test_modules_in_the_current_directory_are_not_taken_for_fils(tmp_path):
    for name in ("argparse", "json", "signal", "typing", "filprofiler_x"):
        write(tmp_path, f"{name}.py", "raise SystemExit('shadowed')\n")
    write(tmp_path, "script/main.py", "print('ran')\n")
    assert profiled(["script/main.py"], tmp_path).behaviour == (0, b"ran\n", b"")
