"""Thread pools of libraries are limited to one thread while profiling."""

import sys
from types import ModuleType

import pytest

from filprofiler._thread_pools import limit_to_one_thread


@pytest.mark.parametrize(
    ("library", "setter"), [("numexpr", "set_num_threads"), ("blosc", "set_nthreads"), ("blosc2", "set_nthreads")]
)
def test_pools_of_imported_libraries_are_limited_and_restored(monkeypatch, library, setter):
    threads = [8]

    def set_threads(number: int) -> int:
        threads.append(number)
        return threads[-2]

    module = ModuleType(library)
    setattr(module, setter, set_threads)
    monkeypatch.setitem(sys.modules, library, module)
    restore = limit_to_one_thread()
    assert threads[-1] == 1
    restore()
    assert threads[-1] == 8


def test_libraries_that_are_not_imported_stay_so():
    before = {"numexpr", "blosc", "blosc2"} & set(sys.modules)
    limit_to_one_thread()()
    assert {"numexpr", "blosc", "blosc2"} & set(sys.modules) == before
