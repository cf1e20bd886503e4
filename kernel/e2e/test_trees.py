"""Some of the random process trees, and of the kills, of which `npm run prove:trees` does hundreds."""

from prove_trees import prove

SEED = 20


def test_random_process_trees_have_their_true_joint_peak_and_leave_nothing_when_somebody_is_killed() -> None:
    assert prove(2, 3, seed=SEED, jobs=2) == []
