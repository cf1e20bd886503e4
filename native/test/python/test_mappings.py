"""Mappings count as what they are, to the byte: memory, shared memory, files by their pages in memory."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import PYTHONS, RunTracked

MIB = 1 << 20
PAGE = 4096

# Small objects of the same line: mmap's own, ctypes' arguments.
SLACK = 1500

LIBC = """
import ctypes, mmap, os
libc = ctypes.CDLL(None, use_errno=True)
P, N, I = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
def declare(name, result, *arguments):
    function = getattr(libc, name)
    function.restype, function.argtypes = result, arguments
    return function
c_mmap = declare("mmap", P, P, N, I, I, I, ctypes.c_long)
c_munmap, c_mprotect = declare("munmap", I, P, N), declare("mprotect", I, P, N, I)
c_madvise, c_memset = declare("madvise", I, P, N, I), declare("memset", P, P, I, N)
c_mremap = declare("mremap", P, P, N, N, I, P)
sbrk, brk = declare("sbrk", P, ctypes.c_ssize_t), declare("brk", I, P)
shmget, shmat = declare("shmget", I, I, N, I), declare("shmat", P, I, P, I)
shmdt, shmctl = declare("shmdt", I, P), declare("shmctl", I, I, I, P)
NONE, READ, RW = 0, 1, 3
SHARED, PRIVATE, FIXED, ANONYMOUS, NORESERVE = 1, 2, 0x10, 0x20, 0x4000
MAYMOVE, MOVE_TO, DONTUNMAP = 1, 2, 4
DONTNEED = 4
FAILED = (1 << 64) - 1
MIB = 1 << 20
MEMORY = (RW, PRIVATE | ANONYMOUS, -1, 0)
UNRESERVED = (RW, PRIVATE | ANONYMOUS | NORESERVE, -1, 0)
RESERVATION = (NONE, PRIVATE | ANONYMOUS, -1, 0)
# What ctypes makes at a function's first call is no part of what a test counts.
c_munmap(c_mmap(None, 4096, *MEMORY), 4096)
"""


def assert_about(actual: int, expected: int) -> None:
    assert expected <= actual < expected + SLACK


# What is what


def test_dev_zero_is_memory_like_any_other(run: RunTracked) -> None:
    result = run(f"""{LIBC}
zero = os.open("/dev/zero", os.O_RDWR)
def private(): return c_mmap(None, 3 * MIB, RW, PRIVATE, zero, 0)
def shared(): return c_mmap(None, 5 * MIB, RW, SHARED, zero, 0)
tracker.begin([])
kept = private(), shared()
tracker.end()
""")
    assert_about(result.current_in("private"), 3 * MIB)
    assert result.mapped("private", "shared-memory") == {}
    assert result.mapped("shared", "shared-memory") == {"": 5 * MIB}


def test_shared_memory_is_a_kind_of_its_own_and_has_its_name(run: RunTracked) -> None:
    result = run(f"""{LIBC}
from multiprocessing import shared_memory
from multiprocessing import resource_tracker
resource_tracker.ensure_running()
def posix(): return shared_memory.SharedMemory(create=True, size=6 * MIB, name=f"fil-test-{{os.getpid()}}")
def anonymous_shared(): return mmap.mmap(-1, 2 * MIB)
def of_memfd():
    descriptor = os.memfd_create("mine")
    os.ftruncate(descriptor, 4 * MIB)
    return mmap.mmap(descriptor, 4 * MIB)
tracker.begin([])
kept = posix(), anonymous_shared(), of_memfd()
tracker.end()
kept[0].close(); kept[0].unlink()
print(kept[0].name)
""")
    shared = [site for site in result.sites if site.kind == "shared-memory"]
    assert {site.name: site.current for site in shared} == {
        result.output.strip(): 6 * MIB,
        "": 2 * MIB,
        "mine": 4 * MIB,
    }
    (posix,) = [site for site in shared if site.current == 6 * MIB]
    assert "posix" in posix.functions
    assert result.mapped("of_memfd", "shared-memory") == {"mine": 4 * MIB}


def test_shared_memory_that_is_closed_is_gone(run: RunTracked) -> None:
    result = run("""
        import gc
        from multiprocessing import shared_memory
        def use():
            memory = shared_memory.SharedMemory(create=True, size=8 << 20)
            memory.buf[:] = bytes(8 << 20)
            memory.close(); memory.unlink()
        use()
        tracker.begin([]); use(); gc.collect(); tracker.end()
    """)
    assert [site.current for site in result.sites if site.kind == "shared-memory"] == [0]
    assert 16 * MIB <= result.peak < 16 * MIB + 200_000
    assert result.current < 100_000


def test_system_v_shared_memory_counts_once_until_it_is_detached_everywhere(run: RunTracked) -> None:
    result = run(f"""{LIBC}
