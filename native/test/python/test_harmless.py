"""The program behaves as it would without the tracker, whatever it does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from conftest import BUNDLE, REPOSITORY, RunTracked


def test_nothing_of_ours_is_left_in_the_environment(run: RunTracked) -> None:
    result = run("""
        import os, subprocess, sys
        print([name for name in os.environ if name.startswith("FIL_S") or name == "LD_PRELOAD"])
        print(subprocess.check_output(["sh", "-c", "echo $LD_PRELOAD"], text=True).strip() == "")
        print([fd for fd in os.listdir("/proc/self/fd") if "memfd" in os.path.realpath(f"/proc/self/fd/{fd}")])
    """)
    assert result.output.splitlines() == ["[]", "True", "[]"]


def test_the_users_own_preload_stays(run: RunTracked) -> None:
    # Any library will do; libm does nothing when preloaded.
    result = run("import os; print(os.environ['LD_PRELOAD'])", environment={"LD_PRELOAD": "libm.so.6"})
    assert result.output == "libm.so.6"


def test_a_forked_child_does_not_disturb_the_parents_report(run: RunTracked) -> None:
    result = run("""
        import os
        def parent_only(): return bytes(1_000_000)
        def child_only(): return [bytes(5_000_000) for _ in range(10)]
        tracker.begin([])
        kept = parent_only()
        pid = os.fork()
        if pid == 0:
            child_only()
            try:
                tracker.begin([])
            except tracker.TrackerError as error:
                os._exit(7 if "forked" in str(error) else 8)
            os._exit(9)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        tracker.end()
    """)
    assert result.output == "7"
    assert result.took("detached_in_child")
    assert result.peak_in("child_only") == 0
    assert 1_000_000 <= result.peak < 1_100_000


def test_locals_of_deep_frames_are_the_programs_own(run: RunTracked) -> None:
    # The canaries of deep stacks stand where locals() keeps its dict.
    result = run("""
        import gc, sys, weakref
        class Big: pass
        released = []
        def down(depth, seen):
            variable = depth
            filler = [str(i) for i in range(3)]
            if depth == 0:
                filler = [str(i) for i in range(2000)]
                frame, ok = sys._getframe(), True
                while frame.f_code is down.__code__:
                    names = frame.f_locals
                    ok = ok and set(names) >= {"depth", "variable", "seen"} and names["variable"] == names["depth"]
                    frame = frame.f_back
                return ok
            if depth % 7 == 0:
                big = Big(); released.append(weakref.ref(big))
                assert locals()["big"] is big and set(locals()) == {"depth", "seen", "variable", "filler", "big"}
            return down(depth - 1, seen) and locals()["variable"] == depth and "other" not in locals()
        tracker.begin([])
        print(all(down(400, None) for _ in range(5)))
        tracker.end()
        gc.collect()
        print([reference for reference in released if reference() is not None])
    """)
    assert result.errors == ""
    assert result.output.splitlines() == ["True", "[]"]
    assert result.took("canary_planted", "canary_trusted")


def test_tracemalloc_may_start_and_stop_at_any_time(run: RunTracked) -> None:
    result = run("""
        import tracemalloc
        def work(): return [str(i) for i in range(10_000)]
        tracker.begin([]); tracemalloc.start(); work(); tracker.end()
        work(); tracemalloc.stop()
        for _ in range(3):
            tracker.begin([]); kept = work(); tracker.end()
        tracemalloc.start(); tracker.begin([]); work(); tracemalloc.stop(); work(); tracker.end()
        tracker.begin([]); kept = work(); tracker.end()
        print("fine")
    """)
    assert result.output == "fine"
    assert sum(site.current for site in result.sites if "work" in site.functions) > 400_000
    assert result.took("allocator_hook_in_chain")


def test_tracemalloc_that_puts_us_out_of_the_chain_is_said_in_the_report(run: RunTracked) -> None:
    result = run("""
        import tracemalloc
        tracemalloc.start(); tracker.begin([]); tracemalloc.stop(); tracker.end()
    """)
    assert result.degradations == ["allocator-replaced"]
    assert result.took("allocator_hook_lost")


def test_toggling_with_threads_that_allocate_leaves_no_event_in_the_wrong_session(run: RunTracked) -> None:
    result = run("""
        import hashlib, threading, zlib
        stop = False
        def python_thread():
            while not stop:
                [str(i) for i in range(50)]
        def without_gil():
            data = bytes(300_000)
            while not stop:
                zlib.compress(data)
        threads = [threading.Thread(target=f) for f in (python_thread, without_gil)]
        for thread in threads: thread.start()
        for _ in range(1500):
            tracker.begin([]); tracker.end()
        stop = True
        for thread in threads: thread.join()
        tracker.begin([]); tracker.end()
        print(tracker.is_tracking())
    """)
    assert result.output == "False"
    # Only what begin() and end() themselves leave.
    assert result.current < 5000


def test_begin_twice_is_refused_and_end_twice_is_harmless(run: RunTracked) -> None:
    result = run("""
        tracker.begin([])
        try:
            tracker.begin([])
        except tracker.TrackerError as error:
            print(error)
        tracker.end(); tracker.end()
    """)
    assert result.output == "Tracking is on already."


def test_errno_survives_a_counted_call(run: RunTracked) -> None:
    result = run("""
        import ctypes, errno
        libc = ctypes.CDLL(None, use_errno=True)
        libc.malloc.restype = ctypes.c_void_p; libc.malloc.argtypes = [ctypes.c_size_t]
        tracker.begin([])
        ctypes.set_errno(errno.EXDEV)
        blocks = [libc.malloc(100_000 + i) for i in range(1000)]
        print(ctypes.get_errno() == errno.EXDEV)
        libc.malloc(1 << 60)
        print(ctypes.get_errno() == errno.ENOMEM)
        tracker.end()
    """)
    assert result.output.splitlines() == ["True", "True"]


def test_an_exception_and_an_exit_status_pass_through(run: RunTracked) -> None:
    assert run("import sys; tracker.begin([]); sys.exit(5)").code == 5
    result = run("tracker.begin([])\n1 / 0")
    assert result.code == 1
    assert "ZeroDivisionError" in result.errors


def test_a_program_that_is_killed_leaves_exact_figures(run: RunTracked) -> None:
    # The fixture itself checks that the sum over sites is the peak.
    result = run("""
        import os, signal
        def work(): return [bytes(1000) for _ in range(20_000)]
        tracker.begin([])
        kept = work()
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    assert result.signal == "SIGKILL"
    live = sum(site.peak for site in result.sites if "work" in site.functions)
    assert 20_000 * 1033 <= live < 20_000 * 1033 + 400_000


def test_kills_at_random_moments_leave_figures_that_add_up(run: RunTracked) -> None:
    for delay in (0.01, 0.03, 0.05, 0.08, 0.13):
        result = run(f"""
            import os, signal, threading, time
            def kill():
                time.sleep({delay}); os.kill(os.getpid(), signal.SIGKILL)
            threading.Thread(target=kill).start()
            tracker.begin([])
            while True:
                kept = [str(i) * 20 for i in range(20_000)]
        """)
        assert result.signal == "SIGKILL"


def test_a_shell_that_wraps_python_passes_the_tracker_on(python: str, tmp_path: Path) -> None:
    # pyenv's python is such a script.
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nexec "{python}" "$@"\n')
    wrapper.chmod(0o755)
    program = "from filprofiler import _tracker; _tracker.check(); print('tracked')"
    done = subprocess.run(
        ["node", str(Path(__file__).with_name("tracked.mjs")), str(BUNDLE), str(wrapper), "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.stdout.startswith("tracked"), done.stderr
