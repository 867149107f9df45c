"""A store in memory, for threads and tasks of one process; it ends with the process.

One lock serialises transactions.  A transaction collects what it saves.  It takes effect when the
store notes it as `_due`, by one assignment; its parts are then applied, each idempotently.  After
an interrupt in between, the next call that takes the lock applies the rest.  Values are immutable
and stored without a copy: an artifact's content is the object that was written.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from itertools import count, islice, takewhile
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from coherence.contents import Content
from coherence.errors import StoreFault
from coherence.messages import Version
from coherence.stores.chance import draw
from coherence.stores.places import LOG_LINES
from coherence.stores.port import (
    Change,
    Changes,
    Entry,
    HomeRow,
    Member,
    Moved,
    Place,
    Post,
    Retention,
    Stored,
)
from message_passing.interrupts import free
from message_passing.process import Address

if TYPE_CHECKING:
    import sqlite3

    from coherence.stores.archive import Progress

_NUMBERS = count(1)
_seq = attrgetter("seq")


_Effect: TypeAlias = tuple[
    dict[str, Stored],
    list[tuple[str, Entry, Content]],
    list[Change],
    dict[Address, Member | None],
    float,
]
"""The changes of one transaction, as new values: rows, versions, lines of the log, members (None
for an agent that leaves), and the time.
"""


class _Transaction:
    """Holds the store's lock from `__enter__` to `__exit__`, so one object serves all in turn."""

    __slots__ = ("_log", "_rows", "_store", "_versions", "now")

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

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
        self._versions: list[tuple[str, Entry, Content]] = []
        self._log: list[tuple[str, Version, Address, Sequence[Post]]] = []
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        store = self._store
        try:
            if kind is None:
                store._take_effect(self._rows, self._versions, self._log, self.now)
        finally:
            store._lock.release()

    def load(self, artifact: str) -> Stored | None:
        return self._rows.get(artifact) or self._store._rows.get(artifact)

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
        kept = self._store._history.get(artifact, {}).get(version)
        return kept[1] if kept is not None else None

    def count(self) -> int:
        return len(self._store._rows) + len(self._rows)


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
        self._retention = retention or Retention()
        self._lock = threading.RLock()
        self._woken = threading.Condition()
        self._wakes = self._waiting = 0
        self._rows: dict[str, Stored] = {}
        self._names: list[str] = []
        self._history: dict[str, dict[Version, tuple[Entry, Content]]] = {}
        self._log: deque[Change] = deque(maxlen=LOG_LINES)
        self._members: dict[Address, Member] = {}
        self._sessions = count(1)
        self._closed = False
        self._due: _Effect | None = None
        self._transaction = _Transaction(self)

    def transaction(self, *, publishes: bool) -> _Transaction:
        return self._transaction

    def _take_effect(
        self,
        rows: dict[str, Stored],
        versions: list[tuple[str, Entry, Content]],
        log: list[tuple[str, Version, Address, Sequence[Post]]],
        now: float,
        members: dict[Address, Member | None] | None = None,
    ) -> None:
        if not versions and not log:
            for artifact in rows:
                if artifact not in self._rows:
                    break
            else:
                self._rows.update(rows)  # one instruction: an interrupt cannot split it
                return
        seq = self._log[-1].seq if self._log else 0
        # The memory of a process has one history, so lines need no random numbers.
        lines = []
        for artifact, version, author, posts in log:
            seq += 1
            lines.append(Change(seq, 0, self.origin, artifact, version, author, now, tuple(posts)))
        self._due = (rows, versions, lines, members or {}, now)
        self._apply()
        if log:
            self.wake()

    def _apply(self) -> None:
        """Apply what is due.  Every part is idempotent."""
        due = self._due
        if due is None:
            return
        rows, versions, lines, members, now = due
        for artifact in rows:
            if artifact not in self._rows:
                place = bisect_left(self._names, artifact)
                if self._names[place : place + 1] != [artifact]:
                    self._names.insert(place, artifact)
        self._rows.update(rows)
        for artifact, entry, content in versions:
            kept = self._history.setdefault(artifact, {})
            kept[entry.version] = (entry, content)
            self._prune(kept, now)
        for line in lines:
            if not self._log or self._log[-1].seq < line.seq:
                self._log.append(line)
        for agent, member in members.items():
            if member is not None:
                self._members[agent] = member
            else:
                self._members.pop(agent, None)
        self._due = None

    def _prune(self, kept: dict[Version, tuple[Entry, Content]], now: float) -> int:
        """Remove old versions by the rule, oldest first, up to the first version that it keeps."""
        current = next(reversed(kept))
        rule = self._retention
        newest_over = 0 if rule.versions is None else current - rule.versions
        gone = []
        for version, (entry, _) in kept.items():
            old = rule.age_s is not None and entry.at < now - rule.age_s
            if version == current or not (old or version <= newest_over):
                break
            if not entry.pinned:
                gone.append(version)
        for version in gone:
            del kept[version]
        return len(gone)

    def mark(self) -> Any:
        return None

    def since(self, place: Place) -> Changes:
        with self._lock:
            self._apply()
            if not self._log or self._log[-1].seq <= place.seq:
                return Changes((), place, False)
            gap = self._log[0].seq > place.seq + 1
            after = bisect_right(self._log, place.seq, key=_seq)
            entries = [self._log[i] for i in range(after, len(self._log))]
            return Changes(entries, Place(entries[-1].seq), gap)

    def head(self) -> Place:
        with self._lock:
            self._apply()
            return Place(self._log[-1].seq if self._log else 0)

    def wait(self, seq: int, timeout_s: float) -> None:
        with self._woken:
            wakes = self._wakes
            self._waiting += 1
            try:
                self._woken.wait_for(
                    lambda: self._wakes != wakes or (bool(self._log) and self._log[-1].seq > seq),
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
            member = self._members.get(agent)
            if member is not None and member.session == session:
                del self._members[agent]

    def members(self) -> list[Member]:
        with self._lock:
            self._apply()
            return [self._members[agent] for agent in sorted(self._members)]

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
                for name in self._names
                if name.startswith(prefix)
                and ((row := self._rows[name].row).exists or (deleted and row.state.version))
            ]

    def current(
        self, prefix: str = "", *, after: str = "", at_most: int = 100
    ) -> Sequence[tuple[str, Entry, Content]]:
        with self._lock:
            self._apply()
            first = max(bisect_left(self._names, prefix), bisect_right(self._names, after))
            named = takewhile(
                lambda name: name.startswith(prefix), islice(self._names, first, None)
            )
            rows = ((name, self._rows[name].row) for name in named)
            there = ((name, row.state.version) for name, row in rows if row.exists)
            return [(n, *self._history[n][version]) for n, version in islice(there, at_most)]

    def row(self, artifact: str) -> Stored | None:
        if self._due is not None:
            with self._lock:
                self._apply()
        return self._rows.get(artifact)

    def history(self, artifact: str, since: Version = 0) -> list[Entry]:
        with self._lock:
            self._apply()
            kept = self._history.get(artifact, {})
            return [kept[version][0] for version in sorted(kept) if version >= since]

    def read(self, artifact: str, version: Version) -> tuple[Entry, Content] | None:
        with self._lock:
            self._apply()
            return self._history.get(artifact, {}).get(version)

    def pin(self, artifact: str, version: Version, pinned: bool) -> bool:
        with self._lock:
            self._apply()
            kept = self._history.get(artifact, {})
            if version not in kept:
                return False
            entry, content = kept[version]
            kept[version] = (
                Entry(entry.version, entry.handle, entry.author, entry.at, pinned),
                content,
            )
            return True

    def tidy(self) -> int:
        with self._lock:
            self._apply()
            now = self._clock()
            return sum(self._prune(kept, now) for kept in self._history.values() if kept)

    def check(self) -> Iterable[str]:
        return ()

    def dump(self, db: sqlite3.Connection, progress: Progress | None = None) -> None:
        # Loaded on demand, so that a workspace in memory loads no SQLite.
        from coherence.stores.backup import fill
        from coherence.stores.memory_image import image

        with self._lock:
            if self._closed:
                raise StoreFault("the store is closed")
            self._apply()
            history = {name: dict(kept) for name, kept in self._history.items()}
            seen = image(dict(self._rows), history, list(self._log), self._clock())
        fill(db, seen)

    def release(self) -> None:
        free(self._lock, self._woken)

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self.wake()
