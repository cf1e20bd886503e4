"""`%%filprofile` and `%filprofile`: profile a cell without changing it, or an expression.

A magic that runs its body itself can't await, shifts line numbers, and loses results and status. So the line is taken
out before IPython compiles the cell, and the cell that runs is the user's; tracking is begun and ended around it by
IPython's events.
"""

import asyncio
import os
import sys
from dataclasses import replace
from types import CodeType
from typing import Any
from uuid import uuid4

from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    magics_class,
    needs_local_scope,
    no_var_expand,
    output_can_be_silenced,
)
from traitlets import Bool, default

from filprofiler import _control
from filprofiler._cell_events import CellEvents
from filprofiler._cells import KnownCells
from filprofiler._code import BOUNDARY, is_timed, run_body, run_line
from filprofiler._control import Outcome
from filprofiler._guard import Guard, contains_memory_error
from filprofiler._observed import Observer
from filprofiler._profiling import Profile, ProfilingError, writable_directory
from filprofiler._request import HELP, Request, parse_options, split_line
from filprofiler._sampled_cells import MEAN_BYTES, SampledCells
from filprofiler._sampled_profile import Cell as SampledCell
from filprofiler._sampled_profile import SampledNews, SampledProfile, begin

CHOOSE_KERNEL = (
    "Fil can't profile in this kernel: memory has to be tracked from a process's start. "
    'Choose the kernel "Python 3 with Fil" (in JupyterLab: Kernel > Change Kernel...) and run the cell again.'
)

LIVE_VARIABLE = "FIL_LIVE"
"""Environment variable that turns the live view off for all kernels of a server."""

LONGEST_TITLE = 80


