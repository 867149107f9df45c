"""What every strategy costs on workloads that are given, beside the references.

`coherence.simulate.experiments.compare` does the same for scenarios.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from coherence.simulate import engine
from coherence.simulate.experiments import play
from coherence.simulate.experiments.billing import Prompting
from coherence.simulate.experiments.figures import Comparison, Sample, compared, quantile
from coherence.simulate.experiments.floors import references
from coherence.simulate.experiments.play import Costs
from coherence.simulate.experiments.prices import PriceModel
from coherence.simulate.experiments.strategies import STRATEGIES, Speaker, Strategy
from coherence.simulate.experiments.workload import OUTSIDE, Workload
from coherence.simulate.replay.recorded import Run
from coherence.simulate.scenario import Artifact, Scenario
from coherence.simulate.stream import Action

#: Without `broadcast`, which puts every file of a repository into every prompt, and variants.
DEFAULT_STRATEGIES: Final = tuple(
    name for name in STRATEGIES if name not in ("broadcast", "inject", "shipped_unmarked")
)

RECORDED: Final = Strategy("recorded", "as it was recorded", Speaker)
"""The way of a recorded run itself, which is not played but counted."""

STALE_CALLS_MAX: Final = 5_000_000
"""Beyond this many accesses x agents the engine does not count the stale reads of a run."""


def priced(
    name: str,
    workloads: Sequence[Workload],
    first_seed: int,
    models: Sequence[PriceModel],
    strategies: Sequence[str],
    against: str,
    prompting: Prompting,
    advance: Callable[[int, int], None] = lambda done, asked: None,
    recorded: Sequence[Run] = (),
) -> list[Comparison]:
    """Compare the strategies on workloads of consecutive seeds.

    `recorded` are the runs that the workloads are of, if their own cost is to stand beside.
    `advance` gets the number of runs done and asked for.  Raises `NoScipy` if there are several
    workloads, and the `Defect`s of `Conversation`.
    """
    if len(workloads) > 1:
        quantile(1)
    names = tuple(dict.fromkeys((*strategies, against)))
    asked = len(workloads) * len(models) * len(names)
    done = 0
    rows: list[Comparison] = []
    scenario = _scenario(name, workloads[0], first_seed, len(workloads))
    stale = [_stale(scenario, workload, names) for workload in workloads]
    for prices in models:
        samples = []
        owns: list[Costs | None] = [run.costs(prices, prompting) for run in recorded]
        shown = [RECORDED] if owns and all(owns) else []
        for i, (workload, counted) in enumerate(zip(workloads, stale, strict=True)):
            costs = {RECORDED.name: own} if owns and (own := owns[i]) else {}
            for strategy in names:
                costs[strategy] = play.play(workload, STRATEGIES[strategy], prices, prompting)
                done += 1
                advance(done, asked)
            bare = play.bare(workload, prices, prompting)
            samples.append(Sample(costs, bare, references(workload, prices, prompting), counted))
        rows += [
            compared(scenario, prices, strategy, against, samples)
            for strategy in (*shown, *(STRATEGIES[name] for name in strategies))
        ]
    return rows


def _scenario(name: str, workload: Workload, first_seed: int, runs: int) -> Scenario:
    """The scenario in which the engine plays the same actions; all others are one more agent."""
    return Scenario(
        name=name,
        agents=workload.agents + 1,
        steps=1 + max((turn.step for turn in workload.turns), default=0),
        action_probability=1.0,
        write_probability=1.0,
        first_seed=first_seed,
        runs=runs,
        artifacts=tuple(
            Artifact(name=str(number), size_tokens=1) for number in range(workload.artifacts)
        ),
    )


def _stale(scenario: Scenario, workload: Workload, names: Sequence[str]) -> dict[str, int]:
    """Stale reads of the engine's strategies, where messages travel for a step."""
    accesses = sum(len(turn.accesses) for turn in workload.turns)
    likes = {like for name in names if (like := STRATEGIES[name].stale_like)}
    if accesses * scenario.agents > STALE_CALLS_MAX:
        return {}
    # The engine would push every file to everyone at every step.
    likes.discard("broadcast")
    return {
        like: engine.run(scenario, like, scenario.first_seed, _actions(workload)).stale_reads
        for like in sorted(likes)
    }


def _actions(workload: Workload) -> Iterator[Action]:
    for step, agent, accesses, _ in workload.turns:
        number = workload.agents if agent == OUTSIDE else agent
        for artifact, is_write in accesses:
            yield step, number, artifact, is_write
