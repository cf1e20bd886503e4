"""What a report knows of the notebook's code and data: lines that made variables, and causes of high peaks."""

import ast
from typing import Any

import numpy as np
import pandas as pd
import pytest
from harness import Kernel, Report

from filprofiler._clues import MOST_FLOATS, clues_in_code, clues_in_tables
from filprofiler._origins import bindings

MIB = 2**20


def code(text: str) -> list[tuple[Any, ...]]:
    return [tuple(clue.values()) for clue in clues_in_code(ast.parse(text), 3)]


def table(**columns: object) -> dict[str, dict[str, Any]]:
    return {clue["kind"]: clue for clue in clues_in_tables({("frame",): pd.DataFrame(columns)})}


def observed(report: Report) -> dict[str, Any]:
    return report.data["observed"]


def variable(report: Report, name: str) -> dict[str, Any]:
    return next(entry for entry in observed(report)["variables"] if name in entry["names"])


@pytest.mark.parametrize(
    "statement",
    [
        "all = pd.concat([all, part])",
        "all = pd.concat((all, part), ignore_index=True)",
        "all = np.append(all, part)",
        "self.all = concatenate([self.all, part])",
        "all['x'] = np.vstack([all['x'], part])",
    ],
)
def test_a_table_that_is_joined_to_itself_in_a_loop_is_a_clue(statement):
    name = statement.split(" = ")[0]
    call = "concat" if "concat(" in statement else statement.split("(")[0].split(".")[-1].split("= ")[-1]
    assert code(f"for part in parts:\n    if part:\n        {statement}") == [
        ("grown-in-loop", 3, 3, 3, 1, name, call),
    ]
    assert code(f"while True:\n  try:\n    {statement}\n  finally: pass")[0][:5] == ("grown-in-loop", 3, 3, 3, 1)


@pytest.mark.parametrize(
    "text",
    [
        "all = pd.concat([all, part])",
        "for part in parts:\n    other = pd.concat([all, part])",
        "for part in parts:\n    all = pd.merge(all, part)",
        "for part in parts:\n    def f(): all = pd.concat([all, part])",
        "for part in parts:\n    all.append(part)",
        "for part in parts: pass\nall = pd.concat([all, part])",
    ],
)
def test_joins_that_are_done_once_or_of_other_things_are_none(text):
    assert code(text) == []


def test_a_copy_that_only_the_next_call_reads_is_a_clue():
    assert code("x = 1\nlate = merged[merged.d > 15].copy().sort_values('d')") == [
        ("copied-before-call", 3, 2, 2, "sort_values"),
    ]
    for text in [
        "merged.copy().sort_values('d')",
        "merged[mask].copy().sort_values('d', inplace=True)",
        "merged[mask].copy().sort_values('d', **options)",
        "merged[mask].copy(deep=False).sort_values('d')",
        "merged[mask].copy().insert(0, 'x', 1)",
        "late = merged[mask].copy()",
    ]:
        assert code(text) == []


def test_columns_of_texts_tell_what_a_category_would_take():
    texts = ["Boston", "New York"] * 200_000
    clue = table(origin=pd.Series(texts, dtype=object), number=np.arange(400_000))["object-columns"]
    assert (clue["rows"], clue["columnCount"], clue["columns"][0]["distinctCount"]) == (400_000, 1, 2)
    column = clue["columns"][0]
    assert column["bytes"] == pytest.approx(400_000 * 8, rel=0.01)
    measured = pd.Series(texts, dtype="category").memory_usage(index=False, deep=True)
    assert column["categoryBytes"] == pytest.approx(measured, rel=0.01)


def test_columns_of_other_objects_tell_their_bytes():
    column = table(x=pd.Series([[1], "a"] * 100_000, dtype=object))["object-columns"]["columns"][0]
    assert (column["distinctCount"], column["categoryBytes"]) == (None, None)
    assert column["bytes"] >= 200_000 * 8


def test_missing_values_are_no_obstacle_to_a_category():
    column = table(x=pd.Series(["a", None, float("nan")] * 100_000, dtype=object))["object-columns"]["columns"][0]
    assert column["distinctCount"] == 1


def test_columns_of_texts_that_all_differ_are_not_remembered():
    column = table(x=pd.Series([str(n) for n in range(200_000)], dtype=object))["object-columns"]["columns"][0]
    assert (column["distinctCount"], column["bytes"]) == (None, 200_000 * 8)


def test_float64_columns_tell_which_would_be_the_same_as_float32():
    whole = np.arange(200_000, dtype=float)
    whole[::7] = np.nan
    clue = table(whole=whole, parts=whole / 3, huge=np.full(200_000, 1e300))["float64-columns"]
    assert (clue["columnCount"], clue["bytes"]) == (3, 3 * 200_000 * 8)
    assert (clue["exactColumnCount"], clue["exactBytes"]) == (1, 200_000 * 8)


def test_columns_too_long_to_look_at_are_not_said_to_fit():
    clue = table(zeros=np.broadcast_to(0.0, MOST_FLOATS + 1))["float64-columns"]
    assert clue["exactColumnCount"] == 0


