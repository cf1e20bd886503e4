"""What Fil's kernel costs beside plain ipykernel when nothing is profiled; `npm run bench:kernel` starts it.

Both kernels are measured in turns in one run, so that what the machine does besides hits both alike. Prints JSON.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from queue import Empty
from typing import Any

import psutil
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from processor_time import seconds_of_process

PLAIN, OURS = "python3", "filprofile"
TIMEOUT = 300
SILENCE = 10
"""Seconds without a message after which what is missing is lost."""
MESSAGES = 50_000
OUTPUT_BYTES = 100_000_000
FLOOD = f"from IPython.display import display\nfor n in range({MESSAGES}): display({{'text/plain': str(n)}}, raw=True)"
LARGE = f"from IPython.display import HTML\nHTML('x' * {OUTPUT_BYTES})"
TEXT = f"for _ in range(100): print('x' * {OUTPUT_BYTES // 100})"
IDLE_AFTER_SECONDS = 20
"""V8 keeps pages of ended threads for some seconds."""


@dataclass(frozen=True)
class Run:
    """Of one cell: seconds until the reply and until its last message, and how many outputs arrived."""

    replied: float
    finished: float
    displayed: int


class Kernel:
    """A started kernel."""

    def __init__(self, name: str) -> None:
        self.manager = KernelManager(kernel_name=name)
        started = time.perf_counter()
        self.manager.start_kernel()
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=TIMEOUT)
        self.start_seconds = time.perf_counter() - started

    def run(self, code: str) -> Run:
        """Runs a cell to its end.

        Raises:
            queue.Empty: if nothing answers.
        """
        started = time.perf_counter()
        request = self.client.execute(code, allow_stdin=False)
        while self.client.get_shell_msg(timeout=TIMEOUT)["parent_header"].get("msg_id") != request:
            pass
        replied = time.perf_counter() - started
        displayed = 0
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=SILENCE)
            except Empty:
                # Plain ipykernel drops what its socket has no room for: the end of a flood, too.
                return Run(replied, time.perf_counter() - started - SILENCE, displayed)
            if message["parent_header"].get("msg_id") != request:
                continue
            displayed += message["msg_type"] == "display_data"
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return Run(replied, time.perf_counter() - started, displayed)

    @property
    def proxy(self) -> psutil.Process:
        """The process that the client started."""
        return psutil.Process(self.manager.provisioner.process.pid)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@contextmanager
def both() -> Iterator[dict[str, Kernel]]:
    """Both kernels at once."""
    with ExitStack() as stack:
        kernels = {name: Kernel(name) for name in (PLAIN, OURS)}
        for kernel in kernels.values():
            stack.callback(kernel.close)
        yield kernels


def in_turns(rounds: int, measure: Callable[[str], float]) -> dict[str, list[float]]:
    """Measurements of both, the one that begins changing each round."""
    found: dict[str, list[float]] = {PLAIN: [], OURS: []}
    for turn in range(rounds):
        for name in (PLAIN, OURS) if turn % 2 else (OURS, PLAIN):
            found[name].append(measure(name))
    return found


def start_up(rounds: int) -> dict[str, list[float]]:
    """Seconds from the start until the kernel answers."""

    def measure(name: str) -> float:
        kernel = Kernel(name)
        kernel.close()
        return kernel.start_seconds

    return in_turns(rounds, measure)


def idle(proxy: psutil.Process) -> dict[str, float]:
    """Processor time in percent and resident bytes of the proxy when nothing happens."""
    time.sleep(IDLE_AFTER_SECONDS)
    before, started = seconds_of_process(proxy.pid), time.perf_counter()
    time.sleep(10)
    busy, seconds = seconds_of_process(proxy.pid) - before, time.perf_counter() - started
    return {"cpuPercent": 100 * busy / seconds, "residentBytes": proxy.memory_info().rss}


def main() -> None:
    """Measures everything and prints it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--real-time", action="store_true", help="before all other programs; needs root")
    options = parser.parse_args()
    quick = options.quick
    if options.real_time:
        # Inherited by both kernels and by all that they start.
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    results: dict[str, Any] = {"startSeconds": start_up(3 if quick else 11)}
    with both() as kernels:
        in_turns(20, lambda name: kernels[name].run("").replied)
        results["roundTripSeconds"] = in_turns(200 if quick else 2000, lambda name: kernels[name].run("").replied)
        results["idleAfterCells"] = idle(kernels[OURS].proxy)
        rounds = 1 if quick else 5
        for key, code in {"large": LARGE, "text": TEXT}.items():
            results[f"{key}Seconds"] = in_turns(rounds, lambda name, code=code: kernels[name].run(code).finished)
        floods: dict[str, list[Run]] = {PLAIN: [], OURS: []}

        def flood(name: str) -> float:
            floods[name].append(kernels[name].run(FLOOD))
            # Not until the last message: plain ipykernel would win by losing some.
            return floods[name][-1].replied

        results["floodSeconds"] = in_turns(1 if quick else 3, flood)
        results["floodLost"] = {
            label: sum(MESSAGES - run.displayed for run in floods[name])
            for label, name in {"plain": PLAIN, "ours": OURS}.items()
        }
        results["idleAfterOutput"] = idle(kernels[OURS].proxy)
    json.dump(summary(results), sys.stdout)


def summary(results: dict[str, Any]) -> dict[str, Any]:
    """Of each measurement of both kernels: medians and minima, and the median of what ours takes more, in seconds."""
    return {
        key: value
        if PLAIN not in value
        else {
            "plainMedian": statistics.median(value[PLAIN]),
            "oursMedian": statistics.median(value[OURS]),
            "plainLeast": min(value[PLAIN]),
            "oursLeast": min(value[OURS]),
            "rounds": len(value[PLAIN]),
        }
        for key, value in results.items()
    }


if __name__ == "__main__":
    main()
