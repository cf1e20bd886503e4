"""Clusters of Dask: the workers are in one report, by task, whoever has started them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Kernel, Report

MB = 1_000_000
SECONDS = 100

TASKS = """
import json, os, subprocess, sys, time, warnings
import dask
from distributed import Client, LocalCluster, Nanny
from filprofiler.dask import environment, preload, profile

def hold(size):
    held = bytearray(size)
    time.sleep(0.1)
    return len(held)

def keep(size):
    return bytes(size)

def grow(steps):
    held = []
    for _ in range(steps):
        held.append(bytearray(b"x") * 20_000_000)
        time.sleep(0.05)

def refusal(client):
    try:
        with profile(client):
            raise AssertionError("it was profiled")
    except RuntimeError as error:
        return str(error)

# What the block returned, the report, and what was said before it.
def profiled(client, block):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with profile(client) as running:
            value = block()
    return {"value": value, "report": running.result.report, "said": [str(each.message) for each in said]}

def local(workers, **options):
    return LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0", silence_logs=50, **options)
"""


def run_python(directory: Path, program: str, *arguments: str) -> dict[str, Any]:
    """The last line of what a program prints."""
    script = directory / "program.py"
    script.write_text(TASKS + program)
    run = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    answer: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return answer


def by_path(report: dict[str, Any]) -> dict[tuple[str, ...], int]:
    """Bytes of each node with everything below it, by its callers' functions; pids are left out."""
    frames, tree = report["frames"], report["tree"]
    paths: list[tuple[str, ...]] = []
    found: dict[tuple[str, ...], int] = {}
    for parent, frame, total in zip(tree["parent"], tree["frame"], tree["totalBytes"], strict=True):
        name = frames["function"][frame].partition(", pid")[0]
        paths.append((*paths[parent], name) if parent >= 0 else ())
        found[paths[-1]] = total
    return found


def missing_of(report: dict[str, Any]) -> dict[str, str]:
    """Why workers are missing, by their names without the host."""
    return {each["worker"].partition(" on ")[0]: each["reason"] for each in report["cluster"]["missing"]}


def below(report: dict[str, Any], task: str, function: str) -> int:
    """What functions hold below a task, over all workers."""
    return sum(
        held
        for path, held in by_path(report).items()
        if len(path) > 2 and path[0].startswith("worker") and path[1] == task and path[-1] == function
    )


def test_a_local_clusters_workers_are_restarted_with_the_tracker_and_profiled_by_task(tmp_path: Path) -> None:
    answer = run_python(
        tmp_path,
        """
if __name__ == "__main__":
    with local(2) as cluster, Client(cluster) as client:
        client.wait_for_workers(2)
        unprepared = profiled(client, lambda: client.submit(hold, 1).result())
        preload(client)
        with profile(client, sys.argv[1], title="two tasks") as profiled:
            kept = client.submit(keep, 20_000_000)
            kept.result()
            names = [each["name"] for each in client.scheduler_info(n_workers=-1)["workers"].values()]
            sizes = [client.submit(hold, 30_000_000 + n, workers=[name]).result() for n, name in enumerate(names)]
        def age():
            import filprofiler.workers
            filprofiler.workers.version = lambda: "0.0.1"
        client.run(age)
        other = refusal(client)
    import os
    result = profiled.result
    print(json.dumps({"unprepared": unprepared, "other": other, "preload": os.environ.get("LD_PRELOAD"),
                      "report": result.report, "files": [file.name for file in result.files], "sizes": sizes,
                      "lines": result.lines()[:2]}))
""",
        str(tmp_path / "report"),
    )
    unprepared = answer["unprepared"]
    assert unprepared["value"] == 1
    [said] = unprepared["said"]
    assert "not preloaded" in said
    assert "preload(client)" in said
    assert sorted(missing_of(unprepared["report"])) == ["worker 0", "worker 1"]
    [note] = unprepared["report"]["notes"]
    assert "not preloaded" in note["text"]
    assert "another version" in answer["other"]
    assert "0.0.1" in answer["other"]
    assert answer["preload"] is None
    assert answer["sizes"] == [30 * MB, 30 * MB + 1]
    report = answer["report"]
    assert report["title"] == "two tasks"
    assert 60 * MB <= below(report, "hold", "hold") <= 61 * MB
    assert 20 * MB <= below(report, "keep", "keep") <= 21 * MB
    assert {line["function"] for line in answer["lines"]} == {"hold", "keep"}
    tracked = report["processes"]["tracked"]
    assert sorted(process["name"] for process in tracked) == ["worker 0", "worker 1"]
    assert report["peakBytes"] == sum(process["peakBytes"] for process in tracked)
    [machine] = report["cluster"]["machines"]
    assert machine["workers"] == 2
    assert machine["peakBytes"] <= report["peakBytes"] + machine["boundBytes"]
    assert "upper bound" in report["notes"][0]["text"]
    assert {"index.html", "profile.json"} <= set(answer["files"])


