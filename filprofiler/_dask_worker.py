"""What runs in the workers of a Dask cluster that is profiled; they import it by its name."""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from dask.utils import key_split
from distributed.utils import thread_state

from filprofiler import workers

if TYPE_CHECKING:
    from distributed import Worker


class Probed(TypedDict):
    """Who a worker is, and why it could not be profiled."""

    version: str
    why_not: str | None
    label: str
    process: tuple[str, int]


class Part(TypedDict):
    """A worker's part of a profile."""

    label: str
    process: tuple[str, int]
    absent: str | None
    """Why it took no part."""
    found: workers.Collected | None
    """Its machine, and what was found there; None for all workers of a machine but the first who is asked."""


def probe(dask_worker: Worker) -> Probed:
    """Asks a worker."""
    return {
        "version": workers.version(),
        "why_not": workers.why_not(),
        "label": _label(dask_worker),
        "process": _process(),
    }


def _label(dask_worker: Worker) -> str:
    return f"worker {dask_worker.name} on {socket.gethostname()}"


def _process() -> tuple[str, int]:
    """The same for a worker that is a thread of the client's process."""
    return socket.gethostname(), os.getpid()


_profiles: set[str] = set()
"""That this process takes part in as a worker."""
_refusals: dict[str, str] = {}
"""Of profiles that it takes no part in: why."""


def join(profile: str, dask_worker: Worker) -> dict[str, str]:
    """Takes part in a profile; returns the machine and its name.

    Raises:
        ProfilingError: if it can't.
    """
    limit = getattr(getattr(dask_worker, "memory_manager", None), "memory_limit", None)
    answer = workers.join(
        profile,
        f"worker {dask_worker.name}",
        limit_bytes=limit or None,
        clock_offset_seconds=float(getattr(dask_worker, "scheduler_delay", 0.0)),
    )
    _profiles.add(profile)
    _name_tasks()
    return answer


def join_or_say_why(profile: str, dask_worker: Worker, version: str) -> None:
    """As :func:`join`, for a client of this version, who will ask at the end why this process did not. Never fails."""
    if version != workers.version():
        _refusals[profile] = f"it has filprofiler {workers.version()}, and the client has {version}"
        return
    try:
        join(profile, dask_worker)
    except Exception as error:  # noqa: BLE001 (the worker is to start)
        _refusals[profile] = str(error)


def part_of(profile: str, dask_worker: Worker) -> Part:
    """What the client asks each worker at the end.

    Raises:
        ProfilingError: if this machine has no report, with the reason.
    """
    absent = None if profile in _profiles else _refusals.get(profile, "it came when the profile had begun already")
    return {
        "label": _label(dask_worker),
        "process": _process(),
        "absent": absent,
        "found": workers.collect(profile),
    }


def leave(profile: str) -> None:
    """Takes part no more. Does nothing if it did not."""
    _profiles.discard(profile)
    _refusals.pop(profile, None)
    _restore_tasks()
    workers.leave(profile)


def collect(profile: str) -> workers.Collected | None:
    """This machine, and what was found on it; None if nobody there took part."""
    return workers.collect(profile)


def discard(profile: str) -> None:
    """Nobody will collect it."""
    workers.discard(profile)


def renew(profile: str) -> None:
    """Tells the machine that the client still profiles."""
    workers.renew(profile)


_originals: dict[str, Callable[..., Any]] = {}
_TASK_FUNCTIONS = ("_run_task_simple", "_run_task_async", "apply_function_simple", "apply_function_async")
"""Of distributed.worker, in its different versions: what runs a task on its own thread. Without them tasks have no
names in the report, and nothing else is missing."""


def _name_tasks() -> None:
    import distributed.worker as module

    for name in _TASK_FUNCTIONS:
        original = getattr(module, name, None)
        if original is not None and name not in _originals:
            _originals[name] = original
            setattr(module, name, _naming(original, is_async=name.endswith("_async")))


def _restore_tasks() -> None:
    import distributed.worker as module

    if not _profiles:
        for name, original in _originals.items():
            setattr(module, name, original)
        _originals.clear()


def _naming(original: Callable[..., Any], *, is_async: bool) -> Callable[..., Any]:
    if is_async:

        @functools.wraps(original)
        async def run_async(*args: object, **kwargs: object) -> Any:
            return await workers.run_task_async(_prefix(args), original, *args, **kwargs)

        return run_async

    @functools.wraps(original)
    def run(*args: object, **kwargs: object) -> Any:
        return workers.run_task(_prefix(args), original, *args, **kwargs)

    return run


def _prefix(args: Sequence[object]) -> str:
    """The task's name without what tells it from others of its kind: `read-csv` of `('read-csv-8a1f…', 3)`."""
    try:
        key = getattr(args[0], "key", None) if args else None
        return str(key_split(getattr(thread_state, "key", None) if key is None else key))
    except Exception:  # noqa: BLE001 (a task is not to fail for its name)
        return "task"
