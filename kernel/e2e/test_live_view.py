"""While a profiled cell runs, its output shows how it is going; afterwards nothing of that is left."""

import json
import os
import re
import sys
import time
from typing import Any

import nbformat
import pexpect
import pytest
from harness import REPORT_MIME_TYPE, Kernel, Result
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbconvert import HTMLExporter, MarkdownExporter, PythonExporter

LIVE_MIME_TYPE = "application/vnd.fil.live-memory+json"
GROW = "kept = []\nimport time\nfor _ in range({n}):\n    kept.append(bytearray(1_000_000))\n    time.sleep(0.1)\n"


def views(result: Result) -> list[dict[str, Any]]:
    """What the live view showed, in order."""
    shown = result.contents("display_data") + result.contents("update_display_data")
    return [content["data"][LIVE_MIME_TYPE] for content in shown if LIVE_MIME_TYPE in content["data"]]


def outputs(result: Result) -> list[str]:
    """What a front end shows after these messages: kinds of outputs, text in brackets."""
    area: list[tuple[str | None, str]] = []
    clears = False
    for message in result.messages:
        kind, content = message["msg_type"], message["content"]
        if kind == "clear_output":
            clears = content["wait"]
            area = area if clears else []
            continue
        data = content.get("data", {})
        name = "live" if LIVE_MIME_TYPE in data else "report" if REPORT_MIME_TYPE in data else kind
        name = "empty" if data.get("text/html") == "" else name
        display = content.get("transient", {}).get("display_id")
        if kind == "update_display_data":
            area = [(known, name if known == display else old) for known, old in area]
        elif kind in ("stream", "display_data", "execute_result", "error"):
            area = [] if clears else area
            clears = False
            if kind == "stream" and area and area[-1][1].startswith("["):
                area[-1] = (None, area[-1][1][:-1] + content["text"] + "]")
            else:
                area.append((display, f"[{content['text']}]" if kind == "stream" else name))
    return [name for _, name in area]


def test_a_long_cell_shows_peak_current_memory_time_and_lines(kernel: Kernel) -> None:
    result = kernel.run(f"%%filprofile --title Growing\n{GROW.format(n=25)}kept.clear()\ntime.sleep(0.7)")
    shown = views(result)
    assert 3 <= len(shown) <= 7
    elapsed = [view["elapsedSeconds"] for view in shown]
    assert elapsed == sorted(elapsed)
    assert elapsed[0] > 0.7
    assert [view["peakBytes"] for view in shown] == sorted(view["peakBytes"] for view in shown)
    assert shown[-1]["currentBytes"] < 5_000_000 < 24_000_000 < shown[-1]["peakBytes"]
    top = shown[-1]["lines"][0]
    assert top["sourceLine"] == "kept.append(bytearray(1_000_000))"
    assert top["bytes"] == pytest.approx(25_000_000, rel=0.02)
    assert shown[-1]["title"] == "Growing"
    assert shown[-1]["timeline"]["bytes"][-1] < max(shown[-1]["timeline"]["bytes"])


def test_every_front_end_has_a_form_and_consoles_have_none_to_print(kernel: Kernel) -> None:
    result = kernel.run(f"%%filprofile\n{GROW.format(n=16)}")
    first = result.contents("display_data")[0]["data"]
    assert set(first) == {LIVE_MIME_TYPE, "text/html"}
    update = result.contents("update_display_data")[0]["data"]
    for text in (update["text/html"], update["text/plain"]):
        assert "Peak so far" in text
        assert "kept.append" in text
    assert "<script" not in update["text/html"]


def test_a_short_cell_shows_the_report_only(kernel: Kernel) -> None:
    result = kernel.run("%%filprofile\nx = bytearray(1_000_000)")
    assert result.kinds() == ["execute_input", "display_data"]


LONG = GROW.format(n=14)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (LONG, ["report"]),
        (LONG + "len(kept)", ["execute_result", "report"]),
        (LONG + "print('done')", ["[done\n]", "report"]),
        (LONG + "1 / 0", ["error", "report"]),
        ("print('begin')\n" + LONG, ["[begin\n]", "empty", "report"]),
        (LONG + "print('middle')\n" + LONG + "len(kept)", ["[middle\n]", "empty", "execute_result", "report"]),
        # Of a progress bar no line is ended: the view is not put into it, and stays where it stands above it.
        ("print('1 %', end='')\n" + LONG + "print('\\r2 %')", ["[1 %\r2 %\n]", "report"]),
        (LONG + "print('1 %', end='', flush=True)\n" + LONG + "print('\\r2 %')", ["empty", "[1 %\r2 %\n]", "report"]),
        # What the user's own code clears.
        (LONG + "clear_output()\n" + LONG, ["report"]),
        (LONG + "print('a'); clear_output(wait=True); time.sleep(1); print('b')", ["[b\n]", "report"]),
        ("print('a'); clear_output(wait=True)\n" + LONG + "print('b')", ["[b\n]", "report"]),
        ("print('a'); clear_output(wait=True)\n" + LONG, ["report"]),
    ],
)
def test_afterwards_the_output_is_that_of_a_cell_without_a_view(kernel: Kernel, code: str, expected: list[str]) -> None:
    kernel.run("from IPython.display import clear_output")
    result = kernel.run(f"%%filprofile\n{code}")
    if "clear_output(wait=True)\n" not in code and "print('1 %', end='')" not in code:
        assert views(result)
    assert outputs(result) == expected


def test_what_was_displayed_stays_until_what_replaces_it(kernel: Kernel) -> None:
    kernel.run("from IPython.display import clear_output")
    result = kernel.run("%%filprofile\nprint('first'); clear_output(wait=True)\n" + LONG + "print('second')")
    assert views(result) == []


