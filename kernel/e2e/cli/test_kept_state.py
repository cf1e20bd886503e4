"""The whole container dies, Fil with the program: what --keep-state has kept is enough for the report."""

import json
import os
import shutil
import signal
import stat
import struct
import time
from pathlib import Path

import psutil
import pytest
from harness import started
from programs import FIL, Run, only_report, report_directories, run

HOLD = "def hold():\n    return bytearray(20_000_000)\n\nheld = hold()\n"
# Both at one blow, as the system does it: the launcher is the parent.
KILL_ALL = "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nos.kill(os.getpid(), signal.SIGKILL)\n"


def run_kept(cwd: Path, source: str, *options: str, **environment: str) -> Run:
    (cwd / "program.py").write_text(source)
    return run([*FIL, *options, "run", "--keep-state", "state", "program.py"], cwd, **environment)


def recover(cwd: Path, *arguments: str) -> Run:
    return run([*FIL, "recover", *(arguments or ("state",))], cwd)


def states(cwd: Path) -> list[Path]:
    return sorted((cwd / "state").iterdir())


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("killed")
    assert run_kept(directory, HOLD + KILL_ALL).status == -signal.SIGKILL
    return directory


@pytest.fixture
def killed(original: Path, tmp_path: Path) -> Path:
    """A directory in which a program and Fil were killed together."""
    return Path(shutil.copytree(original, tmp_path / "killed"))


def test_a_program_that_was_killed_with_fil_has_its_report_afterwards(killed: Path):
    assert report_directories(killed) == []
    done = recover(killed)
    assert done.status == 0, done.said
    report = only_report(killed)
    assert report["peakBytes"] >= 20_000_000
    assert report["outcome"] == {"kind": "died", "exitCode": None, "signal": None}
    assert report["subject"]["command"] == ["python", "program.py"]
    assert "return bytearray(20_000_000)" in report["frames"]["sourceLine"]
    assert sum(report["tree"]["selfBytes"]) == report["peakBytes"]
    assert b"return bytearray(20_000_000)" in done.stdout
    assert any("with memory left" in line for line in done.said)
    names = {path.name for path in report_directories(killed)[0].iterdir()}
    assert {"index.html", "peak-memory.svg", "peak-memory.prof", "profile.json"} <= names


def test_what_is_kept_is_for_its_owner_only(killed: Path):
    (state,) = states(killed)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (killed / "state", state)} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in state.iterdir()} == {0o600}


