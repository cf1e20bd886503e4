"""A program that does one round of work for each line that it reads, and answers with its seconds, and
those of processors.

`trees.py` starts it, plainly and under Fil.
"""

import json
import multiprocessing
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable

HELD_OBJECTS = 1_000_000
HELD_OBJECT_BYTES = 1000
SHORT_CHILDREN = 200
EVENTS = 300_000
held: list[bytes] = []


def hold_a_gigabyte() -> None:
    held.extend(bytes([number % 256]) * HELD_OBJECT_BYTES for number in range(HELD_OBJECTS))


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def fork() -> float:
    """Until the parent goes on."""
    started = time.perf_counter()
    child = os.fork()
    if child == 0:
        os._exit(0)
    seconds = time.perf_counter() - started
    os.waitpid(child, 0)
    return seconds


def fork_and_wait() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def fork_and_work() -> None:
    child = os.fork()
    if child == 0:
        kept = [str(number) for number in range(2000)]
        os._exit(len(kept) - 2000)
    os.waitpid(child, 0)


def start_python() -> None:
    subprocess.run([sys.executable, "-I", "-S", "-c", ""], check=True)


def start_program() -> None:
    subprocess.run(["true"], check=True)


def short_programs() -> None:
    for _ in range(SHORT_CHILDREN):
        start_program()


def empty_forks() -> None:
    for _ in range(SHORT_CHILDREN):
        fork_and_wait()


def short_forks() -> None:
    for _ in range(SHORT_CHILDREN):
        fork_and_work()


def nothing() -> None:
    pass


def short_processes() -> None:
    context = multiprocessing.get_context("fork")
    for _ in range(SHORT_CHILDREN):
        process = context.Process(target=nothing)
        process.start()
        process.join()


def events() -> float:
    """Processor time of blocks that come and go, and of what is held going up and down by some MB."""
    started = time.process_time()
    kept: list[bytearray] = []
    for number in range(EVENTS):
        if number % 500 == 0:
            kept = []
        kept.append(bytearray(2000 + number % 700))
    return time.process_time() - started


def events_in_four() -> float:
    """The mean of four processes that do so at the same time."""
    context = multiprocessing.get_context("fork")
    readings = []
    processes = []
    barrier = context.Barrier(4)
    for _ in range(4):
        here, there = context.Pipe()

        def body(there=there) -> None:
            barrier.wait()
            there.send(events())

        process = context.Process(target=body)
        process.start()
        processes.append(process)
        readings.append(here)
    seconds = [here.recv() for here in readings]
    for process in processes:
        process.join()
    return sum(seconds) / len(seconds)


def events_in_one() -> float:
    """In a forked process too, alone."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=lambda: there.send(events()))
    process.start()
    seconds: float = here.recv()
    process.join()
    return seconds


def processor_seconds() -> float:
    """Of this process and of those that it has waited for."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


ROUNDS: dict[str, Callable[[], float]] = {
    "fork": fork,
    "fork-and-wait": lambda: timed(fork_and_wait),
    "start-python": lambda: timed(start_python),
    "start-program": lambda: timed(start_program),
    "short-programs": lambda: timed(short_programs),
    "empty-forks": lambda: timed(empty_forks),
    "short-forks": lambda: timed(short_forks),
    "short-processes": lambda: timed(short_processes),
    "events-in-one": events_in_one,
    "events-in-four": events_in_four,
}


def main() -> None:
    if "large" in sys.argv[1:]:
        hold_a_gigabyte()
    for line in sys.stdin:
        before = processor_seconds()
        seconds = ROUNDS[line.strip()]()
        print(json.dumps([seconds, processor_seconds() - before]), flush=True)


if __name__ == "__main__":
    main()
