"""What the experiments must show: each target, what was found, and where it was worst.

Some targets are of five price models, those of the analysis that the targets come from; every other
shipped model is reported beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Literal

import msgspec

from coherence.simulate import catalogue
from coherence.simulate.experiments import compare, points
from coherence.simulate.experiments import prices as price_models
from coherence.simulate.experiments.billing import Prompting
from coherence.simulate.experiments.compare import Plan
from coherence.simulate.experiments.figures import Comparison
from coherence.simulate.experiments.play import bare, play
from coherence.simulate.experiments.points import Point
from coherence.simulate.experiments.strategies import STRATEGIES
from coherence.simulate.experiments.workload import of_scenario
from coherence.simulate.jobs import spread
from coherence.simulate.scenario import Scenario

FIVE = (
    "claude-opus-5",
    "claude-opus-5-1h",
    "claude-opus-5-5",
    "claude-fable-5-1",
    "deepseek-v4-1-flash",
)
"""The price models that have targets."""

NEAR_FLOOR = 1.5
SCENARIOS_NEAR_FLOOR = dict(zip(FIVE, (6, 5, 9, 9, 9), strict=True))
"""How many scenarios must be at most `NEAR_FLOOR` times the absolute floor."""

_PLAYED = ("shipped", "shipped_unmarked", "lazy_delta", "push_delta", "adaptive")

_MANY = ((20, 300), (100, 300), (300, 300))
"""Agents and steps of the teams with many artifacts."""
_MANY_ARTIFACTS = 100


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One figure, beside its target if it has one."""

    figure: str
    what: str
    #: The price model; None where several are in the figure.
    prices: str | None = None
    found: float
    target: float | None = None
    relation: Literal["at most", "at least"] = "at most"
    #: Where the figure is worst, or which do not reach it.
    where: str = ""

    @property
    def holds(self) -> bool:
        """Whether the target is reached; true without a target."""
        if self.target is None:
            return True
        if self.relation == "at most":
            return self.found <= self.target
        return self.found >= self.target


class Findings(msgspec.Struct, frozen=True):
    """All figures, by table."""

    scenarios: list[Finding]
    points: list[Finding]
    notices: list[Finding]
    many: list[Finding]

    def all(self) -> list[Finding]:
        """The findings of every table."""
        return [*self.scenarios, *self.points, *self.notices, *self.many]


class Effort(msgspec.Struct, frozen=True):
    """How much is played."""

    #: Runs of each scenario; None: as many as the scenario has.
    seeds: int | None = None
    points: int = 200
    runs_of_point: int = 4
    #: Price models, by name; those of `FIVE` have targets.
    prices: tuple[str, ...] = tuple(price_models.shipped())
    many: bool = True


def find(
    effort: Effort, advance: Callable[[int, int], None] = lambda done, asked: None
) -> Findings:
    """Play everything.  `advance` gets what is done and asked for, of each part in turn.

    Raises `NoScipy` and the `Defect`s of `Conversation`.
    """
    changes = [] if effort.seeds is None else [f"runs={effort.seeds}"]
    scenarios = tuple(catalogue.find(name, changes) for name in catalogue.shipped())
    models = price_models.shipped()
    plan = Plan(
        scenarios,
        tuple(models[name] for name in effort.prices),
        strategies=_PLAYED,
        against="shipped",
        counts_stale=False,
    )
    outcome = compare.run(plan, advance)
    if outcome.is_partial:
        raise KeyboardInterrupt
    measured = list(_measured(effort, advance))
    by_prices = {
        name: [row for row in outcome.comparisons if row.prices == name] for name in effort.prices
    }
    return Findings(
        scenarios=[found for name in by_prices for found in _scenarios(name, by_prices[name])],
        points=list(_points(measured)),
        notices=[found for name in by_prices for found in _notices(name, by_prices[name])],
        many=list(_many()) if effort.many else [],
    )


