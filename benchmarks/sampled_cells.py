"""What it costs to sample every cell: the same cells on one kernel, sampled and not, in turns. Prints ratios.

The machine's own speed changes by a tenth from one moment to the next, so a cell is compared with the same cell right
before or after it, and the median of many such ratios is printed with its interval (95 %, by order statistics).

`npm run bench:sampled-cells -- ROUNDS` starts it.
"""

import statistics
import sys
import time
from typing import Any

import psutil
from jupyter_client.manager import KernelManager

from filprofiler._sampled_cells import SAMPLED_CELLS

TIMEOUT = 120
EMPTY_CELLS = 20
CELLS = {
    "objects": "held = [[n, str(n)] for n in range(200_000)]\ndel held",
    "calls": "def f(n):\n    return n + 1\nfor n in range(2_000_000):\n    f(n)",
    "json": "import json\nfor _ in range(12): json.loads(json.dumps([{'a': n, 'b': str(n)} for n in range(5000)]))",
    "arrays": "import numpy as np\nfor _ in range(60_000):\n    np.ones(500) * 2.0",
}
HELD = "held = [bytearray(500) for _ in range(800_000)]"
SETTLE_SECONDS = 2
CPU = "import time, gc\ngc.collect()\ntime.process_time()"


class Kernel:
    """Fil's kernel and a client of it."""

    def __init__(self) -> None:
        self.manager = KernelManager(kernel_name="filprofile")
        self.manager.start_kernel()
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=TIMEOUT)

    def tell(self, kind: str) -> None:
        """Opens or closes the comm by which cells are sampled."""
        content = {"comm_id": SAMPLED_CELLS, "target_name": SAMPLED_CELLS, "data": {}}
        self.client.shell_channel.send(self.client.session.msg(kind, content))
        self.run("None")

    def run(self, code: str) -> tuple[float, str | None]:
        """Seconds until a cell's reply, and its last expression's value."""
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
        message = self.client.session.msg("execute_request", content, metadata={"cellId": "cell"})
        started = time.perf_counter()
        self.client.shell_channel.send(message)
        while self.client.get_shell_msg(timeout=TIMEOUT)["parent_header"]["msg_id"] != message["header"]["msg_id"]:
            pass
        seconds = time.perf_counter() - started
        value = None
        while True:
            other: dict[str, Any] = self.client.get_iopub_msg(timeout=TIMEOUT)
            if other["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            if other["msg_type"] == "execute_result":
                value = other["content"]["data"]["text/plain"]
            elif other["msg_type"] == "status" and other["content"]["execution_state"] == "idle":
                return seconds, value

    def processor_seconds(self, *cells: str) -> float:
        """That the kernel's process takes for cells, with all that is done around them."""
        before = float(self.run(CPU)[1] or 0)
        for code in cells:
            self.run(code)
        return float(self.run(CPU)[1] or 0) - before

    def resident_bytes(self) -> int:
        """Of the kernel's process and of Fil's beside it."""
        proxy = psutil.Process(self.manager.provisioner.pid)
        return sum(process.memory_info().rss for process in (proxy, *proxy.children(recursive=True)))

    def shut_down(self) -> None:
        """Ends it."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def memory(*, sampled: bool) -> int:
    """Resident memory of a kernel, in bytes, that holds much after each cell has run twice."""
    kernel = Kernel()
    try:
        kernel.tell("comm_open" if sampled else "comm_close")
        for code in [*CELLS.values(), *CELLS.values(), HELD]:
            kernel.run(code)
        time.sleep(SETTLE_SECONDS)
        return kernel.resident_bytes()
    finally:
        kernel.shut_down()


def interval(ratios: list[float]) -> tuple[float, float]:
    """In which the median lies with 95 %, from the ranks that bound it (normal approximation of the binomial)."""
    ranked, half = sorted(ratios), 0.98 * len(ratios) ** 0.5
    low, high = int(len(ranked) / 2 - half), round(len(ranked) / 2 + half)
    return ranked[max(0, low)], ranked[min(len(ranked) - 1, high)]


def told(name: str, ratios: list[float]) -> float:
    """Prints a line, and gives its ratio."""
    low, high = interval(ratios)
    print(f"{name:42} {statistics.median(ratios):.3f} ({low:.3f} to {high:.3f})", flush=True)
    return statistics.median(ratios)


def main() -> None:
    """Prints a line for each cell, for cells that do nothing, and for memory."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    kernel = Kernel()
    try:
        ratios: dict[str, list[float]] = {}
        # The first rounds import.
        for number in range(-2, rounds):
            for name, cells in [*((name, [code]) for name, code in CELLS.items()), ("empty", ["None"] * EMPTY_CELLS)]:
                processor: dict[bool, float] = {}
                replies: dict[bool, float] = {}
                for sampled in (False, True) if number % 2 else (True, False):
                    kernel.tell("comm_open" if sampled else "comm_close")
                    processor[sampled] = kernel.processor_seconds(*cells)
                    if name == "empty":
                        replies[sampled] = statistics.median(kernel.run("None")[0] for _ in cells)
                if number >= 0:
                    ratios.setdefault(name, []).append(processor[True] / processor[False])
                    if replies:
                        ratios.setdefault("reply", []).append(replies[True] / replies[False])
        print(f"{rounds} times each, sampled to not: median (95 %)")
        means = [told(f"{name}: processor time", ratios[name]) for name in [*CELLS, "empty"]]
        print(f"{'geometric mean':42} {statistics.geometric_mean(means):.3f}")
        told("an empty cell: time until its reply", ratios["reply"])
    finally:
        kernel.shut_down()
    plain, ours = (statistics.median(memory(sampled=sampled) for _ in range(3)) for sampled in (False, True))
    print(f"resident memory added: {(ours - plain) / 1e6:+.1f} MB on {plain / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
