"""Reads what reports say of processes."""

from typing import Any


def processes(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that were tracked."""
    tracked: list[dict[str, Any]] = report["processes"]["tracked"]
    return tracked


def bytes_in(report: dict[str, Any], function: str) -> int:
    """What a function has allocated itself, in all processes."""
    return _self_bytes(report, "function", function)


def shared_bytes(report: dict[str, Any]) -> int:
    """What is shared memory, each counted once."""
    return _self_bytes(report, "kind", "shared-memory")


def _self_bytes(report: dict[str, Any], column: str, value: str) -> int:
    frames, tree = report["frames"], report["tree"]
    held = zip(tree["frame"], tree["selfBytes"], strict=True)
    return sum(own for frame, own in held if frames[column][frame] == value)


def process_frames(report: dict[str, Any]) -> dict[str, int]:
    """What each process held at the joint peak, by the name of its frame."""
    frames, tree = report["frames"], report["tree"]
    return {
        frames["function"][frame]: total
        for frame, total in zip(tree["frame"], tree["totalBytes"], strict=True)
        if frames["kind"][frame] == "process"
    }
