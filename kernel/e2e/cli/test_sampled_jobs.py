"""`fil-profile run --sample` and FIL_PROFILE=sample: jobs that sample themselves, and run as they would without Fil."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from memory_group import limited
from programs import FIL, bytes_of_lines, only_report, plain, profiled, report_directories, report_in, run, split_stderr

from filprofiler._sample import tracker_path

HOLD = """\
import sys
def rows(): return [{"n": n, "t": str(n)} for n in range(100_000)]
def block(): return bytearray(50_000_000)
kept = [rows(), block()]
print(len(kept), file=sys.stdout)
print("to stderr", file=sys.stderr)
"""
PRELOADED = {"LD_PRELOAD": tracker_path(), "FIL_PROFILE": "sample"}


def sampled(arguments, cwd, **environment):
    return profiled(["--sample", *arguments], cwd, **environment)


def complete_reports(cwd: Path) -> list[Path]:
    return [path for path in report_directories(cwd) if not path.name.endswith(".part")]


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    pytest.fail("it did not happen in time")


def test_a_job_leaves_a_report_with_intervals_and_nothing_else(tmp_path):
    (tmp_path / "job.py").write_text(HOLD)
    done = sampled(["--job", "nightly", "--label", "team=data", "job.py", "--day", "3"], tmp_path)
    assert done.behaviour == (0, b"2\n", b"to stderr\n")
    assert done.said == ()
    report = only_report(tmp_path)
    assert report["job"]["name"] == "nightly"
    assert report["job"]["labels"]["team"] == "data"
    assert report["subject"]["command"][1:] == ["job.py", "--day", "3"]
    assert report["outcome"] == {"kind": "completed"}
    assert 0.02 < report["durationSeconds"] < 60
    # Its beginning alone is no curve.
    assert len(report["timeline"]["seconds"]) != 1
    # What the interpreter does not give back is a sample or two, or none.
    assert report["sampling"].pop("retainedSampledBytes") < 1_000_000
    assert report["sampling"] == {"meanBytes": 32768, "exactFromBytes": 32768}
    assert [note["code"] for note in report["notes"]] == ["sampled"]
    lines = bytes_of_lines(report)
    assert 50_000_000 <= lines[("job.py", 3)] < 50_300_000
    assert 20_000_000 < lines[("job.py", 2)] < 40_000_000
    assert sum(report["tree"]["sampledBytes"]) > 15_000_000


@pytest.mark.parametrize(
    "code", ["sys.exit(3)", "raise ValueError('x')", "os._exit(4)", "os.kill(os.getpid(), 15)", "os.abort()"]
)
def test_its_end_is_that_of_the_job_and_has_a_report(tmp_path, code):
    (tmp_path / "job.py").write_text(
        f"import os, sys\nkept = bytearray(20_000_000)\nprint('here', flush=True)\n{code}\n"
    )
    done = sampled(["job.py"], tmp_path)
    assert done.behaviour == plain(["job.py"], tmp_path).behaviour
    assert done.said == ()
    reports = wait_for(lambda: complete_reports(tmp_path))
    assert report_in(reports[0])["peakBytes"] > 20_000_000


def test_a_job_looks_to_itself_as_without_fil(tmp_path):
    (tmp_path / "show.py").write_text(
        "import os, sys, threading, signal\n"
        "print(sys.argv, sys.path[0], sys.orig_argv, sys.flags, sorted(sys.modules), sys._xoptions)\n"
        "print(sorted(os.environ.items()), threading.active_count(), os.getpgrp() == os.getpid())\n"
        "print([signal.getsignal(n) for n in (2, 10, 12, 15, 17)], sys.gettrace(), sys.getprofile())\n"
        "try: os.wait()\n"
        "except ChildProcessError: print('no children')\n"
    )
    done = sampled(["show.py", "one", "--two"], tmp_path)
    assert done.behaviour == plain(["show.py", "one", "--two"], tmp_path).behaviour


def test_a_preloaded_image_samples_every_python_that_it_starts(tmp_path):
    (tmp_path / "child.py").write_text("kept = bytearray(30_000_000)\n")
    (tmp_path / "job.py").write_text(
        "import subprocess, sys\nkept = bytearray(10_000_000)\n"
        "print(subprocess.run(['/bin/echo', 'hello'], capture_output=True).stdout)\n"
        "subprocess.run([sys.executable, 'child.py'], check=True)\n"
    )
    environment = {**PRELOADED, "FIL_PROFILE_OUTPUT": str(tmp_path / "fil-result"), "AIRFLOW_CTX_TASK_ID": "load"}
    done = run([sys.executable, "job.py"], tmp_path, **environment)
    assert done.behaviour == (0, b"b'hello\\n'\n", b"")
    assert done.said == ()
    peaks = sorted(report_in(path)["peakBytes"] // 10_000_000 for path in complete_reports(tmp_path))
    assert peaks == [1, 3]
    assert {report_in(path)["job"]["name"] for path in complete_reports(tmp_path)} == {"load"}


def start(arguments, cwd, **environment):
    return subprocess.Popen(
        [*FIL, "run", "--sample", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    )


def test_a_signal_asks_for_a_report_and_the_job_goes_on(tmp_path):
    (tmp_path / "job.py").write_text("kept = bytearray(20_000_000)\nprint('ready', flush=True)\nprint(input())\n")
    with subprocess.Popen(
        [*FIL, "run", "--sample", "job.py"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as job:
        assert job.stdout is not None
        assert job.stdin is not None
        assert job.stdout.readline() == b"ready\n"
        job.send_signal(signal.SIGUSR2)
        (path,) = wait_for(lambda: complete_reports(tmp_path))
        assert report_in(path)["outcome"] == {"kind": "running"}
        job.stdin.write(b"done\n")
        job.stdin.close()
        assert job.stdout.readline() == b"done\n"
        assert job.wait(30) == 0
    assert len(complete_reports(tmp_path)) == 2


def test_reports_on_a_timer_roll(tmp_path):
    (tmp_path / "job.py").write_text("import time\nkept = bytearray(20_000_000)\ntime.sleep(9)\n")
    done = sampled(["--every", "1", "job.py"], tmp_path, FIL_PROFILE_KEEP="2")
    assert (done.status, done.said) == (0, ())
    reasons = [path.name.rsplit("_", 1)[1] for path in complete_reports(tmp_path)]
    assert reasons == ["timer", "timer", "exit"]
    timeline = report_in(complete_reports(tmp_path)[-1])["timeline"]
    assert len(timeline["seconds"]) >= 5
    assert max(timeline["bytes"]) > 20_000_000


def test_the_disk_that_reports_take_is_bounded_and_nothing_else_is_removed(tmp_path):
    (tmp_path / "job.py").write_text("kept = bytearray(5_000_000)\n")
    (tmp_path / "fil-result" / "mine").mkdir(parents=True)
    (tmp_path / "fil-result" / "2020-01-01T00-00-00_000").mkdir()
    for _ in range(4):
        assert sampled(["job.py"], tmp_path, FIL_PROFILE_DISK="400000").status == 0
    names = [path.name for path in report_directories(tmp_path)]
    assert {"mine", "2020-01-01T00-00-00_000"} < set(names)
    reports = [path for path in report_directories(tmp_path) if (path / "profile.json").exists()]
    assert 1 <= len(reports) < 4


def test_a_job_that_is_killed_leaves_what_it_held(tmp_path):
    (tmp_path / "job.py").write_text(
        "import time\nkept = bytearray(20_000_000)\nprint('ready', flush=True)\ntime.sleep(60)\n"
    )
    with start(["job.py"], tmp_path) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == b"ready\n"
        job.kill()
        assert job.wait(30) == -signal.SIGKILL
    (path,) = wait_for(lambda: complete_reports(tmp_path))
    assert report_in(path)["outcome"]["kind"] == "died"
    assert report_in(path)["peakBytes"] > 20_000_000


def test_a_job_that_becomes_another_program_has_its_report_of_before(tmp_path):
    (tmp_path / "job.py").write_text(
        "import os, sys\nkept = bytearray(20_000_000)\nos.execv('/bin/sh', ['sh', '-c', 'sleep 3; echo sh; exit 5'])\n"
    )
    done = sampled(["job.py"], tmp_path)
    assert done.behaviour == (5, b"sh\n", b"")
    (path,) = wait_for(lambda: complete_reports(tmp_path))
    assert path.name.endswith("_replaced")
    assert report_in(path)["peakBytes"] > 20_000_000


def test_a_job_that_closes_all_descriptors_is_reported_and_not_disturbed(tmp_path):
    (tmp_path / "job.py").write_text(
        "import os, time\nos.closerange(3, 4096)\nfiles = [open('/dev/null', 'w') for _ in range(300)]\n"
        "kept = bytearray(20_000_000)\ntime.sleep(2)\n"
    )
    done = sampled(["job.py"], tmp_path)
    assert done.behaviour == (0, b"", b"")
    (path,) = complete_reports(tmp_path)
    assert path.name.endswith("_exit")


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"FIL_PROFILE_OUTPUT": "/proc/nowhere"}, "could not be written"),
        ({"FIL_NODE": "/bin/false"}, "could not be written"),
        ({"FIL_NODE": "/does/not/exist"}, "Node is missing"),
        ({"FIL_NODE": "/dev/null"}, "Node is missing"),
    ],
    ids=lambda value: str(value),
)
def test_whatever_fails_the_job_goes_on_and_its_log_has_one_line(tmp_path, environment, reason):
    (tmp_path / "job.py").write_text(HOLD + "sys.exit(7)\n")
    done = run([sys.executable, "job.py"], tmp_path, **{**PRELOADED, "FIL_PROFILE_OUTPUT": "fil-result", **environment})
    assert done.behaviour == (7, b"2\n", b"to stderr\n")
    assert len(done.said) == 1
    assert reason in done.said[0]


# 20 MB of small objects, and what does not fit.
TIGHT = """\
import sys
kept = [bytes(1000) for _ in range(20_000)]
try:
    bytearray(10**9)
