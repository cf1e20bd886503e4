"""Processor time as the scheduler counts it, in nanoseconds: ticks are too coarse for next to nothing."""

from pathlib import Path


def seconds_of_thread(task: Path) -> float:
    """Time that a thread, /proc/PID/task/TID, was on a processor."""
    return int((task / "schedstat").read_text().split()[0]) / 1e9


def seconds_of_process(pid: int) -> float:
    """The same of all threads of a process."""
    return sum(seconds_of_thread(task) for task in Path(f"/proc/{pid}/task").iterdir())
