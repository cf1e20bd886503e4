"""Profiles the workers of a Dask cluster: which task, and which line of it, held the memory.

    from distributed import Client, LocalCluster
    from filprofiler.dask import preload, profile

    preload()                                   # before the workers are started
    client = Client(LocalCluster())
    with profile(client) as profiled:
        frame.groupby("key").mean().compute()
    profiled.result                             # a ProfileResult; in a notebook it is shown

In a notebook on Fil's kernel: `%%filprofile --dask client`. Workers that were started by others get the tracker by
`dask worker --preload-nanny filprofiler.dask`, by `preload(client)`, which restarts them, or by the variables that
`fil-profile preload --workers` shows.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from filprofiler import workers
from filprofiler._node_task import NodeTask
from filprofiler._profiling import ProfilingError, writable_directory
from filprofiler._result import ProfileResult, remember
from filprofiler.workers import Missing

try:
    import dask
    import distributed
    from distributed.diagnostics.plugin import NannyPlugin, WorkerPlugin

    from filprofiler import _dask_worker
except ImportError as error:
    msg = "filprofiler.dask needs the package distributed. Install it: pip install filprofiler[dask]"
    raise ImportError(msg) from error

if TYPE_CHECKING:
    from distributed import Client, Nanny, Worker

__all__ = ["environment", "preload", "profile"]

environment = workers.environment
"""For the `env` or `environment` of clusters of other packages; see :func:`filprofiler.workers.environment`."""

_SPAWN_ENVIRONMENT = "distributed.nanny.pre-spawn-environ"
_RESTART_SECONDS = 120.0
_MOST_NAMED = 5

HOW_TO_PRELOAD = (
    "call filprofiler.dask.preload() before the cluster is made, start workers with "
    "`dask worker --preload-nanny filprofiler.dask`, or call filprofiler.dask.preload(client), which restarts them"
)


def preload(client: Client | None = None) -> None:
    """Has workers start with the tracker, so that they can be profiled. It costs nothing until they are.

    Args:
        client: of a cluster that runs. Its workers are restarted by their nannies: what they hold is lost. Without one
            this concerns workers whose nannies are started by this process from now on, as by a LocalCluster.

    Raises:
        ProfilingError: if workers could not be restarted with it, naming them and why.
    """
    if client is None:
        known = dask.config.get(_SPAWN_ENVIRONMENT, default={})
        dask.config.set({_SPAWN_ENVIRONMENT: {**known, **environment({**os.environ, **known})}})
        return
    _check_client(client)
    before = client.scheduler_info(n_workers=-1)["workers"]
    without = [_label(address, info) for address, info in before.items() if not info.get("nanny")]
    if without:
        msg = (
            f"{_named(without)}: no nanny that could restart it. Start such workers with the variables that "
            "`fil-profile preload --workers` shows"
        )
        raise ProfilingError(msg)
    try:
        client.register_plugin(_PreloadPlugin(), name="filprofiler-preload")
        client.wait_for_workers(len(before), timeout=_RESTART_SECONDS)
    except ModuleNotFoundError as error:
        msg = f"the workers' Python has no {error.name}: install filprofiler there, in the version {workers.version()}"
        raise ProfilingError(msg) from error
    except Exception as error:
        msg = f"the workers' nannies did not restart them: {type(error).__name__}: {error}"
        raise ProfilingError(msg) from error
    finally:
        _tidy_environment()
    problems = [f"{each['worker']}: {each['reason']}" for each in _examine(client)[1]]
    if problems:
        msg = f"workers could not be restarted with the tracker: {_named(problems, '; ')}"
        raise ProfilingError(msg)


def dask_setup(server: Nanny | Worker) -> None:
    """What Dask calls for `--preload-nanny filprofiler.dask`, and for the configuration `distributed.nanny.preload`."""
    if not isinstance(server, distributed.Nanny):
        if workers.why_not() is not None:
            msg = f"filprofiler: {workers.why_not()}, or use --preload-nanny in place of --preload\n"
            sys.stderr.write(msg)
        return
    spawn = server.pre_spawn_env
    spawn.update(environment({**os.environ, **spawn}))


class _PreloadPlugin(NannyPlugin):
    name = "filprofiler-preload"
    restart = True

    def setup(self, nanny: Nanny) -> None:
        dask_setup(nanny)


class profile:  # noqa: N801 (used like a function)
    """Profiles all workers of a cluster while a block runs: `with profile(client) as profiled:`."""

    def __init__(
        self,
        client: Client,
        output: str | PathLike[str] | None = None,
        *,
        title: str | None = None,
        quiet: bool = False,
    ) -> None:
        """Prepares it.

        Args:
            client: of the cluster; workers that join it meanwhile are profiled too.
            output: a directory for the report's files; made if it does not exist, none if not given.
            title: shown above the report.
            quiet: whether a notebook does not show the report.
        """
        self._client = client
        self._title = title
        self._quiet = quiet
        self._output = output
        self._running: ClusterProfile | None = None
        self._result: ProfileResult | None = None

    @property
    def result(self) -> ProfileResult:
        """The profile, after the block.

        Raises:
            RuntimeError: before.
        """
        if self._result is None:
            msg = "There is no result yet: the block has not ended."
            raise RuntimeError(msg)
        return self._result

    def __enter__(self) -> Self:
        """Begins.

        Raises:
            ProfilingError: if no worker can be profiled, with the reason and what to do; or the workers have another
                version of filprofiler than this process.
        """
        directory = None if self._output is None else writable_directory(Path(self._output))
        self._running = ClusterProfile(self._client, output_directory=directory)
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        running, self._running = self._running, None
        if running is None:
            return
        outcome = "completed" if error is None else "interrupted" if isinstance(error, KeyboardInterrupt) else "error"
        try:
            bundle, files, problem = running.finish(
                {"kind": "call", "name": "profile"}, title=self._title, outcome=outcome, cells=_cells()
            )
        except RuntimeError:
            if error is None:
                raise
            return
        self._result = ProfileResult(bundle, files)
        remember(self._result)
        if not self._quiet:
            _show(bundle)
        if problem is not None and error is None:
            raise ProfilingError(problem)


class ClusterProfile:
    """A running profile of a cluster's workers."""

    def __init__(self, client: Client, *, output_directory: str | None = None) -> None:
        """Begins it on all workers.

        Raises:
            ProfilingError: as :meth:`profile.__enter__`.
        """
        _check_client(client)
        _tidy_environment()
        self._client = client
        self._output_directory = output_directory
        self._name = workers.new_profile()
        able, self._missing = _examine(client)
        if not able:
            reasons = _reasons(self._missing)
            msg = f"no worker of the cluster can be profiled: {reasons}. To have them profiled: {HOW_TO_PRELOAD}"
            raise ProfilingError(msg)
        self._plugin: str | None = None
        self._needs_nannies = False
        self._heartbeat = _Heartbeat(client, self._name)
        try:
            self._begin(able)
        except BaseException:
            self._end_on_workers()
            raise
        self._heartbeat.start()

    def _begin(self, able: Sequence[str]) -> None:
        if not self._missing:
            # Workers that come later, as in the place of one that was killed, join too.
            self._plugin = f"filprofiler-{self._name}"
            self._client.register_plugin(_ProfilePlugin(self._name), name=self._plugin)
        joined = self._client.run(_dask_worker.join, self._name, workers=list(able), on_error="return")
        self._machines = {}
        for address, answer in joined.items():
            if isinstance(answer, BaseException):
                self._missing.append({"worker": address, "reason": _reason(answer)})
            else:
                self._machines.setdefault(answer["machine"], answer["host"])
        if not self._machines:
            msg = f"no worker of the cluster can be profiled: {_reasons(self._missing)}"
            raise ProfilingError(msg)

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
            reason = "; ".join(problems) or "nobody there could be asked at the end"
            lost = [
                Missing(worker=f"workers on {host}", reason=reason)
                for machine, host in self._machines.items()
                if machine not in found
            ]
            if not found:
                msg = f"the cluster's workers could not be asked for their profiles: {_reasons(lost)}"
                raise ProfilingError(msg)
            return workers.combine_into_bundle(
                list(found.values()),
                subject=subject,
                title=title,
                outcome=outcome,
                cells=cells,
                missing=[*self._missing, *lost],
                client=None if client_report is None else {"pid": os.getpid(), "report": client_report},
                output_directory=self._output_directory,
                node=node,
            )
        finally:
            node.end()

    def abandon(self) -> None:
        """Ends it without a report."""
        self._heartbeat.stop()
        self._end_on_workers()

    def _collect(self) -> tuple[dict[str, bytes], list[str]]:
        """What was found on each machine, and what went wrong anywhere."""
        found: dict[str, bytes] = {}
        problems: list[str] = []
        # Where no worker lives any more its nanny may, or we are on the same machine.
        for ask in (
            lambda: self._ask_all(_dask_worker.collect),
            self._ask_nannies,
            self._ask_here,
        ):
            if self._machines.keys() <= found.keys():
                break
            for answer in ask().values():
                if isinstance(answer, BaseException):
                    problems.append(_reason(answer))
                elif answer is not None:
                    machine, data = answer
                    found[machine] = data
        return found, problems

    def _ask_nannies(self) -> dict[str, Any]:
        self._needs_nannies = True
        return self._ask_all(_dask_worker.collect, nanny=True)

    def _ask_here(self) -> dict[str, Any]:
        try:
            return {"client": _dask_worker.collect(self._name)}
        except ProfilingError as error:
            return {"client": error}

    def _end_on_workers(self) -> None:
        if self._plugin is None:
            self._ask_all(_dask_worker.leave)
        else:
            with contextlib.suppress(Exception):
                self._client.unregister_worker_plugin(self._plugin)
        if self._needs_nannies:
            self._ask_all(_dask_worker.leave, nanny=True)
        # If this is the workers' machine.
        _dask_worker.leave(self._name)

    def _ask_all(self, function: Callable[[str], object], *, nanny: bool = False) -> dict[str, Any]:
        try:
            answers: dict[str, Any] = self._client.run(function, self._name, nanny=nanny, on_error="return")
        except Exception as error:  # noqa: BLE001 (a scheduler that has gone, by whatever its transport raises)
            return {"scheduler": error}
        return answers


