"""The workloads of `npm run bench`: each a few tenths of a second of plain Python, of one kind of allocation."""

import json
from collections.abc import Callable
from typing import Any


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


WORKLOADS: dict[str, tuple[Callable[[], None], tuple[str, ...]]] = {
    "calls without allocation": (calls, ()),
    "small objects": (objects, ()),
    "dicts, strings, tuples": (dicts_strings_tuples, ()),
    "json": (json_both_ways, ()),
    "strings and sorting": (strings_and_sorting, ()),
    "NumPy, small arrays": (numpy_small_arrays, ("numpy",)),
    "pandas": (pandas_tables, ("numpy", "pandas")),
    "recursion 200 deep": (recursion, ()),
}
"""Name in the table, to function and the modules that it needs."""
