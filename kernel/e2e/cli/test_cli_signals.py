"""Signals to Fil and to the program: reports while it runs, and ends as without Fil."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from programs import FIL, TIMEOUT, bytes_of_lines, report_directories, report_in, split_stderr

HELD = "held = bytearray(20_000_000)\n"
READY = "print('ready', flush=True)\n"


@dataclass
class Running:
    """A program under Fil that said it is ready."""

    fil: subprocess.Popen[bytes]
    program: int
    directory: Path

    def end(self) -> tuple[int, bytes, bytes]:
        stdout, stderr = self.fil.communicate(timeout=TIMEOUT)
        return self.fil.returncode, stdout, split_stderr(stderr)[0]

    def wait_for_reports(self, count: int) -> list[Path]:
        wait_until(lambda: len(self.reports()) >= count, f"{count} reports")
        return self.reports()

    def reports(self) -> list[Path]:
        """The complete ones: their last file is there."""
        return [each for each in report_directories(self.directory) if (each / "profile.json").exists()]


def wait_until(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.02)


@contextmanager
def started(directory: Path, program: str) -> Iterator[Running]:
    (directory / "program.py").write_text(program)
    fil = subprocess.Popen(
        [*FIL, "run", "program.py"],
        cwd=directory,
        # Unbuffered, or what follows the first line is lost.
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert fil.stdout is not None
        assert fil.stdout.readline() == b"ready\n", fil.communicate()
        (child,) = psutil.Process(fil.pid).children()
        yield Running(fil, child.pid, directory)
    finally:
        fil.kill()
        fil.communicate()


# Each goes on until standard input ends.
IN_C = """
import ctypes
ctypes.PyDLL(None).read(0, ctypes.create_string_buffer(1), 1)  # with the GIL held
"""
ALLOCATING = """
import sys, threading
threads = []
over = False
def churn():
    kept = []
    while not over:
        kept.append(bytearray(500))
        if len(kept) > 10000:
            kept.clear()
for _ in range(3):
    threads.append(threading.Thread(target=churn))
    threads[-1].start()
sys.stdin.read()
over = True
for thread in threads:
    thread.join()
"""
SLEEPING = "import sys\nsys.stdin.read()\n"


@pytest.mark.parametrize("target", ["fil", "program"])
@pytest.mark.parametrize("work", [SLEEPING, IN_C, ALLOCATING], ids=["sleeping", "in C code", "allocating"])
def test_usr2_writes_a_complete_report_and_the_program_goes_on(tmp_path, target, work):
    with started(tmp_path, HELD + READY + work + "print('done')\n") as running:
        pid = running.program if target == "program" else running.fil.pid
        for count in (1, 2):
            os.kill(pid, signal.SIGUSR2)
            running.wait_for_reports(count)
        # Not only after the work.
        assert running.fil.poll() is None
        assert running.end() == (0, b"done\n", b"")
    *meanwhile, last = running.reports()
    assert [report_in(each)["outcome"] for each in meanwhile] == [{"kind": "running"}] * 2
    assert report_in(last)["outcome"] == {"kind": "completed"}
    for each in (*meanwhile, last):
        files = {file.name for file in each.iterdir()}
        assert {"index.html", "peak-memory.svg", "peak-memory-reversed.svg", "peak-memory.prof"} <= files
        assert bytes_of_lines(report_in(each))[("program.py", 1)] >= 20_000_000


def test_one_usr2_to_the_whole_process_group_is_one_report(tmp_path):
    with started(tmp_path, HELD + READY + SLEEPING) as running:
        os.killpg(running.fil.pid, signal.SIGUSR2)
        running.wait_for_reports(1)
        assert running.end()[0] == 0
    assert len(running.reports()) == 2


@pytest.mark.parametrize("target", ["fil", "program"])
def test_the_programs_own_handler_of_usr2_keeps_working(tmp_path, target):
    program = """
