"""Memory of C, C++ and Fortran libraries and of their threads."""

from __future__ import annotations

import pytest
from conftest import FIXTURES, RunTracked

PREAMBLE = f"""
import ctypes
library = ctypes.CDLL({str(FIXTURES / "libfil_fixture.so")!r})
for name in ("new", "aligned_new", "thread", "nested_thread", "c11_thread", "thread_end"):
    function = getattr(library, "fixture_" + name)
    function.restype, function.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.fixture_delete.argtypes = library.fixture_free_in_a_thread.argtypes = [ctypes.c_void_p]
"""

# Other objects of the same line: ctypes' arguments, ints, a thread's own few bytes.
TOLERANCE = 2000


@pytest.mark.parametrize("how", ["new", "aligned_new", "thread", "nested_thread", "c11_thread", "thread_end"])
def test_native_memory_is_charged_to_the_line_that_called_the_library(run: RunTracked, how: str) -> None:
    result = run(f"""{PREAMBLE}
def call(): return library.fixture_{how}(1_000_000)
tracker.begin([])
kept = call()
tracker.end()
""")
    assert 1_000_000 <= result.current_in("call") < 1_000_000 + TOLERANCE
    assert "thread" not in how or result.took("stack_inherited")


def test_deleted_memory_is_gone(run: RunTracked) -> None:
    result = run(f"""{PREAMBLE}
tracker.begin([])
library.fixture_delete(library.fixture_new(1_000_000))
tracker.end()
""")
    assert result.peak >= 1_000_000
    assert result.current < 100_000


def test_memory_may_be_freed_in_another_thread_than_it_was_allocated_in(run: RunTracked) -> None:
    result = run(f"""{PREAMBLE}
block = library.fixture_new(500_000)
tracker.begin([])
library.fixture_free_in_a_thread(block)
library.fixture_free_in_a_thread(library.fixture_new(1_000_000))
tracker.end()
""")
    assert result.peak >= 1_000_000
    assert result.current < 100_000


def test_threads_without_the_gil_beside_python_lose_no_event(run: RunTracked) -> None:
    result = run(f"""{PREAMBLE}
import threading
tracker.begin([])
native = threading.Thread(target=library.fixture_churn, args=(4, 30_000))
native.start()
while native.is_alive():
    kept = [str(i) for i in range(1000)]
native.join()
tracker.end()
""")
    # All of the churn was freed: one event lost would leave 10,000 bytes, one too many would be refused as damage.
    assert result.current < 200_000


def test_fortrans_allocate_is_counted(run: RunTracked) -> None:
    result = run(f"""
import ctypes
library = ctypes.CDLL({str(FIXTURES / "libfil_fortran_fixture.so")!r})
library.fixture_fortran.argtypes = [ctypes.c_size_t]
def call(): library.fixture_fortran(1_000_000)
tracker.begin([])
call()
tracker.end()
""")
    assert 1_000_000 <= result.current_in("call") < 1_000_000 + TOLERANCE
