"""What it costs to profile a Dask cluster: a group-by and a shuffle under a profile beside none, and the collecting.

    npm run bench:dask

Two local clusters of three workers take turns: a plain one, and one whose workers have the tracker and are profiled.
Prints ratios of the wall-clock times, of the minima and of the medians, and how long the end of a profile takes.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    collecting: list[float] = []
    with cluster() as plain, dask.config.set({}):
        preload()
        with cluster() as tracked:
            for name, work in (("group-by", group_by), ("shuffle", shuffle)):
                times: dict[str, list[float]] = {"plain": [], "profiled": []}
                for number in range(rounds + 1):
                    with plain.as_current():
                        beside = timed(work)
                    with tracked.as_current():
                        profile = ClusterProfile(tracked, say=print)
                        under = timed(work)
                        end = timed(
                            lambda profile=profile: profile.finish(
                                {"kind": "call", "name": "bench"}, title=None, outcome="completed", cells=[]
                            )
                        )
                    if number > 0:  # the first loads modules
                        times["plain"].append(beside)
                        times["profiled"].append(under)
                        collecting.append(end)
                least = min(times["profiled"]) / min(times["plain"])
                middle = statistics.median(times["profiled"]) / statistics.median(times["plain"])
                print(f"{name}: profiled / plain = {least:.2f} (minima), {middle:.2f} (medians)", flush=True)
    print(
        f"collecting {WORKERS} workers and making the report: {min(collecting):.2f} s at least, "
        f"{statistics.median(collecting):.2f} s in the median"
    )


if __name__ == "__main__":
    main()
