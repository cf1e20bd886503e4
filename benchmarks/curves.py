"""One point of a curve: what events cost as they, their call sites or their threads grow more.

`npm run bench -- curves` runs it for each point, plainly and tracked.
"""

import argparse
import ctypes
import json
import sys
import threading
import time
from collections.abc import Callable
from itertools import repeat
from types import CodeType

from workloads import FIXTURE

Session = Callable[[Callable[[], None]], None]


def plainly(body: Callable[[], None]) -> None:
    body()


def tracked(body: Callable[[], None]) -> None:
    """In a session of its own; begin and end are outside of what the body measures."""
    from filprofiler import _tracker

    boundary: CodeType = tracked.__code__
    _tracker.begin([boundary])
    try:
        body()
    finally:
        _tracker.end()


def events(count: int, session: Session) -> float:
    """CPU seconds an event where a session has `count` of them; an object that comes and goes is two."""
    pairs = count // 2
    least = float("inf")

    def body() -> None:
        nonlocal least
        started = time.process_time_ns()
        for _ in repeat(None, pairs):
            object()
        least = min(least, (time.process_time_ns() - started) * 1e-9)

    # Short ones often, for a time that the clock can tell.
    for _ in range(max(1, 4_000_000 // count)):
        session(body)
    return least / (2 * pairs)


def sites(count: int, session: Session) -> float:
    """CPU seconds an event where `count` call sites allocate in turn, each known already."""
    lines = min(count, 1000)
    space: dict[str, Callable[[], None]] = {}
    exec("def leaf():\n" + "    object()\n" * lines, space)
    exec("def root():\n" + "    leaf()\n" * (count // lines), space)
    rounds = max(2, 1_000_000 // count)
    seconds = 0.0

    def body() -> None:
        nonlocal seconds
        root = space["root"]
        root()
        started = time.process_time_ns()
        for _ in range(rounds):
            root()
        seconds = (time.process_time_ns() - started) * 1e-9

    session(body)
    return seconds / (2 * rounds * count)


def _in_threads(count: int, work: Callable[[], None], session: Session) -> float:
    """Seconds by the clock until all are done."""
    seconds = 0.0

    def body() -> None:
        nonlocal seconds
        started = time.perf_counter()
        threads = [threading.Thread(target=work) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - started

    session(body)
    return seconds


def threads_with_gil(count: int, session: Session) -> float:
    """Seconds an event, all threads together, where Python threads allocate."""
    pairs = 2_000_000 // count

    def work() -> None:
        for _ in repeat(None, pairs):
            object()

    return _in_threads(count, work, session) / (2 * pairs * count)


def threads_without_gil(count: int, session: Session) -> float:
    """The same for threads of a C library."""
    churn = ctypes.CDLL(str(FIXTURE)).fixture_churn
    churn.argtypes = [ctypes.c_int, ctypes.c_int]
    rounds = 300_000 // count
    # Each round is five events: two blocks made, one of them grown, both given back.
    return _in_threads(1, lambda: churn(count, rounds), session) / (5 * rounds * count)


CURVES = {function.__name__: function for function in (events, sites, threads_with_gil, threads_without_gil)}


def main() -> None:
    """Print `{"secondsPerEvent": ...}` as the last line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=["plain", "on"])
    parser.add_argument("curve", choices=CURVES)
    parser.add_argument("count", type=int)
    arguments = parser.parse_args()
    if arguments.mode == "on":
        from filprofiler import _tracker

        _tracker.check()
    seconds = CURVES[arguments.curve](arguments.count, tracked if arguments.mode == "on" else plainly)
    sys.stdout.write("\n" + json.dumps({"secondsPerEvent": seconds}) + "\n")


if __name__ == "__main__":
    main()
