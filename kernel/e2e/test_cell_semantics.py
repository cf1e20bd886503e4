"""A profiled cell behaves like the same cell without its first line."""

import pytest


def test_the_last_expression_is_displayed_and_kept_in_out(kernel):
    result = kernel.run("%%filprofile\n6 * 7")
    assert result.value == "42"
    assert kernel.run(f"Out[{result.reply['execution_count']}]").value == "42"
    assert kernel.run("_").value == "42"


def test_a_semicolon_suppresses_the_last_expression(kernel):
    assert kernel.run("%%filprofile\n6 * 7;").value is None


def test_an_error_is_the_cells_status(kernel):
    result = kernel.run("%%filprofile\n1 / 0")
    assert result.status == "error"
    assert result.reply["ename"] == "ZeroDivisionError"


def test_cells_queued_after_an_error_are_aborted(kernel):
    failing = kernel.client.execute("%%filprofile\n1 / 0")
    queued = kernel.client.execute("print('ran')")
    assert kernel.reply(failing)["status"] == "error"
    assert kernel.reply(queued)["status"] == "aborted"


def test_the_report_comes_after_the_output_and_the_error(kernel):
    result = kernel.run("%%filprofile --no-live\nprint('output')\n1 / 0")
    assert result.kinds() == ["execute_input", "stream", "error", "display_data"]
    assert result.report.data["outcome"] == {"kind": "error"}


def test_variables_assigned_before_an_error_are_kept(kernel):
    kernel.run("%%filprofile\nkept = 'yes'\n1 / 0")
    assert kernel.run("kept").value == "'yes'"


def test_a_global_can_be_rebound(kernel):
    kernel.run("a = [1, 2, 3]")
    assert kernel.run("%%filprofile\na = a[:2]\na").value == "[1, 2]"


def test_a_global_can_be_deleted(kernel):
    kernel.run("doomed = 1")
    assert kernel.run("%%filprofile\ndel doomed").status == "ok"
    assert kernel.run("doomed").reply["ename"] == "NameError"


def test_await_works_at_the_top_level(kernel):
    result = kernel.run("%%filprofile\nimport asyncio\nawait asyncio.sleep(0.01)\nx = bytearray(3_000_000)\n'done'")
    assert result.value == "'done'"
    assert result.report.bytes_of(cell(result), 4) >= 3_000_000


def test_star_imports_work(kernel):
    assert kernel.run("%%filprofile\nfrom math import *\ncos(0)").value == "1.0"


def test_string_literals_of_many_lines_are_unchanged(kernel):
    assert kernel.run('%%filprofile\ntext = """a\nb\n  c"""\ntext').value == r"'a\nb\n  c'"


def test_tracebacks_have_the_cells_own_line_numbers_and_no_frame_of_fil(kernel):
    result = kernel.run("%%filprofile\ndef f():\n    raise KeyError('x')\n\nf()")
    assert "line 5" in result.traceback
    assert "line 3" in result.traceback
    assert "filprofiler" not in result.traceback


def test_a_traceback_is_that_of_the_cell_without_the_magic(kernel):
    code = "def f():\n    raise KeyError('x')\n\nf()"
    plain = kernel.run("# %%filprofile\n" + code)
    profiled = kernel.run("%%filprofile\n" + code)
    number = plain.reply["execution_count"]
    assert profiled.traceback == plain.traceback.replace(f"In[{number}]", f"In[{number + 1}]")


def test_a_syntax_error_has_the_cells_own_line_number_and_no_report(kernel):
    result = kernel.run("%%filprofile\nx = 1\nx = = 2")
    assert result.reply["ename"] == "SyntaxError"
    assert "line 3" in result.traceback or ", line 3" in str(result.reply["evalue"])
    assert result.reports == []


def test_the_execution_count_rises_by_one(kernel):
    first = kernel.run("1").reply["execution_count"]
    assert kernel.run("%%filprofile\n1").reply["execution_count"] == first + 1
    assert kernel.run("1").reply["execution_count"] == first + 2


def test_the_history_has_the_cell_as_it_was_typed(kernel):
    result = kernel.run("%%filprofile\nhistoric = 1")
    assert kernel.run(f"In[{result.reply['execution_count']}]").value is not None
    raw = kernel.run(f"get_ipython().history_manager.input_hist_raw[{result.reply['execution_count']}]")
    assert raw.value == r"'%%filprofile\nhistoric = 1'"


def test_future_imports_work_and_hold_for_later_cells(kernel):
    kernel.run("%%filprofile\nfrom __future__ import annotations\ndef f(x: undefined_name): pass")
    assert kernel.run("f.__annotations__").value == "{'x': 'undefined_name'}"


def test_a_cell_that_is_indented_as_a_whole_runs(kernel):
    assert kernel.run("%%filprofile\n    x = 20\n    x + 1").value == "21"


def test_blank_lines_above_the_magic_are_allowed(kernel):
    result = kernel.run("\n\n%%filprofile\nx = bytearray(2_000_000)\n'ran'")
    assert result.value == "'ran'"
    assert result.report.source_of(cell(result), 2) == "x = bytearray(2_000_000)"