except MemoryError:
    print("no room")
print(len(kept), file=sys.stderr)
sys.exit(7)
"""


@pytest.mark.parametrize("megabytes", [60, 300, 600])
@pytest.mark.parametrize("command", [[sys.executable], [*FIL, "run", "--sample"]], ids=["preloaded", "run"])
def test_in_a_small_address_space_the_job_is_as_without_and_one_line_says_what_is_missing(tmp_path, megabytes, command):
    (tmp_path / "job.py").write_text(TIGHT)
    limited_to = ["bash", "-c", f'ulimit -v {megabytes * 1000}; exec "$@"', "limited"]
    environment = {**PRELOADED, "FIL_PROFILE_OUTPUT": "fil-result"} if command == [sys.executable] else {}
    # The preloaded tracker is for the job alone.
    variables = [f"{name}={value}" for name, value in environment.items()]
    done = run([*limited_to, "env", *variables, *command, "job.py"], tmp_path)
    assert done.behaviour == run([*limited_to, sys.executable, "job.py"], tmp_path).behaviour
    assert done.behaviour == (7, b"no room\n", b"20000\n")
    assert len(done.said) == 1
    assert f"2000 MB of addresses are needed for it, and {megabytes * 1024 // 1000} MB are allowed" in done.said[0]
    assert report_directories(tmp_path) == []


def test_a_limit_of_its_addresses_that_the_job_set_itself_is_not_that_of_the_report(tmp_path):
    (tmp_path / "job.py").write_text(TIGHT)
    variables = [f"{name}={value}" for name, value in {**PRELOADED, "FIL_PROFILE_OUTPUT": "fil-result"}.items()]
    limited_to = ["bash", "-c", 'ulimit -S -v 300000; exec "$@"', "limited"]
    done = run([*limited_to, "env", *variables, sys.executable, "job.py"], tmp_path)
    assert done.behaviour == (7, b"no room\n", b"20000\n")
    assert done.said == ()
    assert only_report(tmp_path)["sampling"]["meanBytes"] == 32768


def test_a_recorder_that_is_killed_costs_only_the_report(tmp_path):
    (tmp_path / "job.py").write_text(
        "import os, signal, pathlib, time\n"
        "for entry in pathlib.Path('/proc').iterdir():\n"
        "    try:\n"
        "        if entry.name.isdigit() and (entry / 'comm').read_text() == 'fil-recorder\\n' "
        "and os.readlink(entry / 'cwd') == os.getcwd(): os.kill(int(entry.name), signal.SIGKILL)\n"
        "    except OSError: pass\n"
        "kept = bytearray(20_000_000)\nprint('end')\n"
    )
    began = time.monotonic()
    done = sampled(["job.py"], tmp_path)
    assert (done.status, done.stdout, done.said) == (0, b"end\n", ())
    assert time.monotonic() - began < 9
    assert complete_reports(tmp_path) == []


def test_forked_children_run_on_and_make_no_report_of_their_own(tmp_path):
    (tmp_path / "job.py").write_text(
        "import multiprocessing, os\n"
        "def work(n): return len([str(i) for i in range(n)])\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('fork').Pool(2) as pool: print(pool.map(work, [1000, 2000]))\n"
        "    child = os.fork()\n"
        "    if child == 0: raise SystemExit(3)\n"
        "    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = sampled(["job.py"], tmp_path)
    assert done.behaviour == (0, b"[1000, 2000]\n3\n", b"")
    assert len(complete_reports(tmp_path)) == 1


def test_preload_tells_what_an_image_has_to_set(tmp_path):
    done = run([*FIL, "preload"], tmp_path)
    assert done.status == 0
    lines = dict(line.split("=", 1) for line in done.stdout.decode().splitlines())
    assert lines["FIL_PROFILE"] == "sample"
    assert Path(lines["LD_PRELOAD"]).exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--job", "x", "job.py"],
        ["--sample", "--every", "soon", "job.py"],
        ["--sample", "--max-peak", "1GiB", "job.py"],
        ["--sample", "--label", "team", "job.py"],
        ["--sample", "--mean"],
    ],
)
def test_wrong_options_are_refused_before_the_job(tmp_path, arguments):
    (tmp_path / "job.py").write_text("print('ran')\n")
    done = profiled(arguments, tmp_path)
    assert (done.status, done.stdout) == (2, b"")
    assert re.search(rb"run: ", done.stderr)


def test_reports_of_many_processes_merge_into_one(tmp_path):
    (tmp_path / "job.py").write_text("def load(): return bytearray(20_000_000)\nkept = load()\n")
    for _ in range(2):
        assert sampled(["job.py"], tmp_path).status == 0
    done = run([*FIL, "merge", "fil-result", "-o", "merged"], tmp_path)
    assert (done.status, done.stderr) == (0, b"")
    report = report_in(tmp_path / "merged")
    assert 40_000_000 <= bytes_of_lines(report)[("job.py", 1)] < 40_100_000
    assert report["merged"]["rule"] == "sum"
    assert len(report["merged"]["reports"]) == 2
    assert "sum of 2 reports" in report["notes"][0]["text"]
    again = run([*FIL, "merge", "merged"], tmp_path)
    assert (again.status, len(again.said)) == (2, 1)


def test_with_little_memory_left_a_report_waits_for_the_end_of_the_job(tmp_path):
    """Node's memory must not be what has the job killed, least of all where its whole control group is."""
    (tmp_path / "job.py").write_text("import time\nkept = b'x' * 150_000_000\ntime.sleep(3)\nprint('end')\n")
    with limited(185_000_000) as place:
        done = subprocess.run(
            [*FIL, "run", "--sample", "--every", "1", "job.py"],
            cwd=tmp_path,
            capture_output=True,
            timeout=60,
            check=False,
            preexec_fn=place.enter,
        )
        stderr, said = split_stderr(done.stderr)
        assert (done.returncode, done.stdout, stderr) == (0, b"end\n", b"")
        wait_for(lambda: [path for path in complete_reports(tmp_path) if path.name.endswith("_exit")])
        assert report_in(complete_reports(tmp_path)[-1])["peakBytes"] > 150_000_000
        if place.enter is not None:
            # Where no control group can be made, memory does not get scarce.
            assert len(complete_reports(tmp_path)) == 1
            assert len(said) == 1
            assert "waits until 40 MB of memory are left" in said[0]
