"""Points that no scenario has: teams drawn at random, for which no rule was made."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import repeat
from random import Random

import msgspec

from coherence.simulate.experiments import prices as price_models
from coherence.simulate.experiments.billing import Prompting
from coherence.simulate.experiments.edits import EditedContents, Span, drawn
from coherence.simulate.experiments.floors import references
from coherence.simulate.experiments.play import bare, play
from coherence.simulate.experiments.strategies import STRATEGIES
from coherence.simulate.experiments.workload import Workload, grouped

PRICES = ("claude-opus-5", "claude-opus-5-5", "claude-fable-5-1")
PROMPTINGS = (
    Prompting(),
    Prompting(system_tokens=6_000, new_tokens=1_500, output_tokens=300),
    Prompting(new_tokens=50, output_tokens=30),
)
PURE = "lazy_delta", "push_delta"
"""The lazy and the eager way, both with differences."""

FIRST_SEED = 1_000
"""The seed of the first of the points that the documentation reports."""


class Point(msgspec.Struct, frozen=True):
    """What `adaptive` costs at one point, above the same runs without texts and trips."""

    seed: int
    #: In multiples of the better of `PURE`.
    of_better: float
    #: In multiples of the offline choice.
    of_offline: float
    #: What the better of `PURE` costs, in multiples of the offline choice.
    better_of_offline: float


def measure(seed: int, runs: int) -> Point:
    """Play the runs of one point."""
    rng = Random(f"{seed}/prices")
    model, prompting = price_models.shipped()[rng.choice(PRICES)], rng.choice(PROMPTINGS)
    sums: defaultdict[str, float] = defaultdict(float)
    for run in range(runs):
        made = workload(Random(seed), Random(f"{seed}/{run}"))
        nothing = bare(made, model, prompting).bill
        sums["offline"] += references(made, model, prompting).offline
        for name in (*PURE, "adaptive"):
            sums[name] += play(made, STRATEGIES[name], model, prompting).bill - nothing
    better = min(sums[name] for name in PURE)
    adaptive, offline = sums["adaptive"], sums["offline"]
    return Point(seed, adaptive / better, adaptive / offline, better / offline)


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
    return Workload(
        agents,
        artifacts,
        EditedContents([size] * artifacts, _edits(actions, artifacts, size, rng)),
        list(grouped(actions, (rng.random() < cuts for _ in repeat(None)))),
    )


def _edits(
    actions: Iterable[tuple[int, int, int, bool]], artifacts: int, size: int, rng: Random
) -> list[list[Span]]:
    count = Counter(artifact for _, _, artifact, is_write in actions if is_write)
    return [drawn(size, count[artifact], rng) for artifact in range(artifacts)]
