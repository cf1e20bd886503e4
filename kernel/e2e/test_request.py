"""The line `%%filprofile` is taken out of a cell so that the rest is the cell as it was."""

import contextlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from IPython.core.error import UsageError
from IPython.core.inputtransformer2 import TransformerManager

from filprofiler._request import parse_cell, split_line, without_magic

# Lines of which cells are made; none with a quote, whose text may hold anything.
LINES = st.sampled_from(
    [
        "x = 1",
        "    y = 2",
        "",
        "  ",
        "%%filprofile",
        "%%filprofile --title a",
        "%%time",
        "%pwd",
        "!ls",
        "if x:",
        "# comment",
    ]
)


def transform(cell: str) -> str:
    return "".join(without_magic(cell.splitlines(keepends=True)))


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("%%filprofile\nx = 1\n", "# %%filprofile\nx = 1\n"),
        ("%%filprofile --title 'a b'\nx\n", "# %%filprofile --title 'a b'\nx\n"),
        ("\n\n%%filprofile\nx\n", "\n\n# %%filprofile\nx\n"),
        ("%%filprofile\n    x\n", "    # %%filprofile\n    x\n"),
        ("%%filprofile\n%%time\nx\n", "%%time\nx\n"),
        ("%%filprofile\n\n%%time\nx\n", "\n%%time\nx\n"),
        ("%%filprofile\n%%filprofile\nx\n", "# %%filprofile\n# %%filprofile\nx\n"),
        ("%%filprofile", "# %%filprofile\n"),
        ("%%filprofiler\nx\n", "%%filprofiler\nx\n"),
        ("%%filprofile?\n", "%%filprofile?\n"),
        ("x\n%%filprofile\n", "x\n%%filprofile\n"),
        ("%%time\n%%filprofile\nx\n", "%%time\n%%filprofile\nx\n"),
        ("", ""),
    ],
)
def test_the_line_becomes_a_comment_or_goes_if_another_magic_follows(cell, expected):
    assert transform(cell) == expected


@given(st.lists(LINES, max_size=6).map(lambda lines: "".join(f"{line}\n" for line in lines)))
def test_transforming_twice_is_transforming_once(cell):
    assert transform(transform(cell)) == transform(cell)


@given(st.lists(LINES, max_size=6).map(lambda lines: "".join(f"{line}\n" for line in lines)))
def test_ipython_makes_of_a_profiled_cell_what_it_makes_of_the_cell_without_the_line(cell):
    fil = TransformerManager()
    fil.cleanup_transforms.insert(0, without_magic)
    profiled = fil.transform_cell("%%filprofile\n" + cell)
    plain = TransformerManager().transform_cell(transform(cell))
    code = [line.strip() for line in profiled.splitlines() if line.strip() and not line.lstrip().startswith("# %%fil")]
    expected = [line.strip() for line in plain.splitlines() if line.strip() and not line.lstrip().startswith("# %%fil")]
    assert code == expected


@settings(max_examples=50)
@given(st.text(max_size=40))
def test_any_options_give_a_request_or_a_usage_error(options):
    with contextlib.suppress(UsageError):
        request = parse_cell(f"%%filprofile {options}\nx = 1")
        assert request is None or all(problem.endswith(".") for problem in request.problems)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--titel x", "Did you mean --title?"),
        ("--title two words", "unknown: words. A value of several words stands in quotes"),
        ("--title", "argument --title: expected one argument"),
        ("--title 'x", "No closing quotation"),
        ("x = 1", "the code of the cell in the lines below"),
    ],
)
def test_wrong_options_are_said_with_the_right_ones_and_left_to_the_magic(options, said):
    cell = f"%%filprofile {options}\nx\n"
    with pytest.raises(UsageError, match=re.escape(said)):
        parse_cell(cell)
    assert transform(cell) == cell


@pytest.mark.parametrize(
    ("line", "options", "code"),
    [
        ("f(x)", "", "f(x)"),
        ("--quiet --title a f('it')", "--quiet --title a", "f('it')"),
        ("--title='a b' x = [1,  2]", "--title='a b'", "x = [1,  2]"),
        ("-x", "", "-x"),
        ("--no-live -- --x", "--no-live", "--x"),
        ("f('a", "", "f('a"),
        ("", "", ""),
    ],
)
def test_a_line_has_options_and_then_code_as_it_was_typed(line, options, code):
    assert split_line(line) == (options, code)


@given(st.text(max_size=60))
def test_any_text_can_be_transformed(text):
    assert len(transform(text).splitlines()) <= len(text.splitlines()) or transform(text) == text
