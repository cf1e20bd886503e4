"""Memory is charged to the line that allocated it, called from where it was called."""

from __future__ import annotations

import json
from textwrap import dedent

from conftest import Run, RunTracked

Stack = tuple[tuple[str, int], ...]

# Programs begin with this. Each allocation is of its own size, and goes with the stack that Python reports on its line.
KNOWS_ITS_STACK = dedent("""
    import json, sys
    expected, kept = {}, []
    def here():
        stack, frame = [], sys._getframe(1)
        while frame is not None:
            stack.append([frame.f_code.co_qualname, frame.f_lineno])
            frame = frame.f_back
        return stack[::-1]
    def allocate():
        size = 20_000 + len(expected) * 16
        stack, block = here(), bytes(size)
        expected[size + 33] = stack
        kept.append(block)
    def print_expected():
        print(json.dumps(expected))
""")


def assert_charged_to(result: Run, expected: dict[str, list[list[str | int]]]) -> None:
    """Blocks, by their size in bytes, are charged to the stacks (function, line) that Python reported."""
    by_stack: dict[Stack, int] = {}
    for size, stack in expected.items():
        key = tuple((str(function), int(line)) for function, line in stack)
        by_stack[key] = by_stack.get(key, 0) + int(size)
    seen: dict[Stack, int] = {}
    for site in result.sites:
        key = tuple((function, line) for function, line, _file in site.stack)
        seen[key] = seen.get(key, 0) + site.current
    # Small objects of the line itself wait on free lists. A block at a wrong stack would be 20,000 bytes off.
    off = {key: seen.get(key, 0) - size for key, size in by_stack.items() if not 0 <= seen.get(key, 0) - size < 500}
    assert off == {}


def test_randomised_programs_that_know_their_own_stack_agree_with_the_tracker(run: RunTracked) -> None:
    # Calls, generators, methods, comprehensions, exec, callbacks and exceptions nested at random.
    result = run(
        KNOWS_ITS_STACK
        + dedent("""
        import functools, random, sys
        random.seed(5)
        def call(depth): step(depth)
        def generate(depth):
            yield step(depth)
            yield step(depth)
        class Thing:
            def method(self, depth):
                return step(depth)
            @property
            def attribute(self):
                return step(self.depth)
        def step(depth):
            if depth == 0:
                return allocate()
            kind = random.randrange(9)
            if kind == 0:
                call(depth - 1)
            elif kind == 1:
                list(generate(depth - 1))
            elif kind == 2:
                Thing().method(depth - 1)
            elif kind == 3:
                thing = Thing(); thing.depth = depth - 1; thing.attribute
            elif kind == 4:
                [step(depth - 1) for _ in range(2)]
            elif kind == 5:
                exec("step(depth)", {"step": step, "depth": depth - 1})
            elif kind == 6:
                sorted([1, 2], key=lambda _: step(depth - 1) or 0)
            elif kind == 7:
                try:
                    call(depth - 1)
                    raise KeyError
                except KeyError:
                    step(depth - 1)
            else:
                functools.reduce(lambda a, b: step(depth - 1), [1, 2])
        tracker.begin([])
        while len(expected) < 4000:
            step(random.randrange(9))
        tracker.end()
        print_expected()
    """)
    )
    expected = json.loads(result.output)
    assert len(expected) >= 4000
    assert_charged_to(result, expected)
    assert result.took("stack_joined", "stack_moved_on_at_join", "stack_walked_whole")


def test_stacks_end_at_boundaries(run: RunTracked) -> None:
    result = run("""
        def machinery(body): return body()
        def boundary(body): return body()
        def cell(): return bytes(1_000_000)
        def start():
            tracker.begin([boundary.__code__])
            kept = machinery(lambda: boundary(cell))
            tracker.end()
        start()
    """)
    (site,) = [site for site in result.sites if site.functions[-1] == "cell"]
    assert site.functions == ["cell"]


def test_memory_of_boundary_code_itself_is_not_shown_as_a_stack(run: RunTracked) -> None:
    # Its frame stands where that of the function before stood.
    result = run("""
        def boundary(size): return bytes(size)
        def other(size): return bytes(size)
        def start():
            tracker.begin([boundary.__code__])
            kept = (other(1_000_000), boundary(2_000_000), other(1_000_000), boundary(2_000_000))
            tracker.end()
        start()
    """)
    assert [site.functions for site in result.sites if site.peak >= 4_000_000] == [["[none]"]]
    assert 2_000_000 <= result.peak_in("other") < 2_001_000


def test_frames_below_the_function_that_began_tracking_are_found_after_it_returned(run: RunTracked) -> None:
    result = run("""
        def begin(): tracker.begin([])
        def work(): return bytes(1_000_000)
        def outer():
            begin()
            return work()
        kept = outer()
        tracker.end()
    """)
    (site,) = [site for site in result.sites if site.functions[-1] == "work"]
    assert site.functions == ["<module>", "outer", "work"]


