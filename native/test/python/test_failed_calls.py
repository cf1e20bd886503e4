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
def allocate(): return c_mmap(None, 6 * MIB, *MEMORY)
pieces = c_mmap(None, (most + 100) * 4096, *MEMORY)
tracker.begin([])
address = allocate()
page = 0
while page < most + 100 and c_mprotect(pieces + page * 4096, 4096, NONE) == 0:
    page += 2
print(c_munmap(address + 4 * MIB, MIB))
tracker.end()
c_munmap(pieces, (most + 100) * 4096)
""")
    if result.output == "-1":
        assert_about(result.current_in("allocate"), 6 * MIB)
    else:
        # This machine allows more mappings than address space was cut up.
        assert_about(result.current_in("allocate"), 5 * MIB)
