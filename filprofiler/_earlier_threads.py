"""Whether memory is short because of threads that earlier cells have left running: then the cell is not at fault.

A thread is at work of an earlier cell if it is inside the same call of the user's function as when the cell began; a
thread of a pool that waited for work then is not. How much memory a thread has touched is what the kernel counts as its
page faults: field 10 of /proc/self/task/TID/stat, see proc(5).
"""

import sys
import threading
from pathlib import Path
from types import FrameType

_MINOR_FAULTS = 10 - 3  # the third field is the first behind the name
_PAGE_BYTES = 4096
_LEAST_BYTES = 8_000_000
"""Fewer are no cause, as for the watcher (native/addon/memory/watcher.cpp)."""
_LIBRARY_PARTS = ("/lib/python3.", "/site-packages/", "/dist-packages/", "<frozen ")


class EarlierThreads:
    """The threads that ran when a cell began."""

    def __init__(self, machinery: frozenset[int]) -> None:
        """To be made when a cell begins.

        Args:
            machinery: ids, in the kernel, of threads that belong to no cell.
        """
        self._calls: dict[int, tuple[int, int]] = {}
        self._faults: dict[int, int] = {}
        others = [
            (thread.ident, thread.native_id)
            for thread in threading.enumerate()
            if thread is not threading.main_thread() and thread.native_id not in machinery
        ]
        if not others:
            # The ordinary case costs nothing more.
            return
        frames = sys._current_frames()
        for ident, native_id in others:
            call = None if ident is None or native_id is None else _call_of_user(frames.get(ident))
            if ident is not None and native_id is not None and call is not None:
                self._calls[ident] = (native_id, call)
        if self._calls:
            self._faults = _faults()

    def are_at_fault(self) -> bool:
        """Whether they have taken more memory since than everybody else in this process."""
        if not self._calls:
            return False
        frames = sys._current_frames()
        busy = {native_id for ident, (native_id, call) in self._calls.items() if _contains(frames.get(ident), call)}
        theirs = others = 0
        for thread, count in _faults().items():
            # Of a thread that is new since, all are.
            taken = (count - self._faults.get(thread, 0)) * _PAGE_BYTES
            if thread in busy:
                theirs += taken
            else:
                others += taken
        return theirs >= _LEAST_BYTES and theirs > others


def _call_of_user(frame: FrameType | None) -> int | None:
    """The outermost call of a function that is no library's; None if the thread waits inside a library."""
    call: int | None = None
    while frame is not None:
        if not any(part in frame.f_code.co_filename for part in _LIBRARY_PARTS):
            call = id(frame)
        frame = frame.f_back
    return call


def _contains(frame: FrameType | None, call: int) -> bool:
    while frame is not None:
        if id(frame) == call:
            return True
        frame = frame.f_back
    return False


def _faults() -> dict[int, int]:
    """Page faults without input or output of each thread, by its id in the kernel."""
    counts: dict[int, int] = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            # The name, in parentheses, can contain anything.
            fields = (task / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue  # It has ended.
        counts[int(task.name)] = int(fields[_MINOR_FAULTS])
    return counts
