"""Programs that run out of memory, each in another way, and what must come of it.

Run by `npm run prove:memory`, and once each by `npm test`.
"""

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from memory_group import limited

MB = 1_000_000
FIL_PROFILE = Path(sys.executable).with_name("fil-profile")


Check = Callable[[int], str | None]
"""Runs a scenario once under a limit of so many bytes. None if all is as it must be, else what is not."""


@dataclass(frozen=True)
class Scenario:
    """A program, and how it has to end."""

    name: str
    source: str
    status: int = 53
    rule: str | None = "available"
    """That of the report; None: memory does not run out."""
    said: str = ""


PREAMBLE = "import ctypes, mmap, os, sys, threading, time\n"

SCENARIOS = (
    Scenario("slow leak", "held = []\nwhile True:\n    held.append(b'x' * 300_000)\n    time.sleep(0.0005)\n"),
    Scenario("fast growth", "held = []\nwhile True:\n    held.append(bytearray(1_000_000))\n"),
    Scenario("many small allocations", "held = []\nwhile True:\n    held.append((len(held), str(len(held))))\n"),
    Scenario(
        "touch only", "area = mmap.mmap(-1, 2_000_000_000)\nfor i in range(0, len(area), 4096):\n    area[i] = 1\n"
    ),
    Scenario(
        "growth in C",
        "c = ctypes.CDLL(None)\nc.malloc.restype = ctypes.c_void_p\n"
        "c.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]\n"
        "while True:\n    c.memset(c.malloc(5_000_000), 1, 5_000_000)\n",
    ),
    Scenario(
        "growth in a thread",
        "def grow():\n    held = []\n    while True:\n        held.append(bytearray(1_000_000))\n"
        "thread = threading.Thread(target=grow)\nthread.start()\nthread.join()\n",
    ),
    Scenario(
        "growth in a forked child",
        "if os.fork() == 0:\n    held = []\n    while True:\n        held.append(bytearray(1_000_000))\nos.wait()\n",
        said="The program goes on",
    ),
    Scenario("a request of 1 PiB", "def ask():\n    return bytearray(1 << 50)\nask()\n", rule="failed-allocation"),
    Scenario("a request of 1 PiB, caught", "try:\n    bytearray(1 << 50)\nexcept MemoryError:\n    pass\n", 0, None),
    Scenario(
        "a failed request as the cause",
        "try:\n    bytearray(1 << 50)\nexcept MemoryError as error:\n    raise RuntimeError('no') from error\n",
        rule="failed-allocation",
    ),
    Scenario(
        "abort after a failed request",
        "try:\n    bytearray(1 << 50)\nexcept MemoryError:\n    os.abort()\n",
        rule="failed-allocation",
    ),
    Scenario(
        "crash after a failed request",
        "try:\n    bytearray(1 << 50)\nexcept MemoryError:\n    ctypes.string_at(0)\n",
        rule="failed-allocation",
    ),
    Scenario(
        "abort long after a failed request",
        "try:\n    bytearray(1 << 50)\nexcept MemoryError:\n    time.sleep(1.3)\n    os.abort()\n",
        -signal.SIGABRT,
        None,
    ),
    Scenario("abort without a failed request", "os.abort()\n", -signal.SIGABRT, None),
)


def below(limit: int, share: float) -> Scenario:
    """A program that takes a share of the limit, and is left alone."""
    # What Python and Node take themselves is in the same group.
    taken = int(limit * share) - 110 * MB
    source = (
        f"held = bytearray({max(taken, MB)})\nfor i in range(0, len(held), 4096):\n    held[i] = 1\ntime.sleep(0.3)\n"
    )
    return Scenario(f"{share:.0%} of the limit", source, 0, None)


def check(scenario: Scenario, limit: int) -> str | None:
    """Runs a scenario once. None if all is as it must be, else what is not."""
    with tempfile.TemporaryDirectory() as directory, limited(limit) as place:
        program = Path(directory, "program.py")
        program.write_text(PREAMBLE + scenario.source)
        output = Path(directory, "out")
        try:
            run = place.run([str(FIL_PROFILE), "-o", str(output), "--no-browser", "run", str(program)], cwd=directory)
        except subprocess.TimeoutExpired:
            return "it did not end"
        reports = [json.loads(path.read_text()) for path in sorted(output.glob("*/profile.json"))]
        if run.returncode != scenario.status:
            return f"status {run.returncode} instead of {scenario.status}: {run.stderr[-300:]}"
        if not reports:
            return f"no report: {run.stderr[-300:]}"
        rules = [report["outOfMemory"]["rule"] for report in reports if "outOfMemory" in report]
        if (rules[:1] or [None])[0] != scenario.rule:
            return f"rule {rules} instead of {scenario.rule}: {run.stderr[-300:]}"
        if scenario.rule is not None:
            pictures = [path.read_text() for path in output.glob("*/out-of-memory.svg")]
            if not pictures:
                return "no out-of-memory.svg"
            if scenario.rule == "failed-allocation" and "Requested, but never held: 1.0 PiB" not in pictures[0]:
                return "the request is not in the picture"
            if not ("rule " in run.stderr and "limit " in run.stderr and "resident " in run.stderr):
                return f"the figures are not said: {run.stderr[-300:]}"
        if scenario.said not in run.stderr:
            return f"not said: {scenario.said}"
    return None
