"""Runs small programs under the tracker, on every supported Python of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
# Another build of the tracker can be tested: with sanitizers, say.
BUNDLE = Path(os.environ.get("TRACKER_TEST_BUNDLE", REPOSITORY / "filprofiler" / "_bundle"))

# Whether that build can be made to fail and tells which branches were taken.
CHECKED = b"FIL_FAILPOINTS" in (BUNDLE / "libfil_tracker.so").read_bytes()
# What only that build can show.
collect_ignore = [] if CHECKED else ["test_failpoints.py"]

FIXTURES = REPOSITORY / "build" / "native" / "test"

SUPPORTED = ("3.11", "3.12", "3.13", "3.14", "3.15")


def _version_of(python: str) -> tuple[str, str] | None:
    """(version, real executable), or None if it does not start or has no GIL."""
    probe = (
        "import sys, sysconfig; print('%d.%d' % sys.version_info[:2], sys.executable, "
        "bool(sysconfig.get_config_var('Py_GIL_DISABLED')), sep='|')"
    )
    try:
        done = subprocess.run([python, "-c", probe], capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return None
    version, _, rest = done.stdout.strip().partition("|")
    executable, _, free_threaded = rest.partition("|")
    return (version, executable) if done.returncode == 0 and free_threaded == "False" else None


def _find_pythons() -> dict[str, str]:
    """One interpreter per supported version: TRACKER_TEST_PYTHONS, or the running one, those on PATH, pyenv's."""
    wrappers = os.environ.get("TRACKER_TEST_PYTHONS")
    if wrappers is not None:
        # Scripts that enter a chroot, say: what they call themselves inside can't be started from here.
        return {known[0]: each for each in wrappers.split(":") if (known := _version_of(each)) is not None}
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [sys.executable]
    candidates += [str(path) for path in sorted(pyenv.glob("3.*/bin/python3"))]
    candidates += [f"python{version}" for version in SUPPORTED]
    found: dict[str, str] = {}
    for candidate in candidates:
        known = _version_of(candidate)
        if known is not None and known[0] in SUPPORTED:
            found.setdefault(*known)
    return found


PYTHONS = _find_pythons()


Frame = tuple[str, int, str]
"""Function, line, file."""


@dataclass(frozen=True)
class Site:
    """A call site with its bytes."""

    index: int
    peak: int
    current: int
    kind: str
    """`python` for the line's own memory, else `mapped-file` or `shared-memory`."""
    tree: list[tuple[int, Frame]] = field(repr=False)

    @property
    def name(self) -> str:
        """Path of the file, or name of the shared memory, that was mapped."""
        return "" if self.kind == "python" else self.tree[self.index][1][2]

    @property
    def stack(self) -> list[Frame]:
        """Outermost first; of a mapping, the stack of the line that mapped it."""
        stack: list[Frame] = []
        index = self.index if self.kind == "python" else self.tree[self.index][0]
        while index > 0:
            parent, frame = self.tree[index]
            stack.append(frame)
            index = parent
        return stack[::-1]

    @property
    def functions(self) -> list[str]:
        return [function for function, _line, _file in self.stack]


@dataclass(frozen=True)
class Run:
    """How a program ended and what the tracker saw of it."""

    code: int | None
    signal: str | None
    output: str
    errors: str
    peak: int
    current: int
    degradations: list[str]
    site_count: int
    untouched: int
    """The most that was mapped and not touched."""
    own_bytes: int
    """Resident memory of the tracker's own tables at the end."""
    sites: list[Site] = field(repr=False)
    marks: frozenset[str] = field(repr=False)
    """Branches that were taken (native/tracker/checks/marks.def); empty unless the tracker is the checked build."""

    def took(self, *branches: str) -> bool:
        """Whether the program came through branches of the tracker that a test is about; can tell only if checked."""
        return not CHECKED or self.marks.issuperset(branches)

    def peak_in(self, function: str) -> int:
        """Bytes at the peak that `function` allocated itself."""
        return sum(site.peak for site in self.sites if site.functions[-1] == function)

    def current_in(self, function: str) -> int:
        """Bytes that were live at the end and that `function` allocated itself."""
        return sum(site.current for site in self.sites if site.functions[-1] == function)

    def mapped(self, function: str, kind: str) -> dict[str, int]:
        """Bytes that were live at the end and that `function` mapped, by the name of what it mapped."""
        named: dict[str, int] = {}
        for site in self.sites:
            if site.kind == kind and site.functions[-1] == function and site.current > 0:
                named[site.name] = named.get(site.name, 0) + site.current
        return named


# Processes that the program spawns import it again, untracked. CPython keeps some tuples that are gone for the next
# ones: without any there, the first that a test needs, to call bytes(n) say, would be made where it counts, and stay.
PREAMBLE = (
    "from filprofiler import _tracker as tracker\n"
    "if __name__ == '__main__': tracker.check(); [(number,) for number in range(20)]\n"
)

RunTracked = Callable[..., Run]


@pytest.fixture(params=sorted(PYTHONS), scope="session")
def python(request: pytest.FixtureRequest) -> str:
    return PYTHONS[request.param]


@pytest.fixture
def run(python: str, tmp_path: Path) -> RunTracked:
    """Run a program; `tracker` is imported and checked in it already."""

    def run_program(
        source: str,
        *,
        environment: dict[str, str] | None = None,
        name: str = "program.py",
        preamble: str = PREAMBLE,
        failpoints: str = "",
    ) -> Run:
        program = tmp_path / name
        program.write_text(preamble + textwrap.dedent(source))
        marks = tmp_path / "marks"
        marks.unlink(missing_ok=True)
        checked = {"FIL_MARKS_FILE": str(marks), "FIL_FAILPOINTS": failpoints} if CHECKED else {}
        package_root = tmp_path / "import"
        if not package_root.exists():
            # Only the package: the checkout's own root must not shadow anything.
            package_root.mkdir()
            (package_root / "filprofiler").symlink_to(REPOSITORY / "filprofiler")
        done = subprocess.run(
            ["node", str(HERE / "tracked.mjs"), str(BUNDLE), python, str(program)],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
            env={
                **os.environ,
                "PYTHONPATH": str(package_root),
                "PYTHONDONTWRITEBYTECODE": "1",
                **checked,
                **(environment or {}),
            },
        )
        output, _, last = done.stdout.rstrip("\n").rpartition("\n")
        figures = json.loads(last)
        tree = [(parent, (frame[0], frame[1], frame[2])) for parent, frame, _peak, _current in figures["sites"]]
        kinds = [frame[3] for _parent, frame, _peak, _current in figures["sites"]]
        sites = [
            Site(index, int(peak), int(current), kinds[index], tree)
            for index, (_parent, _frame, peak, current) in enumerate(figures["sites"])
            if peak > 0 or current > 0
        ]
        result = Run(
            code=figures["code"],
            signal=figures["signal"],
            output=output.removesuffix("\n"),
            errors=done.stderr,
            peak=int(figures["peakBytes"]),
            current=int(figures["currentBytes"]),
            degradations=figures["degradations"],
            site_count=int(figures["siteCount"]),
            untouched=int(figures["mostUntouchedBytes"]),
            own_bytes=int(figures["ownBytes"]),
            sites=sites,
            marks=frozenset(marks.read_text().splitlines() if marks.exists() else ()),
        )
        assert tree == [] or sum(site.peak for site in sites) == result.peak
        return result

    return run_program
