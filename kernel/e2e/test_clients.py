"""Clients find an ipykernel: every channel, transport and kind of message."""

import json
import time
from random import Random

import nbformat
import pytest
import zmq
from harness import REPORT_MIME_TYPE, started
from jupyter_client.blocking.client import BlockingKernelClient
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError


def ask(kernel, code: str, answer: str):
    """Runs a cell that asks for input, and answers it."""
    request = kernel.client.execute(code, allow_stdin=True)
    question = kernel.client.get_stdin_msg(timeout=10)["content"]
    kernel.client.input(answer)
    result = kernel.collect(request)
    result.reply = kernel.reply(request)
    return question, result


def another_client(kernel) -> BlockingKernelClient:
    """One with an identity of its own; those that a manager makes share one."""
    client = BlockingKernelClient(connection_file=kernel.manager.connection_file)
    client.load_connection_file()
    return client


@pytest.mark.parametrize("first_line", ["", "%%filprofile\n"])
def test_input_is_asked_of_the_client_that_runs_the_cell(kernel, first_line):
    question, result = ask(kernel, first_line + "'got ' + input('name? ')", "Fil")
    assert question == {"prompt": "name? ", "password": False}
    assert result.value == "'got Fil'"


def test_passwords_are_asked_as_such(kernel):
    question, result = ask(kernel, "import getpass; getpass.getpass('key? ')", "secret")
    assert question == {"prompt": "key? ", "password": True}
    assert result.value == "'secret'"


def test_a_second_client_runs_cells_and_sees_the_firsts_output(kernel):
    second = another_client(kernel)
    second.start_channels()
    second.wait_for_ready(timeout=10)
    request = kernel.client.execute("print('to both')")
    seen = []
    while "stream" not in seen:
        message = second.get_iopub_msg(timeout=10)
        if message["parent_header"].get("msg_id") == request:
            seen.append(message["msg_type"])
    assert second.execute("1 + 1", reply=True, timeout=10)["content"]["status"] == "ok"
    second.stop_channels()


def test_a_flood_of_rich_output_arrives_completely_and_in_order(kernel):
    code = "from IPython.display import display\nfor n in range(3000): display({'text/html': f'<b>{n}</b>'}, raw=True)"
    shown = [content["data"]["text/html"] for content in kernel.run(code, timeout=60).contents("display_data")]
    assert shown == [f"<b>{n}</b>" for n in range(3000)]


def test_large_messages_pass(kernel):
    result = kernel.run("from IPython.display import HTML\nHTML('x' * 20_000_000)", timeout=60)
    assert len(result.contents("execute_result")[0]["data"]["text/html"]) == 20_000_000


def test_comm_messages_with_binary_buffers_pass_both_ways(kernel):
    code = (
        "from comm import create_comm\ncomm = create_comm(target_name='test', data={'n': 1}, buffers=[b'\\x00\\xff'])\n"
        "received = []\ncomm.on_msg(lambda message: received.append(bytes(message['buffers'][0])))"
    )
    opened = next(m for m in kernel.run(code).messages if m["msg_type"] == "comm_open")
    assert bytes(opened["buffers"][0]) == b"\x00\xff"
    content = {"comm_id": opened["content"]["comm_id"], "data": {}}
    message = kernel.client.session.msg("comm_msg", content)
    kernel.client.session.send(kernel.client.shell_channel.socket, message, buffers=[b"\x01\x02"])
    kernel.collect(message["header"]["msg_id"])
    assert kernel.run("received").value == r"[b'\x01\x02']"


def test_the_debugger_answers(kernel):
    message = kernel.client.session.msg("debug_request", {"type": "request", "seq": 1, "command": "debugInfo"})
    kernel.client.control_channel.send(message)
    answer = kernel.client.get_control_msg(timeout=10)["content"]
    assert answer["success"]


