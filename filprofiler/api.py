"""Profiling from Python code, in a process that was started by `fil-profile python` or is a kernel of Fil's.

    from filprofiler import api

    result = api.profile(function, "reports/function")     # writes a report, returns what function() returns

    with api.tracking() as tracked:                         # also `async with`, and as a decorator: @api.tracking()
        ...
    print(tracked.result.peak_bytes)

    measured = api.measure(function, 1, key=2)              # returns the numbers
    print(measured.value, measured.profile.peak_bytes)

All memory that the process allocates meanwhile counts, by whatever thread or task. There is one profile at a time.
"""

import functools
import inspect
import sys
from collections.abc import Awaitable, Callable
from os import PathLike
from pathlib import Path
from types import CodeType, TracebackType
from typing import TYPE_CHECKING, Generic, ParamSpec, Self, TypeVar, cast

from filprofiler._result import ProfileResult

if TYPE_CHECKING:
    from filprofiler._control import Outcome
    from filprofiler._profiling import Profile

__all__ = ["Measured", "ProfileResult", "Tracking", "measure", "measure_async", "profile", "profile_async", "tracking"]

T = TypeVar("T")
P = ParamSpec("P")

HOW_TO_START = (
    "Fil has to track memory from a process's start. Start the program with `fil-profile python script.py` "
    '(as `python script.py`), or choose the kernel "Python 3 with Fil" in Jupyter.'
)


def profile(code_to_profile: Callable[[], T], path: str | PathLike[str]) -> T:
    """Calls a function and writes a report of what it held in memory at its peak.

    Args:
        code_to_profile: called without arguments.
        path: the directory to write the report's files into, `index.html` among them; made if it does not exist.

    Returns:
        what the function returns. What it raises is raised, after the report is written.

    Raises:
        RuntimeError: if this process can't be profiled, with what to do; if another profile is running.
    """
    with _Running(_name_of(code_to_profile), path, boundary=profile.__code__):
        return code_to_profile()


async def profile_async(code_to_profile: Callable[[], Awaitable[T]], path: str | PathLike[str]) -> T:
    """Like :func:`profile`, for a coroutine function; what other tasks allocate meanwhile counts too."""
    with _Running(_name_of(code_to_profile), path, boundary=profile_async.__code__):
        return await code_to_profile()


class Measured(Generic[T]):
    """What a function returned, and what it held in memory."""

    def __init__(self, value: T, profile: ProfileResult) -> None:
        self.value = value
        self.profile = profile

    def __repr__(self) -> str:
        return f"Measured(value={self.value!r}, profile={self.profile!r})"


