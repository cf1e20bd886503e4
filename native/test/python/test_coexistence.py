"""Other allocators, tools and processes beside the tracker."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from conftest import BUNDLE, FIXTURES, HERE, RunTracked

# Debian's; the dynamic linker finds them by these names.
ALLOCATORS = ["libjemalloc.so.2", "libtcmalloc_minimal.so.4"]

MIB = 1 << 20


# Allocators


@pytest.mark.parametrize("allocator", ALLOCATORS)
def test_blocks_of_a_preloaded_allocator_are_counted_once(run: RunTracked, allocator: str) -> None:
    result = run(
        """
        import ctypes
        libc = ctypes.CDLL(None)
        libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        libc.realloc.restype, libc.realloc.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t]
        libc.free.argtypes = [ctypes.c_void_p]
        def native(): return [libc.malloc(3_000_000), libc.realloc(libc.malloc(100), 2_000_000)]
        def python(): return [bytes(700_000), [str(i) for i in range(1000)]]
        libc.free(libc.malloc(10))
        tracker.begin([])
        kept = native(), python()
        freed = libc.malloc(9_000_000); libc.free(freed)
        tracker.end()
        print(open("/proc/self/maps").read().count("malloc") > 0)
    """,
        environment={"LD_PRELOAD": allocator},
    )
    assert result.output == "True"
    assert 5_000_000 <= result.current_in("native") < 5_002_000
    assert 700_000 <= result.current_in("python") < 770_000
    assert result.current < 5_900_000


@pytest.mark.parametrize("allocator", ALLOCATORS)
def test_what_an_allocator_inside_a_library_maps_counts_as_mapped(run: RunTracked, allocator: str) -> None:
    # jemalloc's thread-local data needs room that the C library keeps only when asked.
    tunables = {"GLIBC_TUNABLES": "glibc.rtld.optional_static_tls=8192"}
    result = run(
        f"""
        import ctypes
        inside = ctypes.CDLL({allocator!r})
        # Not by the name malloc: the dynamic linker would find ours.
        handle = inside._handle
        libc = ctypes.CDLL(None)
        libc.dlsym.restype, libc.dlsym.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]
        malloc = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t)(libc.dlsym(handle, b"malloc"))
        malloc(10)
        def work():
            for _ in range(40):
                ctypes.memset(malloc(1 << 20), 1, 1 << 20)
        tracker.begin([])
        work()
        tracker.end()
    """,
        environment=tunables,
    )
    # In the allocator's pieces: a few MiB more or less.
    assert 36 * MIB <= result.current_in("work") < 64 * MIB


# Paths


@pytest.mark.parametrize("name", ["with space", "with:colon"])
def test_an_interpreter_and_a_program_in_strange_paths_are_tracked(tmp_path: Path, python: str, name: str) -> None:
    directory = tmp_path / name
    directory.mkdir()
    link = directory / "python"
    link.symlink_to(python)
    program = directory / "pro gram.py"
    program.write_text(
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from filprofiler import _tracker as tracker\ntracker.check()\n"
        "tracker.begin([]); kept = bytes(1_000_000); tracker.end(); print('done')\n"
    )
    done = subprocess.run(
        ["node", str(HERE / "tracked.mjs"), str(BUNDLE), str(link), str(program), str(HERE.parents[2])],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("done\n"), done.stderr
    assert int(done.stdout.split('"peakBytes":')[1].split(",")[0]) >= 1_000_000


# Programs that can't be tracked


def _why_unfit(program: str) -> str:
    done = subprocess.run(
        ["node", str(HERE / "tracked.mjs"), str(BUNDLE), str(FIXTURES / program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines()[0]


def test_a_stripped_python_is_refused_with_what_to_do() -> None:
    said = _why_unfit("fil_stripped")
    assert "exports no Py_Version" in said
    assert "Use a CPython that exports its C API" in said


def test_a_free_threaded_python_is_refused_with_what_to_do() -> None:
    said = _why_unfit("fil_free_threaded")
    assert "free-threaded" in said
    assert "use the usual build" in said


def test_a_static_python_is_recognized_before_it_is_started() -> None:
    script = (
        f"const addon = require({str(BUNDLE / 'filprofiler.node')!r});"
        "console.log(JSON.stringify(process.argv.slice(1).map((path) => addon.whyNotPreloadedInto(path))))"
    )
    done = subprocess.run(
        ["node", "-e", script, str(FIXTURES / "fil_static"), str(FIXTURES / "fil_stripped"), "/bin/sh", "/nowhere"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "fil_static is linked statically" in done.stdout
    assert done.stdout.strip().endswith(",null,null,null]")


# Tools in the same process


def test_tools_that_watch_the_program_change_nothing(run: RunTracked) -> None:
    result = run("""
        import bdb, cProfile, faulthandler, gc, sys, threading, tracemalloc
        class Debugger(bdb.Bdb):
            def user_line(self, frame): lines.append(frame.f_lineno)
        lines, collected = [], []
        gc.callbacks.append(lambda phase, info: collected.append(bytes(10)))
        faulthandler.enable()
        def inner(): return bytes(1_000_000)
        def outer():
            return inner()
        tracemalloc.start(5)
        tracker.begin([])
        debugger = Debugger()
        kept = debugger.runcall(outer)
        profile = cProfile.Profile()
        more = profile.runcall(outer)
        gc.collect()
        snapshot = tracemalloc.take_snapshot()
        tracker.end()
        tracemalloc.stop()
        print(len(lines) > 1, len(collected) >= 2)
    """)
    assert result.output == "True True"
    assert 2_000_000 <= result.current_in("inner") < 2_001_000
    for site in result.sites:
        if site.functions[-1] == "inner" and site.current > 900_000:
            assert site.functions[-2] == "outer"


# Threads


NATIVE = f"""
import ctypes
library = ctypes.CDLL({str(FIXTURES / "libfil_fixture.so")!r})
"""


@pytest.mark.parametrize("end", ["", "tracker.end()", "import os; os._exit(0)"])
def test_a_thread_that_outlives_main_does_no_harm(run: RunTracked, end: str) -> None:
    for _ in range(3):
        result = run(f"""{NATIVE}
