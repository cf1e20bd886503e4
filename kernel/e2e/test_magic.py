"""The options of `%%filprofile`, and `%filprofile` for one expression or statement."""

import re

import pytest
from harness import Kernel, started
from test_cell_semantics import cell

REPORT_FILES = {"index.html", "peak-memory.svg", "peak-memory-reversed.svg", "peak-memory.prof", "profile.json"}


def test_wrong_options_are_a_usage_error_and_the_cell_does_not_run(kernel: Kernel) -> None:
    kernel.run("ran = False")
    result = kernel.run("%%filprofile --titel x\nran = True")
    assert result.status == "error"
    assert "UsageError: %%filprofile: unknown: --titel x. Did you mean --title?" in result.text("stderr")
    assert result.reports == []
    assert kernel.run("ran").value == "False"


def test_help_names_every_option(kernel: Kernel) -> None:
    for question in ("%%filprofile?", "%filprofile?"):
        text = kernel.run(question).reply["payload"][0]["data"]["text/plain"]
        for option in ("--title TEXT", "--output DIRECTORY", "--quiet", "--live, --no-live", "last_profile()"):
            assert option in text


def test_output_writes_the_full_report_files(kernel: Kernel, tmp_path) -> None:
    result = kernel.run(f"%%filprofile --output '{tmp_path}/a b' --title joined\nx = bytearray(2_000_000)")
    assert {path.name for path in (tmp_path / "a b").iterdir()} == REPORT_FILES
    assert str(tmp_path / "a b" / "index.html") in result.text()
    assert "joined" in (tmp_path / "a b" / "index.html").read_text()


def test_a_directory_that_cannot_be_made_is_said_before_the_cell_runs_and_the_cell_runs(kernel: Kernel) -> None:
    result = kernel.run("%%filprofile --output /proc/nowhere\nx = bytearray(2_000_000)\n'ran'")
    assert "/proc/nowhere" in result.text("stderr")
    assert result.value == "'ran'"
    assert len(result.reports) == 1


def test_quiet_displays_nothing_and_writes_files(kernel: Kernel, tmp_path) -> None:
    result = kernel.run(f"%%filprofile --quiet --output {tmp_path}/quiet\nx = bytearray(2_000_000)\nlen(x)")
    assert result.kinds() == ["execute_input", "execute_result"]
    assert (tmp_path / "quiet" / "index.html").exists()


def test_a_front_end_can_ask_for_the_same(kernel: Kernel, tmp_path) -> None:
    wish = {"profile": True, "quiet": True, "output": str(tmp_path / "asked")}
    result = kernel.run_with("x = bytearray(2_000_000)", {"fil": wish})
    assert result.kinds() == ["execute_input"]
    assert (tmp_path / "asked" / "index.html").exists()


