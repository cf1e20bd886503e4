"""What the report of a profiled cell says."""

import time

import pytest
import zmq
from test_cell_semantics import cell


def test_the_bytes_of_a_line_are_reported_to_the_byte(kernel):
    result = kernel.run("%%filprofile\nexact = bytearray(10_000_000)")
    # bytearray allocates one byte more than asked for, for a closing zero.
    assert result.report.bytes_of(cell(result), 2) >= 10_000_001
    self_bytes = sum(result.report.data["tree"]["selfBytes"])
    assert self_bytes == result.report.peak == result.report.data["tree"]["totalBytes"][0]


def test_memory_freed_before_the_peak_is_not_in_the_report(kernel):
    result = kernel.run("%%filprofile\ngone = bytearray(5_000_000)\ndel gone\nkept = bytearray(9_000_000)")
    assert result.report.bytes_of(cell(result), 2) == 0
    assert result.report.bytes_of(cell(result), 4) >= 9_000_000


def test_memory_freed_after_the_peak_is_in_the_report_but_not_retained(kernel):
    result = kernel.run("%%filprofile\npassing = bytearray(9_000_000)\ndel passing")
    assert result.report.bytes_of(cell(result), 2) >= 9_000_000
    assert result.report.data["retainedBytes"] < 1_000_000


def test_call_stacks_begin_at_the_cell(kernel):
    result = kernel.run("%%filprofile\ndef work():\n    return bytearray(4_000_000)\n\nkept = work()")
    name = cell(result)
    assert (name, 5, "<module>") in [line[:3] for line in result.report.lines()]
    assert (name, 3, "work") in [line[:3] for line in result.report.lines()]
    assert not [line for line in result.report.lines() if "ipykernel" in line[0] or "filprofiler" in line[0]]


def test_functions_of_earlier_cells_are_shown_with_their_cell_and_source_line(kernel):
    earlier = kernel.run("def make():\n    return bytearray(4_000_000)  # made here")
    result = kernel.run("%%filprofile\nkept = make()")
    assert result.report.bytes_of(cell(earlier), 2) >= 4_000_000
    assert result.report.source_of(cell(earlier), 2) == "return bytearray(4_000_000)  # made here"
    assert result.report.source_of(cell(result), 2) == "kept = make()"


def test_a_cell_that_ran_twice_is_shown_with_its_latest_number(kernel):
    code = "%%filprofile\nagain = bytearray(4_000_000)"
    kernel.run(code)
    second = kernel.run(code)
    assert second.report.bytes_of(cell(second), 2) >= 4_000_000


def test_the_second_run_reports_what_the_first_did(kernel):
    code = "%%filprofile\nagain = bytearray(4_000_000)\ndel again"
    peaks = [kernel.run(code).report.peak for _ in range(3)]
    assert max(peaks) - min(peaks) < 100_000


def test_fil_itself_is_not_in_the_first_report(own_kernel):
    report = own_kernel.run("%%filprofile\nx = bytearray(4_000_000)").report
    assert 4_000_000 <= report.peak < 4_100_000


def test_memory_of_earlier_cells_is_not_in_the_report_but_resident_memory_is_told(kernel):
    kernel.run("before = bytearray(40_000_000)")
    report = kernel.run("%%filprofile\nx = 1").report
    assert report.peak < 1_000_000
    assert report.data["residentBeforeBytes"] > 40_000_000


def test_threads_started_before_tracking_have_their_python_stack(kernel):
    kernel.run(
        "import threading, queue\n"
        "jobs, done = queue.Queue(), queue.Queue()\n"
        "def serve():\n"
        "    while jobs.get():\n"
        "        done.put(bytearray(6_000_000))\n"
        "threading.Thread(target=serve, daemon=True).start()"
    )
    result = kernel.run("%%filprofile\njobs.put(True)\nfrom_thread = done.get()")
    kernel.run("jobs.put(False)")
    functions = {function: total for _, _, function, total in result.report.lines()}
    assert functions["serve"] >= 6_000_000


def test_users_of_settrace_do_not_disturb_the_call_stacks(kernel):
    code = (
        "%%filprofile\n"
        "import sys\n"
        "def tracer(frame, event, argument): return tracer\n"
        "def traced(): return bytearray(5_000_000)\n"
        "sys.settrace(tracer)\n"
        "kept = traced()\n"
        "sys.settrace(None)"
    )
    result = kernel.run(code)
    assert result.report.bytes_of(cell(result), 4) >= 5_000_000
    assert result.report.bytes_of(cell(result), 6) >= 5_000_000


def test_the_report_is_in_the_message_and_needs_no_file(kernel, tmp_path):
    result = kernel.run(f"%%filprofile\n%cd {tmp_path}\nkept = bytearray(2_000_000)")
    assert result.report.peak >= 2_000_000
    assert "<iframe" not in result.report.bundle["text/html"]
    assert list(tmp_path.iterdir()) == []


def test_an_option_gives_the_title(kernel):
    assert kernel.run("%%filprofile --title 'Reading the file'\n1").report.data["title"] == "Reading the file"


def test_an_option_also_writes_the_report_as_a_web_page(kernel, tmp_path):
    result = kernel.run(f"%%filprofile --output '{tmp_path}/a report'\nx = bytearray(2_000_000)")
    page = tmp_path / "a report" / "index.html"
    assert str(page) in result.text()
    assert "<html" in page.read_text()
    assert len(result.reports) == 1


def test_the_bundle_has_a_form_for_every_front_end(kernel):
    bundle = kernel.run("%%filprofile\nx = bytearray(2_000_000)").report.bundle
    assert "<script" not in bundle["text/html"]
    assert "MiB" in bundle["text/plain"]


