"""Some of the deaths that `npm run deaths` tries a hundred times each."""

import time

from deaths import run


def test_whoever_is_killed_at_whatever_moment_nothing_is_left_and_the_report_is_in_the_cell():
    seed = int(time.time())
    trials = run(9, seed=seed, jobs=3, tell=lambda trial: print(trial))
    assert [str(trial) for trial in trials if trial.faults] == [], f"seed {seed}"
    assert any(trial.reached == "holding" and trial.victim == "child" for trial in trials)
