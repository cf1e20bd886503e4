"""Uses kernels as people do in an hour, in ten minutes: cells, profiled cells, floods, interrupts, restarts, deaths.

Afterwards memory has to be what it was, and no descriptor, process or directory may be left. `npm run soak` does so
for ten minutes, `test_soak.py` for half a minute.
"""

import argparse
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from random import Random

import psutil
from deaths import environment, marked, within
from harness import KERNEL, Kernel, is_gone
from jupyter_client.manager import KernelManager

MEGABYTE = 1_000_000
MOST_RESIDENT = 70 * MEGABYTE
MOST_GROWTH = 16 * MEGABYTE
"""Of an idle proxy from the first to the last measurement; pages of Node's own code come and go."""
MOST_MORE_DESCRIPTORS = 3
"""Connections of clients come and go; a leak in hundreds of actions is more."""
SETTLE_SECONDS = 25
"""Until then an idle proxy has given back what it does not need."""
START_SECONDS = 60
CELL_SECONDS = 60


@dataclass
class Soak:
    """One kernel's manager through many lives, and what was done and found."""

    mark: str
    env: dict[str, str]
    random: Random
    done: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.manager = KernelManager(kernel_name=KERNEL)
        self.manager.start_kernel(env=self.env)
        self.connect()

    def connect(self) -> None:
        client = self.manager.client()
        client.start_channels()
        client.wait_for_ready(timeout=START_SECONDS)
        self.kernel = Kernel(self.manager, client)

    def expect(self, condition: bool, what: str) -> None:
        if not condition:
            self.faults.append(what)

    def cells(self) -> None:
        for n in range(20):
            result = self.kernel.run(f"{n} * 2", timeout=CELL_SECONDS)
            self.expect(result.value == str(n * 2), f"a cell said {result.value}")

    def profiled_cell(self) -> None:
        size = self.random.randint(1, 40) * MEGABYTE
        code = f"%%filprofile\nkept = bytearray({size})\nobjects = [str(n) for n in range(50_000)]"
        result = self.kernel.run(code, timeout=CELL_SECONDS)
        self.expect(
            len(result.reports) == 1 and result.report.peak >= size, "a profiled cell has no report of its peak"
        )

    def failing_cell(self) -> None:
        result = self.kernel.run("%%filprofile\nkept = bytearray(100)\n1 / 0", timeout=CELL_SECONDS)
        self.expect(result.status == "error" and len(result.reports) == 1, "a failing cell has no error and report")

    def flood(self) -> None:
        code = "from IPython.display import display\nfor n in range(2000): display({'text/plain': str(n)}, raw=True)"
        shown = self.kernel.run(code, timeout=CELL_SECONDS).contents("display_data")
        self.expect(len(shown) == 2000, f"{len(shown)} of 2000 messages arrived")

    def large_output(self) -> None:
        result = self.kernel.run("from IPython.display import HTML\nHTML('x' * 20_000_000)", timeout=CELL_SECONDS)
        said = result.contents("execute_result")
        self.expect(
            len(said) == 1 and len(said[0]["data"]["text/html"]) == 20 * MEGABYTE, "a large output is not whole"
        )

    def interrupt(self) -> None:
        first_line = self.random.choice(["", "%%filprofile\n"])
        code = "import time\nprint('ready', flush=True)\ntime.sleep(60)"
        result = self.kernel.run(first_line + code, timeout=CELL_SECONDS, during=self.kernel.interrupt_soon)
        self.expect(result.reply.get("ename") == "KeyboardInterrupt", "an interrupted cell has no KeyboardInterrupt")

    def restart(self) -> None:
        self._renew(lambda: self.manager.restart_kernel(now=self.random.random() < 0.5))

    def child_dies(self) -> None:
        pid = self.kernel.child.pid
        self._renew(lambda: self._kill(pid))

    def proxy_dies(self) -> None:
        pid = self.kernel.proxy.pid
        self._renew(lambda: self._kill(pid))

    def _kill(self, pid: int) -> None:
        """In a profiled cell; started again on the same ports, as a server does."""
        request = self.kernel.client.execute("%%filprofile\nimport time\nprint('ready', flush=True)\ntime.sleep(60)")
        while True:
            message = self.kernel.client.get_iopub_msg(timeout=CELL_SECONDS)
            if message["parent_header"].get("msg_id") == request and message["msg_type"] == "stream":
                break
        os.kill(pid, signal.SIGKILL)
        self.expect(within(5, lambda: not self.manager.is_alive()), "a killed kernel seems to live")
        self.manager.restart_kernel(now=True)

    def _renew(self, end: Callable[[], object]) -> None:
        """The processes of the life that ends must go, those of the next come."""
        old = marked(self.mark)
        end()
        self.kernel.client.stop_channels()
        self.connect()
        left = [p.pid for p in old if not within(5, lambda p=p: is_gone(p))]
        self.expect(not left, f"{len(left)} processes of an earlier life are left")

    def idle(self) -> "Idle":
        """What the kernel holds when nothing happens."""
        proxy = self.kernel.proxy
        within(SETTLE_SECONDS, lambda: proxy.memory_info().rss <= MOST_RESIDENT * 0.6)
        time.sleep(3)
        descriptors = len(list(Path(f"/proc/{proxy.pid}/fd").iterdir()))
        return Idle(proxy.memory_info().rss, descriptors, proxy.num_threads(), len(marked(self.mark)))

    def close(self) -> None:
        self.kernel.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@dataclass(frozen=True)
