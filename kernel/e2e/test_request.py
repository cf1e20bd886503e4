"""The line `%%filprofile` is taken out of a cell so that the rest is the cell as it was."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager

from filprofiler._request import parse_cell, without_magic

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
def test_any_options_give_a_request_and_never_an_error(options):
    cell = f"%%filprofile {options}\nx = 1"
    request = parse_cell(cell)
    if request is not None:
        assert all(problem.endswith(".") for problem in request.problems)


@given(st.text(max_size=60))
def test_any_text_can_be_transformed(text):
    assert len(transform(text).splitlines()) <= len(text.splitlines()) or transform(text) == text
