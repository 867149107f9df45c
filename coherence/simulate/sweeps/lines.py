"""From runs to lines: one for each point and strategy, each figure with its interval.

An interval is the half width of the 95 % confidence interval, as in `figures.ratio`, which makes
all of them: a mean is the ratio of the sum to the number of runs.  Savings and differences are
paired by seed, so what all strategies have in common does not widen them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import stdev
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from coherence.simulate.experiments.figures import Ratio, ratio, saved
from coherence.simulate.experiments.play import Costs
from coherence.simulate.experiments.strategies import STRATEGIES
from coherence.simulate.sweeps.measuring import Found, Ideal, Staleness
from coherence.simulate.sweeps.planning import Keys, Needed
from coherence.simulate.sweeps.requests import Sweep
from coherence.simulate.sweeps.settings import STRATEGY, GridPoint, Value

Verdict: TypeAlias = Literal["cheaper", "dearer", "undecided", "equal", "baseline"]


class Spread(msgspec.Struct, frozen=True):
    """A figure over runs.  A single run has neither sd nor interval."""

    mean: float
    #: Of the sample: divided by the number of runs less one.
    sd: float | None
    #: Half the width of the 95 % confidence interval of the mean.
    interval: float | None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy at one point.  Costs are in input tokens; see `figures.Comparison`."""

    #: The scenario, the price model, and what varies except the strategy.
    point: dict[str, Value]
    strategy: str
    runs: int
    first_seed: int
    #: Whether the sweep ended before all seeds were measured.
    partial: bool
    transferred_tokens: Spread
    prompt_tokens: Spread
    bill: Spread
    above: Spread
    trips: Spread
    #: What the engine's run of the strategy of this name has sent; None where it has none.
    engine_tokens: Spread | None
    #: The engine's, where messages travel and are lost; None if too many to count.
    stale_reads: Spread | None
    stale_share: Ratio | None
    stale_steps_max: int | None
    transferred_of_floor: Ratio
    above_of_floor: Ratio
    above_of_append_only: Ratio
    above_of_offline: Ratio
    #: A strategy, or ``key=value`` of an axis: the baseline of what follows.
    against: str
    saved_transferred: Ratio
    saved_bill: Ratio
    #: This line's minus the baseline's, by seed.
    transferred_difference: Spread
    bill_difference: Spread
    stale_difference: Spread | None
    #: Of the bill: undecided unless the interval of the difference lies on one side of 0, or the
    #: bills of every seed are equal.
    verdict: Verdict
    #: Whether every prompt was long enough to be cached, and priced in one tier; otherwise the
    #: references in money are approximate.
    is_linear: bool


class _Run(NamedTuple):
    costs: Costs
    ideal: Ideal
    #: None if the engine's run was too long to be made.
    staleness: Staleness | None

    @property
    def above(self) -> float:
        return self.costs.bill - self.ideal.bare.bill


#: Of a strategy that asks at every access.
_NEVER_STALE = Staleness(reads=1, stale_reads=0, stale_steps_max=0, tokens=0)


def lines(sweep: Sweep, plan: Needed, found: Mapping[bytes, Found]) -> list[Line]:
    """The lines of a sweep, in the grid's order, as far as their runs have been measured.

    Raises `NoScipy` if there is more than one run.
    """
    runs = {
        place: [_run(keys, place[1], found) for keys in seeds] for place, seeds in plan.runs.items()
    }
    places = {_frozen(point.settings): number for number, point in enumerate(sweep.points)}
    made = []
    for number, point in enumerate(sweep.points):
        for name in sweep.strategies:
            other = _baseline(sweep, number, name, places)
            pairs = zip(runs[number, name], runs[other], strict=True)
            paired = [(ours, theirs) for ours, theirs in pairs if ours and theirs]
            if paired:
                made.append(_line(sweep, point, name, paired, is_baseline=other == (number, name)))
    return made


def _baseline(
    sweep: Sweep, number: int, name: str, places: Mapping[_Place, int]
) -> tuple[int, str]:
    key, value = sweep.against
    if key == STRATEGY:
        return number, str(value)
    return places[_frozen(sweep.points[number].settings | {key: value})], name