@magics_class
class FilProfile(Magics):
    """Profiles memory, and shows the reports."""

    live = Bool(
        help="Whether a profiled cell shows its memory and its top lines while it runs. "
        f"By default on, unless the environment variable {LIVE_VARIABLE} is 0."
    ).tag(config=True)

    @default("live")
    def _live_by_default(self) -> bool:
        return os.environ.get(LIVE_VARIABLE, "1").strip().lower() not in ("0", "false", "no", "off")

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._shell = shell
        self._cells = KnownCells(shell)
        self.observer = Observer(shell)
        self.sampled_cells = SampledCells(shell)
        self._sampled_news = SampledNews(_control.client, self._cells.take_new)
        self._timed_display: tuple[object, str] | None = None

    @output_can_be_silenced
    @needs_local_scope
    @no_var_expand
    @line_cell_magic
    def filprofile(self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> Any:
        __tracebackhide__ = True
        # A cell that begins with the magic is seen by the events; here it is called beneath another magic.
        options, code = (line, cell) if cell is not None else split_line(line)
        request = parse_options(options, body=code)
        if cell is None:
            if not code:
                msg = (
                    'the line %filprofile wants code behind it, as %filprofile load("data.csv"). '
                    "%%filprofile above a cell profiles the cell."
                )
                raise UsageError(msg)
            request = _titled(request, code)
        for problem in request.problems:
            self.say(problem)
        number = self._shell.execution_count - 1
        profile = None if request.is_empty else self.begin(request, number, None, (BOUNDARY,))
        outcome: Outcome = "error"
        try:
            result = run_body(self._shell, code) if cell is not None else run_line(self._shell, code, local_ns)
            outcome = "completed"
        except (KeyboardInterrupt, asyncio.CancelledError):
            outcome = "interrupted"
            raise
        finally:
            if profile is not None:
                self.end(profile, request, outcome, number, memory_error=contains_memory_error(sys.exc_info()[1]))
        return result

    filprofile.__doc__ = HELP

    def begin(
        self, request: Request, number: int | None, cell_id: str | None, boundaries: tuple[CodeType, ...]
    ) -> Profile | None:
        """A running profile; None if there can't be one, which the reader was told."""
        try:
            if request.dask is not None:
                return self._begin_cluster(request, request.dask, number, cell_id, boundaries)
            return Profile(
                {"kind": "cell", "executionCount": number, "cellId": cell_id},
                boundaries=boundaries,
                title=request.title,
                cells=self._cells.take_new,
                parent_header=self._parent_header,
                output_directory=self._directory_for(request),
                live=self._is_live(request),
                limit_bytes=request.limit_bytes,
                headroom_bytes=request.headroom_bytes,
                guard=request.guard,
                children=request.children,
                exact_tree=request.exact_tree,
            )
        except ProfilingError as reason:
            self.say(f"this code runs without being profiled: {reason}.")
            return None

    def _begin_cluster(
        self,
        request: Request,
        client: str,
        number: int | None,
        cell_id: str | None,
        boundaries: tuple[CodeType, ...],
    ) -> "Profile":
        from filprofiler._cluster_cell import ClusterCell, client_of  # Dask, for those who have it

        return ClusterCell(
            client_of(client, self._shell.user_ns),
            {"kind": "cell", "executionCount": number, "cellId": cell_id},
            boundaries=boundaries,
            title=request.title,
            new_cells=self._cells.take_new,
            all_cells=KnownCells(self._shell).take_new,
            output_directory=self._directory_for(request),
            limit_bytes=request.limit_bytes,
            headroom_bytes=request.headroom_bytes,
            guard=request.guard,
            say=lambda text: self.say(f"{text}."),
        )

    @property
    def samples(self) -> bool:
        """Whether cells that nobody profiles are to be sampled."""
        return self.sampled_cells.are_wanted

    def begin_sampled(
        self, number: int | None, cell_id: str, boundaries: tuple[CodeType, ...]
    ) -> SampledProfile | None:
        """A running profile that samples; None if there can't be one, of which nothing is said."""
        subject = {"kind": "cell", "executionCount": number, "cellId": cell_id}
        return begin(SampledCell(subject, self._parent_header), boundaries, MEAN_BYTES, self._sampled_news)

    @property
    def _parent_header(self) -> dict[str, Any] | None:
        parent = getattr(self._shell, "parent_header", {})
        return parent.get("header", parent) or None

    def end(
        self, profile: Profile, request: Request, outcome: Outcome, number: int | None, *, memory_error: bool
    ) -> None:
        """Ends a profile and shows its report, if that is wanted."""
        try:
            report = profile.report(outcome, lambda: self.observer.observe(number), memory_error=memory_error)
        except ProfilingError as reason:
            self.say(f"there is no report: {reason}.")
            return
        except KeyboardInterrupt:
            self.say("there is no report: it was interrupted while it was made.")
            return
        if not request.quiet:
            self._display(report["bundle"])
        if report["filesProblem"]:
            self.say(f"{report['filesProblem']}.")
        elif report["files"] and not request.quiet:
            sys.stdout.write(f"The report is also in {', '.join(report['files'])}\n")

    def say(self, text: str) -> None:
        """Tells the reader a sentence."""
        sys.stderr.write(f"%%filprofile: {text}\n")

    def _display(self, bundle: dict[str, Any]) -> None:
        publish = self._shell.display_pub.publish
        if not is_timed():
            publish(bundle, metadata={})
            return
        # %timeit runs its code hundreds of times: one report, the last.
        run = getattr(self._shell, "parent_header", None)
        is_first = self._timed_display is None or self._timed_display[0] is not run
        if self._timed_display is None or is_first:
            self._timed_display = (run, uuid4().hex)
        publish(bundle, metadata={}, transient={"display_id": self._timed_display[1]}, update=not is_first)

    def _is_live(self, request: Request) -> bool:
        # What is captured must not be seen.
        is_captured = isinstance(self._shell.display_pub, CapturingDisplayPublisher)
        wanted = self.live if request.live is None else request.live
        return wanted and not request.quiet and not is_captured and not is_timed()

    def _directory_for(self, request: Request) -> str | None:
        if request.output_directory is None:
            return None
        try:
            return writable_directory(request.output_directory)
        except ProfilingError as reason:
            self.say(f"{reason}.")
            return None


def _titled(request: Request, code: str) -> Request:
    """A line among others: its code says which."""
    if request.title is not None:
        return request
    title = " ".join(code.split())
    return replace(request, title=title if len(title) <= LONGEST_TITLE else f"{title[: LONGEST_TITLE - 1]}…")


class _Installed:
    """What :func:`load` put into a shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._magics = FilProfile(shell)
        self._events = CellEvents(shell, self._magics)
        shell.register_magics(self._magics)
        # Before our own events: at the end of a profiled cell it is known what the cell has made.
        self._magics.observer.install()
        self._magics.sampled_cells.install()
        self._guard = Guard(shell)
        self._guard.install()
        self._events.install()

    def remove(self) -> None:
        self._guard.remove()
        self._events.remove()
        self._magics.observer.remove()
        self._magics.sampled_cells.remove()
        for kind in ("line", "cell"):
            self._shell.magics_manager.magics[kind].pop("filprofile", None)
        if self._magics in self._shell.configurables:
            self._shell.configurables.remove(self._magics)


_installed: _Installed | None = None


def load(shell: InteractiveShell) -> None:
    """Installs the magics into the shell of Fil's kernel.

    Raises:
        UsageError: in another kernel.
    """
    global _installed
    if _control.client() is None:
        raise UsageError(CHOOSE_KERNEL)
    if _installed is None:
        _installed = _Installed(shell)


def unload(_shell: InteractiveShell) -> None:
    """Takes the magics out again."""
    global _installed
    if _installed is not None:
        _installed.remove()
        _installed = None
