"""A kernel that dies in a profiled cell leaves its report, and says how it died."""

import os
import signal
from queue import Empty

import pytest

HOLD = "%%filprofile\nimport os, signal, ctypes, time\nheld = bytearray(20_000_000)\n"


@pytest.mark.parametrize(
    ("death", "said", "outcome"),
    [
        ("os._exit(3)", "exit status 3", {"exitCode": 3, "signal": None}),
        ("os.kill(os.getpid(), signal.SIGKILL)", "memory ran out", {"exitCode": None, "signal": "SIGKILL"}),
        ("ctypes.string_at(0)", "SIGSEGV", {"exitCode": None, "signal": "SIGSEGV"}),
        ("os.abort()", "SIGABRT", {"exitCode": None, "signal": "SIGABRT"}),
    ],
)
def test_the_report_arrives_however_the_kernel_dies(own_kernel, death, said, outcome):
    result = own_kernel.last_words(HOLD + death)
    assert result.report.data["outcome"] == {"kind": "died", **outcome}
    assert result.report.peak >= 20_000_000
    assert result.report.bytes_of("Cell [1]", 3) >= 20_000_000
    assert said in result.text("stderr")
    assert "process-died" in [note["code"] for note in result.report.data["notes"]]


def test_the_files_that_were_asked_for_are_written_however_the_kernel_dies(own_kernel, tmp_path):
    target = tmp_path / "dead"
    result = own_kernel.last_words(HOLD.replace("filprofile", f"filprofile --output {target}", 1) + "os._exit(1)")
    assert (target / "index.html").exists()
    assert str(target) in result.text("stderr")


def test_earlier_output_comes_before_the_last_words(own_kernel):
    result = own_kernel.last_words(
        HOLD + "print('x' * 100_000)\nimport sys; sys.stdout.flush(); time.sleep(0.2); os._exit(1)"
    )
    assert result.text() == "x" * 100_000 + "\n"
    assert result.kinds()[-2:] == ["stream", "display_data"]


def test_the_report_arrives_when_the_kernel_is_killed_from_outside(own_kernel):
    kill = own_kernel.child.kill
    result = own_kernel.last_words(HOLD + "print('ready', flush=True)\ntime.sleep(60)", during=kill)
    assert result.report.peak >= 20_000_000


def test_a_cell_that_is_not_profiled_is_told_how_the_kernel_died(own_kernel):
    result = own_kernel.last_words("import os; os._exit(9)")
    assert "exit status 9" in result.text("stderr")
    assert result.reports == []


def test_a_kernel_that_dies_idle_says_nothing_to_earlier_cells(own_kernel):
    own_kernel.run("1")
    os.kill(own_kernel.child.pid, signal.SIGKILL)
    own_kernel.manager.provisioner.process.wait(5)
    with pytest.raises(Empty):
        own_kernel.client.get_iopub_msg(timeout=0.3)


def test_the_report_arrives_every_time(own_kernel):
    for round_number in range(4):
        if round_number:
            own_kernel.manager.restart_kernel(now=True)
            own_kernel.client.wait_for_ready(timeout=20)
        result = own_kernel.last_words(HOLD + "os.kill(os.getpid(), signal.SIGKILL)")
        assert result.report.peak >= 20_000_000
