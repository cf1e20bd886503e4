"""`fil-profile report`, `diff`, `export` and `serve`: reports are read again."""

import csv
import http.client
import io
import json
import os
import re
import shutil
import signal
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from programs import FIL, Run, profiled, report_directories, report_in, run

NAMES = {"index.html", "peak-memory.svg", "peak-memory-reversed.svg", "peak-memory.prof", "profile.json"}
SCRIPT = "def make(size):\n    return bytearray(size)\n\nkept = make({size})\nmore = bytearray(3_000_000)\n"


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The reports of a program, and of a version of it that holds less."""
    directory = tmp_path_factory.mktemp("reports")
    (directory / "program.py").write_text(SCRIPT.format(size=40_000_000))
    assert profiled(["program.py"], directory).status == 0
    (directory / "program.py").write_text("# a line more\n" + SCRIPT.format(size=10_000_000))
    assert profiled(["program.py"], directory).status == 0
    before, after = report_directories(directory)
    return before, after


def fil(*arguments: str | Path, cwd: Path) -> Run:
    return run([*FIL, *map(str, arguments)], cwd)


def test_a_program_leaves_all_files_and_they_agree_on_the_peak(reports):
    before, _ = reports
    assert {path.name for path in before.iterdir()} == NAMES
    peak = report_in(before)["peakBytes"]
    lines = (before / "peak-memory.prof").read_text().splitlines()
    assert sum(int(line.rsplit(" ", 1)[1]) for line in lines) == peak
    assert all(re.fullmatch(r"((.+:\d+ \(.+\)|\[.+\])(;|(?= \d)))+ \d+", line) for line in lines)
    for name in ("peak-memory.svg", "peak-memory-reversed.svg"):
        title = ET.parse(before / name).getroot().findtext("{http://www.w3.org/2000/svg}title")
        assert title == f"Peak Tracked Memory Usage ({peak / 2**20:.1f} MiB)"
    assert f"<h1>{title}</h1>" in (before / "index.html").read_text()


def test_report_writes_the_same_files_elsewhere_and_tells_the_top_lines(reports, tmp_path):
    before, _ = reports
    done = fil("report", before, "-o", tmp_path / "new" / "place", cwd=tmp_path)
    assert done.status == 0
    assert {path.name for path in (tmp_path / "new" / "place").iterdir()} == NAMES
    for name in NAMES:
        assert (tmp_path / "new" / "place" / name).read_bytes() == (before / name).read_bytes()
    assert re.search(rb"38\.1 MiB +\d+ %  make  program\.py:2  return bytearray\(size\)", done.stdout)


def test_report_text_writes_nothing(reports, tmp_path):
    shutil.copy(reports[0] / "profile.json", tmp_path)
    assert fil("report", "--text", "profile.json", cwd=tmp_path).stdout.startswith(b"python program.py\nPeak 4")
    assert [path.name for path in tmp_path.iterdir()] == ["profile.json"]


def test_diff_tells_what_changed_though_lines_moved(reports, tmp_path):
    done = fil("diff", *reports, cwd=tmp_path)
    assert done.status == 0
    lines = done.stdout.decode().splitlines()
    assert re.match(r"Peak 4\d\.\d MiB before, 1\d\.\d MiB after: -28\.6 MiB", lines[0])
    changes = [line for line in lines if "program.py" in line]
    assert re.match(r" +-28\.6 MiB +38\.1 MiB +9\.5 MiB  make  program\.py:3  return bytearray", changes[0])
    # The other line holds as much, one line below.
    assert not any("more = bytearray" in line for line in changes)
    page = (tmp_path / "fil-diff.html").read_text()
    assert str(reports[0]) in page


def test_diff_as_json_is_for_scripts(reports, tmp_path):
    done = fil("diff", "--format", "json", *reports, cwd=tmp_path)
    result = json.loads(done.stdout)
    assert result["peakDeltaBytes"] == result["after"]["peakBytes"] - result["before"]["peakBytes"]
    assert sum(line["deltaBytes"] for line in result["lines"]) == result["peakDeltaBytes"]
    assert list(tmp_path.iterdir()) == []


def test_exports_hold_the_whole_peak(reports, tmp_path):
    peak = report_in(reports[0])["peakBytes"]
    speedscope = json.loads(fil("export", "-f", "speedscope", reports[0], cwd=tmp_path).stdout)
    assert sum(speedscope["profiles"][0]["weights"]) == peak
    collapsed = fil("export", "--format", "collapsed", reports[0], cwd=tmp_path).stdout.decode()
    assert sum(int(line.rsplit(" ", 1)[1]) for line in collapsed.splitlines()) == peak
    table = csv.DictReader(io.StringIO(fil("export", "-f", "csv", reports[0], cwd=tmp_path).stdout.decode()))
    assert sum(int(row["self_bytes"]) for row in table) == peak
    assert fil("export", "-f", "pprof", reports[0], "-o", "p.pb.gz", cwd=tmp_path).status == 0
    if shutil.which("go"):
        shown = subprocess.run(
            ["go", "tool", "pprof", "-top", "-unit=B", "p.pb.gz"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PPROF_TMPDIR": str(tmp_path)},
            check=True,
        ).stdout
        assert f"of {peak}B total" in shown
        assert re.search(r"4\d{7}B .* make$", shown, re.MULTILINE)


def test_wrong_use_and_unreadable_reports_are_one_sentence(reports, tmp_path):
    text = (reports[0] / "profile.json").read_text()
    (tmp_path / "cut.json").write_text(text[: len(text) // 2])
    (tmp_path / "newer.json").write_text(text.replace('"version":1', '"version":99', 1))
    (tmp_path / "script.py").write_text("print()")
    for arguments, status, words in [
        (["report", "missing"], 2, "missing does not exist"),
        (["report", "."], 2, ". has no profile.json"),
        (["report", "cut.json"], 1, "cut.json is cut off or damaged"),
        (["report", "newer.json"], 1, "has version 99"),
        (["diff", reports[0], "script.py"], 1, "script.py is not a report"),
        (["export", "-f", "csv", reports[0], "-o", "no/such/place.csv"], 1, "no/such/place.csv could not be written"),
        (["export", "-f", "nothing", reports[0]], 2, "Allowed choices are speedscope, collapsed, csv, pprof"),
        (["export", reports[0]], 2, "required option '-f, --format <format>'"),
        (["diff", reports[0]], 2, "missing required argument 'after'"),
        (["serve", "missing"], 2, "missing is no directory"),
    ]:
        done = fil(*arguments, cwd=tmp_path)
        assert done.status == status, arguments
        said = (done.stderr.decode() + "\n".join(done.said)).strip()
        assert words in said
        assert "Traceback" not in said
        assert "    at " not in said


@pytest.mark.parametrize("command", ["report", "diff", "export", "serve"])
def test_each_command_has_help_with_examples(command, tmp_path):
    done = fil(command, "--help", cwd=tmp_path)
    assert done.status == 0
    assert done.stdout.startswith(f"Usage: fil-profile {command} ".encode())
    assert b"Examples:\n  fil-profile " + command.encode() in done.stdout
    assert b"Exit status: 0; 1 if" in done.stdout


def test_serve_lists_reports_for_who_has_the_token_and_ends_with_ctrl_c(reports):
    directory = reports[0].parent
    with subprocess.Popen(
        [*FIL, "serve", str(directory), "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as serving:
        try:
            assert serving.stdout is not None
            url = urlsplit(serving.stdout.readline().strip())
            assert url.hostname == "127.0.0.1"
            connection = http.client.HTTPConnection("127.0.0.1", url.port or 0, timeout=10)
            connection.request("GET", f"/?{url.query}")
            answer = connection.getresponse()
            answer.read()
            cookie = (answer.getheader("Set-Cookie") or "").split(";")[0]
            connection.request("GET", f"/{reports[0].name}/index.html", headers={"Cookie": cookie})
            page = connection.getresponse()
            assert page.read() == (reports[0] / "index.html").read_bytes()
            connection.request("GET", f"/{reports[0].name}/index.html")
            refused = connection.getresponse()
            refused.read()
            assert refused.status == 403
            connection.close()
            serving.send_signal(signal.SIGINT)
            assert serving.wait(10) == 0
        finally:
            serving.kill()
