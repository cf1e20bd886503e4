"""`npm run prove:trees -- ROUNDS KILLS`: random process trees against a brute-force model, and kills at random moments.

ROUNDS (100 if not given) trees of each kind: the report's joint peak has to be one that the processes' own log knows,
to the byte with `--exact-tree`, else within the bound that the report prints. KILLS (60) of a child, of the program,
and of `fil-profile` by SIGKILL: nothing may be left, nothing may hang. `--seed N` repeats a run.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

FIL = (sys.executable, "-m", "filprofiler", "--no-browser", "--disable-oom-detection", "run")
LIFE = Path(__file__).with_name("tree_life.py")
TIMEOUT = 180
INTERPRETER_BYTES = {"any": 48 * 2**20, "forked": 500_000}
"""What interpreters can hold beside the blocks, at one moment and not at another."""
CLEAN_SECONDS = 15.0
LONGEST_LIFE = 2.5
"""Seconds from the start until the kill, at most."""

State = dict[int, int]
"""Bytes that each process holds; those with nothing are absent."""


@dataclass(frozen=True)
class Truth:
    """All that happened, by the processes' log."""

    states: list[State]

    @staticmethod
    def read(log: Path) -> "Truth":
        """Of lines "pid change"."""
        now: State = defaultdict(int)
        states: list[State] = [{}]
        for line in log.read_text().splitlines():
            pid, change = map(int, line.split())
            now[pid] += change
            states.append({each: held for each, held in now.items() if held != 0})
        return Truth(states)

    @property
    def peak(self) -> int:
        """The most that all held together."""
        return max(sum(state.values()) for state in self.states)


def held_by_process(report: dict[str, Any]) -> State:
    """What each process held in `hold`, by the report's tree."""
    frames, tree = report["frames"], report["tree"]
    top = report["processes"]["tracked"][0]["pid"] if "processes" in report else 0
    process: list[int] = []
    held: State = defaultdict(int)
    for row, frame in enumerate(tree["frame"]):
        parent = tree["parent"][row]
        own = process[parent] if row else top
        if frames["kind"][frame] == "process":
            own = int(frames["function"][frame].rpartition(" ")[2])
        process.append(own)
        if frames["function"][frame] == "hold":
            held[own] += tree["selfBytes"][row]
    return {pid: bytes_ for pid, bytes_ in held.items() if bytes_ != 0}


def faults_of_peak(report: dict[str, Any], truth: Truth, kind: str, exact: bool) -> str | None:
    """What is wrong with the joint peak; None if it is as it must be."""
    found = held_by_process(report)
    bound = report["processes"]["boundBytes"]
    total = sum(found.values())
    if exact != (bound == 0):
        return f"the bound is {bound}"
    lowest = truth.peak - bound - INTERPRETER_BYTES[kind]
    if not lowest <= total <= truth.peak:
        return f"{total} bytes together, of truly {truth.peak} within {bound}"
    if not truth.peak - bound <= report["peakBytes"]:
        return f"the peak of {report['peakBytes']} is more than {bound} below {truth.peak}"
    known = [state for state in truth.states if sum(state.values()) >= lowest]
    if exact and found not in known:
        return f"{found} never was; nearest was {min(known, key=lambda state: _distance(state, found))}"
    # Otherwise of moments that the bound doesn't tell apart.
    for pid, held in found.items():
        if all(state.get(pid, 0) != held for state in truth.states):
            return f"process {pid} never held {held}"
    nearest = min(_distance(state, found) for state in known)
    return None if nearest <= bound else f"{found} is {nearest} bytes from any moment, and the bound {bound}"


def _distance(first: State, second: State) -> int:
    return sum(abs(first.get(pid, 0) - second.get(pid, 0)) for pid in first.keys() | second.keys())


def one_tree(seed: int, kind: str, exact: bool) -> str | None:
    """A random program of several processes: what is wrong with its report, or None."""
    with tempfile.TemporaryDirectory(prefix="fil-prove-") as place:
        directory = Path(place)
        command = [*FIL, *(["--exact-tree"] if exact else []), str(LIFE), place, str(seed), "0", kind]
        try:
            done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired:
            return f"it hung: more than {TIMEOUT} s"
        if done.returncode != 0:
            return f"status {done.returncode}: {done.stderr[-500:]}"
        said = [line for line in done.stderr.splitlines() if not line.startswith("=fil-profile= ")]
        if said:
            return f"it said: {said[:5]}"
        reports = list((directory / "fil-result").glob("*/profile.json"))
        if len(reports) != 1:
            return f"{len(reports)} reports"
        report = json.loads(reports[0].read_text("utf-8"))
        truth = Truth.read(directory / "log")
        if "processes" not in report:
            # It has started none.
            return None if held_by_process(report) in ({0: truth.peak}, {}) else "the processes are missing"
        return faults_of_peak(report, truth, kind, exact)


