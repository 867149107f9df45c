"""A store in memory, for threads and tasks of one process; it ends with the process.

One lock serialises transactions.  A transaction collects what it saves.  It takes effect when the
store notes it as `_due`, by one assignment; its parts are then applied, each idempotently.  After
an interrupt in between, the next call that takes the lock applies the rest.  Values are immutable
and stored without a copy: an artifact's content is the object that was written.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import count, islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from coherence.contents import Content
from coherence.errors import StoreFault
from coherence.messages import Version
from coherence.stores.chance import draw
from coherence.stores.memory_tables import Effect, Published, Tables
from coherence.stores.port import (
    NOTHING,
    Change,
    Changes,
    Cut,
    Entry,
    Held,
    HomeRow,
    Member,
    Moved,
    Place,
    Post,
    Retention,
    Stored,
)
from coherence.stores.records import RefusedWrite, Tally, dated
from message_passing.interrupts import free
from message_passing.process import Address, Time

if TYPE_CHECKING:
    import sqlite3

    from coherence.stores.archive import Progress

_NUMBERS = count(1)
_seq = attrgetter("seq")


class _Transaction:
    """Holds the store's lock from `__enter__` to `__exit__`, so one object serves all in turn."""

    __slots__ = ("_log", "_rows", "_store", "_tables", "_tallies", "_versions", "now")

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._tables = store._tables

    def __enter__(self) -> _Transaction:
        store = self._store
        store._lock.acquire()
        if store._closed:
            store._lock.release()
            raise StoreFault("the store is closed")
        if store._due is not None:
            store._apply()
        self.now = store._clock()
        self._rows: dict[str, Stored] = {}
        self._versions: list[Published] = []
        self._log: list[tuple[str, Version, Address, Sequence[Post]]] = []
        self._tallies: list[Tally] = []
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        store = self._store
        try:
            if kind is None:
                store._take_effect(
                    self._rows, self._versions, self._log, self.now, tallies=self._tallies
                )
        finally:
            store._lock.release()

    def load(self, artifact: str) -> Stored | None:
        return self._rows.get(artifact) or self._tables.rows.get(artifact)

    def load_all(self, artifacts: Collection[str]) -> None:
        pass  # the store's lock is held

    def absent(self, artifact: str) -> None:
        if self.load(artifact) is not None:
            raise Moved(f"{artifact!r} has a row")

    def save(self, artifact: str, row: HomeRow, expected: int) -> None:
        stored = self.load(artifact)
        if (stored.revision if stored is not None else 0) != expected:
            raise Moved(f"{artifact!r} is not at revision {expected}")
        self._rows[artifact] = Stored(row, expected + 1)

    def publish(
        self, artifact: str, entry: Entry, content: Content, previous: Content | None = None
    ) -> None:
        self._versions.append((artifact, entry, content))

    def append(
        self, artifact: str, version: Version, author: Address, posts: Sequence[Post]
    ) -> None:
        self._log.append((artifact, version, author, posts))

    def content(self, artifact: str, version: Version) -> Content | None:
        for name, entry, content in self._versions:
            if name == artifact and entry.version == version:
                return content
        kept = self._tables.history.get(artifact, {}).get(version)
        return kept[1] if kept is not None else None

    def count(self) -> int:
        return len(self._tables.rows) + len(self._rows)

    def tally(self, rows: Sequence[Tally]) -> None:
        self._tallies.extend(rows)


