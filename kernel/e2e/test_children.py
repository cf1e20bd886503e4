"""What a cell starts is in its report: as on the command line (cli/test_cli_children.py), and across cells."""

import sys

import pytest
from harness import Kernel, Report

HELD = 30_000_000
ALLOCATE = f"held = bytearray({HELD})"


def bytes_of_processes(report: Report) -> dict[str, int]:
    """What each process held at the joint peak."""
    frames, tree = report.data["frames"], report.data["tree"]
    return {
        frames["function"][frame]: total
        for frame, total in zip(tree["frame"], tree["totalBytes"], strict=True)
        if frames["kind"][frame] == "process"
    }


@pytest.mark.parametrize(
    "start",
    [
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {ALLOCATE!r}], check=True)",
        f'!"{sys.executable}" -c "{ALLOCATE}"',
    ],
)
def test_what_a_cell_starts_is_in_its_report(kernel: Kernel, start: str) -> None:
    report = kernel.run(f"%%filprofile\n{start}").report
    assert any(HELD <= held < 1.1 * HELD for held in bytes_of_processes(report).values())


def test_a_pool_of_an_earlier_cell_is_in_the_report_of_a_later_one(kernel: Kernel) -> None:
    kernel.run(
        "import multiprocessing as mp\n"
        "def work(size):\n    held = bytearray(size)\n    return len(held)\n"
        "pool = mp.get_context('fork').Pool(2)\npool.map(len, ['ab'])"
    )
    report = kernel.run(f"%%filprofile\nassert pool.map(work, [{HELD}]) == [{HELD}]").report
    assert any(HELD <= held < 1.1 * HELD for held in bytes_of_processes(report).values())
    kernel.run("pool.terminate()")
