"""While a front end shows what cells held, cells that nobody profiles are sampled: a comm tells it, no output does."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import TIMEOUT, Kernel, Report, Result, started
from jupyter_client.blocking.client import BlockingKernelClient
from test_interrupts import INTERRUPTED, INTERRUPTS

SAMPLED_CELLS = "filprofiler.sampled-cells"
ALLOCATE = "data = [bytearray(1_000_000) for _ in range(40)]"


def tell(kernel: Kernel, kind: str, comm_id: str = SAMPLED_CELLS) -> None:
    content = {"comm_id": comm_id, "target_name": SAMPLED_CELLS, "data": {}}
    message = kernel.client.session.msg(kind, content)
    kernel.client.shell_channel.send(message)
    kernel.collect(message["header"]["msg_id"])


def run(kernel: Kernel, code: str, *, cell_id: str | None = "abc", **options: Any) -> Result:
    return kernel.run_with(code, {} if cell_id is None else {"cellId": cell_id}, **options)


def next_news(kernel: Kernel, kind: str, **wanted: Any) -> dict[str, Any]:
    """What the comm tells next of a kind."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        message = kernel.client.get_iopub_msg(timeout=TIMEOUT)
        if message["msg_type"] == "comm_msg":
            assert message["content"]["comm_id"] == SAMPLED_CELLS
            data: dict[str, Any] = message["content"]["data"]
            # A page that comes, as each test's does, is told again what was before.
            if data["kind"] == kind and wanted.items() <= data.items() and not data.get("isRepeated"):
                return data
    raise AssertionError(f"the comm told nothing of the kind {kind}")


def sampled(kernel: Kernel, result: Result) -> dict[str, Any]:
    """What the comm tells about a cell: soon after its end, or before."""
    for content in result.contents("comm_msg"):
        if content["data"]["kind"] == "cell" and not content["data"]["isRepeated"]:
            return content["data"]
    return next_news(kernel, "cell")


def wish(kernel: Kernel, serial: int) -> None:
    content = {"comm_id": SAMPLED_CELLS, "data": {"report": serial}}
    kernel.client.shell_channel.send(kernel.client.session.msg("comm_msg", content))


def report_of(kernel: Kernel, result: Result) -> Report:
    told = sampled(kernel, result)
    assert told["hasReport"]
    wish(kernel, told["serial"])
    return Report.unpack(next_news(kernel, "report", serial=told["serial"])["bundle"])


@pytest.fixture
def sampling(kernel: Kernel) -> Iterator[Kernel]:
    tell(kernel, "comm_open")
    yield kernel
    tell(kernel, "comm_close")


def test_nothing_is_said_where_no_front_end_asks(kernel: Kernel) -> None:
    result = run(kernel, ALLOCATE)
    assert result.kinds() == ["execute_input"]


def test_each_cell_is_told_with_its_id_and_leaves_no_output(sampling: Kernel) -> None:
    result = run(sampling, ALLOCATE)
    told = sampled(sampling, result)
    assert (told["version"], told["cellId"], told["executionCount"]) == (2, "abc", result.reply["execution_count"])
    assert told["peakBytes"] == pytest.approx(40_000_000, rel=0.05)
    assert told["keptBytes"] == pytest.approx(40_000_000, rel=0.05)
    assert told["durationSeconds"] > 0
    wish(sampling, told["serial"])
    report = Report.unpack(next_news(sampling, "report", serial=told["serial"])["bundle"])
    assert report.peak == told["peakBytes"]
    assert report.data["sampling"]["meanBytes"] == 32 * 1024
    cell = f"Cell [{result.reply['execution_count']}]"
    assert report.source_of(cell, 1) == ALLOCATE
    assert set(result.kinds()) <= {"execute_input", "comm_msg"}
    second = report_of(sampling, run(sampling, "more = bytearray(9_000_000)", cell_id="def"))
    assert second.peak == pytest.approx(9_000_000, rel=0.2)


def test_a_closed_comm_ends_it(sampling: Kernel) -> None:
    tell(sampling, "comm_close")
    assert run(sampling, ALLOCATE).kinds() == ["execute_input"]
    tell(sampling, "comm_open")
    assert report_of(sampling, run(sampling, ALLOCATE)).peak > 30_000_000


def test_code_that_is_of_no_cell_is_left_alone(sampling: Kernel) -> None:
    assert run(sampling, ALLOCATE, cell_id=None).kinds() == ["execute_input"]
    assert run(sampling, "  \n").kinds() == ["execute_input"]