class MemoryStore:
    """Homes in this process's memory.  `clock` is the store's clock, for tests that own time."""

    validates = True
    shared = False
    hashes = False

    def __init__(self, retention: Retention | None = None, *, clock: Any = time.monotonic) -> None:
        self.origin = draw()
        self.last = Place(0)
        self.identity = f"memory-{next(_NUMBERS)}"
        self._clock = clock
        self._tables = Tables(retention or Retention())
        self._lock = threading.RLock()
        self._woken = threading.Condition()
        self._wakes = self._waiting = 0
        self._sessions = count(1)
        self._closed = False
        self._due: Effect | None = None
        self._transaction = _Transaction(self)

    def transaction(self, *, publishes: bool) -> _Transaction:
        return self._transaction

    def _take_effect(
        self,
        rows: dict[str, Stored],
        versions: list[Published],
        log: list[tuple[str, Version, Address, Sequence[Post]]],
        now: float,
        members: dict[Address, Member | None] | None = None,
        tallies: Sequence[Tally] = (),
    ) -> None:
        tables = self._tables
        if not versions and not log and not tallies:
            for artifact in rows:
                if artifact not in tables.rows:
                    break
            else:
                tables.rows.update(rows)  # one instruction: an interrupt cannot split it
                return
        sums = tables.sums(dated(tallies, self._wall())) if tallies else {}
        seq = tables.log[-1].seq if tables.log else 0
        # The memory of a process has one history, so no random number is needed.
        lines, number = [], seq + 1
        for artifact, version, author, posts in log:
            seq += 1
            lines.append(
                Change(seq, number, self.origin, artifact, version, author, now, tuple(posts))
            )
        self._due = Effect(rows, versions, lines, members or {}, sums, now)
        self._apply()
        if log:
            self.wake()

    def _apply(self) -> None:
        """Apply what is due."""
        if self._due is not None:
            self._tables.apply(self._due)
            self._due = None

    def _require(self) -> None:
        """Apply what is due.  Raises `StoreFault` if the store is closed."""
        if self._closed:
            raise StoreFault("the store is closed")
        self._apply()

    def mark(self) -> Any:
        return None

    def since(self, place: Place) -> Changes:
        with self._lock:
            self._apply()
            if not self._tables.log or self._tables.log[-1].seq <= place.seq:
                return Changes((), place, False)
            gap = self._tables.log[0].seq > place.seq + 1
            after = bisect_right(self._tables.log, place.seq, key=_seq)
            entries = [self._tables.log[i] for i in range(after, len(self._tables.log))]
            return Changes(entries, Place(entries[-1].seq), gap)

    def head(self) -> Place:
        with self._lock:
            self._apply()
            return self._tables.end

    def wait(self, seq: int, timeout_s: float) -> None:
        log = self._tables.log
        with self._woken:
            wakes = self._wakes
            self._waiting += 1
            try:
                self._woken.wait_for(
                    lambda: self._wakes != wakes or (bool(log) and log[-1].seq > seq),
                    timeout_s,
                )
            finally:
                self._waiting -= 1

    def wake(self) -> None:
        if not self._waiting:  # a thread that begins to wait now sees the new line
            return
        with self._woken:
            self._wakes += 1
            self._woken.notify_all()

    def join(self, agent: Address, *, beyond: int | None = None) -> int:
        with self._lock:
            self._apply()
            session = next(self._sessions)
            now = self._clock()
            joined = Member(agent, session, now, self.origin)
            self._take_effect({}, [], [("", 0, agent, ())], now, {agent: joined})
            return session

    def leave(self, agent: Address, session: int) -> None:
        with self._lock:
            self._apply()
            member = self._tables.members.get(agent)
            if member is not None and member.session == session:
                del self._tables.members[agent]

    def members(self) -> list[Member]:
        with self._lock:
            self._apply()
            return [self._tables.members[agent] for agent in sorted(self._tables.members)]

    def sessions(self, agents: Collection[Address]) -> list[Member]:
        return [member for member in self.members() if member.agent in agents]

    def gone(self, member: Member) -> bool:
        return False  # all members are of this process

    def bury(self, member: Member) -> None:
        pass

    def renew(self) -> None:
        pass

    def agree(self, text: str) -> str:
        return text  # there is one workspace

    def names(self, prefix: str = "", *, deleted: bool = False) -> list[str]:
        with self._lock:
            self._apply()
            return [
                name
                for name in self._tables.names
                if name.startswith(prefix)
                and ((row := self._tables.rows[name].row).exists or (deleted and row.state.version))
            ]

    def current(
        self, prefix: str = "", *, after: str = "", at_most: int = 100
    ) -> Sequence[tuple[str, Entry, Content]]:
        with self._lock:
            self._apply()
            there = self._tables.there(prefix, after)
            return [(name, *kept) for name, kept in islice(there, at_most)]

    def row(self, artifact: str) -> Stored | None:
        if self._due is not None:
            with self._lock:
                self._apply()
        return self._tables.rows.get(artifact)

    def now(self) -> Time:
        now: Time = self._clock()
        return now

    def revisions(self, prefix: str = "") -> list[tuple[str, int, bool]]:
        with self._lock:
            self._apply()
            rows, named = self._tables.rows, self._tables.named(prefix)
            return [(name, (kept := rows[name]).revision, kept.row.exists) for name in named]

    def rows(self, names: Collection[str]) -> dict[str, Stored]:
        with self._lock:
            self._apply()
            return {name: self._tables.rows[name] for name in names if name in self._tables.rows}

    def latest(self, names: Collection[str]) -> dict[str, Entry]:
        with self._lock:
            self._apply()
            kept = self._tables.history
            return {name: kept[name][max(kept[name])][0] for name in names if name in kept}

    def cut(
        self, names: Collection[str], have: Mapping[str, Held] = NOTHING
    ) -> tuple[dict[str, Cut], Place]:
        with self._lock:
            self._require()
            seen = {name: self._tables.cut(name, have.get(name)) for name in names}
            return seen, self._tables.end

    def listing(self, prefix: str = "") -> tuple[dict[str, Entry], Place]:
        with self._lock:
            self._require()
            return {name: kept[0] for name, kept in self._tables.there(prefix)}, self._tables.end

    def history(self, artifact: str, since: Version = 0) -> list[Entry]:
        with self._lock:
            self._apply()
            kept = self._tables.history.get(artifact, {})
            return [kept[version][0] for version in sorted(kept) if version >= since]

    def read(self, artifact: str, version: Version) -> tuple[Entry, Content] | None:
        with self._lock:
            self._apply()
            return self._tables.history.get(artifact, {}).get(version)

    def pin(self, artifact: str, version: Version, pinned: bool) -> bool:
        with self._lock:
            self._apply()
            kept = self._tables.history.get(artifact, {})
            if version not in kept:
                return False
            entry, content = kept[version]
            kept[version] = (replace(entry, pinned=pinned), content)
            return True

    def tidy(self) -> int:
        with self._lock:
            self._apply()
            return self._tables.tidy(self._clock(), self._wall())

    def check(self) -> Iterable[str]:
        return ()

    # Records.

    def tally(self, rows: Sequence[Tally]) -> None:
        with self._transaction as tx:
            tx.tally(rows)

    def refuse(self, line: RefusedWrite, keep: int) -> None:
        with self._transaction as tx:
            self._tables.refuse(replace(line, at=line.at or tx.now), keep)

    def refusals(self, prefix: str = "", since: Time = 0.0) -> list[RefusedWrite]:
        return [
            line
            for line in self._tables.refusals
            if line.artifact.startswith(prefix) and line.at >= since
        ]

    def tallies(self, since_day: str = "") -> list[Tally]:
        with self._lock:
            self._apply()
            kept = self._tables.tallies
            return [kept[key] for key in sorted(kept) if key[0] >= since_day]

    def _wall(self) -> Time:
        """The time in seconds since the epoch, for the days of tallies."""
        return time.time()  # noqa: TID251 - a monotonic clock has no days

    def dump(self, db: sqlite3.Connection, progress: Progress | None = None) -> None:
        # Loaded on demand, so that a workspace in memory loads no SQLite.
        from coherence.stores.backup import fill
        from coherence.stores.memory_image import image

        with self._lock:
            self._require()
            seen = image(self._tables, self._clock())
        fill(db, seen)

    def release(self) -> None:
        free(self._lock, self._woken)

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self.wake()