def _scenarios(prices: str, rows: Sequence[Comparison]) -> Iterator[Finding]:
    has_targets = prices in FIVE

    def worst(
        figure: str, what: str, target: float, figures: Iterable[tuple[float, str]]
    ) -> Finding:
        found, where = max(figures)
        return Finding(
            figure=figure,
            what=what,
            prices=prices,
            found=found,
            target=target if has_targets else None,
            where=where,
        )

    costs = {(row.scenario, row.strategy): row.above_mean for row in rows}
    ours = [row for row in rows if row.strategy == "adaptive"]
    theirs = [row for row in rows if row.strategy == "shipped"]
    yield worst(
        "append_only",
        "adaptive, of the append-only floor",
        1.40,
        ((row.above_of_append_only.value, row.scenario) for row in ours),
    )
    yield worst(
        "offline",
        "adaptive, of the offline choice",
        1.20,
        ((row.above_of_offline.value, row.scenario) for row in ours),
    )
    yield worst(
        "better",
        "adaptive, of the better of shipped and push_delta",
        1.05,
        (
            (
                row.above_mean
                / min(costs[row.scenario, "shipped"], costs[row.scenario, "push_delta"]),
                row.scenario,
            )
            for row in ours
        ),
    )
    far = [row for row in ours if row.above_of_floor.value > NEAR_FLOOR]
    yield Finding(
        figure="near_floor",
        what=f"scenarios where adaptive costs at most {NEAR_FLOOR:g} of the absolute floor",
        prices=prices,
        found=len(ours) - len(far),
        target=SCENARIOS_NEAR_FLOOR.get(prices),
        relation="at least",
        where=", ".join(f"{row.scenario} {row.above_of_floor.value:.2f}" for row in far),
    )
    for name, target, mine in (("shipped", 1.25, theirs), ("adaptive", 1.30, ours)):
        yield worst(
            f"transferred_{name}",
            f"{name}, transferred tokens, of their floor",
            target,
            ((row.transferred_of_floor.value, row.scenario) for row in mine),
        )


def _measured(effort: Effort, advance: Callable[[int, int], None]) -> Iterator[Point]:
    seeds = range(points.FIRST_SEED, points.FIRST_SEED + effort.points)
    measure = partial(points.measure, runs=effort.runs_of_point)
    is_long = effort.points * effort.runs_of_point > 200
    for done, point in enumerate(spread(measure, seeds, is_long=is_long), start=1):
        advance(done, len(seeds))
        yield point


def _points(measured: Sequence[Point]) -> Iterator[Finding]:
    better = max(measured, key=lambda point: point.of_better)
    offline = max(measured, key=lambda point: point.of_offline)
    far = [point for point in measured if point.of_better > 1.1]
    yield Finding(
        figure="points_near_better",
        what="points within 1.1 of the better of lazy_delta and push_delta, share",
        found=1 - len(far) / len(measured),
        target=0.95,
        relation="at least",
        where=", ".join(f"point {point.seed}" for point in far),
    )
    yield Finding(
        figure="points_better",
        what="worst point, of the better of lazy_delta and push_delta",
        found=better.of_better,
        target=1.25,
        where=f"point {better.seed}",
    )
    yield Finding(
        figure="points_offline",
        what="worst point, of the offline choice",
        found=offline.of_offline,
        target=1.7,
        where=f"point {offline.seed}; the better of both: {offline.better_of_offline:.2f}",
    )


def _notices(prices: str, rows: Sequence[Comparison]) -> Iterator[Finding]:
    """What an unkept notice without a mark before it costs, and a kept signal in its place."""
    by_name = {(row.scenario, row.strategy): row for row in rows}
    scenarios = list(dict.fromkeys(row.scenario for row in rows))

    def worst(
        figure: str, what: str, name: str, of: Callable[[Comparison, Comparison], float]
    ) -> Finding:
        found, where = max(
            (of(by_name[scenario, name], by_name[scenario, "shipped"]), scenario)
            for scenario in scenarios
        )
        return Finding(figure=figure, what=what, prices=prices, found=found, where=where)

    def lost(row: Comparison, marked: Comparison) -> float:
        hits, before = row.cached_tokens_mean, marked.cached_tokens_mean
        rate = before / marked.prompt_tokens_mean
        return 1 - hits / row.prompt_tokens_mean / rate if rate else 0.0

    def bill(row: Comparison, marked: Comparison) -> float:
        return row.bill_mean / marked.bill_mean

    unmarked = "shipped_unmarked"
    yield worst("hits_lost", "shipped without marks, cache hits lost", unmarked, lost)
    yield worst("unmarked_bill", "shipped without marks, of the bill with marks", unmarked, bill)
    yield worst("kept_bill", "a signal that is kept, of the bill of shipped", "lazy_delta", bill)


def _many() -> Iterator[Finding]:
    """Teams with many artifacts, of which nearly all change between two calls of an agent."""
    for agents, steps in _MANY:
        changes = [f"agents={agents}", f"artifacts={_MANY_ARTIFACTS}", f"steps={steps}"]
        figures = _costs(catalogue.find("development", changes))
        for name in ("shipped", "push_delta"):
            yield Finding(
                figure=f"many_of_{name}",
                what=f"adaptive, of {name}, {_MANY_ARTIFACTS} artifacts",
                prices=FIVE[0],
                found=figures["adaptive"] / figures[name],
                where=f"development, {agents} agents",
            )


def _costs(scenario: Scenario) -> dict[str, float]:
    workload = of_scenario(scenario, scenario.first_seed)
    model, prompting = price_models.shipped()[FIVE[0]], Prompting()
    nothing = bare(workload, model, prompting).bill
    cost = partial(play, workload, prices=model, prompting=prompting)
    return {
        name: cost(STRATEGIES[name]).bill - nothing
        for name in ("shipped", "push_delta", "adaptive")
    }
