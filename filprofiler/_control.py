"""The line to the proxy: asks for profiles to begin and end. The messages are defined in `schema/control.ts`."""

import hmac
import itertools
import json
import os
import platform
import threading
import time
from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypedDict

import zmq

from filprofiler import _tracker

CONTROL_VERSION = 6
"""That of schema/control.ts; the proxy refuses another."""

_sibling_ids = itertools.count(1_000_000, 1_000)

ANSWER_SECONDS = 10.0
SHORTAGE_SECONDS = 2.0
REPORT_SECONDS = 300.0
"""A report of millions of call sites takes a while; if the proxy dies meanwhile, so do we."""

Outcome = Literal["completed", "error", "interrupted"]


class CellSource(TypedDict):
    """A notebook cell whose code can appear in a call stack."""

    filename: str
    executionCount: int
    source: str


class EndedCell(TypedDict):
    """A sampled cell that has ended; see `schema/control.ts`."""

    subject: Mapping[str, object]
    parentHeader: Mapping[str, object] | None
    outcome: Outcome
    seconds: float
    session: int | None


class Report(TypedDict):
    """The answer to the end of a profile: a MIME bundle to display, and the files that were written."""

    type: Literal["report"]
    id: int
    bundle: dict[str, Any]
    files: list[str]
    filesProblem: str | None


class LineRecord(TypedDict):
    """A line of a report's program; see `schema/control.ts`."""

    file: str
    line: int
    function: str
    source: str
    bytes: int
    totalBytes: int


class Shortage(TypedDict):
    """Why memory is about to run out, and the lines that hold most."""

    reason: str
    lines: list[str]


class _Reply(TypedDict):
    type: Literal["ok", "refused", "report", "lines", "saved", "shortage"]
    topLines: NotRequired[list[str]]
    id: int
    reason: NotRequired[str]
    bundle: NotRequired[dict[str, Any]]
    files: NotRequired[list[str]]
    filesProblem: NotRequired[str | None]
    lines: NotRequired[list[LineRecord]]


class ControlError(RuntimeError):
    """The proxy refused, or did not answer; the text says why."""


