"""What a Python process can get into besides plain calls."""

from __future__ import annotations

import subprocess

import pytest
from conftest import RunTracked


def test_a_trace_function_and_a_profile_function_change_nothing(run: RunTracked) -> None:
    result = run("""
        import sys
        calls = 0
        def trace(frame, event, argument):
            global calls
            calls += 1
            return trace
        def inner(): return bytes(1_000_000)
        def outer():
            return inner()
        tracker.begin([])
        sys.settrace(trace); sys.setprofile(lambda *_: None)
        kept = outer()
        sys.settrace(None); sys.setprofile(None)
        tracker.end()
        print(calls > 4)
    """)
    assert result.output == "True"
    (site,) = [site for site in result.sites if site.current > 900_000]
    assert site.functions == ["<module>", "outer", "inner"]


def test_a_subinterpreter_runs_and_is_counted(run: RunTracked) -> None:
    result = run("""
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        other = interpreters.create()
        tracker.begin([])
        for _ in range(20):
            interpreters.run_string(other, "kept = bytes(1_000_000)")
        tracker.end()
        interpreters.destroy(other)
        print("fine")
    """)
    assert result.output == "fine"
    assert 1_000_000 <= result.peak < 5_000_000


def test_tracking_can_not_be_begun_in_a_subinterpreter(run: RunTracked) -> None:
    result = run("""
        import sys
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        code = "\\n".join([
            f"import sys; sys.path[:] = {sys.path!r}",
            "try:",
            "    from filprofiler import _tracker; _tracker.begin([])",
            "except Exception as error:",
            "    print(type(error).__name__, flush=True)",
        ])
        interpreters.run_string(interpreters.create(), code)
    """)
    # ctypes itself refuses interpreters with a GIL of their own.
    assert result.output in ("TrackerError", "ImportError")
    assert result.peak == 0


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_every_start_method_of_multiprocessing_works(run: RunTracked, method: str) -> None:
    result = run(f"""
        import multiprocessing, sys
        def square(n): return n * n
        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            tracker.begin([])
            with context.Pool(2) as pool:
                print(pool.map(square, range(5)))
            tracker.end()
    """)
    assert result.output.splitlines()[-1] == "[0, 1, 4, 9, 16]"
    assert result.code == 0


def test_begin_and_end_take_less_than_100_microseconds_when_nothing_is_live(run: RunTracked) -> None:
    result = run("""
        import time
        for _ in range(20):
            tracker.begin([]); tracker.end()
        best = 1.0
        for _ in range(50):
            start = time.perf_counter()
            tracker.begin([]); tracker.end()
            best = min(best, time.perf_counter() - start)
        print(best)
    """)
    assert float(result.output) < 100e-6