class Idle:
    """Of an idle kernel."""

    resident: int
    descriptors: int
    threads: int
    processes: int

    def __str__(self) -> str:
        mebibytes = f"{self.resident / 2**20:.1f} MiB"
        return (
            f"{mebibytes} resident, {self.descriptors} descriptors, {self.threads} threads, {self.processes} processes"
        )


ACTIONS: tuple[tuple[str, int], ...] = (
    ("cells", 30),
    ("profiled_cell", 20),
    ("failing_cell", 8),
    ("flood", 6),
    ("large_output", 6),
    ("interrupt", 12),
    ("restart", 4),
    ("child_dies", 4),
    ("proxy_dies", 4),
)
"""What is done, and how often."""
LIFE_ENDING = ("restart", "child_dies", "proxy_dies")


def run(seconds: float, *, seed: int, tell: Callable[[str], None]) -> list[str]:
    """Soaks for so long and returns what was wrong."""
    random = Random(seed)
    with environment() as (mark, env, directory):
        own = psutil.Process()
        soak = Soak(mark, env, random)
        # Once each, so that everything is loaded before the first measurement.
        for name, _ in ACTIONS:
            getattr(soak, name)()
        first = soak.idle()
        own_first = len(own.open_files()) + len(own.net_connections())
        tell(f"before: {first}")
        all_names = [name for name, weight in ACTIONS for _ in range(weight)]
        # In the second half one proxy lives through everything: what it leaks is not hidden by its end.
        lasting = [name for name in all_names if name not in LIFE_ENDING]
        start = told = time.monotonic()
        while time.monotonic() - start < seconds:
            name = random.choice(all_names if time.monotonic() - start < seconds / 2 else lasting)
            try:
                getattr(soak, name)()
            except (Empty, RuntimeError, AssertionError) as error:
                soak.faults.append(f"{name}: {type(error).__name__} {error}")
                break
            soak.done[name] += 1
            if time.monotonic() - told > 60:
                told = time.monotonic()
                tell(f"after {told - start:.0f} s: {sum(soak.done.values())} actions, {len(soak.faults)} faults")
        last = soak.idle()
        tell(f"after:  {last}")
        tell(", ".join(f"{name} {count}" for name, count in soak.done.most_common()))
        soak.expect(last.resident <= MOST_RESIDENT, f"{last.resident} bytes are resident")
        soak.expect(
            last.resident - first.resident <= MOST_GROWTH, f"memory grew by {last.resident - first.resident} bytes"
        )
        more = last.descriptors - first.descriptors
        soak.expect(more <= MOST_MORE_DESCRIPTORS, f"{more} descriptors leaked")
        soak.expect(last.threads <= first.threads, f"{last.threads - first.threads} threads leaked")
        soak.expect(last.processes <= first.processes, f"{last.processes - first.processes} processes leaked")
        soak.close()
        soak.expect(within(5, lambda: not marked(mark)), "processes are left")
        soak.expect(within(5, lambda: not list(directory.glob("fil-*"))), "directories are left")
        tell(f"the client held {own_first} and {len(own.open_files()) + len(own.net_connections())} files and sockets")
        return soak.faults


def main() -> int:
    """Soaks; status 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"{options.seconds:.0f} s; seed {options.seed}", flush=True)
    faults = run(options.seconds, seed=options.seed, tell=lambda line: print(line, flush=True))
    for fault in faults:
        print(f"failed: {fault}")
    print(f"{0 if faults else 1} passed, {1 if faults else 0} failed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
