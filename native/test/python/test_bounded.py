"""Whatever the program does, the tracker's own memory stays small, and what is left out for that is said."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest
from conftest import BUNDLE, HERE, PYTHONS, REPOSITORY, RunTracked

MIB = 1 << 20


def test_binary_recursion_is_folded_before_it_fills_the_table(run: RunTracked) -> None:
    result = run(
        """
        def down(depth):
            if depth == 0:
                leaf()
                return
            down(depth - 1)
            down(depth - 1)
        kept = []
        def leaf():
            kept.append(bytes(1000))
        tracker.begin([])
        down(18)
        tracker.end()
    """,
    )
    assert result.degradations == ["recursion-folded"]
    assert result.site_count < 100_000
    # Each block is at the line that made it, called by the function that called it.
    assert (1 << 18) * 1033 <= result.current_in("leaf") < (1 << 18) * 1033 + 5 * MIB
    assert all(site.functions[-2] == "down" for site in result.sites if site.functions[-1] == "leaf")


def test_small_recursion_is_exact(run: RunTracked) -> None:
    result = run("""
        def down(depth):
            return bytes(100_000) if depth == 0 else down(depth - 1)
        tracker.begin([])
        kept = down(300)
        tracker.end()
    """)
    (site,) = [site for site in result.sites if site.current > 90_000]
    assert len(site.stack) == 302
    assert result.degradations == []


def test_recursion_100_000_deep_is_charged_to_its_lines(run: RunTracked) -> None:
    result = run("""
        import sys
        sys.setrecursionlimit(200_000)
        def down(depth):
            if depth == 0:
                return [bytes(1_000_000)]
            if depth % 10_000 == 0:
                return down(depth - 1) + [bytes(2_000_000)]
            return down(depth - 1)
        def start():
            return down(100_000)
        tracker.begin([])
        kept = start()
        tracker.end()
    """)
    assert set(result.degradations) <= {"recursion-folded"}
    assert result.site_count < 100_000
    assert 21_000_000 <= result.current_in("down") < 21_100_000
    by_line: dict[int, int] = {}
    for site in result.sites:
        if site.functions[-1] == "down":
            assert site.functions[:2] == ["<module>", "start"]
            by_line[site.stack[-1][1]] = by_line.get(site.stack[-1][1], 0) + site.current // 1_000_000
    assert {line: count for line, count in by_line.items() if count} == {8: 1, 10: 20}


def test_more_than_a_million_call_sites_are_charged_to_their_callers_and_it_is_said(run: RunTracked) -> None:
    result = run(
        """
        lines, callers = 100, 10_600
        space = {}
        exec("def inner():\\n" + "    bytes(600)\\n" * lines, space)
        exec("def outer():\\n" + "    inner()\\n" * callers, space)
        tracker.begin([])
        space["outer"]()
        kept = bytes(1_000_000)
        tracker.end()
    """,
        environment={"TRACKED_TOTALS_ONLY": "1"},
    )
    assert "call-sites-full" in result.degradations
    assert result.site_count == 1 << 20
    assert 1_000_000 <= result.current < 1_010_000


# The tracker's own memory


@pytest.mark.parametrize(
    ("make", "most_share"),
    [
        ("[i + 1000 for i in range(3_000_000)]", 0.05),
        ("[(i, i) for i in range(700_000)]", 0.05),
        ("[{'a': i} for i in range(300_000)]", 0.05),
        ("[str(i) * 40 for i in range(300_000)]", 0.05),
        ("[bytes(10_000) for i in range(10_000)]", 0.02),
        ("[bytes(1_000_000) for i in range(100)]", 0.02),
    ],
)
def test_the_trackers_own_memory_is_a_small_part_of_the_programs(run: RunTracked, make: str, most_share: float) -> None:
    result = run(f"""
        tracker.begin([])
        kept = {make}
        tracker.end()
    """)
    assert result.current > 60 * MIB
    assert 0 < result.own_bytes <= most_share * result.current + 100_000


def test_small_objects_of_a_hundred_lines_side_by_side_cost_an_entry_each(run: RunTracked) -> None:
    result = run("""
        space = {"kept": []}
        exec("def many(number):\\n" + "    kept.append(number + 0.5)\\n" * 100, space)
        tracker.begin([])
        for number in range(25_000):
            space["many"](number)
        tracker.end()
    """)
    assert result.current > 60 * MIB
    assert 0 < result.own_bytes <= 0.20 * result.current + 300_000
    assert all(
        24_800 * 32 <= site.current < 25_000 * 32 + 25 * MIB for site in result.sites if site.functions[-1] == "many"
    )


def test_a_thousand_call_sites_take_little_memory(run: RunTracked) -> None:
    result = run("""
        space = {"kept": []}
        exec("def many():\\n" + "    kept.append(bytes(2000))\\n" * 1000, space)
        tracker.begin([])
        space["many"]()
        tracker.end()
    """)
    assert result.site_count > 1000
    assert 0 < result.own_bytes < 500_000


def test_memory_of_a_large_session_is_given_back_at_its_end(run: RunTracked) -> None:
    result = run("""
        import resource
        def address_space():
            return int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        kept = [str(i) for i in range(1_000_000)]
        tracker.begin([]); tracker.end()
        before = address_space()
        tracker.begin([])
        more = [str(i) for i in range(1_000_000)]
        del more
        tracker.end()
        print(address_space() - before < 10 << 20)
    """)
    assert result.output == "True"


# Little address space


def _run_with_address_space(python: str, kibibytes: int, tmp_path: pathlib.Path, source: str) -> str:
    wrapper = tmp_path / "limited"
    wrapper.write_text(f'#!/bin/sh\nulimit -v {kibibytes}\nexec "{python}" "$@"\n')
    wrapper.chmod(0o755)
    program = tmp_path / "limited.py"
    program.write_text("from filprofiler import _tracker as tracker\ntracker.check()\n" + source)
    done = subprocess.run(
        ["node", str(HERE / "tracked.mjs"), str(BUNDLE), str(wrapper), str(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("kibibytes", [1 << 20, 1 << 19, 1 << 18, 100_000])
def test_under_a_small_ulimit_programs_are_tracked(python: str, tmp_path: pathlib.Path, kibibytes: int) -> None:
    if python not in PYTHONS.values():
        raise AssertionError(python)
    output = _run_with_address_space(
        python,
        kibibytes,
        tmp_path,
        """
