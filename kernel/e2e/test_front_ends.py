"""Programs that execute notebooks find an ipykernel, and keep the report."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.request import Request, urlopen

import nbformat
import pytest
from harness import KERNEL, REPORT_MIME_TYPE, wait_until
from test_clients import notebook
from tornado.testing import bind_unused_port

CELLS = ("first = 1", "%%filprofile\nkept = bytearray(5_000_000)\nlen(kept)", "print('last', first)")


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "a notebook.ipynb"
    write(path, *CELLS)
    return path


def write(path: Path, *cells: str) -> None:
    content = notebook(*cells)
    content.metadata["kernelspec"]["language"] = "python"
    nbformat.write(content, path)


def run(*arguments: str, directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def check(path: Path) -> None:
    """That the notebook was executed to its end and keeps its report, once."""
    executed = nbformat.read(path, as_version=4)
    nbformat.validate(executed)
    bundles = [output["data"] for output in executed.cells[1].outputs if "data" in output]
    assert sum(REPORT_MIME_TYPE in bundle for bundle in bundles) == 1
    assert any(bundle.get("text/plain") == "5000000" for bundle in bundles)
    assert executed.cells[2].outputs[0]["text"] == "last 1\n"


def test_nbconvert_executes_and_keeps_the_report(file):
    done = run("nbconvert", "--to", "notebook", "--execute", "--inplace", str(file), directory=file.parent)
    assert done.returncode == 0, done.stderr
    check(file)


def test_nbconvert_to_html_shows_the_report_without_scripts_of_others(file):
    done = run("nbconvert", "--to", "html", "--execute", str(file), directory=file.parent)
    assert done.returncode == 0, done.stderr
    page = file.with_suffix(".html").read_text("utf-8")
    assert "4.8 MiB" in page


def test_papermill_executes_with_parameters_and_keeps_the_report(file):
    out = file.with_name("out.ipynb")
    done = run("papermill", str(file), str(out), "-p", "unused", "1", "--kernel", KERNEL, directory=file.parent)
    assert done.returncode == 0, done.stderr
    executed = nbformat.read(out, as_version=4)
    # Papermill puts its parameters first.
    del executed.cells[0]
    nbformat.write(executed, out)
    check(out)


def test_papermill_stops_at_an_error_in_a_profiled_cell(file):
    write(file, "%%filprofile\n1 / 0", "print('never')")
    out = file.with_name("out.ipynb")
    done = run("papermill", str(file), str(out), directory=file.parent)
    assert done.returncode != 0
    assert "ZeroDivisionError" in done.stderr
    assert "never\n" not in json.dumps(nbformat.read(out, as_version=4).cells[-1].get("outputs"))


class Server:
    """jupyter_server in a process of its own, asked over HTTP."""

    def __init__(self, directory: Path) -> None:
        listener, self.port = bind_unused_port()
        listener.close()
        options = [
            f"--ServerApp.port={self.port}",
            "--IdentityProvider.token=secret",
            f"--ServerApp.root_dir={directory}",
        ]
        # Dead kernels are looked for every 0.3 s instead of 3.
        options += [
            "--ServerApp.open_browser=False",
            "--ServerApp.allow_root=True",
            "--KernelRestarter.time_to_dead=0.3",
        ]
        self.log = (directory / "server.log").open("w")
        command = [sys.executable, "-m", "jupyter_server", *options]
        self.process = subprocess.Popen(command, cwd=directory, stdout=self.log, stderr=self.log)
        wait_until(self._answers, "the server answers", 40)

    def _answers(self) -> bool:
        try:
            self.ask("GET", "/api/status")
        except OSError:
            return False
        return True

    def ask(self, method: str, path: str, **body: object) -> dict:
        data = json.dumps(body).encode() if body else None
        request = Request(f"http://127.0.0.1:{self.port}{path}", data=data, method=method)
        request.add_header("Authorization", "token secret")
        with urlopen(request, timeout=20) as answer:
            return json.loads(answer.read() or b"{}")

    def execute(self, kernel: str, code: str, *, interrupt_after: float | None = None) -> list[dict]:
        """Runs a cell over the server's websocket and returns what was published for it."""
        import websocket  # after the server: it is its dependency

        address = f"ws://127.0.0.1:{self.port}/api/kernels/{kernel}/channels"
        connection = websocket.create_connection(address, header=["Authorization: token secret"], timeout=30)
        header = {
            "msg_id": f"cell-{time.monotonic_ns()}",
            "msg_type": "execute_request",
            "session": "s",
            "username": "",
        }
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        message = {"channel": "shell", "header": {**header, "version": "5.3"}, "parent_header": {}, "metadata": {}}
        connection.send(json.dumps({**message, "content": content, "buffers": []}))
        if interrupt_after is not None:
            threading.Timer(interrupt_after, self.ask, ("POST", f"/api/kernels/{kernel}/interrupt")).start()
        published = []
        while True:
            said = json.loads(connection.recv())
            if said["msg_type"] == "status" and said["content"]["execution_state"] in ("restarting", "autorestarting"):
                return published
            if said["parent_header"].get("msg_id") == header["msg_id"] and said["channel"] == "iopub":
                if said["msg_type"] == "status" and said["content"]["execution_state"] == "idle":
                    connection.close()
                    return published
                published.append(said)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


def texts(published: list[dict]) -> str:
    return "".join(m["content"]["text"] for m in published if m["msg_type"] == "stream")


def reports(published: list[dict]) -> int:
    return sum(REPORT_MIME_TYPE in m["content"]["data"] for m in published if m["msg_type"] == "display_data")


def test_the_servers_interface_starts_interrupts_restarts_and_ends_kernels(server):
    kernel = server.ask("POST", "/api/kernels", name=KERNEL)["id"]
    assert reports(server.execute(kernel, "%%filprofile\nkept = bytearray(2_000_000)")) == 1
    said = server.execute(kernel, "%%filprofile\nimport time\nkept = 2\ntime.sleep(60)", interrupt_after=1)
    assert [m["content"]["ename"] for m in said if m["msg_type"] == "error"] == ["KeyboardInterrupt"]
    assert reports(said) == 1
    server.ask("POST", f"/api/kernels/{kernel}/restart")
    assert texts(server.execute(kernel, "print('kept' in globals())")) == "False\n"
    server.ask("DELETE", f"/api/kernels/{kernel}")
    assert server.ask("GET", "/api/kernels") == []


def test_the_server_restarts_a_kernel_that_died_on_the_same_ports_and_the_report_is_there(server):
    kernel = server.ask("POST", "/api/kernels", name=KERNEL)["id"]
    where = "from ipykernel.connect import get_connection_info; print(get_connection_info())"
    before = texts(server.execute(kernel, where))
    # The pause is for ipykernel's own threads, which send the output.
    end = "print('so far', flush=True)\ntime.sleep(0.3)\nos._exit(3)"
    died = server.execute(kernel, f"%%filprofile\nimport os, time\nkept = bytearray(9_000_000)\n{end}")
    assert "so far\n" in texts(died)
    assert "exit status 3" in texts(died)
    assert reports(died) == 1
    # The server tells of the restart; the next message waits for the new kernel.
    assert server.ask("GET", f"/api/kernels/{kernel}")["execution_state"] != "dead"
    assert texts(server.execute(kernel, where)) == before
    assert texts(server.execute(kernel, "print('kept' in globals())")) == "False\n"
    server.ask("DELETE", f"/api/kernels/{kernel}")
