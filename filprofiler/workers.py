"""Profiles the worker processes of any engine, on any number of machines: the hook that `filprofiler.dask` is made of.

Workers are started with the variables of :func:`environment`. Then, with one name for the whole profile:

    name = workers.new_profile()              # anywhere
    workers.join(name, "worker 3")            # in each worker process: from now on it is profiled
    workers.run_task("load", load, path)      # in a worker, if wanted: calls load(path) as a task with a name
    found = workers.collect(name)             # in a process of each machine, or in all: ends the profile there
    workers.leave(name)                       # in each worker process
    result = workers.combine([found, ...])    # where the reader is: a ProfileResult

On each machine the first worker starts a process that stands by the others and makes the machine's report: also of
workers that were killed. It ends by itself if nobody calls :func:`renew` (or another of these) for two minutes.
"""

import base64
import contextlib
import functools
import json
import os
import platform
import secrets
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypedDict, TypeVar

from filprofiler import _tracker
from filprofiler._node import CannotStart
from filprofiler._profiling import ProfilingError, writable_directory
from filprofiler._result import ProfileResult, remember
from filprofiler._sample import tracker_path

if TYPE_CHECKING:
    from filprofiler._node_task import NodeTask

__all__ = [
    "Collected",
    "Missing",
    "collect",
    "combine",
    "discard",
    "environment",
    "join",
    "leave",
    "new_profile",
    "renew",
    "run_task",
    "version",
    "why_not",
]

P = ParamSpec("P")
T = TypeVar("T")

START_SECONDS = 60.0
"""For Node to start, on a machine where everything else does too."""
ANSWER_SECONDS = 120.0
RENEW_SECONDS = 20.0
"""How often a profile is renewed; `kernel/src/cluster/attend.ts` waits six times as long."""

TASK_FILE = "<fil task>"
"""Of the code objects that name tasks; that of kernel/src/cluster/by-task.ts."""

_COLLECTING = "collecting"
_COLLECTED = "collected"
"""Files beside the socket, of whoever has asked for the machine's report and has got it."""
_LONGEST_SOCKET_PATH = 107
_MOST_TASK_NAMES = 10_000


Collected = tuple[str, bytes]
"""The machine, as :func:`join` names it, and what was found there, some 100 kB."""


class Missing(TypedDict):
    """A worker of which a report knows nothing."""

    worker: str
    reason: str


@functools.cache
def version() -> str:
    """That of filprofiler; all machines need the same."""
    from importlib.metadata import version

    return version("filprofiler")


