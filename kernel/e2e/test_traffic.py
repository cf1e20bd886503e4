"""Much, large, many at once: nothing is lost."""

import threading
import time

import pytest
from harness import Kernel, Result, started
from jupyter_client.blocking.client import BlockingKernelClient
from test_clients import another_client

MANY = 50_000
LARGE = 100_000_000


def test_fifty_thousand_messages_reach_a_client_that_reads_late_completely_and_in_order(own_kernel):
    code = f"from IPython.display import display\nfor n in range({MANY}): display({{'text/plain': f'{{n}}'}}, raw=True)"
    request = own_kernel.client.execute(code, allow_stdin=False)
    own_kernel.reply(request, timeout=150)
    shown = [c["data"]["text/plain"] for c in own_kernel.collect(request, timeout=150).contents("display_data")]
    assert shown == [str(n) for n in range(MANY)]


def test_messages_wait_for_a_proxy_that_gets_no_processor_time(own_kernel):
    code = "from IPython.display import display\nfor n in range(10_000): display({'text/plain': f'{n}'}, raw=True)"
    proxy = own_kernel.proxy
    request = own_kernel.client.execute(f"print('ready', flush=True)\nimport time; time.sleep(0.3)\n{code}")
    while own_kernel.client.get_iopub_msg(timeout=10)["msg_type"] != "stream":
        pass
    proxy.suspend()
    time.sleep(3)
    proxy.resume()
    shown = [c["data"]["text/plain"] for c in own_kernel.collect(request, timeout=60).contents("display_data")]
    assert shown == [str(n) for n in range(10_000)]


def test_a_hundred_megabytes_pass_to_the_client(kernel):
    result = kernel.run(f"from IPython.display import HTML\nHTML('x' * {LARGE})", timeout=100)
    assert len(result.contents("execute_result")[0]["data"]["text/html"]) == LARGE


def test_a_hundred_megabytes_pass_to_the_kernel(kernel):
    setup = (
        "from comm import create_comm\nlarge = create_comm(target_name='large')\nsizes = []\n"
        "large.on_msg(lambda message: sizes.append(len(message['buffers'][0])))"
    )
    opened = next(m for m in kernel.run(setup).messages if m["msg_type"] == "comm_open")
    content = {"comm_id": opened["content"]["comm_id"], "data": {}}
    message = kernel.client.session.msg("comm_msg", content)
    kernel.client.session.send(kernel.client.shell_channel.socket, message, buffers=[b"x" * LARGE])
    kernel.collect(message["header"]["msg_id"], timeout=100)
    assert kernel.run("sizes").value == f"[{LARGE}]"


def test_a_cell_of_ten_megabytes_runs(kernel):
    assert kernel.run(f"long = '{'x' * 10_000_000}'\nlen(long)", timeout=60).value == "10000000"


def input_of(kernel: Kernel, client: BlockingKernelClient, name: str, answers: dict[str, str]) -> None:
    """Asks for input in a cell of this client's and answers with its name."""
    request = client.execute(f"answers = globals().get('answers', {{}}); answers[{name!r}] = input('{name}? ')")
    question = client.get_stdin_msg(timeout=30)
    answers[name] = question["content"]["prompt"]
    client.input(name)
    while client.get_shell_msg(timeout=30)["parent_header"].get("msg_id") != request:
        pass


