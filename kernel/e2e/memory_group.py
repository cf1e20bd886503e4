"""Commands with little memory: in a control group of their own where the machine lets us make one, else by a limit that
Fil itself keeps (FIL_MEMORY_LIMIT). Nothing here can exhaust the machine."""

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

V1 = Path("/sys/fs/cgroup/memory")
V2 = Path("/sys/fs/cgroup")


@dataclass
class Limited:
    """How to start a process under a limit."""

    environment: dict[str, str]
    enter: Callable[[], None] | None
    """To be called in the new process."""
    kind: str

    def run(self, command: list[str], **options: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, **self.environment},
            preexec_fn=self.enter,
            **options,
        )


@contextmanager
def limited(limit_bytes: int) -> Iterator[Limited]:
    """Processes that together may hold so many bytes."""
    group = _make_group(limit_bytes)
    if group is None:
        yield Limited({"FIL_MEMORY_LIMIT": str(limit_bytes)}, None, "limits by FIL_MEMORY_LIMIT")
        return
    members = group / "cgroup.procs"
    kind = "control groups, version 1" if group.is_relative_to(V1) else "control groups, version 2"
    try:
        yield Limited({}, lambda: members.write_text(str(os.getpid())), kind)
    finally:
        _remove(group)


def _make_group(limit_bytes: int) -> Path | None:
    """A new group; None where there is no memory controller, or it is not ours to use."""
    for root, limit_file in ((V1, "memory.limit_in_bytes"), (V2, "memory.max")):
        group = root / f"fil-test-{uuid.uuid4().hex[:12]}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / limit_file).write_text(str(limit_bytes))
        except OSError:
            group.rmdir()
            continue
        return group
    return None


def _remove(group: Path) -> None:
    import time

    for _ in range(100):
        try:
            group.rmdir()
        except OSError:
            # Its processes are still dying.
            time.sleep(0.05)
        else:
            return