def test_it_can_be_turned_off(kernel: Kernel) -> None:
    assert views(kernel.run(f"%%filprofile --no-live\n{LONG}")) == []


def test_a_captured_cell_shows_nothing(kernel: Kernel) -> None:
    assert outputs(kernel.run(f"%%capture\n%%filprofile\n{LONG}")) == []


def test_a_cell_that_captures_its_output_is_shown(kernel: Kernel) -> None:
    result = kernel.run(f"%%filprofile\n%%capture\n{LONG}print('hidden')")
    assert views(result)
    assert outputs(result) == ["report"]


def test_an_interrupted_cell_has_its_error_and_its_report(kernel: Kernel) -> None:
    result = kernel.run(
        "%%filprofile\nimport time\nx = bytearray(5_000_000)\nprint('ready', flush=True)\ntime.sleep(60)",
        during=lambda: (time.sleep(1.5), kernel.manager.interrupt_kernel()),
    )
    assert views(result)
    assert outputs(result) == ["[ready\n]", "empty", "error", "report"]


@pytest.mark.parametrize("death", ["os._exit(1)", "os.kill(os.getpid(), 9)"])
def test_a_kernel_that_dies_leaves_its_report_and_no_view(own_kernel: Kernel, death: str) -> None:
    result = own_kernel.last_words(f"%%filprofile\nimport os\n{LONG}{death}")
    assert views(result)
    said = outputs(result)
    assert [said[0].startswith("[The kernel died"), *said[1:]] == [True, "report"]


def test_output_of_a_subshell_or_another_cell_is_no_output_of_this_one(kernel: Kernel) -> None:
    kernel.run(
        "import threading, time\n"
        "def later():\n    time.sleep(1.2); print('from before')\n"
        "thread = threading.Thread(target=later); thread.start()"
    )
    result = kernel.run(f"%%filprofile\n{LONG}thread.join()")
    assert outputs(result)[-1] == "report"
    assert "empty" not in outputs(result)


def executed(*cells: str, **options: Any) -> tuple[nbformat.NotebookNode, Exception | None]:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in cells],
        metadata={"kernelspec": {"name": "filprofile", "display_name": "Python 3 with Fil"}},
    )
    try:
        NotebookClient(notebook, timeout=60, **options).execute()
    except (CellExecutionError, DeadKernelError) as error:
        return notebook, error
    return notebook, None


def test_a_notebook_that_is_executed_and_saved_has_no_trail() -> None:
    notebook, _ = executed(
        f"%%filprofile\n{LONG}len(kept)",
        f"%%filprofile\nprint('begin')\n{LONG}print('end')",
        f"%%filprofile\n{LONG}import os; os._exit(1)",
    )
    nbformat.validate(notebook)
    assert LIVE_MIME_TYPE not in json.dumps(notebook)
    first, second, third = [cell.outputs for cell in notebook.cells]
    assert [output.output_type for output in first] == ["execute_result", "display_data"]
    assert [output.output_type for output in second] == ["stream", "display_data", "stream", "display_data"]
    assert second[1].data == {"text/html": "", "text/plain": ""}
    assert [output.output_type for output in third] == ["stream", "display_data"]
    for cell in notebook.cells:
        assert REPORT_MIME_TYPE in cell.outputs[-1].data


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("exporter", [HTMLExporter, MarkdownExporter, PythonExporter])
def test_what_is_left_of_a_view_exports_to_nothing(exporter: type) -> None:
    empty = nbformat.v4.new_output("display_data", {"text/html": "", "text/plain": ""})
    cell = nbformat.v4.new_code_cell("1", outputs=[empty])
    body, _ = exporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    assert "Peak so far" not in body


def test_output_that_a_widget_catches_is_left_to_it() -> None:
    notebook, error = executed(
        "import ipywidgets, time\nout = ipywidgets.Output()\nwith out: print('kept by the widget')\nout",
        f"%%filprofile\n{LONG}with out:\n    print('more')\n    time.sleep(1.5)",
        "[output.get('text') for output in out.outputs]",
    )
    assert error is None
    state = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    caught = next(model["state"]["outputs"] for model in state.values() if "outputs" in model["state"])
    assert "".join(output["text"] for output in caught) == "kept by the widget\nmore\n"
    assert LIVE_MIME_TYPE not in json.dumps(notebook)
    assert REPORT_MIME_TYPE in notebook.cells[1].outputs[-1]["data"]


def test_papermill_saves_and_logs_no_trail(tmp_path) -> None:
    papermill = pytest.importorskip("papermill")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(f"%%filprofile\n{LONG}len(kept)")])
    source, target = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    nbformat.write(notebook, source)
    papermill.execute_notebook(
        source, target, kernel_name="filprofile", language="python", progress_bar=False, log_output=True
    )
    saved = nbformat.read(target, as_version=4)
    assert LIVE_MIME_TYPE not in target.read_text()
    assert [output.output_type for output in saved.cells[0].outputs] == ["execute_result", "display_data"]


def test_jupyter_console_prints_the_report_and_no_trail() -> None:
    console = pexpect.spawn(
        sys.executable,
        ["-m", "jupyter_console", "--kernel", "filprofile", "--simple-prompt"],
        env={**os.environ, "TERM": "dumb"},
        encoding="utf-8",
        timeout=30,
        dimensions=(50, 200),
    )
    try:
        console.expect_exact("In [1]:")
        console.sendline("%filprofile __import__('time').sleep(2.5) or bytearray(3_000_000) and None")
        console.expect_exact("In [2]:")
        said = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.before)
        assert said.count("Peak") == 1
        assert "so far" not in said
    finally:
        console.close(force=True)
