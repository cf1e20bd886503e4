"""A program under `fil-profile run` has the terminal as if it had been started by its own: each test does the same with
plain Python first."""

import os
import pty
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pexpect
import pytest
from programs import FIL, report_directories

FRONTS: dict[str, Sequence[str]] = {"plain": [sys.executable], "fil": [*FIL, "--no-browser", "run"]}
PROMPT = "PROMPT>"
TIMEOUT = 30

Start = Callable[[str], pexpect.spawn]


@pytest.fixture(params=FRONTS)
def command(request: pytest.FixtureRequest) -> str:
    """What stands before the script."""
    return " ".join(FRONTS[request.param])


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[pexpect.spawn]:
    """An interactive shell with job control in a terminal of its own."""
    running = pexpect.spawn(
        "bash", ["--norc", "--noprofile", "-i"], cwd=str(tmp_path), timeout=TIMEOUT, encoding="utf-8", echo=False
    )
    # In two parts, so that the command itself is not taken for the prompt.
    running.sendline("bind 'set enable-bracketed-paste off'; PS1='PROM''PT>'")
    running.expect_exact(PROMPT)
    yield running
    running.close(force=True)


def expect_prompt(shell: pexpect.spawn) -> str:
    """What was shown before the shell's next prompt."""
    shell.expect_exact(PROMPT)
    assert shell.before is not None
    return str(shell.before)


def status_of(shell: pexpect.spawn) -> int:
    shell.sendline("echo status=$?.")
    shell.expect(r"status=(\d+)\.")
    status = int(shell.match.group(1))
    expect_prompt(shell)
    return status


def script(directory: Path, text: str) -> None:
    (directory / "script.py").write_text(text)


def test_the_program_has_the_terminal_and_asks_there(shell, command, tmp_path):
    script(
        tmp_path,
        "import os, sys\n"
        "print(sys.stdin.isatty(), sys.stdout.isatty(), sys.stderr.isatty(), os.getpgrp() == os.tcgetpgrp(0))\n"
        "print('answer:', input('question? ').upper())\n",
    )
    shell.sendline(f"{command} script.py")
    shell.expect_exact("True True True True")
    shell.expect_exact("question? ")
    shell.sendline("yes")
    shell.expect_exact("answer: YES")
    expect_prompt(shell)
    assert status_of(shell) == 0


def test_ctrl_c_interrupts_the_program_once_and_it_dies_of_it(shell, command, tmp_path):
    script(
        tmp_path,
        "import signal, time\n"
        "count = 0\n"
        "def on_interrupt(*_):\n"
        "    global count\n"
        "    count += 1\n"
        "signal.signal(signal.SIGINT, on_interrupt)\n"
        "print('ready', flush=True)\n"
        "time.sleep(1)\n"
        "print('interrupts:', count, flush=True)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "print('again', flush=True)\n"
        "time.sleep(20)\n",
    )
    shell.sendline(f"{command} script.py")
    shell.expect_exact("ready")
    shell.sendintr()
    shell.expect_exact("interrupts: 1\r\n")
    shell.expect_exact("again")
    shell.sendintr()
    text = expect_prompt(shell)
    assert "KeyboardInterrupt" in text
    assert "filprofiler" not in text
    # As a shell sees it: died of SIGINT.
    assert status_of(shell) == 130


def test_ctrl_backslash_quits_the_program(shell, command, tmp_path):
    script(tmp_path, "import time\nprint('ready', flush=True)\ntime.sleep(20)\n")
    shell.sendline(f"ulimit -c 0; {command} script.py")
    shell.expect_exact("ready")
    shell.send("\x1c")
    expect_prompt(shell)
    assert status_of(shell) == 131


