"""The runs of a simulation, and their distribution over the machine's cores.

Results come in the order of the jobs, so an output depends on its input only.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import lru_cache
from itertools import product
from typing import TypeVar

import msgspec

from coherence.policy import kind_of
from coherence.simulate import engine, paper
from coherence.simulate.errors import UnknownChoice
from coherence.simulate.measures import Record, RunMeasures, broadcast_tokens, measured, record
from coherence.simulate.result import STRATEGIES, RunResult
from coherence.simulate.scenario import Scenario
from coherence.simulate.stream import Action, Totals, draw, totals
from message_passing.console import import_modules
from message_passing.workers import workers

J = TypeVar("J")
R = TypeVar("R")

PARALLEL_ACTIONS_MIN = 400_000
"""Below this many actions, starting workers takes longer than they save."""

JOBS_AHEAD = 8
"""Jobs submitted for each worker beyond the awaited one, so that no worker idles."""


class Job(msgspec.Struct, frozen=True):
    """One seed of one strategy, under one or more sets of rules on the same actions."""

    scenario: Scenario
    strategy: str
    seed: int
    rules: tuple[str, ...]
    #: Have the engine check its invariants at every step.
    check: bool = False


class Played(msgspec.Struct, frozen=True):
    """The results of the jobs, complete or partial."""

    records: list[Record]
    runs_done: int
    runs_asked: int

    @property
    def partial(self) -> bool:
        """Whether the jobs were interrupted."""
        return self.runs_done < self.runs_asked


def simulate(
    scenarios: Sequence[Scenario],
    strategies: Sequence[str],
    rules: Sequence[str],
    *,
    check: bool = False,
    advance: Callable[[int, int], None] = lambda done, asked: None,
) -> Played:
    """Run every scenario under every strategy and set of rules, and summarise.

    A strategy that is a policy of yours is played by the engine's rules only: the paper has no
    rules for it.  `advance` gets the number of runs done and asked for, first before any is done.
    An interrupt ends the simulation, not the caller: the complete results are returned.  Raises
    `UnknownChoice`.
    """
    played_by = {strategy: _rules_for(strategy, rules) for strategy in strategies}
    for strategy, scenario in product(strategies, scenarios):
        if strategy not in STRATEGIES:
            engine.policy_of(scenario, strategy)  # raises here if it cannot be made
    jobs = [
        Job(scenario, strategy, scenario.first_seed + run, played_by[strategy], check)
        for scenario in scenarios
        for run in range(scenario.runs)
        for strategy in played_by
    ]
    done: list[tuple[RunMeasures, ...]] = []
    try:
        advance(0, len(jobs))
        for runs in _performed(jobs):
            done.append(runs)
            advance(len(done), len(jobs))
    except KeyboardInterrupt:
        pass
    return Played(_records(jobs, done, scenarios, played_by), len(done), len(jobs))


def _rules_for(strategy: str, rules: Sequence[str]) -> tuple[str, ...]:
    """Those of `rules` that can play the strategy."""
    found = tuple(name for name in rules if name != "paper" or strategy in STRATEGIES)
    if not found:
        raise UnknownChoice(
            f"strategy {strategy!r}: the paper has no rules for it",
            remedy="play it by the engine's rules",
        )
    return found


def perform(job: Job) -> tuple[RunMeasures, ...]:
    """Play one job, once under each of its rules."""
    scenario, strategy, seed = job.scenario, job.strategy, job.seed
    base = _drawn_totals(scenario, seed)
    broadcast = broadcast_tokens(scenario, base)
    actions = paper.actions(scenario, strategy, seed)
    # On a lossy network the actions depend on the strategy: see `stream.draw`.
    own = totals(scenario, actions) if scenario.loss_probability else base
    return tuple(
        measured(scenario, _play(job, rules, actions), own, broadcast) for rules in job.rules
    )


def _play(job: Job, rules: str, actions: Iterable[Action]) -> RunResult:
    if rules == "paper":
        return paper.run(job.scenario, job.strategy, job.seed)
    result = engine.run(job.scenario, job.strategy, job.seed, actions, check=job.check)
    return msgspec.structs.replace(result, actions=())


@lru_cache(maxsize=1)
def _drawn_totals(scenario: Scenario, seed: int) -> Totals:
    return totals(scenario, draw(scenario, seed))


def _records(
    jobs: Sequence[Job],
    done: Sequence[tuple[RunMeasures, ...]],
    scenarios: Sequence[Scenario],
    played_by: Mapping[str, Sequence[str]],
) -> list[Record]:
    partial = len(done) < len(jobs)
    records, first = [], 0
    for scenario in scenarios:
        count = scenario.runs * len(played_by)
        mine = done[first : first + count]
        first += count
        for index, (strategy, rules) in enumerate(played_by.items()):
            runs = mine[index :: len(played_by)]
            records += [
                record(scenario.name, strategy, name, [run[k] for run in runs], partial=partial)
                for k, name in enumerate(rules)
                if runs
            ]
    return records


def _performed(jobs: Sequence[Job]) -> Iterator[tuple[RunMeasures, ...]]:
    actions = sum(
        job.scenario.agents * job.scenario.steps * job.scenario.action_probability * len(job.rules)
        for job in jobs
    )
    modules = _modules_of({job.strategy for job in jobs})
    return spread(perform, jobs, is_long=actions >= PARALLEL_ACTIONS_MIN, modules=modules)


def spread(
    perform: Callable[[J], R], jobs: Sequence[J], *, is_long: bool, modules: Sequence[str] = ()
) -> Iterator[R]:
    """Yield the results of the jobs in their order; long work is spread over the cores.

    Workers import `modules` first.
    """
    count = min(len(jobs), os.cpu_count() or 1)
    if count == 1 or not is_long:
        yield from map(perform, jobs)
        return
    pending: deque[Future[R]] = deque()
    with workers(count, import_modules, modules) as pool:
        for job in jobs:
            pending.append(pool.submit(perform, job))
            if len(pending) > count * JOBS_AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _modules_of(strategies: Iterable[str]) -> list[str]:
    """The modules that define strategies of the application, which workers must import."""
    modules = {kind_of(name).__module__ for name in strategies if name not in STRATEGIES}
    return sorted(modules - {"__main__"})  # that one each worker imports anyway
