"""The text of a profiled cell: what its `%%filprofile` line asks for, and the cell without it."""

import argparse
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Never

from IPython.core.interactiveshell import InteractiveShell

REQUEST_METADATA = "fil"
"""That of schema/control.ts; the browser tests profile by it."""

_MAGIC_LINE = re.compile(r"[ \t]*%%filprofile(?:[ \t]+(?P<options>.*?))?\s*")


@dataclass(frozen=True)
class Request:
    """What a cell asks for."""

    title: str | None
    output_directory: str | None
    problems: tuple[str, ...]
    """What the user should know; the cell runs all the same."""
    is_empty: bool


def without_magic(lines: list[str]) -> list[str]:
    """Input transformer: the cell as the user would have written it without profiling.

    The magic's line becomes a comment, so that line numbers stay. It is dropped if another cell magic follows, which
    has to be first. Keeps no state, as IPython transforms a cell several times. Beneath another magic (`%%time`) it
    leaves the line alone, for the real magic to be called.
    """
    magic, rest = _split(lines)
    if not magic or is_inside_cell():
        return lines
    first = next((line for line in rest if line.strip()), "")
    if first.lstrip().startswith("%%"):
        return rest
    # Indented like the code, or IPython would not dedent a cell that is indented as a whole.
    indent = first[: len(first) - len(first.lstrip())]
    return [f"{indent}# {line.strip()}\n" if line.strip() else line for line in magic] + rest


def parse_cell(cell: str) -> Request | None:
    """What the text of a cell asks for; None if it does not begin with `%%filprofile`."""
    magic, rest = _split(cell.splitlines(keepends=True))
    return _request(magic, is_empty=not "".join(rest).strip()) if magic else None


def parse_metadata(metadata: object, cell: str) -> Request | None:
    """What a front end's request to execute a cell asks for, beside the cell; None if it asks for no profile.

    Args:
        metadata: of the execute_request, from anywhere; its member `fil` is a ProfileRequest of `schema/control.ts`.
        cell: the cell's text. An empty one is no mistake, as when all cells of a notebook are profiled.
    """
    wish = metadata.get(REQUEST_METADATA) if isinstance(metadata, Mapping) else None
    if not isinstance(wish, Mapping) or wish.get("profile") is not True or not cell.strip():
        return None
    title = wish.get("title")
    return Request(title if isinstance(title, str) else None, None, (), is_empty=False)


def parse_options(options: str, *, body: str) -> Request:
    """What the options of the magic ask for."""
    return _request([f"%%filprofile {options}"], is_empty=not body.strip())


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


def _request(magic: list[str], *, is_empty: bool) -> Request:
    matches = [match for line in magic if (match := _MAGIC_LINE.fullmatch(line))]
    problems = ["it stands there twice; once is enough."] if len(matches) > 1 else []
    title, output = None, None
    try:
        words = shlex.split(" ".join(match["options"] or "" for match in matches))
        options, unknown = _PARSER.parse_known_args(words)
        title, output = options.title, options.output
        if unknown:
            problems.append(f"{' '.join(unknown)} is not known and has no effect. {_KNOWN}")
    except ValueError as error:
        problems.append(f"its options can't be read ({error}) and have no effect. {_KNOWN}")
    if is_empty:
        problems.append("there is nothing to profile: the cell is empty.")
    return Request(title, output, tuple(problems), is_empty)


class _Parser(argparse.ArgumentParser):
    """Raises instead of ending the program."""

    def error(self, message: str) -> Never:
        raise ValueError(message)


_PARSER = _Parser(add_help=False, allow_abbrev=False)
_PARSER.add_argument("--title")
_PARSER.add_argument("--output")
_KNOWN = "Known options: --title TEXT, --output DIRECTORY."
