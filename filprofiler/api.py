"""Profiling from Python code."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TypeVar

from filprofiler._control import Outcome

__all__ = ["profile"]

T = TypeVar("T")


def profile(code_to_profile: Callable[[], T], path: str | PathLike[str]) -> T:
    """Calls a function and writes a report of what it held in memory at its peak.

    Args:
        code_to_profile: called without arguments.
        path: the directory to write `index.html` into; made if it does not exist.

    Returns:
        what the function returns. What it raises is raised, after the report is written.

    Raises:
        RuntimeError: if this process can't be profiled, with what to do.
    """
    from filprofiler import _control  # ZeroMQ, for processes of Fil only

    if _control.client() is None:
        msg = (
            "This process was not started by Fil, which has to track memory from a process's start. "
            'Run this code in Jupyter with the kernel "Python 3 with Fil".'
        )
        raise RuntimeError(msg)
    return _profile_here(code_to_profile, Path(path))


def _profile_here(function: Callable[[], T], path: Path) -> T:
    from filprofiler._profiling import Profile, ProfilingError, writable_directory

    name = getattr(function, "__qualname__", None) or repr(function)
    running = Profile(
        {"kind": "call", "name": name},
        boundaries=[_profile_here.__code__],
        output_directory=writable_directory(path),
    )
    outcome: Outcome = "error"
    try:
        result = function()
        outcome = "completed"
    except KeyboardInterrupt:
        outcome = "interrupted"
        raise
    finally:
        problem = running.report(outcome)["filesProblem"]
    if problem is not None:
        raise ProfilingError(problem)
    return result
