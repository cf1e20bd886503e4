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

import os
import sys
import warnings
from collections.abc import Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from filprofiler import workers
from filprofiler._profiling import ProfilingError, writable_directory
from filprofiler._result import ProfileResult, remember

try:
    import dask
    import distributed

    from filprofiler._dask_cluster import ClusterProfile, check_client, examine, named, reasons, tidy_environment
    from filprofiler._dask_plugins import PreloadPlugin
except ImportError as error:
    msg = "filprofiler.dask needs the package distributed. Install it: pip install filprofiler[dask]"
    raise ImportError(msg) from error

if TYPE_CHECKING:
    from distributed import Client, Nanny, Worker

__all__ = ["environment", "preload", "profile"]

environment = workers.environment
"""For the `env` or `environment` of clusters of other packages; see :func:`filprofiler.workers.environment`."""

_SPAWN_ENVIRONMENT = "distributed.nanny.pre-spawn-environ"
_RESTART_SECONDS = 60.0


def preload(client: Client | None = None) -> None:
    """Has workers start with the tracker, so that they can be profiled. It costs nothing until they are.

    Args:
        client: of a cluster that runs. Its workers are restarted by their nannies: what they hold is lost. Without one
            this concerns workers whose nannies are started by this process from now on, as by a LocalCluster.

    Of workers that can't be started with it a warning tells, and why; so do reports later.

    Raises:
        ProfilingError: if the workers have another version of filprofiler than this process, or can't be asked.
    """
    if client is None:
        known = dask.config.get(_SPAWN_ENVIRONMENT, default={})
        dask.config.set({_SPAWN_ENVIRONMENT: {**known, **environment({**os.environ, **known})}})
        return
    check_client(client)
    refusal = _restart(client)
    tidy_environment()
    missing = examine(client)[1]
    if missing:
        said = f"{refusal}; " if refusal else ""
        _warn(f"workers could not be restarted with the tracker: {said}{reasons(missing.values())}", levels=1)


def _restart(client: Client) -> str | None:
    """Has nannies restart the workers; returns why they did not, if they said so."""
    before = client.scheduler_info(n_workers=-1)["workers"]
    without = [f"worker {info.get('name', address)}" for address, info in before.items() if not info.get("nanny")]
    if len(without) < len(before):
        try:
            client.register_plugin(PreloadPlugin(), name=PreloadPlugin.name)
            client.wait_for_workers(len(before), timeout=_RESTART_SECONDS)
        except Exception as error:  # noqa: BLE001 (whatever a nanny has raised)
            return f"their nannies refused: {type(error).__name__}: {error}"
    return f"{named(without)}: no nanny that could restart it" if without else None


def dask_setup(server: Nanny | Worker) -> None:
    """What Dask calls for `--preload-nanny filprofiler.dask`, and for the configuration `distributed.nanny.preload`."""
    if isinstance(server, distributed.Nanny):
        PreloadPlugin().setup(server)
    elif workers.why_not() is not None:
        sys.stderr.write(f"filprofiler: {workers.why_not()}, or use --preload-nanny in place of --preload\n")


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
            ProfilingError: if the workers have another version of filprofiler than this process, the client is none
                that can be asked, or `output` can't be written. Of workers that can't be profiled the report tells,
                and a warning if that are all.
        """
        directory = None if self._output is None else writable_directory(Path(self._output))
        self._running = ClusterProfile(self._client, say=partial(_warn, levels=2), output_directory=directory)
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


def _warn(text: str, levels: int) -> None:
    """Warns at the user's line, so many calls above the caller."""
    warnings.warn(f"filprofiler: {text}", RuntimeWarning, stacklevel=2 + levels)


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
