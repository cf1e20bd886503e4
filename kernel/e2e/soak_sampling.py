"""A day of operation of a sampled job: 10^10 allocations and frees, with a report every other second.

`npm run soak:sampling` (`-- --events N` for fewer). Threads turn pools of blocks over whose size is known at any time.
Meanwhile what the job and its recorder hold and what reports take on disk must not grow, and every report must be right
about the pools.
"""

import argparse
import ctypes
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from filprofiler._sample import tracker_path

FIXTURE = Path(__file__).resolve().parents[2] / "build" / "native" / "test" / "libfil_fixture.so"
MEGABYTE = 1_000_000
MEAN = 32_768
REPORTS_KEPT = 3
MOST_GROWTH = 4 * MEGABYTE
"""Of the job or its recorder, from the first measurements to the last; the C library's heap is never quite the same."""
MOST_DEVIATIONS = 5
"""Of an estimate from what is held: by chance once in two million figures."""
POOLS = ((30_000, 16, 256), (10_000, 200, 4_000), (2_000, 2_000, 30_000), (200, 30_000, 300_000))
"""Slots, least and most bytes of their blocks."""
SHARES = (0.98, 0.015, 0.004, 0.001)
"""Of all events."""
TURN = 2_000_000
"""Events between two looks at the clock."""


def job(events: int) -> None:
    """The program that is sampled: a thread for each pool."""
    import threading

    library = ctypes.CDLL(str(FIXTURE))
    library.fixture_pool.restype = ctypes.c_void_p
    library.fixture_pool.argtypes = [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_uint64]
    library.fixture_pool_turn.argtypes = [ctypes.c_void_p, ctypes.c_uint64]

    def pool_0(pool: int, count: int) -> None:
        library.fixture_pool_turn(pool, count)

    def pool_1(pool: int, count: int) -> None:
        library.fixture_pool_turn(pool, count)

    def pool_2(pool: int, count: int) -> None:
        library.fixture_pool_turn(pool, count)

    def pool_3(pool: int, count: int) -> None:
        library.fixture_pool_turn(pool, count)

    turns = (pool_0, pool_1, pool_2, pool_3)
    pools = [library.fixture_pool(*shape, number + 1) for number, shape in enumerate(POOLS)]
    done = [0] * len(pools)

    def work(number: int) -> None:
        wanted = int(events * SHARES[number])
        while done[number] < wanted:
            count = min(TURN, wanted - done[number])
            turns[number](pools[number], count)
            done[number] += count

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(pools))]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        threads[0].join(0.5)
        sys.stdout.write(f"{sum(done)}\n")
        sys.stdout.flush()


@dataclass
class Watched:
    """What was seen of the job while it ran."""

    resident: list[int] = field(default_factory=list)
    recorder: list[int] = field(default_factory=list)
    disk: list[int] = field(default_factory=list)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: int = 0


def held_by_pools(report: dict[str, Any]) -> list[tuple[float, float]]:
    """Bytes and what of them is estimated, of each pool's function."""
    tree, frames = report["tree"], report["frames"]
    held = [(0.0, 0.0)] * len(POOLS)
    for row, frame in enumerate(tree["frame"]):
        for number in range(len(POOLS)):
            if frames["function"][frame].endswith(f"pool_{number}"):
                bytes_, sampled = held[number]
                held[number] = (bytes_ + tree["selfBytes"][row], sampled + tree["sampledBytes"][row])
    return held


