"""The figures of finished profiles, for programs."""

import base64
import gzip
import json
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from filprofiler._control import ControlClient
    from filprofiler._node_task import NodeTask

REPORT_MIME_TYPE = "application/vnd.fil.memory-profile+json"
"""That of schema/report.ts."""


MOST_PROFILES = 100
"""Kept; each is some ten kilobytes."""


class Line(TypedDict):
    """A line of the program, as a row of a table."""

    bytes: int
    """Held at the peak by the line itself and, for the user's own lines, by what it called in libraries."""
    share: float
    """Of the peak, 0 to 1."""
    total_bytes: int
    """By the line and everything that it called."""
    file: str
    """`Cell [7]` or a path; empty for memory of no line."""
    line: int
    function: str
    source: str


class Stack(TypedDict):
    """A call stack, as a row of a table."""

    bytes: int
    """Held at the peak by the innermost frame itself."""
    share: float
    """Of the peak, 0 to 1."""
    stack: list[str]
    """`file:line (function)`, outermost first."""


class Moment(TypedDict):
    """A sample of the memory over time, as a row of a table."""

    seconds: float
    """Since the start."""
    bytes: int


class ProfileResult:
    """What was found; cheap to make and to keep, as the report is unpacked when it is first asked for."""

    def __init__(self, bundle: Mapping[str, Any], files: list[str]) -> None:
        """Takes the answer to the end of a profile: a MIME bundle, and the absolute paths of the files."""
        self._bundle = bundle
        self._envelope: Mapping[str, Any] = bundle[REPORT_MIME_TYPE]
        self.summary = str(bundle["text/plain"])
        """The peak and the lines that held most of it, in words; less than a kilobyte."""
        self.files: tuple[Path, ...] = tuple(map(Path, files))
        """The report's files, absolute; none if no directory was given."""

    @property
    def peak_bytes(self) -> int:
        """Most bytes that were held at once of what was allocated while memory was tracked."""
        return int(self._envelope["peakBytes"])

    @property
    def retained_bytes(self) -> int:
        """Bytes of these allocations that were still held at the end."""
        return int(self.report["retainedBytes"])

    @property
    def duration_seconds(self) -> float:
        """How long memory was tracked."""
        return float(self.report["durationSeconds"])

    @property
    def title(self) -> str | None:
        """The user's words for it."""
        title: str | None = self.report["title"]
        return title

    @property
    def outcome(self) -> str:
        """How the code ended: `completed`, `error` or `interrupted`."""
        return str(self.report["outcome"]["kind"])

    @property
    def started_at(self) -> datetime:
        """When it began, in UTC."""
        return datetime.fromisoformat(self.report["startedAt"])

    @property
    def execution_count(self) -> int | None:
        """The n of the cell's `In [n]`; None for others than cells."""
        count: int | None = self.report["subject"].get("executionCount")
        return count

    @property
    def cell_id(self) -> str | None:
        """The cell's id in the notebook, where the front end told it."""
        cell: str | None = self.report["subject"].get("cellId")
        return cell

    @cached_property
    def report(self) -> dict[str, Any]:
        """The report as notebooks store it: `schema/report.schema.json` describes it. Not to be changed."""
        report: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(self._envelope["data"])))
        return report

    def lines(self) -> list[Line]:
        """The lines that held the peak, most first, as records: `pandas.DataFrame(profile.lines())`.

        Raises:
            RuntimeError: in a process that was forked from the profiled one.
        """
        peak = max(1, self.peak_bytes)
        return [
            {
                "bytes": each["bytes"],
                "share": each["bytes"] / peak,
                "total_bytes": each["totalBytes"],
                "file": each["file"],
                "line": each["line"],
                "function": each["function"],
                "source": each["source"],
            }
            for each in _client().lines(self._envelope)
        ]

    def stacks(self) -> list[Stack]:
        """The call stacks that held the peak, most first, as records; what the report leaves out is `[other]`."""
        frames, tree = self.report["frames"], self.report["tree"]
        names = [
            _frame_name(*frame)
            for frame in zip(frames["kind"], frames["file"], frames["line"], frames["function"], strict=True)
        ]
        stack: list[str] = []
        depths: list[int] = []
        found: list[Stack] = []
        # In pre-order: a node's callers are those of the node before it, as far as they reach.
        for parent, frame, own in zip(tree["parent"], tree["frame"], tree["selfBytes"], strict=True):
            depths.append(0 if parent < 0 else depths[parent] + 1)
            del stack[max(0, depths[-1] - 1) :]
            if parent >= 0:
                stack.append(names[frame])
            if own > 0:
                found.append({"bytes": own, "share": own / max(1, self.peak_bytes), "stack": stack.copy()})
        return sorted(found, key=lambda each: -each["bytes"])

    def timeline(self) -> list[Moment]:
        """Bytes held over time, sampled, as records; short steps may be missing."""
        times = self.report["timeline"]
        return [{"seconds": at, "bytes": held} for at, held in zip(times["seconds"], times["bytes"], strict=True)]

    def save(self, path: str | PathLike[str]) -> list[Path]:
        """Writes the report.

        Args:
            path: `.html` for a page of its own, `.svg` for a picture, `.json`, `.csv` (lines) or `.prof` (collapsed
                stacks) for programs; without such an end, a directory for all files of a report.

        Returns:
            the files, absolute.

        Raises:
            RuntimeError: if it can't be written, with the reason.
        """
        target = Path(path).expanduser().absolute()
        return [Path(file) for file in _client().save(self._envelope, str(target))]

    def _repr_mimebundle_(self, **_options: object) -> dict[str, Any]:
        """The report as its cell shows it."""
        return dict(self._bundle)

    def __repr__(self) -> str:
        return f"<ProfileResult: {self.peak_bytes:,} bytes at the peak>"


def _frame_name(kind: str, file: str, line: int, function: str) -> str:
    if kind == "python":
        return f"{file}:{line} ({function})"
    what = function if kind in ("process", "task") else file
    return f"[{kind}] {what}".rstrip() if what else f"[{kind}]"


def _client() -> "ControlClient | NodeTask":
    from filprofiler import _tracker

    if _tracker.control() is not None:
        from filprofiler import _control

        client = _control.client()
        if client is not None:
            return client
    from filprofiler._node_task import NodeTask

    return NodeTask()


_profiles: deque[ProfileResult] = deque(maxlen=MOST_PROFILES)


def remember(profile: ProfileResult) -> None:
    """Adds the latest profile."""
    _profiles.append(profile)


def last_profile() -> ProfileResult:
    """See :func:`filprofiler.last_profile`."""
    if not _profiles:
        msg = "nothing was profiled yet in this process: run a cell with %%filprofile, or filprofiler.api.measure"
        raise LookupError(msg)
    return _profiles[-1]


def cell_profile(cell: int | str) -> ProfileResult:
    """See :func:`filprofiler.cell_profile`."""
    for profile in reversed(_profiles):
        if cell in (profile.execution_count, profile.cell_id):
            return profile
    known = sorted({profile.execution_count for profile in _profiles if profile.execution_count is not None})
    msg = f"there is no profile of the cell {cell!r}; there are profiles of {', '.join(map(str, known)) or 'no cell'}"
    raise LookupError(msg)


def profiles() -> list[ProfileResult]:
    """See :func:`filprofiler.profiles`."""
    return list(_profiles)
