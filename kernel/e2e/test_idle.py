"""A kernel that waits costs next to nothing."""

import time

from harness import wait_until

MEGABYTE = 1_000_000
MOST_RESIDENT = 70 * MEGABYTE


def test_an_idle_proxy_uses_no_processor_time(kernel):
    kernel.run("1")
    time.sleep(3)
    before = kernel.proxy.cpu_times()
    time.sleep(3)
    after = kernel.proxy.cpu_times()
    # One tick of the system's clock.
    assert after.user + after.system - before.user - before.system <= 0.01


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