def trees_of(launcher: int) -> list[Path]:
    """Directories that it has made and not removed."""
    places = [Path("/dev/shm"), Path(tempfile.gettempdir())]
    return [path for place in places for path in place.glob(f"fil-tree-{launcher}-*")]


def one_kill(seed: int) -> str | None:
    """Kills somebody at a random moment: what is wrong with what is left, or None."""
    chance = random.Random(seed)
    victim = chance.choice(["child", "program", "fil-profile"])
    with tempfile.TemporaryDirectory(prefix="fil-prove-") as place:
        command = [*FIL, str(LIFE), place, str(seed), "0", "any"]
        with (Path(place) / "said").open("wb") as said:
            launcher = psutil.Popen(command, cwd=place, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        time.sleep(chance.random() * LONGEST_LIFE)
        killed, program = _kill(launcher, victim, chance)
        what = f"{killed} killed (seed {seed})"
        try:
            launcher.wait(timeout=TIMEOUT)
        except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
            for process in _below(launcher, place):
                process.kill()
            launcher.kill()
            launcher.wait()
            return f"{what}: fil-profile hung"
        deadline = time.monotonic() + CLEAN_SECONDS
        while program is not None and program.is_running() and time.monotonic() < deadline:
            time.sleep(0.1)
        if program is not None and program.is_running():
            program.kill()
            return f"{what}: the program outlives fil-profile"
        # Workers of a pool whose parent was killed wait for ever, with us as without us; and who starts others does so
        # until it is dead.
        while (named := _named(place)) and time.monotonic() < deadline:
            for process in named:
                with suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(named, timeout=1)
        deadline = time.monotonic() + CLEAN_SECONDS
        while trees_of(launcher.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        if trees_of(launcher.pid):
            return f"{what}: left: {trees_of(launcher.pid)}"
        reports = list(Path(place).glob("fil-result/*/profile.json"))
        wrote = "Wrote the report" in (Path(place) / "said").read_text(errors="replace")
        if killed in ("child", "program") and wrote and len(reports) != 1:
            return f"{what}: {len(reports)} reports"
        return None


def _named(place: str) -> list[psutil.Process]:
    """Processes whose command names the trial's directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and any(place in word for word in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _below(launcher: psutil.Process, place: str) -> list[psutil.Process]:
    """Of the trial: everything that it has started."""
    try:
        children = launcher.children(recursive=True)
    except psutil.Error:
        children = []
    return [*children, *_named(place)]


def _kill(launcher: psutil.Process, victim: str, chance: random.Random) -> tuple[str, psutil.Process | None]:
    """Kills the victim, or fil-profile if it has not come so far. Returns who it was, and the program."""
    program = None
    try:
        # The program is a child of fil-profile, as is its guardian.
        programs = [process for process in launcher.children() if str(LIFE) in process.cmdline()]
        program = programs[0] if programs else None
        below = program.children(recursive=True) if program is not None else []
        if victim == "child" and below:
            chance.choice(below).kill()
            return "child", program
        if victim == "program" and program is not None:
            program.kill()
            return "program", program
        launcher.kill()
    except psutil.Error:
        # It has just ended.
        return "nobody", program
    return "fil-profile", program


def prove(rounds: int, kills: int, *, seed: int, jobs: int) -> list[str]:
    """Runs them, with a line for each kind; returns what went wrong."""
    wrong: list[str] = []
    with ThreadPoolExecutor(jobs) as pool:
        for kind in ("any", "forked"):
            for exact in (False, True):
                began = time.monotonic()
                seeds = range(seed, seed + rounds)
                found = list(pool.map(lambda each, kind=kind, exact=exact: one_tree(each, kind, exact), seeds))
                bad = [f"seed {each}: {fault}" for each, fault in zip(seeds, found, strict=True) if fault is not None]
                name = f"processes of {kind} start, {'to the byte' if exact else 'within the bound'}"
                _tell(name, rounds, bad, began)
                wrong += [f"{name}, {each}" for each in bad]
        began = time.monotonic()
        bad = [fault for fault in pool.map(one_kill, range(seed, seed + kills)) if fault is not None]
        _tell("kills that leave nothing", kills, bad, began)
    return wrong + bad


def _tell(name: str, rounds: int, bad: list[str], began: float) -> None:
    print(f"{name:46} {rounds - len(bad):4} of {rounds}   {time.monotonic() - began:5.0f} s", flush=True)
    for each in bad[:5]:
        print(f"    {each}", flush=True)


def main() -> int:
    """Status 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="npm run prove:trees --", description=__doc__)
    parser.add_argument("rounds", nargs="?", type=int, default=100)
    parser.add_argument("kills", nargs="?", type=int, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    parser.add_argument("--jobs", type=int, default=2, help="at the same time")
    options = parser.parse_args()
    print(f"{options.rounds} random trees of each kind, {options.kills} kills; seed {options.seed}", flush=True)
    return 1 if prove(options.rounds, options.kills, seed=options.seed, jobs=options.jobs) else 0


if __name__ == "__main__":
    sys.exit(main())
