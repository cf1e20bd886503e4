"""A front end can ask for a profile beside the cell, in the metadata of its request; the cell's text stays as it is."""

from collections.abc import Iterator

import pytest
from harness import MEMORY_ERRORS, Kernel, started

from filprofiler._request import Request, parse_metadata

ALLOCATE = "data = bytearray(3_000_000)"


def test_a_request_profiles_its_cell(kernel: Kernel) -> None:
    result = kernel.run_with(ALLOCATE, {"fil": {"profile": True, "title": "mine"}, "cellId": "abc"})
    assert result.report.data["title"] == "mine"
    assert result.report.data["subject"]["cellId"] == "abc"
    assert result.report.peak == pytest.approx(3_000_000, rel=0.05)
    assert result.text("stderr") == ""
    cell = f"Cell [{result.reply['execution_count']}]"
    assert result.report.source_of(cell, 1) == ALLOCATE


def test_the_next_cell_is_not_profiled(kernel: Kernel) -> None:
    kernel.run_with(ALLOCATE, {"fil": {"profile": True}})
    assert kernel.run(ALLOCATE).reports == []


def test_a_cell_with_the_magic_has_one_report(kernel: Kernel) -> None:
    result = kernel.run_with(f"%%filprofile --title cell\n{ALLOCATE}", {"fil": {"profile": True, "title": "request"}})
    assert result.report.data["title"] == "cell"


def test_cells_beneath_other_magics_are_profiled(kernel: Kernel) -> None:
    result = kernel.run_with(f"%%time\n{ALLOCATE}", {"fil": {"profile": True}})
    assert result.report.peak > 3_000_000
    assert "Wall time" in result.text()


def test_a_failing_cell_has_its_report_and_its_error(kernel: Kernel) -> None:
    result = kernel.run_with(f"{ALLOCATE}\n1 / 0", {"fil": {"profile": True}})
    assert result.status == "error"
    assert result.report.data["outcome"] == {"kind": "error"}


def test_an_empty_cell_is_left_alone(kernel: Kernel) -> None:
    result = kernel.run_with("  \n", {"fil": {"profile": True}})
    assert (result.reports, result.text("stderr")) == ([], "")


@pytest.mark.parametrize(
    "metadata",
    [None, [], {}, {"fil": None}, {"fil": True}, {"fil": {}}, {"fil": {"profile": "yes"}}, {"fil": {"profile": False}}],
)
def test_what_is_no_wish_is_none(metadata: object) -> None:
    assert parse_metadata(metadata, "x") is None


def test_a_title_of_another_type_is_none() -> None:
    assert (
        parse_metadata(
            {"fil": {"profile": True, "title": 7, "output": "", "quiet": 1, "live": 0, "children": 0, "exactTree": 1}},
            "x",
        )
        == Request()
    )


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    """A kernel that is to hold 600 MB at most."""
    monkeypatch.setenv("FIL_MEMORY_LIMIT", "600MB")
    with started() as kernel:
        yield kernel


GROW = (
    "held = []\nwhile len(held) < {count}:\n    held.append(b'x' * 1_000_000)\n"
    "import time\ntime.sleep(0.2)\ncount, held = len(held), []"
)


def test_a_request_chooses_what_has_to_be_left(limited: Kernel) -> None:
    wish = {"fil": {"profile": True, "headroom": "280MB"}}
    result = limited.run_with(GROW.format(count=400), wish)
    assert result.contents("error")[0]["ename"] in MEMORY_ERRORS
    assert result.report.data["outOfMemory"]["headroomBytes"] == 280_000_000
    assert result.report.peak < 300_000_000
    # The next cell is back to what the kernel was started with.
    assert limited.run("held = []").status == "ok"
    assert limited.run(GROW.format(count=330)).status == "ok"


def test_a_request_can_turn_the_action_off_and_not_the_report(limited: Kernel) -> None:
    result = limited.run_with(GROW.format(count=560), {"fil": {"profile": True, "guard": False}})
    assert result.status == "ok", result.traceback
    assert result.report.peak >= 560_000_000
    result = limited.run_with(GROW.format(count=2000), {"fil": {"profile": True}})
    assert result.contents("error")[0]["ename"] in MEMORY_ERRORS


def test_a_limit_holds_when_the_action_is_off(own_kernel: Kernel) -> None:
    result = own_kernel.run_with(GROW.format(count=200), {"fil": {"profile": True, "guard": False, "limit": "50MB"}})
    assert result.contents("error")[0]["ename"] in MEMORY_ERRORS
    assert result.report.data["outOfMemory"]["rule"] == "budget"


@pytest.mark.parametrize("name", ["limit", "headroom"])
def test_a_nonsense_amount_is_an_error_before_the_cell_runs(own_kernel: Kernel, name: str) -> None:
    result = own_kernel.run_with("print('ran')", {"fil": {"profile": True, name: "4 potatoes"}})
    assert result.status == "error"
    assert "ran" not in result.text().split()
    assert f"--{name}: '4 potatoes' is no amount of memory" in result.text("stderr") + result.traceback


def test_a_request_chooses_whether_processes_are_followed_and_how_exactly(kernel: Kernel) -> None:
    code = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'held = bytearray(20_000_000)'], check=True)"
    alone = kernel.run_with(code, {"fil": {"profile": True, "children": False}}).report
    assert "processes" not in alone.data
    assert alone.peak < 20_000_000
    exact = kernel.run_with(code, {"fil": {"profile": True, "exactTree": True}}).report
    assert exact.data["processes"]["boundBytes"] == 0
    assert exact.peak > 20_000_000
    assert kernel.run_with(code, {"fil": {"profile": True}}).report.data["processes"]["boundBytes"] > 0
