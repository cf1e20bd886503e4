"""Facts about a cell that name usual causes of high peaks: in its code, and in the tables that it made.

They are facts, not guesses: `schema/findings.ts` shows them where the call stacks of the peak agree.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MOST_FLOATS = 20_000_000
MOST_OBJECTS = 2_000_000
"""Values of tables that are looked at after a cell; about 0.1 s each."""

MOST_DISTINCT = 50_000
"""Columns with more different objects are no categories, and remembering which there were takes memory."""

PIECE_VALUES = 65_536
"""Values looked at at a time, as copies of whole columns would be a peak of our own."""

SMALLEST_TABLE_BYTES = 1 << 20
MOST_COLUMNS = 20

COPYING_CALLS = frozenset({"concat", "append", "concatenate", "vstack", "hstack", "dstack", "column_stack"})
"""Of pandas and NumPy; each copies all that it is given."""

RESULTS_OF_THEIR_OWN = frozenset(
    [
        "agg",
        "aggregate",
        "assign",
        "astype",
        "describe",
        "drop",
        "drop_duplicates",
        "dropna",
        "explode",
        "fillna",
        "filter",
        "groupby",
        "join",
        "map",
        "melt",
        "merge",
        "nlargest",
        "nsmallest",
        "pipe",
        "pivot",
        "pivot_table",
        "query",
        "rename",
        "replace",
        "reset_index",
        "round",
        "sample",
        "set_index",
        "sort_index",
        "sort_values",
        "sum",
        "to_numpy",
        "transform",
        "value_counts",
        "where",
    ]
)
"""Methods of tables that leave the table as it is, unless they get `inplace`."""


def clues_in_code(tree: ast.Module, number: int) -> Iterator[dict[str, Any]]:
    """Statements of a cell that are known to hold more than they have to, whatever the data.

    Args:
        tree: the cell's code.
        number: the n of `In [n]`.
    """
    yield from _grown_in_loops(tree.body, None, number)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in RESULTS_OF_THEIR_OWN
            and not any(keyword.arg in {"inplace", None} for keyword in node.keywords)
            and _is_copy(node.func.value)
        ):
            lines = {"firstLine": node.lineno, "lastLine": node.end_lineno or node.lineno}
            yield {"kind": "copied-before-call", "cell": number, **lines, "next": node.func.attr}


def _is_copy(node: ast.expr) -> bool:
    """Whether it is `.copy()` of something without a name, which nobody else sees."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "copy"
        and not node.args
        and not node.keywords
        and isinstance(node.func.value, (ast.Call, ast.Subscript))
    )


def _grown_in_loops(body: list[ast.stmt], loop: ast.stmt | None, number: int) -> Iterator[dict[str, Any]]:
    for statement in body:
        inner = statement if isinstance(statement, (ast.For, ast.AsyncFor, ast.While)) else loop
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inner = None
        if loop is not None and (grown := _grown(statement)) is not None:
            name, call = grown
            yield {
                "kind": "grown-in-loop",
                "cell": number,
                "firstLine": statement.lineno,
                "lastLine": statement.end_lineno or statement.lineno,
                "loopLine": loop.lineno,
                "name": name,
                "call": call,
            }
        for field in ("body", "orelse", "finalbody"):
            yield from _grown_in_loops(getattr(statement, field, []), inner, number)
        for branch in (*getattr(statement, "handlers", []), *getattr(statement, "cases", [])):
            yield from _grown_in_loops(branch.body, inner, number)


def _grown(statement: ast.stmt) -> tuple[str, str] | None:
    """The name and the call of `name = call([name, ...])`, which copies all of it in each round."""
    match statement:
        case ast.Assign(targets=[target], value=ast.Call(func=func, args=[first, *_])):
            pass
        case _:
            return None
    match func:
        case ast.Attribute(attr=call) | ast.Name(id=call) if call in COPYING_CALLS:
            pass
        case _:
            return None
    grown = ast.unparse(target)
    parts = first.elts if isinstance(first, (ast.List, ast.Tuple)) else [first]
    return (grown, call) if any(ast.unparse(part) == grown for part in parts) else None


