"""`fil-profile run` and the processes that the program starts: they are in the report, and run as without it."""

import subprocess
from pathlib import Path

import pytest
from process_reports import bytes_in, process_frames, processes
from programs import FIL, only_report, plain, profiled, report_in, write

MB = 1_000_000

HELD = """
import {imports}, os, sys, time
def work(size):
    held = bytearray(size)
    time.sleep(0.1)
    return len(held)
if __name__ == "__main__":
    {start}
"""

WAYS = {
    "fork": ("os", "pid = os.fork()\n    if pid == 0:\n        work(30_000_000); os._exit(0)\n    os.waitpid(pid, 0)"),
    "multiprocessing-fork": (
        "multiprocessing as mp",
        "p = mp.get_context('fork').Process(target=work, args=(30_000_000,)); p.start(); p.join(); "
        "assert p.exitcode == 0",
    ),
    "multiprocessing-spawn": (
        "multiprocessing as mp",
        "p = mp.get_context('spawn').Process(target=work, args=(30_000_000,)); p.start(); p.join(); "
        "assert p.exitcode == 0",
    ),
    "multiprocessing-forkserver": (
        "multiprocessing as mp",
        "p = mp.get_context('forkserver').Process(target=work, args=(30_000_000,)); p.start(); p.join(); "
        "assert p.exitcode == 0",
    ),
    "ProcessPoolExecutor": (
        "concurrent.futures as cf",
        "with cf.ProcessPoolExecutor(2) as pool: assert list(pool.map(work, [30_000_000])) == [30_000_000]",
    ),
    "daemon": (
        "multiprocessing as mp",
        "p = mp.get_context('fork').Process(target=work, args=(30_000_000,), daemon=True); p.start(); p.join()",
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_a_python_child_holds_is_in_the_report_with_its_line(tmp_path: Path, way: str) -> None:
    imports, start = WAYS[way]
    write(tmp_path, "parent.py", HELD.format(imports=imports, start=start))
    done = profiled(["parent.py"], tmp_path)
    assert done.behaviour == (0, b"", b"")
    report = only_report(tmp_path)
    assert 30 * MB <= bytes_in(report, "work") < 30.1 * MB
    assert len(process_frames(report)) >= 2
    assert sum(process_frames(report).values()) == report["peakBytes"]
    assert max(process["peakBytes"] for process in processes(report)) >= 30 * MB


@pytest.mark.parametrize(
    "start",
    [
        "subprocess.run([sys.executable, '-c', CODE], check=True)",
        "subprocess.run([sys.executable, '-c', CODE], check=True, env={})",
        "subprocess.run([sys.executable, '-I', '-S', '-c', CODE], check=True)",
        'subprocess.run(f\'"{sys.executable}" -c "{CODE}" | cat\', shell=True, check=True)',
        'assert os.system(f\'"{sys.executable}" -c "{CODE}"\') == 0',
        "os.waitpid(os.posix_spawn(sys.executable, [sys.executable, '-c', CODE], os.environ), 0)",
        "os.execv(sys.executable, [sys.executable, '-c', CODE])",
    ],
)
def test_a_python_that_the_program_executes_is_in_the_report(tmp_path: Path, start: str) -> None:
    write(tmp_path, "parent.py", f"import os, subprocess, sys\nCODE = 'held = bytearray(30000000)'\n{start}\n")
    done = profiled(["parent.py"], tmp_path)
    assert done.behaviour == (0, b"", b"")
    report = only_report(tmp_path)
    assert report["peakBytes"] >= 30 * MB
    assert sum(process_frames(report).values()) in (0, report["peakBytes"])
    executed = [process for process in processes(report) if process["origin"] == "executed" and process["hasStacks"]]
    assert max(process["peakBytes"] for process in executed) >= 30 * MB


POPEN = r"""
import ctypes, sys
libc = ctypes.CDLL(None)
libc.popen.restype = ctypes.c_void_p
libc.popen.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
libc.pclose.argtypes = [ctypes.c_void_p]
libc.fgets.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p]
libc.fgets.restype = ctypes.c_void_p
for command in [
    "echo 'a b' \"$0\" it\\'s \"$LD_PRELOAD\"; exit 3",
    f"'{sys.executable}' -c 'held = bytearray(30000000); print(len(held))'",
    "nonesuch 2>&1",
]:
    stream = libc.popen(command.encode(), b"r")
    line = ctypes.create_string_buffer(4096)
    while libc.fgets(line, 4096, stream):
        print(line.value.decode(), end="")
    print(libc.pclose(stream))
"""


def test_what_c_code_starts_by_popen_is_in_the_report_and_runs_as_it_would(tmp_path: Path) -> None:
    write(tmp_path, "parent.py", POPEN)
    alone = plain(["parent.py"], tmp_path)
    done = profiled(["parent.py"], tmp_path)
    assert done.behaviour == alone.behaviour
    assert done.stdout.startswith(b"a b sh it's")
    executed = [process for process in processes(only_report(tmp_path)) if process["hasStacks"]]
    assert max(process["peakBytes"] for process in executed) >= 30 * MB


def test_another_program_is_one_frame_and_its_memory_is_what_it_uses(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"".join(b"%d\n" % (n * 7919 % 1_000_003) for n in range(1_000_000)))
    write(tmp_path, "parent.py", "import subprocess\nsubprocess.run(['sort', 'lines', '-o', 'sorted'], check=True)\n")
    done = profiled(["parent.py"], tmp_path)
    assert done.behaviour == (0, b"", b"")
    (sort,) = [process for process in processes(only_report(tmp_path)) if process["name"] == "sort"]
    assert not sort["hasStacks"]
    assert 3 * MB <= sort["peakBytes"] <= 200 * MB


def test_the_joint_peak_is_that_of_all_processes_at_one_moment(tmp_path: Path) -> None:
    # The second child starts when the first has ended: together they never held 60 MB.
    write(
        tmp_path,
        "parent.py",
        """
import os
own = bytearray(5_000_000)
for size in (40_000_000, 20_000_000):
    pid = os.fork()
    if pid == 0:
        held = bytearray(size)
        os._exit(0)
    os.waitpid(pid, 0)
""",
    )
    profiled(["--exact-tree", "parent.py"], tmp_path)
    report = only_report(tmp_path)
    assert 45 * MB <= report["peakBytes"] < 50 * MB
    assert report["processes"]["boundBytes"] == 0
    assert sorted(process["peakBytes"] // MB for process in processes(report) if process["origin"] == "forked") == [
        20,
        40,
    ]


def test_without_children_only_the_program_is_tracked(tmp_path: Path) -> None:
    write(
        tmp_path,
        "parent.py",
        "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'x = bytearray(50000000)'])\n",
    )
    done = profiled(["--no-children", "parent.py"], tmp_path)
    assert done.behaviour == (0, b"", b"")
    report = only_report(tmp_path)
    assert "processes" not in report
    assert report["peakBytes"] < 20 * MB


SHOW = """
import os, subprocess, sys
code = "import os; print(sorted(os.environ.items()), len(os.listdir('/proc/self/fd')))"
print(sorted(os.environ.items()), len(os.listdir('/proc/self/fd')), flush=True)
subprocess.run([sys.executable, "-c", code])
subprocess.run("env | sort; ls /proc/self/fd | wc -l", shell=True)
os.system("env | sort | grep -v '^_='")
sys.stdout.flush()
os.execve("/usr/bin/env", ["env"], {"ONLY": "this", "LD_PRELOAD": os.environ.get("LD_PRELOAD", "")})
"""


@pytest.mark.parametrize("preload", ["", "libm.so.6"])
def test_children_find_the_environment_that_they_would_find_without_fil(tmp_path: Path, preload: str) -> None:
    write(tmp_path, "show.py", SHOW)
    environment = {"LD_PRELOAD": preload} if preload else {}
    expected = plain(["show.py"], tmp_path, **environment)
    assert profiled(["show.py"], tmp_path, **environment).behaviour == expected.behaviour


def test_processes_of_an_earlier_session_take_nothing_from_the_next(tmp_path: Path) -> None:
    write(
        tmp_path,
        "program.py",
        """
import multiprocessing as mp, os, signal, time
from filprofiler.api import profile

def hold(ready, size):
    held = bytearray(size)
    ready.put(1)
    while True: signal.pause()

def first():
    process.start()
    ready.get()

def second():
    other.start()
    ready.get()
    one = bytearray(40_000_000)
    # Without a word: what it has claimed is of the first session.
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    time.sleep(0.5)
    two = bytearray(30_000_000)
    del one, two
    three = bytearray(60_000_000)

context = mp.get_context("fork")
ready = context.SimpleQueue()
process, other = (context.Process(target=hold, args=(ready, size), daemon=True) for size in (50_000_000, 20_000_000))
profile(first, "first")
profile(second, "second")
""",
    )
    done = subprocess.run([*FIL, "python", "program.py"], cwd=tmp_path, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    report = report_in(tmp_path / "second")
    assert report["peakBytes"] == pytest.approx(90 * MB, rel=0.05)


def test_pages_of_its_parent_that_a_child_changes_are_told_apart(tmp_path: Path) -> None:
    write(
        tmp_path,
        "parent.py",
        """
import os, time
inherited = bytearray(60_000_000)
pid = os.fork()
if pid == 0:
    for at in range(0, 50_000_000, 4096): inherited[at] = 1
    time.sleep(2)
    os._exit(0)
os.waitpid(pid, 0)
""",
    )
    profiled(["parent.py"], tmp_path)
    report = only_report(tmp_path)
    assert report["peakBytes"] < 70 * MB
    (child,) = [process for process in processes(report) if process["origin"] == "forked"]
    assert 49 * MB <= child["copiedBytes"] <= 62 * MB


RANDOM = """
import os, random, struct, sys, time
# Each process notes what it holds in a page that all share, under a lock, so that the true joint peak is known.
import fcntl, mmap
seed = int(sys.argv[1])
shared = mmap.mmap(-1, 4096)
lock = open("lock", "w")
def note(change):
    fcntl.lockf(lock, fcntl.LOCK_EX)
    current, peak = struct.unpack_from("qq", shared)
    current += change
    struct.pack_into("qq", shared, 0, current, max(current, peak))
    fcntl.lockf(lock, fcntl.LOCK_UN)
def live(number):
    chance = random.Random(seed * 100 + number)
    held = []
    for _ in range(60):
        if held and chance.random() < 0.45:
            size = len(held[-1]); note(-size); held.pop()
        else:
            size = chance.randrange(300_000, 3_000_000); held.append(bytearray(size)); note(size)
        time.sleep(chance.random() * 0.002)
    note(-sum(map(len, held)))
pids = []
for number in range(4):
    pid = os.fork()
    if pid == 0:
        lock = open("lock", "w")
        live(number); os._exit(0)
    pids.append(pid)
live(9)
for pid in pids: os.waitpid(pid, 0)
print(struct.unpack_from("qq", shared)[1])
"""


@pytest.mark.parametrize("seed", range(3))
def test_the_joint_peak_of_random_processes_is_within_its_bound(tmp_path: Path, seed: int) -> None:
    write(tmp_path, "random_tree.py", RANDOM)
    done = profiled(["random_tree.py", str(seed)], tmp_path)
    truth = int(done.stdout)
    report = only_report(tmp_path)
    # Between an allocation and its note another process can make its own: at most one block each.
    slack = 5 * 3 * MB
    interpreter = report["peakBytes"] - bytes_in(report, "live")
    assert report["processes"]["boundBytes"] == 2 * 65536 * 5
    assert truth - report["processes"]["boundBytes"] - slack <= report["peakBytes"] - interpreter <= truth + slack