class ControlClient:
    """Requests and answers over a ZeroMQ DEALER, one at a time. A REQ socket would be unusable after a time-out."""

    def __init__(self, endpoint: str, key: str) -> None:
        self._endpoint = endpoint
        self._key = key.encode()
        self._pid = os.getpid()
        self._directory = _working_directory()
        self._lock = threading.Lock()
        self._socket: zmq.Socket[bytes] | None = None
        self._last_id = 0
        self._answered_id = 0

    def begin(
        self,
        subject: Mapping[str, object],
        *,
        title: str | None,
        cells: list[CellSource],
        parent_header: Mapping[str, object] | None,
        output_directory: str | None,
        live: bool,
        limit_bytes: int | None = None,
        headroom_bytes: int | None = None,
        guard: bool | None = None,
        children: bool = True,
        exact_tree: bool | None = None,
    ) -> None:
        """Announces that tracking begins now.

        Raises:
            ControlError: if it must not.
        """
        request = {
            "type": "begin",
            "subject": subject,
            "title": title,
            "cells": cells,
            "parentHeader": parent_header,
            "outputDirectory": output_directory,
            "live": live,
            "limitBytes": limit_bytes,
            "headroomBytes": headroom_bytes,
            "guard": guard,
            "children": children,
            "exactTree": exact_tree,
        }
        self._ask(request, ANSWER_SECONDS)

    def cancel(self) -> None:
        """Announces that tracking did not begin after all.

        Raises:
            ControlError: if the proxy does not answer.
        """
        self._ask({"type": "cancel"}, ANSWER_SECONDS)

    def sibling(self) -> "ControlClient":
        """A line of its own to the same end."""
        other = ControlClient(self._endpoint, self._key.decode())
        # The proxy answers no greeting twice: that of each line has another number.
        other._last_id = next(_sibling_ids)
        return other

    def shortage(self) -> Shortage:
        """What to say about memory that is about to run out.

        Raises:
            ControlError: if the proxy does not answer soon: the cell that waits for it holds all that memory.
        """
        reply = self._ask({"type": "shortage"}, SHORTAGE_SECONDS)
        return {"reason": reply.get("reason", ""), "lines": reply.get("topLines", [])}

    def close(self) -> None:
        """Ends the line."""
        if self._socket is not None:
            context = self._socket.context
            self._socket.close()
            self._socket = None
            context.term()

    def end(
        self, outcome: Outcome, observed: Mapping[str, object] | None = None, *, memory_error: bool = False
    ) -> Report:
        """Announces that tracking has ended and returns the report.

        Args:
            outcome: how the profiled code ended.
            memory_error: whether that was by a MemoryError, or one was the cause.
            observed: what this process knows beside its memory, as in `schema/observed.ts`.

        Raises:
            ControlError: if there is none.
        """
        known = {} if observed is None else {"observed": observed}
        reply = self._ask({"type": "end", "outcome": outcome, "memoryError": memory_error, **known}, REPORT_SECONDS)
        return {
            "type": "report",
            "id": reply["id"],
            "bundle": reply.get("bundle", {}),
            "files": reply.get("files", []),
            "filesProblem": reply.get("filesProblem"),
        }

    def post(self, message: dict[str, object]) -> int | None:
        """Says something without waiting for the answer; :meth:`wait_for` does.

        Returns:
            Its number; None if it can't be said.
        """
        if os.getpid() != self._pid:
            return None
        try:
            with self._lock:
                self._socket = self._socket or self._connect()
                return self._send(self._socket, message)
        except (ControlError, zmq.ZMQError):
            return None

    def wait_for(self, number: int, seconds: float) -> None:
        """Waits until what :meth:`post` said was answered, but no longer than so."""
        if os.getpid() != self._pid:
            return
        deadline = time.monotonic() + seconds
        with self._lock:
            while self._answered_id < number and self._socket is not None:
                left = deadline - time.monotonic()
                if left <= 0 or not self._receive(self._socket, left):
                    return

    def lines(self, envelope: Mapping[str, object]) -> list[LineRecord]:
        """Which lines held what in a report that :meth:`end` returned before.

        Raises:
            ControlError: if the proxy does not tell.
        """
        return self._ask({"type": "lines", "report": envelope}, REPORT_SECONDS).get("lines", [])

    def save(self, envelope: Mapping[str, object], path: str) -> list[str]:
        """Writes such a report into a file or, all files of it, into a directory. Returns their paths.

        Raises:
            ControlError: if it can't be written, with the reason.
        """
        return self._ask({"type": "save", "report": envelope, "path": path}, REPORT_SECONDS).get("files", [])

    def _ask(self, message: dict[str, object], seconds: float) -> _Reply:
        if os.getpid() != self._pid:
            # The socket is that of the process that forked us, and so is the memory that the tracker writes into.
            msg = "a forked process can't be profiled; profile in the process that forked it"
            raise ControlError(msg)
        with self._lock:
            if self._socket is None:
                self._socket = self._connect()
            reply = self._exchange(self._socket, message, seconds)
        if reply["type"] == "refused":
            raise ControlError(reply.get("reason", "no reason was given"))
        return reply

    def _connect(self) -> "zmq.Socket[bytes]":
        # A context of our own: the kernel's may be terminated while we wait.
        socket = zmq.Context().socket(zmq.DEALER)
        socket.linger = 0
        socket.connect(self._endpoint)
        hello = {
            "type": "hello",
            "version": CONTROL_VERSION,
            "pid": self._pid,
            "pythonVersion": platform.python_version(),
            "workingDirectory": self._directory,
        }
        reply = self._exchange(socket, hello, ANSWER_SECONDS)
        if reply["type"] == "refused":
            socket.close()
            raise ControlError(reply.get("reason", "no reason was given"))
        return socket

    def _exchange(self, socket: "zmq.Socket[bytes]", message: dict[str, object], seconds: float) -> _Reply:
        number = self._send(socket, message)
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            reply = self._receive(socket, left)
            # Another id: the answer to a request that was given up, or was not waited for.
            if reply is not None and reply["id"] == number:
                return reply
        msg = f"Fil's kernel process did not answer within {seconds:.0f} s; restart the kernel"
        raise ControlError(msg)

    def _send(self, socket: "zmq.Socket[bytes]", message: dict[str, object]) -> int:
        self._last_id += 1
        body = json.dumps({**message, "id": self._last_id}, default=str).encode()
        socket.send_multipart([self._sign(body), body])
        return self._last_id

    def _receive(self, socket: "zmq.Socket[bytes]", seconds: float) -> _Reply | None:
        """The next answer; None if none that deserves the name comes in that time."""
        if not socket.poll(int(seconds * 1000) + 1):
            return None
        reply = self._read(socket.recv_multipart())
        if reply is not None:
            # They come in the order of the requests.
            self._answered_id = max(self._answered_id, reply["id"])
        return reply

    def _read(self, frames: list[bytes]) -> _Reply | None:
        match frames:
            case [signature, body] if hmac.compare_digest(signature, self._sign(body)):
                reply: _Reply = json.loads(body)
                return reply
            case _:
                return None

    def _sign(self, body: bytes) -> bytes:
        # In one call, as it is made after each cell that is sampled.
        return hmac.digest(self._key, body, "sha256").hex().encode()


def _working_directory() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 (Path.cwd() is the same call)
    except OSError:
        return "/"


_client: ControlClient | None = None


def client() -> ControlClient | None:
    """The line to the proxy or launcher; None in a process that was not started by Fil, or not for this."""
    global _client
    if _client is None:
        setting = _tracker.control()
        _client = None if setting is None else ControlClient(*setting)
    return _client


def new_client() -> ControlClient | None:
    """Another line, for code that may have interrupted the use of the first one; to be closed."""
    first = client()
    return None if first is None else first.sibling()