tracker.begin([])
library.fixture_outlive_main()
kept = [bytes(10_000) for _ in range(1000)]
print("main is over", flush=True)
{end}
""")
        assert result.code == 0
        assert result.output == "main is over"
        assert result.peak >= 10_000_000


def test_thousands_of_sessions_beside_threads_without_the_gil_keep_their_events_apart(run: RunTracked) -> None:
    result = run(f"""{NATIVE}
import threading
library.fixture_churn.argtypes = [ctypes.c_int, ctypes.c_int]
stop = False
def churn():
    while not stop:
        library.fixture_churn(3, 2000)
def allocate():
    while not stop:
        [bytes(1000) for _ in range(20)]
threads = [threading.Thread(target=churn), threading.Thread(target=allocate)]
for thread in threads: thread.start()
kept = []
for number in range(3000):
    tracker.begin([])
    if number % 3 == 0:
        kept.append(bytes(5000))
    tracker.end()
stop = True
for thread in threads: thread.join()
tracker.begin([]); tracker.end()
print(len(kept))
""")
    assert result.output == "1000"
    # Only what begin() and end() themselves leave: nothing of the 3,000 sessions before.
    assert result.current < 5000


# Processes


CHILDREN = {
    "fork and exec": "pid = os.fork()\nif pid == 0: os.execv(sys.executable, [sys.executable, '-c', CHILD])\nwait(pid)",
    "posix_spawn": "wait(os.posix_spawn(sys.executable, [sys.executable, '-c', CHILD], os.environ))",
    "subprocess": "subprocess.run([sys.executable, '-c', CHILD], check=True)",
    "subprocess with open descriptors": "subprocess.run([sys.executable, '-c', CHILD], check=True, close_fds=False)",
    "subprocess with preexec_fn": (
        "subprocess.run([sys.executable, '-c', CHILD], check=True, preexec_fn=lambda: [bytes(100_000)] * 10)"
    ),
    "a session of its own": "subprocess.run([sys.executable, '-c', CHILD], check=True, start_new_session=True)",
    "a shell": "os.system(f'{sys.executable} -c \"{CHILD}\"') and sys.exit(1)",
    "fork in a thread": (
        "def fork():\n"
        "    pid = os.fork()\n"
        "    if pid == 0: exec(CHILD); sys.stdout.flush(); os._exit(0)\n"
        "    wait(pid)\n"
        "thread = threading.Thread(target=fork); thread.start(); thread.join()"
    ),
}


@pytest.mark.parametrize("how", CHILDREN)
def test_children_run_as_if_untracked_and_leave_the_report_alone(run: RunTracked, how: str) -> None:
    result = run(f"""
