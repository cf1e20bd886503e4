"""Programs that nest Python's ways to call at random, and know their own stack wherever they allocate."""

from __future__ import annotations

import re
from textwrap import dedent

from test_stacks import KNOWS_ITS_STACK

# A function `via_KIND(rest)` for each way to get from one frame to the next.
_WAYS = dedent("""
    import asyncio, concurrent.futures, contextlib, functools, itertools, operator, re, threading, types, weakref

    def step(rest):
        if not rest:
            allocate()
        else:
            globals()["via_" + rest[0]](rest[1:])

    def via_call(rest):
        step(rest)
    def via_recursion(rest, depth=70):
        return via_recursion(rest, depth - 1) if depth else step(rest)
    def via_generator(rest):
        def generate():
            yield 1
            step(rest)
            yield 2
        list(generate())
    def via_delegating_generator(rest):
        def inner():
            yield 1
            step(rest)
        def outer():
            yield from inner()
        for _ in outer(): pass
    def via_half_consumed_generator(rest):
        def generate():
            try:
                yield 1
            finally:
                step(rest)
        generator = generate()
        next(generator)
        generator.close()
    def via_sent_generator(rest):
        def generate():
            while (received := (yield)) is not None:
                step(received)
        generator = generate()
        next(generator)
        generator.send(rest)
    def via_list_comprehension(rest):
        [step(rest) for _ in range(2)]
    def via_dict_comprehension(rest):
        {key: step(rest) for key in (1,)}
    def via_generator_expression(rest):
        sum(step(rest) or 1 for _ in range(2))
    def via_lambda(rest):
        (lambda: step(rest))()
    def via_closure(rest):
        def enclosed():
            nonlocal rest
            rest = list(rest)
            step(rest)
        enclosed()
    def via_exec(rest):
        exec("\\n\\nstep(rest)", {"step": step, "rest": rest})
    def via_exec_of_a_function(rest):
        space = {"step": step}
        exec("def made(rest):\\n    step(rest)", space)
        space["made"](rest)
    def via_eval(rest):
        eval("step(rest)", {"step": step, "rest": rest})
    def via_sort_key(rest):
        sorted([2, 1], key=lambda _: step(rest) or 0)
    def via_map(rest):
        list(map(lambda _: step(rest), (1, 2)))
    def via_reduce(rest):
        functools.reduce(lambda a, b: step(rest), (1, 2))
    def via_partial(rest):
        functools.partial(step, rest)()
    def via_regular_expression(rest):
        re.sub("x", lambda match: step(rest) or "", "axb")
    def via_methodcaller(rest):
        operator.methodcaller("method", rest)(Thing())
    def via_exception(rest):
        try:
            try:
                raise KeyError(1)
            except KeyError:
                step(rest)
                raise ValueError from None
            finally:
                step(rest)
        except ValueError:
            pass
    def via_context_manager(rest):
        @contextlib.contextmanager
        def managed():
            step(rest)
            yield
            step(rest)
        with managed():
            step(rest)
    def decorated(function):
        @functools.wraps(function)
        def wrapper(*arguments, **options):
            return function(*arguments, **options)
        return wrapper
    @decorated
    @decorated
    def via_decorators(rest):
        step(rest)
    class Thing:
        rest = ()
        def method(self, rest): step(rest)
        @property
        def attribute(self): return step(self.rest)
        def __getattr__(self, name): return step(self.rest)
        def __add__(self, other): return step(self.rest)
        def __iter__(self):
            step(self.rest)
            return iter(())
        def __lt__(self, other):
            step(self.rest)
            return True
        def __hash__(self):
            step(self.rest)
            return 1
        def __call__(self): step(self.rest)
        @classmethod
        def made(cls, rest):
            thing = cls()
            thing.rest = rest
            return thing
    def via_method(rest): Thing().method(rest)
    def via_property(rest): Thing.made(rest).attribute
    def via_missing_attribute(rest): Thing.made(rest).missing
    def via_operator(rest): Thing.made(rest) + 1
    def via_iteration(rest):
        for _ in Thing.made(rest): pass
    def via_comparison(rest): sorted([Thing.made(rest), Thing.made(rest)])
    def via_hash(rest): {Thing.made(rest): 1}
    def via_instance_call(rest): Thing.made(rest)()
    def via_class_body(rest):
        class Body:
            step(rest)
    def via_metaclass(rest):
        class Meta(type):
            def __call__(cls):
                step(rest)
                return super().__call__()
        class Made(metaclass=Meta): pass
        Made()
    def via_destructor(rest):
        class Dies:
            def __del__(self): step(rest)
        Dies()
    def via_weak_callback(rest):
        thing = Thing()
        reference = weakref.ref(thing, lambda _: step(rest))
        del thing
    def via_coroutine(rest):
        async def inner():
            step(rest)
        async def outer():
            await inner()
        coroutine = outer()
        try:
            coroutine.send(None)
        except StopIteration:
            pass
    def via_suspended_coroutine(rest):
        @types.coroutine
        def pause(): yield
        async def outer():
            await pause()
            step(rest)
        coroutine = outer()
        coroutine.send(None)
        try:
            coroutine.send(None)
        except StopIteration:
            pass
    def via_async_generator(rest):
        async def generate():
            yield step(rest)
        async def consume():
            async for _ in generate(): pass
        try:
            consume().send(None)
        except StopIteration:
            pass
    def via_asyncio(rest):
        async def task(): step(rest)
        async def main(): await asyncio.gather(task(), task())
        if threading.current_thread() is threading.main_thread() and not in_a_loop():
            asyncio.run(main())
        else:
            step(rest)
    def in_a_loop():
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return True
    def via_thread(rest):
        thread = threading.Thread(target=step, args=(rest,))
        thread.start()
        thread.join()
    def via_pool(rest):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pool.submit(step, rest).result()
    def via_cached_function(rest):
        @functools.lru_cache
        def cached(number): step(rest)
        cached(1)
    def via_single_dispatch(rest):
        @functools.singledispatch
        def dispatched(value): step(rest)
        dispatched(1)
    def via_match(rest):
        match rest:
            case [*inner]: step(inner)
    def via_star_arguments(rest):
        def variadic(*arguments, **options): step(options["rest"])
        variadic(*range(40), **{"rest": rest})
    def via_chain(rest):
        for _ in itertools.chain.from_iterable((step(rest) or i for i in (1,)) for _ in (1,)): pass
""")

KINDS = sorted(set(re.findall(r"^def via_(\w+)", _WAYS, re.MULTILINE)))

PROGRAM = f"""{KNOWS_ITS_STACK}
{_WAYS}
import itertools
numbers = itertools.count()
def allocate():
    size = 20_000 + next(numbers) * 16
    stack, block = here(), bytes(size)
    expected[size + 33] = stack
    kept.append(block)
tracker.begin([])
for plan in PLANS:
    step(plan)
tracker.end()
print_expected()
"""
