"""What Node does for a process that no Node stands by.

It is told on standard input: `kernel/src/cluster/command.ts` is the other side.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

from filprofiler._control import LineRecord
from filprofiler._node import BUNDLE, CannotStart, check_bundle, find_node


def node_command(*arguments: str) -> list[str]:
    """The command line of Fil's program in Node.

    Raises:
        RuntimeError: if it can't be started here, with what to do.
    """
    try:
        check_bundle()
        return [find_node(), "--no-warnings", str(BUNDLE / "fil.cjs"), *arguments]
    except CannotStart as reason:
        msg = f"Fil {reason}"
        raise RuntimeError(msg) from reason


def node_environment() -> dict[str, str]:
    """For Node: without what is meant for the user's programs, and without our tracker."""
    environment = {name: value for name, value in os.environ.items() if name not in ("NODE_OPTIONS", "LD_PRELOAD")}
    # A tree that is named already is not handed on (native/tracker/handed_on.cpp).
    environment["FIL_TREE"] = ""
    return environment


class NodeTask:
    """Asks a Node of its own, each time."""

    def __init__(self) -> None:
        self._started: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Lets Node load its program while something else is done; to be followed by one question, or an end.

        Raises:
            RuntimeError: if it can't be started.
        """
        try:
            self._started = subprocess.Popen(
                node_command("cluster"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=node_environment(),
            )
        except OSError as error:
            msg = f"Node can't be executed: {error.strerror}"
            raise RuntimeError(msg) from error

    def end(self) -> None:
        """Nothing will be asked."""
        process, self._started = self._started, None
        if process is not None:
            process.kill()
            process.communicate()

    def ask(self, request: Mapping[str, object]) -> dict[str, Any]:
        """The answer to a request.

        Raises:
            RuntimeError: if there is none, with the reason.
        """
        if self._started is None:
            self.start()
        process, self._started = self._started, None
        assert process is not None, "it was started"
        with process:
            out, err = process.communicate(json.dumps(request, default=str).encode())
        if process.returncode != 0:
            said = err.decode(errors="replace").strip().splitlines()
            msg = f"the report could not be made: {said[0] if said else f'Node ended with status {process.returncode}'}"
            raise RuntimeError(msg)
        answer: dict[str, Any] = json.loads(out)
        return answer

    def lines(self, envelope: Mapping[str, object]) -> list[LineRecord]:
        """As :meth:`ControlClient.lines`."""
        lines: list[LineRecord] = self.ask({"type": "lines", "report": envelope})["lines"]
        return lines

    def save(self, envelope: Mapping[str, object], path: str) -> list[str]:
        """As :meth:`ControlClient.save`."""
        files: list[str] = self.ask({"type": "save", "report": envelope, "path": path})["files"]
        return files
