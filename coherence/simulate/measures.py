"""From counts to measures: baselines, the theorem's bound, and one record for many runs."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from statistics import fmean, pstdev

import msgspec

from coherence.simulate.result import RunResult
from coherence.simulate.scenario import Scenario
from coherence.simulate.stream import Totals


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Measures of one strategy under one set of rules, over the runs of a scenario.

    ``_mean`` and ``_sd`` are over runs; the sd is that of the population, as in the paper.
    None: the measure has no meaning.
    """

    scenario: str
    strategy: str
    rules: str
    runs: int
    sync_tokens_mean: float
    sync_tokens_sd: float
    fetch_tokens_mean: float
    push_tokens_mean: float
    invalidation_tokens_mean: float
    #: Share of the paper's broadcast on the same seed that was saved; never below 0, as in the
    #: paper.
    savings_mean: float | None
    savings_sd: float | None
    #: Share saved of sending the full text at every access, and nothing else.  May be negative.
    savings_vs_refetch_mean: float | None
    hit_rate_mean: float | None
    stale_reads_mean: float
    #: Longest row of stale reads of one agent on one artifact, in all runs.
    max_stale_steps: int
    #: Writes over a version that their writer had never seen, in all runs.
    lost_updates: int
    #: Mean over runs of the Token Coherence Theorem's bound on `savings`; None if its condition
    #: fails for some artifact of some run.
    lower_bound: float | None
    #: Tokens of other answers ("unchanged", for one); part of `sync_tokens`.
    other_tokens_mean: float
    hit_rate_sd: float | None
    #: Stale reads beyond the strategy's bound, in all runs.
    bound_violations: int | None
    actions_mean: float
    writes_mean: float
    broadcast_tokens_mean: float
    refetch_tokens_mean: float
    #: Full text wherever a copy is missing or outdated, and no other cost: the minimum of every
    #: protocol that sends no deltas and serves no stale copy.
    floor_tokens_mean: float
    #: True for every record of an output that was cut short.
    partial: bool = False


class RunMeasures(msgspec.Struct, frozen=True, kw_only=True):
    """One run, with its baselines."""

    result: RunResult
    accesses: int
    broadcast_tokens: int
    refetch_tokens: int
    floor_tokens: int
    lower_bound: float | None

    @property
    def savings(self) -> float:
        """Share of the broadcast that was saved, floored at 0 as in the paper."""
        return max(0.0, 1 - self.result.sync_tokens / self.broadcast_tokens)

    @property
    def savings_vs_refetch(self) -> float | None:
        """Share saved of the full text at every access; None if there was no access."""
        if not self.refetch_tokens:
            return None
        return 1 - self.result.sync_tokens / self.refetch_tokens


def broadcast_tokens(scenario: Scenario, totals: Totals) -> int:
    """Cost of a broadcast run, by arithmetic over the actions of that run.

    Every artifact goes to every agent in every step.  The fetches of step 0, before the first
    broadcast, are added; under `always_read`, every read pays once more.
    """
    extra = totals.opening_reads_per_artifact
    if scenario.context == "always_read":
        extra = totals.reads_per_artifact
    return (
        scenario.broadcast_floor_tokens
        + _priced(scenario, extra)
        + _priced(scenario, totals.opening_writes_per_artifact)
    )


def lower_bound(scenario: Scenario, writes_per_artifact: Sequence[int]) -> float | None:
    """Share of a broadcast that coherence saves at least, by the Token Coherence Theorem.

    For artifact i with W_i writes among n agents in S steps, coherence costs at most
    n (n + W_i) |d_i| and a broadcast n S |d_i| (arXiv 2603.15183), provided that S > n + W_i.
    None if that fails for some artifact.
    """
    n, steps = scenario.agents, scenario.steps
    factors = [n + writes for writes in writes_per_artifact]
    if max(factors) >= steps:
        return None
    return 1 - _priced(scenario, factors) / (steps * sum(scenario.sizes_tokens))


def measured(scenario: Scenario, result: RunResult, totals: Totals, broadcast: int) -> RunMeasures:
    """Combine a run with its baselines: `totals` of its actions, cost of the `broadcast` run."""
    reads, writes = totals.reads_per_artifact, totals.writes_per_artifact
    return RunMeasures(
        result=result,
        accesses=sum(reads) + sum(writes),
        broadcast_tokens=broadcast,
        refetch_tokens=_priced(scenario, map(operator.add, reads, writes)),
        floor_tokens=_priced(scenario, totals.needed_per_artifact),
        lower_bound=lower_bound(scenario, writes),
    )


def record(
    scenario: str, strategy: str, rules: str, runs: Sequence[RunMeasures], *, partial: bool = False
) -> Record:
    """Summarise at least one run."""
    results = [run.result for run in runs]
    costs = [result.sync_tokens for result in results]
    savings = None if strategy == "broadcast" else [run.savings for run in runs]
    hit_rates = _known(result.hit_rate for result in results)
    bounds = _known(run.lower_bound for run in runs)
    violations = _known(result.bound_violations for result in results)
    return Record(
        scenario=scenario,
        strategy=strategy,
        rules=rules,
        runs=len(runs),
        sync_tokens_mean=fmean(costs),
        sync_tokens_sd=pstdev(costs),
        fetch_tokens_mean=fmean(result.fetch_tokens for result in results),
        push_tokens_mean=fmean(result.push_tokens for result in results),
        invalidation_tokens_mean=fmean(result.invalidation_tokens for result in results),
        savings_mean=_mean(savings),
        savings_sd=pstdev(savings) if savings else None,
        savings_vs_refetch_mean=_mean(_known(run.savings_vs_refetch for run in runs)),
        hit_rate_mean=_mean(hit_rates),
        stale_reads_mean=fmean(result.stale_reads for result in results),
        max_stale_steps=max(result.max_stale_steps for result in results),
        lost_updates=sum(result.lost_updates for result in results),
        lower_bound=_mean(bounds) if len(bounds) == len(runs) else None,
        other_tokens_mean=fmean(result.other_tokens for result in results),
        hit_rate_sd=pstdev(hit_rates) if hit_rates else None,
        bound_violations=int(sum(violations)) if violations else None,
        actions_mean=fmean(run.accesses for run in runs),
        writes_mean=fmean(sum(result.writes_per_artifact) for result in results),
        broadcast_tokens_mean=fmean(run.broadcast_tokens for run in runs),
        refetch_tokens_mean=fmean(run.refetch_tokens for run in runs),
        floor_tokens_mean=fmean(run.floor_tokens for run in runs),
        partial=partial,
    )


def _priced(scenario: Scenario, counts: Iterable[int]) -> int:
    return sum(map(operator.mul, scenario.sizes_tokens, counts))


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Sequence[float] | None) -> float | None:
    return fmean(values) if values else None
