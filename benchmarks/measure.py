"""Runs one workload once under one profiler and prints what it cost; `npm run bench` starts it for each measurement."""

import argparse
import gc
import importlib
import json
import re
import runpy
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

from workloads import IN_MEMORY, WORKLOADS


class Timed:
    """A workload that takes its own time, so that what a profiler does before and after is not counted."""

    def __init__(self, workload: Callable[[], Any]) -> None:
        self._workload = workload
        self.seconds = 0.0
        self.resident_bytes = 0

    def __call__(self) -> None:
        """Run it; `seconds` of user and system time of all threads, and resident memory with what it made."""
        gc.collect()
        started = time.process_time()
        kept = self._workload()
        self.seconds = time.process_time() - started
        self.resident_bytes = resident_bytes()
        del kept


def resident_bytes() -> int:
    """Of this process, shared pages included."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def pyperformance(path: str, loops: int) -> Callable[[], None]:
    """A benchmark of pyperformance, in this process: pyperf's worker would start others, which nobody tracks."""

    def run() -> None:
        sys.path.insert(0, str(Path(path).parent))
        project = tomllib.loads(Path(path).with_name("pyproject.toml").read_text())
        # Some are several benchmarks in one, by an argument; pyperformance's default of these.
        chosen = project["tool"]["pyperformance"].get("extra_opts", [])
        options = ["--worker", f"--loops={loops}", "--values=1", "--warmups=0"]
        sys.argv = [path, *options, *chosen]
        try:
            runpy.run_path(path, run_name="__main__")
        except SystemExit as end:
            if end.code:
                raise

    return run


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


def sampled(timed: Timed, mean_bytes: int = 32_768) -> None:
    """The same, sampled."""
    from filprofiler import _tracker

    _tracker.check()
    boundary: CodeType = sampled.__code__
    _tracker.begin([boundary], mean_bytes)
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
    "sampled": sampled,
    "sampled-fine": lambda timed: sampled(timed, 16_384),
    "old-fil": under_old_fil,
    "memray": under_memray,
}


def main() -> None:
    """Print `{"seconds": ..., "residentBytes": ...}` as the last line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("workload", help="of workloads.py: `time:NAME`, `memory:NAME`; or `pyperformance:FILE:LOOPS`")
    arguments = parser.parse_args()
    kind, _, name = arguments.workload.partition(":")
    if kind == "pyperformance":
        path, _, loops = name.rpartition(":")
        timed = Timed(pyperformance(path, int(loops)))
    else:
        workload, modules = (WORKLOADS if kind == "time" else IN_MEMORY)[name]
        for module in modules:
            importlib.import_module(module)
        timed = Timed(workload)
    MODES[arguments.mode](timed)
    sys.stdout.write("\n" + json.dumps({"seconds": timed.seconds, "residentBytes": timed.resident_bytes}) + "\n")


if __name__ == "__main__":
    main()