def faults_of(seen: Watched, *, one_report_bytes: int) -> list[str]:
    """What was not as it has to be, a sentence each."""
    faults = []
    for name, series in (("job", seen.resident), ("recorder", seen.recorder)):
        # The pools are filled in the first moments.
        settled = series[len(series) // 5 :] or series
        half = max(1, len(settled) // 2)
        growth = max(settled[half:], default=0) - max(settled[:half], default=0)
        if growth > MOST_GROWTH:
            faults.append(f"The {name} grew by {growth / MEGABYTE:.1f} MB.")
    # One more is there until the oldest is removed, and one is being written.
    most_disk = (REPORTS_KEPT + 2) * one_report_bytes
    if max(seen.disk) > most_disk:
        faults.append(
            f"Reports took {max(seen.disk) / MEGABYTE:.1f} MB of disk, more than {most_disk / MEGABYTE:.1f} MB."
        )
    if not seen.reports:
        faults.append("There was no report.")
    for number, (slots, least, most) in enumerate(POOLS):
        expected = slots * (least + most) / 2
        # The sizes of the blocks are drawn evenly, so that their sum wanders; the peak is where it was high.
        wanders = math.sqrt(slots / 12) * (most - least)
        for name, report in seen.reports.items():
            held, sampled = held_by_pools(report)[number]
            if abs(held - expected) > MOST_DEVIATIONS * (wanders + math.sqrt(MEAN * sampled)):
                faults.append(f"{name}: pool {number} holds about {expected:.0f} bytes, {held:.0f} are reported.")
    return faults


def look(process: psutil.Process, output: Path, seen: Watched) -> None:
    """Notes how large everything is, and reads reports that are new."""
    seen.resident.append(process.memory_info().rss)
    for other in psutil.process_iter(["name"]):
        if other.info["name"] == "fil-recorder" and other.cwd() == str(output.parent):
            seen.recorder.append(other.memory_info().rss)
    directories = list(output.glob("*")) if output.exists() else []
    seen.disk.append(sum(file.stat().st_size for path in directories for file in path.glob("*") if file.exists()))
    for path in directories:
        report = path / "profile.json"
        if path.suffix != ".part" and path.name not in seen.reports and report.exists():
            seen.reports[path.name] = json.loads(report.read_text("utf-8"))


def soak(events: int, every_seconds: int, *, show: bool) -> tuple[Watched, list[str]]:
    """Run the job, and what was wrong."""
    directory = Path(tempfile.mkdtemp(prefix="fil-soak-"))
    output = directory / "fil-result"
    seen = Watched()
    environment = {
        **os.environ,
        "LD_PRELOAD": tracker_path(),
        "FIL_PROFILE": "sample",
        "FIL_PROFILE_MEAN": str(MEAN),
        "FIL_PROFILE_INTERVAL": str(every_seconds),
        "FIL_PROFILE_KEEP": str(REPORTS_KEPT),
        "FIL_PROFILE_OUTPUT": str(output),
    }
    try:
        with subprocess.Popen(
            [sys.executable, __file__, "--job", "--events", str(events)],
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as running:
            assert running.stdout is not None
            process = psutil.Process(running.pid)
            last_shown = time.monotonic()
            for line in running.stdout:
                seen.events = json.loads(line)
                try:
                    look(process, output, seen)
                except (psutil.NoSuchProcess, FileNotFoundError):
                    continue
                if show and time.monotonic() - last_shown > 15:
                    last_shown = time.monotonic()
                    print(
                        f"{seen.events:15,} events  job {seen.resident[-1] / MEGABYTE:6.1f} MB  "
                        f"disk {seen.disk[-1] / MEGABYTE:5.2f} MB  {len(seen.reports)} reports",
                        flush=True,
                    )
        faults = [] if running.returncode == 0 else [f"The job ended with {running.returncode}."]
        names = sorted(path for path in output.glob("*") if path.suffix != ".part")
        for path in names:
            seen.reports.setdefault(path.name, json.loads((path / "profile.json").read_text("utf-8")))
        largest = max((sum(file.stat().st_size for file in path.glob("*")) for path in names), default=0)
        return seen, faults + faults_of(seen, one_report_bytes=largest)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def main() -> int:
    """Of the command line."""
    parser = argparse.ArgumentParser(prog="npm run soak:sampling --", description=__doc__)
    parser.add_argument("--events", type=int, default=10**10, help="allocations and frees together")
    parser.add_argument("--every", type=int, default=2, metavar="SECONDS", help="between reports")
    parser.add_argument("--job", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        job(options.events)
        return 0
    began = time.monotonic()
    seen, faults = soak(options.events, options.every, show=True)
    print(
        f"{seen.events:,} events in {time.monotonic() - began:.0f} s, {len(seen.reports)} reports. "
        f"Job: {min(seen.resident[len(seen.resident) // 5 :]) / MEGABYTE:.1f} to "
        f"{max(seen.resident) / MEGABYTE:.1f} MB. Recorder: at most {max(seen.recorder, default=0) / MEGABYTE:.1f} MB. "
        f"Disk: at most {max(seen.disk) / MEGABYTE:.2f} MB."
    )
    print("\n".join(faults) or "Memory and disk are bounded, and the figures stable.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
