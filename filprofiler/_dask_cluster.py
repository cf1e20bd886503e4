"""A running profile of a Dask cluster's workers, as the client sees it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import distributed
from distributed.utils import sync

from filprofiler import _dask_worker, _tracker, workers
from filprofiler._dask_plugins import ProfilePlugin
from filprofiler._node_task import NodeTask
from filprofiler._profiling import ProfilingError
from filprofiler.workers import Missing

if TYPE_CHECKING:
    from distributed import Client

_MOST_NAMED = 5
_SCHEDULER = "scheduler"
_PROBE_SECONDS = 30.0
"""For a worker to answer, whose loop its tasks can hold up. One that takes longer joins as soon as it can."""
_JOIN_SECONDS = _PROBE_SECONDS + workers.START_SECONDS
_COLLECT_SECONDS = 60.0
_PLUGIN_SECONDS = 10.0
"""For the scheduler to know of a plugin, and to tell the workers, if they listen."""
_IS_HERE = "it is in the client's process"

HOW_TO_PRELOAD = (
    "call filprofiler.dask.preload() before the cluster is made, start workers with "
    "`dask worker --preload-nanny filprofiler.dask`, or call filprofiler.dask.preload(client), which restarts them"
)


class ClusterProfile:
    """A running profile of a cluster's workers."""

    def __init__(self, client: Client, *, say: Callable[[str], None], output_directory: str | None = None) -> None:
        """Begins it on all workers that there are, and has those that come later join.

        Args:
            client: of the cluster.
            say: is told if no worker can be profiled: the report will say so, but that can be hours later.
            output_directory: for the report's files.

        Raises:
            ProfilingError: as :meth:`filprofiler.dask.profile.__enter__`.
        """
        check_client(client)
        tidy_environment()
        self._client = client
        self._output_directory = output_directory
        self._name = workers.new_profile()
        self._machines: dict[str, str] = {}
        self._plugin = f"filprofiler-{self._name}"
        self._is_registered = False
        self._needs_nannies = False
        self._is_cut_off = False
        able, self._missing = examine(client)
        self._heartbeat = _Heartbeat(client, self._name)
        try:
            self._begin(able)
            if self._missing and not self._machines:
                is_any_elsewhere = any(not each["reason"].startswith(_IS_HERE) for each in self._missing.values())
                advice = f". To have them profiled: {HOW_TO_PRELOAD}" if is_any_elsewhere else ""
                say(f"no worker of the cluster can be profiled: {reasons(self._missing.values())}{advice}")
        except BaseException:
            self.abandon()
            raise
        self._heartbeat.start()

    def _begin(self, able: Sequence[str]) -> None:
        # Where it can't be registered those that come later are named as missing.
        with contextlib.suppress(Exception):
            plugin = ProfilePlugin(self._name, workers.version())
            self._of_plugin(self._client.register_plugin, plugin, name=self._plugin)
            self._is_registered = True
        if not able:
            return
        for address, answer in _ask(
            self._client, _dask_worker.join, self._name, addresses=able, seconds=_JOIN_SECONDS
        ).items():
            if isinstance(answer, BaseException):
                self._missing[address] = {"worker": address, "reason": _reason(answer)}
            else:
                self._machines.setdefault(answer["machine"], answer["host"])

    def finish(
        self,
        subject: Mapping[str, object],
        *,
        title: str | None,
        outcome: str,
        cells: Sequence[Mapping[str, object]],
        client_report: Mapping[str, object] | None = None,
    ) -> tuple[dict[str, Any], list[str], str | None]:
        """Ends it; returns the report as a MIME bundle, its files, and why files are missing.

        Raises:
            RuntimeError: if there is no report, with the reason.
        """
        self._heartbeat.stop()
        node = NodeTask()
        node.start()
        try:
            try:
                found, problems = self._collect()
            finally:
                self._end_on_workers()
            reason = "; ".join(dict.fromkeys(problems)) or "nobody there could be asked at the end"
            missing = [
                *self._missing.values(),
                *(
                    Missing(worker=f"workers on {host}", reason=reason)
                    for machine, host in self._machines.items()
                    if machine not in found
                ),
            ]
            if not found and not missing:
                missing = [Missing(worker="workers", reason="; ".join(problems) or "the cluster had none")]
            return workers.combine_into_bundle(
                list(found.values()),
                subject=subject,
                title=title,
                outcome=outcome,
                cells=cells,
                missing=missing,
                client=None if client_report is None else {"pid": os.getpid(), "report": client_report},
                output_directory=self._output_directory,
                node=node,
            )
        finally:
            node.end()

    def abandon(self) -> None:
        """Ends it without a report."""
        self._heartbeat.stop()
        self._ask_all(_dask_worker.discard)
        _dask_worker.discard(self._name)
        self._end_on_workers()

    def _collect(self) -> tuple[dict[str, bytes], list[str]]:
        """What was found on each machine, and what went wrong anywhere."""
        found: dict[str, bytes] = {}
        problems: list[str] = []
        for address, answer in self._ask_all(_dask_worker.part_of).items():
            if isinstance(answer, ProfilingError):
                problems.append(_reason(answer))
            elif isinstance(answer, BaseException):
                self._missing.setdefault(address, {"worker": address, "reason": _reason(answer)})
            else:
                if answer["absent"] is None:
                    # It has joined later, if it did not at the beginning.
                    self._missing.pop(address, None)
                else:
                    reason = _told(answer["absent"], answer["process"])
                    self._missing.setdefault(address, {"worker": answer["label"], "reason": reason})
                if answer["found"] is not None:
                    machine, data = answer["found"]
                    found[machine] = data
        # Where no worker lives any more its nanny may, or we are on the same machine.
        for ask in (self._ask_nannies, self._ask_here):
            if found and self._machines.keys() <= found.keys():
                break
            for answer in ask().values():
                if isinstance(answer, BaseException):
                    problems.append(_reason(answer))
                elif answer is not None:
                    machine, data = answer
                    found[machine] = data
        return found, problems

    def _of_plugin(self, call: Callable[..., Any], *args: object, **options: object) -> None:
        sync(self._client.loop, call, *args, callback_timeout=_PLUGIN_SECONDS, **options)

    def _ask_nannies(self) -> dict[str, Any]:
        self._needs_nannies = True
        return self._all_of(lambda: _ask_nannies(self._client, _dask_worker.collect, self._name))

    def _ask_here(self) -> dict[str, Any]:
        try:
            return {"client": _dask_worker.collect(self._name)}
        except ProfilingError as error:
            return {"client": error}

    def _end_on_workers(self) -> None:
        if not self._is_cut_off:
            # Also where registering has failed: some workers can have it.
            with contextlib.suppress(Exception):
                self._of_plugin(self._client.unregister_worker_plugin, self._plugin)
        if not self._is_registered:
            self._ask_all(_dask_worker.leave)
        if self._needs_nannies:
            self._all_of(lambda: _ask_nannies(self._client, _dask_worker.leave, self._name))
        # If this is the workers' machine.
        _dask_worker.leave(self._name)

    def _ask_all(self, function: Callable[..., object]) -> dict[str, Any]:
        return self._all_of(lambda: _ask(self._client, function, self._name, seconds=_COLLECT_SECONDS))

    def _all_of(self, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Answers, and exceptions in place of such; none if the scheduler has not answered before."""
        if self._is_cut_off:
            return {}
        try:
            return ask()
        except ProfilingError as error:
            # Once: each time takes as long as Dask waits for it.
            self._is_cut_off = True
            return {_SCHEDULER: error}


class _Heartbeat:
    """Renews the profile on all machines, on the client's own event loop."""

    def __init__(self, client: Client, profile: str) -> None:
        self._client = client
        self._profile = profile
        self._callback: Any = None

    def start(self) -> None:
        self._client.loop.add_callback(self._start)

    def _start(self) -> None:
        from tornado.ioloop import PeriodicCallback

        self._callback = PeriodicCallback(self._renew, workers.RENEW_SECONDS * 1000)
        self._callback.start()

    async def _renew(self) -> None:
        with contextlib.suppress(Exception):
            await self._client._run(_dask_worker.renew, self._profile, on_error="ignore")

    def stop(self) -> None:
        with contextlib.suppress(RuntimeError):  # a loop that is closed
            self._client.loop.add_callback(lambda: self._callback and self._callback.stop())


def check_client(client: Client) -> None:
    """Raises ProfilingError for what can't be asked."""
    if not isinstance(client, distributed.Client):
        msg = f"a distributed.Client is needed, and this is a {type(client).__name__}"
        raise ProfilingError(msg)
    if client.asynchronous:
        msg = "the client is asynchronous, and a synchronous one is needed: Client(address)"
        raise ProfilingError(msg)


def examine(client: Client) -> tuple[list[str], dict[str, Missing]]:
    """The addresses of the workers that can be profiled, and of the others why not.

    Raises:
        ProfilingError: if workers have another version of filprofiler, or the cluster can't be asked.
    """
    able: list[str] = []
    missing: dict[str, Missing] = {}
    others: list[str] = []
    for address, answer in _ask(client, _dask_worker.probe, seconds=_PROBE_SECONDS).items():
        if isinstance(answer, BaseException):
            missing[address] = {"worker": address, "reason": _reason(answer)}
        elif answer["version"] != workers.version():
            others.append(f"{answer['label']} has {answer['version']}")
        elif answer["why_not"] is not None:
            missing[address] = {"worker": answer["label"], "reason": _told(answer["why_not"], answer["process"])}
        else:
            able.append(address)
    if others:
        msg = (
            f"workers have another version of filprofiler than this process, {workers.version()}: {named(others)}. "
            "Install the same version everywhere"
        )
        raise ProfilingError(msg)
    return able, missing


def _ask(
    client: Client,
    function: Callable[..., object],
    *args: object,
    addresses: Sequence[str] | None = None,
    seconds: float,
) -> dict[str, Any]:
    """What workers answer, by their addresses, each within so many seconds; exceptions in place of such.

    Raises:
        ProfilingError: if nobody could be asked.
    """

    async def ask(address: str) -> Any:
        try:
            # In its own loop the client returns what is to be awaited.
            run = client.run(function, *args, workers=[address], on_error="return")
            return (await asyncio.wait_for(run, seconds))[address]
        except TimeoutError:
            return ProfilingError(f"it has not answered within {seconds:.0f} s")

    async def ask_all(asked: Sequence[str]) -> dict[str, Any]:
        return dict(zip(asked, await asyncio.gather(*map(ask, asked)), strict=True))

    with _asking(client):
        if addresses is None:
            addresses = list(client.scheduler_info(n_workers=-1)["workers"])
        answers: dict[str, Any] = sync(client.loop, ask_all, addresses)
    return answers


@contextlib.contextmanager
def _asking(client: Client) -> Iterator[None]:
    if client.status != "running":
        msg = f"the client is {client.status}"
        raise ProfilingError(msg)
    try:
        yield
    except Exception as error:  # a scheduler that has gone, by whatever its transport raises
        msg = f"the scheduler does not answer: {type(error).__name__}: {error}"
        raise ProfilingError(msg) from error


def _ask_nannies(client: Client, function: Callable[..., object], *args: object) -> dict[str, Any]:
    """As :func:`_ask`, of nannies."""
    with _asking(client):
        answers: dict[str, Any] = sync(
            client.loop, client.run, function, *args, nanny=True, on_error="return", callback_timeout=_COLLECT_SECONDS
        )
    return answers


def _told(reason: str, process: Sequence[object]) -> str:
    """A reason, of a worker that is a thread of this process in the words that help."""
    if tuple(process) != (socket.gethostname(), os.getpid()):
        return reason
    if _tracker.control() is not None:
        return f"{_IS_HERE}, which is profiled by itself"
    return f"{_IS_HERE}, as with processes=False: to profile that use a notebook of Fil's, or fil-profile run"


def _reason(error: BaseException) -> str:
    # Dask sends what a worker could not unpickle as the text of the exception.
    if "ModuleNotFoundError" in repr(error) and "filprofiler" in str(error):
        return f"its Python has no filprofiler: pip install filprofiler=={workers.version()}"
    if isinstance(error, ProfilingError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def reasons(missing: Iterable[Missing]) -> str:
    """Each reason once, with who has it."""
    by_reason: dict[str, list[str]] = {}
    for each in missing:
        by_reason.setdefault(each["reason"], []).append(each["worker"])
    return "; ".join(f"{named(who)}: {reason}" for reason, who in by_reason.items())


def named(names: Sequence[str]) -> str:
    """The first few of them."""
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def tidy_environment() -> None:
    """Takes the tracker out of this process's own environment, where nannies in it put it for their workers."""
    if os.environ.get("FIL_PROFILE") == "workers" and workers.why_not() is not None:
        mine = workers.environment()["LD_PRELOAD"]
        others = [each for each in os.environ.get("LD_PRELOAD", "").split(":") if each and each != mine]
        del os.environ["FIL_PROFILE"]
        if others:
            os.environ["LD_PRELOAD"] = ":".join(others)
        else:
            os.environ.pop("LD_PRELOAD", None)
