"""A short `npm run soak`."""

import time

from soak import run


def test_after_much_use_memory_is_what_it_was_and_nothing_has_leaked():
    seed = int(time.time())
    assert run(20, seed=seed, tell=print) == [], f"seed {seed}"
