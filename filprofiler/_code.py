"""Runs the code of `%filprofile` and, beneath another magic, of `%%filprofile`, as the cell around it would run it."""

import ast
import inspect
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

_MAGIC_TIMEIT = "<magic-timeit>"


def run_body(shell: InteractiveShell, body: str) -> Any:
    """Runs code as IPython runs a cell, but within one, and returns the value of its last expression."""
    __tracebackhide__ = True  # of interest to nobody who reads a traceback
    source = shell.transform_cell(body)
    filename = shell.compile.cache(source, shell.execution_count - 1, raw_code=body)
    return _run(shell, source, filename, 1, shell.user_ns)


def run_line(shell: InteractiveShell, code: str, names: dict[str, Any] | None) -> Any:
    """Runs the code of a line magic: its frames are of the line that it stands in.

    Args:
        shell: the notebook's.
        code: as it was typed.
        names: the variables where it stands; None for the notebook's.
    """
    __tracebackhide__ = True
    source = shell.transform_cell(code)
    place = _place(shell)
    filename, line = place or (shell.compile.cache(source, shell.execution_count - 1, raw_code=code), 1)
    is_in_function = names is not None and names is not shell.user_ns
    # A function's variables can be read, and not assigned to, as in any code that it executes.
    return _run(
        shell, source, filename, line, {**shell.user_ns, **names} if is_in_function and names else shell.user_ns
    )


def is_timed() -> bool:
    """Whether `%timeit` calls the caller, over and over."""
    return any(frame.f_code.co_filename == _MAGIC_TIMEIT for frame in _frames())


def _run(shell: InteractiveShell, source: str, filename: str, line: int, names: dict[str, Any]) -> Any:
    __tracebackhide__ = True
    tree = ast.increment_lineno(shell.compile.ast_parse(source, filename=filename), line - 1)
    awaits = compile(tree, filename, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT).co_flags & inspect.CO_COROUTINE
    if awaits:
        msg = (
            "code behind %filprofile, or of %%filprofile beneath another magic, can't await, as the notebook's event "
            "loop is running already. With %%filprofile as the first line of the cell it can."
        )
        raise UsageError(msg)
    tree = shell.transform_ast(tree)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(shell.compile(tree, filename, "exec"), names)
    if last is None:
        return None
    return eval(shell.compile(ast.Expression(last.value), filename, "eval"), names)


BOUNDARY = _run.__code__
"""Call stacks of the code begin below its frame."""


def _place(shell: InteractiveShell) -> tuple[str, int] | None:
    """File name and line of the cell's code that calls the magic; None if no cell does."""
    cells: Mapping[str, int] = getattr(shell.compile, "_filename_map", {})
    return next(
        ((frame.f_code.co_filename, frame.f_lineno) for frame in _frames() if frame.f_code.co_filename in cells), None
    )


def _frames() -> list[FrameType]:
    frames = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames
