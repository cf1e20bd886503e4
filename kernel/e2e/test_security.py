"""Keys and sockets are their owner's; whatever is sent to the kernel, it neither crashes nor hangs nor grows."""

import os
import re
import socket
import struct
import time
from pathlib import Path
from random import Random

import psutil
import pytest
import zmq
from harness import started, wait_until

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> Path:
    """Where the kernel's processes write what they log."""
    return tmp_path_factory.mktemp("said") / "log"


@pytest.fixture(scope="module")
def kernel(said):
    with said.open("wb") as log, started(stdout=log, stderr=log) as running:
        yield running


def family(kernel) -> list[psutil.Process]:
    """All processes of a kernel, and one that the user's code started."""
    kernel.run("import subprocess; user = subprocess.Popen(['sleep', '60'])")
    return [kernel.proxy, *kernel.proxy.children(recursive=True)]


def test_no_key_is_in_an_argument_or_in_the_log(kernel, said):
    kernel.run("%%filprofile\n1")
    arguments = [part for process in family(kernel) for part in process.cmdline()]
    assert any("sleep" in part for part in arguments)
    key = kernel.manager.session.key.decode()
    for text in (*arguments, said.read_text(errors="replace")):
        assert key not in text
        # Of the control endpoint's key only the form is known: 32 bytes in hexadecimal.
        assert not re.search(r"\b[0-9a-f]{64}\b", text)


def test_no_key_is_in_the_environment_of_what_the_user_starts(kernel):
    told = kernel.run(
        "import os, subprocess\nprint(dict(os.environ), subprocess.run(['env'], capture_output=True).stdout)"
    ).text()
    assert kernel.manager.session.key.decode() not in told
    assert "FIL_CONTROL" not in told
    assert not re.search(r"\b[0-9a-f]{64}\b", told)


def test_directory_and_sockets_are_their_owners_alone(kernel):
    directory = kernel.private_directory
    assert directory.stat().st_mode & 0o777 == 0o700
    assert directory.stat().st_uid == os.getuid()
    files = [path for path in directory.iterdir() if path.is_file()]
    assert files
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)


def test_between_proxy_and_child_nothing_listens_on_the_network(kernel):
    listening = {
        connection.laddr.port
        for process in (kernel.proxy, kernel.child)
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    ours = {getattr(kernel.manager, f"{channel}_port") for channel in ("shell", "iopub", "stdin", "control", "hb")}
    # debugpy has one of its own in ipykernel's process.
    assert ours <= listening
    mine = {c.laddr.port for c in kernel.proxy.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    assert mine == ours


def endpoints(kernel) -> dict[str, tuple[str, int]]:
    """Addresses and kinds of socket, the control endpoint's among them."""
    channels = {
        channel: (f"tcp://127.0.0.1:{getattr(kernel.manager, channel + '_port')}", kind)
        for channel, kind in [
            ("shell", zmq.DEALER),
            ("control", zmq.DEALER),
            ("stdin", zmq.DEALER),
            ("hb", zmq.DEALER),
            ("iopub", zmq.XSUB),
        ]
    }
    return {**channels, "endpoint": (f"ipc://{kernel.private_directory}/control", zmq.DEALER)}


def well(kernel) -> bool:
    """Whether it runs and profiles cells, without having grown."""
    assert kernel.run("1 + 1").value == "2"
    assert len(kernel.run("%%filprofile\n1").reports) == 1
    wait_until(lambda: kernel.proxy.memory_info().rss < 90 * MEGABYTE, "the proxy is small", 20)
    return True


@pytest.mark.parametrize("channel", ["shell", "control", "stdin", "hb", "iopub", "endpoint"])
def test_thousands_of_malformed_messages_do_no_harm(kernel, channel):
    random = Random(channel)
    session = kernel.client.session
    signed = session.serialize(session.msg("execute_request", {"code": "raise SystemExit"}))
    wrong = [signed[0], b"0" * 64, *signed[2:]]
    frames = [b"", b"<IDS|MSG>", b"{}", b"null", b"\x00\xff" * 10, b"x" * 5000, b"\x01topic", b"\x00", *signed[2:]]
    address, kind = endpoints(kernel)[channel]
    with zmq.Context() as context, context.socket(kind) as sender:
        sender.linger = 2000
        sender.sndhwm = 0
        sender.connect(address)
        for _ in range(1500):
            message = [random.choice(frames) for _ in range(random.randint(1, 9))]
            sender.send_multipart(random.choice([message, wrong, wrong[:4], [*wrong, b"buffer"]]))
    assert well(kernel)


def test_a_message_that_is_sent_again_runs_once(kernel):
    session = kernel.client.session
    kernel.run("count = 0")
    frames = session.serialize(session.msg("execute_request", {"code": "count += 1", "silent": False}))
    with zmq.Context() as context, context.socket(zmq.DEALER) as sender:
        sender.connect(endpoints(kernel)["shell"][0])
        for _ in range(50):
            sender.send_multipart(frames)
        time.sleep(0.5)
    assert kernel.run("count").value == "1"


@pytest.mark.parametrize("channel", ["shell", "control", "stdin", "iopub", "hb"])
def test_bytes_that_are_no_zeromq_do_no_harm(kernel, channel):
    random = Random(channel)
    port = getattr(kernel.manager, f"{channel}_port")
    greeting = b"\xff" + b"\x00" * 8 + b"\x7f\x03\x00NULL" + b"\x00" * 48
    for _ in range(60):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            beginning = random.choice([b"", b"GET / HTTP/1.1\r\n\r\n", greeting, greeting[:20]])
            # A frame that claims to be of any length, up to 2^63 bytes.
            claim = b"\x02" + struct.pack(">Q", random.getrandbits(random.choice([20, 40, 63])))
            try:
                connection.sendall(beginning + random.choice([b"", claim]) + random.randbytes(random.randint(0, 2000)))
            except OSError:
                continue
    assert well(kernel)


def test_oversized_messages_do_no_harm(kernel):
    for channel in ("shell", "hb", "iopub"):
        address, kind = endpoints(kernel)[channel]
        with zmq.Context() as context, context.socket(kind) as sender:
            sender.linger = 5000
            sender.connect(address)
            for _ in range(3):
                sender.send_multipart([b"<IDS|MSG>", b"0" * 64, b"x" * (50 * MEGABYTE)])
    assert well(kernel)
