"""The kernel "Python 3 with Fil": `python -P -m filprofiler.kernel -f CONNECTION_FILE`.

Checks what can be known before anything starts and replaces itself by Node, which serves the kernel. `-P` keeps modules
in the notebook's directory from being taken for ours.
"""

import argparse
import sys
from importlib.util import find_spec
from typing import NoReturn

from filprofiler._memory_settings import node_options
from filprofiler._node import CannotStart, become_node, check_bundle, check_python, this_python


def main(arguments: list[str]) -> NoReturn:
    """Replaces this process by the kernel; on failure, says why on stderr and ends with status 1."""
    try:
        check_environment()
        path, kernel_arguments = split_arguments(arguments)
        # It hands the rest to ipykernel.
        become_node("kernel", "-f", path, "--python", sys.executable, *node_options(), "--", *kernel_arguments)
    except CannotStart as reason:
        sys.stderr.write(f"Fil: {reason}\n")
        sys.exit(1)


def split_arguments(arguments: list[str]) -> tuple[str, list[str]]:
    """The FILE of `-f FILE` and the arguments that are meant for ipykernel, such as `--profile-dir DIR`."""
    if len(arguments) == 2 and arguments[0] == "-f":
        # As Jupyter writes it. What follows takes 10 ms to load, of each start.
        return arguments[1], []

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("-f", "--f", dest="file")
    try:
        known, others = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        msg = f"{error}. Jupyter starts this kernel, by its name filprofile."
        raise CannotStart(msg) from error
    if not known.file:
        got = " ".join(arguments) or "nothing"
        msg = f"expected -f CONNECTION_FILE, got {got}. Jupyter starts this kernel, by its name filprofile."
        raise CannotStart(msg)
    return known.file, others


def check_environment() -> None:
    """Raises CannotStart unless this Python can be profiled and has what the kernel needs."""
    check_python()
    if find_spec("ipykernel") is None:
        msg = (
            f"the package ipykernel is missing; {this_python()}. Install it: {sys.executable} -m pip install ipykernel"
        )
        raise CannotStart(msg)
    check_bundle()


if __name__ == "__main__":
    main(sys.argv[1:])
