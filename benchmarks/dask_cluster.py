"""What it costs to profile a Dask cluster: a group-by and a shuffle under a profile beside none, and the collecting.

    npm run bench:dask

Two local clusters of three workers take turns: a plain one, and one whose workers have the tracker and are profiled.
Prints ratios of the wall-clock times and of the workers' processor time, and how long the end of a profile takes: as a
round of one is compared with the round of the other that was nearest in time, other work on the machine matters less.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
from distributed import Client, LocalCluster

from filprofiler._dask_cluster import ClusterProfile
from filprofiler.dask import preload

WORKERS = 3
PARTITIONS = 12
ROWS = 300_000
ROUNDS = 7


def partition(number: int) -> pd.DataFrame:
    random = np.random.default_rng(number)
    return pd.DataFrame(
        {
            "key": random.integers(0, 5_000, ROWS),
            "name": random.choice(np.array(["ab", "cd", "ef", "gh"]), ROWS),
            "value": random.random(ROWS),
        }
    )


def group_by() -> int:
    frame = dd.from_map(partition, range(PARTITIONS))
    return len(frame.groupby("key")["value"].agg(["mean", "std"]).compute())


def shuffle() -> int:
    frame = dd.from_map(partition, range(PARTITIONS))
    return int(frame.shuffle("key")["value"].count().compute())


@contextmanager
def cluster() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as made,
        Client(made) as client,
    ):
        client.wait_for_workers(WORKERS)
        yield client


def timed(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


class Times(NamedTuple):
    """Of a round, in seconds: by the clock, and of processors in all workers."""

    wall: float
    processor: float


def round_on(client: Client, work: Callable[[], Any]) -> Times:
    def processor() -> float:
        return float(sum(client.run(time.process_time).values()))

    with client.as_current():
        before = processor()
        wall = timed(work)
        return Times(wall, processor() - before)


def ratio(profiled: Iterable[float], plain: Iterable[float]) -> str:
    """The median of neighbours in time."""
    return f"{statistics.median(one / other for one, other in zip(profiled, plain, strict=True)):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    collecting: list[float] = []
    with cluster() as plain, dask.config.set({}):
        preload()
        with cluster() as tracked:
            for name, work in (("group-by", group_by), ("shuffle", shuffle)):
                plainly: list[Times] = []
                profiled: list[Times] = []
                for number in range(rounds + 1):
                    beside = round_on(plain, work)
                    profile = ClusterProfile(tracked, say=print)
                    under = round_on(tracked, work)
                    end = timed(
                        lambda profile=profile: profile.finish(
                            {"kind": "call", "name": "bench"}, title=None, outcome="completed", cells=[]
                        )
                    )
                    if number > 0:  # the first loads modules
                        plainly.append(beside)
                        profiled.append(under)
                        collecting.append(end)
                time_ratio = ratio((each.wall for each in profiled), (each.wall for each in plainly))
                processor = ratio((each.processor for each in profiled), (each.processor for each in plainly))
                print(f"{name}: profiled / plain = {time_ratio} (time), {processor} (processor time)", flush=True)
    print(
        f"collecting {WORKERS} workers and making the report: {min(collecting):.2f} s at least, "
        f"{statistics.median(collecting):.2f} s in the median"
    )


if __name__ == "__main__":
    main()
