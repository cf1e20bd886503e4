"""Profiles are there for Python code in the notebook: numbers, tables, files, and shown again."""

import json
from pathlib import Path

import pytest
from harness import REPORT_MIME_TYPE, Kernel, started
from test_cell_semantics import cell

CODE = (
    "%%filprofile --title tables\nimport json\nheld = [bytearray(3_000_000)]\ntext = json.dumps(list(range(200_000)))"
)


@pytest.fixture(scope="module")
def profiled(kernel: Kernel):
    kernel.run("import filprofiler, pandas")
    return kernel.run(CODE)


def evaluated(kernel: Kernel, expression: str):
    result = kernel.run(f"print(json.dumps({expression}, default=str))")
    assert result.status == "ok", result.traceback
    return json.loads(result.text())


def test_the_last_profile_has_the_reports_figures(kernel: Kernel, profiled) -> None:
    kernel.run("profile = filprofiler.last_profile()")
    data = profiled.report.data
    names = "peak_bytes retained_bytes duration_seconds title outcome execution_count"
    said = evaluated(kernel, "[" + ", ".join(f"profile.{name}" for name in names.split()) + "]")
    expected = [data["peakBytes"], data["retainedBytes"], data["durationSeconds"], "tables", "completed"]
    assert said == [*expected, profiled.reply["execution_count"]]
    assert kernel.run("profile.started_at.tzinfo is not None").value == "True"


def test_lines_are_a_table_that_adds_up_to_the_peak(kernel: Kernel, profiled) -> None:
    kernel.run("profile = filprofiler.last_profile(); table = pandas.DataFrame(profile.lines())")
    columns = evaluated(kernel, "list(table.columns)")
    assert columns == ["bytes", "share", "total_bytes", "file", "line", "function", "source"]
    assert evaluated(kernel, "[int(table.bytes.sum()), profile.peak_bytes]") == [profiled.report.peak] * 2
    top = evaluated(kernel, "profile.lines()[0]")
    name = cell(profiled)
    # What json allocates in its own code is charged to the line that called it.
    assert (top["file"], top["line"], top["source"]) == (name, 4, "text = json.dumps(list(range(200_000)))")
    assert evaluated(kernel, f"int(table[(table.file == {name!r}) & (table.line == 3)].bytes.iloc[0])") >= 3_000_000


def test_stacks_add_up_to_the_peak_too(kernel: Kernel, profiled) -> None:
    stacks = evaluated(kernel, "filprofiler.last_profile().stacks()")
    assert sum(stack["bytes"] for stack in stacks) == profiled.report.peak
    assert [stack["bytes"] for stack in stacks] == sorted((stack["bytes"] for stack in stacks), reverse=True)
    assert all(stack["stack"] for stack in stacks)
    assert any(stack["stack"] == [f"{cell(profiled)}:3 (<module>)"] for stack in stacks)
    assert evaluated(kernel, "filprofiler.last_profile().timeline()") is not None


def test_it_is_shown_again_as_the_last_expression(kernel: Kernel, profiled) -> None:
    result = kernel.run("filprofiler.last_profile()")
    assert result.contents("execute_result")[0]["data"][REPORT_MIME_TYPE] == profiled.report.bundle[REPORT_MIME_TYPE]
    assert kernel.run("display(filprofiler.last_profile())").report.peak == profiled.report.peak


@pytest.mark.parametrize("end", [".html", ".json", ".svg", ".prof", ".csv"])
def test_it_is_saved_in_the_form_that_the_name_says(kernel: Kernel, profiled, tmp_path: Path, end: str) -> None:
    file = tmp_path / f"saved{end}"
    assert evaluated(kernel, f"filprofiler.last_profile().save({str(file)!r})") == [str(file)]
    content = file.read_text()
    assert {
        ".html": "<html" in content,
        ".json": content.startswith("{") and json.loads(content)["peakBytes"] == profiled.report.peak,
        ".svg": "<svg" in content,
        ".prof": f"{cell(profiled)}:3" in content,
        ".csv": content.startswith("file,line,function"),
    }[end]


def test_a_directory_gets_all_files(kernel: Kernel, profiled, tmp_path: Path) -> None:
    files = evaluated(kernel, f"filprofiler.last_profile().save({str(tmp_path / 'all')!r})")
    assert {Path(file).name for file in files} >= {"index.html", "profile.json", "peak-memory.svg"}
    assert all(Path(file).exists() for file in files)


@pytest.mark.parametrize(
    ("path", "said"), [("/proc/nowhere/x.html", "could not be written"), ("/tmp/x.docx", "can't be saved as .docx")]
)
def test_what_can_not_be_saved_is_said(kernel: Kernel, profiled, path: str, said: str) -> None:
    reply = kernel.run(f"filprofiler.last_profile().save({path!r})").reply
    assert said in reply["evalue"]


def test_the_profile_of_each_cell_is_kept(kernel: Kernel, profiled) -> None:
    first = profiled.reply["execution_count"]
    second = kernel.run("%%filprofile --quiet\nx = bytearray(9_000_000)").reply["execution_count"]
    assert evaluated(kernel, f"filprofiler.cell_profile({first}).peak_bytes") == profiled.report.peak
    assert evaluated(kernel, f"filprofiler.cell_profile({second}).peak_bytes") >= 9_000_000
    assert evaluated(kernel, "filprofiler.last_profile() is filprofiler.profiles()[-1]")
    assert "no profile of the cell 9999" in kernel.run("filprofiler.cell_profile(9999)").reply["evalue"]


def test_lines_and_calls_are_kept_as_well(kernel: Kernel, profiled) -> None:
    kernel.run("%filprofile --quiet bytearray(5_000_000)")
    assert evaluated(kernel, "filprofiler.last_profile().title") == "bytearray(5_000_000)"
    kernel.run("from filprofiler import api; measured = api.measure(bytearray, 6_000_000)")
    assert evaluated(kernel, "filprofiler.last_profile().peak_bytes == measured.profile.peak_bytes")


def test_a_failed_cell_has_its_profile(kernel: Kernel, profiled) -> None:
    kernel.run("%%filprofile\n1 / 0")
    assert evaluated(kernel, "filprofiler.last_profile().outcome") == "error"


def test_before_anything_was_profiled_it_says_so() -> None:
    with started() as kernel:
        reply = kernel.run("import filprofiler; filprofiler.last_profile()").reply
    assert (reply["ename"], "nothing was profiled yet" in reply["evalue"]) == ("LookupError", True)
