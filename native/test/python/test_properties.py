"""Random streams of memory events agree with a model to the byte; random programs agree on their own call stacks."""

from __future__ import annotations

import ctypes
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path

from conftest import FIXTURES, RunTracked
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from stack_programs import KINDS, PROGRAM
from test_stacks import assert_charged_to

PAGE = 4096
SLOTS = 24
FUNCTIONS = 4
LIBRARY = FIXTURES / "libfil_fixture.so"


def _event_kinds() -> list[str]:
    names = ctypes.CDLL(str(LIBRARY)).fixture_event_kinds
    names.restype = ctypes.c_char_p
    return names().decode().split()


EVENT_KINDS = _event_kinds()
ALLOCATING = ("malloc", "calloc", "reallocarray", "aligned_alloc", "posix_memalign", "memalign", "malloc_in_a_thread")

# A process for each example: few, but each a long stream. The library that they share is no function's scope's.
RANDOM = settings(
    max_examples=6,
    deadline=None,
    print_blob=True,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def counted(requested: int) -> int:
    """Bytes that a block counts as: what the documentation promises."""
    if requested > 512:
        return requested
    return max(16, (requested + 15) // 16 * 16)


@dataclass
class Held:
    """What a slot has: a block, or the pages that are left of a mapping."""

    function: int
    session: int
    bytes: int
    pages: set[int] | None = None
    mapped_bytes: int = 0


@dataclass
class Model:
    """Brute force: who holds what, one event after the other. Writes down the events that are possible."""

    slots: dict[int, Held] = field(default_factory=dict)
    session: int = 0
    total: int = 0
    peak: int = 0
    at_peak: dict[int, int] = field(default_factory=dict)
    events: list[tuple[int, int, int, int]] = field(default_factory=list)

    def reset(self) -> None:
        self.session += 1
        self.total = self.peak = 0
        self.at_peak = {}

    def by_function(self) -> dict[int, int]:
        held = dict.fromkeys(range(FUNCTIONS), 0)
        for each in self.slots.values():
            if each.session == self.session:
                held[each.function] += each.bytes
        return held

    def _change(self, held: Held, delta: int) -> None:
        held.bytes += delta
        if held.session == self.session:
            self.total += delta
            if self.total > self.peak:
                self.peak = self.total
                self.at_peak = self.by_function()

    def _take(self, slot: int) -> Held:
        held = self.slots[slot]
        self._change(held, -held.bytes)
        del self.slots[slot]
        return held

    def _give(self, slot: int, function: int, size: int, pages: set[int] | None = None, mapped_bytes: int = 0) -> None:
        self.slots[slot] = Held(function, self.session, 0, pages, mapped_bytes)
        self._change(self.slots[slot], size)

    def play(self, function: int, kind: str, slot: int, size: int, where: int) -> None:
        """One event, if it is possible."""
        held = self.slots.get(slot)
        place = 0
        if kind in ALLOCATING and held is None:
            self._give(slot, function, counted(size))
        elif kind == "realloc" and held is not None and held.pages is None:
            size = max(size, 1)
            self._take(slot)
            self._give(slot, function, counted(size))
        elif kind in ("free", "free_in_a_thread") and held is not None and held.pages is None:
            self._take(slot)
        elif kind == "mmap" and held is None:
            pages = size // PAGE + 1
            size = pages * PAGE
            self._give(slot, function, size, set(range(pages)), size)
        elif kind == "munmap" and held is not None and held.pages is not None:
            first = where % (held.mapped_bytes // PAGE)
            gone = {page for page in range(first, first + size // PAGE + 1) if page * PAGE < held.mapped_bytes}
            place, size = first * PAGE, len(gone) * PAGE
            left = held.pages - gone
            self._change(held, (len(left) - len(held.pages)) * PAGE)
            held.pages = left
            if not left:
                del self.slots[slot]
        elif kind == "mremap" and held is not None and held.pages is not None:
            if len(held.pages) * PAGE != held.mapped_bytes:
                return
            pages = size // PAGE + 1
            place, size = held.mapped_bytes, pages * PAGE
            was_counted = held.session == self.session
            self._take(slot)
            if was_counted:
                self._give(slot, function, size, set(range(pages)), size)
            else:
                # A mapping that was not known does not become known by being moved.
                self.slots[slot] = Held(function, -1, 0, set(range(pages)), size)
        else:
            return
        self.events.append((EVENT_KINDS.index(kind), slot, size, place))


SIZES = st.one_of(st.integers(0, 600), st.integers(0, 20_000), st.integers(0, 2_000_000))
EVENT = st.tuples(st.sampled_from(EVENT_KINDS), st.integers(0, SLOTS - 1), SIZES, st.integers(0, 500))
STEP = st.tuples(
    st.integers(0, FUNCTIONS - 1), st.lists(EVENT, min_size=1, max_size=60), st.sampled_from([0] * 9 + [1])
)


@RANDOM
@given(steps=st.lists(STEP, min_size=1, max_size=40))
def test_random_event_streams_agree_with_a_model_to_the_byte(
    run: RunTracked, tmp_path: Path, steps: list[tuple[int, list[tuple[str, int, int, int]], int]]
) -> None:
    model = Model()
    calls: list[tuple[int, int, int, bool]] = []
    for function, events, ends_session in steps:
        first = len(model.events)
        for kind, slot, size, where in events:
            model.play(function, kind, slot, size, where)
        # Not after the last: there would be nothing to compare.
        begins_anew = bool(ends_session) and len(calls) + 1 < len(steps)
        calls.append((function, first, len(model.events) - first, begins_anew))
        if begins_anew:
            model.reset()
    stream = tmp_path / "events"
    stream.write_bytes(b"".join(struct.pack("4Q", *event) for event in model.events))
    # The ints are made before and elsewhere: CPython 3.14 keeps some that are gone, at the line that made them.
    functions = "\n".join(f"def step_{number}(place, count): play(place, count)" for number in range(FUNCTIONS))
    result = run(f"""
import ctypes
play = ctypes.CDLL({str(LIBRARY)!r}).fixture_play
play.restype, play.argtypes = None, [ctypes.c_void_p, ctypes.c_size_t]
stream = ctypes.create_string_buffer(open({str(stream)!r}, "rb").read())
address = ctypes.addressof(stream)
calls = [(function, address + 32 * first, *rest) for function, first, *rest in {calls!r}]
{functions}
steps = [{", ".join(f"step_{number}" for number in range(FUNCTIONS))}]
# What a first call makes for good is not of the stream.
for step in steps: step(0, 0)
tracker.begin([])
for function, place, count, begins_anew in calls:
    steps[function](place, count)
    if begins_anew:
        tracker.end()
        tracker.begin([])
tracker.end()
""")
    assert result.degradations == []
    assert result.errors == ""
    held = {number: result.current_in(f"step_{number}") for number in range(FUNCTIONS)}
    assert held == model.by_function()
    # The loop itself and ctypes' arguments come on top.
    assert model.peak <= result.peak < model.peak + 20_000
    if model.peak > 0:
        off = [result.peak_in(f"step_{n}") - model.at_peak.get(n, 0) for n in range(FUNCTIONS)]
        assert sum(off) <= 20_000


@RANDOM
@given(plans=st.lists(st.lists(st.sampled_from(KINDS), max_size=8), min_size=20, max_size=120))
def test_random_programs_that_know_their_own_stack_agree_with_the_tracker(
    run: RunTracked, plans: list[list[str]]
) -> None:
    result = run(PROGRAM.replace("PLANS", json.dumps(plans)))
    assert result.errors == ""
    expected = json.loads(result.output)
    assert len(expected) >= len(plans)
    assert_charged_to(result, expected)
