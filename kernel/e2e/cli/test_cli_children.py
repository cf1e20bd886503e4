"""`fil-profile run` and the processes that the program starts: they are in the report, and run as without it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from process_reports import bytes_in, process_frames, processes
from programs import FIL, only_report, plain, profiled, report_in, run, with_small_disks, write

MB = 1_000_000
TREES = Path("/dev/shm")


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


ODD = """
import os, resource, subprocess, sys
CODE = [sys.executable, "-c", "x = bytearray(5000000); print('ran')"]
def under(limit, most):
    return subprocess.run(CODE, preexec_fn=lambda: resource.setrlimit(limit, (most, most))).returncode
print(subprocess.run(["false"]).returncode)
try: subprocess.run(["/nonexistent/program"])
except FileNotFoundError as error: print(error)
try: os.execv("/etc/hostname", ["x"])
except OSError as error: print(error)
print(os.system("exit 3"), os.system("kill -9 $$"))
open("plain.sh", "w").write("echo plain; exit 4"); os.chmod("plain.sh", 0o755)
print(os.spawnlp(os.P_WAIT, "./plain.sh", "plain.sh"))
print(under(resource.RLIMIT_FSIZE, 4096), under(resource.RLIMIT_NOFILE, 8), under(resource.RLIMIT_AS, 400_000_000))
print(os.popen("echo through a pipe").read())
sys.stdout.flush()
"""


def test_children_with_odd_starts_and_narrow_limits_run_as_they_would(tmp_path: Path) -> None:
    write(tmp_path, "odd.py", ODD)
    assert profiled(["odd.py"], tmp_path).behaviour == plain(["odd.py"], tmp_path).behaviour


def test_a_tree_whose_directory_is_gone_does_no_harm(tmp_path: Path) -> None:
    write(
        tmp_path,
        "gone.py",
        """
import glob, os, shutil, subprocess, sys
for place in glob.glob("/dev/shm/fil-tree-*"):
    if os.path.basename(place).encode() in open("/proc/self/maps", "rb").read(): shutil.rmtree(place)
pid = os.fork()
if pid == 0:
    x = bytearray(5_000_000); print("forked", flush=True); os._exit(0)
os.waitpid(pid, 0)
code = "import time; x = bytearray(5000000); time.sleep(2); print('executed')"
print(subprocess.run([sys.executable, "-c", code], capture_output=True))
""",
    )
    done = profiled(["gone.py"], tmp_path)
    assert done.status == 0
    assert done.stderr == b""
    assert b"forked" in done.stdout
    assert b"executed" in done.stdout
    report = only_report(tmp_path)
    assert report["peakBytes"] > 0
    # Who is missing is named: the forked one in the count of those without room, the executed one by its command.
    assert report["processes"]["refused"] >= 1
    assert any("bytearray(5000000)" in process["command"] for process in report["processes"]["untracked"])


def test_children_of_another_user_run_as_they_would(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    write(
        tmp_path,
        "others.py",
        """
import os, shutil, subprocess, sys, time

