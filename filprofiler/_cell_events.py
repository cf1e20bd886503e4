"""Profiles whole cells: begins and ends around them, by IPython's events."""

import ast
import asyncio
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from types import CodeType
from typing import Never, Protocol

from IPython.core.error import InputRejected, UsageError
from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

from filprofiler._control import Outcome
from filprofiler._guard import contains_memory_error
from filprofiler._profiling import Profile
from filprofiler._request import Request, is_inside_cell, parse_cell, parse_metadata, without_magic
from filprofiler._sampled_profile import SampledProfile

# Call stacks of a cell begin below the frame that runs its code; those of compiling it, below the frame that does that.
_RUN_CELL = tuple(
    function.__code__
    for function in (InteractiveShell.run_code, InteractiveShell.run_ast_nodes, InteractiveShell.run_cell_async)
)


class Profiler(Protocol):
    """Begins and ends profiles for a cell, and tells its reader what happens."""

    def begin(
        self, request: Request, number: int | None, cell_id: str | None, boundaries: tuple[CodeType, ...]
    ) -> Profile | None:
        """A running profile; None if there can't be one, which the reader was told."""

    def end(
        self, profile: Profile, request: Request, outcome: Outcome, number: int | None, *, memory_error: bool
    ) -> None:
        """Ends it and shows its report, if that is wanted."""

    def say(self, text: str) -> None:
        """Tells the reader a sentence."""

    @property
    def samples(self) -> bool:
        """Whether cells that nobody profiles are to be sampled."""

    def begin_sampled(
        self, number: int | None, cell_id: str, boundaries: tuple[CodeType, ...]
    ) -> SampledProfile | None:
        """A running profile that samples; None if there can't be one, of which nothing is said."""


class _Cell:
    """A cell that asked to be profiled, while it runs."""

    def __init__(
        self,
        info: ExecutionInfo,
        number: int | None,
        request: Request | None,
        begin: Callable[[], Profile | SampledProfile | None],
    ) -> None:
        self.info = info
        self.number = number
        self.request = request
        """None for a cell that is only sampled."""
        self.profile: Profile | SampledProfile | None = None
        self._begin: Callable[[], Profile | SampledProfile | None] | None = begin
        self._thread = threading.get_ident()

    def is_of(self, info: ExecutionInfo) -> bool:
        """Whether it is about this cell, rather than one that this one runs."""
        # IPython makes another for a cell that is interrupted in IPython's own code rather than its own.
        is_equal = (info.raw_cell, info.cell_id) == (self.info.raw_cell, self.info.cell_id)
        return info is self.info or (is_equal and not is_inside_cell())

    def visit(self, tree: ast.AST) -> ast.AST:
        """Begins tracking: called as the last AST transformer, when the cell has been compiled and is about to run."""
        # Not for the cell of a subshell beside it, and once: magics in the cell transform code too.
        if self._begin is not None and threading.get_ident() == self._thread:
            begin, self._begin = self._begin, None
            try:
                self.profile = begin()
            except KeyboardInterrupt as interrupt:
                # Outside of the cell's code it would end the kernel's event loop.
                msg = "The cell was interrupted before it began."
                raise InputRejected(msg) from interrupt
        return tree


class _ThreadState(threading.local):
    """Of the running thread: a subshell runs its cells in another, beside the main one's."""

    cell: _Cell | None = None