def test_the_only_worker_was_killed_at_its_memory_limit_and_is_in_the_report_with_task_and_line(tmp_path: Path) -> None:
    answer = run_python(
        tmp_path,
        """
if __name__ == "__main__":
    dask.config.set({"distributed.scheduler.allowed-failures": 0})
    preload()
    with local(1, memory_limit="500MB") as cluster, Client(cluster) as client:
        client.wait_for_workers(1)
        try:
            with profile(client) as profiled:
                client.submit(grow, 100).result()
        except Exception as error:
            raised = type(error).__name__
    print(json.dumps({"raised": raised, "report": profiled.result.report}))
""",
    )
    assert answer["raised"] == "KilledWorker"
    report = answer["report"]
    [death] = report["cluster"]["deaths"]
    assert death["task"] == "grow"
    assert death["limitBytes"] == 500 * MB
    assert death["heldBytes"] > 200 * MB
    assert "held.append" in death["lines"][0]
    assert below(report, "grow", "grow") > 200 * MB
    assert "its memory limit: 476.8 MiB" in report["notes"][0]["text"]


def test_where_no_worker_can_be_profiled_the_block_runs_and_the_report_says_why(tmp_path: Path) -> None:
    answer = run_python(
        tmp_path,
        """
class Stubborn(Nanny):
    async def restart(self, *arguments, **options):
        raise RuntimeError("no restarts here")

if __name__ == "__main__":
    answer = {}
    for name, options in (("threads", {"processes": False}), ("stubborn", {"worker_class": Stubborn})):
        with local(1, **options) as cluster, Client(cluster) as client:
            client.wait_for_workers(1)
            with warnings.catch_warnings(record=True) as said:
                preload(client)
            done = profiled(client, lambda: client.submit(hold, 1000).result())
            answer[name] = {**done, "unable": [str(each.message) for each in said]}
    answer["closed"] = refusal(client)
    print(json.dumps(answer))
""",
    )
    threads, stubborn = answer["threads"], answer["stubborn"]
    assert threads["value"] == stubborn["value"] == 1000
    assert "no nanny" in threads["unable"][0]
    assert "no restarts here" in stubborn["unable"][0]
    assert "processes=False" in threads["said"][0]
    assert "not preloaded" in stubborn["said"][0]
    for done, reason in ((threads, "processes=False"), (stubborn, "not preloaded")):
        assert done["report"]["peakBytes"] == 0
        assert reason in missing_of(done["report"])["worker 0"]
        assert reason in done["report"]["notes"][0]["text"]
    assert "client is closed" in answer["closed"]


