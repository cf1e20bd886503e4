"""`fil-profile run` and processes that something stands in the way of: they run as without it, and the report tells."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from process_reports import processes
from programs import FIL, only_report, plain, profiled, run, with_small_disks, write

MB = 1_000_000
TREES = Path("/dev/shm")

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