def clues_in_tables(tables: Mapping[tuple[str, ...], object]) -> Iterator[dict[str, Any]]:
    """What the types of a table's columns cost.

    Args:
        tables: variables by their names; others than pandas' tables are passed over.
    """
    pandas = sys.modules.get("pandas")
    if pandas is None:
        return
    budget = _Budget(MOST_FLOATS, MOST_OBJECTS)
    for names, value in tables.items():
        if type(value) is pandas.DataFrame:
            yield from _clues_in_table(names, value, budget)


@dataclass
class _Budget:
    """How many values may still be looked at."""

    floats: int
    objects: int


def _clues_in_table(names: tuple[str, ...], table: Any, budget: _Budget) -> Iterator[dict[str, Any]]:
    import numpy as np

    objects: list[dict[str, Any]] = []
    floats: list[str] = []
    float_bytes = exact_bytes = exact_columns = 0
    for place in range(table.shape[1]):
        name = _label(table.columns[place])
        values = getattr(table.iloc[:, place].array, "_ndarray", None)
        if not isinstance(values, np.ndarray):
            continue
        if values.dtype == object:
            objects.append({"name": name, **_of_objects(values, budget)})
        elif values.dtype == np.float64:
            floats.append(name)
            float_bytes += values.nbytes
            if _fits_float32(values, budget):
                exact_columns += 1
                exact_bytes += values.nbytes
    table_of = {"names": list(names), "rows": int(table.shape[0])}
    object_bytes = sum(column["bytes"] for column in objects)
    if object_bytes >= SMALLEST_TABLE_BYTES:
        objects.sort(key=lambda column: -column["bytes"])
        shown = {"columnCount": len(objects), "columns": objects[:MOST_COLUMNS]}
        yield {"kind": "object-columns", **table_of, "bytes": object_bytes, **shown}
    if float_bytes >= SMALLEST_TABLE_BYTES:
        shown = {"columnCount": len(floats), "columns": floats[:MOST_COLUMNS]}
        exact = {"exactColumnCount": exact_columns, "exactBytes": exact_bytes}
        yield {"kind": "float64-columns", **table_of, "bytes": float_bytes, **shown, **exact}


def _label(name: object) -> str:
    """A column's name, without running code of the user's."""
    return name if type(name) is str else repr(name) if type(name) in {int, float, bool} else type(name).__name__


def _of_objects(values: Any, budget: _Budget) -> dict[str, Any]:
    """Bytes of a column of Python objects, each object once; of texts, how many differ and what a category would take.

    Where there is more than may be looked at, its bytes are those of the references alone: a lower bound.
    """
    unknown = {"bytes": int(values.nbytes), "distinctCount": None, "categoryBytes": None}
    seen: dict[int, object] = {}
    is_text = True
    for start in range(0, values.size, PIECE_VALUES):
        piece = values[start : start + PIECE_VALUES]
        budget.objects -= piece.size
        if budget.objects < 0 or len(seen) > MOST_DISTINCT:
            return unknown
        seen.update((id(item), item) for item in piece)
    total = int(values.nbytes)
    texts: set[str] = set()
    for item in seen.values():
        if type(item) is str:
            texts.add(item)
        # What stands for a missing value stands for one in a category.
        elif item is not None and not (type(item) is float and item != item):
            is_text = False
        total += sys.getsizeof(item) if type(item) in _PLAIN else 0
    if not is_text or not texts:
        return {**unknown, "bytes": total}
    code_bytes = 1 if len(texts) < 128 else 2 if len(texts) < 32_768 else 4
    category_bytes = code_bytes * int(values.size) + sum(sys.getsizeof(text) + 8 for text in texts)
    return {"bytes": total, "distinctCount": len(texts), "categoryBytes": category_bytes}


def _fits_float32(values: Any, budget: _Budget) -> bool:
    """Whether all values are seen to be the same as float32."""
    import numpy as np

    for start in range(0, values.size, PIECE_VALUES):
        piece = values[start : start + PIECE_VALUES]
        budget.floats -= piece.size
        if budget.floats < 0:
            return False
        with np.errstate(all="ignore"):
            same = piece.astype(np.float32) == piece
        if not (same | np.isnan(piece)).all():
            return False
    return bool(values.size > 0)


_PLAIN = frozenset({str, bytes, int, float, bool, type(None)})