def test_a_profiled_cell_stays_exact(sampling: Kernel) -> None:
    result = run(sampling, f"%%filprofile\n{ALLOCATE}")
    assert "sampling" not in result.report.data
    assert "comm_msg" not in result.kinds()


@pytest.mark.parametrize(
    "code",
    [
        "%filprofile held = bytearray(5_000_000)",
        "%%time\n%%filprofile\nheld = bytearray(5_000_000)",
        "from filprofiler import api\nwith api.tracking():\n    held = bytearray(5_000_000)",
    ],
)
def test_samples_give_way_to_a_profile_inside_of_the_cell(sampling: Kernel, code: str) -> None:
    result = run(sampling, code)
    assert result.status == "ok", result.traceback
    assert "without being profiled" not in result.text("stderr")
    assert report_of(sampling, run(sampling, ALLOCATE)).peak > 30_000_000


def test_children_of_a_profiled_cell_are_in_its_report_after_sampled_ones_and_started_in_them(sampling: Kernel) -> None:
    code = (
        "import multiprocessing as mp, subprocess, sys\n"
        "def work(size):\n    held = bytearray(size)\n    return len(held)\n"
        "pool = mp.get_context('fork').Pool(1)\npool.map(len, ['ab'])\n"
        f"{ALLOCATE}"
    )
    report = report_of(sampling, run(sampling, code))
    assert report.peak > 30_000_000
    assert "processes" not in report.data
    profiled = run(
        sampling,
        "%%filprofile\nassert pool.map(work, [30_000_000]) == [30_000_000]\n"
        "subprocess.run([sys.executable, '-c', 'held = bytearray(20_000_000)'], check=True)",
    )
    peaks = sorted(process["peakBytes"] for process in profiled.report.data["processes"]["tracked"])
    assert peaks[-1] > 30_000_000
    assert peaks[-2] > 20_000_000
    # And the other way round.
    assert report_of(sampling, run(sampling, "pool.terminate()\nmore = bytearray(9_000_000)")).peak > 9_000_000


def test_errors_results_and_await_are_those_of_the_cell(sampling: Kernel) -> None:
    result = run(sampling, f"{ALLOCATE}\n1 / 0")
    assert (result.status, result.reply["ename"]) == ("error", "ZeroDivisionError")
    assert report_of(sampling, result).data["outcome"] == {"kind": "error"}
    result = run(sampling, f"import asyncio\nawait asyncio.sleep(0.01)\n{ALLOCATE}\nlen(data)")
    assert result.value == "40"
    assert report_of(sampling, result).peak > 30_000_000
    result = run(sampling, "this is no Python")
    assert result.reply["ename"] == "SyntaxError"
    assert report_of(sampling, run(sampling, "get_ipython().run_cell('inner = bytearray(5_000_000)')\nlen(data)")).data[
        "outcome"
    ] == {"kind": "completed"}


def test_an_interrupt_ends_the_cell_and_is_told(sampling: Kernel) -> None:
    code = f"import time\n{ALLOCATE}\nprint('runs', flush=True)\ntime.sleep(60)"
    result = run(sampling, code, during=sampling.interrupt_soon)
    assert result.reply["ename"] == "KeyboardInterrupt"
    assert report_of(sampling, result).data["outcome"] == {"kind": "interrupted"}
    assert report_of(sampling, run(sampling, ALLOCATE)).peak > 30_000_000


@pytest.mark.parametrize("interrupt", INTERRUPTS)
def test_an_interrupt_in_ipythons_own_code_is_told(sampling: Kernel, interrupt: str) -> None:
    sampling.run(INTERRUPTED)
    result = run(sampling, f"{ALLOCATE}\n{interrupt}\nran = 1")
    assert result.reply["ename"] == "KeyboardInterrupt"
    assert report_of(sampling, result).data["outcome"] == {"kind": "interrupted"}
    assert report_of(sampling, run(sampling, ALLOCATE)).peak > 30_000_000


def test_input_is_asked_for_as_ever(sampling: Kernel) -> None:
    client = sampling.client
    content = {"code": "name = input('who? ')\nname", "allow_stdin": True, "store_history": True, "silent": False}
    message = client.session.msg("execute_request", content, metadata={"cellId": "abc"})
    client.shell_channel.send(message)
    assert client.get_stdin_msg(timeout=TIMEOUT)["content"]["prompt"] == "who? "
    client.input("Ada")
    result = sampling.collect(message["header"]["msg_id"])
    assert result.value == "'Ada'"


