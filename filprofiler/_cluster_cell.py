"""`%%filprofile --dask client`: a cell's own profile and that of a cluster's workers, in one report."""

from collections.abc import Callable, Mapping, Sequence
from types import CodeType
from typing import TYPE_CHECKING, Any

from filprofiler._control import CellSource, Outcome, Report
from filprofiler._profiling import Profile, ProfilingError
from filprofiler._result import REPORT_MIME_TYPE, ProfileResult, remember

if TYPE_CHECKING:
    from distributed import Client


def client_of(expression: str, names: Mapping[str, Any]) -> "Client":
    """The client that a cell's option names.

    Raises:
        ProfilingError: if there is none.
    """
    try:
        import filprofiler.dask  # noqa: F401 (says what is missing)
    except ImportError as error:
        raise ProfilingError(str(error)) from error
    try:
        client: Client = eval(expression, dict(names))
    except Exception as error:
        msg = f"--dask {expression}: {type(error).__name__}: {error}; name a client that an earlier cell has made"
        raise ProfilingError(msg) from error
    return client


class ClusterCell(Profile):
    """A running profile, of this process and the workers."""

    def __init__(
        self,
        client: "Client",
        subject: Mapping[str, object],
        *,
        boundaries: Sequence[CodeType],
        title: str | None,
        new_cells: Callable[[], list[CellSource]],
        all_cells: Callable[[], list[CellSource]],
        output_directory: str | None,
        limit_bytes: int | None,
        headroom_bytes: int | None,
        guard: bool | None,
        say: Callable[[str], None],
    ) -> None:
        """Begins both; what is missing of the workers is said.

        Raises:
            ProfilingError: if either can't be begun.
        """
        from filprofiler._dask_cluster import ClusterProfile

        self._subject = subject
        self._title = title
        self._all_cells = all_cells
        self._cluster = ClusterProfile(client, say=say, output_directory=output_directory)
        try:
            super().__init__(
                subject,
                boundaries=boundaries,
                title=title,
                cells=new_cells,
                limit_bytes=limit_bytes,
                headroom_bytes=headroom_bytes,
                guard=guard,
                # Workers that this process has started are told of by the cluster's part.
                children=False,
            )
        except BaseException:
            self._cluster.abandon()
            raise

    def report(
        self,
        outcome: Outcome,
        observe: Callable[[], Mapping[str, object]] | None = None,
        *,
        memory_error: bool = False,
    ) -> Report:
        """As :meth:`Profile.report`; the cell's own part is a process among the workers."""
        try:
            own = super().report(outcome, observe, memory_error=memory_error)
        except BaseException:
            self._cluster.abandon()
            raise
        try:
            bundle, files, problem = self._cluster.finish(
                self._subject,
                title=self._title,
                outcome=outcome,
                cells=[dict(cell) for cell in self._all_cells()],
                client_report=own["bundle"][REPORT_MIME_TYPE],
            )
        except RuntimeError as error:
            raise ProfilingError(str(error)) from error
        remember(ProfileResult(bundle, files))
        return {"type": "report", "id": own["id"], "bundle": bundle, "files": files, "filesProblem": problem}

    def _remember(self, report: Report) -> None:
        """What is remembered is the whole."""
