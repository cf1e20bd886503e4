"""The programs of `npm run prove:sampling`: each allocates the same in every run, so that a sample of it can be judged.

`python sampling_programs.py NAME MEAN` runs one, sampled with that mean distance in bytes, or exact with 0; `--list`
names them. The first five hold 500 MB and more.
"""

import importlib
import random
import sys
import threading
from collections.abc import Callable
from types import CodeType
from typing import Any


class Node:
    """A small object with attributes of its own."""

    def __init__(self, key: int, name: str) -> None:
        self.key = key
        self.name = name
        self.neighbours = [key - 1, key + 1]


def small_objects() -> Any:
    """Dicts, strings, tuples, numbers and instances, each more than 100 MB."""
    count = 900_000
    kept: list[Any] = [
        [f"name-{number:012d}-{number % 7}" * 2 for number in range(count)],
        [{"number": number} for number in range(count)],
        [(number, -number) for number in range(1000, 1000 + count)],
        [float(number) for number in range(5 * count)],
        [Node(number, "") for number in range(count // 2)],
    ]
    return kept


def mixed_sizes() -> Any:
    """Blocks of 16 bytes to a megabyte, as many bytes of each order of magnitude."""
    draw = random.Random(1)
    kept: list[Any] = []
    kept.append([bytes(int(16 * 32 ** draw.random())) for _ in range(1_000_000)])
    kept.append([bytearray(int(512 * 60 ** draw.random())) for _ in range(20_000)])
    kept.append([bytes(draw.randrange(20_000, 50_000)) for _ in range(4_000)])
    kept.append([bytes(int(32_768 * 32 ** draw.random())) for _ in range(300)])
    return kept


def peak_in_the_middle() -> Any:
    """Reads, converts, drops what it read, and goes on with less."""
    raw = [f"{number};{number * 7 % 1000};text {number % 100}" for number in range(1_500_000)]
    rows = [tuple(line.split(";")) for line in raw]
    by_key: dict[str, list[Any]] = {}
    for row in rows:
        by_key.setdefault(row[1], []).append(row[0])
    del rows
    del raw[::2]
    sums = {key: sum(map(int, values)) for key, values in by_key.items()}
    by_key.clear()
    later = [bytes(1_000) for _ in range(60_000)]
    return raw, sums, later


def equal_peaks() -> Any:
    """Twelve batches of the same size: whichever had most noise must not be taken for the peak."""
    kept = [bytes(200) for _ in range(400_000)]
    for _ in range(12):
        batch = [str(number) * 6 for number in range(10**6, 10**6 + 250_000)]
        batch.clear()
    return kept


def cache_with_evictions() -> Any:
    """A level that is held for long while blocks of many sizes come and go."""
    draw = random.Random(2)
    cache: dict[int, bytes] = {}
    for number in range(600_000):
        cache[number] = bytes(draw.randrange(100, 3_000))
        cache.pop(number - 60_000, None)
    return cache


def four_threads() -> Any:
    """Threads that fill lists of their own, and free some of it."""
    lists: list[list[Any]] = [[] for _ in range(4)]
    together = threading.Barrier(4)

    def fill(mine: list[Any], size: int) -> None:
        mine.extend(bytes(size) for _ in range(60_000_000 // size))
        mine.extend({"number": number} for number in range(300_000))
        together.wait()
        del mine[: len(mine) // 8]

    threads = [threading.Thread(target=fill, args=(each, 100 << nth)) for nth, each in enumerate(lists)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return lists


def recursion() -> Any:
    """A tree that is built and held by nested calls."""

    def build(depth: int) -> Any:
        if depth == 0:
            return [bytes(50), "x" * 60]
        return (build(depth - 1), build(depth - 1))

    return build(19)


def arrays() -> Any:
    """NumPy's arrays, large and small, and temporaries of arithmetic."""
    import numpy as np

    kept: list[Any] = [np.ones(2_000_000) for _ in range(10)]
    kept.extend(np.arange(number % 3_000, dtype=float) for number in range(25_000))
    kept.append(np.concatenate(kept[:4]) * 2 + 1)
    kept.extend(np.zeros(100 + number % 50) for number in range(60_000))
    return kept


def growth() -> Any:
    """Lists, buffers and tables that grow by realloc."""
    lists = [[0] * 3 for _ in range(150_000)]
    for each in lists:
        each.extend(range(60))
    buffers = [bytearray(10) for _ in range(20_000)]
    for buffer in buffers:
        for _ in range(8):
            buffer.extend(bytes(300))
    sets = [set(range(number % 40)) for number in range(60_000)]
    return lists, buffers, sets


def small_program() -> Any:
    """Ten megabytes in lines of which few samples are taken, or none."""
    first = [str(number) for number in range(10**5, 10**5 + 100_000)]
    second = [bytes(2_000) for _ in range(500)]
    third = [{"n": number} for number in range(3_000)]
    fourth = [bytes(40_000) for _ in range(20)]
    fifth = [bytes(300) for _ in range(700)]
    return first, second, third, fourth, fifth


PROGRAMS: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "small objects": (small_objects, ()),
    "mixed sizes": (mixed_sizes, ()),
    "peak in the middle": (peak_in_the_middle, ()),
    "four threads": (four_threads, ()),
    "arrays": (arrays, ("numpy",)),
    "equal peaks": (equal_peaks, ()),
    "cache with evictions": (cache_with_evictions, ()),
    "recursion": (recursion, ()),
    "growth": (growth, ()),
    "small program": (small_program, ()),
}


def main() -> None:
    """Run the program of the arguments under the tracker, or list them."""
    if sys.argv[1:] == ["--list"]:
        sys.stdout.write("\n".join(PROGRAMS) + "\n")
        return
    name, mean_bytes = sys.argv[1], int(sys.argv[2])
    program, modules = PROGRAMS[name]
    for module in modules:
        importlib.import_module(module)
    from filprofiler import _tracker

    _tracker.check()
    boundary: CodeType = main.__code__
    _tracker.begin([boundary], mean_bytes)
    kept = program()
    _tracker.end()
    del kept


if __name__ == "__main__":
    main()
