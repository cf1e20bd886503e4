"""A front end can ask for a profile beside the cell, in the metadata of its request; the cell's text stays as it is."""

from typing import Any

import pytest
from harness import TIMEOUT, Kernel, Result

from filprofiler._request import Request, parse_metadata

ALLOCATE = "data = bytearray(3_000_000)"


def run(kernel: Kernel, code: str, metadata: dict[str, Any], **options: Any) -> Result:
    content = {
        "code": code,
        "silent": False,
        "store_history": True,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": True,
        **options,
    }
    message = kernel.client.session.msg("execute_request", content, metadata=metadata)
    kernel.client.shell_channel.send(message)
    request = message["header"]["msg_id"]
    result = kernel.collect(request, timeout=TIMEOUT)
    result.reply = kernel.reply(request)
    return result


def test_a_request_profiles_its_cell(kernel: Kernel) -> None:
    result = run(kernel, ALLOCATE, {"fil": {"profile": True, "title": "mine"}, "cellId": "abc"})
    assert result.report.data["title"] == "mine"
    assert result.report.data["subject"]["cellId"] == "abc"
    assert result.report.peak == pytest.approx(3_000_000, rel=0.05)
    assert result.text("stderr") == ""
    cell = f"Cell [{result.reply['execution_count']}]"
    assert result.report.source_of(cell, 1) == ALLOCATE


def test_the_next_cell_is_not_profiled(kernel: Kernel) -> None:
    run(kernel, ALLOCATE, {"fil": {"profile": True}})
    assert kernel.run(ALLOCATE).reports == []


def test_a_cell_with_the_magic_has_one_report(kernel: Kernel) -> None:
    result = run(kernel, f"%%filprofile --title cell\n{ALLOCATE}", {"fil": {"profile": True, "title": "request"}})
    assert result.report.data["title"] == "cell"


def test_cells_beneath_other_magics_are_profiled(kernel: Kernel) -> None:
    result = run(kernel, f"%%time\n{ALLOCATE}", {"fil": {"profile": True}})
    assert result.report.peak > 3_000_000
    assert "Wall time" in result.text()


def test_a_failing_cell_has_its_report_and_its_error(kernel: Kernel) -> None:
    result = run(kernel, f"{ALLOCATE}\n1 / 0", {"fil": {"profile": True}})
    assert result.status == "error"
    assert result.report.data["outcome"] == {"kind": "error"}


def test_an_empty_cell_is_left_alone(kernel: Kernel) -> None:
    result = run(kernel, "  \n", {"fil": {"profile": True}})
    assert (result.reports, result.text("stderr")) == ([], "")


@pytest.mark.parametrize(
    "metadata",
    [None, [], {}, {"fil": None}, {"fil": True}, {"fil": {}}, {"fil": {"profile": "yes"}}, {"fil": {"profile": False}}],
)
def test_what_is_no_wish_is_none(metadata: object) -> None:
    assert parse_metadata(metadata, "x") is None


def test_a_title_of_another_type_is_none() -> None:
    assert parse_metadata({"fil": {"profile": True, "title": 7, "output": "", "quiet": 1, "live": 0}}, "x") == Request()