class CellEvents:
    """What the extension hangs into a shell."""

    def __init__(self, shell: InteractiveShell, profiler: Profiler) -> None:
        self._shell = shell
        self._profiler = profiler
        self._state = _ThreadState()
        self._events: list[tuple[str, Callable[..., None]]] = [
            ("pre_run_cell", self._before_cell),
            ("post_execute", self._after_code),
            ("post_run_cell", self._after_cell),
        ]

    def install(self) -> None:
        """Begins to look at cells."""
        # First, before IPython's own that want a cell magic in the first line.
        self._shell.input_transformers_cleanup.insert(0, without_magic)
        for event, callback in self._events:
            self._shell.events.register(event, callback)

    def remove(self) -> None:
        """Undoes :meth:`install`."""
        self._shell.input_transformers_cleanup.remove(without_magic)
        for event, callback in self._events:
            self._shell.events.unregister(event, callback)

    def _before_cell(self, info: ExecutionInfo) -> None:
        if is_inside_cell():
            return
        try:
            request = parse_cell(info.raw_cell)
        except UsageError:
            # The magic itself will say it, and the cell does not run.
            return
        try:
            request = request or parse_metadata(self._request_metadata(), info.raw_cell)
        except UsageError as error:
            problem = str(error)
            self._hang_in(_Cell(info, None, Request(), lambda: _refuse(problem)))
            return
        if request is None:
            self._sample(info)
            return
        for problem in request.problems:
            self._profiler.say(problem)
        if not request.is_empty:
            number = self._number(info)
            self._hang_in(
                _Cell(info, number, request, lambda: self._profiler.begin(request, number, info.cell_id, _RUN_CELL))
            )

    def _sample(self, info: ExecutionInfo) -> None:
        """A cell that nobody profiles. One without an id is of no notebook: an extension's own code."""
        cell_id = info.cell_id
        if self._profiler.samples and cell_id is not None and info.raw_cell.strip():
            number = self._number(info)
            self._hang_in(_Cell(info, number, None, lambda: self._profiler.begin_sampled(number, cell_id, _RUN_CELL)))

    def _number(self, info: ExecutionInfo) -> int | None:
        # The counter has been raised already for a cell that gets a number.
        return self._shell.execution_count - 1 if info.store_history else None

    def _hang_in(self, cell: _Cell) -> None:
        earlier = self._state.cell
        if earlier is not None:
            # An interrupt at the wrong moment kept its end from being told, and here is no place to show its report.
            earlier.request = None if earlier.request is None else replace(earlier.request, quiet=True)
            self._after_cell(None)
        self._state.cell = cell
        self._shell.ast_transformers.append(cell)

    def _request_metadata(self) -> object:
        """The metadata of the message that asked for the running cell."""
        parent = getattr(self._shell, "parent_header", None)
        return parent.get("metadata") if isinstance(parent, dict) else None

    def _after_code(self) -> None:
        """Ends tracking before others' callbacks run, such as matplotlib's, which draws figures."""
        cell = self._state.cell
        last = self._shell.last_execution_result
        # Also called after comm messages and cells that this cell runs.
        if cell is not None and cell.profile is not None and last is not None and last.info is cell.info:
            cell.profile.stop()

    def _after_cell(self, result: ExecutionResult | None) -> None:
        cell = self._state.cell
        if cell is None or (result is not None and not cell.is_of(result.info)):
            return
        self._state.cell = None
        self._shell.ast_transformers.remove(cell)
        number = _number_of(cell, result)
        if isinstance(cell.profile, SampledProfile):
            cell.profile.end(_outcome(result), number)
        elif cell.profile is not None and cell.request is not None:
            memory_error = contains_memory_error(None if result is None else _error(result))
            self._profiler.end(cell.profile, cell.request, _outcome(result), number, memory_error=memory_error)


def _refuse(problem: str) -> Never:
    """What a front end asks for beside the cell can't be done: the cell does not run."""
    sys.stderr.write(f"UsageError: {problem}\n")
    raise InputRejected(problem)


def _number_of(cell: _Cell, result: ExecutionResult | None) -> int | None:
    """The n of its `In [n]`; None if it has none."""
    # The counter is the shell's: a subshell's cell that began at the same time has raised it once more.
    if cell.number is None or result is None or result.execution_count is None:
        return cell.number
    return result.execution_count


def _error(result: ExecutionResult) -> BaseException | None:
    return result.error_in_exec if result.error_before_exec is None else result.error_before_exec


def _outcome(result: ExecutionResult | None) -> Outcome:
    # No result: the coroutine of a cell with `await` was cancelled, which is how ipykernel interrupts it. An interrupt
    # between two statements counts as an error before the code, though some of it has run.
    if result is None or isinstance(_error(result), (KeyboardInterrupt, asyncio.CancelledError)):
        return "interrupted"
    return "completed" if result.success else "error"