def test_a_whole_process_group_that_is_killed_leaves_its_report(tmp_path: Path):
    (tmp_path / "program.py").write_text(HOLD + "print('ready', flush=True)\nimport time\ntime.sleep(60)\n")
    command = [*FIL, "run", "--keep-state", "state", "program.py"]
    with psutil.Popen(
        command, cwd=tmp_path, stdout=-1, stderr=-3, start_new_session=True, env={**os.environ, "LC_ALL": "C"}
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        begun = time.monotonic()
        while not list((tmp_path / "state").glob("*/latest.json")):
            assert time.monotonic() < begun + 20
            time.sleep(0.05)
        in_use = recover(tmp_path)
        os.killpg(process.pid, signal.SIGKILL)
    assert in_use.status == 1
    assert "is in use: its program is running" in " ".join(in_use.said)
    assert recover(tmp_path).status == 0
    report = only_report(tmp_path)
    assert report["peakBytes"] >= 20_000_000
    assert report["timeline"]["bytes"]
    assert report["resident"]["peakBytes"] >= 20_000_000


def test_memory_that_had_run_out_makes_it_an_out_of_memory_report(tmp_path: Path):
    # As where a container's memory runs out at one blow: nearly all of it is held.
    touch = "held = bytearray(200_000_000)\nfor i in range(0, len(held), 4096):\n    held[i] = 1\n"
    settled = "import time\ntime.sleep(0.5)\n"
    run_kept(tmp_path, touch + settled + KILL_ALL, "--disable-oom-detection", FIL_MEMORY_LIMIT="215MB")
    done = recover(tmp_path)
    assert done.status == 0, done.said
    report = only_report(tmp_path)
    assert report["outOfMemory"]["rule"] == "killed-by-system"
    assert report["outOfMemory"]["limitBytes"] == 215_000_000
    assert (report_directories(tmp_path)[0] / "out-of-memory.svg").exists()
    assert any("memory ran out" in line for line in done.said)


def test_state_can_be_removed_once_its_report_is_written(killed: Path):
    assert recover(killed, "state", "-o", "elsewhere", "--remove").status == 0
    assert list((killed / "elsewhere").glob("*/profile.json"))
    assert states(killed) == []


def test_nothing_is_left_of_a_program_that_ends_by_itself(tmp_path: Path):
    done = run_kept(tmp_path, HOLD)
    assert done.status == 0
    assert states(tmp_path) == []
    assert only_report(tmp_path)["peakBytes"] >= 20_000_000
    again = recover(tmp_path)
    assert again.status == 2
    assert "nothing to recover in state" in " ".join(again.said)


def test_a_program_killed_alone_has_its_report_at_once_and_leaves_no_state(tmp_path: Path):
    done = run_kept(tmp_path, HOLD + "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert done.status == -signal.SIGKILL
    assert states(tmp_path) == []
    assert only_report(tmp_path)["peakBytes"] >= 20_000_000


def test_a_call_under_the_api_can_be_recovered_too(tmp_path: Path):
    (tmp_path / "program.py").write_text(
        "from filprofiler.api import profile\nimport os, signal\n"
        "def work():\n    held = bytearray(20_000_000)\n"
        "    os.kill(os.getppid(), signal.SIGKILL)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "profile(work, 'out')\n"
    )
    run([*FIL, "--keep-state", "state", "python", "program.py"], tmp_path)
    assert recover(tmp_path).status == 0
    assert only_report(tmp_path)["peakBytes"] >= 20_000_000


def test_a_cell_can_be_recovered_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FIL_KEEP_STATE", str(tmp_path / "state"))
    with started(cwd=str(tmp_path)) as kernel:
        kernel.run("%%filprofile\n1")
        (state,) = states(tmp_path)
        assert [path.name for path in state.iterdir()] == ["segment"]
        proxy, child = kernel.proxy, kernel.child
        kernel.last_words(f"%%filprofile --title Cell\nheld = bytearray(20_000_000)\n{KILL_ALL}")
        psutil.wait_procs([proxy, child], timeout=10)
    done = recover(tmp_path)
    assert done.status == 0, done.said
    report = only_report(tmp_path)
    assert report["title"] == "Cell"
    assert ("Cell [2]", 2) in list(zip(report["frames"]["file"], report["frames"]["line"], strict=True))
    assert "held = bytearray(20_000_000)" in report["frames"]["sourceLine"]


def test_a_kernel_that_is_shut_down_leaves_no_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FIL_KEEP_STATE", str(tmp_path / "state"))
    with started() as kernel:
        kernel.run("%%filprofile\n1")
        kernel.manager.shutdown_kernel()
    assert states(tmp_path) == []


def cut_off(state: Path) -> None:
    os.truncate(state / "segment", 1_000_000)


def empty(state: Path) -> None:
    os.truncate(state / "segment", 0)


def foreign(state: Path) -> None:
    (state / "segment").write_bytes(os.urandom(100_000))


def another_version(state: Path) -> None:
    with (state / "segment").open("r+b") as file:
        file.seek(8)
        file.write(struct.pack("<I", 3))


def corrupt(state: Path) -> None:
    # The count of sites.
    with (state / "segment").open("r+b") as file:
        file.seek(56)
        file.write(b"\xff" * 8)


def corrupt_ring(state: Path) -> None:
    # Callers behind their callees.
    with (state / "segment").open("r+b") as file:
        file.seek(4096 + (40 << 20))
        file.write(b"\x7f" * 100_000)


def pipe(state: Path) -> None:
    (state / "segment").unlink()
    os.mkfifo(state / "segment")


def no_json(state: Path) -> None:
    (state / "begun.json").write_text('{"format": 1, "filprof')


def json_of_something_else(state: Path) -> None:
    (state / "begun.json").write_text('{"name": "package"}')


def newer_format(state: Path) -> None:
    begun = json.loads((state / "begun.json").read_text())
    (state / "begun.json").write_text(json.dumps({**begun, "format": 2}))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut_off, "1000000 bytes instead of"),
        (empty, "not written by Fil"),
        (foreign, "not written by Fil"),
        (another_version, "another version of Fil has written it (layout 3; this one reads layout"),
        (corrupt, "is damaged"),
        (corrupt_ring, "is damaged"),
        (pipe, "no regular file"),
        (no_json, "begun.json is damaged: it is not JSON"),
        (json_of_something_else, "begun.json is damaged, or was not written by Fil"),
        (newer_format, "has the format 2, this Fil"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_state_that_cannot_be_recovered_is_refused_with_the_reason(killed: Path, damage, said: str):
    damage(states(killed)[0])
    done = recover(killed)
    assert done.status == 1
    assert said in " ".join(done.said)
    assert "Traceback" not in done.stderr.decode()
    assert "    at " not in done.stderr.decode()
    assert report_directories(killed) == []


def test_a_damaged_course_costs_the_report_only_its_course(killed: Path):
    (states(killed)[0] / "latest.json").write_text("{")
    done = recover(killed)
    assert done.status == 0
    assert "without memory over time" in " ".join(done.said)
    assert only_report(killed)["peakBytes"] >= 20_000_000


def test_one_damaged_state_does_not_hide_the_others(killed: Path):
    run_kept(killed, HOLD + KILL_ALL)
    cut_off(states(killed)[0])
    done = recover(killed)
    assert done.status == 1
    assert "1 of 2 were recovered" in " ".join(done.said)
    assert only_report(killed)["peakBytes"] >= 20_000_000


@pytest.mark.parametrize("place", ["missing", "program.py"])
def test_a_directory_that_is_none_is_an_error(killed: Path, place: str):
    done = recover(killed, place)
    assert done.status == 2
    assert place in " ".join(done.said)


def test_a_directory_that_cannot_be_written_is_an_error_before_the_program_runs(tmp_path: Path):
    (tmp_path / "program.py").write_text("print('ran')")
    done = run([*FIL, "run", "--keep-state", "/proc/nowhere", "program.py"], tmp_path)
    assert (done.status, done.stdout) == (2, b"")
    assert b"--keep-state /proc/nowhere" in done.stderr
