"""From runs to figures: means, multiples of the references, savings, each with its interval.

An interval is the half width of the 95 % confidence interval.  Multiples and savings are ratios of
sums over the runs, whose numerator and denominator come from the same seeds: their intervals are
those of the jackknife, with Student's t for the number of runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import sqrt
from statistics import fmean

import msgspec

from coherence.simulate.experiments.floors import References
from coherence.simulate.experiments.play import Costs
from coherence.simulate.experiments.prices import PriceModel
from coherence.simulate.experiments.strategies import Strategy
from coherence.simulate.scenario import Scenario
from message_passing.errors import EnvironmentFault

CONFIDENCE = 0.95


class NoScipy(EnvironmentFault):
    """The library of statistics is not installed."""

    remedy = "pip install scipy"


class Ratio(msgspec.Struct, frozen=True):
    """A ratio of sums over runs."""

    value: float
    #: Half the width of its 95 % confidence interval; None for a single run.
    interval: float | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy on one scenario under one price model.

    Costs are in input tokens.  ``above`` is the cost beyond the same run without texts of artifacts
    and without trips.
    """

    scenario: str
    prices: str
    strategy: str
    runs: int
    first_seed: int
    transferred_tokens_mean: float
    prompt_tokens_mean: float
    cached_tokens_mean: float
    bill_mean: float
    above_mean: float
    trips_mean: float
    #: By the engine, where messages travel; 0 for a strategy that asks at every access, None if it
    #: was not played.
    stale_reads_mean: float | None
    transferred_of_floor: Ratio
    above_of_floor: Ratio
    above_of_append_only: Ratio
    above_of_offline: Ratio
    #: The baseline of the two savings.
    against: str
    saved_transferred: Ratio
    saved_bill: Ratio
    #: Whether every prompt of every run was long enough to be cached, and priced in one tier.
    #: Otherwise the references in money are approximate.
    is_linear: bool


class Sample(msgspec.Struct, frozen=True):
    """One run under one price model."""

    costs: dict[str, Costs]
    bare: Costs
    references: References
    #: Stale reads of the engine's strategies.
    stale: dict[str, int]

    def above(self, strategy: str) -> float:
        """What the strategy costs beyond the run without texts and trips."""
        return self.costs[strategy].bill - self.bare.bill


def compared(
    scenario: Scenario,
    prices: PriceModel,
    strategy: Strategy,
    against: str,
    samples: Sequence[Sample],
) -> Comparison:
    """Sum up the runs of one strategy.  Raises `NoScipy`."""
    name, stale_like = strategy.name, strategy.stale_like
    costs = [sample.costs[name] for sample in samples]
    others = [sample.costs[against] for sample in samples]
    references = [sample.references for sample in samples]
    above = [sample.above(name) for sample in samples]
    transferred = [float(cost.transferred_tokens) for cost in costs]
    stale = [sample.stale.get(stale_like) if stale_like else 0 for sample in samples]
    known = [count for count in stale if count is not None]
    bills = [cost.bill for cost in costs]
    return Comparison(
        scenario=scenario.name,
        prices=prices.name,
        strategy=name,
        runs=len(samples),
        first_seed=scenario.first_seed,
        transferred_tokens_mean=fmean(transferred),
        prompt_tokens_mean=fmean(cost.prompt_tokens for cost in costs),
        cached_tokens_mean=fmean(cost.cached_tokens for cost in costs),
        bill_mean=fmean(bills),
        above_mean=fmean(above),
        trips_mean=fmean(cost.trips for cost in costs),
        stale_reads_mean=fmean(known) if len(known) == len(samples) else None,
        transferred_of_floor=ratio(transferred, [r.transferred_tokens for r in references]),
        above_of_floor=ratio(above, [r.floor for r in references]),
        above_of_append_only=ratio(above, [r.append_only for r in references]),
        above_of_offline=ratio(above, [r.offline for r in references]),
        against=against,
        saved_transferred=saved(transferred, [cost.transferred_tokens for cost in others]),
        saved_bill=saved(bills, [cost.bill for cost in others]),
        is_linear=all(cost.is_linear for cost in costs)
        and all(sample.bare.is_linear for sample in samples),
    )


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Ratio:
    """The ratio of the sums of paired values, with its interval.

    A sum of 0 is one of a run without accesses: its ratio to another such sum is 1.
    """
    top, bottom = sum(numerators), sum(denominators)
    value = _divided(top, bottom)
    n = len(numerators)
    if n == 1:
        return Ratio(value, None)
    without = [_divided(top - a, bottom - b) for a, b in zip(numerators, denominators, strict=True)]
    mean = fmean(without)
    error = sqrt((n - 1) / n * sum((each - mean) ** 2 for each in without))
    return Ratio(value, quantile(n - 1) * error)


def _divided(top: float, bottom: float) -> float:
    if bottom:
        return top / bottom
    return float("inf") if top else 1.0


def saved(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """The share of the paired `theirs` that was saved, with its interval."""
    found = ratio(ours, theirs)
    return Ratio(1 - found.value, found.interval)


@lru_cache
def quantile(degrees: int) -> float:
    """Student's t for two-sided intervals of 95 %.  Raises `NoScipy`."""
    try:
        from scipy.special import stdtrit
    except ImportError as error:
        raise NoScipy("scipy is not installed: there are no intervals without it") from error
    return float(stdtrit(degrees, (1 + CONFIDENCE) / 2))