def test_code_objects_that_die_and_whose_addresses_are_reused_keep_their_names(run: RunTracked) -> None:
    result = run("""
        kept = []
        tracker.begin([])
        for number in range(300):
            space = {"kept": kept, "size": 10_000 + number}
            exec(f"def function_{number}():\\n    kept.append(bytes(size))\\nfunction_{number}()", space)
            space.clear()
        tracker.end()
    """)
    for number in range(300):
        assert 10_000 + number + 33 <= result.current_in(f"function_{number}") < 10_000 + number + 8000
    assert result.took("code_forgotten", "stack_forgotten_as_code_died")


def test_lines_beyond_65535_and_names_beyond_ascii_are_right(run: RunTracked) -> None:
    result = run("""
        source = "\\n" * 70_000 + "def größe_数():\\n    return bytes(1_000_000)\\n"
        space = {}
        exec(compile(source, "long.py", "exec"), space)
        function = space["größe_数"]
        tracker.begin([])
        kept = function()
        tracker.end()
    """)
    (site,) = [site for site in result.sites if site.functions[-1] == "größe_数"]
    assert site.stack[-1][1:] == (70_002, "long.py")


def test_recursion_to_the_limit_is_counted(run: RunTracked) -> None:
    result = run("""
        import sys
        sys.setrecursionlimit(20_000)
        def down(depth):
            if depth == 0:
                return bytes(1_000_000)
            return down(depth - 1)
        tracker.begin([])
        kept = down(15_000)
        tracker.end()
    """)
    (site,) = [site for site in result.sites if site.current > 900_000]
    assert len(site.stack) == 15_002


def test_deep_stacks_that_grow_and_shrink_at_random_are_right(run: RunTracked) -> None:
    # Deep enough for canaries; callers differ by line, so that a frame taken for its predecessor at the same address
    # shows.
    result = run(
        KNOWS_ITS_STACK
        + dedent("""
        import random, sys
        random.seed(9)
        sys.setrecursionlimit(5000)
        def through_generator(depth):
            yield walk(depth)
        def walk(depth):
            for _ in range(random.choice([1, 1, 1, 2])):
                if len(expected) >= 1500:
                    return
                way = random.randrange(20)
                if depth == 0 or way == 0:
                    allocate()
                elif way == 1:
                    locals(); walk(depth - 1)
                elif way == 2:
                    next(through_generator(depth - 1))
                elif way < 10:
                    walk(depth - 1)
                else:
                    walk(depth - 1)
        def descend(depth):
            if depth:
                descend(depth - 1)
            else:
                walk(random.randrange(120))
        tracker.begin([])
        while len(expected) < 1500:
            descend(random.randrange(300))
        tracker.end()
        print_expected()
    """)
    )
    expected = json.loads(result.output)
    assert max(map(len, expected.values())) > 200
    assert_charged_to(result, expected)
    assert result.took("canary_planted", "canary_trusted", "stack_of_other_frames")


def test_a_recursion_that_stands_where_another_stood_is_told_from_it(run: RunTracked) -> None:
    # The frames are at the same addresses, and nothing was allocated between (deeper ones need another chunk of stack):
    # only the canaries have gone.
    result = run("""
        def down(depth): return bytes(100_000) if depth == 0 else down(depth - 1)
        def first(): return down(100)
        def second(): return down(100)
        tracker.begin([])
        kept = (first(), second(), first(), second(), second())
        tracker.end()
    """)
    per_caller = {
        caller: sum(site.current for site in result.sites if caller in site.functions) // 100_000
        for caller in ("first", "second")
    }
    assert per_caller == {"first": 2, "second": 3}
    assert result.took("canary_dead")


def test_threads_have_stacks_of_their_own_also_those_older_than_tracking(run: RunTracked) -> None:
    result = run("""
        import queue, threading
        tasks, kept = queue.Queue(), []
        def old_work(): kept.append(bytes(1_000_000))
        def new_work(): kept.append(bytes(2_000_000))
        def worker():
            while (task := tasks.get()) is not None:
                task(); tasks.task_done()
        old = threading.Thread(target=worker); old.start()
        tracker.begin([])
        tasks.put(old_work); tasks.join()
        new = threading.Thread(target=new_work); new.start(); new.join()
        tracker.end()
        tasks.put(None); old.join()
    """)
    (old,) = [site for site in result.sites if site.functions[-1] == "old_work"]
    (new,) = [site for site in result.sites if site.functions[-1] == "new_work"]
    assert "worker" in old.functions
    assert old.current >= 1_000_000
    assert new.current >= 2_000_000


def test_coroutines_are_charged_where_they_run(run: RunTracked) -> None:
    result = run("""
        import asyncio
        async def inner():
            await asyncio.sleep(0)
            kept = bytes(1_000_000)
            await asyncio.sleep(0)
            return kept
        async def outer():
            return await asyncio.gather(inner(), inner())
        tracker.begin([])
        kept = asyncio.run(outer())
        tracker.end()
        more = None
    """)
    assert result.current_in("inner") >= 2_000_000