def test_history_completion_and_inspection_work(kernel):
    kernel.run("some_long_name = 1")
    kernel.client.complete("some_lo", 7)
    assert kernel.client.get_shell_msg(timeout=10)["content"]["matches"] == ["some_long_name"]
    kernel.client.inspect("some_long_name")
    assert kernel.client.get_shell_msg(timeout=10)["content"]["found"]
    kernel.client.history(raw=True, output=False, hist_access_type="tail", n=1)
    assert kernel.client.get_shell_msg(timeout=10)["content"]["history"][0][2] == "some_long_name = 1"


def test_connection_information_is_the_clients_not_the_one_behind_it(kernel):
    file = kernel.manager.connection_file
    assert kernel.run("from ipykernel.connect import get_connection_file\nget_connection_file()").value == repr(file)
    said = kernel.run("%connect_info").text()
    assert json.loads(said[: said.index("}") + 1])["shell_port"] == kernel.manager.shell_port
    config = kernel.run("get_ipython().config['IPKernelApp']['connection_file']").value
    assert config == repr(file)


def test_the_connection_request_names_the_clients_ports(kernel):
    message = kernel.client.session.msg("connect_request", {})
    kernel.client.shell_channel.send(message)
    answer = kernel.reply(message["header"]["msg_id"])
    assert answer["shell_port"] == kernel.manager.shell_port


def test_new_subscribers_are_welcomed(kernel):
    client = another_client(kernel)
    client.start_channels(shell=False, stdin=False, hb=False, control=False)
    client.iopub_channel.socket.subscribe = b"a topic"
    deadline = time.monotonic() + 5
    while True:
        message = client.get_iopub_msg(timeout=max(0, deadline - time.monotonic()))
        if message["msg_type"] == "iopub_welcome" and message["content"] == {"subscription": "a topic"}:
            break
    client.stop_channels()


def test_the_process_looks_like_one_of_ipykernel_launcher(kernel):
    looks = kernel.run(
        "import sys, __main__\nsys.argv[0], sys.path[0], __main__.__name__, hasattr(__main__, '__file__')"
    )
    launcher, first, name, has_file = eval(looks.value)
    assert launcher.endswith("ipykernel_launcher.py")
    assert (first == "" or first.endswith(".zip"), name, has_file) == (True, "__main__", False)


def test_programs_that_the_notebook_starts_are_tracked_and_see_nothing_of_it(kernel):
    code = "import os, subprocess, sys\n{k for k in os.environ if k.startswith('FIL_') or k == 'LD_PRELOAD'}"
    assert kernel.run(code).value == "set()"
    command = """[sys.executable, '-c', 'print(open("/proc/self/maps").read())']"""
    maps = f"subprocess.run({command}, capture_output=True, text=True).stdout"
    assert kernel.run(f"'libfil_tracker' in {maps}").value == "True"
    seen = "import os; print([name for name in os.environ if name[:4] == 'FIL_' or name == 'LD_PRELOAD'])"
    command = f"[sys.executable, '-c', {seen!r}]"
    assert kernel.run(f"subprocess.run({command}, capture_output=True, text=True).stdout").value == r"'[]\n'"


def test_multiprocessing_works_by_fork_and_by_spawn(kernel):
    for method in ("fork", "spawn"):
        code = (
            "%%filprofile\n"
            "import multiprocessing, math\n"
            f"with multiprocessing.get_context({method!r}).Pool(2) as pool:\n"
            "    squares = pool.map(math.sqrt, [4, 9])\n"
            "squares"
        )
        assert kernel.run(code).value == "[2.0, 3.0]"


def test_a_forked_process_that_ends_does_not_end_the_profile(kernel):
    code = (
        "%%filprofile\n"
        "import os\n"
        "before = bytearray(4_000_000)\n"
        "pid = os.fork()\n"
        "if pid == 0: os._exit(0)\n"
        "os.waitpid(pid, 0)\n"
        "after = bytearray(4_000_000)"
    )
    assert kernel.run(code).report.peak >= 8_000_000


