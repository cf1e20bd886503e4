"""Kills the child, the proxy or the client by SIGKILL at a random moment and looks at what is left.

`npm run deaths -- --times 100` does so a hundred times with each; `test_deaths.py` a few times.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from random import Random
from tempfile import TemporaryDirectory
from typing import Literal

import psutil
from harness import KERNEL, Report, Result
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

Victim = Literal["child", "proxy", "client"]
VICTIMS: tuple[Victim, ...] = ("child", "proxy", "client")

LONGEST_START = 2.0
"""Seconds from the start of the kernel until the kill, at most, in one trial of three."""
LONGEST_CELL = 1.0
"""Seconds from the profiled cell's first output until the kill, at most, in the others."""
CLEAN_SECONDS = 8.0
"""Until then nothing may be left. The proxy looks every second whether its client is there."""
LEARNS_SECONDS = 4.0
"""Until then the client must know: the report is made and sent first."""

START_SECONDS = 60.0

MARK = "FIL_DEATHS"
HELD = 20_000_000
CELL = f"""%%filprofile
import subprocess, time
print('earlier output', flush=True)
user = subprocess.Popen(['sleep', '600'])
kept = bytearray({HELD})
print('holding', flush=True)
while True:
    churn = [bytearray(100) for _ in range(1000)]
"""


@dataclass(frozen=True)
class Moment:
    """When the kill comes."""

    seconds: float
    after: Literal["start", "first output"]


@dataclass
class Trial:
    """What one death left behind; `faults` is empty if all is well."""

    victim: Victim
    moment: Moment
    reached: str
    learned: float
    faults: list[str]

    def __str__(self) -> str:
        found = "; ".join(self.faults) or "ok"
        when = f"{self.moment.seconds:.2f} s after the {self.moment.after} ({self.reached})"
        return f"{self.victim} killed {when}, known after {self.learned:.2f} s: {found}"


def marked(mark: str) -> list[psutil.Process]:
    """Processes of a trial: those that inherited its mark, and those that name its directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(MARK) == mark or any(mark in part for part in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Whether it holds before the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def is_free(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@contextmanager
def environment() -> Iterator[tuple[str, dict[str, str], Path]]:
    """A mark, an environment with it, and the directory for temporary files that it names."""
    mark = uuid.uuid4().hex[:12]
    with TemporaryDirectory(prefix=f"fil-deaths-{mark}-") as directory:
        yield mark, {**os.environ, MARK: mark, "TMPDIR": directory}, Path(directory)


def shared_memory_files() -> set[str]:
    """Names in the file system of shared memory."""
    return {path.name for path in Path("/dev/shm").iterdir()}


def die(victim: Victim, moment: Moment) -> Trial:
    """One trial."""
    before = shared_memory_files()
    with environment() as (mark, env, directory):
        trial = _client_dies(env, moment) if victim == "client" else _kernel_dies(victim, env, mark, moment)
        if not within(CLEAN_SECONDS, lambda: not marked(mark)):
            left = [" ".join(process.cmdline())[:100] for process in marked(mark)]
            trial.faults.append(f"{len(left)} processes are left: {left}")
            for process in marked(mark):
                process.kill()
        if not within(CLEAN_SECONDS, lambda: not list(directory.glob("fil-*"))):
            trial.faults.append(f"directories are left: {[path.name for path in directory.glob('fil-*')]}")

        # Other programs may make some; ours carry our name.
        def leaked() -> set[str]:
            return {name for name in shared_memory_files() - before if "fil" in name}

        if not within(CLEAN_SECONDS, lambda: not leaked()):
            trial.faults.append(f"shared memory is left: {leaked()}")
        return trial


def _kernel_dies(victim: Victim, env: dict[str, str], mark: str, moment: Moment) -> Trial:
    manager = KernelManager(kernel_name=KERNEL)
    start = time.monotonic()
    manager.start_kernel(env=env)
    process = manager.provisioner.process
    client: BlockingKernelClient = manager.client()
    client.start_channels()
    request = client.execute(CELL, allow_stdin=False)
    result = Result({})

    def listen(until: float, until_output: bool = False) -> None:
        while (left := until - time.monotonic()) > 0:
            try:
                message = client.get_iopub_msg(timeout=left)
            except Empty:
                return
            if message["parent_header"].get("msg_id") == request and message["msg_type"] != "status":
                result.messages.append(message)
            if until_output and result.messages and result.text():
                return

    if moment.after == "first output":
        listen(start + START_SECONDS, until_output=True)
        start = time.monotonic()
    listen(start + moment.seconds)
    pids = [process.pid] if victim == "proxy" else [p.pid for p in marked(mark) if _is_child(p)]
    reached = "holding" if "holding" in result.text() else "running" if result.messages else "starting"
    trial = Trial(victim, moment, reached if pids else "not started", 0.0, [])
    killed = time.monotonic()
    for pid in pids or [process.pid]:
        os.kill(pid, signal.SIGKILL)
    while process.poll() is None and time.monotonic() - killed < LEARNS_SECONDS:
        listen(time.monotonic() + 0.02)
    trial.learned = time.monotonic() - killed
    if process.poll() is None:
        trial.faults.append(f"the client did not learn of it within {LEARNS_SECONDS} s")
    listen(time.monotonic() + 0.3)
    if reached == "holding":
        trial.faults += _missing(result, dead_proxy=victim == "proxy")
    client.stop_channels()
    ports = [manager.shell_port, manager.iopub_port, manager.stdin_port, manager.control_port, manager.hb_port]
    manager.cleanup_resources()
    taken = [port for port in ports if not within(2, lambda port=port: is_free(port))]
    if taken:
        trial.faults.append(f"ports are still taken: {taken}")
    return trial


def _is_child(process: psutil.Process) -> bool:
    try:
        return any(part.endswith("filprofiler/child.py") for part in process.cmdline())
    except psutil.Error:
        return False


def _missing(result: Result, *, dead_proxy: bool) -> list[str]:
    """What the cell should have had before the end and has not."""
    faults = [] if "earlier output" in result.text() else ["earlier output is lost"]
    if dead_proxy:
        return faults
    reports: list[Report] = result.reports
    if len(reports) != 1:
        faults.append(f"{len(reports)} reports")
    elif reports[0].peak < HELD:
        faults.append(f"the report's peak is {reports[0].peak} bytes")
    if "SIGKILL" not in result.text("stderr"):
        faults.append("nothing tells how the kernel died")
    return faults


_CLIENT = """
import sys, time
from jupyter_client.manager import KernelManager
manager = KernelManager(kernel_name=sys.argv[1])
manager.start_kernel()
client = manager.client()
client.start_channels()
client.execute(sys.argv[2], allow_stdin=False)
while True:
    message = client.get_iopub_msg(timeout=600)
    if message['msg_type'] == 'stream':
        print(message['content']['text'], flush=True)
