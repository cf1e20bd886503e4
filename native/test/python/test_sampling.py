"""Sampled sessions: large blocks to the byte, small ones within the interval, the program as without us."""

from __future__ import annotations

import math

import pytest
from conftest import Run, RunTracked

SAMPLED = {"FIL_SAMPLING": "1"}
MEAN = 16 << 10
BYTES_HEADER = 33


def assert_estimates(estimate: float, truth: float, mean: int = MEAN) -> None:
    """Within five standard deviations of a Poisson sample: once in two million runs not."""
    assert abs(estimate - truth) <= 5 * math.sqrt(mean * truth), (estimate, truth)


def test_large_blocks_are_counted_to_the_byte(run: RunTracked) -> None:
    result = run(
        f"""
        def allocate(): return [bytes(40_000) for _ in range(100)]
        def grow():
            block = bytearray(50_000)
            block += bytes(70_000)
            return block
        def gone(): return bytes(90_000)
        tracker.begin([], {MEAN})
        kept = [allocate(), grow()]
        gone()
        tracker.end()
        """,
        environment=SAMPLED,
    )
    blocks = sum(site.current for site in result.sites if any("allocate" in name for name in site.functions))
    assert blocks >= 100 * (40_000 + BYTES_HEADER)
    assert blocks - 100 * (40_000 + BYTES_HEADER) <= 3 * MEAN
    assert result.current_in("gone") == 0


def test_small_objects_of_every_kind_are_estimated(run: RunTracked) -> None:
    source = """
        def objects(): return [object() for _ in range(400_000)]
        def numbers(): return [n for n in range(10**6, 10**6 + 300_000)]
        def texts(): return [str(n) for n in range(10**6, 10**6 + 200_000)]
        def tables(): return [{"a": n} for n in range(60_000)]
        def blobs(): return [bytes(5_000) for _ in range(3_000)]
        tracker.begin([], MEAN)
        kept = [objects(), numbers(), texts(), tables(), blobs()]
        tracker.end()
    """
    exact = run(source.replace("MEAN", "0"))
    sampled = run(source.replace("MEAN", str(MEAN)), environment=SAMPLED)
    for name in ("objects", "numbers", "texts", "tables", "blobs"):
        assert_estimates(_below(sampled, name), _below(exact, name))
    assert_estimates(sampled.peak, exact.peak)
    assert sampled.degradations == []


def test_intervals_have_what_the_exact_tracker_counts(run: RunTracked) -> None:
    """In at least 90 % of runs with fixed seeds; `npm run prove:sampling` looks at a hundred of larger programs."""
    source = """
        def texts(): return [str(n) for n in range(10**6, 10**6 + 40_000)]
        def blobs(): return [bytes(n % 4_000) for n in range(2_000)]
        def mixed(): return [bytearray(10 + n * n % 60_000) for n in range(400)]
        tracker.begin([], MEAN)
        kept = [texts(), blobs(), mixed()]
        tracker.end()
    """
    names = ("texts", "blobs", "mixed")
    mean = 4096
    exact = run(source.replace("MEAN", "0"))
    covered, ratios, rounds = 0, [], 14
    for seed in range(1, rounds + 1):
        sampled = run(source.replace("MEAN", str(mean)), environment={**SAMPLED, "FIL_SAMPLING_SEED": str(seed)})
        figures = [(exact.peak, sampled.peak)] + [(_below(exact, name), _below(sampled, name)) for name in names]
        covered += sum(abs(truth - held) <= 2.2 * math.sqrt(mean * held) for truth, held in figures)
        ratios.append(sampled.peak / exact.peak)
    assert covered >= 0.9 * rounds * 4
    assert abs(sum(ratios) / rounds - 1) < 0.01


def _below(result: Run, function: str) -> int:
    return sum(site.peak for site in result.sites if function in site.functions)


def test_memory_that_was_freed_is_not_counted_any_more(run: RunTracked) -> None:
    result = run(
        f"""
        import gc
        tracker.begin([], {MEAN})
        for _ in range(5):
            rows = [dict(n=n, t=str(n)) for n in range(100_000)]
            texts = [b"x" * (n % 3000) for n in range(5_000)]
            grown = []
            for n in range(200_000):
                grown.append(n)
            del rows, texts, grown
            gc.collect()
        tracker.end()
        """,
        environment=SAMPLED,
    )
    assert result.peak > 20_000_000
    assert result.current < 200_000


