"""What `fil-profile run` adds to the start and end of a program: an empty one, plainly and under Fil, by turns.

    .venv/bin/python benchmarks/start_up.py [ROUNDS]

The difference of the medians, and of the fastest runs, is the added time; other work on the machine makes it look
larger.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT_SECONDS = 0.25


def seconds(command: list[str], directory: Path) -> float:
    begin = time.perf_counter()
    subprocess.run(command, cwd=directory, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begin


def main(rounds: int) -> None:
    fil = str(Path(sys.executable).with_name("fil-profile"))
    commands = {
        "plain": [sys.executable, "empty.py"],
        "run": [fil, "--no-browser", "run", "empty.py"],
        "python": [fil, "python", "empty.py"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        (directory / "empty.py").write_text("")
        for _ in range(rounds):
            for name, command in commands.items():
                times[name].append(seconds(command, directory))
    for name in ("run", "python"):
        median = statistics.median(times[name]) - statistics.median(times["plain"])
        fastest = min(times[name]) - min(times["plain"])
        print(
            f"fil-profile {name}: added {median / LIMIT_SECONDS:.0%} of the {LIMIT_SECONDS} s that it may take "
            f"(fastest runs: {fastest / LIMIT_SECONDS:.0%})"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