tracker.begin([])
kept = [bytes(100_000) for _ in range(100)]
tracker.end()
print("done")
""",
    )
    assert output.startswith("done\n")
    assert '"degradations":[]' in output
    peak = int(output.split('"peakBytes":')[1].split(",")[0])
    assert 10_003_300 <= peak < 10_050_000


def test_with_20_mib_of_address_space_left_it_tracks(run: RunTracked) -> None:
    result = run("""
        import resource
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (20 << 20), used + (20 << 20)))
        tracker.begin([])
        kept = [bytes(1000) for i in range(1000)]
        tracker.end()
    """)
    assert result.degradations == []
    assert 1_033_000 <= result.current < 1_060_000


def test_a_program_that_uses_up_its_address_space_gets_its_memory_error_and_its_figures(run: RunTracked) -> None:
    result = run("""
        import resource
        tracker.begin([])
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20), used + (100 << 20)))
        kept = []
        try:
            while True:
                kept.append(bytes(1 << 20))
        except MemoryError:
            print(len(kept) > 60)
        tracker.end()
        print(len(kept))
    """)
    filled, blocks = result.output.splitlines()
    assert filled == "True"
    assert result.current >= int(blocks) << 20 or result.degradations == ["tracker-memory-exhausted"]


def test_with_no_address_space_at_all_it_says_so_and_the_program_goes_on(run: RunTracked) -> None:
    result = run("""
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (1 << 20, 1 << 20))
        try:
            tracker.begin([])
        except tracker.TrackerError as error:
            print(error)
        tracker.end()
        print("goes on")
    """)
    assert "address space" in result.output
    assert result.output.splitlines()[-1] == "goes on"


def test_the_segment_leaves_most_of_a_small_address_space_to_the_program(python: str, tmp_path: pathlib.Path) -> None:
    output = _run_with_address_space(
        python,
        1 << 18,
        tmp_path,
        """
maps = [line.split() for line in open("/proc/self/maps") if "memfd:filprofiler" in line]
sizes = [[int(end, 16) for end in line[0].split("-")] for line in maps]
print(sum(end - start for start, end in sizes) <= (1 << 28) // 32)
""",
    )
    assert output.startswith("True\n")