def test_ctrl_z_stops_the_program_and_fg_and_bg_continue_it(shell, command, tmp_path):
    script(
        tmp_path,
        "import signal, time\n"
        "print('ready', flush=True)\n"
        "for step in range(1000):\n"
        "    time.sleep(0.01)\n"
        "    if open('flag').read() == 'x':\n"
        "        break\n"
        "print('answer:', input('question? '), flush=True)\n",
    )
    (tmp_path / "flag").write_text("")
    shell.sendline(f"{command} script.py")
    shell.expect_exact("ready")
    shell.sendcontrol("z")
    assert "Stopped" in expect_prompt(shell)
    assert status_of(shell) == 148
    shell.sendline("jobs -s")
    assert "Stopped" in expect_prompt(shell)
    shell.sendline("bg")
    expect_prompt(shell)
    shell.sendline("jobs -r")
    assert "Running" in expect_prompt(shell)
    # In the background it is stopped again when it wants to read.
    (tmp_path / "flag").write_text("x")
    shell.sendline("sleep 1.5; jobs -s")
    assert "Stopped" in expect_prompt(shell)
    shell.sendline("fg")
    shell.sendline("yes")
    shell.expect_exact("answer: yes")
    expect_prompt(shell)
    assert status_of(shell) == 0


def test_a_program_that_handles_ctrl_z_itself_does_what_it_wants(shell, command, tmp_path):
    script(
        tmp_path,
        "import os, signal, time\n"
        "def on_stop(*_):\n"
        "    print('restoring the screen', flush=True)\n"
        "    time.sleep(0.3)\n"
        "    os.kill(os.getpid(), signal.SIGSTOP)\n"
        "    print('drawing again', flush=True)\n"
        "signal.signal(signal.SIGTSTP, on_stop)\n"
        "print('ready', flush=True)\n"
        "time.sleep(2)\n"
        "print('done', flush=True)\n",
    )
    shell.sendline(f"{command} script.py")
    shell.expect_exact("ready")
    shell.sendcontrol("z")
    shell.expect_exact("restoring the screen")
    assert "Stopped" in expect_prompt(shell)
    shell.sendline("fg")
    shell.expect_exact("drawing again")
    shell.expect_exact("done")
    expect_prompt(shell)
    assert status_of(shell) == 0


def test_a_pipeline_with_a_pager_keeps_its_terminal(shell, command, tmp_path):
    script(tmp_path, "import sys\nprint('from the program', sys.stdin.read().strip())\n")
    reader = "python3 -c \"import sys; print(sys.stdin.read().strip(), open('/dev/tty').readline())\""
    shell.sendline(f"echo given | {command} script.py 2>/dev/null | {reader}")
    shell.sendline("typed")
    shell.expect_exact("from the program given typed")
    expect_prompt(shell)


def test_curses_and_changed_terminal_modes_work_and_stay(shell, command, tmp_path):
    script(
        tmp_path,
        "import curses, sys, termios\n"
        "def main(screen):\n"
        "    screen.addstr(0, 0, f'size {screen.getmaxyx()}', curses.A_BOLD)\n"
        "    screen.refresh()\n"
        "    return screen.getch()\n"
        "print('key', curses.wrapper(main))\n"
        "modes = termios.tcgetattr(0)\n"
        "modes[3] &= ~termios.ECHOE\n"
        "termios.tcsetattr(0, termios.TCSANOW, modes)\n",
    )
    shell.setwinsize(30, 77)
    shell.sendline(f"TERM=xterm {command} script.py")
    shell.expect_exact("size (30, 77)")
    shell.send("k")
    shell.expect_exact("key 107")
    expect_prompt(shell)
    shell.sendline("stty -a")
    assert "-echoe" in expect_prompt(shell)


def test_hanging_up_ends_the_program(command, tmp_path):
    script(
        tmp_path,
        "import signal, sys, time\n"
        "def on_hang_up(*_):\n"
        "    open('hung_up', 'a').write('x')\n"
        "    sys.exit(3)\n"
        "signal.signal(signal.SIGHUP, on_hang_up)\n"
        "held = bytearray(20_000_000)\n"
        "print('ready', flush=True)\n"
        "time.sleep(20)\n",
    )
    program, terminal = pty.fork()
    if program == 0:
        os.chdir(tmp_path)
        os.execvp("/bin/sh", ["sh", "-c", f"exec {command} script.py"])
    try:
        said = b""
        # The terminal passes on the line's end by itself, and once it is closed that is an error to the program.
        while b"ready\r\n" not in said:
            said += os.read(terminal, 1000)
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(program, 0)[1]) == 3
    assert (tmp_path / "hung_up").read_text() == "x"
    assert len(report_directories(tmp_path)) == (1 if "filprofiler" in command else 0)
