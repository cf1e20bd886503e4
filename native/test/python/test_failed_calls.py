"""Calls that the kernel refuses leave the figures as they were."""

from __future__ import annotations

import pytest
from conftest import RunTracked
from test_mappings import LIBC, assert_about

MIB = 1 << 20


@pytest.mark.parametrize(
    "call",
    [
        "c_munmap(address + 1, 4 * MIB)",
        "c_mmap(address, 4 * MIB, RW, PRIVATE | FIXED, 999, 0)",
        "c_mmap(address + 1, 4 * MIB, RW, PRIVATE | ANONYMOUS | FIXED, -1, 0)",
        "c_mremap(address + 1, 4 * MIB, 100 * MIB, MAYMOVE, None)",
        # Beyond the mapping's end: what was never mapped must not count afterwards.
        "c_mremap(address, 8000 * MIB, 9000 * MIB, MAYMOVE, None)",
        "c_mremap(address, 8 * MIB, 100 * MIB, MAYMOVE | MOVE_TO, address + 1)",
    ],
)
def test_a_refused_call_leaves_its_mapping_counted(run: RunTracked, call: str) -> None:
    result = run(f"""{LIBC}
def allocate(): return c_mmap(None, 8 * MIB, *MEMORY)
def refused(address): return {call}
tracker.begin([])
address = allocate()
print(refused(address) in (-1, FAILED))
tracker.end()
""")
    assert result.output == "True"
    assert_about(result.current_in("allocate"), 8 * MIB)
    assert_about(result.peak_in("allocate"), 8 * MIB)
    assert result.current_in("refused") < 10_000


# Three mappings side by side, of a function each, behind a page that is not mapped; of the third one MiB was touched.
THREE = f"""{LIBC}
c_mincore = declare("mincore", I, P, N, P)
page = c_mmap(None, 13 * MIB, *RESERVATION)
address = page + 4096
c_munmap(page, 4096)
def first(): return c_mmap(address, 4 * MIB, RW, PRIVATE | ANONYMOUS | FIXED, -1, 0)
def second(): return c_mmap(address + 4 * MIB, 4 * MIB, RW, SHARED | ANONYMOUS | FIXED, -1, 0)
def third(): return c_mmap(address + 8 * MIB, 4 * MIB, RW, PRIVATE | ANONYMOUS | FIXED | NORESERVE, -1, 0)
def is_there(place): return c_mincore(place, 1, ctypes.create_string_buffer(1)) == 0
is_there(address)
tracker.begin([])
first(), second(), c_memset(third(), 1, MIB)
"""


@pytest.mark.parametrize(
    "call",
    [
        # More than there is of addresses; one more and it begins again from below.
        "c_munmap(address, 1 << 62)",
        "c_munmap(address + 4096, (1 << 64) - 4 * 4096)",
        "c_munmap(address, 0)",
        "c_mremap(address, 8000 * MIB, 9000 * MIB, MAYMOVE, None)",
        "c_mremap(address, 12 * MIB, 1 << 62, MAYMOVE, None)",
        "c_mmap(address, 12 * MIB, RW, PRIVATE | FIXED, 999, 0)",
        "c_mmap(page, 12 * MIB, RW, PRIVATE | FIXED, 999, 0)",
    ],
)
def test_a_refused_call_leaves_all_mappings_counted_that_it_was_about(run: RunTracked, call: str) -> None:
    result = run(f"""{THREE}
def refused(): return {call}
print(refused() in (-1, FAILED), is_there(address))
tracker.end()
""")
    assert result.output == "True True"
    assert result.degradations == []
    assert_about(result.current_in("first"), 4 * MIB)
    assert sum(result.mapped("second", "shared-memory").values()) == 4 * MIB
    assert_about(result.current_in("third"), MIB)
    assert result.current_in("refused") < 10_000
    assert "munmap(address, 1 " not in call or result.took("several_mappings_restored")


