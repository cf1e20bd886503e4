"""`fil-profile run` and memory that several processes map: it counts once."""

from pathlib import Path

import pytest
from process_reports import bytes_in, processes, shared_bytes
from programs import only_report, profiled, write

MB = 1_000_000

SHARED_AFTER_A_PEAK = """
import multiprocessing as mp, time
from multiprocessing import shared_memory

def hold(barrier, size):
    held = bytearray(size)
    barrier.wait()
    time.sleep(0.2)

def look(barrier, name):
    memory = shared_memory.SharedMemory(name=name)
    barrier.wait()
    time.sleep(0.2)
    memory.close()

def together(target, argument):
    barrier = mp.Barrier(3)
    processes = [mp.Process(target=target, args=(barrier, argument)) for _ in range(3)]
    for process in processes: process.start()
    for process in processes: process.join()

if __name__ == "__main__":
    mp.set_start_method("{method}")
    together(hold, 30_000_000)
    memory = shared_memory.SharedMemory(create=True, size=60_000_000)
    together(look, memory.name)
    memory.close()
    memory.unlink()
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_shared_memory_that_several_map_makes_no_peak_by_being_mapped(tmp_path: Path, method: str) -> None:
    write(tmp_path, "parent.py", SHARED_AFTER_A_PEAK.replace("{method}", method))
    assert profiled(["parent.py"], tmp_path).status == 0
    report = only_report(tmp_path)
    # Counted by each that maps it, it would be 240 MB, and more than what the first three held.
    assert bytes_in(report, "hold") == pytest.approx(90 * MB, rel=0.01)
    assert shared_bytes(report) < 1 * MB
    assert max(report["timeline"]["bytes"]) <= report["peakBytes"] + 1 * MB
    rows = [process["timeline"] for process in processes(report)]
    moments = [sum(held) for held in zip(*(row for row in rows if row), strict=True)]
    assert max(moments) <= report["peakBytes"] + 1 * MB


def test_shared_memory_of_a_child_that_was_killed_is_the_others(tmp_path: Path) -> None:
    write(
        tmp_path,
        "parent.py",
        """
import multiprocessing as mp, os, signal, time
from multiprocessing import resource_tracker, shared_memory

def make(names):
    memory = shared_memory.SharedMemory(create=True, size=40_000_000)
    names.put(memory.name)
    time.sleep(60)

if __name__ == "__main__":
    # One for both: that of a process removes with its end what it has made.
    resource_tracker.ensure_running()
    names = mp.get_context("fork").SimpleQueue()
    maker = mp.get_context("fork").Process(target=make, args=(names,))
    maker.start()
    memory = shared_memory.SharedMemory(name=names.get())
    os.kill(maker.pid, signal.SIGKILL)
    maker.join()
    time.sleep(0.5)
    held = bytearray(50_000_000)
    memory.close()
    memory.unlink()
    del held
    later = bytearray(80_000_000)
""",
    )
    assert profiled(["--exact-tree", "parent.py"], tmp_path).status == 0
    report = only_report(tmp_path)
    assert report["peakBytes"] == pytest.approx(90 * MB, rel=0.1)
    assert shared_bytes(report) == 40 * MB


def test_shared_memory_of_the_same_name_is_not_the_same(tmp_path: Path) -> None:
    write(
        tmp_path,
        "parent.py",
        """
import mmap, multiprocessing as mp, os, time

def hold(barrier):
    descriptor = os.memfd_create("data")
    os.ftruncate(descriptor, 20 << 20)
    memory = mmap.mmap(descriptor, 20 << 20)
    barrier.wait()
    time.sleep(0.2)

if __name__ == "__main__":
    context = mp.get_context("fork")
    barrier = context.Barrier(3)
    processes = [context.Process(target=hold, args=(barrier,)) for _ in range(3)]
    for process in processes: process.start()
    for process in processes: process.join()
""",
    )
    assert profiled(["parent.py"], tmp_path).status == 0
    assert shared_bytes(only_report(tmp_path)) == pytest.approx(60 << 20, rel=0.01)
