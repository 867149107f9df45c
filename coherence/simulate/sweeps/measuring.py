"""What is measured in one run: each figure by all that it depends on, and by nothing else.

A strategy's costs do not depend on the network, the engine's stale reads not on prices, and the
references not on a strategy.  So whatever two sweeps share is measured once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import lru_cache
from hashlib import blake2b
from itertools import groupby
from typing import Any, ClassVar, TypeAlias

import msgspec

from coherence.simulate import engine
from coherence.simulate.experiments import play
from coherence.simulate.experiments.billing import Prompting
from coherence.simulate.experiments.compare import STALE_STEPS_MAX
from coherence.simulate.experiments.floors import References, references
from coherence.simulate.experiments.play import Costs
from coherence.simulate.experiments.prices import PriceModel
from coherence.simulate.experiments.strategies import STRATEGIES
from coherence.simulate.experiments.workload import Workload, of_scenario
from coherence.simulate.scenario import Artifact, Scenario
from coherence.simulate.stream import draw

TASK_ACTIONS_MAX = 200_000
"""Actions of a task, over its measurements: about a second, or one long measurement."""

_DRAW = ("agents", "steps", "action_probability", "write_probability", "artifact_choice")
_NETWORK = ("latency_steps", "loss_probability", "context", "lease_steps")
_PRICES_UNREAD = {"name", "source", "date", "dollars_per_million"}


class Ideal(msgspec.Struct, frozen=True):
    """The cost of a run without texts and trips, and of its references above that."""

    bare: Costs
    references: References


class Staleness(msgspec.Struct, frozen=True):
    """How a strategy of the engine does where messages travel, and are lost."""

    reads: int
    stale_reads: int
    #: The most steps, the first included, after which a replaced version was read.
    stale_steps_max: int
    #: All that it sent.
    tokens: int


Found: TypeAlias = Costs | Ideal | Staleness


class Measurement(msgspec.Struct, frozen=True):
    """One run to be made.  `team` is the scenario as far as the figures depend on it."""

    kind: ClassVar[str]
    team: Scenario
    seed: int

    def parameters(self) -> dict[str, Any]:
        """All that the figures depend on, but the seed."""
        return {"of": self.kind, "program": self.program(), **_shown(self.team)}

    def program(self) -> str:
        """What tells programs apart that measure differently: their figures of one small run."""
        raise NotImplementedError

    def perform(self) -> Found:
        """Make the run."""
        raise NotImplementedError


class _Priced(Measurement, frozen=True):
    cuts: float
    prices: PriceModel
    prompting: Prompting

    def parameters(self) -> dict[str, Any]:
        return super().parameters() | {
            "cuts": self.cuts,
            "prices": self.prices.model_dump(exclude=_PRICES_UNREAD),
            "prompting": asdict(self.prompting),
        }

    def workload(self) -> Workload:
        return _workload(self.team, self.seed, self.cuts)


class CostsOf(_Priced, frozen=True):
    """A strategy's costs."""

    kind = "costs"
    strategy: str

    def parameters(self) -> dict[str, Any]:
        return super().parameters() | {"strategy": self.strategy}

    def program(self) -> str:
        return _program(CostsOf, self.strategy)

    def perform(self) -> Costs:
        return play.play(self.workload(), STRATEGIES[self.strategy], self.prices, self.prompting)


class IdealOf(_Priced, frozen=True):
    """The references."""

    kind = "ideal"

    def program(self) -> str:
        return _program(IdealOf, "")

    def perform(self) -> Ideal:
        workload, prices, prompting = self.workload(), self.prices, self.prompting
        return Ideal(
            play.bare(workload, prices, prompting), references(workload, prices, prompting)
        )


class StalenessOf(Measurement, frozen=True):
    """The stale reads of a strategy of the engine."""

    kind = "staleness"
    strategy: str

    def parameters(self) -> dict[str, Any]:
        return super().parameters() | {"strategy": self.strategy}

    def program(self) -> str:
        return _program(StalenessOf, self.strategy)

    def perform(self) -> Staleness:
        run = engine.run(self.team, self.strategy, self.seed, draw(self.team, self.seed))
        return Staleness(run.reads, run.stale_reads, run.max_stale_steps, run.sync_tokens)


def keys_of(parameters: Mapping[str, Any], seeds: Iterable[int]) -> Iterator[bytes]:
    """Yield the key of each seed's run: equal for equal parameters, in every process."""
    prefix = blake2b(msgspec.json.encode(parameters, order="sorted"), digest_size=16)
    for seed in seeds:
        key = prefix.copy()
        key.update(b"%d" % seed)
        yield key.digest()


def key_of(measurement: Measurement) -> bytes:
    """The key of one measurement."""
    (key,) = keys_of(measurement.parameters(), [measurement.seed])
    return key


def drawn(scenario: Scenario) -> Scenario:
    """`scenario` as far as its actions and contents depend on it: of the network, the defaults."""
    return _team(scenario, _DRAW)