identifier = shmget(0, 3 * MIB, 0o600)
def attach(): return shmat(identifier, None, 0)
tracker.begin([])
first = attach()
second = attach()
shmdt(first)
tracker.end()
shmctl(identifier, 0, None)
print(identifier)
""")
    assert result.mapped("attach", "shared-memory") == {f"System V segment {result.output.strip()}": 3 * MIB}
    assert 3 * MIB <= result.peak < 4 * MIB


SHARED_TWICE = f"""{LIBC}
descriptor = os.memfd_create("both")
os.ftruncate(descriptor, 8 * MIB)
def first(): return c_mmap(None, 6 * MIB, RW, SHARED, descriptor, 0)
def second(): return c_mmap(None, 5 * MIB, RW, SHARED, descriptor, 3 * MIB)
"""


def test_shared_memory_that_is_mapped_twice_counts_once(run: RunTracked) -> None:
    result = run(f"""{SHARED_TWICE}
tracker.begin([])
first(), second()
tracker.end()
""")
    assert result.mapped("first", "shared-memory") == {"both": 6 * MIB}
    assert result.mapped("second", "shared-memory") == {"both": 2 * MIB}


def test_shared_memory_is_the_other_mappings_once_the_first_is_gone(run: RunTracked) -> None:
    result = run(f"""{SHARED_TWICE}
tracker.begin([])
address = first()
second()
c_munmap(address, 4 * MIB)
tracker.end()
""")
    assert result.mapped("first", "shared-memory") == {"both": 2 * MIB}
    assert result.mapped("second", "shared-memory") == {"both": 3 * MIB}
    assert 8 * MIB <= result.peak < 9 * MIB


def test_the_same_file_in_two_pieces_is_no_repetition(run: RunTracked) -> None:
    result = run(f"""{SHARED_TWICE}
def piece(n): return c_mmap(None, 2 * MIB, RW, SHARED, descriptor, n * 2 * MIB)
tracker.begin([])
for n in range(4): piece(n)
tracker.end()
""")
    assert result.mapped("piece", "shared-memory") == {"both": 8 * MIB}


@pytest.mark.parametrize("access", ["ACCESS_READ", "ACCESS_WRITE", "ACCESS_COPY"])
def test_of_a_file_the_pages_in_memory_count_and_its_path_is_told(run: RunTracked, tmp_path: Path, access: str) -> None:
    data = tmp_path / "data.bin"
    data.write_bytes(bytes(40 * MIB))
    result = run(f"""
        import mmap
        file = open({str(data)!r}, "r+b")
        def untouched(): return mmap.mmap(file.fileno(), 0, access=mmap.{access})
        def touched():
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.{access})
            for page in range(0, len(mapping), 4096): mapping[page]
            return mapping
        tracker.begin([])
        kept = untouched(), touched()
        tracker.end()
    """)
    assert result.mapped("untouched", "mapped-file") == {}
    assert result.mapped("touched", "mapped-file") == {str(data): 40 * MIB}
    assert result.current_in("touched") - 40 * MIB < SLACK


def test_files_in_part_read_count_in_part_and_a_peak_has_what_was_touched_by_then(
    run: RunTracked, tmp_path: Path
) -> None:
    data = tmp_path / "data.bin"
    data.write_bytes(bytes(64 * MIB))
    result = run(f"""
        import mmap, random
        file = open({str(data)!r}, "rb")
        def map_file():
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            mapping.madvise(mmap.MADV_RANDOM)
            return mapping
        def work(): return bytes(8 << 20)
        def touch(mapping, start, stop):
            for page in range(start, stop, 4096): mapping[page]
        tracker.begin([])
        mapping = map_file()
        touch(mapping, 0, 16 << 20)
        import time; time.sleep(0.3)
        kept = work()
        del kept
        mapping.close()
        tracker.end()
    """)
    (file,) = [site for site in result.sites if site.kind == "mapped-file"]
    # The kernel maps up to 16 pages around the one that was touched.
    assert 16 * MIB <= file.peak <= 16 * MIB + 64 * 1024
    assert result.peak_in("work") >= 8 * MIB
    assert file.current == 0


def test_numpy_memmap_counts_the_pages_that_were_read(run: RunTracked, tmp_path: Path, python: str) -> None:
    if python != PYTHONS.get(f"{sys.version_info[0]}.{sys.version_info[1]}"):
        # NumPy is installed for the Python that runs the tests.
        return
    data = tmp_path / "array.bin"
    data.write_bytes(bytes(32 * MIB))
    result = run(f"""
        import numpy as np
        def load(): return np.memmap({str(data)!r}, dtype=np.uint8, mode="r")
        tracker.begin([])
        array = load()
        print(array[: 10 << 20].sum())
        tracker.end()
    """)
    files = [site for site in result.sites if site.kind == "mapped-file"]
    assert [site.name for site in files] == [str(data)]
    assert "load" in files[0].functions
    # Pages around those that were touched are mapped as well.
    assert 10 * MIB <= files[0].current <= 10 * MIB + 64 * 1024


def test_a_deleted_file_has_its_path_and_devices_do_not_count(run: RunTracked) -> None:
    result = run(f"""{LIBC}