def test_workers_that_go_are_in_the_report_and_those_that_come_are_profiled_or_named(tmp_path: Path) -> None:
    (tmp_path / "without_library.py").write_text("import sys\nsys.modules['filprofiler'] = None\n")
    answer = run_python(
        tmp_path,
        """
def start(name, *arguments, **variables):
    return subprocess.Popen(
        [sys.executable, "-m", "dask", "worker", cluster.scheduler_address, "--name", name, "--nthreads", "1",
         "--no-nanny", "--no-dashboard", *arguments],
        stderr=subprocess.DEVNULL, env={**os.environ, **variables}, cwd=sys.argv[1],
    )

def come_and_go():
    client.submit(hold, 30_000_000, workers=[1]).result()
    client.retire_workers(names=[1], close_workers=True)
    started = [start("late", **environment()), start("bare", "--preload", "without_library.py")]
    while not {"late", "bare"} <= addresses().keys():
        time.sleep(0.1)
    for name, size in ((0, 20_000_000), ("late", 25_000_000)):
        client.submit(hold, size, workers=[name]).result()
    return started

def addresses():
    return {each["name"]: address for address, each in client.scheduler_info(n_workers=-1)["workers"].items()}

if __name__ == "__main__":
    preload()
    with local(2) as cluster, Client(cluster) as client:
        client.wait_for_workers(2)
        with profile(client) as running:
            started = come_and_go()
        bare = addresses()["bare"]
        for process in started:
            process.kill()
            process.wait()
    print(json.dumps({"report": running.result.report, "bare": bare}))
""",
        str(tmp_path),
    )
    report = answer["report"]
    held = {path[0]: total for path, total in by_path(report).items() if path[1:] == ("hold",)}
    assert {worker: total // MB for worker, total in held.items()} == {
        "worker 0": 20,
        "worker 1": 30,
        "worker late": 25,
    }
    [missing] = report["cluster"]["missing"]
    assert missing["worker"] == answer["bare"]
    assert "no filprofiler" in missing["reason"]


def test_a_worker_that_does_not_answer_is_named_and_holds_up_nothing(tmp_path: Path) -> None:
    answer = run_python(
        tmp_path,
        """
import signal
from filprofiler import _dask_cluster

_dask_cluster._PROBE_SECONDS = _dask_cluster._COLLECT_SECONDS = 2.0
_dask_cluster._PLUGIN_SECONDS = 0.5

if __name__ == "__main__":
    preload()
    with local(2) as cluster, Client(cluster) as client:
        client.wait_for_workers(2)
        address, pid = next(iter(client.run(os.getpid).items()))
        os.kill(pid, signal.SIGSTOP)
        [other] = set(client.scheduler_info(n_workers=-1)["workers"]) - {address}
        done = profiled(client, lambda: client.submit(hold, 1000, workers=[other]).result())
        os.kill(pid, signal.SIGKILL)
    print(json.dumps({**done, "stopped": address}))
""",
    )
    assert answer["value"] == 1000
    missing = {each["worker"]: each["reason"] for each in answer["report"]["cluster"]["missing"]}
    assert missing[answer["stopped"]] == "it has not answered within 2 s"


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    running: list[subprocess.Popen[bytes]] = []
    yield running
    for process in running:
        process.kill()
        process.wait()