def measure(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Measured[T]:
    """Calls a function with arguments; returns its value and its memory profile. Writes no files.

    Raises:
        RuntimeError: as :func:`profile`; and what the function raises.
    """
    with _Running(_name_of(function), None, boundary=measure.__code__) as running:
        value = function(*args, **kwargs)
    return Measured(value, running.result())


async def measure_async(function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> Measured[T]:
    """Like :func:`measure`, for a coroutine function."""
    with _Running(_name_of(function), None, boundary=measure_async.__code__) as running:
        value = await function(*args, **kwargs)
    return Measured(value, running.result())


class Tracking:
    """Tracks memory in a block, or in each call of a decorated function. Made by :func:`tracking`."""

    def __init__(self, path: str | PathLike[str] | None = None, *, title: str | None = None) -> None:
        self._path = path
        self._title = title
        self._running: _Running | None = None
        self._result: ProfileResult | None = None

    @property
    def result(self) -> ProfileResult:
        """The profile of the block, or of the function's last call.

        Raises:
            RuntimeError: if none has ended yet.
        """
        if self._result is None:
            msg = "There is no result yet: the tracked code has not ended."
            raise RuntimeError(msg)
        return self._result

    def __enter__(self) -> Self:
        self._begin(sys._getframe(1).f_code.co_qualname, None)
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._end(error)

    async def __aenter__(self) -> Self:
        self._begin(sys._getframe(1).f_code.co_qualname, None)
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._end(error)

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """Decorates a function or a coroutine function; returns a function of the same kind."""

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            with _Call(self, function, call.__code__):
                return function(*args, **kwargs)

        @functools.wraps(function)
        async def call_async(*args: P.args, **kwargs: P.kwargs) -> object:
            with _Call(self, function, call_async.__code__):
                return await cast("Awaitable[object]", function(*args, **kwargs))

        return cast("Callable[P, T]", call_async if inspect.iscoroutinefunction(function) else call)

    def _begin(self, name: str, boundary: CodeType | None) -> None:
        running = _Running(name, self._path, boundary=boundary, title=self._title)
        running.__enter__()
        self._running = running
        self._result = None

    def _end(self, error: BaseException | None) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.__exit__(None, error, None)
            self._result = running.result() if running.has_ended else None


class _Call:
    """One call of a decorated function."""

    def __init__(self, tracking: Tracking, function: Callable[..., object], boundary: CodeType) -> None:
        self._tracking = tracking
        self._name = _name_of(function)
        self._boundary = boundary

    def __enter__(self) -> None:
        self._tracking._begin(self._name, self._boundary)

    def __exit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._tracking._end(error)


def tracking(path: str | PathLike[str] | None = None, *, title: str | None = None) -> Tracking:
    """For the memory of a block or a function, in a `with` or `async with` statement or as a decorator.

    Args:
        path: the directory to write the report's files into when the block or call ends, in place of earlier ones; none
            if not given.
        title: shown above the report.

    Returns:
        an object whose `result` has the numbers afterwards.

    Raises:
        RuntimeError: when the block or call begins, as :func:`profile`.
    """
    return Tracking(path, title=title)


class _Running:
    """A profile from beginning to end. What the code raises is not hidden by what goes wrong with its report."""

    def __init__(
        self,
        name: str,
        path: str | PathLike[str] | None,
        *,
        boundary: CodeType | None,
        title: str | None = None,
    ) -> None:
        """Prepares it: call stacks will begin below frames of the code `boundary`."""
        self._name = name
        self._path = path
        self._boundary = boundary
        self._title = title
        self._profile: Profile | None = None
        self._result: ProfileResult | None = None

    def __enter__(self) -> Self:
        _check_process()
        from filprofiler._profiling import Profile, writable_directory  # ZeroMQ, for processes of Fil only

        self._profile = Profile(
            {"kind": "call", "name": self._name},
            boundaries=[] if self._boundary is None else [self._boundary],
            title=self._title,
            output_directory=None if self._path is None else writable_directory(Path(self._path)),
        )
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        from filprofiler._profiling import ProfilingError

        if self._profile is None:
            return
        try:
            report = self._profile.report(_outcome_of(error))
        except ProfilingError:
            if error is None:
                raise
            return
        self._result = ProfileResult(report["bundle"], report["files"])
        if report["filesProblem"] is not None and error is None:
            raise ProfilingError(report["filesProblem"])

    @property
    def has_ended(self) -> bool:
        return self._result is not None

    def result(self) -> ProfileResult:
        assert self._result is not None, "asked for before the end"
        return self._result


def _check_process() -> None:
    """Raises RuntimeError, with what to do, where code can't be profiled."""
    from filprofiler import _tracker

    if not _tracker.is_loaded():
        msg = f"This process was not started by Fil. {HOW_TO_START}"
        raise RuntimeError(msg)
    if _tracker.is_forked():
        msg = (
            "This process was forked from one that Fil started (by multiprocessing, perhaps), and can't be profiled: "
            f"profile in the process that forked it. {HOW_TO_START}"
        )
        raise RuntimeError(msg)
    if _tracker.control() is None:
        msg = (
            "The whole program is being profiled already, by `fil-profile run`. To profile parts of it, start it with "
            "`fil-profile python` instead; to profile all of it, take this call out."
        )
        raise RuntimeError(msg)


def _outcome_of(error: BaseException | None) -> "Outcome":
    if error is None:
        return "completed"
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "error"


def _name_of(function: Callable[..., object]) -> str:
    name: str | None = getattr(function, "__qualname__", None)
    return name or repr(function)