def test_a_kernel_that_dies_tells_what_its_cell_held_and_shows_no_report(own_kernel: Kernel) -> None:
    tell(own_kernel, "comm_open")
    client = own_kernel.client
    code = f"import os, signal\n{ALLOCATE}\nos.kill(os.getpid(), signal.SIGKILL)"
    message = client.session.msg("execute_request", {"code": code, "silent": False}, metadata={"cellId": "abc"})
    client.shell_channel.send(message)
    told, shown = None, []
    deadline = time.monotonic() + TIMEOUT
    while told is None and time.monotonic() < deadline:
        other = client.get_iopub_msg(timeout=TIMEOUT)
        shown.append(other["msg_type"])
        if other["msg_type"] == "comm_msg" and other["content"]["data"]["kind"] == "report":
            told = Report.unpack(other["content"]["data"]["bundle"])
    assert told is not None
    assert told.peak > 30_000_000
    assert told.source_of("Cell [1]", 2) == ALLOCATE
    assert told.data["outcome"]["kind"] == "died"
    assert "display_data" not in shown


def test_small_objects_come_with_an_interval(sampling: Kernel) -> None:
    report = report_of(sampling, run(sampling, "objects = [[] for _ in range(300_000)]"))
    # A list of 56 bytes, 16 of the collector's included, and its place in the outer one.
    assert report.peak == pytest.approx(300_000 * 64, rel=0.25)
    assert sum(report.data["tree"]["sampledBytes"]) > 0


def test_a_reloaded_page_opens_the_comm_again_and_none_is_closed(sampling: Kernel) -> None:
    tell(sampling, "comm_open")
    result = run(sampling, f"import gc\ngc.collect()\n{ALLOCATE}")
    assert "comm_close" not in result.kinds()
    assert report_of(sampling, result).peak > 30_000_000


def test_a_cell_in_which_nothing_was_seen_is_told_without_a_report(sampling: Kernel) -> None:
    # Once in a while one of its few bytes is in the sample.
    told = [sampled(sampling, run(sampling, "None")) for _ in range(5)]
    assert {data["cellId"] for data in told} == {"abc"}
    assert (0, False) in {(data["peakBytes"], data["hasReport"]) for data in told}


def test_many_small_cells_are_all_told(sampling: Kernel) -> None:
    ids = [f"cell-{number}" for number in range(60)]
    requests = []
    for cell_id in ids:
        content = {"code": "None", "silent": False, "store_history": True, "allow_stdin": False}
        message = sampling.client.session.msg("execute_request", content, metadata={"cellId": cell_id})
        sampling.client.shell_channel.send(message)
        requests.append(message["header"]["msg_id"])
    told = [next_news(sampling, "cell")["cellId"] for _ in ids]
    assert sorted(told) == sorted(ids)
    assert {sampling.reply(request)["status"] for request in requests} == {"ok"}


def test_a_report_can_be_had_while_the_next_cell_runs(sampling: Kernel) -> None:
    told = sampled(sampling, run(sampling, ALLOCATE))

    def ask() -> None:
        wish(sampling, told["serial"])
        assert Report.unpack(next_news(sampling, "report", serial=told["serial"])["bundle"]).peak > 30_000_000
        sampling.proxy.send_signal(signal.SIGINT)

    code = "import time\nprint('runs', flush=True)\ntime.sleep(300)"
    result = run(sampling, code, cell_id="other", during=ask)
    assert result.reply["ename"] == "KeyboardInterrupt"


def test_a_report_of_which_nothing_is_known_is_told_as_missing(sampling: Kernel) -> None:
    wish(sampling, 1_000_000)
    assert next_news(sampling, "report", serial=1_000_000)["bundle"] is None


def test_cells_that_wait_behind_one_that_fails_are_neither_run_nor_told(sampling: Kernel) -> None:
    client = sampling.client
    requests = []
    # It takes its time: ipykernel runs what arrives after the failure, also without us.
    fails = f"{ALLOCATE}\nimport time\ntime.sleep(0.5)\n1 / 0"
    for cell_id, code in [("fails", fails), ("waits", "waited = bytearray(5_000_000)"), ("too", "None")]:
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": True}
        message = client.session.msg("execute_request", content, metadata={"cellId": cell_id})
        client.shell_channel.send(message)
        requests.append(message["header"]["msg_id"])
    statuses = [sampling.reply(request)["status"] for request in requests]
    assert statuses[0] == "error"
    assert set(statuses[1:]) == {"aborted"}
    assert next_news(sampling, "cell")["cellId"] == "fails"
    # The next one is the next that is told, and is sampled as ever.
    told = sampled(sampling, run(sampling, ALLOCATE, cell_id="after"))
    assert told["cellId"] == "after"
    assert told["peakBytes"] > 30_000_000


