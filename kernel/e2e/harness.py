"""A client of the installed kernel, as the tests need it."""

import base64
import gzip
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

import psutil
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

KERNEL = "filprofile"
REPORT_MIME_TYPE = "application/vnd.fil.memory-profile+json"
TIMEOUT = 15
MEMORY_ERRORS = ("MemoryGuardError", "MemoryError")
"""How a cell is told that memory runs out. The second where it did not react within 20 ms, as on a busy machine: then
an allocation fails instead."""


@dataclass
class Result:
    """What one cell said."""

    reply: dict[str, Any]
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def status(self) -> str:
        return self.reply["status"]

    def contents(self, kind: str) -> list[dict[str, Any]]:
        return [message["content"] for message in self.messages if message["msg_type"] == kind]

    def kinds(self) -> list[str]:
        return [message["msg_type"] for message in self.messages]

    def text(self, stream: str = "stdout") -> str:
        return "".join(part["text"] for part in self.contents("stream") if part["name"] == stream)

    @property
    def value(self) -> str | None:
        """text/plain of the last expression."""
        results = self.contents("execute_result")
        return results[0]["data"]["text/plain"] if results else None

    @property
    def traceback(self) -> str:
        return "\n".join("\n".join(error["traceback"]) for error in self.contents("error"))

    @property
    def reports(self) -> list["Report"]:
        bundles = [content["data"] for content in self.contents("display_data")]
        return [Report.unpack(bundle) for bundle in bundles if REPORT_MIME_TYPE in bundle]

    @property
    def report(self) -> "Report":
        reports = self.reports
        assert len(reports) == 1, f"{len(reports)} reports; stderr: {self.text('stderr')}"
        return reports[0]


@dataclass
class Report:
    """A report (schema/report.ts) with what tests ask of it."""

    bundle: dict[str, Any]
    data: dict[str, Any]

    @classmethod
    def unpack(cls, bundle: dict[str, Any]) -> "Report":
        return cls(bundle, json.loads(gzip.decompress(base64.b64decode(bundle[REPORT_MIME_TYPE]["data"]))))

    @property
    def peak(self) -> int:
        return self.data["peakBytes"]

    def lines(self) -> list[tuple[str, int, str, int]]:
        """File, line, function and total bytes of each node of the tree that is Python code."""
        frames, tree = self.data["frames"], self.data["tree"]
        return [
            (frames["file"][frame], frames["line"][frame], frames["function"][frame], total)
            for frame, total in zip(tree["frame"], tree["totalBytes"], strict=True)
            if frames["kind"][frame] == "python"
        ]

    def bytes_of(self, file: str, line: int) -> int:
        return sum(total for f, n, _, total in self.lines() if (f, n) == (file, line))

    def source_of(self, file: str, line: int) -> str:
        frames = self.data["frames"]
        rows = zip(frames["file"], frames["line"], frames["sourceLine"], strict=True)
        return next(text for f, n, text in rows if (f, n) == (file, line))


class Kernel:
    """A started kernel and one client of it."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client
        self._replies: dict[str, dict[str, Any]] = {}

    @property
    def proxy(self) -> psutil.Process:
        return psutil.Process(self.manager.provisioner.process.pid)

    @property
    def child(self) -> psutil.Process:
        return next(
            p for p in self.proxy.children() if any(part.endswith("filprofiler/child.py") for part in p.cmdline())
        )

    @property
    def private_directory(self) -> Path:
        arguments = self.child.cmdline()
        return Path(arguments[arguments.index("-f") + 1]).parent

    def run(
        self, code: str, *, timeout: float = TIMEOUT, during: Callable[[], None] | None = None, **options: Any
    ) -> Result:
        """Runs a cell to its end; `during` is called when it has printed something."""
        request = self.client.execute(code, allow_stdin=False, **options)
        result = self.collect(request, timeout=timeout, during=during)
        result.reply = self.reply(request, timeout=timeout)
        return result

    def run_with(
        self, code: str, metadata: dict[str, Any], *, during: Callable[[], None] | None = None, **content: Any
    ) -> Result:
        """Runs a cell whose request carries metadata, as front ends send it; `content` changes the rest."""
        request_content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
            **content,
        }
        message = self.client.session.msg("execute_request", request_content, metadata=metadata)
        self.client.shell_channel.send(message)
        request = message["header"]["msg_id"]
        result = self.collect(request, during=during)
        result.reply = self.reply(request)
        return result

    def interrupt_soon(self) -> None:
        """For `during`. Not at once: pyzmq swallows an interrupt that comes while it frees what it has sent."""
        time.sleep(0.1)
        self.manager.interrupt_kernel()

    def collect(self, request: str, *, timeout: float = TIMEOUT, during: Callable[[], None] | None = None) -> Result:
        """What is published for a request until it is idle."""
        return self.collect_all([request], timeout=timeout, during=during)[request]

    def collect_all(
        self, requests: list[str], *, timeout: float = TIMEOUT, during: Callable[[], None] | None = None
    ) -> dict[str, Result]:
        """The same for requests that run at the same time."""
        results = {request: Result({}) for request in requests}
        running = set(requests)
        deadline = time.monotonic() + timeout
        while running:
            message = self.client.get_iopub_msg(timeout=max(0.0, deadline - time.monotonic()))
            request = message["parent_header"].get("msg_id")
            if request not in results:
                continue
            if message["msg_type"] == "status":
                if message["content"]["execution_state"] == "idle":
                    running.discard(request)
                continue
            results[request].messages.append(message)
            if message["msg_type"] == "stream" and during is not None:
                during, call = None, during
                call()
        return results

    def reply(self, request: str, *, timeout: float = TIMEOUT) -> dict[str, Any]:
        """Its content. Those to other requests can come first, and are kept for who asks for them."""
        deadline = time.monotonic() + timeout
        while request not in self._replies:
            message = self.client.get_shell_msg(timeout=max(0.0, deadline - time.monotonic()))
            self._replies[message["parent_header"].get("msg_id")] = message["content"]
        return self._replies.pop(request)

    def last_words(self, code: str, *, during: Callable[[], None] | None = None) -> Result:
        """Runs a cell in which the kernel dies; what was published until the end."""
        request = self.client.execute(code, allow_stdin=False)
        result = Result({})
        deadline = time.monotonic() + TIMEOUT
        while True:
            # Asked before: what was sent until then is found in the round that follows.
            was_alive = self.manager.is_alive()
            try:
                message = self.client.get_iopub_msg(timeout=0.3)
            except Empty:
                if not was_alive:
                    return result
                assert time.monotonic() < deadline, "the kernel did not die"
                continue
            if message["parent_header"].get("msg_id") == request and message["msg_type"] != "status":
                result.messages.append(message)
                if message["msg_type"] == "stream" and during is not None:
                    during, call = None, during
                    call()


@contextmanager
def started(name: str = KERNEL, **options: Any) -> Iterator[Kernel]:
    """A kernel that is shut down afterwards."""
    settings = {
        key: options.pop(key)
        for key in ("transport", "transport_encryption", "ip", "kernel_spec_manager")
        if key in options
    }
    manager = KernelManager(kernel_name=name, **settings)
    manager.start_kernel(**options)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=TIMEOUT)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        if manager.has_kernel:
            manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