class _ProfilePlugin(WorkerPlugin):
    """In each worker: joins the profile, also if it comes later."""

    idempotent = True

    def __init__(self, profile: str) -> None:
        self._profile = profile

    def setup(self, worker: Worker) -> None:
        # Of a worker that can't join, those who ask it for its figures are told.
        with contextlib.suppress(ProfilingError):
            _dask_worker.join(self._profile, worker)

    def teardown(self, worker: Worker) -> None:  # noqa: ARG002 (Dask's signature)
        _dask_worker.leave(self._profile)


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


# What runs in the client.


def _check_client(client: Client) -> None:
    if not isinstance(client, distributed.Client):
        msg = f"a distributed.Client is needed, and this is a {type(client).__name__}"
        raise ProfilingError(msg)
    if client.asynchronous:
        msg = "the client is asynchronous, and a synchronous one is needed: Client(address)"
        raise ProfilingError(msg)


def _examine(client: Client) -> tuple[list[str], list[Missing]]:
    """The addresses of the workers that can be profiled, and why others can't.

    Raises:
        ProfilingError: if workers have another version of filprofiler, or there is no worker.
    """
    answers = client.run(_dask_worker.probe, on_error="return")
    if not answers:
        msg = "the cluster has no workers yet: client.wait_for_workers(1) waits for them"
        raise ProfilingError(msg)
    able: list[str] = []
    missing: list[Missing] = []
    others: list[str] = []
    for address, answer in answers.items():
        if isinstance(answer, BaseException):
            missing.append({"worker": address, "reason": _reason(answer)})
        elif answer["version"] != workers.version():
            others.append(f"{answer['label']} on {answer['host']} has {answer['version']}")
        elif answer["why_not"] is not None:
            missing.append({"worker": f"{answer['label']} on {answer['host']}", "reason": answer["why_not"]})
        else:
            able.append(address)
    if others:
        msg = (
            f"workers have another version of filprofiler than this process, {workers.version()}: {_named(others)}. "
            "Install the same version everywhere"
        )
        raise ProfilingError(msg)
    return able, missing