def test_line_magics_and_shell_commands_work_inside(kernel):
    result = kernel.run("%%filprofile\n!echo from the shell\n%pwd\nprint('end')")
    assert result.status == "ok"
    assert "from the shell" in result.text()


def test_time_works_beneath(kernel):
    result = kernel.run("%%filprofile\n%%time\ntimed = bytearray(2_000_000)\nlen(timed)")
    assert "Wall time" in result.text()
    assert result.value == "2000000"
    assert result.report.peak >= 2_000_000


def test_time_works_above(kernel):
    result = kernel.run("%%time\n%%filprofile\nabove = bytearray(2_000_000)\nlen(above)")
    assert "Wall time" in result.text()
    assert result.value == "2000000"
    assert result.report.peak >= 2_000_000
    assert kernel.run("len(above)").value == "2000000"


def test_capture_works_above_and_keeps_the_report_with_the_output(kernel):
    result = kernel.run("%%capture captured\n%%filprofile\nprint('hidden')\nx = bytearray(2_000_000)")
    assert result.status == "ok"
    assert result.contents("stream") == []
    assert kernel.run("captured.stdout").value == r"'hidden\n'"
    assert kernel.run("len(captured.outputs)").value == "1"


def test_capture_works_beneath(kernel):
    result = kernel.run("%%filprofile\n%%capture beneath\nprint('hidden')\nx = bytearray(2_000_000)")
    assert result.contents("stream") == []
    assert result.report.peak >= 2_000_000
    assert kernel.run("beneath.stdout").value == r"'hidden\n'"


def test_bash_works_beneath(kernel):
    result = kernel.run("%%filprofile\n%%bash\necho from bash")
    assert result.text() == "from bash\n"
    assert len(result.reports) == 1


def test_timeit_works_beneath(kernel):
    result = kernel.run("%%filprofile\n%%timeit -n1 -r1\nx = bytearray(2_000_000)")
    assert "per loop" in result.text()
    assert result.report.peak >= 2_000_000


def test_a_cell_that_writes_a_file_with_the_magic_is_not_profiled(kernel, tmp_path):
    target = tmp_path / "cell.py"
    result = kernel.run(f"%%writefile {target}\n%%filprofile\nx = 1")
    assert result.reports == []
    assert target.read_text() == "%%filprofile\nx = 1\n"


def test_an_error_beneath_time_is_the_cells_status(kernel):
    result = kernel.run("%%time\n%%filprofile\nfound = 1\n1 / 0")
    assert result.status == "error"
    assert result.report.data["outcome"] == {"kind": "error"}
    assert kernel.run("found").value == "1"


def test_running_code_silently_does_not_profile(kernel):
    assert kernel.run("%%filprofile\nsilent = 1", silent=True).reports == []
    assert kernel.run("silent").value == "1"


def test_load_ext_is_not_needed_and_does_no_harm(kernel):
    result = kernel.run("%load_ext filprofiler")
    assert result.status == "ok"
    assert len(kernel.run("%%filprofile\n1").reports) == 1


def test_the_extension_can_be_unloaded_and_loaded_again(own_kernel):
    own_kernel.run("%unload_ext filprofiler")
    assert "not found" in own_kernel.run("%%filprofile\n1").text("stderr")
    own_kernel.run("%load_ext filprofiler")
    assert len(own_kernel.run("%%filprofile\n1").reports) == 1


def test_the_magic_is_completed_and_documented(kernel):
    kernel.client.complete("%%filpro", 8)
    assert "%%filprofile" in kernel.client.get_shell_msg(timeout=10)["content"]["matches"]
    help_text = kernel.run("%%filprofile?").reply["payload"][0]["data"]["text/plain"]
    assert "--title" in help_text


@pytest.mark.parametrize("code", ["%%filprofile\nx = 1", "%%filprofile\n\n%%time\nx = 1"])
def test_a_whole_cell_is_known_to_be_complete(kernel, code):
    kernel.client.is_complete(code + "\n\n")
    assert kernel.client.get_shell_msg(timeout=10)["content"]["status"] == "complete"


def test_matplotlib_like_callbacks_after_the_cell_are_not_in_its_report(kernel):
    kernel.run(
        "def draw(): global figure; figure = bytearray(30_000_000)\nget_ipython().events.register('post_execute', draw)"
    )
    result = kernel.run("%%filprofile\nx = bytearray(2_000_000)")
    kernel.run("get_ipython().events.unregister('post_execute', draw)")
    assert 2_000_000 <= result.report.peak < 10_000_000


def test_a_cell_that_runs_another_is_profiled_as_a_whole(kernel):
    run = "get_ipython().run_cell"
    code = f"%%filprofile\n{run}('inner = bytearray(2_000_000)')\n{run}('')\nouter = bytearray(3_000_000)"
    result = kernel.run(code)
    assert result.report.peak >= 5_000_000


def cell(result) -> str:
    return f"Cell [{result.reply['execution_count']}]"
