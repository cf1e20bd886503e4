"""A kernel that can't start says why in one line on stderr and ends with status 1 at once."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jupyter_client.connect import write_connection_file

import filprofiler
from filprofiler import kernel as front
from filprofiler._tracker import TrackerError
from filprofiler.child import check_tracker

PACKAGE = Path(filprofiler.__file__).parent


@pytest.fixture
def connection_file(tmp_path) -> str:
    return write_connection_file(str(tmp_path / "kernel-test.json"), key=b"key")[0]


@pytest.fixture
def installation(tmp_path) -> Path:
    """A copy of the package, to break."""
    target = tmp_path / "site" / "filprofiler"
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("labextension", "__pycache__"))
    return target


def start(connection_file: str, *, path: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "filprofiler.kernel", "-f", connection_file],
        capture_output=True,
        text=True,
        timeout=20,
        env={**os.environ, **({} if path is None else {"PYTHONPATH": str(path)}), **environment},
    )


def explanation(process: subprocess.CompletedProcess[str]) -> str:
    assert process.returncode == 1, process.stderr
    assert process.stderr.startswith("Fil: ")
    assert process.stderr.count("\n") == 1, process.stderr
    return process.stderr


@pytest.mark.parametrize("name", ["fil.cjs", "filprofiler.node", "libfil_tracker.so", "zeromq.node"])
def test_a_file_that_was_not_built(connection_file, installation, name):
    (installation / "_bundle" / name).unlink()
    said = explanation(start(connection_file, path=installation.parent))
    assert name in said
    assert "npm run build" in said


def test_an_addon_that_cannot_be_loaded(connection_file, installation):
    (installation / "_bundle" / "filprofiler.node").write_bytes(b"no library")
    assert "filprofiler.node" in explanation(start(connection_file, path=installation.parent))


def test_a_tracker_that_is_no_library(connection_file, installation):
    (installation / "_bundle" / "libfil_tracker.so").write_bytes(b"no library")
    assert "libfil_tracker.so" in explanation(start(connection_file, path=installation.parent))


def test_a_tracker_for_another_processor(connection_file, installation):
    tracker = installation / "_bundle" / "libfil_tracker.so"
    image = bytearray(tracker.read_bytes())
    image[18:20] = (243).to_bytes(2, "little")  # e_machine: RISC-V
    tracker.write_bytes(image)
    assert "can't be used" in explanation(start(connection_file, path=installation.parent))


def test_an_installation_in_a_path_with_a_space_works(connection_file, tmp_path):
    from harness import started

    target = tmp_path / "a path with spaces" / "filprofiler"
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("labextension", "__pycache__"))
    with started(env={**os.environ, "PYTHONPATH": str(target.parent)}) as kernel:
        assert kernel.run("import filprofiler; filprofiler.__file__").value == repr(str(target / "__init__.py"))
        assert kernel.run("%%filprofile\nx = bytearray(2_000_000)").report.peak >= 2_000_000
        assert kernel.run("import os; os.environ.get('LD_PRELOAD')").value is None


def test_a_missing_ipykernel(connection_file, tmp_path):
    # A Python without packages: the package's directory alone on its path.
    process = subprocess.run(
        [sys.executable, "-P", "-S", "-m", "filprofiler.kernel", "-f", connection_file],
        capture_output=True,
        text=True,
        timeout=20,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
    )
    said = explanation(process)
    assert "ipykernel is missing" in said
    assert "pip install ipykernel" in said


def test_a_missing_connection_file(tmp_path):
    assert "can't be read" in explanation(start(str(tmp_path / "nothing.json")))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"shell_port": "many"}'])
def test_a_connection_file_that_is_none(tmp_path, content):
    path = tmp_path / "kernel.json"
    path.write_text(content)
    assert str(path) in explanation(start(str(path)))


def test_a_signature_scheme_that_is_not_to_be_had(connection_file):
    path = Path(connection_file)
    path.write_text(json.dumps({**json.loads(path.read_text()), "signature_scheme": "hmac-rot13"}))
    assert "hmac-rot13" in explanation(start(connection_file))


def test_a_port_that_is_in_use(connection_file):
    import socket

    info = json.loads(Path(connection_file).read_text())
    with socket.create_server(("127.0.0.1", 0)) as server:
        info["iopub_port"] = server.getsockname()[1]
        Path(connection_file).write_text(json.dumps(info))
        assert str(info["iopub_port"]) in explanation(start(connection_file))


def test_missing_arguments():
    process = subprocess.run(
        [sys.executable, "-P", "-m", "filprofiler.kernel"], capture_output=True, text=True, timeout=20, check=False
    )
    assert "CONNECTION_FILE" in explanation(process)


def test_other_arguments_are_ipykernels(tmp_path):
    from harness import started

    with started(extra_arguments=["--profile-dir", str(tmp_path), "--IPKernelApp.exec_lines=configured = 1"]) as kernel:
        assert kernel.run("configured").value == "1"
        assert kernel.run("get_ipython().profile_dir.location").value == repr(str(tmp_path))
        assert (
            kernel.run("import sys; sys.argv[1:4:2] + sys.argv[5:]").value
            == "['-f', '--profile-dir', '--IPKernelApp.exec_lines=configured = 1']"
        )


@pytest.mark.parametrize("arguments", [["-f", "a"], ["-f=a"], ["--f=a"], ["--f", "a"]])
def test_the_connection_file_is_named_as_for_ipykernel(arguments):
    assert front.split_arguments(["--x=1", *arguments, "--y", "2"]) == ("a", ["--x=1", "--y", "2"])


def test_a_connection_file_option_without_a_file():
    with pytest.raises(front.CannotStart, match="expected one argument"):
        front.split_arguments(["-f"])


def test_a_node_that_cannot_be_executed(connection_file):
    assert "FIL_NODE" in explanation(start(connection_file, FIL_NODE="/does/not/exist"))


def test_a_node_that_is_too_old(connection_file, tmp_path):
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho v18.20.1\n")
    node.chmod(0o755)
    said = explanation(start(connection_file, FIL_NODE=str(node)))
    assert "v18.20.1" in said
    assert "20.19" in said


@pytest.mark.parametrize("version", [(3, 10, 14), (3, 16, 0)])
def test_an_unsupported_python(monkeypatch, version):
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(front.CannotStart, match=r"needs CPython 3\.11 to 3\.15"):
        front.check_environment()


def test_another_implementation_than_cpython(monkeypatch):
    monkeypatch.setattr(sys.implementation, "name", "pypy")
    with pytest.raises(front.CannotStart, match="pypy"):
        front.check_environment()


def test_a_free_threaded_python(monkeypatch):
    monkeypatch.setattr(sys, "abiflags", "t")
    with pytest.raises(front.CannotStart, match="free-threaded"):
        front.check_environment()


@pytest.mark.parametrize("is_loaded", [False, True])
def test_a_tracker_that_is_not_preloaded_or_does_not_fit_this_python(monkeypatch, capsys, is_loaded):
    def refuse() -> None:
        raise TrackerError("Fil can't read the call stacks of this Python.")

    monkeypatch.setattr("filprofiler._tracker.is_loaded", lambda: is_loaded)
    monkeypatch.setattr("filprofiler._tracker.check", refuse)
    with pytest.raises(SystemExit) as end:
        check_tracker()
    assert end.value.code == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert ("can't read the call stacks" if is_loaded else "not preloaded") in said


def test_ports_that_are_zero_are_chosen_and_written_into_the_file(tmp_path):
    from harness import wait_until
    from jupyter_client.blocking.client import BlockingKernelClient

    path = tmp_path / "kernel-zero.json"
    ports = {f"{channel}_port": 0 for channel in ("shell", "iopub", "stdin", "control", "hb")}
    path.write_text(json.dumps({**ports, "transport": "tcp", "ip": "127.0.0.1", "key": "key"}))
    process = subprocess.Popen([sys.executable, "-P", "-m", "filprofiler.kernel", "-f", str(path)])
    try:
        wait_until(lambda: json.loads(path.read_text() or "{}").get("hb_port", 0) > 0, "the ports are written")
        client = BlockingKernelClient(connection_file=str(path))
        client.load_connection_file()
        client.start_channels()
        client.wait_for_ready(timeout=10)
        client.stop_channels()
    finally:
        process.terminate()
        process.wait(5)


def test_the_command_tells_its_version_and_license_and_helps():
    def said(*arguments: str) -> str:
        command = [sys.executable, "-m", "filprofiler", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout

    assert said("--version").startswith("Fil 20")
    assert "Apache License" in said("--license")
    assert "Python 3 with Fil" in said("--help")
    assert said() == said("--help")
