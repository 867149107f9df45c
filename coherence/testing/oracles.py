"""What goes wrong without an error: lost updates, stale decisions, agents that wait in a circle.

The versions that each agent has seen are noted as the moves are made.  An update is lost where a
version is replaced by an agent that has seen an earlier version only, and none of what came between
is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import NamedTuple

from coherence.messages import Commit, Committed, Granted, Loaded, Request, Result, Version
from coherence.runtime.session import Session
from coherence.stores.port import Store
from coherence.testing.scheduler import Actor
from message_passing.process import Address, Time


class Thing(NamedTuple):
    """Something that agents share: an artifact of a store, an entry of a mapping, a file."""

    #: Such as "artifact"; two stores, or two mappings, have two kinds.
    kind: str
    name: Hashable

    @property
    def is_told(self) -> bool:
        """Whether it is worth words: each call rests on the membership of its agent."""
        return not self.kind.startswith("member of")

    def __str__(self) -> str:
        if self.kind in ("artifact", "file", "lock"):
            return str(self.name)
        return f"{self.kind}[{self.name!r}]"


class Anomaly(NamedTuple):
    """Something that went wrong without an error."""

    kind: str
    text: str


class Who(NamedTuple):
    """An agent that looks or writes: its name and those of the agents that started it, outwards."""

    lineage: tuple[str, ...]

    @property
    def name(self) -> str:
        """The agent itself."""
        return self.lineage[0]

    def beside(self, other: Who) -> str:
        """The name of the outermost agent that is not `other` too."""
        apart = [name for name in self.lineage if name not in other.lineage]
        return apart[-1] if apart else self.name


def who_is(actor: Actor) -> Who:
    """The names of an agent of a run, without a main, which starts all others."""
    found, at = [actor.name], actor.parent
    while at is not None and not at.is_main:
        found.append(at.name)
        at = at.parent
    return Who(tuple(found))


class World:
    """The versions of all things, and who has seen which.

    What an agent has seen, those that have started it have seen too.  An agent that has not looked
    itself, such as a tool that writes what another tool has read, goes by the innermost of them
    that has.
    """

    def __init__(self) -> None:
        self._versions: dict[Thing, Version] = {}
        self._writers: dict[tuple[Thing, Version], Who] = {}
        self._seen: dict[tuple[str, Thing], Version] = {}
        self.findings: list[Anomaly] = []

    def saw(self, who: Who, thing: Thing, version: Version | None = None) -> None:
        """`who` has seen that version, by default the present one."""
        current = self._versions.get(thing, 0)
        if version is None:
            version = current
        else:
            self._versions[thing] = max(version, current)
        for name in who.lineage:
            self._seen[name, thing] = version

    def wrote(
        self,
        who: Who,
        thing: Thing,
        version: Version | None = None,
        *,
        seen: Version | None = None,
        derives: bool = True,
    ) -> None:
        """`who` has replaced the present version, having `seen` one, by default what it saw.

        Without `derives` nothing of the present version is gone.
        """
        version = self._versions.get(thing, 0) + 1 if version is None else version
        by = who.name
        if seen is None:
            by = next((name for name in who.lineage if (name, thing) in self._seen), "")
            seen = self._seen.get((by, thing))
        if seen is not None and derives:
            self._look_for_loss(who, by, thing, seen, version - 1)
        self._look_for_staleness(who, thing)
        self._versions[thing] = version
        self._writers[thing, version] = who
        for name in who.lineage:
            self._seen[name, thing] = version

    def _look_for_loss(
        self, who: Who, seer: str, thing: Thing, had: Version, current: Version
    ) -> None:
        for lost in range(current, had, -1):
            by = self._writers.get((thing, lost))
            if by is not None and seer not in by.lineage:
                name = who.beside(by)
                self.findings.append(
                    Anomaly(
                        "lost update",
                        f"{name} replaced {thing}@{current}, without having seen {thing}@{lost} "
                        f"by {by.beside(who)}: {name} had seen {thing}@{had}",
                    )
                )
                return

    def _look_for_staleness(self, who: Who, thing: Thing) -> None:
        for (agent, other), had in self._seen.items():
            if agent != who.name or other == thing:
                continue
            current = self._versions.get(other, 0)
            by = self._writers.get((other, current))
            if had < current and by is not None and agent not in by.lineage:
                self.findings.append(
                    Anomaly(
                        "stale decision",
                        f"{agent} wrote {thing} after reading {other}@{had}, which "
                        f"{by.beside(who)} had replaced by {other}@{current}",
                    )
                )

    def answered(self, who: Who, thing: Thing, request: Request, result: Result) -> None:
        """An agent of a workspace has made a request, with this answer."""
        if isinstance(result, Loaded | Granted):
            self.saw(who, thing, result.version)
        elif isinstance(result, Committed) and isinstance(request, Commit):
            if result.version == request.base:
                return  # it changed nothing
            note = request.content.note
            seen = note.seen if note is not None and note.overwrite else request.base
            # An agent that has seen nothing derives from nothing.
            self.wrote(who, thing, result.version, seen=seen, derives=seen > 0)


class Waiting(NamedTuple):
    """An agent waits for what another one holds."""

    thing: str
    holder: str


def waits_for_grants(
    store: Store, sessions: Iterable[Session], now: Time
) -> dict[Address, Waiting]:
    """Which agents of a workspace wait, and for whom.

    A wait that its agent has bounded below a lease is an attempt, not a circle.
    """
    found = {}
    for session in sessions:
        for artifact, asked in session.caches.asked.items():
            if asked.wake is None or asked.answer is not None:
                continue
            stored = store.row(artifact)
            holder = stored.row.state.owner if stored is not None else None
            lease_s = session.shared.caches.processes[artifact][0].policy.grant_lease
            is_attempt = (
                asked.wait_until is not None
                and lease_s is not None
                and asked.wait_until - now < lease_s
            )
            if holder and not is_attempt:
                found[session.name] = Waiting(artifact, holder)
    return found


def circle(waits: Mapping[str, Waiting], named: Callable[[str], str] = str) -> str:
    """Words for agents that wait for each other; empty without any."""
    for start in waits:
        path, at = [], start
        while at in waits and at not in path:
            path.append(at)
            at = waits[at].holder
        if at in path:
            return "; ".join(
                f"{named(who)} waits for {waits[who].thing}, which {named(waits[who].holder)} holds"
                for who in path[path.index(at) :]
            )
    return ""


def driver_of(actors: Mapping[Address, Actor], who: Address) -> str:
    """The name of the agent of a run that makes the calls of `who`."""
    actor = actors.get(who)
    return actor.blamed.name if actor is not None else who
