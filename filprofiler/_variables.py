"""Which variables of the notebook hold the memory, and which cells made them.

Asked at the end of a profiled cell, and by the Lab extension, see `labextension/src/lab/variables.ts`. Runs no code of
the user's: objects are asked for their size by what their built-in types know of them.
"""

import sys
from collections.abc import Iterable, Mapping
from types import FunctionType, GetSetDescriptorType, MethodDescriptorType, MethodType, ModuleType
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from filprofiler._origins import Origins

SMALLEST_BYTES = 1024
"""Smaller variables are left out."""

MOST_VARIABLES = 100
MOST_OBJECTS = 500_000
"""Containers with more are measured as far as this, which takes about 0.2 s; their size is a lower bound."""

_PLAIN = frozenset({str, bytes, int, float, complex, bool, type(None)})
_CONTAINERS = frozenset({dict, list, tuple, set, frozenset})

Notebook = tuple[InteractiveShell, Origins]

_notebook: Notebook | None = None


def attach(shell: InteractiveShell, origins: Origins) -> None:
    """From now on :func:`sizes` tells of this shell."""
    global _notebook
    _notebook = (shell, origins)


class Sizes:
    """Displayed as JSON, for the reply to an execute request's expression."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    def _repr_mimebundle_(self, **_options: object) -> dict[str, Any]:
        return {"application/json": self.content, "text/plain": "sizes of variables"}


def sizes() -> Sizes:
    """The notebook's variables by their bytes, most first; what several share counts for the first alone."""
    if _notebook is None:
        return Sizes({"residentBytes": _resident_bytes(), "variables": []})
    shell, origins = _notebook
    return Sizes({"residentBytes": _resident_bytes(), "variables": with_origins(measure(variables_of(shell)), origins)})


def variables_of(shell: InteractiveShell) -> dict[str, object]:
    """The user's variables, and the results that the notebook has displayed and remembers as `Out[n]`."""
    hidden = shell.user_ns_hidden
    variables = {
        name: value
        for name, value in shell.user_ns.copy().items()
        if not name.startswith("_") and name not in {"In", "Out"} and not (name in hidden and hidden[name] is value)
    }
    remembered = shell.user_ns.get("_oh")
    if isinstance(remembered, dict):
        # After the variables: what has a name of the user's is known by it.
        variables |= {f"Out[{number}]": value for number, value in remembered.copy().items()}
    return variables


def with_origins(entries: list[dict[str, Any]], origins: Origins) -> list[dict[str, Any]]:
    """Entries of :func:`measure` with the cell and the line that made each, as far as it is known."""
    made = []
    for entry in entries:
        first = entry["names"][0]
        origin = origins.of(first)
        cell = origin.cell if origin is not None else _number_of_output(first)
        made.append(
            {
                **entry,
                "cell": cell,
                "cellId": None if origin is None else origin.cell_id,
                "line": 0 if origin is None else origin.line,
            }
        )
    return made


def _number_of_output(name: str) -> int | None:
    return int(name[4:-1]) if name.startswith("Out[") else None


def measure(variables: Mapping[str, object], most_objects: int = MOST_OBJECTS) -> list[dict[str, Any]]:
    """Variables with their bytes, most first.

    Names of one object are one entry. A buffer that several arrays show is counted once, for the variable that owns
    it, else for the first.

    Args:
        variables: by their names.
        most_objects: how many objects inside containers are looked at, of all together.
    """
    names_of: dict[int, list[str]] = {}
    objects: dict[int, object] = {}
    for name, value in variables.items():
        if not issubclass(type(value), (ModuleType, type, FunctionType, MethodType)):
            names_of.setdefault(id(value), []).append(name)
            objects[id(value)] = value
    # Views after what they are views of.
    order = sorted(objects.values(), key=lambda value: _owner(value) is not value)
    entries = []
    measuring = _Measuring()
    for value, most in zip(order, _shares(order, most_objects), strict=True):
        size, is_whole = measuring.size(value, most)
        if size >= SMALLEST_BYTES:
            names = names_of[id(value)]
            entries.append({"names": names, "type": type(value).__name__, "bytes": size, "isWhole": is_whole})
    entries.sort(key=lambda entry: -entry["bytes"])
    return entries[:MOST_VARIABLES]