class TestLine:
    def test_it_gives_the_value_of_an_expression(self, kernel: Kernel) -> None:
        result = kernel.run("%filprofile len(bytearray(2_000_000))")
        assert result.value == "2000000"
        assert result.report.peak >= 2_000_000
        assert result.report.data["title"] == "len(bytearray(2_000_000))"
        assert kernel.run("_").value == "2000000"

    def test_its_value_can_be_assigned(self, kernel: Kernel) -> None:
        result = kernel.run("found = %filprofile --title mine bytearray(2_000_000)")
        assert result.report.data["title"] == "mine"
        assert result.value is None
        assert kernel.run("len(found)").value == "2000000"

    def test_a_statement_assigns_in_the_notebook(self, kernel: Kernel) -> None:
        assert kernel.run("%filprofile stated = bytearray(2_000_000)").report.peak >= 2_000_000
        assert kernel.run("len(stated)").value == "2000000"
        assert kernel.run("%filprofile first = 1; second = 2; first + second").value == "3"

    def test_a_semicolon_suppresses_the_value(self, kernel: Kernel) -> None:
        assert kernel.run("%filprofile 6 * 7;").value is None

    def test_braces_and_dollars_are_left_alone(self, kernel: Kernel) -> None:
        kernel.run("x = 5")
        assert kernel.run("%filprofile {x: '$x {x}'}").value == "{5: '$x {x}'}"

    def test_its_lines_are_those_of_the_cell(self, kernel: Kernel) -> None:
        result = kernel.run("size = 4_000_000\n\nheld = %filprofile bytearray(size)\nlater = 1")
        assert result.report.bytes_of(cell(result), 3) >= 4_000_000
        assert result.report.source_of(cell(result), 3) == "held = %filprofile bytearray(size)"
        assert kernel.run("later").value == "1"

    def test_an_error_is_the_cells_and_names_its_line(self, kernel: Kernel) -> None:
        result = kernel.run(
            "def fail():\n    kept = bytearray(2_000_000)\n    return 1 / 0\n%filprofile fail()\nafter = 1"
        )
        assert result.reply["ename"] == "ZeroDivisionError"
        text = re.sub(r"\x1b\[[0-9;]*m", "", result.traceback)
        assert "line 3" in text
        assert "line 4" in text
        assert "filprofiler" not in text
        assert result.report.data["outcome"] == {"kind": "error"}
        assert result.kinds()[-2:] == ["display_data", "error"]

    def test_a_syntax_error_is_one(self, kernel: Kernel) -> None:
        result = kernel.run("%filprofile x = = 1")
        assert result.reply["ename"] == "SyntaxError"

    def test_it_says_how_to_profile_what_awaits(self, kernel: Kernel) -> None:
        result = kernel.run("import asyncio\n%filprofile await asyncio.sleep(0)")
        assert result.status == "error"
        assert "With %%filprofile as the first line of the cell it can" in result.text("stderr")
        assert "SyntaxError" not in result.traceback

    def test_nothing_behind_it_is_a_usage_error(self, kernel: Kernel) -> None:
        result = kernel.run("%filprofile --title x")
        assert result.status == "error"
        assert "wants code behind it" in result.text("stderr")

    def test_it_reads_the_variables_of_a_function(self, kernel: Kernel) -> None:
        code = "def f(local):\n    value = %filprofile [local] * 3\n    return value\nf(7)"
        assert kernel.run(code).value == "[7, 7, 7]"

    def test_two_lines_of_a_cell_have_two_reports(self, kernel: Kernel) -> None:
        result = kernel.run("%filprofile a = bytearray(1_000_000)\n%filprofile b = bytearray(2_000_000)")
        assert [report.data["title"] for report in result.reports] == [
            "a = bytearray(1_000_000)",
            "b = bytearray(2_000_000)",
        ]

    def test_in_a_profiled_cell_it_gives_its_value_and_the_cell_is_profiled(self, kernel: Kernel) -> None:
        result = kernel.run("%%filprofile\ninner = %filprofile bytearray(2_000_000)\nlen(inner)")
        assert result.value == "2000000"
        assert "one at a time" in result.text("stderr")
        assert result.report.bytes_of(cell(result), 2) >= 2_000_000

    @pytest.mark.parametrize("magic", ["%%time", "%%capture taken", "%%prun -q"])
    def test_it_works_beneath_other_magics(self, kernel: Kernel, magic: str) -> None:
        kernel.run("composed = None")
        assert kernel.run(f"{magic}\ncomposed = %filprofile bytearray(2_000_000)").status == "ok"
        assert kernel.run("len(composed)").value == "2000000"

    def test_time_can_stand_in_it_and_before_it(self, kernel: Kernel) -> None:
        result = kernel.run("%filprofile %time len(bytearray(2_000_000))")
        assert "Wall time" in result.text()
        assert (result.value, len(result.reports)) == ("2000000", 1)
        result = kernel.run("%time %filprofile len(bytearray(2_000_000))")
        assert "Wall time" in result.text()
        assert len(result.reports) == 1


@pytest.mark.parametrize(
    "code",
    [
        "%%timeit -n3 -r2\n%%filprofile\nx = bytearray(2_000_000)",
        "%timeit -n3 -r2 %filprofile bytearray(2_000_000)",
    ],
)
def test_code_that_is_timed_over_and_over_has_one_report(kernel: Kernel, code: str) -> None:
    result = kernel.run(code)
    assert "per loop" in result.text()
    assert result.report.peak >= 2_000_000
    assert "update_display_data" in result.kinds()
    assert len(kernel.run(code).reports) == 1


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("%%filprofile\n%%bash\necho said", "said"),
        ("%%filprofile\n%%sh\necho said", "said"),
        ("%%filprofile\n%%python3\nprint('said')", "said"),
        ("%%filprofile\n%%prun -q\nprint('said')", "said"),
        ("%%prun -q\n%%filprofile\nprint('said')", "said"),
        ("%%time\n%%filprofile --title x\nprint('said')", "said"),
    ],
)
def test_other_magics_compose(kernel: Kernel, code: str, text: str) -> None:
    result = kernel.run(code)
    assert text in result.text()
    assert len(result.reports) == 1


def test_the_live_view_is_a_setting_of_ipython_and_of_the_environment(monkeypatch) -> None:
    monkeypatch.setenv("FIL_LIVE", "0")
    from test_live_view import LONG, views

    with started() as kernel:
        assert views(kernel.run(f"%%filprofile\n{LONG}")) == []
        assert views(kernel.run(f"%%filprofile --live\n{LONG}"))
        kernel.run("%config FilProfile.live = True")
        assert views(kernel.run(f"%%filprofile\n{LONG}"))
