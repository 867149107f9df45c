"""The adaptive rule on points that no scenario has: drawn at random, never tuned for."""

from __future__ import annotations

from coherence.simulate.experiments.points import measure


def test_adaptive_is_near_the_better_of_telling_and_asking():
    """Seeds that nothing else uses; those of the documentation are with the slow tests."""
    points = [measure(seed, runs=1) for seed in range(40)]
    assert max(point.of_better for point in points) <= 1.25
    assert sum(point.of_better <= 1.1 for point in points) >= 0.95 * len(points)
    assert max(point.of_offline for point in points) <= 1.7