import tempfile
def deleted():
    with tempfile.NamedTemporaryFile(dir="/var/tmp", suffix=".deleted") as file:
        file.write(bytes(MIB)); file.flush()
        mapping = mmap.mmap(file.fileno(), 0)
    sum(mapping[page] for page in range(0, MIB, 4096))
    return mapping
tracker.begin([])
kept = deleted()
tracker.end()
""")
    ((name, bytes_mapped),) = result.mapped("deleted", "mapped-file").items()
    assert name.endswith(".deleted")
    assert bytes_mapped == MIB


# Reservations


@pytest.mark.parametrize("extra", ["0", "NORESERVE"])
def test_a_reservation_counts_once_it_is_used(run: RunTracked, extra: str) -> None:
    result = run(f"""{LIBC}
def reserve(): return c_mmap(None, 1 << 40, NONE, PRIVATE | ANONYMOUS | {extra}, -1, 0)
tracker.begin([])
address = reserve()
c_mprotect(address + (1 << 30), 10 * MIB, RW)
c_memset(address + (1 << 30), 1, 10 * MIB)
tracker.end()
print(address == FAILED)
""")
    assert result.output == "False"
    assert_about(result.current_in("reserve"), 10 * MIB)


def test_of_memory_without_reserve_the_touched_pages_count(run: RunTracked) -> None:
    result = run(f"""{LIBC}
def reserve(): return c_mmap(None, 1 << 30, *UNRESERVED)
def unused(): return c_mmap(None, 1 << 30, *UNRESERVED)
tracker.begin([])
address = reserve()
other = unused()
c_memset(address + (100 << 20), 1, 7 * MIB)
tracker.end()
""")
    assert_about(result.current_in("reserve"), 7 * MIB)
    assert result.current_in("unused") < SLACK


def test_of_a_large_mapping_the_touched_pages_count_and_the_rest_is_told(run: RunTracked) -> None:
    result = run(f"""{LIBC}
def like_openblas(): return c_mmap(None, 64 * MIB, *MEMORY)
def used(): return c_mmap(None, 32 * MIB, *MEMORY)
tracker.begin([])
like_openblas()
c_memset(used(), 1, 32 * MIB)
tracker.end()
""")
    assert result.current_in("like_openblas") < SLACK
    assert_about(result.current_in("used"), 32 * MIB)
    assert 64 * MIB <= result.untouched <= 96 * MIB


def test_pages_that_an_allocator_gives_back_do_not_count(run: RunTracked) -> None:
    result = run(f"""{LIBC}
def allocate(): return c_mmap(None, 20 * MIB, *MEMORY)
tracker.begin([])
address = allocate()
c_memset(address, 1, 20 * MIB)
c_madvise(address + 4 * MIB, 12 * MIB, DONTNEED)
tracker.end()
""")
    assert_about(result.current_in("allocate"), 8 * MIB)
    assert_about(result.peak_in("allocate"), 20 * MIB)


def test_memory_made_inaccessible_is_still_in_memory(run: RunTracked) -> None:
    result = run(f"""{LIBC}
def allocate(): return c_mmap(None, 20 * MIB, *MEMORY)
tracker.begin([])
address = allocate()
c_memset(address, 1, 20 * MIB)
c_mprotect(address, 12 * MIB, NONE)
tracker.end()
""")
    assert_about(result.current_in("allocate"), 20 * MIB)


# Parts


def test_parts_of_a_mapping_that_are_unmapped_or_replaced_are_exact(run: RunTracked) -> None:
    result = run(f"""{LIBC}
