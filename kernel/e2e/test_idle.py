"""A kernel that waits costs next to nothing."""

import time
from pathlib import Path

import psutil
from harness import wait_until

MEGABYTE = 1_000_000
MOST_RESIDENT = 70 * MEGABYTE
MOST_IDLE_SHARE = 0.005


def run_seconds(process: psutil.Process) -> float:
    """Time that its threads were on a processor; the clock of ticks is too coarse for next to nothing."""
    threads = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def test_an_idle_proxy_uses_no_processor_time(kernel):
    kernel.run("1")
    time.sleep(3)
    before = run_seconds(kernel.proxy)
    time.sleep(3)
    assert run_seconds(kernel.proxy) - before <= MOST_IDLE_SHARE * 3


def test_an_idle_proxy_gives_back_what_large_messages_took(kernel):
    for _ in range(3):
        kernel.run("from IPython.display import HTML\nHTML('x' * 100_000_000)", timeout=60)
    wait_until(lambda: kernel.proxy.memory_info().rss <= MOST_RESIDENT, "the proxy is small again", 10)


def test_an_idle_proxy_gives_back_what_reports_took(kernel):
    for _ in range(2):
        assert kernel.run(
            "%%filprofile\nimport pandas\nx = [bytearray(1000) for _ in range(100_000)]", timeout=60
        ).reports
    # V8 keeps the pages of a thread that has ended for some seconds.
    wait_until(lambda: kernel.proxy.memory_info().rss <= MOST_RESIDENT, "the proxy is small again", 40)
    assert len(kernel.run("%%filprofile\n1").reports) == 1
