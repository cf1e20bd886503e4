"""Which variables of the notebook hold the memory now.

Asked by the Lab extension, see `labextension/src/lab/variables.ts`.
"""

import sys
from collections.abc import Iterable, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any

SMALLEST_BYTES = 1024
"""Smaller variables are left out."""

MOST_VARIABLES = 100
MOST_OBJECTS = 200_000
"""Containers with more are measured as far as this; it takes about 0.1 s."""


class Sizes:
    """Displayed as JSON, for the reply to an execute request's expression."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    def _repr_mimebundle_(self, **_options: object) -> dict[str, Any]:
        return {"application/json": self.content, "text/plain": "sizes of variables"}


def sizes() -> Sizes:
    """The notebook's variables by their bytes, most first; what several share counts for the first alone."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    hidden = {} if shell is None else shell.user_ns_hidden
    variables = {} if shell is None else shell.user_ns
    shown = {
        name: value
        for name, value in variables.copy().items()
        if not name.startswith("_") and not (name in hidden and hidden[name] is value)
    }
    return Sizes({"residentBytes": _resident_bytes(), "variables": measure(shown)})


def measure(variables: Mapping[str, object]) -> list[dict[str, Any]]:
    """Variables with their bytes, most first.

    Names of one object are one entry. A buffer that several arrays show is counted once, for the variable that owns
    it, else for the first.
    """
    names_of: dict[int, list[str]] = {}
    objects: dict[int, object] = {}
    for name, value in variables.items():
        if not isinstance(value, (ModuleType, type, FunctionType, MethodType)):
            names_of.setdefault(id(value), []).append(name)
            objects[id(value)] = value
    counted: set[int] = set()
    # Views after what they are views of.
    order = sorted(objects.values(), key=lambda value: _owner(value) is not value)
    entries = [
        {"names": names_of[id(value)], "type": type(value).__name__, "bytes": _size(value, counted)} for value in order
    ]
    entries = [entry for entry in entries if entry["bytes"] >= SMALLEST_BYTES]
    entries.sort(key=lambda entry: -entry["bytes"])
    return entries[:MOST_VARIABLES]


def _size(value: object, counted: set[int]) -> int:
    total = 0
    pending = [value]
    visited = 0
    while pending and visited < MOST_OBJECTS:
        item = pending.pop()
        visited += 1
        if id(item) in counted:
            continue
        counted.add(id(item))
        buffers = _buffers(item)
        if buffers is None:
            total += _shallow(item)
            pending.extend(_contents(item))
            continue
        for buffer in buffers:
            owner = _owner(buffer)
            if owner is item or id(owner) not in counted:
                counted.add(id(owner))
                total += _buffer_bytes(owner)
    return total


def _buffers(item: object) -> Iterable[object] | None:
    """The arrays that hold an object's data; None if it is not known to have any."""
    numpy = sys.modules.get("numpy")
    pandas = sys.modules.get("pandas")
    if numpy is not None and isinstance(item, numpy.ndarray):
        return [item]
    if pandas is not None and isinstance(item, (pandas.DataFrame, pandas.Series)):
        manager = item._mgr
        blocks = [block.values for block in manager.blocks]
        return [*blocks, *(axis.array for axis in manager.axes if not isinstance(axis, pandas.RangeIndex))]
    return None


def _owner(item: object) -> object:
    """The array whose memory an array shows."""
    inner = getattr(item, "_ndarray", None)
    item = item if inner is None else inner
    numpy = sys.modules.get("numpy")
    while numpy is not None and isinstance(item, numpy.ndarray) and isinstance(item.base, numpy.ndarray):
        item = item.base
    return item


def _buffer_bytes(owner: object) -> int:
    size = getattr(owner, "nbytes", None)
    total = size if isinstance(size, int) else _shallow(owner)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(owner, numpy.ndarray) and owner.dtype == object:
        # Of its objects each once; a sample would be a guess.
        distinct = {id(item): item for item in owner.ravel()[:MOST_OBJECTS]}
        total += sum(_shallow(item) for item in distinct.values())
    return total


def _shallow(item: object) -> int:
    try:
        return sys.getsizeof(item)
    except Exception:  # noqa: BLE001 (a user's __sizeof__ may do anything)
        return 0


def _contents(item: object) -> Iterable[object]:
    if type(item) is dict:
        return [*item.keys(), *item.values()]
    if type(item) in (list, tuple, set, frozenset):
        return list(item)  # type: ignore[call-overload]
    attributes = getattr(item, "__dict__", None)
    return [attributes] if type(attributes) is dict and not isinstance(item, (ModuleType, type)) else []


def _resident_bytes() -> int | None:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:  # noqa: PTH123
            line = next(line for line in status if line.startswith("VmRSS:"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) * 1024