def _reason(error: BaseException) -> str:
    # Dask sends what a worker could not unpickle as the text of the exception.
    if "ModuleNotFoundError" in repr(error) and "filprofiler" in str(error):
        return f"its Python has no filprofiler: pip install filprofiler=={workers.version()}"
    if isinstance(error, ProfilingError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _reasons(missing: Sequence[Missing]) -> str:
    """Each reason once, with who has it."""
    by_reason: dict[str, list[str]] = {}
    for each in missing:
        by_reason.setdefault(each["reason"], []).append(each["worker"])
    return "; ".join(f"{_named(who)}: {reason}" for reason, who in by_reason.items())


def _named(names: Sequence[str], separator: str = ", ") -> str:
    more = len(names) - _MOST_NAMED
    return separator.join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _label(address: str, info: Mapping[str, Any]) -> str:
    return f"worker {info.get('name', address)}"


def _tidy_environment() -> None:
    """Takes the tracker out of this process's own environment, where nannies in it put it for their workers."""
    if os.environ.get("FIL_PROFILE") == "workers" and workers.why_not() is not None:
        mine = environment()["LD_PRELOAD"]
        others = [each for each in os.environ.get("LD_PRELOAD", "").split(":") if each and each != mine]
        del os.environ["FIL_PROFILE"]
        if others:
            os.environ["LD_PRELOAD"] = ":".join(others)
        else:
            os.environ.pop("LD_PRELOAD", None)


def _cells() -> list[Mapping[str, object]]:
    """The notebook's cells, if this is one."""
    if "IPython" not in sys.modules:
        return []
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is None:
        return []
    from filprofiler._cells import KnownCells

    return [dict(cell) for cell in KnownCells(shell).take_new()]


def _show(bundle: dict[str, Any]) -> None:
    if "IPython" not in sys.modules:
        return
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is not None:
        shell.display_pub.publish(bundle, metadata={})
