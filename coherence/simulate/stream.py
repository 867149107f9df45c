"""The actions of agents on artifacts: drawn once, played under every strategy and rule set.

The order of the draws is that of the Token Coherence paper's simulation, so that its tables come
out.  For each step and each agent: one draw whether it acts; one for the artifact; and, if the
artifact is mutable, one whether it writes.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import accumulate
from random import Random
from typing import TypeAlias

import msgspec

from coherence.simulate.scenario import Scenario

Action: TypeAlias = tuple[int, int, int, bool]
"""(step, agent, artifact, is_write), all counted from 0."""


def draw(scenario: Scenario, seed: int | Random) -> Iterator[Action]:
    """Yield the actions of a run, ordered by step, then agent.

    A generator given in place of a seed may be drawn from between actions: under the paper's rules
    a lossy network draws from the same one, which makes the actions depend on the strategy.
    """
    rng = seed if isinstance(seed, Random) else Random(seed)
    act = scenario.action_probability
    write = scenario.write_probability
    mutable = tuple(artifact.mutable for artifact in scenario.artifacts)
    numbers = range(len(mutable))
    weights = tuple(accumulate(scenario.sizes_tokens))
    by_size = scenario.artifact_choice == "by_size"
    agents = range(scenario.agents)
    uniform, choose, choose_by_weight = rng.random, rng.choice, rng.choices
    for step in range(scenario.steps):
        for agent in agents:
            if uniform() < act:
                if by_size:
                    artifact = choose_by_weight(numbers, cum_weights=weights)[0]
                else:
                    artifact = choose(numbers)
                yield step, agent, artifact, mutable[artifact] and uniform() < write


class Recording:
    """Actions kept at 24 bytes each, to be played again."""

    def __init__(self) -> None:
        self._packed = array("Q")

    def append(self, action: Action) -> None:
        """Add one action at the end."""
        step, agent, artifact, is_write = action
        self._packed.extend((step, agent, artifact << 1 | is_write))

    def __len__(self) -> int:
        return len(self._packed) // 3

    def __iter__(self) -> Iterator[Action]:
        fields = iter(self._packed)
        for step, agent, last in zip(fields, fields, fields, strict=True):
            yield step, agent, last >> 1, bool(last & 1)


class Totals(msgspec.Struct, frozen=True):
    """Counts of a stream of actions, before any protocol runs over it."""

    reads_per_artifact: tuple[int, ...]
    writes_per_artifact: tuple[int, ...]
    #: Reads and writes of step 0: every agent's first access, so all are misses.
    opening_reads_per_artifact: tuple[int, ...]
    opening_writes_per_artifact: tuple[int, ...]
    #: Accesses whose agent's copy is missing, or was outdated by another agent's write.
    needed_per_artifact: tuple[int, ...]


def totals(scenario: Scenario, actions: Iterable[Action]) -> Totals:
    """Count `actions` by artifact, in one pass."""
    m = len(scenario.artifacts)
    reads, writes, needed = [0] * m, [0] * m, [0] * m
    opening: tuple[list[int], list[int]] = [0] * m, [0] * m
    current: list[set[int]] = [set() for _ in range(m)]
    for step, agent, artifact, is_write in actions:
        holders = current[artifact]
        if agent not in holders:
            needed[artifact] += 1
            holders.add(agent)
        if is_write:
            writes[artifact] += 1
            if len(holders) > 1:
                current[artifact] = {agent}
        else:
            reads[artifact] += 1
        if step == 0:
            opening[is_write][artifact] += 1
    return Totals(tuple(reads), tuple(writes), tuple(opening[0]), tuple(opening[1]), tuple(needed))