def test_each_page_that_is_open_on_a_kernel_is_told(sampling: Kernel) -> None:
    # One with an identity of its own; those that a manager makes share one.
    other = BlockingKernelClient(connection_file=sampling.manager.connection_file)
    other.load_connection_file()
    other.start_channels()
    try:
        other.wait_for_ready(timeout=TIMEOUT)
        told = sampled(sampling, run(sampling, ALLOCATE, cell_id="shared"))
        content = {"comm_id": SAMPLED_CELLS, "target_name": SAMPLED_CELLS, "data": {}}
        other.shell_channel.send(other.session.msg("comm_open", content))
        found: dict[bool, dict[str, Any]] = {}
        while len(found) < 2:
            message = other.get_iopub_msg(timeout=TIMEOUT)
            if message["msg_type"] == "comm_msg" and message["content"]["data"].get("cellId") == "shared":
                found[message["content"]["data"]["isRepeated"]] = message["content"]["data"]
        # As it happened, and once more as a page would need it that has just been opened.
        assert found[False] == told
        assert found[True] == told | {"isRepeated": True}
        other.shell_channel.send(
            other.session.msg("comm_msg", {"comm_id": SAMPLED_CELLS, "data": {"report": told["serial"]}})
        )
        assert Report.unpack(next_news(sampling, "report", serial=told["serial"])["bundle"]).peak > 30_000_000
    finally:
        other.stop_channels()


def test_a_kernel_that_ends_leaves_the_reports_that_nobody_can_ask_for_any_more(own_kernel: Kernel) -> None:
    tell(own_kernel, "comm_open")
    told = sampled(own_kernel, run(own_kernel, ALLOCATE))
    own_kernel.client.shutdown()
    assert Report.unpack(next_news(own_kernel, "report", serial=told["serial"])["bundle"]).peak > 30_000_000


def test_each_page_counts_by_itself(sampling: Kernel) -> None:
    other = f"{SAMPLED_CELLS}.other"
    tell(sampling, "comm_open", other)
    tell(sampling, "comm_close")
    assert report_of(sampling, run(sampling, ALLOCATE)).peak > 30_000_000
    tell(sampling, "comm_open")
    tell(sampling, "comm_close", other)
    assert report_of(sampling, run(sampling, ALLOCATE)).peak > 30_000_000
    tell(sampling, "comm_close")
    assert run(sampling, ALLOCATE).kinds() == ["execute_input"]


def test_a_page_that_is_gone_without_a_word_counts_until_another_closes(sampling: Kernel) -> None:
    run(sampling, "import filprofiler._sampled_cells as module\nmodule.PATIENCE_SECONDS = 0.2", cell_id=None)
    page, gone = f"{SAMPLED_CELLS}.page", f"{SAMPLED_CELLS}.gone"
    tell(sampling, "comm_open", gone)
    tell(sampling, "comm_open", page)
    sampling.client.shell_channel.send(
        sampling.client.session.msg("comm_close", {"comm_id": SAMPLED_CELLS, "data": {}})
    )
    assert next_news(sampling, "roll-call")["version"] == 2
    # It is there.
    tell(sampling, "comm_open", page)
    time.sleep(0.3)
    assert report_of(sampling, run(sampling, ALLOCATE)).peak > 30_000_000
    tell(sampling, "comm_close", page)
    # Nobody says so any more.
    time.sleep(0.3)
    assert run(sampling, ALLOCATE).kinds() == ["execute_input"]
    run(sampling, "module.PATIENCE_SECONDS = 60", cell_id=None)


def control(kernel: Kernel, kind: str) -> dict[str, Any]:
    kernel.client.control_channel.send(kernel.client.session.msg(kind, {}))
    return kernel.client.get_control_msg(timeout=TIMEOUT)["content"]


def start(kernel: Kernel, code: str, cell_id: str, subshell: str | None = None) -> str:
    content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": False}
    message = kernel.client.session.msg("execute_request", content, metadata={"cellId": cell_id})
    if subshell is not None:
        message["header"]["subshell_id"] = subshell
    kernel.client.shell_channel.send(message)
    return message["header"]["msg_id"]


