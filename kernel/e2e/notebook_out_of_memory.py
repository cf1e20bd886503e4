"""Cells that run out of memory, each in another way, and what must come of it; beside out_of_memory_scenarios.py.

Run by `npm run prove:memory`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty

from harness import MEMORY_ERRORS, Kernel, Result, started
from jupyter_client.restarter import KernelRestarter
from memory_group import limited
from out_of_memory_scenarios import Check

MB = 1_000_000
PATIENCE = 60
KEPT = "kept = bytearray(1_000_000)"
GROW = "def grow():\n    held = []\n    while True:\n        held.append(bytearray(300_000))\n"


@contextmanager
def small_kernel(limit: int) -> Iterator[Kernel]:
    """A kernel that has, with its proxy, so many bytes."""
    with limited(limit) as place:
        options = {} if place.enter is None else {"preexec_fn": place.enter}
        with started(env={**os.environ, **place.environment}, **options) as kernel:
            yield kernel


def interrupted(code: str, names: tuple[str, ...] = MEMORY_ERRORS) -> Check:
    """The guard interrupts the cell; the session and its variables survive, and what was held can be let go of."""

    def run(limit: int) -> str | None:
        with small_kernel(limit) as kernel:
            kernel.run(KEPT)
            result = kernel.run(f"%%filprofile\n{code}", timeout=PATIENCE)
            errors = [content["ename"] for content in result.contents("error")]
            if (errors[:1] and errors[0] not in names) or not errors:
                return f"errors {errors}; stderr: {result.text('stderr')[-200:]}"
            if (problem := _problem_of_report(result, "raised")) is not None:
                return problem
            after = kernel.run("held = None\nagain = bytearray(20_000_000)\nlen(kept)")
            return None if after.value == "1000000" else f"afterwards: {after.traceback[-300:]}"

    return run


def not_reacting(limit: int) -> str | None:
    """The cell shows what it said, its report, the reason and the limit; Jupyter starts the kernel anew."""
    with small_kernel(limit) as kernel:
        size = 2 * limit
        result = kernel.last_words(
            "%%filprofile\nimport ctypes\nprint('before', flush=True)\n"
            f"held = bytes({size})\nctypes.memset(id(held) + 32, 1, {size})"
        )
        if result.text() != "before\n":
            return f"its output was {result.text()!r}"
        if "memory ran out" not in result.text("stderr"):
            return f"the reason is not told: {result.text('stderr')!r}"
        if (problem := _problem_of_report(result, "killed-program", "none")) is not None:
            return problem
        # As a server does every few seconds.
        KernelRestarter(kernel_manager=kernel.manager).poll()
        kernel.client.wait_for_ready(timeout=PATIENCE)
        anew = kernel.run("1 + 1").value
        return None if anew == "2" else f"the kernel that was started anew answers {anew}"


def large_request(limit: int) -> str | None:
    """One request for more than there is fails at once, with its line and its size in the report."""
    with small_kernel(limit) as kernel:
        kernel.run(KEPT)
        result = kernel.run(f"%%filprofile\nlarge = b'x' * {4 * limit}", timeout=PATIENCE)
        if result.status != "error":
            return "no error"
        if (problem := _problem_of_report(result, "raised")) is not None:
            return problem
        request = result.report.data["outOfMemory"]["request"]
        if request is None or request["bytes"] < 4 * limit or result.report.peak > limit:
            return f"the request is {request}, the peak {result.report.peak}"
        return None if kernel.run("len(kept)").value == "1000000" else "the session is lost"


def left_alone(limit: int) -> str | None:
    """A cell that stays below 80 % of the limit, with what the kernel takes itself, is not interrupted."""
    with small_kernel(limit) as kernel:
        taken = max(int(0.78 * limit) - 190 * MB, MB)
        result = kernel.run(
            f"%%filprofile\nheld = bytearray({taken})\nfor i in range(0, len(held), 4096):\n    held[i] = 1\n"
            "import time\ntime.sleep(0.3)",
            timeout=PATIENCE,
        )
        if result.status != "ok":
            return f"error: {result.traceback[-300:]}"
        return "a report of memory that ran out" if "outOfMemory" in result.report.data else None


HOVER = """%%filprofile --quiet
import time
held, errors = [], 0
try:
    while len(held) < {steps}:
        held.append(bytearray(900_000))
    time.sleep({pause})
except MemoryError:
    errors += 1
    held.clear()
    time.sleep(0.03)
held.clear()
"""
CELLS_A_ROUND = 16


def exactly_once(limit: int) -> str | None:
    """Cells round the limit: who goes beyond it has one MemoryError, whoever ends in time or holds little has none."""
    with small_kernel(limit) as kernel:
        kernel.run("1")
        for number in range(CELLS_A_ROUND):
            # In turn far beyond the limit, and near to it: the request may come as the cell ends.
            beyond = number % 2 == 0
            steps = 2 * limit // 900_000 if beyond else (limit - (230 - 3 * number) * MB) // 900_000
            code = HOVER.format(steps=steps, pause=0.001 * (number % 5))
            result = kernel.run(code, timeout=PATIENCE)
            if result.status != "ok":
                return f"cell {number}: an error after it was caught: {result.traceback[-300:]}"
            count = kernel.run("errors")
            if count.status != "ok" or count.value not in (("1",) if beyond else ("0", "1")):
                return f"cell {number} had {count.value} errors; {count.traceback[-300:]}"
            innocent = kernel.run("small = [bytearray(10_000) for _ in range(100)]\nlen(small)")
            if innocent.value != "100":
                return f"the innocent cell after {number}: {innocent.traceback[-300:]}"
    return None


def _problem_of_report(result: Result, *actions: str) -> str | None:
    if len(result.reports) != 1:
        return f"{len(result.reports)} reports; stderr: {result.text('stderr')[-300:]}"
    what = result.report.data.get("outOfMemory")
    if what is None or what["action"] not in actions or what["limitBytes"] is None:
        return f"the report says {what}"
    return None


def _told(run: Check) -> Check:
    """A kernel that is silent is a problem like any other."""

    def told(limit: int) -> str | None:
        try:
            return run(limit)
        except Empty:
            return "the kernel does not answer"

    return told


_SCENARIOS: dict[str, Check] = {
    "notebook: growth is interrupted": interrupted(GROW + "grow()"),
    "notebook: small objects": interrupted("held = []\nwhile True:\n    held.append((len(held), str(len(held))))"),
    "notebook: arrays": interrupted(
        "import numpy\nheld = []\nwhile True:\n    held.append(numpy.ones(100_000))",
        (*MEMORY_ERRORS, "_ArrayMemoryError"),
    ),
    "notebook: growth in a thread of the cell": interrupted(
        "import threading, time\nstop = False\nheld = []\n"
        "def leak():\n    while not stop:\n        held.append(b'x' * 300_000)\n        time.sleep(0.001)\n"
        "thread = threading.Thread(target=leak)\nthread.start()\n"
        "try:\n    thread.join()\nfinally:\n    stop = True\n    held.clear()"
    ),
    "notebook: a request for more than there is": large_request,
    "notebook: a cell that does not react": not_reacting,
    "notebook: exactly once, 32 cells": exactly_once,
    "notebook: below 80 % of the limit": left_alone,
}
NOTEBOOK_SCENARIOS = {name: _told(run) for name, run in _SCENARIOS.items()}