"""


def _client_dies(env: dict[str, str], moment: Moment) -> Trial:
    command = [sys.executable, "-c", _CLIENT, KERNEL, CELL]
    client = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    output = "" if moment.after == "start" else (client.stdout.readline() if client.stdout else "")
    time.sleep(moment.seconds)
    client.kill()
    said = output + client.communicate()[0]
    return Trial("client", moment, "holding" if "earlier output" in said else "starting", 0.0, [])


def moment_of(trial: int, random: Random) -> Moment:
    """A third of the trials end while the kernel starts, the others in the cell."""
    if trial % 3 == 0:
        return Moment(random.uniform(0.02, LONGEST_START), "start")
    return Moment(random.uniform(0.0, LONGEST_CELL), "first output")


def run(times: int, *, seed: int, jobs: int, tell: Callable[[Trial], None]) -> list[Trial]:
    """`times` deaths of each victim, `jobs` at the same time."""
    random = Random(seed)
    plan = [(victim, moment_of(trial, random)) for trial in range(times) for victim in VICTIMS]
    with ThreadPoolExecutor(jobs) as pool:
        trials = []
        for trial in pool.map(lambda planned: die(*planned), plan):
            tell(trial)
            trials.append(trial)
    return trials


def main() -> int:
    """Runs as many as are asked for; status 1 if anything was left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=100, help="deaths of each victim")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--jobs", type=int, default=3, help="at the same time")
    options = parser.parse_args()
    print(f"{options.times} deaths each of {', '.join(VICTIMS)}; seed {options.seed}", flush=True)
    trials = run(options.times, seed=options.seed, jobs=options.jobs, tell=lambda trial: print(trial, flush=True))
    bad = [trial for trial in trials if trial.faults]
    for victim in VICTIMS:
        of = [trial for trial in trials if trial.victim == victim]
        held = [trial for trial in of if trial.reached == "holding"]
        slowest = max(trial.learned for trial in of)
        print(f"{victim}: {len(of)} deaths, {len(held)} in the profiled cell, known after at most {slowest:.2f} s")
    print(f"{len(trials) - len(bad)} passed, {len(bad)} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