def test_the_users_own_preloaded_library_and_node_options_are_kept(monkeypatch):
    monkeypatch.setenv("NODE_OPTIONS", "--require /does/not/exist.js")
    monkeypatch.setenv("LD_PRELOAD", "libm.so.6")
    with started() as kernel:
        said = kernel.run("import os; os.environ['NODE_OPTIONS'], os.environ['LD_PRELOAD']").value
        assert said == "('--require /does/not/exist.js', 'libm.so.6')"
        assert len(kernel.run("%%filprofile\n1").reports) == 1


def test_the_users_own_extensions_and_configuration_are_kept(tmp_path, monkeypatch):
    profile = tmp_path / "profile_default"
    profile.mkdir(parents=True)
    (tmp_path / "extensions").mkdir()
    (tmp_path / "extensions" / "mine.py").write_text(
        "def load_ipython_extension(shell): shell.user_ns['mine'] = 'loaded'\n"
    )
    (profile / "ipython_kernel_config.py").write_text(
        "c.InteractiveShellApp.extensions = ['mine']\nc.InteractiveShellApp.exec_lines = ['configured = 1']\n"
    )
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "extensions"))
    with started() as kernel:
        assert kernel.run("mine, configured").value == "('loaded', 1)"
        assert len(kernel.run("%%filprofile\n1").reports) == 1


def test_a_notebook_beside_a_file_named_like_a_standard_module_starts(tmp_path):
    for name in ("typing", "json", "argparse", "threading", "filprofiler", "zmq"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')\n")
    with started(cwd=str(tmp_path)) as kernel:
        assert kernel.run("1").value == "1"


def test_ipc_transport_works(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    with started(transport="ipc", ip=str(tmp_path / "front")) as kernel:
        assert kernel.run("1 + 1").value == "2"
        assert len(kernel.run("%%filprofile\n1").reports) == 1


def test_encrypted_transport_works():
    with started(transport_encryption="required") as kernel:
        assert kernel.manager.curve_publickey is not None
        assert kernel.run("1 + 1").value == "2"
        assert kernel.run("get_ipython().kernel.parent.curve_secretkey is None").value == "True"


def notebook(*cells: str):
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in cells],
        metadata={"kernelspec": {"name": "filprofile", "display_name": "Python 3 with Fil"}},
    )


def test_nbclient_stores_the_report_in_the_notebook():
    executed = NotebookClient(notebook("%%filprofile\nx = bytearray(1_000_000)", "len(x)"), timeout=30).execute()
    nbformat.validate(executed)
    assert REPORT_MIME_TYPE in executed.cells[0].outputs[-1]["data"]
    assert executed.cells[1].outputs[0]["data"]["text/plain"] == "1000000"


def test_nbclient_stops_at_an_error_in_a_profiled_cell():
    client = NotebookClient(notebook("%%filprofile\n1 / 0", "print('never')"), timeout=30)
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        client.execute()
    assert client.nb.cells[1].outputs == []


def test_nbclient_stores_the_report_of_a_kernel_that_died():
    client = NotebookClient(notebook("%%filprofile\nimport os\nx = bytearray(9_000_000)\nos._exit(1)"), timeout=30)
    with pytest.raises(DeadKernelError):
        client.execute()
    said = [output for output in client.nb.cells[0].outputs if output["output_type"] == "display_data"]
    assert REPORT_MIME_TYPE in said[0]["data"]


@pytest.mark.parametrize("channel", ["shell", "control", "stdin", "hb", "iopub"])
def test_malformed_messages_neither_crash_nor_hang_the_kernel(kernel, channel):
    random = Random(channel)
    frames = [b"", b"<IDS|MSG>", b"{}", b"\x00\xff" * 10, b"x" * 5000, b"\x01topic", b"\x00"]
    with zmq.Context() as context, context.socket(zmq.XSUB if channel == "iopub" else zmq.DEALER) as socket:
        socket.linger = 500
        socket.connect(f"tcp://127.0.0.1:{getattr(kernel.manager, channel + '_port')}")
        for _ in range(300):
            socket.send_multipart([random.choice(frames) for _ in range(random.randint(1, 9))])
    assert kernel.run("1 + 1").value == "2"
    assert len(kernel.run("%%filprofile\n1").reports) == 1
