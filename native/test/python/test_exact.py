"""Programs whose memory is known are reported to the byte."""

from __future__ import annotations

from conftest import RunTracked

# sys.getsizeof(b"") is 33: a bytes object of n takes n + 33.
BYTES_HEADER = 33


def test_a_block_above_512_bytes_is_reported_to_the_byte(run: RunTracked) -> None:
    result = run("""
        def allocate():
            return bytes(1_000_003)
        tracker.begin([])
        kept = allocate()
        tracker.end()
    """)
    assert result.peak_in("allocate") == 1_000_003 + BYTES_HEADER
    assert result.current_in("allocate") == 1_000_003 + BYTES_HEADER
    assert result.degradations == []


def test_memory_freed_before_the_peak_is_not_in_the_report(run: RunTracked) -> None:
    result = run("""
        def early(): return bytes(3_000_000)
        def late(): return bytes(5_000_000)
        tracker.begin([])
        a = early()
        del a
        b = late()
        tracker.end()
    """)
    assert result.peak_in("early") == 0
    assert result.peak_in("late") == 5_000_000 + BYTES_HEADER


def test_memory_freed_after_the_peak_is_in_the_report_but_not_retained(run: RunTracked) -> None:
    result = run("""
        def first(): return bytes(3_000_000)
        def second(): return bytes(5_000_000)
        tracker.begin([])
        a = first()
        b = second()
        del a
        c = bytes(1_000_000)
        tracker.end()
    """)
    assert result.peak_in("first") == 3_000_000 + BYTES_HEADER
    assert result.current_in("first") == 0
    assert result.current_in("second") == 5_000_000 + BYTES_HEADER


def test_memory_from_before_the_session_is_not_counted_and_may_be_freed_in_it(run: RunTracked) -> None:
    result = run("""
        before = [bytes(2_000_000) for _ in range(10)]
        tracker.begin([])
        before.clear()
        tracker.end()
    """)
    assert result.peak < 10_000


def test_every_function_of_the_malloc_family_is_counted(run: RunTracked) -> None:
    result = run("""
        import ctypes
        libc = ctypes.CDLL(None)
        P, N = ctypes.c_void_p, ctypes.c_size_t
        def declare(name, *arguments):
            function = getattr(libc, name)
            function.restype, function.argtypes = P, arguments
            return function
        malloc, calloc, realloc = declare("malloc", N), declare("calloc", N, N), declare("realloc", P, N)
        reallocarray, free = declare("reallocarray", P, N, N), declare("free", P)
        aligned_alloc, memalign = declare("aligned_alloc", N, N), declare("memalign", N, N)
        valloc, pvalloc = declare("valloc", N), declare("pvalloc", N)
        posix_memalign = libc.posix_memalign
        posix_memalign.argtypes = [ctypes.POINTER(P), N, N]
        def by_malloc(): return malloc(1001)
        def by_calloc(): return calloc(3, 1001)
        def by_realloc(p): return realloc(p, 7001)
        def by_reallocarray(): return reallocarray(None, 5, 1001)
        def by_aligned_alloc(): return aligned_alloc(64, 6400)
        def by_memalign(): return memalign(64, 1002)
        def by_valloc(): return valloc(1003)
        def by_pvalloc(): return pvalloc(5000)
        def by_posix_memalign():
            p = P()
            assert posix_memalign(ctypes.byref(p), 64, 1004) == 0
            return p
        tracker.begin([])
        grown = by_realloc(by_malloc())
        kept = [by_calloc(), by_reallocarray(), by_aligned_alloc(), by_memalign(), by_valloc(), by_pvalloc()]
        kept.append(by_posix_memalign())
        large = malloc(100_000)
        free(large)
        tracker.end()
    """)
    # ctypes' own small objects come on top for some: compare in whole blocks of 500 bytes.
    assert result.current_in("by_malloc") < 500
    assert 3003 <= result.current_in("by_calloc") < 3503
    assert 7001 <= result.current_in("by_realloc") < 7501
    assert 5005 <= result.current_in("by_reallocarray") < 5505
    assert 6400 <= result.current_in("by_aligned_alloc") < 6900
    assert 1002 <= result.current_in("by_memalign") < 1502
    assert 1003 <= result.current_in("by_valloc") < 1503
    assert 8192 <= result.current_in("by_pvalloc") < 8692
    assert 1004 <= result.current_in("by_posix_memalign") < 2004
    assert result.current_in("<module>") < 50_000


def test_a_failed_realloc_keeps_the_old_block_counted(run: RunTracked) -> None:
    result = run("""
        import ctypes
        libc = ctypes.CDLL(None)
        P, N = ctypes.c_void_p, ctypes.c_size_t
        libc.malloc.restype, libc.malloc.argtypes = P, [N]
        libc.realloc.restype, libc.realloc.argtypes = P, [P, N]
        def allocate(): return libc.malloc(1_000_000)
        tracker.begin([])
        block = allocate()
        failed = libc.realloc(block, 1 << 60)
        tracker.end()
        print(failed)
    """)
    assert result.output == "None"
    assert 1_000_000 <= result.current_in("allocate") < 1_001_000


def test_anonymous_mappings_are_counted_until_they_are_unmapped(run: RunTracked) -> None:
    result = run("""
        import mmap
        def keep(): return mmap.mmap(-1, 10 << 20)
        def give_back(): mmap.mmap(-1, 30 << 20).close()
        def grow(mapping): mapping.resize(20 << 20)
        tracker.begin([])
        give_back()
        kept = keep()
        tracker.end()
    """)
    assert 30 << 20 <= result.peak_in("give_back") < (30 << 20) + 1000
    assert result.current_in("give_back") < 1000
    assert 10 << 20 <= result.current_in("keep") < (10 << 20) + 1000


def test_a_resized_mapping_is_counted_at_its_new_size(run: RunTracked) -> None:
    result = run("""
        import mmap
        def grow(mapping): mapping.resize(20 << 20)
        tracker.begin([])
        mapping = mmap.mmap(-1, 10 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        grow(mapping)
        tracker.end()
    """)
    assert result.current_in("grow") >= 20 << 20
    assert 20 << 20 <= result.current < (20 << 20) + 10_000


def test_reserved_address_space_is_not_memory_in_use(run: RunTracked) -> None:
    result = run("""
        import mmap
        MAP_NORESERVE = 0x4000
        tracker.begin([])
        reserved = mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE)
        tracker.end()
    """)
    assert result.peak < 1 << 20


def test_blocks_of_more_than_32_gib_are_counted(run: RunTracked) -> None:
    result = run("""
        import ctypes
        libc = ctypes.CDLL(None)
        libc.calloc.restype, libc.calloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t, ctypes.c_size_t]
        libc.free.argtypes = [ctypes.c_void_p]
        def huge(): return libc.calloc(1, (40 << 30) + 1)
        tracker.begin([])
        block = huge()
        if block is None:
            print("refused by the system")
        libc.free(block)
        tracker.end()
    """)
    if result.output != "refused by the system":
        assert (40 << 30) + 1 <= result.peak_in("huge") < (40 << 30) + 1000
    assert result.current < 10_000