_Place: TypeAlias = frozenset[tuple[str, Value]]


def _frozen(settings: Mapping[str, Value]) -> _Place:
    return frozenset(settings.items())


def _run(keys: Keys, strategy: str, found: Mapping[bytes, Found]) -> _Run | None:
    """A run of a strategy, if all of it has been measured."""
    costs, ideal = found.get(keys.costs), found.get(keys.ideal)
    staleness: Found | None = None
    if keys.staleness is not None:
        staleness = found.get(keys.staleness)
        if staleness is None:
            return None
    elif STRATEGIES[strategy].stale_like is None:
        staleness = _NEVER_STALE
    if costs is None or ideal is None:
        return None
    assert isinstance(costs, Costs)
    assert isinstance(ideal, Ideal)
    assert isinstance(staleness, Staleness | None)
    return _Run(costs, ideal, staleness)


def _line(
    sweep: Sweep,
    point: GridPoint,
    name: str,
    pairs: Sequence[tuple[_Run, _Run]],
    *,
    is_baseline: bool,
) -> Line:
    runs, others = [ours for ours, _ in pairs], [theirs for _, theirs in pairs]
    costs, other_costs = [run.costs for run in runs], [run.costs for run in others]
    references = [run.ideal.references for run in runs]
    above = [run.above for run in runs]
    transferred = [cost.transferred_tokens for cost in costs]
    others_transferred = [cost.transferred_tokens for cost in other_costs]
    bills, others_bills = [cost.bill for cost in costs], [cost.bill for cost in other_costs]
    stale = [run.staleness for run in runs if run.staleness]
    others_stale = [run.staleness for run in others if run.staleness]
    is_known, is_paired = len(stale) == len(runs), len(others_stale) == len(stale) == len(runs)
    stale_reads = [each.stale_reads for each in stale]
    key, value = sweep.against
    difference = _paired(bills, others_bills)
    return Line(
        point=point.settings,
        strategy=name,
        runs=len(runs),
        first_seed=point.scenario.first_seed,
        partial=len(runs) < sweep.seeds,
        transferred_tokens=spread(transferred),
        prompt_tokens=spread([cost.prompt_tokens for cost in costs]),
        bill=spread(bills),
        above=spread(above),
        trips=spread([cost.trips for cost in costs]),
        engine_tokens=spread([each.tokens for each in stale])
        if is_known and STRATEGIES[name].stale_like == name
        else None,
        stale_reads=spread(stale_reads) if is_known else None,
        stale_share=ratio(stale_reads, [max(1, each.reads) for each in stale])
        if is_known
        else None,
        stale_steps_max=max(each.stale_steps_max for each in stale) if is_known else None,
        transferred_of_floor=ratio(transferred, [each.transferred_tokens for each in references]),
        above_of_floor=ratio(above, [each.floor for each in references]),
        above_of_append_only=ratio(above, [each.append_only for each in references]),
        above_of_offline=ratio(above, [each.offline for each in references]),
        against=str(value) if key == STRATEGY else f"{key}={value}",
        saved_transferred=saved(transferred, others_transferred),
        saved_bill=saved(bills, others_bills),
        transferred_difference=_paired(transferred, others_transferred),
        bill_difference=difference,
        stale_difference=_paired(stale_reads, [each.stale_reads for each in others_stale])
        if is_paired
        else None,
        verdict="baseline" if is_baseline else _verdict(difference),
        is_linear=all(run.costs.is_linear and run.ideal.bare.is_linear for run in runs),
    )


def spread(values: Sequence[float]) -> Spread:
    """Mean, sd and interval of at least one value.  Raises `NoScipy`."""
    if len(values) == 1:
        return Spread(float(values[0]), None, None)
    mean = ratio(values, [1.0] * len(values))
    return Spread(mean.value, stdev(values), mean.interval)


def _paired(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    return spread([a - b for a, b in zip(ours, theirs, strict=True)])


def _verdict(difference: Spread) -> Verdict:
    if difference.mean == difference.sd == 0:
        return "equal"
    if difference.interval is None or abs(difference.mean) <= difference.interval:
        return "undecided"
    return "cheaper" if difference.mean < 0 else "dearer"