def test_blocks_that_change_their_size_are_counted_once(run: RunTracked) -> None:
    """Across the limit of pymalloc in both directions, in place or not, sampled or not."""
    result = run(
        """
        import ctypes
        api = ctypes.PyDLL(None)
        for name in ("PyMem_Malloc", "PyMem_Calloc", "PyMem_Realloc", "PyMem_Free"):
            getattr(api, name).restype = ctypes.c_void_p
        api.PyMem_Malloc.argtypes = [ctypes.c_size_t]
        api.PyMem_Calloc.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
        api.PyMem_Realloc.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        api.PyMem_Free.argtypes = [ctypes.c_void_p]
        sizes = [1, 8, 100, 400, 512, 513, 600, 3000, 500, 70_000, 200, 40_000, 33, 512]
        wrong = 0
        tracker.begin([], 256)
        kept = []
        for number in range(3_000):
            block = api.PyMem_Calloc(1, 24) if number % 2 else api.PyMem_Malloc(24)
            if number % 2:
                wrong += ctypes.string_at(block, 24) != bytes(24)
            ctypes.memset(block, number % 251, 24)
            have = 24
            for size in sizes:
                block = api.PyMem_Realloc(block, size)
                same = min(have, size, 24)
                wrong += ctypes.string_at(block, same) != bytes([number % 251]) * same
                ctypes.memset(block, number % 251, size)
                have = size
            if number % 3 == 0:
                kept.append(block)
            else:
                api.PyMem_Free(block)
        tracker.end()
        print(wrong)
        """,
        environment=SAMPLED,
    )
    assert result.output == "0"
    # 1000 blocks of 512 bytes, and the program's own few objects.
    assert 450_000 < result.current < 750_000


def test_python_counts_its_blocks_as_without_us(run: RunTracked) -> None:
    result = run(
        """
        import sys
        def use():
            kept = [object() for _ in range(200_000)]
            kept = [list(range(5)) for _ in range(10_000)]
        use()
        before = sys.getallocatedblocks()
        tracker.begin([], 1024)
        use()
        inside = [object() for _ in range(50_000)]
        tracker.end()
        del inside
        print(abs(sys.getallocatedblocks() - before) < 500)
        """,
        environment=SAMPLED,
    )
    assert result.output == "True"


def test_threads_are_sampled_each_and_blocks_may_be_freed_by_others(run: RunTracked) -> None:
    result = run(
        f"""
        import threading
        lists = [[] for _ in range(4)]
        def fill(to): to.extend(bytes(2000) for _ in range(10_000))
        tracker.begin([], {MEAN})
        threads = [threading.Thread(target=fill, args=(each,)) for each in lists]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        half = threading.Thread(target=lambda: (lists[0].clear(), lists[1].clear()))
        half.start(); half.join()
        tracker.end()
        """,
        environment=SAMPLED,
    )
    block = 2000 + BYTES_HEADER
    assert_estimates(_below(result, "fill"), 40_000 * block + 4 * 85_000)
    assert_estimates(result.current, 20_000 * block + 2 * 85_000)


@pytest.mark.parametrize("allocator", ["malloc", "pymalloc", "debug"])
def test_another_allocator_of_python_is_left_alone(run: RunTracked, allocator: str) -> None:
    result = run(
        f"""
        def texts(): return [str(n) * 40 for n in range(10**5, 10**5 + 20_000)]
        tracker.begin([], {MEAN})
        kept = [texts(), bytes(100_000)]
        tracker.end()
        """,
        environment={**SAMPLED, "PYTHONMALLOC": allocator},
    )
    assert result.code == 0
    if allocator == "debug":
        assert result.degradations == ["small-objects-missing"]
    else:
        assert result.degradations == []
        assert result.current > 3_000_000


def test_tracemalloc_may_come_and_go(run: RunTracked) -> None:
    result = run(
        """
        import tracemalloc
        def rows(): return [str(n) * 10 for n in range(50_000)]
        tracker.begin([], 1024)
        tracemalloc.start()
        kept = rows()
        size, _ = tracemalloc.get_traced_memory()
        tracker.end()
        more = rows()
        tracemalloc.stop()
        tracker.begin([], 1024)
        again = rows()
        tracker.end()
        print(4_000_000 < size < 7_000_000)
        """,
        environment=SAMPLED,
    )
    assert (result.code, result.output) == (0, "True")


def test_exact_and_sampled_sessions_may_alternate(run: RunTracked) -> None:
    result = run(
        f"""
        def rows(): return [str(n) * 10 for n in range(20_000)]
        kept = []
        for number in range(60):
            tracker.begin([], {MEAN} if number % 2 else 0)
            kept.append(rows())
            if number > 20: kept.pop(0)
            tracker.end()
        kept.clear()
        tracker.begin([])
        def known(): return bytes(1_000_003)
        last = known()
        tracker.end()
        """,
        environment=SAMPLED,
    )
    assert result.code == 0
    assert result.current_in("known") == 1_000_003 + BYTES_HEADER


def test_a_process_that_was_not_started_to_be_sampled_says_so(run: RunTracked) -> None:
    result = run("""
        try:
            tracker.begin([], 65536)
        except tracker.TrackerError as reason:
            print(reason)
    """)
    assert "sampler's tables" in result.output


def test_a_forked_child_runs_on_untracked(run: RunTracked) -> None:
    result = run(
        """
        import os
        tracker.begin([], 1024)
        kept = [str(n) for n in range(100_000)]
        child = os.fork()
        if child == 0:
            kept.clear()
            more = [str(n) * 5 for n in range(100_000)]
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        tracker.end()
        """,
        environment=SAMPLED,
    )
    assert result.output == "7"
    assert result.current > 4_000_000