def travelled(scenario: Scenario) -> Scenario | None:
    """`scenario` as far as the engine's run depends on it; None if that run is too long."""
    if expected_actions(scenario) * scenario.agents > STALE_STEPS_MAX:
        return None
    return _team(scenario, (*_DRAW, *_NETWORK))


def priced(prices: PriceModel) -> PriceModel:
    """`prices` as far as a bill depends on them."""
    return PriceModel.model_validate(
        prices.model_dump(exclude=_PRICES_UNREAD) | {"name": "-", "source": "-"}
    )


def expected_actions(scenario: Scenario) -> float:
    """The mean number of actions of a run."""
    return scenario.agents * scenario.steps * scenario.action_probability


def _team(scenario: Scenario, keys: Iterable[str]) -> Scenario:
    return Scenario(
        name="-",
        artifacts=tuple(
            artifact.model_copy(update={"name": str(number)})
            for number, artifact in enumerate(scenario.artifacts)
        ),
        **{key: getattr(scenario, key) for key in keys},
    )


@lru_cache(maxsize=1024)
def _shown(team: Scenario) -> dict[str, Any]:
    values = team.model_dump(exclude={"name", "runs", "first_seed", "artifacts"})
    # As many as a million artifacts: [how many of them, size in tokens, whether it is mutable].
    artifacts = groupby((artifact.size_tokens, artifact.mutable) for artifact in team.artifacts)
    return values | {"artifacts": [[len(list(group)), *key] for key, group in artifacts]}


# Tasks


class KeyedRow(msgspec.Struct, frozen=True):
    """The figures of one measurement."""

    key: bytes
    parameters: dict[str, Any]
    found: Found


Task: TypeAlias = tuple[Measurement, ...]


def tasks(measurements: Iterable[Measurement]) -> list[Task]:
    """Put together what has a workload in common, as far as no task gets long.

    They are in the order of their seeds: a sweep that ends early has fewer runs of every point.
    """
    groups: dict[tuple[int, int], list[Measurement]] = {}
    # A number for each set of actions, found once for each team, which many measurements share.
    numbers: dict[Scenario, int] = {}
    number_of: dict[int, int] = {}
    for measurement in measurements:
        team = measurement.team
        if id(team) not in number_of:
            number_of[id(team)] = numbers.setdefault(drawn(team), len(numbers))
        groups.setdefault((measurement.seed, number_of[id(team)]), []).append(measurement)
    found = []
    for _, group in sorted(groups.items(), key=lambda item: item[0][0]):
        team = group[0].team
        size = max(1, int(TASK_ACTIONS_MAX // max(1.0, expected_actions(team))))
        found += [tuple(group[i : i + size]) for i in range(0, len(group), size)]
    return found


_one_at_a_time = threading.Lock()


def perform(task: Task) -> list[KeyedRow]:
    """Make the runs of a task, in this process.

    Threads of one process take turns: a workload remembers differences, and they gain nothing.
    """
    with _one_at_a_time:
        made = []
        for measurement in task:
            parameters = measurement.parameters() | {"seed": measurement.seed}
            made.append(KeyedRow(key_of(measurement), parameters, measurement.perform()))
        return made


@lru_cache(maxsize=1)
def _workload(team: Scenario, seed: int, cuts: float) -> Workload:
    return of_scenario(team, seed, cuts)


# The program


_SMALL = Scenario(
    name="-",
    agents=8,
    steps=60,
    action_probability=0.25,
    write_probability=0.8,
    latency_steps=2,
    loss_probability=0.3,
    lease_steps=5,
    artifacts=tuple(
        Artifact(name=str(number), size_tokens=size) for number, size in enumerate((60, 600, 5_000))
    ),
)
_MARKS = PriceModel(
    name="-",
    source="-",
    cached=0.1,
    write=1.25,
    output=5,
    match="breakpoints",
    breakpoints=4,
    look_back_blocks=20,
)


@lru_cache
def _program(kind: type[Measurement], strategy: str) -> str:
    """Eight digits of the figures of one small run.

    They change with whatever changes figures, so that old figures are not taken for new ones.
    """
    priced = 0.05, _MARKS, Prompting(system_tokens=100, new_tokens=20, ask_tokens=5)
    if kind is StalenessOf:
        run: Measurement = StalenessOf(_SMALL, 1, strategy)
    elif kind is CostsOf:
        run = CostsOf(_SMALL, 1, *priced, strategy)
    else:
        run = IdealOf(_SMALL, 1, *priced)
    figures = msgspec.json.encode(_rounded(msgspec.to_builtins(run.perform())))
    return blake2b(figures, digest_size=4).hexdigest()


def _rounded(value: Any) -> Any:
    """Without the last digits, in which machines may differ."""
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return f"{value:.9g}" if isinstance(value, float) else value