def test_small_tables_have_no_clues():
    assert table(x=[0.5] * 1000, y=["a"] * 1000) == {}


def test_bindings_are_certain_where_a_statement_runs_in_any_case():
    text = "\n".join(
        [
            "a, (b, *c) = value",
            "if a: d = 1",
            "with open() as e: f = [g for g in a]",
            "h: int = 1",
            "i: int",
            "for j in a: pass",
            "k = (m := 2)",
            "import n.o, p as q",
            "def r(s): t = 1",
            "a += 1",
        ]
    )
    found = bindings(ast.parse(text))
    certain = {binding.name: binding.line for binding in found if binding.is_certain}
    assert certain == {"a": 1, "b": 1, "c": 1, "e": 3, "h": 4, "k": 7, "n": 8, "q": 8, "r": 9}
    assert {binding.name for binding in found if not binding.is_certain} == {"a", "d", "f", "j", "m"}


def test_a_report_names_variables_with_the_cell_and_the_line_that_made_them(kernel: Kernel) -> None:
    before = kernel.run("old = bytearray(3_000_000)\n\nolder = bytearray(1_000_000)").reply["execution_count"]
    result = kernel.run("%%filprofile\nx = 1\nkept = bytearray(5_000_000)\nalias = kept\ndel older\nkept[0] = 1")
    number = result.reply["execution_count"]
    assert variable(result.report, "kept") == {
        "names": ["kept", "alias"],
        "type": "bytearray",
        "bytes": pytest.approx(5_000_000, rel=0.01),
        "isWhole": True,
        "cell": number,
        "line": 3,
    }
    assert (variable(result.report, "old")["cell"], variable(result.report, "old")["line"]) == (before, 1)
    names = [name for entry in observed(result.report)["variables"] for name in entry["names"]]
    assert "older" not in names
    assert not any(name in names for name in ("In", "Out", "get_ipython", "exit"))


def test_names_that_a_branch_or_an_error_leaves_in_doubt_have_no_line(kernel: Kernel) -> None:
    kernel.run("doubt = None")
    result = kernel.run(
        "%%filprofile\nif True:\n    doubt = bytearray(2_000_000)\nelse:\n    doubt = 2\n1 / 0\nnever = 1"
    )
    number = result.reply["execution_count"]
    assert (variable(result.report, "doubt")["cell"], variable(result.report, "doubt")["line"]) == (number, 0)


def test_a_displayed_result_is_known_by_the_name_that_the_notebook_gives_it(kernel: Kernel) -> None:
    result = kernel.run("%%filprofile\nbytearray(4_000_000)")
    number = result.reply["execution_count"]
    entry = variable(result.report, f"Out[{number}]")
    assert (entry["cell"], entry["names"]) == (number, [f"Out[{number}]"])


def test_clues_of_lines_that_were_alive_at_the_peak_are_in_the_report(kernel: Kernel) -> None:
    kernel.run("import numpy as np, pandas as pd")
    result = kernel.run(
        "%%filprofile\n"
        "table = pd.DataFrame({'x': np.arange(200_000.0), 'y': pd.Series(['a', 'b'] * 100_000, dtype=object)})\n"
        "for turn in range(3):\n"
        "    table = pd.concat([table, table])\n"
        "if False:\n"
        "    for turn in range(3):\n"
        "        table = pd.concat([table, table])\n"
    )
    clues = {clue["kind"]: clue for clue in observed(result.report)["clues"]}
    assert clues["grown-in-loop"]["firstLine"] == 4
    assert len([clue for clue in observed(result.report)["clues"] if clue["kind"] == "grown-in-loop"]) == 1
    assert clues["object-columns"]["columns"][0]["distinctCount"] == 2
    assert clues["float64-columns"]["exactColumnCount"] == 1
    assert clues["float64-columns"]["rows"] == 1_600_000


def test_nothing_of_the_users_runs_while_variables_are_measured(kernel: Kernel) -> None:
    kernel.run(
        "class Strange:\n"
        "    asked = []\n"
        "    def __getattribute__(self, name): Strange.asked.append(name); return object.__getattribute__(self, name)\n"
        "    def __sizeof__(self): Strange.asked.append('size'); return 10**12\n"
        "    @property\n"
        "    def __class__(self): Strange.asked.append('class'); return dict\n"
        "    def __eq__(self, other): Strange.asked.append('eq')\n"
        "    def __hash__(self): Strange.asked.append('hash'); return 1\n"
        "strange = Strange()\nstrange.data = bytearray(2_000_000)\nStrange.asked.clear()"
    )
    result = kernel.run("%%filprofile\nother = bytearray(1_000_000)")
    assert variable(result.report, "strange")["bytes"] == pytest.approx(2_000_000, rel=0.01)
    assert kernel.run("list(Strange.asked)").value == "[]"


def test_the_report_tells_how_much_memory_there_is(kernel: Kernel) -> None:
    report = kernel.run("%%filprofile\nbytes(1_000_000)").report
    limit = report.data["memoryLimit"]
    assert limit["of"] in {"container", "machine"}
    assert limit["bytes"] > report.peak
