"""A moment of what `npm run soak:sampling` does for 10^10 events."""

from soak_sampling import soak


def test_memory_and_disk_of_a_sampled_job_are_bounded_and_its_figures_stable():
    seen, faults = soak(50_000_000, 1, show=False)
    assert faults == []
    assert seen.events >= 49_000_000
    assert seen.reports