def allocate(): return c_mmap(None, 100 * 4096, *MEMORY)
def replace(address): return c_mmap(address, 10 * 4096, RW, PRIVATE | ANONYMOUS | FIXED, -1, 0)
def replace_by_reservation(address): return c_mmap(address, 5 * 4096, NONE, PRIVATE | ANONYMOUS | FIXED, -1, 0)
tracker.begin([])
address = allocate()
c_munmap(address + 20 * 4096, 30 * 4096)
c_munmap(address, 1)
replace(address + 60 * 4096)
replace_by_reservation(address + 90 * 4096)
tracker.end()
""")
    assert_about(result.current_in("allocate"), (100 - 30 - 1 - 10 - 5) * PAGE)
    assert_about(result.current_in("replace"), 10 * PAGE)
    assert result.current_in("replace_by_reservation") < SLACK


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("c_mremap(address, 8 * MIB, 20 * MIB, MAYMOVE, None)", 20 * MIB),
        ("c_mremap(address, 8 * MIB, 3 * MIB, 0, None)", 3 * MIB),
        ("c_mremap(address, 8 * MIB, 8 * MIB, MAYMOVE | MOVE_TO, room)", 8 * MIB),
    ],
)
def test_a_moved_or_resized_mapping_is_the_last_lines(run: RunTracked, how: str, expected: int) -> None:
    result = run(f"""{LIBC}
def allocate(): return c_mmap(None, 8 * MIB, *MEMORY)
def change(address): return {how}
tracker.begin([])
address = allocate()
room = c_mmap(None, 8 * MIB, *RESERVATION)
assert change(address) != FAILED
tracker.end()
""")
    assert_about(result.current_in("change"), expected)
    assert result.current_in("allocate") < SLACK


def test_half_a_mapping_can_move_away(run: RunTracked) -> None:
    result = run(f"""{LIBC}
def allocate(): return c_mmap(None, 8 * MIB, *MEMORY)
def move(address): return c_mremap(address, 3 * MIB, 3 * MIB, MAYMOVE | MOVE_TO, room)
room = c_mmap(None, 8 * MIB, *RESERVATION)
tracker.begin([])
address = allocate()
assert move(address + 2 * MIB) == room
tracker.end()
""")
    assert_about(result.current_in("allocate"), 5 * MIB)
    assert_about(result.current_in("move"), 3 * MIB)


def test_a_mapping_whose_pages_moved_away_counts_no_more(run: RunTracked) -> None:
    result = run(f"""{LIBC}
def allocate(): return c_mmap(None, 8 * MIB, *MEMORY)
def move(address): return c_mremap(address, 8 * MIB, 8 * MIB, MAYMOVE | DONTUNMAP, None)
tracker.begin([])
address = allocate()
c_memset(address, 1, 8 * MIB)
assert move(address) != FAILED
tracker.end()
""")
    assert result.current_in("allocate") < SLACK
    assert_about(result.current_in("move"), 8 * MIB)


def test_a_failed_mremap_changes_nothing(run: RunTracked) -> None:
    result = run(f"""{LIBC}
def allocate(): return c_mmap(None, 8 * MIB, *MEMORY)
def fail(address): return c_mremap(address, 8 * MIB, 1 << 60, MAYMOVE, None)
tracker.begin([])
address = allocate()
print(fail(address) == FAILED)
tracker.end()
""")
    assert result.output == "True"
    assert_about(result.current_in("allocate"), 8 * MIB)
    assert result.current_in("fail") < SLACK


def test_a_resized_mapping_of_shared_memory_stays_shared_memory(run: RunTracked) -> None:
    result = run("""
        import mmap
        def grow(mapping): mapping.resize(9 << 20)
        tracker.begin([])
        mapping = mmap.mmap(-1, 4 << 20)
        try:
            grow(mapping)
        except (OSError, ValueError):
            # CPython 3.13 and later refuse what the kernel would not fill with memory.
            print("refused")
        tracker.end()
    """)
    assert result.mapped("grow", "shared-memory") == ({} if result.output else {"": 9 * MIB})


def test_the_program_break_counts_where_the_program_moves_it_itself(run: RunTracked) -> None:
    result = run(f"""{LIBC}
def grow(): return sbrk(3 * MIB)
def set_break(): return brk(start + 5 * MIB)
sbrk(0); brk(sbrk(0))
tracker.begin([])
start = grow()
set_break()
sbrk(-MIB)
tracker.end()
""")
    assert_about(result.current_in("grow"), 3 * MIB)
    assert_about(result.current_in("set_break"), MIB)


def test_what_was_mapped_before_the_session_is_not_counted_when_it_changes(run: RunTracked) -> None:
    result = run(f"""{LIBC}
address = c_mmap(None, 8 * MIB, *MEMORY)
reserved = c_mmap(None, 8 * MIB, *RESERVATION)
tracker.begin([])
c_mprotect(reserved, 8 * MIB, RW)
c_memset(reserved, 1, 8 * MIB)
c_madvise(address, 4 * MIB, DONTNEED)
c_munmap(address, 2 * MIB)
tracker.end()
""")
    assert result.peak < 100_000
