"""The pytest plugin: tests with a limit for their memory."""

import sys

from programs import FIL, run

TESTS = """
import pytest

@pytest.mark.limit_memory("10 MB")
def test_above():
    held = bytearray(30_000_000)

@pytest.mark.limit_memory("100 MB")
def test_within():
    held = bytearray(30_000_000)

@pytest.mark.limit_memory("10 MB")
def test_broken():
    held = bytearray(30_000_000)
    assert 1 == 2, "its own failure"

def test_without():
    held = bytearray(30_000_000)
"""
# Other plugins of the checkout have nothing to do with it.
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:randomly")


def pytest_run(tmp_path, *arguments, start=(*FIL, "python")):
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    return run([*start, *PYTEST, *arguments], tmp_path)


def test_a_test_above_its_limit_fails_with_its_report(tmp_path):
    (tmp_path / "test_it.py").write_text(TESTS)
    done = pytest_run(tmp_path)
    text = done.stdout.decode()
    assert done.status == 1, text
    assert "2 failed, 2 passed" in text
    assert "The test held 28.6 MiB at its peak, more than its limit of 9.5 MiB" in text
    assert "test_above  test_it.py:6  held = bytearray(30_000_000)" in text
    assert "its own failure" in text
    reports = list((tmp_path / "fil-result" / "pytest").iterdir())
    # Of tests within their limit nothing stays.
    assert sorted(path.name.rsplit("-", 1)[0] for path in reports) == [
        "test_it.py-test_above",
        "test_it.py-test_broken",
    ]
    assert all((path / "index.html").exists() and str(path / "index.html") in text for path in reports)


def test_plain_pytest_runs_as_ever_and_says_that_limits_were_not_checked(tmp_path):
    (tmp_path / "test_it.py").write_text(TESTS)
    for start in ((sys.executable,), (*FIL, "run")):
        done = pytest_run(tmp_path, start=start)
        text = done.stdout.decode()
        assert "1 failed, 3 passed" in text
        assert "limit_memory was not checked for 3 tests" in text
        assert "fil-profile python -m pytest" in text


def test_peaks_of_all_tests_are_listed_on_request(tmp_path):
    (tmp_path / "test_it.py").write_text(TESTS)
    text = pytest_run(tmp_path, "--fil", "-k", "within or without").stdout.decode()
    assert "highest memory peaks" in text
    assert text.count("28.6 MiB  test_it.py::test_with") == 2
    refused = pytest_run(tmp_path, "--fil", start=(sys.executable,))
    assert refused.status == 4
    assert b"--fil: this process is not tracked by Fil: start pytest with" in refused.stderr


def test_a_wrong_limit_is_told_before_any_test_runs(tmp_path):
    for argument, reason in [
        ("'nonsense'", "'nonsense' is no amount of memory"),
        ("", "0 amounts"),
        ("'1 MB', current_thread_only=True", "unknown argument 'current_thread_only'"),
    ]:
        test = f"import pytest\n@pytest.mark.limit_memory({argument})\ndef test_it(): open('ran', 'w')\n"
        (tmp_path / "test_it.py").write_text(test)
        done = pytest_run(tmp_path)
        assert done.status == 4
        assert f"test_it.py::test_it: limit_memory: {reason}" in (done.stdout + done.stderr).decode()
        assert not (tmp_path / "ran").exists()
