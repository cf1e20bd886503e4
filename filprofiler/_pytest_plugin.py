"""The pytest plugin: `@pytest.mark.limit_memory("100 MB")`, and peaks of all tests with `--fil`.

Memory is tracked from a process's start, so pytest has to be started by Fil: `fil-profile python -m pytest`. Started
otherwise, tests run as if this plugin were not there, and the end of the run says that their limits were not checked.
"""

import re
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from filprofiler._sizes import format_size, parse_size

if TYPE_CHECKING:
    from types import CodeType

    from filprofiler._result import ProfileResult

HOW_TO_START = "start pytest with `fil-profile python -m pytest`"
MOST_PEAKS = 10
LONGEST_NAME = 100
LIMIT = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The plugin's options."""
    group = parser.getgroup("fil", "memory at the peak, by Fil")
    group.addoption("--fil", action="store_true", help=f"profile every test and list the highest peaks; {HOW_TO_START}")
    group.addoption(
        "--fil-output",
        metavar="DIR",
        default="fil-result/pytest",
        help="where the reports of tests go that held more than their limit (default: %(default)s)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker; refuses `--fil` where nothing can be profiled."""
    config.addinivalue_line(
        "markers",
        'limit_memory(limit): fails the test if it holds more at once than limit, as "100 MB" or "1.5 GiB", of what it '
        f"allocates; checked by Fil: {HOW_TO_START}",
    )
    reason = _why_not()
    if reason is not None and config.getoption("--fil"):
        msg = f"--fil: {reason}"
        raise pytest.UsageError(msg)
    config.pluginmanager.register(_Limits(config, reason), "filprofiler-limits")


def _why_not() -> str | None:
    """Why tests can't be profiled in this process; None if they can."""
    from filprofiler import _tracker

    if not _tracker.is_loaded():
        return f"this process is not tracked by Fil: {HOW_TO_START}"
    if _tracker.control() is None:
        return f"Fil profiles the whole run already, not single tests: {HOW_TO_START} instead of `fil-profile run`"
    return None


class _Limits:
    def __init__(self, config: pytest.Config, why_not: str | None) -> None:
        self._config = config
        self._why_not = why_not
        self._profiles_all = bool(config.getoption("--fil"))
        self._output = Path(config.rootpath, str(config.getoption("--fil-output")))
        self._peaks: list[tuple[int, str]] = []
        self._unchecked = 0

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Reads the limits: a wrong one is told before any test runs."""
        for item in items:
            marker = item.get_closest_marker("limit_memory")
            if marker is not None:
                try:
                    item.stash[LIMIT] = _limit_of(marker)
                except ValueError as problem:
                    msg = f"{item.nodeid}: limit_memory: {problem}"
                    raise pytest.UsageError(msg) from None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """Profiles the test, without its fixtures' set-up."""
        limit = item.stash.get(LIMIT, None)
        if limit is None and not self._profiles_all:
            return (yield)
        if self._why_not is not None:
            self._unchecked += 1
            return (yield)
        # Of a test within its limit nothing stays.
        directory = None if limit is None else self._output / _file_name(item.nodeid)
        from filprofiler import api

        running = api._Running(item.nodeid, directory, boundary=_pytest_code())
        try:
            with running:
                outcome = yield
        except BaseException:
            # Its own failure is more important; the report stands beside it.
            if running.has_ended:
                self._judge(item, running.result(), limit, directory)
            raise
        message = self._judge(item, running.result(), limit, directory)
        if message is not None:
            pytest.fail(message, pytrace=False)
        return outcome

    def _judge(
        self, item: pytest.Item, result: "ProfileResult", limit: int | None, directory: Path | None
    ) -> str | None:
        self._peaks.append((result.peak_bytes, item.nodeid))
        if limit is None or result.peak_bytes <= limit:
            if directory is not None:
                shutil.rmtree(directory, ignore_errors=True)
            return None
        page = next((str(file) for file in result.files if file.name == "index.html"), "not written")
        item.add_report_section("call", "Fil memory profile", f"{result.summary}\n\nReport: {page}\n")
        return (
            f"The test held {format_size(result.peak_bytes)} at its peak, more than its limit of {format_size(limit)}. "
            f"Report: {page}"
        )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Tells the highest peaks, or that limits were not checked."""
        if self._unchecked > 0:
            tests = "1 test" if self._unchecked == 1 else f"{self._unchecked} tests"
            terminalreporter.write_line(f"limit_memory was not checked for {tests}: {self._why_not}")
        if self._profiles_all and self._peaks:
            terminalreporter.section("highest memory peaks (Fil)")
            for peak, name in sorted(self._peaks, reverse=True)[:MOST_PEAKS]:
                terminalreporter.write_line(f"{format_size(peak):>12}  {name}")


def _limit_of(marker: pytest.Mark) -> int:
    arguments = [*marker.args, *(marker.kwargs[name] for name in ("limit", "memory_limit") if name in marker.kwargs)]
    others = sorted(set(marker.kwargs) - {"limit", "memory_limit"})
    if len(arguments) != 1 or others:
        given = f"unknown argument {others[0]!r}" if others else f"{len(arguments)} amounts"
        msg = f'{given}; write it as limit_memory("100 MB")'
        raise ValueError(msg)
    return parse_size(str(arguments[0]))


def _pytest_code() -> "CodeType | None":
    """The code of pytest that calls test functions: call stacks begin below it."""
    from _pytest import python

    return getattr(getattr(python, "pytest_pyfunc_call", None), "__code__", None)


def _file_name(test: str) -> str:
    """A directory's name for a test; two tests whose names differ in other characters only are told apart."""
    readable = re.sub(r"[^\w.-]+", "-", test).strip("-")
    if readable == test and len(test) <= LONGEST_NAME:
        return test
    from hashlib import sha256

    return f"{readable[-LONGEST_NAME:]}-{sha256(test.encode(errors='surrogatepass')).hexdigest()[:8]}"
