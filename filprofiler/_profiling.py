"""One profile of this process: the tracker, the thread pools and the proxy, begun and ended together."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import CodeType

from filprofiler import _control, _tracker
from filprofiler._control import CellSource, Outcome, Report
from filprofiler._result import ProfileResult, remember
from filprofiler._sampled_profile import give_way, one_at_a_time
from filprofiler._thread_pools import limit_to_one_thread


class ProfilingError(RuntimeError):
    """Why something is not profiled, for the user."""


_stopping = threading.RLock()


def writable_directory(path: str | Path) -> str:
    """The absolute path of a directory for report files, which is made if it does not exist.

    To be called before profiling begins: nobody wants to learn at the end of a long run that there is no report.

    Raises:
        ProfilingError: if it can't be made.
    """
    directory = Path(path).expanduser().absolute()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"the report can't be written into {directory}: {error.strerror}"
        raise ProfilingError(msg) from error
    return str(directory)


class Profile:
    """A running profile. Tracking stops at :meth:`stop`; :meth:`report` gives the report of what was tracked."""

    def __init__(
        self,
        subject: Mapping[str, object],
        *,
        boundaries: Sequence[CodeType],
        title: str | None = None,
        cells: Callable[[], list[CellSource]] = list,
        parent_header: Mapping[str, object] | None = None,
        output_directory: str | None = None,
        live: bool = False,
        limit_bytes: int | None = None,
        headroom_bytes: int | None = None,
        guard: bool | None = None,
        children: bool = True,
        exact_tree: bool | None = None,
    ) -> None:
        """Begins tracking.

        Args:
            subject: what is profiled, as in `schema/report.ts`.
            boundaries: call stacks are shown from the frames that code of these calls.
            title: the user's words for it.
            cells: makes the notebook's cells that are new to the proxy.
            parent_header: that of the request that runs it.
            output_directory: where report files are written however it ends; see :func:`writable_directory`.
            live: whether the cell of `parent_header` shows how it is going.
            limit_bytes: what the profiled code may hold.
            headroom_bytes: what has to be left meanwhile; None for what the process was started with, as with the next.
            guard: whether anything is done when it is not.
            children: whether processes that it starts are in the report.
            exact_tree: whether their joint peak is exact to the byte; None for the setting of Fil's process.

        Raises:
            ProfilingError: if another profile is running, or the tracker or the proxy refuses.
        """
        client = _control.client()
        if client is None:
            msg = "this process was not started by Fil"
            raise ProfilingError(msg)
        give_way()
        if not one_at_a_time.acquire(blocking=False):
            msg = "another profile is running, and there is one at a time"
            raise ProfilingError(msg)
        self._client = client
        self._tracking = False
        self._announced = False
        self._restore_pools: Callable[[], None] | None = None
        try:
            client.begin(
                subject,
                title=title,
                cells=cells(),
                parent_header=parent_header,
                output_directory=output_directory,
                live=live,
                limit_bytes=limit_bytes,
                headroom_bytes=headroom_bytes,
                guard=guard,
                children=children,
                exact_tree=exact_tree,
            )
            self._announced = True
            self._restore_pools = limit_to_one_thread()
            _tracker.begin(boundaries)
            self._tracking = True
        except BaseException as error:
            self._abandon()
            if isinstance(error, (_control.ControlError, _tracker.TrackerError)):
                raise ProfilingError(str(error)) from error
            raise

    def stop(self) -> None:
        """Ends tracking; the second time it does nothing."""
        # Marked as done after it is done: an interrupt in between makes the next call do it again, which does no harm.
        # Two threads that end one would end the profile that the first of them begins then.
        with _stopping:
            if self._tracking:
                _tracker.end()
                self._tracking = False
        if self._restore_pools is not None:
            self._restore_pools()
            self._restore_pools = None

    def report(
        self,
        outcome: Outcome,
        observe: Callable[[], Mapping[str, object]] | None = None,
        *,
        memory_error: bool = False,
    ) -> Report:
        """Ends the profile and returns its report.

        Args:
            outcome: how the profiled code ended.
            memory_error: whether that was by a MemoryError, or one was the cause.
            observe: tells, when tracking has ended, what this process knows beside its memory: an `Observed` of
                `schema/observed.ts`.

        Raises:
            ProfilingError: if there is none.
        """
        try:
            self.stop()
            report = self._client.end(
                outcome, None if observe is None else _observed(observe), memory_error=memory_error
            )
            self._remember(report)
            return report
        except (_control.ControlError, _tracker.TrackerError) as error:
            raise ProfilingError(str(error)) from error
        finally:
            one_at_a_time.release()

    def _remember(self, report: Report) -> None:
        remember(ProfileResult(report["bundle"], report["files"]))

    def _abandon(self) -> None:
        try:
            self.stop()
            if self._announced:
                self._client.cancel()
        except (_control.ControlError, _tracker.TrackerError):
            # The first failure is the one to tell.
            pass
        finally:
            one_at_a_time.release()


def _observed(observe: Callable[[], Mapping[str, object]]) -> Mapping[str, object] | None:
    try:
        return observe()
    except Exception:  # noqa: BLE001 (it asks objects of any library; a report without it is better than none)
        return None