def test_of_what_a_refused_mremap_was_to_replace_counts_what_is_left(run: RunTracked) -> None:
    # Nothing is mapped so low. Some versions of the kernel clear the place before they look at what is to move there.
    result = run(f"""{THREE}
print(c_mremap(MIB, 4096, 8 * MIB, MAYMOVE | MOVE_TO, address) == FAILED, is_there(address))
tracker.end()
""")
    failed, is_there = result.output.split()
    assert failed == "True"
    left = is_there == "True"
    assert_about(result.current_in("first"), 4 * MIB if left else 0)
    assert sum(result.mapped("second", "shared-memory").values()) == (4 * MIB if left else 0)
    assert_about(result.current_in("third"), MIB)


def test_a_refused_call_leaves_hundreds_of_mappings_counted(run: RunTracked) -> None:
    result = run(f"""{LIBC}
area = c_mmap(None, 500 * 65536, *RESERVATION)
def map_all():
    for number in range(500):
        c_mmap(area + number * 65536, 65536, RW, PRIVATE | ANONYMOUS | FIXED, -1, 0)
tracker.begin([])
map_all()
print(c_munmap(area, 1 << 62), c_munmap(area + 65536, 1 << 62))
tracker.end()
""")
    assert result.output == "-1 -1"
    assert result.degradations == []
    assert_about(result.current_in("map_all"), 500 * 65536)


def test_a_break_that_is_refused_leaves_what_lies_below_it(run: RunTracked) -> None:
    # The C library says that it is done.
    result = run(f"""{LIBC}
def extend(): return sbrk(4 * MIB)
tracker.begin([])
before = extend()
print(brk(4096), sbrk(-(1 << 40)) is not None, sbrk(0) == before + 4 * MIB)
brk(before + MIB)
tracker.end()
brk(before)
""")
    assert result.output == "0 True True"
    assert_about(result.current_in("extend"), MIB)


def test_a_refused_shmdt_leaves_its_segment_counted(run: RunTracked) -> None:
    result = run(f"""{LIBC}
identifier = shmget(0, 4 * MIB, 0o1600)
def attach(): return shmat(identifier, None, 0)
tracker.begin([])
address = attach()
shmctl(identifier, 0, None)
print(shmdt(address + 4096))
tracker.end()
""")
    assert result.output == "-1"
    assert sum(result.mapped("attach", "shared-memory").values()) == 4 * MIB


def test_a_mapping_that_an_unknown_one_moves_onto_is_gone(run: RunTracked) -> None:
    result = run(f"""{LIBC}
def allocate(): return c_mmap(None, 8 * MIB, *MEMORY)
unknown = c_mmap(None, 3 * MIB, *MEMORY)
tracker.begin([])
address = allocate()
print(c_mremap(unknown, 3 * MIB, 3 * MIB, MAYMOVE | MOVE_TO, address) == address)
tracker.end()
""")
    assert result.output == "True"
    assert_about(result.current_in("allocate"), 5 * MIB)


def test_a_munmap_that_would_make_too_many_mappings_changes_nothing(run: RunTracked) -> None:
    # Every second page is made inaccessible until the kernel has no more room for pieces; cutting once more is refused.
    result = run(f"""{LIBC}
most = int(open("/proc/sys/vm/max_map_count").read())
area = c_mmap(None, 6 * MIB, *MEMORY)
def allocate(place): return c_mmap(place, 2 * MIB, RW, PRIVATE | ANONYMOUS | FIXED, -1, 0)
pieces = c_mmap(None, (most + 100) * 4096, *MEMORY)
tracker.begin([])
address = allocate(area)
allocate(area + 2 * MIB)
allocate(area + 4 * MIB)
page = 0
while page < most + 100 and c_mprotect(pieces + page * 4096, 4096, NONE) == 0:
    page += 2
print(c_munmap(address + MIB, 4 * MIB))
tracker.end()
c_munmap(pieces, (most + 100) * 4096)
""")
    if result.output == "-1":
        assert_about(result.current_in("allocate"), 6 * MIB)
    else:
        # This machine allows more mappings than address space was cut up.
        assert_about(result.current_in("allocate"), 2 * MIB)
