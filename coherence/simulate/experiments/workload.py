"""The calls of a team's models, from recorded actions, with contents for the artifacts.

The actions of one agent in one step are one call of its model.  A call that writes an artifact
needs the current version first, like one that reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from random import Random
from typing import NamedTuple, TypeAlias

from coherence.simulate.experiments.edits import Contents, EditedContents, drawn
from coherence.simulate.scenario import Scenario
from coherence.simulate.stream import Action, draw

Access: TypeAlias = tuple[int, bool]
"""(artifact, is_write)."""


OUTSIDE = -1
"""The number of a writer that is not an agent of the team: a person, another program."""


class Turn(NamedTuple):
    """One call of one agent's model, or changes from `OUTSIDE`, whose prompts are not counted."""

    step: int
    agent: int
    accesses: tuple[Access, ...]
    #: Whether the agent's context was summarised or trimmed just before.
    is_cut: bool


class Workload(NamedTuple):
    """Calls in the order in which they happen."""

    agents: int
    artifacts: int
    contents: Contents
    turns: Sequence[Turn]
    #: The artifacts that do not exist at first.  A call that creates one needs no text of it.
    created: frozenset[int] = frozenset()

    def first_versions(self) -> list[int]:
        """The version that each artifact has at first: 1, or 0 if it does not exist."""
        return [int(artifact not in self.created) for artifact in range(self.artifacts)]


def of_scenario(scenario: Scenario, seed: int, cuts: float = 0.0) -> Workload:
    """The calls of one run of `scenario`: its actions, and contents drawn from the same seed.

    `cuts` is the chance that an agent loses its context before a call.  Actions, edits and cuts
    have generators of their own, so that none of them changes another.
    """
    turns = list(grouped(draw(scenario, seed), _chances(cuts, Random(f"{seed}/cuts"))))
    sizes = scenario.sizes_tokens
    writes = [0] * len(sizes)
    for turn in turns:
        for artifact, is_write in turn.accesses:
            writes[artifact] += is_write
    edits = [
        drawn(size, count, Random(f"{seed}/edits/{artifact}"))
        for artifact, (size, count) in enumerate(zip(sizes, writes, strict=True))
    ]
    return Workload(scenario.agents, len(sizes), EditedContents(sizes, edits), turns)


def _chances(probability: float, rng: Random) -> Iterator[bool]:
    while True:
        yield rng.random() < probability


def grouped(actions: Iterable[Action], is_cut: Iterator[bool]) -> Iterator[Turn]:
    """Yield the turns of `actions`, which are ordered by step, then agent.

    An agent's first turn is never cut, and an artifact occurs once in a turn: written if any of its
    actions writes.
    """
    shared: dict[tuple[Access, ...], tuple[Access, ...]] = {}
    begun: set[int] = set()
    for (step, agent), together in groupby(actions, key=lambda action: action[:2]):
        wrote: dict[int, bool] = {}
        for _, _, artifact, is_write in together:
            wrote[artifact] = wrote.get(artifact, False) or is_write
        accesses = tuple(wrote.items())
        cut = next(is_cut) and agent in begun
        begun.add(agent)
        yield Turn(step, agent, shared.setdefault(accesses, accesses), cut)
