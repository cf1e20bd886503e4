"""`npm run bench:memory`: what it costs to watch for memory running out.

The thread that watches has its own processor time, as the kernel counts it (/proc/PID/task/TID/schedstat); and the same
program runs in turn with detection acting and with --disable-oom-detection, which leaves the reading and takes away the
rest.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from processor_time import seconds_of_thread

FIL = [sys.executable, "-m", "filprofiler", "--no-browser"]
THREAD = "fil-memory"
ROUNDS = 9
WORK = """
def work(rounds):
    for _ in range(rounds):
        held = [(number, str(number)) for number in range(60_000)]
        del held
work(40)
"""
IDLE = "import time\nprint('ready', flush=True)\ntime.sleep(12)\n"
BUSY = (
    "import time\nprint('ready', flush=True)\nend = time.monotonic() + 12\n"
    "while time.monotonic() < end:\n    held = bytearray(20_000_000)\n    del held\n"
)
SETTLES = 1.0
SECONDS = 8.0


def seconds_of(program: Path, *options: str) -> float:
    begun = time.monotonic()
    subprocess.run([*FIL, *options, "run", program], check=True, capture_output=True, cwd=program.parent)
    return time.monotonic() - begun


def watching_share(directory: Path, source: str) -> float:
    """The part of a processor core that the thread takes while the program runs, far from the limit."""
    program = directory / "watched.py"
    program.write_text(source)
    with subprocess.Popen(
        [*FIL, "run", program], cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        if process.stdout is None or not process.stdout.readline():
            msg = "the program did not start"
            raise RuntimeError(msg)
        time.sleep(SETTLES)
        thread = next(
            task
            for task in Path(f"/proc/{process.pid}/task").iterdir()
            if (task / "comm").read_text().strip() == THREAD
        )
        before, begun = seconds_of_thread(thread), time.monotonic()
        time.sleep(SECONDS)
        share = (seconds_of_thread(thread) - before) / (time.monotonic() - begun)
        process.kill()
    return share


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for what, source in (("an idle program", IDLE), ("a program that allocates", BUSY)):
            print(f"watching {what:26} {watching_share(directory, source):8.3%} of a core", flush=True)
        program = directory / "work.py"
        program.write_text(WORK)
        pairs = [(seconds_of(program), seconds_of(program, "--disable-oom-detection")) for _ in range(ROUNDS)]
        fastest = min(on for on, _ in pairs) / min(off for _, off in pairs)
        ratios = sorted(on / off for on, off in pairs)
        print(
            f"with detection, of without       {fastest:8.3f} fastest runs; {statistics.median(ratios):.3f} median of "
            f"{ROUNDS} pairs, {ratios[0]:.3f} to {ratios[-1]:.3f}"
        )


if __name__ == "__main__":
    main()
