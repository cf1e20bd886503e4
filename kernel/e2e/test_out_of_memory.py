"""Memory runs out: the report is there, the session survives where it can, and nobody else is harmed."""

from collections.abc import Iterator

import pytest
from harness import MEMORY_ERRORS, Kernel, started
from memory_group import limited
from out_of_memory_scenarios import MB, SCENARIOS, Scenario, below, check

# Room for the kernel, its proxy and 200 MB of the cell's.
NOTEBOOK_LIMIT = 420 * MB

GROW = "def grow():\n    held = []\n    while True:\n        held.append(bytearray(1_000_000))\n"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_program_that_runs_out_of_memory_leaves_its_report(scenario: Scenario):
    assert check(scenario, 300 * MB) is None


def test_a_program_that_takes_most_of_the_limit_is_left_alone():
    assert check(below(500 * MB, 0.78), 500 * MB) is None


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    """A kernel with little memory."""
    with limited(NOTEBOOK_LIMIT) as place:
        for name, value in place.environment.items():
            monkeypatch.setenv(name, value)
        options = {} if place.enter is None else {"preexec_fn": place.enter}
        with started(**options) as kernel:
            yield kernel


def test_the_running_cell_is_interrupted_and_the_session_survives(small: Kernel):
    small.run("kept = bytearray(1_000_000)")
    result = small.run("%%filprofile\n" + GROW + "grow()", timeout=60)
    error = result.contents("error")[0]
    assert error["ename"] in MEMORY_ERRORS
    most = result.traceback.partition("Most was held by:")[2]
    assert "held.append(bytearray(1_000_000))" in most
    assert "_on_signal" not in result.traceback
    report = result.report.data
    assert report["outOfMemory"]["action"] == "raised"
    assert result.report.bytes_of("Cell [2]", 5) > 20 * MB
    assert small.run("len(kept)").value == "1000000"
    # What the cell held is free again.
    assert len(small.run("%%filprofile\nagain = bytearray(50_000_000)").reports) == 1


def test_the_interrupt_can_be_caught(small: Kernel):
    result = small.run(
        "%%filprofile\n" + GROW + "try:\n    grow()\nexcept MemoryError:\n    print('caught')", timeout=60
    )
    assert result.status == "ok"
    assert result.text() == "caught\n"
    assert "outOfMemory" not in result.report.data


def test_a_cell_that_is_not_profiled_is_interrupted_too(small: Kernel):
    result = small.run(GROW + "grow()", timeout=60)
    assert result.contents("error")[0]["ename"] in MEMORY_ERRORS
    assert small.run("1 + 1").value == "2"


def test_a_request_that_is_too_large_fails_before_it_does_harm(small: Kernel):
    result = small.run("%%filprofile\nlarge = b'x' * 3_000_000_000", timeout=60)
    assert result.status == "error"
    request = result.report.data["outOfMemory"]["request"]
    assert request["bytes"] >= 3_000_000_000
    assert result.report.peak < 100 * MB
    assert small.run("1 + 1").value == "2"


def test_a_cell_that_does_not_react_shows_its_report_and_what_it_said(small: Kernel):
    touch = (
        "%%filprofile\nimport ctypes\nprint('before', flush=True)\n"
        "held = bytes(900_000_000)\naddress = id(held) + 32\nctypes.memset(address, 1, 900_000_000)"
    )
    result = small.last_words(touch)
    assert result.text() == "before\n"
    assert "memory ran out" in result.text("stderr")
    assert result.report.data["outOfMemory"]["rule"] in ("available", "killed-by-system")
    assert result.report.data["outOfMemory"]["limitBytes"] is not None


def test_a_limit_interrupts_the_cell_that_exceeds_it(own_kernel: Kernel):
    result = own_kernel.run("%%filprofile --limit 60MB\n" + GROW + "grow()", timeout=60)
    assert result.status == "error"
    what = result.report.data["outOfMemory"]
    assert (what["rule"], what["limitOf"], what["limitBytes"]) == ("budget", "cell", 60_000_000)
    assert own_kernel.run("%%filprofile --limit 60MB\nfine = bytearray(1_000_000)").status == "ok"


def test_a_limit_refuses_a_large_request_at_once(own_kernel: Kernel):
    result = own_kernel.run(
        "%%filprofile --limit 50MB\ntry:\n    bytearray(80_000_000)\nexcept MemoryError:\n    print('no')"
    )
    assert result.text() == "no\n"
    assert result.report.peak < 50_000_000


@pytest.mark.parametrize("limit", ["4 potatoes", "-5", "0", "-3GiB", "", "4"])
def test_a_nonsense_limit_is_an_error_before_the_cell_runs(own_kernel: Kernel, limit: str):
    result = own_kernel.run(f"%%filprofile --limit {limit}\nprint('ran')")
    assert result.status == "error"
    assert "ran" not in result.text()
    assert "--limit" in result.text("stderr") + result.traceback


def test_a_limit_of_the_last_cell_does_not_bind_the_next(own_kernel: Kernel):
    own_kernel.run("%%filprofile --limit 20MB\n1")
    assert own_kernel.run("%%filprofile\nheld = bytearray(60_000_000)").status == "ok"
    assert own_kernel.run("more = bytearray(60_000_000)").status == "ok"


LEAK = (
    "import threading, time\nheld = []\n"
    "def leak():\n    while True:\n        held.append(b'x' * 300_000)\n        time.sleep(0.002)\n"
    "threading.Thread(target=leak, daemon=True).start()"
)


def test_a_cell_is_not_interrupted_for_what_a_thread_of_an_earlier_cell_takes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FIL_MEMORY_LIMIT", "400MB")
    with started() as kernel:
        assert kernel.run(LEAK).status == "ok"
        # The thread is not to be stopped, so the process ends; the cell that runs then never sees an error.
        result = kernel.last_words("for _ in range(600):\n    time.sleep(0.02)")
        assert result.contents("error") == []
        assert "memory ran out" in result.text("stderr")


def test_a_cell_is_interrupted_for_what_it_lets_an_older_pool_take(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FIL_MEMORY_LIMIT", "400MB")
    with started() as kernel:
        kernel.run(
            "from concurrent.futures import ThreadPoolExecutor\nimport time\n"
            "pool, stop = ThreadPoolExecutor(1), []\npool.submit(len, 'ab').result()\n"
            "def grow():\n    held = []\n    while not stop:\n"
            "        held.append(b'x' * 300_000)\n        time.sleep(0.002)"
        )
        result = kernel.run("try:\n    pool.submit(grow).result()\nfinally:\n    stop.append(1)", timeout=60)
        assert result.contents("error")[0]["ename"] in MEMORY_ERRORS
        assert kernel.run("len(stop)").value == "1"
