"""A server under `fil-profile run`: each worker is in the report, also those that it has replaced."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from process_reports import bytes_in

SECONDS = 60
MB = 1_000_000

APPLICATION = """
import os
held = []

def serve(environment, start_response):
    if environment["PATH_INFO"] == "/hold":
        held.append(bytearray(10_000_000))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


class Server:
    """gunicorn under Fil, on a socket of its own."""

    def __init__(self, directory: Path, *options: str) -> None:
        (directory / "application.py").write_text(APPLICATION)
        self._socket = directory / "socket"
        self.report_directory = directory / "reports"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "filprofiler", "-o", str(self.report_directory), "--no-browser", "run"),
                *("-m", "gunicorn", "--workers", "2", "--bind", f"unix:{self._socket}", *options, "application:serve"),
            ],
            cwd=directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def get(self, path: str) -> int | None:
        """The pid of the worker that answers; None if none does."""
        connection = http.client.HTTPConnection("localhost", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(10)
        try:
            connection.sock.connect(str(self._socket))
            connection.request("GET", path)
            return int(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()

    def ask_until(self, path: str, is_enough: Callable[[set[int]], bool]) -> set[int]:
        """The workers that have answered."""
        seen: set[int] = set()
        deadline = time.monotonic() + SECONDS
        while not is_enough(seen):
            assert time.monotonic() < deadline, f"answered: {seen}"
            worker = self.get(path)
            seen |= set() if worker is None else {worker}
            if worker is None:
                time.sleep(0.05)
        return seen

    def arbiter(self) -> int:
        """The pid of the process that gunicorn's workers are forked from."""
        worker = next(iter(self.ask_until("/", bool)))
        return int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])

    def report(self) -> dict[str, Any]:
        """What is said of it, once it has been ended."""
        said = self.process.communicate(timeout=SECONDS)[1]
        [path] = self.report_directory.glob("*/profile.json")
        assert "Traceback" not in said, said
        report: dict[str, Any] = json.loads(path.read_text())
        return report


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[Server]]:
    made: list[Server] = []
    yield made
    for server in made:
        if server.process.poll() is None:
            server.process.kill()
            server.process.communicate()


def peaks(report: dict[str, Any]) -> dict[int, int]:
    """Each process's own peak."""
    return {process["pid"]: process["peakBytes"] for process in report["processes"]["tracked"]}


def test_each_worker_is_in_the_report_also_after_a_reload(tmp_path: Path, servers: list[Server]) -> None:
    server = Server(tmp_path)
    servers.append(server)
    first = server.ask_until("/hold", lambda seen: len(seen) == 2)
    os.kill(server.arbiter(), signal.SIGHUP)
    both = server.ask_until("/hold", lambda seen: len(seen - first) == 2)
    # To the command, which passes it on.
    server.process.terminate()
    report = server.report()
    own = peaks(report)
    assert {pid for pid in both | first if own.get(pid, 0) >= 10 * MB} == both | first
    assert bytes_in(report, "serve") >= 20 * MB


def test_workers_that_are_replaced_after_some_requests_are_in_the_report(tmp_path: Path, servers: list[Server]) -> None:
    server = Server(tmp_path, "--max-requests", "2")
    servers.append(server)
    seen = server.ask_until("/hold", lambda seen: len(seen) >= 4)
    os.kill(server.arbiter(), signal.SIGTERM)
    report = server.report()
    own = peaks(report)
    assert {pid for pid in seen if own.get(pid, 0) >= 10 * MB} == seen