def test_greenlets_keep_their_stacks_apart(run: RunTracked, python: str) -> None:
    has_greenlet = subprocess.run([python, "-c", "import greenlet"], capture_output=True, check=False).returncode == 0
    if not has_greenlet:
        pytest.skip("this Python has no greenlet")
    result = run("""
        from greenlet import greenlet
        kept = []
        def left():
            kept.append(bytes(1_000_000)); right_one.switch(); left_again()
        def left_again():
            kept.append(bytes(2_000_000)); right_one.switch()
        def right():
            kept.append(bytes(3_000_000)); left_one.switch(); right_again()
        def right_again():
            kept.append(bytes(4_000_000))
        tracker.begin([])
        left_one, right_one = greenlet(left), greenlet(right)
        left_one.switch()
        tracker.end()
    """)
    own = {name: result.current_in(name) // 1_000_000 for name in ("left", "left_again", "right", "right_again")}
    assert own == {"left": 1, "left_again": 2, "right": 3, "right_again": 4}
    (site,) = [site for site in result.sites if site.functions[-1] == "left_again"]
    assert site.functions[-2:] == ["left", "left_again"]


def test_interpreters_with_a_gil_of_their_own_run_while_tracking_begins_and_ends(run: RunTracked) -> None:
    result = run("""
        import sys, threading
        if sys.version_info < (3, 12):
            # One GIL for all: the interpreters take turns.
            counts = [1] * 3
        else:
            try:
                import _interpreters as interpreters
            except ImportError:
                import _xxsubinterpreters as interpreters
            code = "total = 0\\nfor number in range(100_000): total += len([str(number)] * 3)"
            def work():
                other = interpreters.create()
                interpreters.run_string(other, code)
                interpreters.destroy(other)
                counts.append(1)
            counts = []
            threads = [threading.Thread(target=work) for _ in range(3)]
            for thread in threads: thread.start()
            while any(thread.is_alive() for thread in threads):
                tracker.begin([])
                kept = [bytes(1000) for _ in range(50)]
                tracker.end()
            for thread in threads: thread.join()
        print(len(counts))
        def known(): return bytes(1_000_003)
        tracker.begin([])
        kept = known()
        tracker.end()
    """)
    assert (result.code, result.output) == (0, "3")
    assert result.current_in("known") == 1_000_003 + 33


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONMALLOC": "malloc"},
        {"PYTHONMALLOC": "debug"},
        {"PYTHONMALLOC": "malloc_debug"},
        {"PYTHONDEVMODE": "1"},
        {"PYTHONTRACEMALLOC": "3"},
    ],
)
def test_whatever_allocator_python_is_told_to_use_blocks_have_the_size_that_was_asked_for(
    run: RunTracked, environment: dict[str, str]
) -> None:
    result = run(
        """
        def known(): return bytes(1_000_003)
        def small(): return tuple(object() for _ in range(1000))
        tracker.begin([])
        kept = known(), small()
        tracker.end()
        """,
        environment=environment,
    )
    assert result.code == 0
    # tracemalloc's own notes come on top.
    assert 1_000_003 + 33 <= result.current_in("known") < 1_000_003 + 33 + 200
    assert result.current_in("small.<locals>.<genexpr>") == 16_000


def test_a_thread_with_the_smallest_stack_has_room_for_the_tracker(run: RunTracked) -> None:
    result = run("""
        import mmap, threading
        try:
            threading.stack_size(32768)
        except ValueError:
            # CPython 3.14 and later want more for themselves.
            threading.stack_size(65536)
        def work():
            kept.append([bytes(1000), bytes(100_000)])
            mmap.mmap(-1, 1 << 20).close()
            with open("/proc/self/exe", "rb") as file:
                mapping = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
            mapping[0:10]
            mapping.close()
        kept = []
        tracker.begin([])
        for _ in range(5):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        tracker.end()
        print(len(kept))
    """)
    assert (result.code, result.output) == (0, "5")
    # Objects that Python keeps from the first use of open() come on top.
    assert 5 * 101_066 <= result.current_in("work") < 5 * 101_066 + 20_000


def test_c_threads_that_are_cancelled_or_exit_end_as_they_would(run: RunTracked) -> None:
    result = run("""
        import ctypes
        libc = ctypes.CDLL(None)
        P = ctypes.c_void_p
        libc.pthread_create.argtypes = [P, P, P, P]
        libc.pthread_join.argtypes = [ctypes.c_ulong, P]
        libc.pthread_cancel.argtypes = [ctypes.c_ulong]
        def ends_with(function, argument, cancel):
            thread, value = ctypes.c_ulong(), ctypes.c_void_p()
            assert libc.pthread_create(ctypes.byref(thread), None, ctypes.cast(function, P), argument) == 0
            if cancel:
                assert libc.pthread_cancel(thread) == 0
            assert libc.pthread_join(thread, ctypes.byref(value)) == 0
            return value.value
        tracker.begin([])
        cancelled = {ends_with(libc.sleep, 100, True) for _ in range(20)}
        exited = {ends_with(libc.pthread_exit, 77, False) for _ in range(20)}
        tracker.end()
        print(cancelled == {(1 << 64) - 1}, exited == {77})
    """)
    assert result.output == "True True"
