"""What goes wrong is said in one clear line, and the cell still runs."""

import time

import pytest
from harness import Kernel, started


def test_an_empty_cell_has_nothing_to_profile(kernel):
    result = kernel.run("%%filprofile\n\n   \n")
    assert result.status == "ok"
    assert result.text("stderr") == "%%filprofile: there is nothing to profile: the cell is empty.\n"
    assert result.reports == []


def test_the_magic_alone_has_nothing_to_profile(kernel):
    result = kernel.run("%%filprofile")
    assert result.status == "ok"
    assert "the cell is empty" in result.text("stderr")


@pytest.mark.parametrize("options", ["--frobnicate 3", "--title", "--title 'open", "--title=a --title"])
def test_wrong_options_are_told_before_the_cell_runs(kernel, options):
    result = kernel.run(f"%%filprofile {options}\nran_with_wrong_options = True")
    assert result.status == "error"
    assert "UsageError: %%filprofile: " in result.text("stderr")
    assert "Options: --title, --output" in result.text("stderr")
    assert result.reports == []
    assert kernel.run("'ran_with_wrong_options' in globals()").value == "False"


@pytest.mark.parametrize("between", ["", "\n", "  "])
def test_the_magic_twice_profiles_once(kernel, between):
    result = kernel.run(f"%%filprofile\n{between}%%filprofile --title twice\n'ran'")
    assert result.value == "'ran'"
    assert result.text("stderr") == "%%filprofile: it stands there twice; once is enough.\n"
    assert result.report.data["title"] == "twice"


def test_the_magic_twice_beneath_time_profiles_once(kernel):
    result = kernel.run("%%time\n%%filprofile\n%%filprofile\n'ran'")
    assert result.value == "'ran'"
    assert len(result.reports) == 1


def test_the_magic_below_the_first_line_is_the_same_error_as_any_cell_magic(kernel):
    mine = kernel.run("x = 1\n%%filprofile\ny = 2")
    other = kernel.run("x = 1\n%%capture\ny = 2")
    assert (mine.status, mine.reply.get("ename")) == (other.status, other.reply.get("ename"))


def test_a_profiled_cell_that_runs_another_profiled_cell_profiles_the_outer_one(kernel):
    code = "%%filprofile\nget_ipython().run_cell('%%filprofile\\ninner = bytearray(3_000_000)')\nlen(inner)"
    result = kernel.run(code)
    assert result.value == "3000000"
    assert "another profile is running" in result.text("stderr")
    assert result.report.peak >= 3_000_000


def test_a_directory_that_cannot_be_written_is_named_and_the_cell_ran(kernel):
    result = kernel.run("%%filprofile --output /proc/nowhere\nran = 1")
    assert result.status == "ok"
    assert "/proc/nowhere" in result.text("stderr")
    assert kernel.run("ran").value == "1"
    assert len(kernel.run("%%filprofile\n1").reports) == 1


def test_a_cell_in_a_subshell_at_the_same_time_runs_without_being_profiled(own_kernel: Kernel):
    subshell = create_subshell(own_kernel)
    setup = "import time, threading\nstop = threading.Event()\nmine = bytearray(3_000_000)\n"
    main = own_kernel.client.execute(f"%%filprofile\n{setup}stop.wait(20)\nprint('main')")
    time.sleep(0.5)
    code = "%%filprofile\nbeside = bytearray(5_000_000)\nprint('beside')\nstop.set()"
    beside = run_in_subshell(own_kernel, subshell, code)
    results = own_kernel.collect_all([main, beside])
    assert results[beside].text() == "beside\n"
    assert results[beside].text("stderr").count("another profile is running") == 1
    assert results[beside].reports == []
    assert results[main].text() == "main\n"
    assert results[main].report.peak >= 3_000_000


def test_a_cell_in_a_subshell_alone_is_profiled(own_kernel: Kernel):
    subshell = create_subshell(own_kernel)
    request = run_in_subshell(own_kernel, subshell, "%%filprofile\nbeside = bytearray(5_000_000)")
    assert own_kernel.collect(request).report.peak >= 5_000_000


def create_subshell(kernel: Kernel) -> str:
    message = kernel.client.session.msg("create_subshell_request", {})
    kernel.client.control_channel.send(message)
    return kernel.client.get_control_msg(timeout=10)["content"]["subshell_id"]


def run_in_subshell(kernel: Kernel, subshell: str, code: str) -> str:
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
    message = kernel.client.session.msg("execute_request", content)
    message["header"]["subshell_id"] = subshell
    kernel.client.shell_channel.send(message)
    return message["header"]["msg_id"]


def test_load_ext_in_a_plain_kernel_says_which_kernel_to_choose():
    with started("python3") as plain:
        result = plain.run("%load_ext filprofiler")
        assert "UsageError" in result.text("stderr")
        assert "Python 3 with Fil" in result.text("stderr")


def test_profiling_a_call_outside_fil_says_how_to_start_it():
    from filprofiler.api import profile

    with pytest.raises(RuntimeError, match="Python 3 with Fil"):
        profile(print, "nowhere")


def test_a_cell_whose_tracker_refuses_runs_and_says_why(own_kernel: Kernel):
    own_kernel.run(
        "import filprofiler._tracker as t\n"
        "def refuse(boundaries): raise t.TrackerError('refused for the test')\n"
        "begin, t.begin = t.begin, refuse"
    )
    result = own_kernel.run("%%filprofile\n'ran'")
    assert result.value == "'ran'"
    assert result.text("stderr") == "%%filprofile: this code runs without being profiled: refused for the test.\n"
    own_kernel.run("t.begin = begin")
    assert len(own_kernel.run("%%filprofile\n1").reports) == 1


def test_a_proxy_that_does_not_answer_is_told_and_the_cell_runs(own_kernel: Kernel):
    own_kernel.run("import filprofiler._control as c; c.ANSWER_SECONDS = 0.2")
    own_kernel.run("%%filprofile\n1")
    own_kernel.run("end, c.ControlClient._read = c.ControlClient._read, lambda self, frames: None")
    result = own_kernel.run("%%filprofile\n'ran'")
    assert result.value == "'ran'"
    assert "did not answer" in result.text("stderr")


def test_a_changed_directory_that_was_removed_does_no_harm(own_kernel: Kernel, tmp_path):
    (tmp_path / "gone").mkdir()
    own_kernel.run(f"%cd {tmp_path / 'gone'}")
    (tmp_path / "gone").rmdir()
    result = own_kernel.run("%%filprofile\nx = bytearray(2_000_000)")
    assert result.report.peak >= 2_000_000