def _shares(values: list[object], most_objects: int) -> list[int]:
    """How many objects inside of each may be looked at: half of all alike, half by how many items each has."""
    items = [len(value) if type(value) in _CONTAINERS else 1 for value in values]  # type: ignore[arg-type]
    alike = most_objects // 2 // max(1, len(values))
    return [max(1, alike + most_objects * count // (2 * max(1, sum(items)))) for count in items]


class _Measuring:
    """Sums up sizes, each object and each buffer once."""

    def __init__(self) -> None:
        self._spare = 0
        self._counted: set[int] = set()

    def size(self, value: object, most_objects: int) -> tuple[int, bool]:
        """Bytes that a variable holds beside those that were counted before, and whether that is all."""
        total = 0
        is_whole = True
        pending = [value]
        # What one leaves of its share the next ones may use.
        left = most_objects + self._spare
        while pending and left > 0:
            item = pending.pop()
            left -= 1
            if id(item) in self._counted:
                continue
            self._counted.add(id(item))
            if type(item) in _PLAIN:
                total += sys.getsizeof(item)
                continue
            buffers = _buffers(item)
            if buffers is None:
                total += _shallow(item)
                contents, is_all = _contents(item, left)
                is_whole = is_whole and is_all
                pending.extend(contents)
                continue
            for buffer in buffers:
                owner = _owner(buffer)
                if owner is item or id(owner) not in self._counted:
                    self._counted.add(id(owner))
                    total += _shallow(owner) if not hasattr(owner, "nbytes") else int(owner.nbytes)
                    objects, is_all = _objects_in(owner, left)
                    is_whole = is_whole and is_all
                    left -= len(objects)
                    total += sum(_shallow(inner) for inner in objects)
        self._spare = max(0, left)
        return total, is_whole and not pending


def _is(value: object, module: str, name: str) -> bool:
    """Whether a value is of a class of a library that may not be loaded; asks the type, not the value."""
    of = getattr(sys.modules.get(module), name, None)
    return isinstance(of, type) and issubclass(type(value), of)


def _buffers(item: object) -> Iterable[object] | None:
    """The arrays that hold an object's data; None if it is not known to have any."""
    if _is(item, "numpy", "ndarray"):
        return [item]
    if _is(item, "pandas", "DataFrame") or _is(item, "pandas", "Series"):
        manager = item._mgr  # type: ignore[attr-defined]
        blocks = [block.values for block in manager.blocks]
        return [*blocks, *(axis.array for axis in manager.axes if not _is(axis, "pandas", "RangeIndex"))]
    if _is(item, "pandas", "Index"):
        return [] if _is(item, "pandas", "RangeIndex") else [item.array]  # type: ignore[attr-defined]
    return None


def _owner(item: object) -> object:
    """The array whose memory an array shows."""
    if _is(item, "pandas.api.extensions", "ExtensionArray"):
        inner = getattr(item, "_ndarray", None)
        item = item if inner is None else inner
    while _is(item, "numpy", "ndarray") and _is(item.base, "numpy", "ndarray"):  # type: ignore[attr-defined]
        item = item.base  # type: ignore[attr-defined]
    return item


def _objects_in(owner: object, most: int) -> tuple[list[object], bool]:
    """The different objects that an array refers to, of its first ones, and whether those are all."""
    if not _is(owner, "numpy", "ndarray") or owner.dtype != object:  # type: ignore[attr-defined]
        return [], True
    # In the order of the memory: another one would copy all references.
    first = owner.ravel(order="K")[: max(0, most)]  # type: ignore[attr-defined]
    return list({id(item): item for item in first}.values()), len(first) == owner.size  # type: ignore[attr-defined]


def _shallow(item: object) -> int:
    """What the built-in type below an object's own classes tells of its size."""
    for of in type(item).__mro__:
        method = of.__dict__.get("__sizeof__")
        if isinstance(method, MethodDescriptorType):
            try:
                return int(method(item))
            except Exception:  # noqa: BLE001 (extension types may do anything)
                return 0
    return 0


def _contents(item: object, most: int) -> tuple[list[object], bool]:
    """What a container holds, of its first ones; the attributes of an object. And whether that is all."""
    if type(item) is dict:
        pairs = _first(item.items(), most // 2)
        return [part for pair in pairs for part in pair], len(pairs) >= len(item)
    if type(item) in _CONTAINERS:
        found = _first(item, most)  # type: ignore[arg-type]
        return found, len(found) >= len(item)  # type: ignore[arg-type]
    for of in type(item).__mro__:
        attributes = of.__dict__.get("__dict__")
        if isinstance(attributes, GetSetDescriptorType):
            inner = attributes.__get__(item)
            return ([inner] if type(inner) is dict else []), True
    return [], True


def _first(items: Iterable[Any], most: int) -> list[Any]:
    """The first of them; none if another thread changes the container meanwhile."""
    iterator = iter(items)
    try:
        return [item for item, _ in zip(iterator, range(most), strict=False)]
    except RuntimeError:
        return []


def _resident_bytes() -> int | None:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:  # noqa: PTH123
            line = next(line for line in status if line.startswith("VmRSS:"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) * 1024
