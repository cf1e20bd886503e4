"""The workloads of `npm run bench`: each a few tenths of a second of plain Python, of one kind of allocation."""

import asyncio
import csv
import ctypes
import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# C++ code that allocates; built with the tracker's tests.
FIXTURE = Path(__file__).resolve().parents[1] / "build" / "native" / "test" / "libfil_fixture.so"


def calls() -> None:
    """Function calls that allocate nothing: small integers exist already."""

    def leaf(value: int) -> int:
        return value & 127

    def middle(value: int) -> int:
        return leaf(value) ^ 1

    total = 0
    for _ in range(40_000):
        for value in range(100):
            total = middle(value + total & 63)


class Point:
    """A small object with a dictionary of its own."""

    def __init__(self, x: int, y: int) -> None:
        self.x = x
        self.y = y


def objects() -> None:
    """Many small objects that live together, a few times."""
    for _ in range(4):
        points = [Point(number, -number) for number in range(250_000)]
        points.reverse()


def dicts_strings_tuples() -> None:
    """What records of a program without NumPy look like."""
    for _ in range(3):
        rows = []
        for number in range(90_000):
            name = f"name-{number}"
            rows.append({"name": name, "key": (number, name), "size": number * 1.5})
        index = {row["key"]: row for row in rows}
        index.clear()


def json_both_ways() -> None:
    """`json.dumps` and `json.loads` of nested data."""
    data = [
        {"id": number, "tags": [f"tag{number % 7}", "x"], "value": number / 3, "nested": {"a": None, "b": True}}
        for number in range(20_000)
    ]
    for _ in range(4):
        text = json.dumps(data)
        json.loads(text)


def strings_and_sorting() -> None:
    """Building, splitting, sorting and joining of text."""
    for _ in range(4):
        words = [f"{(number * 7919) % 100_003:06d}" for number in range(100_000)]
        text = " ".join(words)
        pieces = text.split(" ")
        pieces.sort(key=lambda piece: piece[::-1])
        "".join(piece.upper() for piece in pieces)


def numpy_small_arrays() -> None:
    """Arithmetic on arrays of 100 numbers, as in simulations."""
    import numpy as np

    start = np.arange(100, dtype=float)
    state = start.copy()
    for _ in range(80_000):
        state = state * 0.5 + start
        state = np.sqrt(state[::2]).repeat(2)


def pandas_tables() -> None:
    """Joins, groups and new columns of a table."""
    import numpy as np
    import pandas as pd

    count = 100_000
    left = pd.DataFrame(
        {"key": np.arange(count) % 1000, "value": np.arange(count) * 0.5, "text": [f"t{n % 50}" for n in range(count)]}
    )
    right = pd.DataFrame({"key": np.arange(1000), "name": [f"n{number}" for number in range(1000)]})
    for _ in range(12):
        joined = left.merge(right, on="key")
        joined["double"] = joined["value"] * 2
        joined.groupby("name")["double"].mean().sort_values()
        joined[joined["text"] == "t7"].copy()


def recursion() -> None:
    """Allocation at the end of 200 nested calls, the worst case for whoever walks the stack."""

    def descend(depth: int, leaf: Callable[[], Any]) -> Any:
        return leaf() if depth == 0 else descend(depth - 1, leaf)

    def leaf() -> list[tuple[int, int]]:
        return [(number, number) for number in range(2000)]

    for _ in range(2000):
        descend(200, leaf)


def numpy_large_arrays() -> None:
    """Arithmetic on arrays of a million numbers."""
    import numpy as np

    start = np.arange(1_000_000, dtype=float)
    for _ in range(12):
        state = start * 0.5 + 1
        state = np.sqrt(state) - state[::-1]
        state.reshape(1000, 1000).sum(axis=1)
        np.sort(state)


def generators() -> None:
    """Lazy pipelines over numbers and text."""

    def numbers(count: int) -> Iterator[int]:
        yield from range(count)

    def pairs(source: Iterator[int]) -> Iterator[tuple[int, str]]:
        for number in source:
            yield number, str(number)

    for _ in range(4):
        total = 0
        for number, text in pairs(numbers(150_000)):
            if number % 3:
                total += len(text)
        dict(pairs(numbers(50_000)))


