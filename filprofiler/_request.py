"""The text of a profiled cell: what its `%%filprofile` line asks for, and the cell without it."""

import argparse
import difflib
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Never

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from filprofiler._sizes import format_size, parse_size

REQUEST_METADATA = "fil"
"""That of schema/control.ts; the browser tests profile by it."""

_MAGIC_LINE = re.compile(r"[ \t]*%%filprofile(?:[ \t]+(?P<options>.*?))?\s*")
_WORD = re.compile(r"""\s*((?:[^\s'"]|'[^']*'|"(?:\\.|[^"\\])*")+)""")


@dataclass(frozen=True)
class Request:
    """What a cell, a line or a front end asks for."""

    title: str | None = None
    output_directory: str | None = None
    quiet: bool = False
    live: bool | None = None
    """None where nothing is asked for."""
    problems: tuple[str, ...] = ()
    """What the user should know; the cell runs all the same."""
    is_empty: bool = False
    limit_bytes: int | None = None
    """What the cell may hold; None for what there is."""
    headroom_bytes: int | None = None
    """What has to be left meanwhile; None for what the kernel was started with, as with the next."""
    guard: bool | None = None
    """Whether anything is done when it is not."""
    children: bool = True
    """Whether processes that the cell starts, or that work for it, are in the report."""
    exact_tree: bool | None = None
    """Whether their joint peak is exact to the byte; None for the kernel's setting."""
    dask: str | None = None
    """The expression for the client of a cluster whose workers are profiled; None for no cluster."""


def without_magic(lines: list[str]) -> list[str]:
    """Input transformer: the cell as the user would have written it without profiling.

    The magic's line becomes a comment, so that line numbers stay. It is dropped if another cell magic follows, which
    has to be first. Keeps no state, as IPython transforms a cell several times. Beneath another magic (`%%time`), and
    with options that are wrong, it leaves the line alone, for the real magic to be called.
    """
    magic, rest = _split(lines)
    if not magic or is_inside_cell() or not _are_right(magic):
        return lines
    first = next((line for line in rest if line.strip()), "")
    if first.lstrip().startswith("%%"):
        return rest
    # Indented like the code, or IPython would not dedent a cell that is indented as a whole.
    indent = first[: len(first) - len(first.lstrip())]
    return [f"{indent}# {line.strip()}\n" if line.strip() else line for line in magic] + rest


def parse_cell(cell: str) -> Request | None:
    """What the text of a cell asks for; None if it does not begin with `%%filprofile`.

    Raises:
        UsageError: if its options are wrong.
    """
    magic, rest = _split(cell.splitlines(keepends=True))
    return _request(magic, is_empty=not "".join(rest).strip()) if magic else None


def parse_metadata(metadata: object, cell: str) -> Request | None:
    """What a front end's request to execute a cell asks for, beside the cell; None if it asks for no profile.

    Args:
        metadata: of the execute_request, from anywhere; its member `fil` is a ProfileRequest of `schema/control.ts`.
        cell: the cell's text. An empty one is no mistake, as when all cells of a notebook are profiled.

    Raises:
        UsageError: if its limit or its headroom is no amount of memory.
    """
    wish = metadata.get(REQUEST_METADATA) if isinstance(metadata, Mapping) else None
    if not isinstance(wish, Mapping) or wish.get("profile") is not True or not cell.strip():
        return None
    title, output, guard = wish.get("title"), wish.get("output"), wish.get("guard")
    return Request(
        title=title if isinstance(title, str) else None,
        output_directory=output if isinstance(output, str) and output else None,
        quiet=wish.get("quiet") is True,
        # A reader who has it on does not overrule a server that has it off.
        live=False if wish.get("live") is False else None,
        limit_bytes=_wished_size(wish, "limit"),
        headroom_bytes=_wished_size(wish, "headroom"),
        guard=False if guard is False else None,
        children=wish.get("children") is not False,
        exact_tree=True if wish.get("exactTree") is True else None,
    )


def _wished_size(wish: Mapping[object, object], name: str) -> int | None:
    text = wish.get(name)
    return _size(f"--{name}", text) if isinstance(text, str) and text.strip() else None


def parse_options(options: str, *, body: str) -> Request:
    """What the options of the magic ask for.

    Raises:
        UsageError: if they are wrong.
    """
    return _request([f"%%filprofile {options}"], is_empty=not body.strip())


def split_line(line: str) -> tuple[str, str]:
    """The options of a line magic, and the code behind them, as it was typed."""
    end = 0
    takes_value = False
    while match := _WORD.match(line, end):
        word = match[1]
        if not takes_value and not (word.startswith("--") and word[2:3].isalpha()):
            break
        end = match.end()
        takes_value = not takes_value and "=" not in word and word in _OPTIONS_WITH_VALUE
    code = line[end:].strip()
    return line[:end], code[2:].lstrip() if code.startswith("-- ") else code