shutil.copy("/bin/sleep", "setuid")
os.chmod("setuid", 0o4755)
code = "import os; held = bytearray(5000000); print(os.getuid(), len(held))"
python = [sys.executable, "-I", "-c", code]
for command, options in (
    (python, {"user": 65534, "group": 65534}),
    (python, {"preexec_fn": lambda: os.setuid(65534)}),
    (["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *python], {}),
    (["./setuid", "0.01"], {"user": 65534}),
):
    try:
        print(subprocess.run(command, capture_output=True, **options), flush=True)
    except (OSError, subprocess.SubprocessError) as error:
        # Nobody but root may become somebody else.
        print(repr(error), flush=True)
pid = os.fork()
if pid == 0:
    try:
        os.setuid(65534)
    except OSError as error:
        print(error, flush=True)
    held = [bytearray(9_000_000), *(bytes(1000) for _ in range(1000))]
    time.sleep(2)
    os._exit(5)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
""",
    )
    expected = plain(["others.py"], tmp_path)
    done = profiled(["others.py"], tmp_path)
    assert done.behaviour == expected.behaviour
    assert done.stdout.endswith(b"\n5\n")
    found = only_report(tmp_path)["processes"]
    if os.geteuid() == 0:
        (forked,) = [each for each in found["untracked"] if each["command"].endswith("others.py")]
        assert forked["highWaterBytes"] >= 9 * MB
    else:
        assert any(each["peakBytes"] >= 9 * MB for each in found["tracked"])


def test_a_tree_whose_directory_is_full_does_no_harm(tmp_path: Path) -> None:
    write(
        tmp_path,
        "full.py",
        """
import os, subprocess, sys

def lines(count):
    code = "".join(f"def f{n}(): return bytearray(1000)\\n" for n in range(count))
    names = {}
    exec(compile(code, "many.py", "exec"), names)
    return [names[f"f{n}"]() for n in range(count)]

first, second = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    held = [bytearray(2_000_000)]
    os.write(first[1], b"x")
    os.read(second[0], 1)
    held += lines(4000)
    print("forked before", len(held), flush=True)
    os._exit(3)
os.read(first[0], 1)
try:
    with open("/dev/shm/fill", "wb", 0) as file:
        while True: file.write(bytes(4096))
except OSError as error:
    print(error.strerror, flush=True)
code = "import sys, time; x = bytearray(5000000); print(len(x), flush=True); sys.stdin.read(); time.sleep(1)"
executed = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
print(executed.stdout.readline(), flush=True)
os.write(second[1], b"x")
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
pid = os.fork()
if pid == 0:
    held = bytearray(6_000_000)
    print("forked after", len(held), flush=True)
    os._exit(4)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), executed.communicate(), executed.returncode, flush=True)
""",
    )
    (plainly, under_fil) = (
        run(with_small_disks([TREES], "5m", [*command, "full.py"]), tmp_path)
        for command in ([sys.executable], [*FIL, "run"])
    )
    assert under_fil.behaviour == plainly.behaviour
    assert plainly.status == 0
    assert b"5000000" in plainly.stdout
    report = only_report(tmp_path)
    assert "call-sites-full" in [note["code"] for note in report["notes"]]
    assert report["processes"]["refused"] >= 1
    (untracked,) = [each for each in report["processes"]["untracked"] if "bytearray(5000000)" in each["command"]]
    assert untracked["highWaterBytes"] >= 5 * MB


def trees(launcher: int) -> list[Path]:
    return list(TREES.glob(f"fil-tree-{launcher}-*"))


@pytest.mark.parametrize("victim", ["child", "launcher"])
def test_killed_processes_leave_nothing_behind(tmp_path: Path, victim: str) -> None:
    write(
        tmp_path,
        "parent.py",
        """
import os, time
children = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        held = []
        while True: held = [bytearray(1000) for _ in range(5000)]
    children.append(pid)
print(*children, flush=True)
for pid in children: os.waitpid(pid, 0)
""",
    )
    launcher = subprocess.Popen(
        [*FIL, "run", "parent.py"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert launcher.stdout is not None
    children = [int(word) for word in launcher.stdout.readline().split()]
    time.sleep(0.2)
    assert trees(launcher.pid)
    if victim == "launcher":
        launcher.kill()
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    launcher.communicate(timeout=60)
    deadline = time.monotonic() + 20
    while trees(launcher.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not trees(launcher.pid)
    if victim == "child":
        report = only_report(tmp_path)
        assert len([process for process in processes(report) if process["origin"] == "forked"]) == 3
        assert launcher.returncode == 0


@pytest.mark.parametrize(
    "start",
    [
        "subprocess.run(['./static'], check=True)",
        "thread = threading.Thread(target=subprocess.run, args=(['./static'],)); thread.start(); thread.join()",
    ],
)
def test_a_program_that_cannot_be_tracked_is_listed_with_its_high_water_mark(tmp_path: Path, start: str) -> None:
    source = write(
        tmp_path,
        "static.c",
        "#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n"
        "int main(void) { char *m = malloc(20000000); memset(m, 1, 20000000); sleep(2); return m[5] - 1; }\n",
    )
    subprocess.run(["cc", "-static", "-o", str(tmp_path / "static"), str(source)], check=True)
    write(tmp_path, "parent.py", f"import subprocess, threading\n{start}\n")
    done = profiled(["parent.py"], tmp_path)
    assert done.behaviour == (0, b"", b"")
    (untracked,) = only_report(tmp_path)["processes"]["untracked"]
    assert untracked["command"] == "./static"
    assert untracked["highWaterBytes"] >= 20 * MB


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
