"""The measurements that a sweep needs, each once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from coherence.simulate.experiments.strategies import STRATEGIES
from coherence.simulate.sweeps.measuring import (
    CostsOf,
    IdealOf,
    Measurement,
    StalenessOf,
    drawn,
    keys_of,
    priced,
    travelled,
)
from coherence.simulate.sweeps.requests import Sweep
from coherence.simulate.sweeps.settings import STRATEGY


class Keys(NamedTuple):
    """The measurements of one strategy's run."""

    costs: bytes
    ideal: bytes
    #: None if the strategy asks at every access, or the engine's run would be too long.
    staleness: bytes | None


class Needed(NamedTuple):
    """What a sweep needs."""

    measurements: dict[bytes, Measurement]
    #: For each point, by its number, and each strategy, the baseline included: one for each seed.
    runs: dict[tuple[int, str], list[Keys]]


def needed(sweep: Sweep) -> Needed:
    """List the measurements of a sweep."""
    plan = Needed({}, {})
    strategies = list(sweep.strategies)
    key, value = sweep.against
    if key == STRATEGY and value not in strategies:
        strategies.append(str(value))
    for number, point in enumerate(sweep.points):
        scenario, first = point.scenario, point.scenario.first_seed
        seeds = range(first, first + sweep.seeds)
        run = drawn(scenario), first, point.cuts, priced(point.prices), point.prompting
        ideal = _listed(IdealOf(*run), seeds, plan)
        far = travelled(scenario)
        for name in strategies:
            costs = _listed(CostsOf(*run, name), seeds, plan)
            like = STRATEGIES[name].stale_like
            stale: Sequence[bytes | None] = [None] * sweep.seeds
            if like and far:
                stale = _listed(StalenessOf(far, first, like), seeds, plan)
            plan.runs[number, name] = list(map(Keys, costs, ideal, stale))
    return plan


def _listed(first: Measurement, seeds: Sequence[int], plan: Needed) -> list[bytes]:
    """The keys of a measurement with each of the seeds."""
    keys = list(keys_of(first.parameters(), seeds))
    for key, seed in zip(keys, seeds, strict=True):
        if key not in plan.measurements:
            plan.measurements[key] = msgspec.structs.replace(first, seed=seed)
    return keys
