"""`fil-profile run --max-peak SIZE`: a program that holds more than it may is told so, with the lines that did."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from programs import FIL, only_report, profiled, report_directories, run

from filprofiler._sizes import format_size, parse_size

HOLD = "held = bytearray(30 * 2**20)\n"
ABOVE_BUDGET = 54


def test_above_its_budget_a_program_ends_with_a_status_of_its_own_and_the_lines_are_named(tmp_path):
    (tmp_path / "program.py").write_text(HOLD)
    for arguments in (["--max-peak", "20MiB"], ["--max-peak=20 MB"]):
        done = profiled([*arguments, "program.py"], tmp_path)
        assert done.status == ABOVE_BUDGET
        assert any(
            f"is above the {format_size(parse_size(arguments[-1].split('=')[-1]))}" in line for line in done.said
        )
        assert "program.py:1  held = bytearray(30 * 2**20)" in done.said[-1]
    assert len(report_directories(tmp_path)) == 2


def test_within_its_budget_a_program_ends_as_ever(tmp_path):
    (tmp_path / "program.py").write_text(HOLD)
    done = profiled(["--max-peak", "40MiB", "program.py"], tmp_path)
    assert (done.status, done.stderr) == (0, b"")
    assert not any("above" in line for line in done.said)
    assert only_report(tmp_path)["peakBytes"] < parse_size("40MiB")


@pytest.mark.parametrize(
    ("ending", "status"), [("raise SystemExit(3)", 3), ("1 / 0", 1), ("import os; os.kill(os.getpid(), 9)", -9)]
)
def test_a_program_that_fails_keeps_its_own_status(ending, status, tmp_path):
    (tmp_path / "program.py").write_text(HOLD + ending)
    done = profiled(["--max-peak", "20MiB", "program.py"], tmp_path)
    assert done.status == status
    assert any("is above the 20.0 MiB of --max-peak" in line for line in done.said)


@pytest.mark.parametrize("size", ["", "nonsense", "10 parsecs", "-1", "0", "1e9", "nan", "2GiB2", "99999 PiB"])
def test_nonsense_is_refused_before_the_program_runs(size, tmp_path):
    (tmp_path / "program.py").write_text("open('ran', 'w')")
    for command in ([*FIL, "run", "--max-peak", size, "program.py"], [*FIL, f"--max-peak={size}", "run", "program.py"]):
        done = run(command, tmp_path)
        assert done.status == 2
        assert b"--max-peak" in done.stderr
        assert b"Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["program.py"]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("1048576", 2**20),
        ("2GiB", 2 * 2**30),
        ("2 gib", 2 * 2**30),
        ("1.5g", 3 * 2**29),
        ("500MB", 500_000_000),
        ("100 kB", 100_000),
        (".5 KiB", 512),
        ("3b", 3),
    ],
)
def test_amounts_are_read_as_people_write_them(text, size):
    assert parse_size(text) == size


@given(st.text())
def test_any_text_is_an_amount_or_refused(text):
    with contextlib.suppress(ValueError):
        assert parse_size(text) > 0


@given(st.integers(1, 2**52))
def test_amounts_are_shown_as_in_reports_and_read_back(size):
    shown = format_size(size)
    assert abs(parse_size(shown) - size) <= 0.051 * 1024 ** ("B", "KiB", "MiB", "GiB", "TiB", "PiB").index(
        shown.split()[1]
    )
