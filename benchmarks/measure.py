"""Runs one workload once under one profiler and prints its CPU time; `npm run bench` starts it for each measurement."""

import argparse
import gc
import importlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import CodeType

from workloads import WORKLOADS


class Timed:
    """A workload that takes its own time, so that what a profiler does before and after is not counted."""

    def __init__(self, workload: Callable[[], None]) -> None:
        self._workload = workload
        self.seconds = 0.0

    def __call__(self) -> None:
        """Run it; `seconds` of user and system time of all threads."""
        gc.collect()
        started = time.process_time()
        self._workload()
        self.seconds = time.process_time() - started


def under_fil(timed: Timed) -> None:
    """Our tracker, driven as for a cell."""
    from filprofiler import _tracker

    _tracker.check()
    boundary: CodeType = under_fil.__code__
    _tracker.begin([boundary])
    try:
        timed()
    finally:
        _tracker.end()


def under_old_fil(timed: Timed) -> None:
    """Fil 2024.11 through its API; the process was started by its launcher."""
    from filprofiler.api import profile

    profile(timed, tempfile.mkdtemp())


def under_memray(timed: Timed) -> None:
    """Memray, which writes each event into a file."""
    import memray

    with (
        tempfile.TemporaryDirectory() as directory,
        memray.Tracker(Path(directory) / "memray.bin", trace_python_allocators=True),
    ):
        timed()


MODES: dict[str, Callable[[Timed], None]] = {
    "plain": lambda timed: timed(),
    "off": lambda timed: timed(),
    "on": under_fil,
    "old-fil": under_old_fil,
    "memray": under_memray,
}


def main() -> None:
    """Print `{"seconds": ...}` as the last line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("workload", choices=WORKLOADS)
    arguments = parser.parse_args()
    workload, modules = WORKLOADS[arguments.workload]
    for name in modules:
        importlib.import_module(name)
    timed = Timed(workload)
    MODES[arguments.mode](timed)
    sys.stdout.write(json.dumps({"seconds": timed.seconds}) + "\n")


if __name__ == "__main__":
    main()
