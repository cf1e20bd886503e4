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