def asyncio_tasks() -> None:
    """Tasks that wait for each other and pass messages by queues."""

    async def produce(queue: "asyncio.Queue[int | None]") -> None:
        for number in range(4000):
            await queue.put(number)
        await queue.put(None)

    async def consume(queue: "asyncio.Queue[int | None]") -> int:
        total = 0
        while (number := await queue.get()) is not None:
            total += number
            await asyncio.sleep(0)
        return total

    async def main() -> None:
        for _ in range(2):
            queues: list[asyncio.Queue[int | None]] = [asyncio.Queue(10) for _ in range(4)]
            await asyncio.gather(*(produce(queue) for queue in queues), *(consume(queue) for queue in queues))

    asyncio.run(main())


def regular_expressions() -> None:
    """Searching and replacing in a log."""
    text = "\n".join(
        f"2026-11-{number % 28 + 1:02d} INFO worker-{number % 7}: request {number} took {number % 97} ms"
        for number in range(12_000)
    )
    pattern = re.compile(r"^(\S+) (\w+) ([\w-]+): request (\d+) took (\d+) ms$", re.MULTILINE)
    for _ in range(6):
        for match in pattern.finditer(text):
            match.groups()
        re.sub(r"\d+ ms", lambda match: match[0].replace(" ms", "ms"), text)


def csv_tables() -> None:
    """Writing and reading rows of text."""
    for _ in range(4):
        file = io.StringIO()
        writer = csv.writer(file)
        writer.writerows((number, f"name {number}", number / 7, "x,y") for number in range(25_000))
        file.seek(0)
        rows = [dict(zip(("id", "name", "value", "text"), row, strict=True)) for row in csv.reader(file)]
        rows.sort(key=lambda row: row["name"])


def threads() -> None:
    """Four Python threads that allocate in turn."""

    def work() -> None:
        for _ in range(60):
            words = [f"word {number}" for number in range(5000)]
            dict.fromkeys(words, 1)

    started = [threading.Thread(target=work) for _ in range(4)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


def churn_of_bytes_and_arrays() -> None:
    """Buffers of a few KiB to a MiB that come and go."""
    import numpy as np

    kept: list[Any] = []
    for number in range(150_000):
        kept.append(bytearray(1000 + number * 37 % 20_000))
        if number % 100 == 0:
            kept.append(np.ones(100_000 + number))
        if len(kept) > 300:
            del kept[:200]


def cpp_library() -> None:
    """A C++ library that builds an index of strings and vectors, without the GIL."""
    library = ctypes.CDLL(str(FIXTURE))
    library.fixture_index_words.argtypes = [ctypes.c_size_t]
    for _ in range(10):
        library.fixture_index_words(100_000)


WORKLOADS: dict[str, tuple[Callable[[], None], tuple[str, ...]]] = {
    "calls without allocation": (calls, ()),
    "small objects": (objects, ()),
    "dicts, strings, tuples": (dicts_strings_tuples, ()),
    "json": (json_both_ways, ()),
    "strings and sorting": (strings_and_sorting, ()),
    "NumPy, small arrays": (numpy_small_arrays, ("numpy",)),
    "pandas": (pandas_tables, ("numpy", "pandas")),
    "NumPy, large arrays": (numpy_large_arrays, ("numpy",)),
    "churn of bytes and arrays": (churn_of_bytes_and_arrays, ("numpy",)),
    "generators": (generators, ()),
    "asyncio": (asyncio_tasks, ()),
    "regular expressions": (regular_expressions, ()),
    "csv": (csv_tables, ()),
    "four threads": (threads, ()),
    "C++ library": (cpp_library, ()),
    "recursion 200 deep": (recursion, ()),
}
"""Name in the table, to function and the modules that it needs."""


def small_objects_in_memory() -> Any:
    """About 200 MB of small objects that live at the same time."""
    return [(str(number), {"number": number}, [number]) for number in range(370_000)]


def arrays_in_memory() -> Any:
    """400 MB in arrays."""
    import numpy as np

    return [np.ones(500_000) for _ in range(100)]


IN_MEMORY: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "small objects": (small_objects_in_memory, ()),
    "arrays": (arrays_in_memory, ("numpy",)),
}
"""What is held when resident memory is measured."""
