"""`%%filprofile`: profiles a cell without changing it.

A magic that runs its body itself can't await, shifts line numbers, and loses results and status. So the line is taken
out before IPython compiles the cell, and the cell that runs is the user's; tracking is begun and ended around it by
IPython's events.
"""

import ast
import asyncio
import sys
import threading
from collections.abc import Callable
from types import CodeType
from typing import Any

from IPython.core.error import InputRejected, UsageError
from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

from filprofiler import _control
from filprofiler._cells import KnownCells
from filprofiler._control import Outcome
from filprofiler._observed import Observer
from filprofiler._profiling import Profile, ProfilingError, writable_directory
from filprofiler._request import Request, is_inside_cell, parse_cell, parse_metadata, parse_options, without_magic

CHOOSE_KERNEL = (
    "Fil can't profile in this kernel: memory has to be tracked from a process's start. "
    'Choose the kernel "Python 3 with Fil" (in JupyterLab: Kernel > Change Kernel...) and run the cell again.'
)

# Call stacks of a cell begin below the frame that runs its code; those of compiling it, below the frame that does that.
_RUN_CELL = tuple(
    function.__code__
    for function in (InteractiveShell.run_code, InteractiveShell.run_ast_nodes, InteractiveShell.run_cell_async)
)


class _Cell:
    """A cell that asked to be profiled, while it runs."""

    def __init__(self, info: ExecutionInfo, number: int | None, begin: Callable[[], Profile | None]) -> None:
        self.info = info
        self.number = number
        self.profile: Profile | None = None
        self._begin: Callable[[], Profile | None] | None = begin
        self._thread = threading.get_ident()

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


class CellProfiler:
    """What the extension hangs into a shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._cells = KnownCells(shell)
        self._observer = Observer(shell)
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
        # Before our own events: at the end of a profiled cell it is known what the cell has made.
        self._observer.install()
        for event, callback in self._events:
            self._shell.events.register(event, callback)
        self._shell.register_magic_function(self.filprofile, "cell", "filprofile")

    def remove(self) -> None:
        """Undoes :meth:`install`."""
        self._shell.input_transformers_cleanup.remove(without_magic)
        for event, callback in self._events:
            self._shell.events.unregister(event, callback)
        self._observer.remove()
        self._shell.magics_manager.magics["cell"].pop("filprofile", None)

    def filprofile(self, line: str, cell: str) -> Any:
        """Profile the memory of a cell: which lines held it at its peak.

        %%filprofile [--title TEXT] [--output DIRECTORY]

        The cell runs as it would without this line. Its report is displayed below its output; --title is shown above
        it, --output also writes it as a web page, index.html, into a directory.
        """
        # Only called beneath another magic; a cell that begins with it is seen by the events above.
        request = parse_options(line, body=cell)
        for problem in request.problems:
            _say(problem)
        number = self._shell.execution_count - 1
        profile = None if request.is_empty else self._begin(request, number, None, (_run_body.__code__,))
        outcome: Outcome = "error"
        try:
            result = _run_body(self._shell, cell)
            outcome = "completed"
        except (KeyboardInterrupt, asyncio.CancelledError):
            outcome = "interrupted"
            raise
        finally:
            if profile is not None:
                self._end(profile, outcome, number)
        return result

    def _before_cell(self, info: ExecutionInfo) -> None:
        if is_inside_cell():
            return
        request = parse_cell(info.raw_cell) or parse_metadata(self._request_metadata(), info.raw_cell)
        if request is None:
            return
        for problem in request.problems:
            _say(problem)
        if not request.is_empty:
            # The counter has been raised already for a cell that gets a number.
            number = self._shell.execution_count - 1 if info.store_history else None
            cell = _Cell(info, number, lambda: self._begin(request, number, info.cell_id, _RUN_CELL))
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
        if cell is None or (result is not None and result.info is not cell.info):
            return
        self._state.cell = None
        self._shell.ast_transformers.remove(cell)
        if cell.profile is not None:
            self._end(cell.profile, _outcome(result), cell.number)

    def _begin(
        self, request: Request, number: int | None, cell_id: str | None, boundaries: tuple[CodeType, ...]
    ) -> Profile | None:
        parent = getattr(self._shell, "parent_header", {})
        try:
            return Profile(
                {"kind": "cell", "executionCount": number, "cellId": cell_id},
                boundaries=boundaries,
                title=request.title,
                cells=self._cells.take_new,
                parent_header=parent.get("header", parent) or None,
                output_directory=_directory_for(request),
            )
        except ProfilingError as reason:
            _say(f"this cell runs without being profiled: {reason}.")
            return None

    def _end(self, profile: Profile, outcome: Outcome, number: int | None) -> None:
        try:
            report = profile.report(outcome, lambda: self._observer.observe(number))
        except ProfilingError as reason:
            _say(f"there is no report: {reason}.")
            return
        except KeyboardInterrupt:
            _say("there is no report: it was interrupted while it was made.")
            return
        self._shell.display_pub.publish(report["bundle"], metadata={})
        if report["filesProblem"]:
            _say(f"{report['filesProblem']}.")
        elif report["files"]:
            sys.stdout.write(f"The report is also in {', '.join(report['files'])}\n")


def _directory_for(request: Request) -> str | None:
    if request.output_directory is None:
        return None
    try:
        return writable_directory(request.output_directory)
    except ProfilingError as reason:
        _say(f"{reason}.")
        return None


def _run_body(shell: InteractiveShell, body: str) -> Any:
    """Runs code as IPython runs a cell, but within one, and returns the value of its last expression."""
    source = shell.transform_cell(body)
    filename = shell.compile.cache(source, shell.execution_count - 1, raw_code=body)
    tree = shell.transform_ast(shell.compile.ast_parse(source, filename=filename))
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(shell.compile(tree, filename, "exec"), shell.user_ns)
    if last is None:
        return None
    return eval(shell.compile(ast.Expression(last.value), filename, "eval"), shell.user_ns)


def _outcome(result: ExecutionResult | None) -> Outcome:
    # No result: the coroutine of a cell with `await` was cancelled, which is how ipykernel interrupts it.
    if result is None or isinstance(result.error_in_exec, (KeyboardInterrupt, asyncio.CancelledError)):
        return "interrupted"
    return "completed" if result.success else "error"


def _say(text: str) -> None:
    sys.stderr.write(f"%%filprofile: {text}\n")


_installed: CellProfiler | None = None


def load(shell: InteractiveShell) -> None:
    """Installs the magic into the shell of Fil's kernel.

    Raises:
        UsageError: in another kernel.
    """
    global _installed
    if _control.client() is None:
        raise UsageError(CHOOSE_KERNEL)
    if _installed is None:
        _installed = CellProfiler(shell)
        _installed.install()


def unload(_shell: InteractiveShell) -> None:
    """Takes the magic out again."""
    global _installed
    if _installed is not None:
        _installed.remove()
        _installed = None
