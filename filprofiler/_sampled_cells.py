"""Whether cells that nobody profiles are sampled: while a front end shows what they held.

It says so by a comm (`schema/sampled-cell.ts`), in which the proxy answers. Without one nothing happens.
"""

from typing import Any

from IPython.core.interactiveshell import InteractiveShell

SAMPLED_CELLS = "filprofiler.sampled-cells"
"""That of schema/sampled-cell.ts; the browser tests sample by it."""

MEAN_BYTES = 32 * 1024
"""One allocated byte in so many is sampled: that of jobs in production (native/tracker/production/job.cpp)."""


class SampledCells:
    """The comm of the front ends that want them."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._manager: Any = getattr(getattr(shell, "kernel", None), "comm_manager", None)
        # A reloaded page opens it anew. The end of a comm that is not kept would close the later one of its name.
        self._opened: list[Any] = []
        self.are_wanted = False

    def install(self) -> None:
        """Begins to listen."""
        if self._manager is not None:
            self._manager.register_target(SAMPLED_CELLS, self._open)

    def remove(self) -> None:
        """Undoes :meth:`install`."""
        self.are_wanted = False
        if self._manager is not None:
            self._manager.unregister_target(SAMPLED_CELLS, self._open)

    def _open(self, comm: Any, _message: dict[str, Any]) -> None:
        self._opened.append(comm)
        self.are_wanted = True
        comm.on_close(self._close)

    def _close(self, _message: dict[str, Any]) -> None:
        self.are_wanted = False
