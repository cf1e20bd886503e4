"""The debugger of JupyterLab: breakpoints, stepping, variables, in a profiled cell as in any other."""

from collections.abc import Iterator
from typing import Any

import pytest
from harness import Kernel, started

CELL = """{first_line}def area(width, height):
    product = width * height
    return product
kept = bytearray(2_000_000)
result = area(6, 7)
result"""


class Debugger:
    """Speaks the Debug Adapter Protocol over Jupyter's control channel."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.client = kernel.client
        self.sequence = 0

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        self.sequence += 1
        content = {"type": "request", "seq": self.sequence, "command": command, "arguments": arguments}
        message = self.client.session.msg("debug_request", content)
        self.client.control_channel.send(message)
        while True:
            reply = self.client.get_control_msg(timeout=20)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                assert reply["content"]["success"], reply["content"]
                return reply["content"].get("body", {})

    def stopped(self) -> int:
        """The thread of the next stop."""
        while True:
            message = self.client.get_iopub_msg(timeout=20)
            if message["msg_type"] == "debug_event" and message["content"].get("event") == "stopped":
                return message["content"]["body"]["threadId"]

    def frame(self, thread: int) -> dict[str, Any]:
        return self.ask("stackTrace", threadId=thread)["stackFrames"][0]

    def locals(self, frame: dict[str, Any]) -> dict[str, str]:
        scope = self.ask("scopes", frameId=frame["id"])["scopes"][0]
        variables = self.ask("variables", variablesReference=scope["variablesReference"])["variables"]
        return {variable["name"]: variable["value"] for variable in variables}


@pytest.fixture
def debugger() -> Iterator[Debugger]:
    with started() as kernel:
        debugger = Debugger(kernel)
        debugger.ask("initialize", clientID="test", adapterID="", pathFormat="path", linesStartAt1=True)
        debugger.ask("attach")
        yield debugger
        debugger.ask("disconnect", restart=False, terminateDebuggee=False)


@pytest.mark.parametrize("first_line", ["", "%%filprofile\n"], ids=["plain", "profiled"])
def test_breakpoints_steps_and_variables(debugger: Debugger, first_line: str):
    code = CELL.format(first_line=first_line)
    line = 2 + bool(first_line)
    source = debugger.ask("dumpCell", code=code)["sourcePath"]
    debugger.ask("setBreakpoints", breakpoints=[{"line": line}], source={"path": source}, sourceModified=False)
    debugger.ask("configurationDone")
    request = debugger.client.execute(code)

    thread = debugger.stopped()
    frame = debugger.frame(thread)
    assert (frame["name"], frame["line"]) == ("area", line)
    assert debugger.locals(frame) == {"width": "6", "height": "7"}

    debugger.ask("next", threadId=thread)
    assert debugger.stopped() == thread
    frame = debugger.frame(thread)
    assert frame["line"] == line + 1
    assert debugger.locals(frame)["product"] == "42"

    debugger.ask("stepOut", threadId=thread)
    assert debugger.stopped() == thread
    assert debugger.frame(thread)["line"] == line + 3
    debugger.ask("continue", threadId=thread)
    result = debugger.kernel.collect(request)
    assert result.value == "42"
    assert len(result.reports) == bool(first_line)
    if first_line:
        assert result.report.peak >= 2_000_000


def test_variables_can_be_inspected_after_a_profiled_cell(debugger: Debugger):
    debugger.kernel.run("%%filprofile\nanswer = 42\ntext = 'hello'")
    shown = {v["name"]: v["value"] for v in debugger.ask("inspectVariables")["variables"]}
    assert shown["answer"] == "42"
    assert shown["text"] == "'hello'"
