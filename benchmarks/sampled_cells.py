"""What it costs to sample every cell: the same cells on one kernel, sampled and not, in turns. Prints ratios.

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
EMPTY_CELLS = 40
CELLS = {
    "objects": "held = [[n, str(n)] for n in range(400_000)]\ndel held",
    "calls": "def f(n):\n    return n + 1\nfor n in range(4_000_000):\n    f(n)",
    "json": "import json\nfor _ in range(60): json.loads(json.dumps([{'a': n, 'b': str(n)} for n in range(5000)]))",
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


def main() -> None:
    """Prints a line for each cell, for cells that do nothing, and for memory."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    kernel = Kernel()
    try:
        processor: dict[tuple[str, bool], list[float]] = {}
        replies: dict[bool, list[float]] = {False: [], True: []}
        for number in range(rounds + 1):
            for sampled in (False, True) if number % 2 else (True, False):
                kernel.tell("comm_open" if sampled else "comm_close")
                for name, code in CELLS.items():
                    processor.setdefault((name, sampled), []).append(kernel.processor_seconds(code))
                empty = kernel.processor_seconds(*["None"] * EMPTY_CELLS)
                processor.setdefault(("empty", sampled), []).append(empty)
                replies[sampled].append(statistics.median(kernel.run("None")[0] for _ in range(EMPTY_CELLS)))
        ratios = []
        for name in [*CELLS, "empty"]:
            # The first round imports.
            plain, ours = (min(processor[name, sampled][1:]) for sampled in (False, True))
            ratios.append(ours / plain)
            print(f"{name:10} processor time sampled to not: {ours / plain:.3f}")
        print(f"geometric mean: {statistics.geometric_mean(ratios):.3f}")
        plain, ours = (min(replies[sampled][1:]) for sampled in (False, True))
        print(f"an empty cell's reply, sampled to not: {ours / plain:.2f}")
    finally:
        kernel.shut_down()
    plain, ours = (statistics.median(memory(sampled=sampled) for _ in range(3)) for sampled in (False, True))
    print(f"resident memory added: {(ours - plain) / 1e6:+.1f} MB on {plain / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