def test_workers_of_commands_are_profiled_and_those_that_cannot_be_are_named(
    tmp_path: Path, commands: list[subprocess.Popen[bytes]]
) -> None:
    scheduler_file = str(tmp_path / "scheduler.json")
    (tmp_path / "without_library.py").write_text("import sys\nsys.modules['filprofiler'] = None\n")
    dask = [sys.executable, "-m", "dask"]
    own = ["--scheduler-file", scheduler_file, "--no-dashboard"]

    def start(*arguments: str, **environment: str) -> None:
        with (tmp_path / "log").open("ab") as log:
            commands.append(
                subprocess.Popen(
                    [*dask, *arguments, *own], stdout=log, stderr=log, env={**os.environ, **environment}, cwd=tmp_path
                )
            )

    start("scheduler", "--port", "0")
    worker = ["worker", "--nthreads", "1"]
    start(*worker, "--name", "nanny", "--preload-nanny", "filprofiler.dask")
    shown = subprocess.run(
        [sys.executable, "-m", "filprofiler", "preload", "--workers"], capture_output=True, text=True, check=True
    )
    start(*worker, "--name", "alone", "--no-nanny", **dict(line.split("=", 1) for line in shown.stdout.splitlines()))
    start(*worker, "--name", "plain", "--no-nanny")
    start(*worker, "--name", "bare", "--no-nanny", "--preload", str(tmp_path / "without_library.py"))
    answer = run_python(
        tmp_path,
        """
if __name__ == "__main__":
    with Client(scheduler_file=sys.argv[1], timeout=60) as client:
        client.wait_for_workers(4, timeout=60)
        addresses = {each["name"]: address for address, each in client.scheduler_info(n_workers=-1)["workers"].items()}
        with warnings.catch_warnings(record=True) as said:
            preload(client)
        [unable] = [str(each.message) for each in said]
        client.wait_for_workers(4, timeout=60)
        addresses = {each["name"]: address for address, each in client.scheduler_info(n_workers=-1)["workers"].items()}
        with profile(client) as profiled:
            for number, name in enumerate(("nanny", "alone", "plain")):
                client.submit(hold, 30_000_000 + number, workers=[name]).result()
    print(json.dumps({"unable": unable, "addresses": addresses, "report": profiled.result.report}))
""",
        scheduler_file,
    )
    report = answer["report"]
    held = {path[0]: total for path, total in by_path(report).items() if path[1:] == ("hold",)}
    assert sorted(held) == ["worker alone", "worker nanny"]
    assert all(30 * MB <= total <= 31 * MB for total in held.values())
    missing = {each["worker"]: each["reason"] for each in report["cluster"]["missing"]}
    assert "no filprofiler" in missing[answer["addresses"]["bare"]]
    assert any("plain" in worker and "not preloaded" in reason for worker, reason in missing.items())
    assert "no nanny" in answer["unable"]
    assert report["notes"][0]["code"] == "workers-missing"


def test_a_cell_is_profiled_with_the_clusters_workers(own_kernel: Kernel) -> None:
    made = own_kernel.run(
        """from distributed import Client, LocalCluster
import time
cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
client = Client(cluster)
client.wait_for_workers(2)
def hold(size):
    held = bytearray(size)
    time.sleep(0.1)
    return len(held)
""",
        timeout=60,
    )
    assert made.status == "ok", made.traceback
    result = own_kernel.run(
        """%%filprofile --dask client --title "the cluster"
own = bytearray(25_000_000)
client.gather(client.map(hold, [30_000_000, 31_000_000]))""",
        timeout=60,
    )
    assert result.status == "ok", result.traceback
    report = result.report
    assert report.data["subject"]["kind"] == "cell"
    assert report.data["title"] == "the cluster"
    assert 25 * MB <= report.bytes_of("Cell [2]", 2) <= 26 * MB
    assert report.source_of("Cell [1]", 7) == "held = bytearray(size)"
    assert below(report.data, "hold", "hold") >= 30 * MB
    names = {process["name"] for process in report.data["processes"]["tracked"]}
    assert names == {"client", "worker 0", "worker 1"}
    # They are the notebook's children again.
    after = own_kernel.run("%%filprofile\nclient.gather(client.map(hold, [30_000_001]))", timeout=60).report
    assert held_by_workers(after) >= 30 * MB
    refused = own_kernel.run("%%filprofile --dask nobody\nprint(1)")
    assert "name 'nobody' is not defined" in refused.text("stderr")
    assert refused.text() == "1\n"
    own_kernel.run("client.close(); cluster.close()", timeout=60)
    closed = own_kernel.run("%%filprofile --dask client\nprint(2)", timeout=60)
    assert "client is closed" in closed.text("stderr")
    assert closed.text() == "2\n"
    own_kernel.run("client = Client(processes=False, n_workers=1, dashboard_address=None)", timeout=60)
    here = own_kernel.run(
        "%%filprofile --dask client\nkept = client.submit(bytes, 20_000_000).result()", timeout=60
    ).report
    assert here.data["peakBytes"] >= 20 * MB
    assert "client's process, which is profiled" in missing_of(here.data)["worker 0"]
    own_kernel.run("client.close()", timeout=60)


def held_by_workers(report: Report) -> int:
    return sum(
        process["jointBytes"] for process in report.data["processes"]["tracked"] if "multiprocessing" in process["name"]
    )