import os, subprocess, sys, threading
CHILD = "x = [bytes(50000) for _ in range(1000)]; import os; print('child', 'LD_PRELOAD' in os.environ, flush=True)"
def wait(pid):
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0: sys.exit(1)
def parent_only(): return bytes(1_000_000)
stop = False
def busy():
    while not stop: [str(i) for i in range(100)]
other = threading.Thread(target=busy); other.start()
tracker.begin([])
kept = parent_only()
for _ in range(3):
    {CHILDREN[how].replace(chr(10), chr(10) + "    ")}
tracker.end()
stop = True; other.join()
""")
    assert result.code == 0, result.errors
    assert result.output.splitlines() == ["child False"] * 3
    assert 1_000_000 <= result.current_in("parent_only") < 1_001_000
    assert result.peak < 4_000_000


def test_a_child_that_is_forked_while_tracking_ends_it_for_itself_only(run: RunTracked) -> None:
    result = run("""
        import os
        tracker.begin([])
        before = bytes(1_000_000)
        pid = os.fork()
        if pid == 0:
            tracker.end()
            del before
            os._exit(int(tracker.is_tracking()))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), tracker.is_tracking())
        after = bytes(2_000_000)
        tracker.end()
    """)
    assert result.output == "0 True"
    assert 3_000_000 <= result.current < 3_100_000


def test_a_thread_that_forks_can_end_in_the_child_although_other_threads_came_and_went(run: RunTracked) -> None:
    # At its end a thread gives back the note of its last call stack, under a lock that the child may inherit locked.
    result = run("""
        import os, threading, time
        def short(): [bytes(600) for _ in range(5)]
        def forker_has_ended():
            # The process's first thread stays in the list, as a zombie.
            return open(f"/proc/self/task/{os.getpid()}/stat").read().rpartition(")")[2].split()[0] == "Z"
        def exit_alone():
            deadline = time.monotonic() + 30
            while not forker_has_ended() and time.monotonic() < deadline:
                time.sleep(0.001)
            os._exit(3 if forker_has_ended() else 9)
        def churn():
            while not stop:
                thread = threading.Thread(target=short); thread.start(); thread.join()
        def fork():
            for _ in range(100):
                pid = os.fork()
                if pid == 0:
                    threading.Thread(target=exit_alone).start()
                    return
                statuses.add(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        stop, statuses = False, set()
        threads = [threading.Thread(target=churn) for _ in range(3)]
        tracker.begin([])
        for thread in threads: thread.start()
        forker = threading.Thread(target=fork); forker.start(); forker.join()
        stop = True
        for thread in threads: thread.join()
        tracker.end()
        print(statuses)
    """)
    assert result.output == "{3}"


def test_deep_stacks_under_tracemalloc_wait_for_nobody(run: RunTracked) -> None:
    # Its own tables grow in the middle of an allocation, while it holds a lock that every new object takes.
    result = run("""
        import tracemalloc
        kept = []
        def down(depth):
            kept.append([object() for _ in range(50)])
            if depth: down(depth - 1)
        tracker.begin([])
        tracemalloc.start(2)
        for _ in range(20): down(150)
        tracemalloc.stop()
        tracker.end()
        print(len(kept))
    """)
    assert result.output == "3020"
