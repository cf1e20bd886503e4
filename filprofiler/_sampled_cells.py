"""Whether cells that nobody profiles are sampled: while a page shows what they held.

Pages say so by a comm each (`schema/sampled-cell.ts`), in which the proxy answers. Without one nothing happens.
"""

import threading
import time
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

SAMPLED_CELLS = "filprofiler.sampled-cells"
"""That of schema/sampled-cell.ts; the browser tests sample by it."""

MEAN_BYTES = 32 * 1024
"""One allocated byte in so many is sampled: that of jobs in production (native/tracker/production/job.cpp)."""

PATIENCE_SECONDS = 60.0
"""Once a page has left, the others have so long to open their comms again, as the proxy asks them to."""


class SampledCells:
    """The pages that want them."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._manager: Any = getattr(getattr(shell, "kernel", None), "comm_manager", None)
        # The end of a comm that is not kept would close the later one of its name.
        self._comms: list[Any] = []
        # Front ends send comms to subshells, which have threads of their own.
        self._lock = threading.Lock()
        self._opened_at: dict[str, float] = {}
        """By the ids of the pages' comms."""
        self._left_at: float | None = None
        """When a page left, if it is not certain yet which others are still there."""

    @property
    def are_wanted(self) -> bool:
        """Whether any page is there."""
        with self._lock:
            left_at = self._left_at
            if left_at is not None and time.monotonic() > left_at + PATIENCE_SECONDS:
                self._opened_at = {page: at for page, at in self._opened_at.items() if at >= left_at}
                self._left_at = None
            return bool(self._opened_at)

    def install(self) -> None:
        """Begins to listen."""
        if self._manager is not None:
            self._manager.register_target(SAMPLED_CELLS, self._open)

    def remove(self) -> None:
        """Undoes :meth:`install`."""
        with self._lock:
            self._opened_at.clear()
        if self._manager is not None:
            self._manager.unregister_target(SAMPLED_CELLS, self._open)

    def _open(self, comm: Any, _message: dict[str, Any]) -> None:
        with self._lock:
            self._comms.append(comm)
            self._opened_at[comm.comm_id] = time.monotonic()
        comm.on_close(self._close)

    def _close(self, message: dict[str, Any]) -> None:
        with self._lock:
            self._opened_at.pop(message["content"]["comm_id"], None)
            self._left_at = time.monotonic()
