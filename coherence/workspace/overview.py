"""What a person watches of a workspace: who wrote, holds and waits, read from the store alone.

::

    store = open_store("sqlite:///team.db", create=False, readonly=True)
    observer = Observer(store)
    observer.look()
    observer.seen.artifacts

The change log does not tell of grants, queues and refusals, so an `Observer` compares the revisions
of the rows, and reads those that moved.  It never writes and never waits, and so needs no more than
a store that is open to read.  What happens and ends between two looks is not seen.

Home's knowledge is not that of the caches: home knows which agents may hold a copy of the current
version, and not what they have evicted or served since.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase, translate
from itertools import takewhile
from typing import Any, Final

from msgspec.structs import replace

from coherence.contents import Handle
from coherence.directory import GRANT
from coherence.errors import NoArchive
from coherence.messages import Epoch, Version
from coherence.runtime.farewells import present
from coherence.states import HomeAt
from coherence.stores.archive import Archive, archive_of
from coherence.stores.port import Entry, Member, Store, Stored
from coherence.stores.records import RefusedWrite
from message_passing.process import Address, Time, Value

#: How often, on the store's clock, the members and the refused writes are read: no mark tells that
#: a process has ended.
SLOW_S: Final = 2.0


class Queued(Value, frozen=True, gc=False, tag=False):
    """An agent in the queue for a grant."""

    agent: Address
    #: When a look first found it there; the rows do not tell since when it waits.
    seen: Time


class Standing(Value, frozen=True, gc=False, tag=False):
    """One artifact, as its home knows it.  Times are of the store's clock."""

    artifact: str
    version: Version
    state: HomeAt
    size_bytes: int
    #: Of the current version; empty, and 0, where its history is not kept.
    author: Address
    at: Time
    #: The agent that holds the grant, or empty; and the end of its lease, or None.
    holder: Address
    until: Time | None
    #: In the order of the queue.
    waiting: tuple[Queued, ...]
    #: The agents that may hold a copy of the current version.
    copies: tuple[Address, ...]
    #: The refused writes that are kept.
    refused: int
    #: Of the last grant: a new number for each, so that two looks tell how many lay between them.
    epoch: Epoch = 0

    @property
    def contested(self) -> bool:
        """Whether an agent holds the grant, waits for it, or was refused a write."""
        return bool(self.holder or self.waiting or self.refused)

    def involves(self, agent: Address) -> bool:
        """Whether `agent` wrote the current version, holds the grant, waits or has a copy."""
        waiting = (each.agent for each in self.waiting)
        return agent in (self.author, self.holder, *waiting, *self.copies)


class Seated(Value, frozen=True, gc=False, tag=False):
    """An agent that has joined and not left."""

    agent: Address
    session: int
    since: Time


class Overview(Value, frozen=True, gc=False, tag=False):
    """A workspace at one moment."""

    #: The store's clock.
    now: Time
    agents: tuple[Seated, ...]
    #: By name.
    artifacts: tuple[Standing, ...]

    def only(self, pattern: str = "*", agent: Address = "") -> Overview:
        """The artifacts of matching names that involve `agent`, and that agent; all for empty."""
        return replace(
            self,
            agents=tuple(each for each in self.agents if agent in ("", each.agent)),
            artifacts=tuple(
                each
                for each in self.artifacts
                if fnmatchcase(each.artifact, pattern) and (not agent or each.involves(agent))
            ),
        )


def contested(artifacts: Iterable[Standing]) -> list[Standing]:
    """The artifacts that others wait for first, then refused, held and recent ones."""
    return sorted(
        artifacts,
        key=lambda a: (-len(a.waiting), -a.refused, not a.holder, -a.at, a.artifact),
    )


def literal_prefix(pattern: str) -> str:
    """The beginning that all names share that `pattern` matches."""
    return "".join(takewhile(lambda letter: letter not in "*?[", pattern))