def test_the_timeline_rises_while_the_cell_runs_and_stays_small(kernel):
    loop = "for _ in range(40):\n    kept.append(bytearray(1_000_000))\n    time.sleep(0.01)"
    code = f"%%filprofile\nimport time\nkept = []\n{loop}"
    timeline = kernel.run(code).report.data["timeline"]
    assert 10 <= len(timeline["seconds"]) <= 501
    assert timeline["seconds"] == sorted(timeline["seconds"])
    assert timeline["bytes"][-1] > timeline["bytes"][0] + 10_000_000


def test_the_report_tells_when_and_how_long(kernel):
    data = kernel.run("%%filprofile\nimport time\ntime.sleep(0.2)").report.data
    assert 0.2 <= data["durationSeconds"] < 1
    assert data["startedAt"].endswith("Z")
    assert data["outcome"] == {"kind": "completed"}


def test_the_report_names_the_cell_that_the_front_end_named(kernel):
    message = kernel.client.session.msg(
        "execute_request",
        {
            "code": "%%filprofile\n1",
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
        },
        metadata={"cellId": "cell-of-the-test"},
    )
    kernel.client.shell_channel.send(message)
    result = kernel.collect(message["header"]["msg_id"])
    reply = kernel.reply(message["header"]["msg_id"])
    expected = {"kind": "cell", "executionCount": reply["execution_count"], "cellId": "cell-of-the-test"}
    assert result.report.data["subject"] == expected


def test_relative_imports_from_the_notebooks_directory_are_shown_with_their_source(tmp_path):
    from harness import started

    (tmp_path / "helper.py").write_text("def grow():\n    return bytearray(5_000_000)  # in helper\n")
    with started(cwd=str(tmp_path)) as kernel:
        result = kernel.run("%%filprofile\nimport helper\nkept = helper.grow()")
    texts = [text for text in result.report.data["frames"]["sourceLine"] if "in helper" in text]
    assert texts == ["return bytearray(5_000_000)  # in helper"]


def test_profiling_a_call_writes_a_report_and_returns_its_result(kernel, tmp_path):
    code = (
        f"from filprofiler.api import profile\nprofile(lambda: len(bytearray(7_000_000)), {str(tmp_path / 'call')!r})"
    )
    assert kernel.run(code).value == "7000000"
    assert "6.7 MiB" in (tmp_path / "call" / "index.html").read_text()


def test_profiling_a_call_raises_what_it_raises_and_still_writes_the_report(kernel, tmp_path):
    code = f"from filprofiler.api import profile\nprofile(lambda: 1 / 0, {str(tmp_path / 'call')!r})"
    assert kernel.run(code).reply["ename"] == "ZeroDivisionError"
    assert (tmp_path / "call" / "index.html").exists()


def test_profiling_a_call_within_a_profiled_cell_says_that_there_is_one_at_a_time(kernel, tmp_path):
    code = f"%%filprofile\nfrom filprofiler.api import profile\nprofile(print, {str(tmp_path)!r})"
    result = kernel.run(code)
    assert "one at a time" in result.reply["evalue"]
    assert len(result.reports) == 1


@pytest.mark.parametrize("module", ["numexpr", "blosc"])
def test_libraries_for_thread_pools_are_not_imported_for_the_user(kernel, module):
    kernel.run("%%filprofile\n1")
    assert kernel.run(f"import sys; {module!r} in sys.modules").value == "False"


def test_thread_pools_have_one_thread_while_profiling_and_their_own_number_afterwards(kernel):
    kernel.run(
        "import numpy, threadpoolctl\n"
        "def threads(): return [pool['num_threads'] for pool in threadpoolctl.threadpool_info()]\n"
        "before = threads()"
    )
    assert set(eval(kernel.run("%%filprofile\nthreads()").value)) == {1}
    assert kernel.run("threads() == before").value == "True"
    kernel.run("%%filprofile\n1/0")
    assert kernel.run("threads() == before").value == "True"


def test_while_a_large_report_is_made_the_kernel_goes_on_forwarding(kernel):
    # 3 ** 9 call stacks for each of 9 functions: 65,536 call sites, and as many again as fit where recursion is folded.
    kernel.run(
        "def define(n):\n"
        "    source = '\\n'.join(f'def f{i}(d):\\n    held.append(bytearray(600))\\n"
        "    return [g(d - 1) for g in functions[:3]] if d else None' for i in range(n))\n"
        "    names = {'held': [], 'functions': []}\n"
        "    exec(source, names)\n"
        "    names['functions'] += [names[f'f{i}'] for i in range(n)]\n"
        "    return names['functions']\n"
        "functions = define(9)"
    )
    asked = time.monotonic()
    request = kernel.client.execute("%%filprofile\nfor f in functions: f(9)")
    longest_pause = 0.0
    with zmq.Context() as context, context.socket(zmq.REQ) as heart:
        heart.linger = 0
        heart.connect(f"tcp://127.0.0.1:{kernel.manager.hb_port}")
        while not kernel.client.shell_channel.msg_ready():
            start = time.monotonic()
            heart.send(b"beat")
            assert heart.poll(10_000)
            heart.recv()
            longest_pause = max(longest_pause, time.monotonic() - start)
            time.sleep(0.005)
    answered = time.monotonic()
    report = kernel.collect(request).report
    kernel.reply(request)
    assert report.data["pruned"]["nodes"] > 20_000
    # In proportion, as the machine may be busy; made in the proxy's own thread, the report would be most of the time.
    making = answered - asked - report.data["durationSeconds"]
    assert longest_pause < 0.4 * making, (longest_pause, making)
