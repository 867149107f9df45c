"""Grants held, waits and copies: intervals on one clock, from the states of homes and caches.

A `Ledger` is told the states of one artifact, each with its moment: every one of them from a
recording or a simulation, and those that a poller has seen from a live store.  It knows no file, no
store and no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from typing import Final

from coherence.messages import Refusal
from coherence.states import READABLE, CacheAt, CacheState, HomeState
from coherence.workspace.overview import Standing
from message_passing.process import Address, Time, Value

#: The states in which a cache has a live copy, whether or not it awaits an answer.
LIVE: Final = READABLE | {CacheAt.SM_D, CacheAt.MS_A}


class Kind(StrEnum):
    """What an interval is about, the most important first: a window that is full keeps that."""

    #: An agent has the grant to draft the next version.
    HELD = "held"
    #: An agent is in the queue for the grant; a message waits in its sender or its receiver.
    WAITS = "waits"
    #: A process keeps an eager message to itself until its sender releases it.
    SECRET = "secret"
    #: An agent has a copy of one version.
    COPY = "copy"


class Lane(Value, frozen=True, gc=False, tag=False):
    """A row of the chart: one agent's part of one artifact, or a process, with an empty name."""

    agent: Address
    artifact: str = ""


class Interval(Value, frozen=True, gc=False, tag=False, rename={"begin": "from", "end": "to"}):
    """Something that lasted.  `end` is None if it had not ended at the end of the chart."""

    id: int
    lane: int
    kind: Kind
    begin: Time
    end: Time | None
    #: What it is about: a message, or the version that was current when it began.
    label: str
    #: Why it waited, or how it ended.
    why: str = ""
    #: Whether both ends are known exactly; otherwise they are those of looks at a live store.
    exact: bool = True


class Mark(Value, frozen=True, gc=False, tag=False):
    """Something that happened at one moment: a version was published, a write was refused."""

    lane: int
    kind: str
    at: Time
    label: str


class Arrow(Value, frozen=True, gc=False, tag=False):
    """A message: sent at `sent`, in transit from `went` to `arrived`, and then `delivered`.

    A moment is None if it was not reached by the end of the chart.
    """

    id: int
    src: int
    dst: int
    sent: Time
    went: Time | None
    arrived: Time | None
    delivered: Time | None
    label: str
    eager: bool = False
    why: str = ""


class Chart(Value, frozen=True, gc=False, tag=False):
    """A timeline from `begin` to `end`: its moments count from `start`."""

    #: What the moments count from.  `start` and a moment are seconds since the epoch, if they are
    #: large enough for that.
    start: Time
    begin: Time
    end: Time
    lanes: tuple[Lane, ...]
    intervals: tuple[Interval, ...]
    marks: tuple[Mark, ...] = ()
    arrows: tuple[Arrow, ...] = ()
    #: What a reader must know: a file that ends in a part of a line, messages without intervals.
    remarks: tuple[str, ...] = ()
    #: What moments are counted in: ``s``, or nothing for the time of a simulation.
    unit: str = "s"


class Drawing:
    """The parts of a chart under way."""

    def __init__(self) -> None:
        self.lanes: dict[Lane, int] = {}
        self.intervals: list[Interval] = []
        self.marks: list[Mark] = []
        self.arrows: list[Arrow] = []
        self.remarks: list[str] = []
        self.end: Time = 0.0
        self.unit = "s"
        #: The numbers of intervals, in the order in which they begin.
        self.numbers = count()

    def lane(self, agent: Address, artifact: str = "") -> int:
        """The number of that lane, which is made if it does not exist."""
        return self.lanes.setdefault(Lane(agent, artifact), len(self.lanes))

    def interval(
        self,
        lane: int,
        kind: Kind,
        begin: Time,
        end: Time | None,
        label: str,
        why: str = "",
        *,
        exact: bool = True,
    ) -> None:
        """Add an interval."""
        number = next(self.numbers)
        self.intervals.append(Interval(number, lane, kind, begin, end, label, why, exact))

    def chart(self, start: Time = 0.0) -> Chart:
        """The chart so far."""
        return Chart(
            start,
            0.0,
            self.end,
            tuple(self.lanes),
            tuple(self.intervals),
            tuple(self.marks),
            tuple(self.arrows),
            tuple(self.remarks),
            self.unit,
        )


@dataclass(slots=True)
class _Open:
    """An interval that has not ended.  While `key` is equal, it is the same one."""

    id: int
    key: Hashable
    begin: Time
    label: str


