"""What it costs to follow the processes that a program starts: rounds in a plain and in a tracked one, in turns.

`npm run bench:trees` starts it. Prints ratios of the least times, of the medians, and the median of
ratios of neighbours, which a machine that is now fast and now slow changes least; the ratio of processor
time, which other work on the machine changes least; and the added time of a start.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = Path(__file__).with_name("tree_rounds.py")
ROUNDS = {
    "large": {"fork": 15, "fork-and-wait": 15},
    "small": {
        "start-python": 60,
        "start-program": 100,
        "short-programs": 7,
        "empty-forks": 7,
        "short-forks": 7,
        "short-processes": 7,
        "events-in-one": 15,
        "events-in-four": 15,
    },
}
"""By how much the program holds, the rounds of each kind of work."""


class Program:
    """The program of rounds, plainly or tracked."""

    def __init__(self, tracked: bool, size: str, directory: str) -> None:
        fil = str(Path(sys.executable).with_name("fil-profile"))
        start = [fil, "--no-browser", "run"] if tracked else [sys.executable]
        self._process = subprocess.Popen(
            [*start, str(PROGRAM), size],
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def round(self, kind: str) -> tuple[float, float]:
        """Seconds that one took, and processor seconds of it and its children."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(kind + "\n")
        self._process.stdin.flush()
        seconds, processor = json.loads(self._process.stdout.readline())
        return float(seconds), float(processor)

    def end(self) -> None:
        """Waits for its end, and for its report."""
        self._process.communicate()


def measure(rounds: int | None, only: str) -> dict[str, dict[str, float]]:
    """By kind of work: least and median seconds of both programs, and ratios of neighbours and of processor time."""
    results = {}
    for size, kinds in ROUNDS.items():
        chosen = {kind: rounds or number for kind, number in kinds.items() if only in kind}
        if not chosen:
            continue
        with tempfile.TemporaryDirectory() as directory:
            plain, tracked = (Program(tracked, size, directory) for tracked in (False, True))
            for kind, number in chosen.items():
                # The first imports, and reads files.
                for program in (plain, tracked):
                    program.round(kind)
                taken: tuple[list[float], list[float]] = ([], [])
                used: tuple[list[float], list[float]] = ([], [])
                for turn in range(number):
                    for which in (0, 1) if turn % 2 else (1, 0):
                        seconds, processor = (plain, tracked)[which].round(kind)
                        taken[which].append(seconds)
                        used[which].append(processor)
                results[kind] = {
                    "plainLeast": min(taken[0]),
                    "trackedLeast": min(taken[1]),
                    "plainMedian": statistics.median(taken[0]),
                    "trackedMedian": statistics.median(taken[1]),
                    "pairs": statistics.median(after / before for before, after in zip(*taken, strict=True)),
                    "processor": sum(used[1]) / max(sum(used[0]), 1e-9),
                    "rounds": number,
                }
            for program in (plain, tracked):
                program.end()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, help="of each kind of work")
    parser.add_argument("--only", default="", help="kinds of work whose names contain it")
    options = parser.parse_args()
    results = measure(options.rounds, options.only)
    print(f"{'':16} {'least':>8} {'median':>8} {'pairs':>8} {'processor':>10}   tracked to plain, in turns")
    for kind, of in results.items():
        ratios = [of[f"tracked{which}"] / of[f"plain{which}"] for which in ("Least", "Median")]
        added = [1000 * (of[f"tracked{which}"] - of[f"plain{which}"]) for which in ("Least", "Median")]
        starts = f"   {added[0]:+.1f} ms, median {added[1]:+.1f} ms" if kind.startswith("start") else ""
        print(f"{kind:16} {ratios[0]:8.2f} {ratios[1]:8.2f} {of['pairs']:8.2f} {of['processor']:10.2f}{starts}")
    if {"events-in-one", "events-in-four"} <= results.keys():
        one, four = (results[f"events-in-{number}"] for number in ("one", "four"))
        ratios = [four[f"tracked{which}"] / one[f"tracked{which}"] for which in ("Least", "Median")]
        print(f"{'four to one':16} {ratios[0]:8.2f} {ratios[1]:8.2f} {'':19}   processor time of events, tracked")


if __name__ == "__main__":
    main()
