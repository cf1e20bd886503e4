"""Kernels for the tests: a shared one where cells can't disturb each other, one of its own where they can."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Kernel, started, wait_until

# What only the checked build of the tracker can show (scripts/lib/checked.mjs).
collect_ignore = [] if "TRACKER_TEST_BUNDLE" in os.environ else ["cli/test_cli_failpoints.py"]

# Kernels of other programs on this machine must not be taken for ours.
TEMPORARY = Path(tempfile.mkdtemp(prefix="fil-tests-"))


def pytest_configure() -> None:
    os.environ["TMPDIR"] = str(TEMPORARY)


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with started() as running:
        yield running


@pytest.fixture
def own_kernel() -> Iterator[Kernel]:
    with started() as running:
        yield running


@pytest.fixture(scope="session", autouse=True)
def no_private_directory_is_left() -> Iterator[None]:
    yield
    wait_until(lambda: not private_directories(), "all private directories are removed", 5)
    shutil.rmtree(TEMPORARY)


def private_directories() -> set[Path]:
    return set(TEMPORARY.glob("fil-*"))
