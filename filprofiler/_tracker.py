"""The native tracker in this process: native/tracker/api.cpp is the other side."""

from __future__ import annotations

import ctypes
import functools
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, FrameType


class TrackerError(RuntimeError):
    """Tracking is not possible here; the message says why and what to do."""


STANDING_BY = "standby"
"""That of native/shared/environment.hpp: in no tree, and ready to join one."""

NOT_PRELOADED = "Fil's tracker was not preloaded into this process"

# inspect.CO_OPTIMIZED, without importing inspect into the user's process.
_CO_OPTIMIZED = 1


class _Frame(ctypes.Structure):
    """FilFrame of api.cpp."""

    _fields_ = [
        ("code", ctypes.c_void_p),
        ("filename", ctypes.c_void_p),
        ("qualified_name", ctypes.c_void_p),
        ("locals", ctypes.c_void_p),
        ("last_instruction", ctypes.c_int32),
        ("first_line", ctypes.c_int32),
        ("flags", ctypes.c_uint32),
    ]


@functools.cache
def _library() -> ctypes.PyDLL | None:
    """The preloaded library, or None. A PyDLL, as its functions need the GIL."""
    library = ctypes.PyDLL(None)
    if not hasattr(library, "fil_begin"):
        return None
    library.fil_why_unfit.restype = ctypes.c_char_p
    library.fil_why_unfit.argtypes = []
    library.fil_begin.restype = ctypes.c_char_p
    library.fil_begin.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint64]
    library.fil_end.restype = None
    library.fil_end.argtypes = []
    library.fil_last_session.restype = ctypes.c_uint32
    library.fil_last_session.argtypes = [ctypes.POINTER(ctypes.c_int64)]
    library.fil_is_forked.restype = ctypes.c_int
    library.fil_is_forked.argtypes = []
    library.fil_is_tracking.restype = ctypes.c_int
    library.fil_is_tracking.argtypes = []
    library.fil_move_to_tree.restype = ctypes.c_char_p
    library.fil_move_to_tree.argtypes = [ctypes.c_char_p]
    for text_function in (library.fil_control_endpoint, library.fil_control_key, library.fil_tree_directory):
        text_function.restype = ctypes.c_char_p
        text_function.argtypes = []
    library.fil_guard_enter.restype = None
    library.fil_guard_enter.argtypes = [ctypes.c_uint64]
    library.fil_guard_leave.restype = None
    library.fil_guard_leave.argtypes = []
    library.fil_guard_take.restype = ctypes.c_int
    library.fil_guard_take.argtypes = []
    library.fil_guard_decline.restype = None
    library.fil_guard_decline.argtypes = []
    library.fil_guard_refused.restype = ctypes.c_int
    library.fil_guard_refused.argtypes = []
    library.fil_guard_listen.restype = ctypes.c_int
    library.fil_guard_listen.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
    library.fil_walk.restype = ctypes.c_int32
    library.fil_walk.argtypes = [ctypes.c_void_p, ctypes.c_int32]
    return library


def is_loaded() -> bool:
    """Whether the tracker was preloaded into this process."""
    return _library() is not None


def control() -> tuple[str, str] | None:
    """Address and key of the control endpoint; None in a process that Fil did not start."""
    library = _library()
    endpoint = b"" if library is None else library.fil_control_endpoint()
    return None if library is None or not endpoint else (endpoint.decode(), library.fil_control_key().decode())


def check() -> None:
    """Make sure that everything the tracker relies on holds in this process.

    Compares the call stacks that it reads with those that Python itself reports, through functions, generators, class
    bodies and recursion. Takes a few milliseconds; once, before the first session.

    :raises TrackerError: with a sentence that says what is missing or different.
    """
    library = _library()
    if library is None:
        raise TrackerError("Fil's tracker is not loaded in this process. Start it with the kernel 'Python 3 with Fil'.")
    if sys.implementation.name != "cpython":
        raise TrackerError(f"Fil needs CPython; this is {sys.implementation.name}.")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise TrackerError("Free-threaded builds of Python are not supported by Fil. Use the usual build.")
    _raise_if(library.fil_why_unfit())
    for stack_shape in (_shape_recursion, _shape_generator, _shape_class_body, _shape_callback):
        stack_shape(_compare_stacks)


def begin(boundaries: Sequence[CodeType], sampling_mean_bytes: int = 0) -> None:
    """Begin to count every allocation of the process, or to sample them.

    :param boundaries: code objects at whose frames call stacks end: neither they nor their callers are shown.
        At most 16.
    :param sampling_mean_bytes: one allocated byte in so many is sampled, on average; 0 to count every allocation. Only
        in processes that were started so that they can be sampled, as the kernel's is.
    :raises TrackerError: if tracking can't begin; nothing has changed then.
    """
    library = _library()
    if library is None:
        check()
        return
    codes = (ctypes.c_void_p * len(boundaries))(*[id(code) for code in boundaries])
    _raise_if(library.fil_begin(codes, len(boundaries), sampling_mean_bytes))


