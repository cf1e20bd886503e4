"""Runs programs plainly and under `fil-profile`, and reads what both leave."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PREFIX = "=fil-profile= "
TIMEOUT = 60
ADDRESS = re.compile(rb"0x[0-9a-f]+")
FIL = (sys.executable, "-m", "filprofiler")


@dataclass(frozen=True)
class Run:
    """How a program ended and what it said."""

    status: int
    """As of subprocess: -n for signal n."""
    stdout: bytes
    stderr: bytes
    """Without Fil's own lines."""
    said: tuple[str, ...]
    """Fil's own lines, without their prefix."""

    @property
    def behaviour(self) -> tuple[int, bytes, bytes]:
        """What has to be the same with and without Fil: all but where objects lie in memory."""
        return self.status, ADDRESS.sub(b"0x", self.stdout), ADDRESS.sub(b"0x", self.stderr)


def split_stderr(stderr: bytes) -> tuple[bytes, tuple[str, ...]]:
    """What the program wrote, and what Fil said."""
    lines = stderr.splitlines(keepends=True)
    ours = [line for line in lines if line.startswith(PREFIX.encode())]
    said = tuple(line.decode(errors="replace").removeprefix(PREFIX).rstrip("\n") for line in ours)
    return b"".join(line for line in lines if line not in ours), said


def run(command: Sequence[str | bytes], cwd: Path, stdin: bytes = b"", **environment: str) -> Run:
    done = subprocess.run(
        command,
        cwd=cwd,
        input=stdin,
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
        env={**os.environ, **environment},
    )
    stderr, said = split_stderr(done.stderr)
    return Run(done.returncode, done.stdout, stderr, said)


def write(directory: Path, name: str, text: str) -> Path:
    """A file of a program."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def plain(arguments: Sequence[str | bytes], cwd: Path, **options: Any) -> Run:
    """`python ARGUMENTS...`."""
    return run([sys.executable, *arguments], cwd, **options)


def profiled(arguments: Sequence[str | bytes], cwd: Path, **options: Any) -> Run:
    """`fil-profile run ARGUMENTS...`; reports go to `cwd/fil-result`."""
    return run([*FIL, "run", *arguments], cwd, **options)


def with_small_disks(mounts: Sequence[Path], size: str, command: Sequence[str]) -> list[str]:
    """The command where each mount is a file system of this size; skips nothing: it fails where that can't be made."""
    lines = [f'mount -t tmpfs -o size={size} tmpfs "{place}"' for place in mounts]
    script = " && ".join([*lines, 'exec "$@"'])
    return ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", *command]


def report_directories(cwd: Path) -> list[Path]:
    return sorted((cwd / "fil-result").glob("*"))


def report_in(directory: Path) -> dict[str, Any]:
    """The complete report."""
    report: dict[str, Any] = json.loads((directory / "profile.json").read_text("utf-8"))
    return report


def only_report(cwd: Path) -> dict[str, Any]:
    directories = report_directories(cwd)
    assert len(directories) == 1, directories
    return report_in(directories[0])


def bytes_of_lines(report: dict[str, Any]) -> dict[tuple[str, int], int]:
    """Bytes that each line of a file held itself at the peak, by the file's last name and the line."""
    frames, tree = report["frames"], report["tree"]
    held: dict[tuple[str, int], int] = {}
    for frame, self_bytes in zip(tree["frame"], tree["selfBytes"], strict=True):
        place = (Path(frames["file"][frame]).name, frames["line"][frame])
        held[place] = held.get(place, 0) + self_bytes
    return held
