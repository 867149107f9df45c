"""The runs of a comparison, spread over the cores: scenarios, seeds, price models, strategies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice

import msgspec

from coherence.simulate import engine
from coherence.simulate.experiments import play
from coherence.simulate.experiments.billing import Prompting
from coherence.simulate.experiments.figures import Comparison, Sample, compared, quantile
from coherence.simulate.experiments.floors import References, references
from coherence.simulate.experiments.play import Costs
from coherence.simulate.experiments.prices import PriceModel
from coherence.simulate.experiments.strategies import STRATEGIES
from coherence.simulate.experiments.workload import Workload, of_scenario
from coherence.simulate.jobs import spread
from coherence.simulate.scenario import Scenario
from coherence.simulate.stream import draw

#: Without `inject`, which makes no trip and is a baseline of another table, and the variants of
#: `shipped`.
DEFAULT_STRATEGIES = tuple(
    name for name in STRATEGIES if name not in ("inject", "lazy_delta", "shipped_unmarked")
)

ALONE_ACTIONS_MIN = 50_000
"""From this many actions on, each strategy is a job of its own."""

STALE_STEPS_MAX = 20_000_000
"""Beyond this many actions x agents the engine does not count the stale reads of a run."""

LONG_ACTIONS_MIN = 1_000_000
"""Below this many actions x strategies, starting workers takes longer than they save."""


class Plan(msgspec.Struct, frozen=True):
    """What is compared."""

    scenarios: tuple[Scenario, ...]
    prices: tuple[PriceModel, ...]
    strategies: tuple[str, ...] = DEFAULT_STRATEGIES
    #: The baseline of the savings, played whether or not it is one of `strategies`.
    against: str = "conditional_get"
    prompting: Prompting = Prompting()
    #: The chance that an agent loses its context before a call.
    cuts: float = 0.0
    #: Whether the engine counts the stale reads.
    counts_stale: bool = True


class Compared(msgspec.Struct, frozen=True):
    """The comparisons of all scenarios, or of those that were complete at an interrupt."""

    comparisons: list[Comparison]
    is_partial: bool


class _Part(msgspec.Struct, frozen=True):
    """What one worker does at once: some strategies on one run, under one price model."""

    scenario: Scenario
    seed: int
    prices: PriceModel
    prompting: Prompting
    cuts: float
    strategies: tuple[str, ...]
    #: The strategies whose stale reads are counted, by the engine; None except in a first part,
    #: which also has the references.
    engine: tuple[str, ...] | None


class _Played(msgspec.Struct, frozen=True):
    costs: dict[str, Costs]
    bare: Costs | None = None
    references: References | None = None
    stale: dict[str, int] = {}


def run(plan: Plan, advance: Callable[[int, int], None] = lambda done, asked: None) -> Compared:
    """Compare.  `advance` gets the number of parts done and asked for, first before any is done.

    An interrupt ends the comparison, not the caller.  Raises `NoScipy` before anything is run, and
    the `Defect`s of `Conversation`.
    """
    if any(scenario.runs > 1 for scenario in plan.scenarios):
        quantile(1)
    parts = [list(_parts(plan, scenario)) for scenario in plan.scenarios]
    jobs = list(chain.from_iterable(parts))
    length = sum(_actions(part.scenario) * len(part.strategies) for part in jobs)
    done: list[_Played] = []
    try:
        advance(0, len(jobs))
        for played in spread(_perform, jobs, is_long=length >= LONG_ACTIONS_MIN):
            done.append(played)
            advance(len(done), len(jobs))
    except KeyboardInterrupt:
        pass
    results = iter(done)
    comparisons: list[Comparison] = []
    for scenario, asked in zip(plan.scenarios, parts, strict=True):
        mine = list(islice(results, len(asked)))
        if len(mine) == len(asked):
            comparisons += _compared(plan, scenario, mine)
    return Compared(comparisons, len(done) < len(jobs))


def _actions(scenario: Scenario) -> float:
    return scenario.agents * scenario.steps * scenario.action_probability


def _parts(plan: Plan, scenario: Scenario) -> Iterator[_Part]:
    """The parts of all runs of a scenario: by seed, price model and strategies."""
    names = tuple(dict.fromkeys((*plan.strategies, plan.against)))
    alone = _actions(scenario) >= ALONE_ACTIONS_MIN
    groups = [(name,) for name in names] if alone else [names]
    stale = sorted({like for name in names if (like := STRATEGIES[name].stale_like)})
    if not plan.counts_stale or _actions(scenario) * scenario.agents > STALE_STEPS_MAX:
        stale = []
    for seed in range(scenario.first_seed, scenario.first_seed + scenario.runs):
        for prices in plan.prices:
            for group in groups:
                first = tuple(stale) if group is groups[0] else None
                yield _Part(scenario, seed, prices, plan.prompting, plan.cuts, group, first)


def _perform(part: _Part) -> _Played:
    workload = _workload(part.scenario, part.seed, part.cuts)
    prices, prompting = part.prices, part.prompting
    costs = {
        name: play.play(workload, STRATEGIES[name], prices, prompting) for name in part.strategies
    }
    if part.engine is None:
        return _Played(costs)
    return _Played(
        costs,
        play.bare(workload, prices, prompting),
        references(workload, prices, prompting),
        {strategy: _stale(part.scenario, strategy, part.seed) for strategy in part.engine},
    )


@lru_cache(maxsize=1)
def _workload(scenario: Scenario, seed: int, cuts: float) -> Workload:
    return of_scenario(scenario, seed, cuts)


@lru_cache(maxsize=len(STRATEGIES))
def _stale(scenario: Scenario, strategy: str, seed: int) -> int:
    return engine.run(scenario, strategy, seed, draw(scenario, seed)).stale_reads


def _compared(plan: Plan, scenario: Scenario, done: Sequence[_Played]) -> Iterator[Comparison]:
    each = len(done) // (scenario.runs * len(plan.prices))
    samples = [_sample(done[begin : begin + each]) for begin in range(0, len(done), each)]
    for p, prices in enumerate(plan.prices):
        runs = samples[p :: len(plan.prices)]
        for name in plan.strategies:
            yield compared(scenario, prices, STRATEGIES[name], plan.against, runs)


def _sample(parts: Sequence[_Played]) -> Sample:
    first = parts[0]
    assert first.bare is not None
    assert first.references is not None
    costs = {name: cost for part in parts for name, cost in part.costs.items()}
    return Sample(costs, first.bare, first.references, first.stale)
