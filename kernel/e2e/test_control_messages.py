"""What Python sends to the proxy is what schema/control.schema.json says."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import zmq

from filprofiler._control import CONTROL_VERSION, ControlClient, ControlError

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "schema" / "control.schema.json").read_text())
SUBJECT = {"kind": "cell", "executionCount": 1, "cellId": None}


class Proxy:
    """The other end: answers what a test tells it to, and keeps what it got."""

    def __init__(self, endpoint: str) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.bind(endpoint)
        self._signer = ControlClient("inproc://none", "key")
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sender, signature, body = self._socket.recv_multipart()
            except zmq.ContextTerminated:
                self._socket.close(0)
                return
            assert signature == self._signer._sign(body)
            request = json.loads(body)
            self.requests.append(request)
            answer = {"type": "ok", "id": request["id"]}
            if self.answers and request["type"] != "hello":
                answer |= self.answers.pop(0)
            is_forged = answer.pop("forged", False)
            content = json.dumps(answer).encode()
            self._socket.send_multipart([sender, b"forged" if is_forged else self._signer._sign(content), content])

    def close(self) -> None:
        self._context.term()


@pytest.fixture
def proxy(tmp_path) -> Iterator[Proxy]:
    running = Proxy(f"ipc://{tmp_path}/control")
    yield running
    running.close()


@pytest.fixture
def client(proxy, tmp_path) -> ControlClient:
    return ControlClient(f"ipc://{tmp_path}/control", "key")


def begin(client: ControlClient) -> None:
    cell = {"filename": "/tmp/1.py", "executionCount": 1, "source": "1"}
    header = {"msg_id": "1", "date": None}
    client.begin(SUBJECT, title=None, cells=[cell], parent_header=header, output_directory="/somewhere", live=True)


def test_requests_fit_the_schema(client, proxy):
    begin(client)
    proxy.answers = [{"type": "report", "bundle": {"text/plain": "report"}, "files": [], "filesProblem": None}]
    assert client.end("completed")["bundle"] == {"text/plain": "report"}
    client.cancel()
    envelope = {"version": 1, "encoding": "gzip+base64", "peakBytes": 1, "data": ""}
    line = {"file": "", "line": 0, "function": "f", "source": "", "bytes": 1, "totalBytes": 1}
    proxy.answers = [{"type": "lines", "lines": [line]}, {"type": "saved", "files": ["/report.html"]}]
    assert client.lines(envelope) == [line]
    assert client.save(envelope, "/report.html") == ["/report.html"]
    kinds = [request["type"] for request in proxy.requests]
    assert kinds == ["hello", "begin", "end", "cancel", "lines", "save"]
    definitions = SCHEMA.get("$defs", {})
    for request in proxy.requests:
        jsonschema.validate(request, {**definitions["ControlRequest"], "$defs": definitions})


def test_the_version_is_that_of_the_schema():
    text = (ROOT / "schema" / "control.ts").read_text()
    assert f"CONTROL_VERSION = {CONTROL_VERSION};" in text


def test_ids_are_never_used_twice(client, proxy):
    begin(client)
    begin(client)
    ids = [request["id"] for request in proxy.requests]
    assert len(set(ids)) == len(ids)


def test_a_refusal_is_an_error_with_its_reason(client, proxy):
    proxy.answers = [{"type": "refused", "reason": "not today"}]
    with pytest.raises(ControlError, match="not today"):
        begin(client)


def test_an_answer_to_another_request_is_passed_over(client, proxy, monkeypatch):
    begin(client)
    monkeypatch.setattr("filprofiler._control.ANSWER_SECONDS", 0.2)
    proxy.answers = [{"type": "ok", "id": 999}]
    with pytest.raises(ControlError, match="did not answer"):
        begin(client)
    begin(client)


def test_an_answer_that_is_not_signed_is_passed_over(client, proxy, monkeypatch):
    begin(client)
    monkeypatch.setattr("filprofiler._control.ANSWER_SECONDS", 0.2)
    proxy.answers = [{"forged": True}]
    with pytest.raises(ControlError, match="did not answer"):
        begin(client)