class Observer:
    """Keeps an `Overview` of a store up to date; every `look` reads what has moved since the last.

    `pattern` limits it to artifacts of matching names.  A store that processes share must be an
    opening of its own, since `Store.mark` tells of other openings alone.
    """

    def __init__(self, store: Store, pattern: str = "*") -> None:
        self._store = store
        self._matches = re.compile(translate(pattern)).match
        self._prefix = literal_prefix(pattern)
        self._archive = _archive(store)
        # PostgreSQL's mark moves with the log alone, in which a grant has no line; the memory
        # store's with other openings alone, which it does not have.
        self._marks = store.validates and store.shared
        self._mark: Any = None
        self._slow_at: Time | None = None
        self._rows: dict[str, Stored] = {}
        self._entries: dict[str, Entry] = {}
        self._members: list[Member] = []
        self._refused: list[RefusedWrite] = []
        self._counts: Counter[str] = Counter()
        self._standings: dict[str, Standing] = {}
        self.seen = Overview(0.0, (), ())

    def look(self) -> bool:
        """Bring `seen` up to date; whether anything but the time differs."""
        # The mark comes first: what commits after it is seen by this look, or moves the next mark.
        mark, now = self._store.mark() if self._marks else None, self._store.now()
        slow = self._slow_at is None or now >= self._slow_at
        moved = mark is None or mark != self._mark
        before, self.seen = self.seen, replace(self.seen, now=now)
        if not (slow or moved):
            return False
        changed = self._read_rows() if moved else set()
        self._mark = mark
        changed |= self._read_refused()
        if slow:
            self._slow_at = now + SLOW_S
            members, self._members = self._members, self._store.members()
            if members != self._members:
                changed = set(self._rows)
        there = {(member.agent, member.session) for member in self._members}
        for name in changed & self._rows.keys():
            self._standings[name] = self._standing(name, there, now)
        self.seen = Overview(
            now,
            tuple(Seated(each.agent, each.session, each.since) for each in self._members),
            tuple(self._standings[name] for name in sorted(self._standings)),
        )
        return (before.agents, before.artifacts) != (self.seen.agents, self.seen.artifacts)

    def refused(self) -> Sequence[RefusedWrite]:
        """The refused writes that are kept, oldest first."""
        return self._refused

    def _read_rows(self) -> set[str]:
        """Read the rows that have moved; the names of these."""
        listed = {
            name: revision
            for name, revision, exists in self._store.revisions(self._prefix)
            if exists and self._matches(name)
        }
        known = {name: stored.revision for name, stored in self._rows.items()}
        moved = {name for name, revision in listed.items() if known.get(name) != revision}
        rows, entries = self._store.rows(moved), self._store.latest(moved)
        # A row that is missing was removed after the revisions were read.
        for name in (known.keys() - listed.keys()) | (moved - rows.keys()):
            for kept in (self._rows, self._entries, self._standings):
                kept.pop(name, None)
        self._rows |= rows
        self._entries |= entries
        return moved

    def _read_refused(self) -> set[str]:
        """Read the refused writes; the names whose number differs."""
        if self._archive is None:
            return set()
        found = self._archive.refusals(self._prefix)
        self._refused = [each for each in found if self._matches(each.artifact)]
        before, self._counts = self._counts, Counter(each.artifact for each in self._refused)
        return {name for name in before | self._counts if before[name] != self._counts[name]}

    def _standing(self, name: str, there: set[tuple[Address, int]], now: Time) -> Standing:
        row = self._rows[name].row
        home = present(row.state, there)
        entry = self._entries.get(name)
        if entry is not None and entry.version != home.version:
            entry = None
        earlier = self._standings.get(name)
        seen = {each.agent: each.seen for each in earlier.waiting} if earlier else {}
        return Standing(
            artifact=name,
            version=home.version,
            state=home.at,
            size_bytes=len(home.content) if isinstance(home.content, Handle | str | bytes) else 0,
            author=entry.author if entry else "",
            at=entry.at if entry else 0.0,
            holder=home.owner,
            until=dict(row.timers).get(GRANT) if home.owner else None,
            waiting=tuple(Queued(each.cache, seen.get(each.cache, now)) for each in home.queue),
            copies=tuple(each.cache for each in home.sharers),
            refused=self._counts[name],
            epoch=home.epoch,
        )


def overview(store: Store, pattern: str = "*") -> Overview:
    """The artifacts of matching names, and the agents, at this moment."""
    observer = Observer(store, pattern)
    observer.look()
    return observer.seen


def _archive(store: Store) -> Archive | None:
    try:
        return archive_of(store)
    except NoArchive:
        return None
