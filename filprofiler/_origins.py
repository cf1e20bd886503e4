"""Which cell made each variable of the notebook, and on which line.

Seen from outside, without a change to the cells: a cell made a name if the name stands for another object afterwards,
or if one of its statements binds it whatever happens; the line is that of the last such statement, if there can be no
doubt.
"""

import ast
import linecache
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from IPython.core.interactiveshell import ExecutionResult, InteractiveShell


@dataclass(frozen=True)
class Origin:
    """Where a variable was made."""

    cell: int
    """The n of `In [n]`."""
    cell_id: str | None
    line: int
    """From 1, in the cell; 0 where it is not certain."""


@dataclass(frozen=True)
class Binding:
    """A statement that gives a name a value."""

    name: str
    line: int
    is_certain: bool
    """Whether it runs whenever the cell runs to its end."""


class Origins:
    """Remembers for each name the cell that made what it stands for now."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._known: dict[str, Origin] = {}

    def snapshot(self) -> dict[str, int]:
        """Which object each name stands for: to be taken before a cell runs."""
        return {name: id(value) for name, value in self._shell.user_ns.copy().items()}

    def take(
        self, before: Mapping[str, int], number: int | None, cell_id: str | None, result: ExecutionResult | None
    ) -> None:
        """Takes notice of what a cell has made.

        Args:
            before: the snapshot of before it ran.
            number: the n of `In [n]`; None for a cell without one.
            cell_id: the id of the notebook's cell, where the front end sent one.
            result: of the cell; None if it was cancelled.
        """
        now = self.snapshot()
        for name in before.keys() - now.keys():
            self._known.pop(name, None)
        changed = {name for name, object_id in now.items() if before.get(name) != object_id}
        if number is None:
            # Nobody could find it again.
            for name in changed:
                self._known.pop(name, None)
            return
        statements = [binding for binding in bindings(parsed(filename_of(self._shell, number))) if binding.name in now]
        is_complete = result is not None and result.success
        if is_complete:
            changed |= {binding.name for binding in statements if binding.is_certain}
        for name in changed:
            lines = [binding for binding in statements if binding.name == name]
            # Of several, the last one that runs in any case; in a cell that failed nobody knows which was the last.
            is_clear = len(lines) == 1 or (len(lines) > 1 and lines[-1].is_certain and is_complete)
            self._known[name] = Origin(number, cell_id, lines[-1].line if is_clear else 0)

    def of(self, name: str) -> Origin | None:
        """Where a name's object was made; None if no cell is known to have made it."""
        return self._known.get(name)


def parsed(filename: str) -> ast.Module:
    """The code of a cell, as IPython ran it; empty if it is not known any more."""
    try:
        return ast.parse("".join(linecache.getlines(filename)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


def bindings(tree: ast.Module) -> list[Binding]:
    """The statements of a cell's top level that bind names, in the order of their lines."""
    return sorted(_bindings(tree.body, is_certain=True), key=lambda binding: binding.line)


def _bindings(body: list[ast.stmt], *, is_certain: bool) -> Iterator[Binding]:
    for statement in body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield Binding(statement.name, statement.lineno, is_certain)
                continue
            case ast.Import() | ast.ImportFrom():
                for alias in statement.names:
                    yield Binding((alias.asname or alias.name).split(".")[0], statement.lineno, is_certain)
                continue
            case ast.AnnAssign(value=None):
                continue
        direct = {id(node) for node in _direct_targets(statement)}
        for node in _own_nodes(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield Binding(node.id, statement.lineno, is_certain and id(node) in direct)
        for inner in _bodies(statement):
            # The context of a `with` can swallow what ends its body.
            yield from _bindings(inner, is_certain=False)


def _direct_targets(statement: ast.stmt) -> Iterator[ast.AST]:
    """The names that a statement binds however its expressions turn out."""
    match statement:
        case ast.Assign():
            targets = statement.targets
        case ast.AnnAssign():
            targets = [statement.target]
        case ast.With() | ast.AsyncWith():
            targets = [item.optional_vars for item in statement.items if item.optional_vars is not None]
        case _:
            # `a += b` may change an object that another cell made.
            return
    for target in targets:
        yield from ast.walk(target)


def _own_nodes(statement: ast.stmt) -> Iterator[ast.AST]:
    """The parts of a statement that run in its own scope, without the statements inside it."""
    pending: list[ast.AST] = [statement]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(
            child
            for child in ast.iter_child_nodes(node)
            if not isinstance(child, (ast.stmt, ast.comprehension, ast.Lambda, ast.ExceptHandler, ast.match_case))
        )


def _bodies(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    for field in ("body", "orelse", "finalbody"):
        yield getattr(statement, field, [])
    for branch in (*getattr(statement, "handlers", []), *getattr(statement, "cases", [])):
        yield branch.body


def filename_of(shell: InteractiveShell, number: int) -> str:
    """The file name that the code of a cell carries; empty if it is not known."""
    numbers: Mapping[str, int] = getattr(shell.compile, "_filename_map", {})
    return next((name for name, of in reversed(numbers.items()) if of == number), "")
