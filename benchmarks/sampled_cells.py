"""What it costs to sample every cell: the same cells on one kernel, sampled and not, in turns. Prints ratios.

`npm run bench:sampled-cells -- ROUNDS` starts it.
"""

import statistics
import sys
import time
from typing import Any

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

    def processor_seconds(self, code: str) -> float:
        """That the kernel's process takes for a cell, with all that is done around it."""
        before = float(self.run(CPU)[1] or 0)
        self.run(code)
        return float(self.run(CPU)[1] or 0) - before


def main() -> None:
    """Prints a line for each cell, and one for cells that do nothing."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    kernel = Kernel()
    try:
        taken: dict[tuple[str, bool], list[float]] = {}
        for number in range(rounds + 1):
            for sampled in (False, True) if number % 2 else (True, False):
                kernel.tell("comm_open" if sampled else "comm_close")
                for name, code in CELLS.items():
                    taken.setdefault((name, sampled), []).append(kernel.processor_seconds(code))
                empty = [kernel.run("None")[0] for _ in range(EMPTY_CELLS)]
                taken.setdefault(("empty cell", sampled), []).append(statistics.median(empty))
        for name in CELLS:
            # The first round imports.
            plain, ours = (min(taken[name, sampled][1:]) for sampled in (False, True))
            print(f"{name:10} processor time sampled to not: {ours / plain:.3f}")
        plain, ours = (statistics.median(taken["empty cell", sampled][1:]) for sampled in (False, True))
        print(f"an empty cell's reply: {1000 * (ours - plain):+.1f} ms")
    finally:
        kernel.client.stop_channels()
        kernel.manager.shutdown_kernel(now=True)


if __name__ == "__main__":
    main()
