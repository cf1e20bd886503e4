"""The hook for workers of any engine: processes join, also forked ones, and those that were killed are told of."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MB = 1_000_000
SECONDS = 100

WORKER = """
import os, signal, sys, time
from filprofiler import workers

def hold(size):
    return bytearray(size)

profile, name, size, ending = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
if ending == "forks" and (child := os.fork()) != 0:
    # As Celery and Spark do: the parent is no worker.
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
assert workers.join(profile, name) == workers.join(profile, name)
held = workers.run_task("load", hold, size)
print("held", flush=True)
if ending == "dies":
    os.kill(os.getpid(), signal.SIGKILL)
sys.stdin.read()
workers.leave(profile)
os._exit(0)
"""

READER = """
import json, sys
from filprofiler import workers
found = [workers.collect(sys.argv[1]) for _ in range(2)]
assert found[1] is None
result = workers.combine(found, title="three", output=sys.argv[2])
print(json.dumps({"report": result.report, "files": [file.name for file in result.files]}))
"""


def start(script: Path, environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_workers_of_any_engine_are_profiled_also_forked_ones_and_those_that_were_killed(tmp_path: Path) -> None:
    from filprofiler import workers

    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    profile = workers.new_profile()
    environment = workers.environment()
    running = [
        start(script, environment, profile, name, str(size), ending)
        for name, size, ending in (("one", 30 * MB, "ends"), ("two", 20 * MB, "forks"), ("three", 10 * MB, "dies"))
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
    assert running[2].wait(SECONDS) == -9
    reader = subprocess.run(
        [sys.executable, "-c", READER, profile, str(tmp_path / "reports")],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    for process in running[:2]:
        process.communicate("", timeout=SECONDS)
        assert process.returncode == 0
    answer = json.loads(reader.stdout)
    report = answer["report"]
    peaks = {process["name"]: process["peakBytes"] for process in report["processes"]["tracked"]}
    assert set(peaks) == {"one", "two", "three"}
    for name, size in (("one", 30), ("two", 20), ("three", 10)):
        assert size * MB <= peaks[name] <= (size + 1) * MB
    [death] = report["cluster"]["deaths"]
    assert death["worker"].startswith("three")
    assert death["task"] == "load"
    assert {"index.html", "profile.json"} <= set(answer["files"])


def test_a_process_without_the_tracker_is_told_how_to_get_it() -> None:
    from filprofiler import workers

    with pytest.raises(RuntimeError, match="fil-profile preload --workers"):
        workers.join(workers.new_profile(), "worker")