def end() -> None:
    """Stop counting. The figures stay in shared memory until the next begin. Does nothing if tracking is off."""
    library = _library()
    if library is not None:
        library.fil_end()


def last_session() -> tuple[int, int]:
    """The number of the latest session, 0 if there was none, and the peak in bytes of what it counted or estimated."""
    library = _library()
    if library is None:
        return 0, 0
    peak_bytes = ctypes.c_int64()
    return library.fil_last_session(ctypes.byref(peak_bytes)), peak_bytes.value


def is_forked() -> bool:
    """Whether this process was forked from one that Fil started: it shares the tables, and can't be tracked."""
    library = _library()
    return library is not None and bool(library.fil_is_forked())


def is_tracking() -> bool:
    """Whether tracking is on."""
    library = _library()
    return library is not None and bool(library.fil_is_tracking())


def tree_directory() -> str:
    """The directory of the process tree that this process is a member of, STANDING_BY, or empty."""
    library = _library()
    return "" if library is None else library.fil_tree_directory().decode()


def move_to_tree(directory: str) -> None:
    """Makes this process a member of a process tree, whose directory somebody watches over; of no other any more.

    :param directory: of the tree, or STANDING_BY to be in none.
    :raises TrackerError: if it can't be; then the process is in none.
    """
    library = _library()
    if library is None:
        raise TrackerError(NOT_PRELOADED)
    _raise_if(library.fil_move_to_tree(directory.encode()))


def guard_enter(number: int) -> None:
    """A cell begins on the main thread; numbers, from 1, are never used again."""
    library = _library()
    if library is not None:
        library.fil_guard_enter(number)


def guard_leave() -> None:
    """It has ended: nothing is interrupted or refused in its name any more."""
    library = _library()
    if library is not None:
        library.fil_guard_leave()


def guard_take() -> bool:
    """Takes the request to interrupt the running cell; true for one caller."""
    library = _library()
    return library is not None and bool(library.fil_guard_take())


def guard_decline() -> None:
    """Lets the request to interrupt pass: it is not the running cell that needs the memory."""
    library = _library()
    if library is not None:
        library.fil_guard_decline()


def guard_refused() -> bool:
    """Whether the cell that runs, or has just ended, was interrupted, or refused memory."""
    library = _library()
    return library is not None and bool(library.fil_guard_refused())


def guard_listen(number: int, exempt_threads: Sequence[int]) -> bool:
    """Has the signal's handler in Python called when the kernel process asks the running cell to let go.

    :param number: of a signal that already has that handler.
    :param exempt_threads: native ids of threads that are never refused memory; at most 32.
    :returns: false if that is not possible here.
    """
    library = _library()
    threads = (ctypes.c_int32 * len(exempt_threads))(*exempt_threads)
    return library is not None and bool(library.fil_guard_listen(number, threads, len(exempt_threads)))


def _raise_if(problem: bytes | None) -> None:
    if problem is not None:
        raise TrackerError(problem.decode())


def _compare_stacks() -> None:
    """Walk this thread's stack natively and by Python's own frames; raise if they differ."""
    capacity = 64
    rows = (_Frame * capacity)()
    library = _library()
    count = -1 if library is None else library.fil_walk(rows, capacity)
    expected = list(_frames(sys._getframe()))[:capacity]
    same = count == len(expected) and all(
        _agree(row, frame, innermost=index == 0) for index, (row, frame) in enumerate(zip(rows, expected, strict=False))
    )
    if not same:
        raise TrackerError(
            f"Fil can't read the call stacks of this Python ({sys.version.split()[0]}, {sysconfig.get_platform()}): "
            "its internal structures differ from those of the releases on python.org. Use an unmodified final release."
        )


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _agree(row: _Frame, frame: FrameType, *, innermost: bool) -> bool:
    code = frame.f_code
    return (
        row.code == id(code)
        and row.filename == id(code.co_filename)
        and row.qualified_name == id(code.co_qualname)
        and row.first_line == code.co_firstlineno
        and row.flags == code.co_flags
        # Only bodies of modules and classes have their locals there before somebody asks.
        and (code.co_flags & _CO_OPTIMIZED or row.locals == id(frame.f_locals))
        # The innermost frame has moved on since the walk.
        and (innermost or row.last_instruction == frame.f_lasti)
    )


# Ways to get onto the stack, each of which CPython implements by frames of another kind.


def _shape_recursion(probe: Callable[[], None], depth: int = 5) -> None:
    if depth:
        _shape_recursion(probe, depth - 1)
    else:
        probe()


def _shape_generator(probe: Callable[[], None]) -> None:
    def generate() -> Iterator[None]:
        yield probe()

    list(generate())


def _shape_class_body(probe: Callable[[], None]) -> None:
    class _Body:
        probe()


def _shape_callback(probe: Callable[[], None]) -> None:
    sorted([0], key=lambda _: probe())
