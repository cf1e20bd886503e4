"""Whatever is killed, nothing is left: no process, no socket, no directory."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from conftest import private_directories
from harness import is_gone, started, wait_until
from jupyter_client.manager import KernelManager


@pytest.fixture
def remains(own_kernel):
    """What must be gone once the kernel has ended: its processes, a subprocess of the user's, its directory."""
    started_by_user = int(own_kernel.run("import subprocess; subprocess.Popen(['sleep', '600']).pid").value)
    proxy, child = own_kernel.proxy, own_kernel.child
    watchdog = next(p for p in proxy.children() if p.name() == "sh")
    processes = [proxy, child, watchdog, psutil.Process(started_by_user)]
    directory = own_kernel.private_directory
    assert directory.stat().st_mode & 0o777 == 0o700
    yield
    for process in processes:
        wait_until(lambda process=process: is_gone(process), f"{process} has ended", 5)
    wait_until(lambda: not directory.exists(), f"{directory} is removed", 5)


@pytest.mark.usefixtures("remains")
class TestNothingIsLeft:
    def test_after_a_shutdown(self, own_kernel):
        own_kernel.manager.shutdown_kernel()

    def test_after_a_shutdown_while_a_cell_runs(self, own_kernel):
        own_kernel.client.execute("import time; time.sleep(600)")
        own_kernel.manager.shutdown_wait_time = 1
        own_kernel.manager.shutdown_kernel()

    def test_after_the_proxy_was_killed(self, own_kernel):
        own_kernel.proxy.kill()
        own_kernel.manager.provisioner.process.wait(5)

    def test_after_the_proxys_group_was_killed(self, own_kernel):
        os.killpg(own_kernel.proxy.pid, signal.SIGKILL)
        own_kernel.manager.provisioner.process.wait(5)

    def test_after_the_proxy_was_killed_while_the_child_held_the_gil(self, own_kernel):
        # A pattern with catastrophic backtracking never lets go of the GIL.
        own_kernel.client.execute(r"import re; re.match('(a*)*b', 'a' * 60)")
        time.sleep(0.3)
        own_kernel.proxy.kill()
        own_kernel.manager.provisioner.process.wait(5)

    def test_after_the_child_was_killed(self, own_kernel):
        own_kernel.child.kill()
        assert own_kernel.manager.provisioner.process.wait(5) == 128 + signal.SIGKILL

    def test_after_a_profiled_cell_was_killed_with_the_proxy(self, own_kernel):
        own_kernel.client.execute("%%filprofile\nimport time\ntime.sleep(600)")
        time.sleep(0.3)
        own_kernel.proxy.kill()
        own_kernel.manager.provisioner.process.wait(5)

    def test_after_sigterm(self, own_kernel):
        own_kernel.proxy.terminate()
        own_kernel.manager.provisioner.process.wait(5)


def test_the_exit_status_is_the_childs(own_kernel):
    own_kernel.client.execute("import os; os._exit(7)")
    assert own_kernel.manager.provisioner.process.wait(5) == 7


def test_the_kernel_ends_when_its_client_is_killed(tmp_path):
    pids = tmp_path / "pids"
    client = textwrap.dedent(
        f"""
        import os, sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from harness import started
        with started() as kernel:
            text = ' '.join(str(p.pid) for p in (kernel.proxy, kernel.child))
            open({str(pids)!r} + '.new', 'w').write(text)
            os.rename({str(pids)!r} + '.new', {str(pids)!r})
            time.sleep(600)
        """
    )
    process = subprocess.Popen([sys.executable, "-c", client])
    wait_until(pids.exists, "the client has started a kernel")
    processes = [psutil.Process(int(pid)) for pid in pids.read_text().split()]
    process.kill()
    process.wait()
    for running in processes:
        wait_until(lambda running=running: is_gone(running), f"{running} has ended", 5)


def test_a_restart_gives_a_fresh_process_on_the_same_connection(own_kernel):
    own_kernel.run("leftover = 1")
    first = own_kernel.child
    own_kernel.manager.restart_kernel(now=False)
    own_kernel.client.wait_for_ready(timeout=20)
    assert own_kernel.run("'leftover' in globals()").value == "False"
    assert is_gone(first)
    assert len(own_kernel.run("%%filprofile\n1").reports) == 1


def test_a_restart_at_once_gives_a_fresh_process_too(own_kernel):
    own_kernel.client.execute("import time; time.sleep(600)")
    own_kernel.manager.restart_kernel(now=True)
    own_kernel.client.wait_for_ready(timeout=20)
    assert own_kernel.run("1").value == "1"


def test_a_kernel_that_was_killed_can_be_started_again_on_its_ports(own_kernel):
    own_kernel.proxy.kill()
    own_kernel.manager.provisioner.process.wait(5)
    own_kernel.manager.restart_kernel(now=True)
    own_kernel.client.wait_for_ready(timeout=20)
    assert own_kernel.run("1").value == "1"


def test_killed_at_any_moment_of_its_start_it_leaves_nothing():
    before = private_directories()
    for milliseconds in (30, 60, 90, 120, 160, 200, 300, 450):
        manager = KernelManager(kernel_name="filprofile")
        manager.start_kernel()
        time.sleep(milliseconds / 1000)
        proxy = psutil.Process(manager.provisioner.process.pid)
        started_here = [proxy, *proxy.children()]
        proxy.kill()
        manager.provisioner.process.wait(5)
        for process in started_here:
            wait_until(lambda process=process: is_gone(process), f"{process} has ended", 5)
        manager.cleanup_resources()
    wait_until(lambda: private_directories() <= before, "the private directories are removed", 5)


def test_two_kernels_at_once_do_not_meet():
    with started() as one, started() as other:
        one.client.execute("%%filprofile\nmine = bytearray(3_000_000)")
        other.client.execute("%%filprofile\nmine = bytearray(6_000_000)")
        assert one.run("len(mine)").value == "3000000"
        assert other.run("len(mine)").value == "6000000"
        assert len(one.run("%%filprofile\n1").reports) == 1
        assert len(other.run("%%filprofile\n1").reports) == 1
