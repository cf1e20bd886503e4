"""What Dask is given for its workers and nannies, those that come later too."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import NannyPlugin, WorkerPlugin

from filprofiler import workers

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Nanny, Worker

# A worker or nanny that can't load a plugin does not start. Where our library is missing, or is another version, it
# gets one that does nothing. As source: byte code is of one version of Python.
_LOAD = """
try:
    from {module} import {kind}
    plugin = {kind}(*{arguments!r})
except Exception:
    from distributed.diagnostics.plugin import {base} as Base
    plugin = Base()
"""


def _reduced(kind: type, base: type, *arguments: object) -> tuple[Callable[..., Any], tuple[str]]:
    """For `__reduce__`: an expression of built-in names, as that is all that a reader without our library has."""
    source = _LOAD.format(module=kind.__module__, kind=kind.__name__, base=base.__name__, arguments=arguments)
    return eval, (f"[names := {{}}, exec({source!r}, names)][0]['plugin']",)


class ProfilePlugin(WorkerPlugin):
    """In each worker: joins a profile, also if it comes later, as in the place of one that died."""

    idempotent = True

    def __init__(self, profile: str, version: str) -> None:
        """Takes part in a profile that a client of this version has begun."""
        self._profile = profile
        self._version = version

    def setup(self, worker: Worker) -> None:
        """Joins; of a worker that can't the client is told when it asks at the end."""
        from filprofiler import _dask_worker

        _dask_worker.join_or_say_why(self._profile, worker, self._version)

    def teardown(self, worker: Worker) -> None:  # noqa: ARG002 (Dask's signature)
        """Leaves."""
        from filprofiler import _dask_worker

        _dask_worker.leave(self._profile)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        """As source."""
        return _reduced(type(self), WorkerPlugin, self._profile, self._version)


class PreloadPlugin(NannyPlugin):
    """In each nanny: restarts its worker with the tracker, and starts later ones with it."""

    name = "filprofiler-preload"
    restart = True

    def setup(self, nanny: Nanny) -> None:
        """Changes the environment that it starts workers with."""
        spawn = nanny.pre_spawn_env
        spawn.update(workers.environment({**os.environ, **spawn}))

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        """As source."""
        return _reduced(type(self), NannyPlugin)
