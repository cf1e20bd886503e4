"""The guard: before memory runs out, the running cell is interrupted by a MemoryError, so that the session survives.

Fil's kernel process watches from outside and asks by a signal; whether anything is raised is decided here, on the main
thread: only in code of the cell that was meant, and once. `native/tracker/memory_guard.hpp` has the other two ways by
which a request is taken.
"""

import itertools
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

from filprofiler import _control, _tracker
from filprofiler._earlier_threads import EarlierThreads
from filprofiler._request import is_inside_cell

LONGEST_CHAIN = 20
RELEASED = (
    "Variables of the functions that were running have been released, so %debug does not show them; those of the "
    "notebook are kept."
)
UNTRACKED = "Begin the cell with %%filprofile to see which lines held it."


class MemoryGuardError(MemoryError):
    """Raised in a cell before memory runs out, or its `--limit` is used up: the message names the largest call sites.

    Can be caught like any other MemoryError.
    """

    __module__ = "filprofiler"


class Guard:
    """What the guard hangs into a shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._numbers = itertools.count(1)
        self._running: ExecutionInfo | None = None
        self._show_traceback: Callable[..., Any] | None = None
        self._machinery: frozenset[int] = frozenset()
        self._earlier: EarlierThreads | None = None
        self._events: list[tuple[str, Callable[..., None]]] = [
            ("pre_run_cell", self._before_cell),
            ("post_execute", self._after_code),
            ("post_run_cell", self._after_cell),
        ]

    def install(self) -> None:
        """Begins to look after cells. Without a free signal nothing is interrupted, and the watcher knows it."""
        number = _free_signal()
        if number is None:
            return
        signal.signal(number, self._on_signal)
        # Threads of the notebook's machinery: what they allocate is not the cell's doing.
        machinery = [
            thread.native_id
            for thread in threading.enumerate()
            if thread is not threading.main_thread() and thread.native_id is not None
        ]
        if not _tracker.guard_listen(number, machinery):
            return
        self._machinery = frozenset(machinery)
        for event, callback in self._events:
            self._shell.events.register(event, callback)
        self._show_traceback = self._shell.showtraceback
        self._shell.showtraceback = self._showing_traceback

    def remove(self) -> None:
        """Undoes :meth:`install`, but for the signal's handler, which then finds no cell."""
        _tracker.guard_leave()
        if self._show_traceback is not None:
            for event, callback in self._events:
                self._shell.events.unregister(event, callback)
            del self._shell.showtraceback
            self._show_traceback = None

    def _before_cell(self, info: ExecutionInfo) -> None:
        # Subshells run their cells in other threads, which no signal's handler can interrupt.
        if threading.current_thread() is threading.main_thread() and not is_inside_cell():
            self._running = info
            self._earlier = EarlierThreads(self._machinery)
            _tracker.guard_enter(next(self._numbers))

    def _after_code(self) -> None:
        last = self._shell.last_execution_result
        # Also called after comm messages and cells that this cell runs.
        if self._running is not None and last is not None and last.info is self._running:
            self._leave()

    def _after_cell(self, result: ExecutionResult | None) -> None:
        if self._running is not None and (result is None or result.info is self._running):
            self._leave()

    def _leave(self) -> None:
        self._running = None
        _tracker.guard_leave()

    def _on_signal(self, _number: int, frame: FrameType | None) -> None:
        if not self._runs_cell(frame):
            return
        if self._earlier is not None and self._earlier.are_at_fault():
            _tracker.guard_decline()
        elif _tracker.guard_take():
            raise MemoryGuardError(explanation())

    def _runs_cell(self, frame: FrameType | None) -> bool:
        """Whether code of the cell is running, and not what IPython does before and after it."""
        inner: FrameType | None = None
        while frame is not None:
            if frame.f_code is InteractiveShell.run_code.__code__:
                # What it calls: the cell's top level, or a display of its error.
                return inner is not None and inner.f_globals is self._shell.user_global_ns
            inner, frame = frame, frame.f_back
        return False

    def _showing_traceback(self, *args: Any, **kwargs: Any) -> Any:
        show = self._show_traceback
        if show is None or is_inside_magic_of_cell(self._running):
            return None if show is None else show(*args, **kwargs)
        # First of all, or drawing the traceback would be interrupted in the cell's name.
        _tracker.guard_leave()
        error = sys.exc_info()[1]
        is_ours = contains_memory_error(error) and _tracker.guard_refused()
        if is_ours and error is not None:
            _explain(error)
            hide_handler(error)
            # Before it is drawn, which takes memory too.
            release_frames(error)
        return show(*args, **kwargs)


def is_inside_magic_of_cell(running: ExecutionInfo | None) -> bool:
    """Whether a cell that the running one runs (by a magic, say) shows its error: the running one goes on."""
    frame: FrameType | None = sys._getframe(1)
    depth = 0
    while frame is not None:
        depth += frame.f_code is InteractiveShell.run_code.__code__
        frame = frame.f_back
    return running is not None and depth > 1


def contains_memory_error(error: BaseException | None) -> bool:
    """Whether an exception is a MemoryError, or has one as its cause or context."""
    return any(isinstance(each, MemoryError) for each in _chain(error))


def explanation() -> str:
    """What is the matter and which lines hold most, as the kernel process knows it."""
    client = _control.new_client()
    try:
        shortage = None if client is None else client.shortage()
    except _control.ControlError:
        shortage = None
    finally:
        if client is not None:
            client.close()
    if shortage is None:
        return f"Fil has interrupted this cell before memory ran out. {RELEASED}"
    lines = shortage["lines"]
    held = "\n".join(["Most was held by:", *(f"  {line}" for line in lines)]) if lines else UNTRACKED
    return f"{shortage['reason']}\n{held}\n{RELEASED}"


def release_frames(error: BaseException) -> None:
    """Lets go of the variables of all functions that an exception and its causes have ended."""
    for each in _chain(error):
        trace: TracebackType | None = each.__traceback__
        while trace is not None:
            frame = trace.tb_frame
            trace = trace.tb_next
            if frame.f_code.co_flags & _OPTIMIZED:
                try:
                    frame.clear()
                except RuntimeError:
                    # It still runs: the machinery's.
                    continue
                # Until 3.12 a copy that somebody asked for keeps the variables until it is asked for again.
                frame.f_locals  # noqa: B018


def hide_handler(error: BaseException) -> None:
    """Takes the signal's handler out of a traceback: it was raised where the cell's code stood."""
    for each in _chain(error):
        trace = each.__traceback__
        while trace is not None and trace.tb_next is not None:
            if trace.tb_next.tb_frame.f_code is Guard._on_signal.__code__:
                trace.tb_next = None
            trace = trace.tb_next


# inspect.CO_OPTIMIZED: a function's frame, and not a module's, whose variables are the notebook's.
_OPTIMIZED = 1


def _explain(error: BaseException) -> None:
    """A refused allocation raises whatever its library raises: the explanation is noted on it."""
    for each in _chain(error):
        if isinstance(each, MemoryGuardError):
            return
    for each in _chain(error):
        if isinstance(each, MemoryError):
            each.add_note(explanation())
            return


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(LONGEST_CHAIN):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _free_signal() -> int | None:
    """A real-time signal that nobody handles: from the last one down, as programs take the first ones."""
    for number in range(signal.SIGRTMAX - 1, signal.SIGRTMIN, -1):
        if signal.getsignal(number) is signal.SIG_DFL:
            return number
    return None
