"""An interrupt arrives exactly once, whatever the cell is doing."""

import time

import pytest

# Counts what arrives until half a second after the first interrupt.
COUNTING = """
import signal, subprocess, time
import numpy
arrived, deadline = 0, time.monotonic() + 10
def count(*_):
    global arrived, deadline
    arrived, deadline = arrived + 1, min(deadline, time.monotonic() + 0.5)
handler = signal.signal(signal.SIGINT, count)
print('ready', flush=True)
while time.monotonic() < deadline:
    {work}
signal.signal(signal.SIGINT, handler)
arrived
"""


# What IPython calls between the statements of a cell, and after the last: interrupted once, it is as it was.
INTERRUPTED = """
def interrupt_at(owner, name):
    def interrupted(*_args):
        delattr(owner, name)
        raise KeyboardInterrupt
    setattr(owner, name, interrupted)
"""
INTERRUPTS = [
    pytest.param("interrupt_at(get_ipython().compile, 'extra_flags')", id="between statements"),
    pytest.param("interrupt_at(get_ipython().history_manager, 'store_output')", id="after the last statement"),
]


@pytest.mark.parametrize(
    "work",
    [
        pytest.param("time.sleep(0.05)", id="sleep"),
        pytest.param("numpy.ones(200_000).sum()", id="numpy loop"),
        pytest.param("subprocess.run(['sleep', '0.05'])", id="subprocess"),
        pytest.param("[bytearray(5000) for _ in range(2000)]", id="allocations"),
    ],
)
@pytest.mark.parametrize("first_line", ["", "%%filprofile\n"], ids=["plain", "profiled"])
def test_an_interrupt_arrives_exactly_once(kernel, work, first_line):
    result = kernel.run(first_line + COUNTING.format(work=work).lstrip(), during=kernel.interrupt_soon)
    assert result.value == "1"


def test_an_interrupted_cell_ends_with_keyboard_interrupt(kernel):
    result = kernel.run("import time\nprint('ready', flush=True)\ntime.sleep(20)", during=kernel.interrupt_soon)
    assert result.reply["ename"] == "KeyboardInterrupt"


def test_an_interrupted_profiled_cell_shows_what_it_reached(kernel):
    code = "%%filprofile\nimport time\nkept = bytearray(8_000_000)\nprint('ready', flush=True)\ntime.sleep(20)"
    result = kernel.run(code, during=kernel.interrupt_soon)
    assert result.reply["ename"] == "KeyboardInterrupt"
    assert result.report.data["outcome"] == {"kind": "interrupted"}
    assert result.report.peak >= 8_000_000


@pytest.mark.parametrize("interrupt", INTERRUPTS)
def test_an_interrupt_in_ipythons_own_code_ends_the_profile(kernel, interrupt):
    kernel.run(INTERRUPTED)
    result = kernel.run(f"%%filprofile\nkept = bytearray(8_000_000)\n{interrupt}\nran = 1")
    assert result.reply["ename"] == "KeyboardInterrupt"
    assert result.report.data["outcome"] == {"kind": "interrupted"}
    assert result.report.peak >= 8_000_000
    assert kernel.run("%%filprofile\nkept = bytearray(9_000_000)").report.peak >= 9_000_000


def test_a_profile_whose_end_is_not_told_gives_way_to_the_next(kernel):
    kernel.run(INTERRUPTED)
    code = "%%filprofile\nkept = bytearray(8_000_000)\ninterrupt_at(get_ipython().events, 'trigger')"
    # There is no reply: as with plain ipykernel, the interrupt ends what would send it.
    kernel.collect(kernel.client.execute(code))
    result = kernel.run("%%filprofile\nkept = bytearray(9_000_000)")
    assert (result.status, len(result.reports)) == ("ok", 1)
    assert result.report.peak >= 9_000_000
    assert result.text("stderr") == ""


def test_an_interrupted_profiled_await_shows_what_it_reached(kernel):
    # In steps: ipykernel's loop looks for the interrupt when something wakes it (tornado's add_callback does not).
    wait = "for _ in range(200):\n    await asyncio.sleep(0.05)"
    code = f"%%filprofile\nimport asyncio\nkept = bytearray(8_000_000)\nprint('ready', flush=True)\n{wait}"
    result = kernel.run(code, during=kernel.interrupt_soon)
    assert result.status == "error"
    assert result.report.data["outcome"] == {"kind": "interrupted"}
    assert result.report.peak >= 8_000_000


def test_an_interrupt_ends_a_programs_own_subprocess(kernel):
    code = "import subprocess\nprint('ready', flush=True)\nsubprocess.run(['sleep', '20'])"
    assert kernel.run(code, during=kernel.interrupt_soon).reply["ename"] == "KeyboardInterrupt"
    assert kernel.run("subprocess.run(['pgrep', '-f', '^sleep 20$'], capture_output=True).stdout").value == "b''"


def test_an_interrupt_between_cells_does_nothing(kernel):
    kernel.manager.interrupt_kernel()
    assert kernel.run("1").value == "1"


def test_an_interrupt_request_on_the_control_channel_arrives_once(kernel):
    def interrupt():
        time.sleep(0.1)
        kernel.client.control_channel.send(kernel.client.session.msg("interrupt_request", {}))

    assert kernel.run(COUNTING.format(work="time.sleep(0.05)"), during=interrupt).value == "1"


def test_cells_run_after_an_interrupt(kernel):
    kernel.run("import time\nprint('ready', flush=True)\ntime.sleep(20)", during=kernel.interrupt_soon)
    assert len(kernel.run("%%filprofile\n1").reports) == 1


def test_an_interrupt_while_the_report_is_made_leaves_the_kernel_able_to_profile(kernel):
    slow = (
        "import time, filprofiler._control as c\n"
        "ask = c.ControlClient._ask\n"
        "def slow(self, message, seconds):\n"
        "    if message['type'] == '{when}': print('ready', flush=True); time.sleep(5)\n"
        "    return ask(self, message, seconds)\n"
        "c.ControlClient._ask = slow"
    )
    for when in ("begin", "end"):
        kernel.run(slow.format(when=when))
        result = kernel.run("%%filprofile\nran = 1", during=kernel.interrupt_soon)
        assert result.reports == []
        assert result.status == ("error" if when == "begin" else "ok")
        kernel.run("c.ControlClient._ask = ask")
        assert len(kernel.run("%%filprofile\n1").reports) == 1
