"""What happens in one run: which agent is told what, when it reads, when its context is lost.

A run is played once more with each speaker inside another one, which compares the conversation
before and after each hook.  No strategy knows that it is watched, so the figures do not change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from enum import Enum

import msgspec

from coherence.simulate.experiments.billing import Prompting
from coherence.simulate.experiments.conversation import Conversation
from coherence.simulate.experiments.play import play
from coherence.simulate.experiments.prices import PriceModel
from coherence.simulate.experiments.strategies import STRATEGIES, Speaker
from coherence.simulate.experiments.workload import OUTSIDE, Access, Turn, Workload

AGENTS_MAX = 8
CALLS_MAX = 200

PLAYED_MAX = 20_000
"""Calls of a long run among which the busiest are looked for."""


class HappeningKind(Enum):
    """What happened, in the order in which the events of one call are shown."""

    LOST = "lost its context"
    TOLD = "was told the content"
    SIGNALLED = "was told that it changed"
    ASKED = "asked"
    SHOWN = "was shown the content once"
    READ = "read"
    WROTE = "wrote"


class Happening(msgspec.Struct, frozen=True):
    """One event of one agent's call."""

    step: int
    agent: int
    kind: HappeningKind
    #: The artifacts that it is about, as pairs of number and version; none if a context is lost.
    about: tuple[tuple[int, int], ...]
    #: Tokens about artifacts that reached the agent by it.
    tokens: int = 0


class Timeline(msgspec.Struct, frozen=True):
    """Some calls of one run, one after the other."""

    title: str
    #: The numbers of the agents that are shown, counted from 0.
    agents: tuple[int, ...]
    #: The first and the last step.
    first: int
    last: int
    names: tuple[str, ...]
    happenings: tuple[Happening, ...]
    #: Whether the run has agents or calls that are not shown.
    is_partial: bool


def recorded(
    workload: Workload,
    names: Sequence[str],
    strategy: str,
    prices: PriceModel,
    prompting: Prompting = Prompting(),  # noqa: B008
    *,
    title: str = "",
) -> Timeline:
    """Play a run again, up to some calls of many agents, and note what happens in these.

    `names` are those of the artifacts.
    """
    calls = [turn for turn in workload.turns if turn.agent != OUTSIDE]
    shown = _busiest(calls)
    first, last = (shown[0].step, shown[-1].step) if shown else (0, 0)
    agents = tuple(range(workload.agents))
    if len(agents) > AGENTS_MAX:
        agents = tuple(sorted({turn.agent for turn in shown}))[:AGENTS_MAX]
    turns = [turn for turn in workload.turns if turn.step <= last]
    found: list[Happening] = []
    steps: list[list[int]] = [[] for _ in range(workload.agents)]
    for turn in turns:
        if turn.agent != OUTSIDE:
            steps[turn.agent].append(turn.step)
    watched = iter(range(workload.agents))

    def speaker(talk: Conversation) -> Speaker:
        number = next(watched)
        return _Watched(STRATEGIES[strategy].speaker(talk), number, iter(steps[number]), found)

    played = replace(STRATEGIES[strategy], speaker=speaker)
    play(workload._replace(turns=turns), played, prices, prompting)
    return Timeline(
        title or f"One run under {strategy}",
        agents,
        first,
        last,
        tuple(names),
        tuple(each for each in found if each.agent in agents and each.step >= first),
        len(agents) < workload.agents or len(shown) < len(calls),
    )


def _busiest(calls: Sequence[Turn]) -> Sequence[Turn]:
    """The first calls in a row that have the most agents."""
    starts = range(0, max(1, min(len(calls), PLAYED_MAX) - CALLS_MAX + 1), CALLS_MAX // 2)
    rows = [calls[start : start + CALLS_MAX] for start in starts]
    return max(rows, key=lambda row: min(AGENTS_MAX, len({turn.agent for turn in row})))


class _Watched(Speaker):
    """A speaker that notes what another one does."""

    def __init__(
        self, inner: Speaker, number: int, steps: Iterator[int], found: list[Happening]
    ) -> None:
        super().__init__(inner.talk)
        self._inner, self._number, self._steps, self._found = inner, number, steps, found
        self._is_cut = False
        #: Tokens that came back right after the cut.
        self._restored = 0
        self._step = 0
        #: The version that a signal was about, of each artifact.
        self._signalled: dict[int, int] = {}

    def cut(self) -> None:
        self._is_cut = True
        self._signalled.clear()
        transferred = self.talk.transferred
        self._inner.cut()
        self._restored = self.talk.transferred - transferred

    def before(self, accesses: Sequence[Access]) -> None:
        self._step = next(self._steps)
        if self._is_cut:
            self._is_cut = False
            self._note(HappeningKind.LOST, ())
            if self._restored:
                self._note(HappeningKind.TOLD, self.talk.held.items(), self._restored)
        talk = self.talk
        held, transferred = dict(talk.held), talk.transferred
        self._inner.before(accesses)
        tokens = talk.transferred - transferred
        if not tokens:
            return
        told = self._gained(held)
        outdated = {
            artifact: talk.current[artifact]
            for artifact, version in talk.held.items()
            if version != talk.current[artifact]
        }
        if told or not outdated:
            self._note(HappeningKind.TOLD, told or talk.held.items(), tokens)
        unsaid = [each for each in outdated.items() if each[0] not in self._signalled]
        if unsaid:
            self._note(HappeningKind.SIGNALLED, unsaid, 0 if told else tokens)
        self._signalled |= outdated

    def access(self, accesses: Sequence[Access]) -> None:
        talk = self.talk
        held, transferred, trips = dict(talk.held), talk.transferred, talk.trips
        self._inner.access(accesses)
        tokens = talk.transferred - transferred
        gained = self._gained(held)
        used = [(artifact, talk.current[artifact]) for artifact, _ in accesses]
        if talk.trips > trips:
            self._note(HappeningKind.ASKED, gained or used, tokens)
        elif tokens:
            is_kept = all(talk.held.get(artifact) == version for artifact, version in used)
            self._note(
                HappeningKind.TOLD if is_kept else HappeningKind.SHOWN, gained or used, tokens
            )

    def after(self, accesses: Sequence[Access]) -> None:
        self._inner.after(accesses)
        current = self.talk.current
        for artifact, is_write in accesses:
            self._signalled.pop(artifact, None)
            kind = HappeningKind.WROTE if is_write else HappeningKind.READ
            self._note(kind, [(artifact, current[artifact])])

    def _gained(self, before: dict[int, int]) -> list[tuple[int, int]]:
        return [each for each in self.talk.held.items() if before.get(each[0]) != each[1]]

    def _note(self, kind: HappeningKind, about: Iterable[tuple[int, int]], tokens: int = 0) -> None:
        pairs = tuple(about)
        self._found.append(Happening(self._step, self._number, kind, pairs, tokens))