import signal, sys
assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
assert signal.signal(signal.SIGUSR2, lambda *_: print("mine", flush=True)) is signal.SIG_DFL
import subprocess
subprocess.run(["true"], check=True)
print("ready", flush=True)
sys.stdin.read()
"""
    with started(tmp_path, HELD + program) as running:
        os.kill(running.program if target == "program" else running.fil.pid, signal.SIGUSR2)
        assert running.fil.stdout is not None
        assert running.fil.stdout.readline() == b"mine\n"
        running.wait_for_reports(1)
        assert running.end() == (0, b"", b"")
    assert len(running.reports()) == 2


def test_a_forked_child_is_killed_by_usr2_as_without_fil(tmp_path):
    program = """
import os, signal, sys, time
child = os.fork()
if child == 0:
    time.sleep(30)
    os._exit(0)
os.kill(child, signal.SIGUSR2)
print("ready", flush=True)
print(os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGUSR2)
sys.stdin.read()
"""
    with started(tmp_path, program) as running:
        assert running.end() == (0, b"True\n", b"")
    assert len(running.reports()) == 1


LEAKING_SERVER = """
import http.server, threading, urllib.request
leaked = []
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        leaked.append(bytearray(5_000_000))
        self.send_response(204)
        self.end_headers()
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
for _ in range(4):
    urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/").close()
print("ready", flush=True)
threading.Event().wait()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_a_leaking_server_that_is_ended_leaves_its_report_and_dies_as_it_would(tmp_path, number):
    with started(tmp_path, LEAKING_SERVER) as running:
        os.kill(running.program if number == signal.SIGKILL else running.fil.pid, number)
        status, _, stderr = running.end()
    assert status == -number
    assert (b"KeyboardInterrupt" in stderr) == (number == signal.SIGINT)
    (only,) = running.reports()
    assert bytes_of_lines(report_in(only))[("program.py", 6)] >= 20_000_000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGRTMIN + 1])
def test_a_signal_to_fil_reaches_the_program_once(tmp_path, number):
    program = f"""
import signal, time
got = []
signal.signal({int(number)}, lambda *_: got.append(1))
print("ready", flush=True)
until = time.monotonic() + 20
while not got and time.monotonic() < until:
    time.sleep(0.01)
time.sleep(0.3)
print(len(got))
"""
    with started(tmp_path, program) as running:
        os.kill(running.fil.pid, number)
        assert running.end() == (0, b"1\n", b"")


def test_a_stopped_program_stops_fil_and_a_continued_fil_continues_it(tmp_path):
    with started(tmp_path, READY + "import sys\nsys.stdin.read()\nprint('done')\n") as running:
        fil, program = psutil.Process(running.fil.pid), psutil.Process(running.program)
        os.kill(running.program, signal.SIGSTOP)
        wait_until(lambda: fil.status() == psutil.STATUS_STOPPED, "Fil to stop")
        os.kill(running.fil.pid, signal.SIGCONT)
        wait_until(lambda: program.status() != psutil.STATUS_STOPPED, "the program to go on")
        assert running.end() == (0, b"done\n", b"")


def test_a_killed_fil_leaves_no_process_and_no_file(tmp_path):
    with started(tmp_path, READY + "import time\ntime.sleep(60)\n") as running:
        running.fil.kill()
        running.fil.wait()
        wait_until(lambda: not psutil.pid_exists(running.program), "the program to end with Fil")
    assert [file.name for file in tmp_path.iterdir()] == ["program.py"]


def test_a_program_that_nohup_protects_is_protected(tmp_path):
    (tmp_path / "program.py").write_text(
        "import os, signal\nos.kill(os.getppid(), signal.SIGHUP)\nos.kill(os.getpid(), signal.SIGHUP)\nprint('lives')\n"
    )
    done = subprocess.run(
        ["nohup", *FIL, "run", "program.py"], cwd=tmp_path, capture_output=True, timeout=TIMEOUT, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"lives\n")