def beside_a_cell(kernel: Kernel, subshell: str, begun: Path) -> dict[str, Result]:
    """Cells in a subshell, one of which fails, while one runs in the main shell; all of them by their ids."""
    setup = "import pathlib, threading\nstop = threading.Event()\nmine = bytearray(30_000_000)\n"
    setup += f"pathlib.Path({str(begun)!r}).touch()\n"
    requests = {start(kernel, f"{setup}stop.wait({TIMEOUT})\nprint('main')\n'of main'", "main"): "main"}
    # Whichever comes first is the one that is sampled, and has the first number.
    deadline = time.monotonic() + TIMEOUT
    while not begun.exists():
        assert time.monotonic() < deadline, "the cell did not begin"
        time.sleep(0.01)
    requests |= {
        start(kernel, "beside = bytearray(5_000_000)\nprint('beside')\n1 / 0", "fails", subshell): "fails",
        start(kernel, "import asyncio\nawait asyncio.sleep(0.01)\n'of beside'", "result", subshell): "result",
        start(kernel, "stop.set()", "last", subshell): "last",
    }
    results = {requests[request]: result for request, result in kernel.collect_all(list(requests)).items()}
    while any(not result.reply for result in results.values()):
        reply = kernel.client.get_shell_msg(timeout=TIMEOUT)
        name = requests.get(reply["parent_header"]["msg_id"])
        if name is not None:
            results[name].reply = reply["content"]
    return results


def answers(results: dict[str, Result]) -> dict[str, tuple[Any, ...]]:
    """What of it a reader sees."""
    return {
        name: (result.status, result.reply["execution_count"], result.reply.get("ename"), result.text(), result.value)
        for name, result in results.items()
    }


def test_cells_in_a_subshell_beside_a_sampled_one_answer_as_without_and_have_no_figures(
    own_kernel: Kernel, tmp_path: Path
) -> None:
    tell(own_kernel, "comm_open")
    subshell = control(own_kernel, "create_subshell_request")["subshell_id"]
    results = beside_a_cell(own_kernel, subshell, tmp_path / "ours")
    with started("python3") as plain:
        expected = answers(
            beside_a_cell(plain, control(plain, "create_subshell_request")["subshell_id"], tmp_path / "plain")
        )
    assert answers(results) == expected
    assert (expected["main"][3:], expected["fails"][2:4]) == (
        ("main\n", "'of main'"),
        ("ZeroDivisionError", "beside\n"),
    )
    told = [
        content["data"]
        for result in results.values()
        for content in result.contents("comm_msg")
        if content["data"]["kind"] == "cell"
    ]
    told = told or [next_news(own_kernel, "cell")]
    assert [data["cellId"] for data in told] == ["main"]
    # As a profile of the same cell: all that the process held meanwhile, each line under its own cell.
    wish(own_kernel, told[0]["serial"])
    report = Report.unpack(next_news(own_kernel, "report", serial=told[0]["serial"])["bundle"])
    assert report.peak == pytest.approx(35_000_000, rel=0.1)
    number = results["main"].contents("execute_input")[0]["execution_count"]
    assert told[0]["executionCount"] == number
    assert report.bytes_of(f"Cell [{number}]", 3) == pytest.approx(30_000_000, rel=0.01)
    # Alone it is sampled as any other, and so is what follows.
    alone = own_kernel.collect(start(own_kernel, "alone = bytearray(9_000_000)", "alone", subshell))
    assert sampled(own_kernel, alone)["cellId"] == "alone"
    assert sampled(own_kernel, run(own_kernel, ALLOCATE, cell_id="after"))["peakBytes"] > 30_000_000


def test_a_cell_that_is_overtaken_as_it_begins_is_told_with_its_own_number(own_kernel: Kernel) -> None:
    tell(own_kernel, "comm_open")
    # What the cell of a subshell does that begins between the raising of the counter and IPython's event.
    overtake = "shell = get_ipython()\ndef overtake():\n    shell.execution_count += 1\n"
    run(own_kernel, f"{overtake}shell.events.register('pre_execute', overtake)", cell_id=None)
    result = run(own_kernel, ALLOCATE)
    number = result.contents("execute_input")[0]["execution_count"]
    told = sampled(own_kernel, result)
    assert told["executionCount"] == number
    wish(own_kernel, told["serial"])
    report = Report.unpack(next_news(own_kernel, "report", serial=told["serial"])["bundle"])
    assert report.data["subject"]["executionCount"] == number
    assert report.bytes_of(f"Cell [{number}]", 1) >= 40_000_000
