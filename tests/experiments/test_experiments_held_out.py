"""The adaptive rule on points that no scenario has: drawn at random, never tuned for."""

from __future__ import annotations

from collections import Counter
from itertools import repeat
from random import Random

import pytest

from coherence.simulate.experiments import prices
from coherence.simulate.experiments.billing import Prompting
from coherence.simulate.experiments.edits import EditedContents, drawn
from coherence.simulate.experiments.floors import references
from coherence.simulate.experiments.play import bare, play
from coherence.simulate.experiments.strategies import STRATEGIES
from coherence.simulate.experiments.workload import Workload, grouped

SHIPPED = prices.shipped()
MODELS = [SHIPPED[name] for name in ("claude-opus-5", "claude-opus-5-5", "claude-fable-5-1")]
PROMPTINGS = [
    Prompting(),
    Prompting(system_tokens=6_000, new_tokens=1_500, output_tokens=300),
    Prompting(new_tokens=50, output_tokens=30),
]
PLAYED = ("lazy_delta", "push_delta", "adaptive")


def workload(shape: Random, rng: Random) -> Workload:
    """A team of any shape, with even or skewed use of few or many artifacts; its run by `rng`."""
    agents, artifacts = shape.choice([2, 4, 8, 16]), shape.choice([1, 3, 10, 30])
    steps, size = shape.choice([20, 40, 120]), shape.choice([300, 1_200, 4_096, 16_000])
    acts, writes = shape.choice([0.2, 0.75]), shape.choice([0.02, 0.1, 0.3, 0.6, 0.9])
    skewed, cuts = shape.random() < 0.5, shape.choice([0.0, 0.0, 0.05])
    likes = [
        [rng.paretovariate(0.8) if skewed else 1.0 for _ in range(artifacts)] for _ in range(agents)
    ]
    actions = [
        (step, agent, rng.choices(range(artifacts), likes[agent])[0], rng.random() < writes)
        for step in range(steps)
        for agent in range(agents)
        if rng.random() < acts
    ]
    count = Counter(artifact for _, _, artifact, is_write in actions if is_write)
    edits = [drawn(size, count[artifact], rng) for artifact in range(artifacts)]
    turns = list(grouped(actions, (rng.random() < cuts for _ in repeat(None))))
    return Workload(agents, artifacts, EditedContents([size] * artifacts, edits), turns)


def point(seed: int, runs: int) -> tuple[float, float]:
    """What adaptive costs, of the better of both pure strategies and of the offline choice."""
    rng = Random(f"{seed}/prices")
    model, prompting = rng.choice(MODELS), rng.choice(PROMPTINGS)
    sums: Counter[str] = Counter()
    for run in range(runs):
        made = workload(Random(seed), Random(f"{seed}/{run}"))
        nothing = bare(made, model, prompting).bill
        sums["offline"] += references(made, model, prompting).offline
        for name in PLAYED:
            sums[name] += play(made, STRATEGIES[name], model, prompting).bill - nothing
    better = min(sums["lazy_delta"], sums["push_delta"])
    return sums["adaptive"] / better, sums["adaptive"] / sums["offline"]


def check(points: list[tuple[float, float]]) -> None:
    of_better, of_offline = zip(*points, strict=True)
    assert max(of_better) <= 1.25
    assert sum(ratio <= 1.1 for ratio in of_better) >= 0.95 * len(points)
    # Twice is what the rule guarantees.  Seed 1148 comes near: ten texts, all of which change in
    # every step, and each call uses one of them.
    assert max(of_offline) <= 2.0
    assert sum(ratio <= 1.7 for ratio in of_offline) >= 0.99 * len(points)


def test_adaptive_is_near_the_better_of_telling_and_asking():
    check([point(seed, runs=1) for seed in range(40)])


@pytest.mark.slow
def test_adaptive_is_near_the_better_of_telling_and_asking_on_two_hundred_points():
    check([point(seed, runs=4) for seed in range(1_000, 1_200)])
