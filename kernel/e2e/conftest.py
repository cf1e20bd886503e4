"""Kernels for the tests: a shared one where cells can't disturb each other, one of its own where they can."""

import tempfile
from pathlib import Path

import pytest
from harness import Kernel, started


@pytest.fixture(scope="module")
def kernel():
    with started() as running:
        yield running


@pytest.fixture
def own_kernel():
    with started() as running:
        yield running


@pytest.fixture(scope="session", autouse=True)
def no_private_directory_is_left():
    before = private_directories()
    yield
    assert private_directories() <= before


def private_directories() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("fil-*"))


__all__ = ["Kernel"]
