"""Starts a Python with the tracker preloaded, and beside it Node, which waits for its end and writes reports.

The program's process is forked off before this one becomes Node: it has the arguments, environment, descriptors, limits
and signal dispositions that we were given, of which Node changes or can't represent some. It waits until Node is ready,
and then executes exactly the command that the user would type without us.
"""

import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from filprofiler._node import CannotStart, become_node

MOST_ARGUMENTS_SHOWN = 50
LONGEST_ARGUMENT_SHOWN = 200


def launch(python_arguments: Sequence[str], *, node_arguments: Sequence[str]) -> NoReturn:
    """Runs `python PYTHON_ARGUMENTS...`; this process ends as it ends.

    Args:
        python_arguments: the command line of the program, without Python itself.
        node_arguments: what Fil's program in Node is to do (`kernel/src/launcher/`).

    Raises:
        CannotStart: if it can't be started; nothing runs then.
    """
    # An interrupt before the program begins ends it, and us, without a traceback of ours.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        segment = os.memfd_create("filprofiler", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError as error:
        msg = f"the system gives no shared memory for profiling (memfd_create: {error.strerror})"
        raise CannotStart(msg) from error
    ready, to_program = os.pipe()
    program = os.fork()
    if program == 0:
        os.close(to_program)
        _become_program(python_arguments, segment, ready)
    os.close(ready)
    for descriptor in (segment, to_program):
        os.set_inheritable(descriptor, True)
    try:
        become_node(
            *node_arguments,
            *("--child", str(program), "--segment", str(segment), "--ready", str(to_program)),
            *("--python", sys.executable, "--command", json.dumps(_shown(["python", *python_arguments]))),
        )
    except CannotStart:
        # The program finds the pipe closed and ends.
        os.close(to_program)
        os.waitpid(program, 0)
        raise


def _become_program(arguments: Sequence[str], segment: int, ready: int) -> NoReturn:
    """In the forked process: waits for Node's word and becomes the program."""
    try:
        with os.fdopen(ready, "rb") as pipe:
            word = pipe.read()
        if word:
            start = json.loads(word)
            environment = dict(os.environb)
            preload = start["preload"].encode()
            others = environment.get(b"LD_PRELOAD")
            environment[b"LD_PRELOAD"] = preload + b":" + others if others else preload
            for name, value in start["environment"].items():
                environment[name.encode()] = value.encode()
            if start["segmentPath"] is not None:
                segment = os.open(start["segmentPath"], os.O_RDWR | os.O_CLOEXEC)
            environment[start["segmentDescriptor"].encode()] = str(segment).encode()
            os.set_inheritable(segment, True)
            os.execve(sys.executable, [sys.executable, *arguments], environment)
    except OSError as error:
        os.write(2, f"=fil-profile= Python at {sys.executable} can't be executed: {error.strerror}\n".encode())
    finally:
        os._exit(1)


def _shown(command: list[str]) -> list[str]:
    """A command as text for the report, within the system's limit for one argument; bytes that are no text replaced."""
    return [
        os.fsencode(argument).decode(errors="replace")[:LONGEST_ARGUMENT_SHOWN]
        for argument in command[:MOST_ARGUMENTS_SHOWN]
    ]