def is_inside_cell() -> bool:
    """Whether the caller was called by the code of a cell, as by a magic that runs its body."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code is InteractiveShell.run_code.__code__:
            return True
        frame = frame.f_back
    return False


def _split(lines: list[str]) -> tuple[list[str], list[str]]:
    """The lines up to the last `%%filprofile` at the top, blank ones among them, and the others."""
    end = 0
    for index, line in enumerate(lines):
        if _MAGIC_LINE.fullmatch(line):
            end = index + 1
        elif line.strip():
            break
    return lines[:end], lines[end:]


def _are_right(magic: list[str]) -> bool:
    try:
        _request(magic, is_empty=False)
    except UsageError:
        return False
    return True


def _request(magic: list[str], *, is_empty: bool) -> Request:
    matches = [match for line in magic if (match := _MAGIC_LINE.fullmatch(line))]
    problems = ["it stands there twice; once is enough."] if len(matches) > 1 else []
    try:
        words = shlex.split(" ".join(match["options"] or "" for match in matches))
    except ValueError as error:
        msg = f"%%filprofile: its options can't be read ({error}). {_HELP}"
        raise UsageError(msg) from None
    options, unknown = _PARSER.parse_known_args(words)
    limit = None
    if options.limit is not None:
        # `4 GiB`, and whatever else was meant as a limit.
        limit = _size(_LIMIT, " ".join([options.limit, *unknown]))
        unknown = []
    if unknown:
        raise UsageError(_about_unknown(unknown))
    if is_empty:
        problems.append("there is nothing to profile: the cell is empty.")
    return Request(
        title=options.title,
        output_directory=options.output,
        quiet=options.quiet,
        live=options.live,
        problems=tuple(problems),
        is_empty=is_empty,
        limit_bytes=limit,
        children=options.children,
        exact_tree=options.exact_tree,
        dask=options.dask,
    )


def _size(option: str, text: str) -> int:
    """An amount of memory in bytes.

    Raises:
        UsageError: if it is none.
    """
    try:
        size = parse_size(text)
    except ValueError as error:
        msg = f"%%filprofile {option}: {error}. The cell was not run."
        raise UsageError(msg) from None
    if size < _SMALLEST_SIZE:
        msg = f"%%filprofile {option}: {text} is less than {format_size(_SMALLEST_SIZE)}, which is of no use. "
        raise UsageError(msg + "The cell was not run.")
    return size


def _about_unknown(words: list[str]) -> str:
    first = words[0]
    similar = difflib.get_close_matches(first.partition("=")[0], _PARSER._option_string_actions, n=1)
    if similar:
        advice = f" Did you mean {similar[0]}?"
    elif first.startswith("-"):
        advice = ""
    else:
        advice = " A value of several words stands in quotes, and the code of the cell in the lines below."
    return f"%%filprofile: unknown: {' '.join(words)}.{advice} {_HELP}"


class _Parser(argparse.ArgumentParser):
    """Raises instead of ending the program."""

    def error(self, message: str) -> Never:
        msg = f"%%filprofile: {message}. {_HELP}"
        raise UsageError(msg)


_PARSER = _Parser(
    usage="%%%%filprofile [options]\n  code of the cell, in the lines below\n\n"
    "  %%filprofile [options] expression or statement",
    description="Profile memory: which lines of a cell held it at its peak, or of an expression.",
    epilog="""\
A cell runs as it would without the first line, and its report is displayed below its output. The line magic gives
the value of its expression: result = %filprofile load("data.csv")

From Python: filprofiler.last_profile() has the figures as tables, and saves reports.

examples:
  %%filprofile --title "with categories" --output reports/categories
  %%filprofile --dask client
  %filprofile --quiet frame.merge(other)""",
    formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=100),
    add_help=False,
    allow_abbrev=False,
)
_PARSER.color = False  # type: ignore[attr-defined]  # of Python 3.14: the text is no terminal's
_PARSER.add_argument("--title", metavar="TEXT", help="shown above the report")
_PARSER.add_argument(
    "--output", metavar="DIRECTORY", help="also write the report's files there: page, pictures, data; made if missing"
)
_PARSER.add_argument(
    "--quiet", action="store_true", help="display nothing; the report is there for Python, and in files"
)
_PARSER.add_argument(
    "--live",
    action=argparse.BooleanOptionalAction,
    default=None,
    help="whether the cell shows peak, memory and top lines while it runs (default: yes)",
)
_PARSER.add_argument(
    "--no-children",
    action="store_false",
    dest="children",
    help="only the kernel's own process, and none that it starts",
)
_PARSER.add_argument(
    "--exact-tree",
    action="store_true",
    default=None,
    help="make the peak of all processes together exact to the byte (default: within 128 KiB for each)",
)
_DASK = "--dask"
_PARSER.add_argument(
    _DASK,
    metavar="CLIENT",
    help="the name of a Dask client: all workers of its cluster are profiled while the cell runs, and the notebook too",
)
_LIMIT = "--limit"
_PARSER.add_argument(
    _LIMIT,
    metavar="SIZE",
    help="most that the cell may hold, as 4GiB or 500MB; beyond it the cell is interrupted by a MemoryError",
)
_SMALLEST_SIZE = 1024**2
_OPTIONS_WITH_VALUE = {"--title", "--output", _LIMIT, _DASK}
_HELP = f"Options: {', '.join(_PARSER._option_string_actions)}; %%filprofile? explains them."
HELP = _PARSER.format_help()
"""The magic's documentation."""