def test_several_clients_at_once_are_each_asked_for_their_own_input(kernel):
    clients = {f"client {n}": another_client(kernel) for n in range(4)}
    for client in clients.values():
        client.start_channels()
        client.wait_for_ready(timeout=30)
    asked: dict[str, str] = {}
    threads = [threading.Thread(target=input_of, args=(kernel, c, name, asked)) for name, c in clients.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert asked == {name: f"{name}? " for name in clients}
    assert eval(kernel.run("answers").value) == {name: name for name in clients}
    for client in clients.values():
        client.stop_channels()


def test_several_clients_run_cells_at_once_and_each_sees_all_output(kernel):
    clients = [another_client(kernel) for _ in range(3)]
    for client in clients:
        client.start_channels()
        client.wait_for_ready(timeout=30)
    requests = [client.execute(f"for i in range(100): print({n}, i)") for n, client in enumerate(clients)]
    expected = ["".join(f"{n} {i}\n" for i in range(100)) for n in range(3)]
    for client in clients:
        assert [texts[request] for texts in [output(client, requests)] for request in requests] == expected
        client.stop_channels()


def output(client: BlockingKernelClient, requests: list[str]) -> dict[str, str]:
    """What these requests printed, as this client saw it."""
    results = {request: Result({}) for request in requests}
    running = set(requests)
    while running:
        message = client.get_iopub_msg(timeout=30)
        request = message["parent_header"].get("msg_id")
        if request in results:
            results[request].messages.append(message)
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                running.discard(request)
    return {request: result.text() for request, result in results.items()}


def test_subshells_run_beside_a_busy_cell_and_can_be_listed_and_deleted(own_kernel):
    client = own_kernel.client

    def control(kind: str, **content: object) -> dict:
        message = client.session.msg(kind, content)
        client.control_channel.send(message)
        while True:
            reply = client.get_control_msg(timeout=15)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return reply["content"]

    busy = client.execute("import time\nwhile not globals().get('stop'): time.sleep(0.01)\nprint('stopped')")
    subshells = [control("create_subshell_request")["subshell_id"] for _ in range(2)]
    assert sorted(control("list_subshell_request")["subshell_id"]) == sorted(subshells)
    for n, subshell in enumerate(subshells):
        message = client.session.msg("execute_request", {"code": f"stop = {n}", "silent": False, "allow_stdin": False})
        message["header"]["subshell_id"] = subshell
        client.shell_channel.send(message)
        assert own_kernel.reply(message["header"]["msg_id"])["status"] == "ok"
    assert own_kernel.collect(busy).text() == "stopped\n"
    assert own_kernel.reply(busy)["status"] == "ok"
    assert control("delete_subshell_request", subshell_id=subshells[0])["status"] == "ok"
    assert control("list_subshell_request")["subshell_id"] == subshells[1:]


def test_ipywidgets_with_binary_buffers_are_told_to_the_client_and_back(kernel):
    code = (
        "import ipywidgets\n"
        "picture = ipywidgets.Image(value=b'\\x00\\x01\\xff'); slider = ipywidgets.IntSlider(value=3)\nslider"
    )
    result = kernel.run(code)
    models = [m for m in result.messages if m["msg_type"] == "comm_open"]
    picture = next(m for m in models if m["buffers"])
    assert [bytes(b) for b in picture["buffers"]] == [b"\x00\x01\xff"]
    assert "application/vnd.jupyter.widget-view+json" in result.contents("execute_result")[0]["data"]

    def update(comm_id: str, state: dict, paths: list, buffers: list[bytes]) -> None:
        data = {"method": "update", "state": state, "buffer_paths": paths}
        message = kernel.client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
        kernel.client.session.send(kernel.client.shell_channel.socket, message, buffers=buffers)
        kernel.collect(message["header"]["msg_id"])

    update(picture["content"]["comm_id"], {}, [["value"]], [b"\xfe" * 1000])
    assert kernel.run("bytes(picture.value) == b'\\xfe' * 1000").value == "True"
    slider = next(m for m in models if m["content"]["data"]["state"].get("_model_name") == "IntSliderModel")
    update(slider["content"]["comm_id"], {"value": 42}, [], [])
    assert kernel.run("%%filprofile\nslider.value").value == "42"


@pytest.mark.parametrize("kind", ["text/html", "image/png"])
def test_matplotlib_draws_in_a_profiled_cell(kernel, kind):
    code = "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    result = kernel.run(f"%%filprofile\n{code}" if kind == "text/html" else code, timeout=60)
    assert any("image/png" in content["data"] for content in result.contents("display_data"))


def test_two_notebooks_at_once_profile_at_the_same_time():
    with started() as one, started() as other:
        setup = "%%filprofile\nimport time\nmine = bytearray({size})\ntime.sleep(1)\nlen(mine)"
        sizes = {one: 3_000_000, other: 60_000_000}
        requests = {kernel: kernel.client.execute(setup.format(size=size)) for kernel, size in sizes.items()}
        begun = time.monotonic()
        for kernel, size in sizes.items():
            result = kernel.collect(requests[kernel], timeout=30)
            assert result.value == str(size)
            assert size <= result.report.peak < size + 2_000_000
        assert time.monotonic() - begun < 20