def environment(others: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables with which worker processes have to be started, and by which what they start can join too.

    They cost nothing until a profile begins. Processes in which nobody calls :func:`join` are left alone.

    Args:
        others: the environment of the workers, if that is known: what it preloads stays.

    Raises:
        ProfilingError: if the tracker can't be preloaded by its path.
    """
    try:
        path = tracker_path()
    except CannotStart as reason:
        raise ProfilingError(str(reason)) from reason
    preloaded = [each for each in (others or {}).get("LD_PRELOAD", "").replace(":", " ").split() if each != path]
    # First, as the tracker takes itself out there.
    return {"LD_PRELOAD": ":".join([path, *preloaded]), "FIL_PROFILE": "workers"}


def new_profile() -> str:
    """A name for a profile: nobody can guess it."""
    return secrets.token_hex(16)


def why_not() -> str | None:
    """Why this process can't be profiled, as a sentence; None if it can."""
    if not _tracker.is_loaded():
        return f"{_tracker.NOT_PRELOADED}: start it with the variables that `fil-profile preload --workers` shows"
    if _tracker.control() is not None:
        return "this process is profiled by itself already, by Fil's kernel or fil-profile"
    return None


class _Joined(NamedTuple):
    """A profile that this process takes part in."""

    pid: int
    """Of who has joined: a forked child knows of it too."""
    tree_before: str
    answer: dict[str, str]


_joined: dict[str, _Joined] = {}


def join(
    profile: str, worker: str, *, limit_bytes: int | None = None, clock_offset_seconds: float = 0.0
) -> dict[str, str]:
    """Has this process profiled from now on; the second time it does nothing.

    Args:
        profile: of :func:`new_profile`.
        worker: what to call this process in the report.
        limit_bytes: what it may hold, if somebody ends it otherwise.
        clock_offset_seconds: to be added to this machine's clock, for one that all machines know.

    Returns:
        `host`, and `machine`, which is the same for all processes that one report is made of.

    Raises:
        ProfilingError: if it can't be, with the reason.
    """
    known = _joined.get(profile)
    if known is not None and known.pid == os.getpid():
        return known.answer
    problem = why_not()
    if problem is not None:
        raise ProfilingError(problem)
    place = _meet(profile)
    answer = _ask(
        place,
        {
            "type": "join",
            "pid": os.getpid(),
            "name": worker,
            "limitBytes": limit_bytes,
            "clockOffsetSeconds": clock_offset_seconds,
            "workingDirectory": str(Path.cwd()),
        },
    )
    before = _tracker.tree_directory()
    try:
        _tracker.move_to_tree(answer["directory"])
    except _tracker.TrackerError as error:
        raise ProfilingError(str(error)) from error
    _joined[profile] = _Joined(os.getpid(), before, {"host": answer["host"], "machine": answer["directory"]})
    return _joined[profile].answer


def leave(profile: str) -> None:
    """Ends what :func:`join` began; the process is again where it was before. Never fails.

    What it held stays in the profile, which the others go on with, until somebody has collected it.
    """
    known = _joined.pop(profile, None)
    if known is not None:
        before = known.tree_before
        # If it can't go back, it is in none.
        with contextlib.suppress(_tracker.TrackerError):
            _tracker.move_to_tree(before if before and Path(before).exists() else _tracker.STANDING_BY)
    place = _place(profile)
    if (place / _COLLECTED).exists():
        _ask_if_there(place, {"type": "end"})


def discard(profile: str) -> None:
    """Ends the profile on this machine without a report. Never fails."""
    place = _place(profile)
    if (place / "socket").exists():
        _ask_if_there(place, {"type": "end"})


def renew(profile: str) -> None:
    """Keeps the profile going on this machine. Never fails."""
    _ask_if_there(_place(profile), {"type": "renew"})


def collect(profile: str) -> Collected | None:
    """Ends the profile on this machine.

    Returns:
        what is for :func:`combine`; None if nobody has joined here, or it was collected already.

    Raises:
        ProfilingError: if there is no report, with the reason.
    """
    place = _place(profile)
    if not place.exists():
        return None
    try:
        os.close(os.open(place / _COLLECTING, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return None
    try:
        data = _send(place, {"type": "report"})
        machine = _ask(place, {"type": "renew"})["directory"]
    except OSError as error:
        (place / _COLLECTING).unlink(missing_ok=True)
        msg = f"Fil's process on this machine has gone: {error.strerror or error}"
        raise ProfilingError(msg) from error
    # From now on the first who leaves ends it; whoever left before, as a worker that was retired, did not.
    with contextlib.suppress(OSError):
        (place / _COLLECTED).touch(0o600)
    if data[:2] != b"\x1f\x8b":
        raise ProfilingError(json.loads(data).get("problem", "it is not readable"))
    return machine, data


def combine(
    machines: Iterable[Collected | None],
    *,
    subject: Mapping[str, object] | None = None,
    title: str | None = None,
    outcome: str = "completed",
    cells: Sequence[Mapping[str, object]] = (),
    missing: Sequence[Missing] = (),
    client: Mapping[str, object] | None = None,
    output: str | os.PathLike[str] | None = None,
) -> ProfileResult:
    """Makes one report of what :func:`collect` returned on all machines.

    Args:
        machines: what :func:`collect` has returned, wherever that was.
        subject: what was profiled, as in `schema/report.ts`.
        title: shown above the report.
        outcome: how it ended: `completed`, `error` or `interrupted`.
        cells: the notebook's cells, whose functions the workers ran.
        missing: workers that the report is to name as missing.
        client: this process's own report, to be among the others.
        output: a directory for the report's files; none if not given.

    Raises:
        RuntimeError: if it can't be made, or its files can't be written.
    """
    bundle, files, problem = combine_into_bundle(
        [each[1] for each in machines if each is not None],
        subject=subject or {"kind": "call", "name": "workers"},
        title=title,
        outcome=outcome,
        cells=cells,
        missing=missing,
        client=client,
        output_directory=None if output is None else writable_directory(Path(output)),
    )
    if problem is not None:
        raise ProfilingError(problem)
    result = ProfileResult(bundle, files)
    remember(result)
    return result


def combine_into_bundle(
    machines: Sequence[bytes],
    *,
    subject: Mapping[str, object],
    title: str | None,
    outcome: str,
    cells: Sequence[Mapping[str, object]],
    missing: Sequence[Missing],
    client: Mapping[str, object] | None,
    output_directory: str | None,
    node: "NodeTask | None" = None,
) -> tuple[dict[str, Any], list[str], str | None]:
    """As :func:`combine`, by a Node that was started before, if there is one.

    Returns the MIME bundle, the files, and why files are missing.
    """
    from filprofiler._node_task import NodeTask

    answer = (node or NodeTask()).ask(
        {
            "type": "join",
            "subject": subject,
            "title": title,
            "outcome": outcome,
            "cells": list(cells),
            "missing": list(missing),
            "machines": [base64.b64encode(data).decode() for data in machines],
            "client": client,
            "pythonVersion": platform.python_version(),
            "outputDirectory": output_directory,
        }
    )
    return answer["bundle"], answer["files"], answer["filesProblem"]


def _call(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    return function(*args, **kwargs)


async def _call_async(function: Callable[..., Any], /, *args: object, **kwargs: object) -> Any:
    return await function(*args, **kwargs)


@functools.lru_cache(_MOST_TASK_NAMES)
def _named(caller: FunctionType, name: str) -> Callable[..., Any]:
    """A function like the caller, whose frames say the name."""
    code = caller.__code__.replace(co_name=name, co_qualname=name, co_filename=TASK_FILE)
    return FunctionType(code, caller.__globals__, name)


def run_task(name: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls a function as a task: in reports of this process its call stacks begin below the task's name."""
    value: T = _named(_call, name)(function, *args, **kwargs)
    return value


async def run_task_async(name: str, function: Callable[..., Any], /, *args: object, **kwargs: object) -> Any:
    """As :func:`run_task`, for a coroutine function."""
    return await _named(_call_async, name)(function, *args, **kwargs)


def _place(profile: str) -> Path:
    """The directory where the processes of this machine find the one that stands by them."""
    name = f"fil-cluster-{os.getuid()}-{profile}"
    place = Path(tempfile.gettempdir(), name)
    return place if len(os.fsencode(place / "socket")) <= _LONGEST_SOCKET_PATH else Path("/tmp", name)


def _meet(profile: str) -> Path:
    """The same; whoever comes first starts the process."""
    place = _place(profile)
    try:
        place.mkdir(0o700)
    except FileExistsError:
        found = place.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            msg = f"{place} is not a directory of this user only, so it was not used"
            raise ProfilingError(msg) from None
        _wait_for(place, None)
        return place
    except OSError as error:
        msg = f"{place} can't be made: {error.strerror}; set TMPDIR to a directory that can be written"
        raise ProfilingError(msg) from error
    try:
        command = node_command_for(place)
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                command[0],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=command[1],
                cwd="/",
                start_new_session=True,
            )
            try:
                _wait_for(place, process)
            except ProfilingError as error:
                said.seek(0)
                lines = said.read(10_000).decode(errors="replace").strip().splitlines()
                msg = f"{error}{f': {lines[0]}' if lines else ''}"
                raise ProfilingError(msg) from None
    except BaseException:
        # For whoever comes next.
        for leftover in place.glob("*"):
            leftover.unlink(missing_ok=True)
        place.rmdir()
        raise
    _running.append(process)
    return place


_running: list[subprocess.Popen[bytes]] = []
"""Kept, as Python warns of processes that it forgets."""


def node_command_for(place: Path) -> tuple[list[str], dict[str, str]]:
    """The command that stands by the processes of this machine, and its environment.

    Raises:
        ProfilingError: if there is none.
    """
    from filprofiler._node_task import node_command, node_environment

    _running[:] = [process for process in _running if process.poll() is None]
    try:
        return node_command("attend", str(place)), node_environment()
    except RuntimeError as error:
        raise ProfilingError(str(error)) from error


def _wait_for(place: Path, process: subprocess.Popen[bytes] | None) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if _ask_if_there(place, {"type": "renew"}):
            return
        if process is not None and process.poll() is not None:
            msg = "Fil's process on this machine ended as it was started"
            raise ProfilingError(msg)
        if process is None and not place.exists():
            msg = "Fil's process on this machine could not be started; another worker has the reason"
            raise ProfilingError(msg)
        time.sleep(0.01)
    msg = f"Fil's process on this machine did not answer within {START_SECONDS:.0f} s"
    raise ProfilingError(msg)


def _ask(place: Path, request: Mapping[str, object]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(_send(place, request))
    if "problem" in answer:
        raise ProfilingError(answer["problem"])
    return answer


def _ask_if_there(place: Path, request: Mapping[str, object]) -> bool:
    try:
        _send(place, request)
    except OSError:
        return False
    return True


def _send(place: Path, request: Mapping[str, object]) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_SECONDS)
        connection.connect(str(place / "socket"))
        connection.sendall(json.dumps(request).encode())
        connection.shutdown(socket.SHUT_WR)
        received = bytearray()
        while part := connection.recv(1 << 16):
            received += part
    if not received:
        msg = "the connection was closed without an answer"
        raise ConnectionResetError(0, msg)
    return bytes(received)
