"""`jupyter console` in a terminal: what people type there, Ctrl-C above all."""

import os
import re
import sys
import time
from collections.abc import Iterator

import pexpect
import pytest
from harness import KERNEL

TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\r")


class Console:
    """A console under a pseudo-terminal."""

    def __init__(self) -> None:
        self.process = pexpect.spawn(
            sys.executable,
            ["-m", "jupyter_console", "--kernel", KERNEL, "--simple-prompt"],
            env={**os.environ, "TERM": "dumb"},
            encoding="utf-8",
            timeout=30,
            dimensions=(40, 200),
        )
        self.expect(r"In \[1\]: ")

    def expect(self, pattern: str) -> str:
        """Waits for it; what came before, without the terminal's codes."""
        self.process.expect(pattern)
        return TERMINAL_CODES.sub("", str(self.process.before) + str(self.process.after))

    def type(self, line: str) -> None:
        self.process.send(line + "\n")

    def interrupt(self) -> None:
        """Ctrl-C."""
        time.sleep(0.3)
        self.process.sendintr()


@pytest.fixture
def console() -> Iterator[Console]:
    console = Console()
    yield console
    console.process.close(force=True)


def test_cells_run_and_are_asked_for_input(console: Console):
    console.type("6 * 7")
    assert "42" in console.expect(r"In \[2\]: ")
    console.type("'got ' + input('name? ')")
    console.expect(r"name\? ")
    console.type("Fil")
    assert "'got Fil'" in console.expect(r"In \[3\]: ")


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param("print('be' 'gun', flush=True); import time; time.sleep(60)", id="sleep"),
        pytest.param(
            "print('be' 'gun', flush=True); import subprocess; subprocess.run(['sleep', '60'])", id="subprocess"
        ),
        pytest.param(
            "import numpy as np; print('be' 'gun', flush=True); [np.ones(200_000).sum() for _ in range(10**7)]",
            id="numpy",
        ),
    ],
)
def test_control_c_interrupts_a_cell_once_and_the_next_one_runs(console: Console, cell: str):
    console.type(cell)
    console.expect("begun")
    console.interrupt()
    said = console.expect(r"In \[2\]: ")
    # The last line of its traceback.
    assert len(re.findall(r"^KeyboardInterrupt: ?$", said, re.MULTILINE)) == 1
    console.type("6 * 7")
    said = console.expect(r"In \[3\]: ")
    assert "42" in said
    assert "KeyboardInterrupt" not in said


def test_control_c_at_a_question_interrupts_the_cell(console: Console):
    console.type("input('name? ')")
    console.expect(r"name\? ")
    console.interrupt()
    assert "KeyboardInterrupt" in console.expect(r"In \[2\]: ")
    console.type("6 * 7")
    assert "42" in console.expect(r"In \[3\]: ")


def test_control_c_in_a_profiled_cell_shows_the_report_of_what_was_reached(console: Console):
    cell = "%%filprofile\\nkept = bytearray(9_000_000)\\nprint('be' 'gun', flush=True)\\nimport time; time.sleep(60)"
    # In one line, as the simple prompt sends it.
    console.type(f'_ = get_ipython().run_cell("{cell}")')
    console.expect("begun")
    console.interrupt()
    said = console.expect(r"In \[\d+\]: ")
    assert "KeyboardInterrupt" in said
    assert re.search(r"[Pp]eak.*(8\.6|9\.0) MiB|[Pp]eak.*8\.\d MiB", said), said
    console.type("len(kept)")
    assert "9000000" in console.expect(r"In \[\d+\]: ")
