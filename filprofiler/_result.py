"""The figures of a finished profile, for programs."""

import base64
import gzip
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

REPORT_MIME_TYPE = "application/vnd.fil.memory-profile+json"
"""That of schema/report.ts."""


class ProfileResult:
    """What was found; cheap to make and to keep, as the report is unpacked when it is first asked for."""

    def __init__(self, bundle: Mapping[str, Any], files: list[str]) -> None:
        """Takes the answer to the end of a profile: a MIME bundle, and the absolute paths of the files."""
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

    @cached_property
    def report(self) -> dict[str, Any]:
        """The report as notebooks store it: `schema/report.schema.json` describes it. Not to be changed."""
        report: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(self._envelope["data"])))
        return report

    def __repr__(self) -> str:
        return f"<ProfileResult: {self.peak_bytes:,} bytes at the peak>"
