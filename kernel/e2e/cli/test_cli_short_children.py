"""`fil-profile run` and children that end before they have a segment, or never get one."""

from pathlib import Path

from process_reports import bytes_in, process_frames, processes
from programs import only_report, profiled, write

MB = 1_000_000


def test_what_a_child_has_allocated_before_it_has_a_segment_is_in_its_figures(tmp_path: Path) -> None:
    write(
        tmp_path,
        "parent.py",
        """
import os
def early():
    held = []
    for _ in range(100): held.append(bytes(900))
    return held
def late(): return bytearray(30_000_000)
pid = os.fork()
if pid == 0:
    first = early(); second = late()
    os._exit(0)
os.waitpid(pid, 0)
""",
    )
    profiled(["parent.py"], tmp_path)
    report = only_report(tmp_path)
    assert 100 * 933 <= bytes_in(report, "early") <= 100 * 933 + 2000
    assert 30 * MB <= bytes_in(report, "late") < 30.1 * MB
    (child,) = [process for process in processes(report) if process["origin"] == "forked"]
    assert child["jointBytes"] in process_frames(report).values()


def test_short_children_are_counted_and_widen_the_bound_by_as_many_as_lived_at_once(tmp_path: Path) -> None:
    write(
        tmp_path,
        "parent.py",
        """
import os, signal, time
def child(work):
    pid = os.fork()
    if pid == 0:
        work(); os._exit(0)
    return pid
held = bytearray(30_000_000)
for _ in range(150): os.waitpid(child(lambda: None), 0)
waiting = [child(lambda: time.sleep(60)) for _ in range(2)]
large = child(lambda: (bytearray(20_000_000), time.sleep(0.3)))
os.waitpid(large, 0)
for pid in waiting: os.kill(pid, signal.SIGKILL); os.waitpid(pid, 0)
""",
    )
    profiled(["parent.py"], tmp_path)
    told = only_report(tmp_path)["processes"]
    assert told["small"]["count"] == 152
    assert told["small"]["peakBytes"] <= 2 * 65536
    assert len(told["tracked"]) == 2
    assert 2 * 65536 * 4 <= told["boundBytes"] <= 2 * 65536 * 30


def test_a_child_that_changes_its_parents_pages_and_allocates_nothing_is_listed(tmp_path: Path) -> None:
    write(
        tmp_path,
        "parent.py",
        """
import ctypes, os, time
inherited = ctypes.create_string_buffer(60_000_000)
ctypes.memset(inherited, 1, 60_000_000)
pid = os.fork()
if pid == 0:
    ctypes.memset(inherited, 2, 50_000_000); time.sleep(2)
    os._exit(0)
child = os.fork()
if child == 0:
    kept = bytearray(10_000_000); time.sleep(1.5); os._exit(0)
os.waitpid(child, 0)
os.waitpid(pid, 0)
""",
    )
    profiled(["parent.py"], tmp_path)
    (quiet,) = [process for process in processes(only_report(tmp_path)) if process["jointBytes"] == 0]
    assert quiet["name"] == "parent.py (forked)"
    assert 49 * MB <= quiet["copiedBytes"] <= 62 * MB
    assert quiet["peakBytes"] <= 2 * 65536