@dataclass(slots=True)
class Ledger:
    """The intervals of one artifact, from its states in the order of their moments.

    Each process has a sequence of its own: home's moments and those of every cache never go back.
    """

    drawing: Drawing
    artifact: str
    exact: bool = True
    _open: dict[tuple[Kind, Address], _Open] = field(default_factory=dict)
    _home: HomeState | None = None

    def home(
        self, at: Time, state: HomeState, *, lapsed_at: Time | None = None, cause: str = ""
    ) -> None:
        """Home is in `state` from `at` on.  A lease that ran out did so at `lapsed_at`."""
        before, self._home = self._home, state
        self.drawing.end = max(self.drawing.end, at)
        if before is not None:
            self._happened(at, before, state)
        owner, label = state.owner, f"@{state.version}"
        published = before is not None and state.version > before.version
        ended = f"published {label}" if published else cause or "given back"
        held = {owner: (state.epoch, label)} if owner else {}
        end = at if lapsed_at is None else min(at, lapsed_at)
        self._compare(Kind.HELD, end, held, lambda agent: ended, at)
        waits = {each.cache: (None, label) for each in state.queue}
        self._compare(
            Kind.WAITS, at, waits, lambda agent: "granted" if agent == owner else "no longer asked"
        )

    def cache(self, at: Time, agent: Address, state: CacheState) -> None:
        """The cache of `agent` is in `state` from `at` on."""
        self.drawing.end = max(self.drawing.end, at)
        found = {agent: (state.version, f"@{state.version}")} if state.at in LIVE else {}
        ended = f"@{state.version} came" if found else "given up"
        self._compare(Kind.COPY, at, found, lambda _: ended, only=agent)

    def seen(self, at: Time, standing: Standing | None) -> None:
        """A look at a live store found the artifact so, or, with None, did not find it.

        Copies are left out: there may be one for each agent and artifact.
        """
        self.drawing.end = max(self.drawing.end, at)
        held: dict[Address, tuple[Hashable, str]] = {}
        waits: dict[Address, tuple[Hashable, str]] = {}
        if standing is not None:
            label = f"@{standing.version}"
            if standing.holder:
                held[standing.holder] = standing.epoch, label
            for each in standing.waiting:
                waits[each.agent] = each.seen, label
        self._compare(Kind.HELD, at, held)
        self._compare(Kind.WAITS, at, waits)

    def under_way(self) -> Iterator[Interval]:
        """What has not ended."""
        for (kind, agent), found in self._open.items():
            yield self._interval(kind, agent, found, None, "")

    def close(self, until: Mapping[Address, Time]) -> None:
        """Add what has not ended.  `until` is when the lease of a holder has run out."""
        for (kind, agent), found in self._open.items():
            end = until.get(agent) if kind is Kind.HELD else None
            why = "" if end is None else "its lease ran out"
            self.drawing.intervals.append(self._interval(kind, agent, found, end, why))
        self._open.clear()

    def _compare(
        self,
        kind: Kind,
        at: Time,
        found: Mapping[Address, tuple[Hashable, str]],
        why: Callable[[Address], str] = lambda agent: "",
        begin: Time | None = None,
        *,
        only: Address | None = None,
    ) -> None:
        """End, at `at`, what is not `found` any more, and begin what is new."""
        agents = [only] if only is not None else [a for k, a in self._open if k is kind]
        for agent in agents:
            known = self._open.get((kind, agent))
            if known is not None and (agent not in found or found[agent][0] != known.key):
                del self._open[kind, agent]
                ended = self._interval(kind, agent, known, max(at, known.begin), why(agent))
                self.drawing.intervals.append(ended)
        for agent, (key, label) in found.items():
            if (kind, agent) not in self._open:
                since = at if begin is None else begin
                self._open[kind, agent] = _Open(next(self.drawing.numbers), key, since, label)

    def _interval(
        self, kind: Kind, agent: Address, found: _Open, end: Time | None, why: str
    ) -> Interval:
        lane = self.drawing.lane(agent, self.artifact)
        return Interval(found.id, lane, kind, found.begin, end, found.label, why, self.exact)

    def _happened(self, at: Time, before: HomeState, state: HomeState) -> None:
        """Mark the version that was published, and the writes that were refused."""
        for verdict in state.verdicts:
            if verdict in before.verdicts:
                continue
            lane = self.drawing.lane(verdict.cache, self.artifact)
            if verdict.refusal is not None:
                label = _REFUSALS.get(verdict.refusal, str(verdict.refusal))
                self.drawing.marks.append(Mark(lane, "refused", at, f"{label} @{verdict.version}"))
            elif verdict.version > before.version:
                self.drawing.marks.append(Mark(lane, "published", at, f"@{verdict.version}"))


_REFUSALS: Final = {
    Refusal.STALE: "the base was not current:",
    Refusal.FENCED: "the grant had ended:",
    Refusal.BUSY: "another agent held the grant:",
}
