"""One transaction on PostgreSQL.

A row is locked when it is loaded, and changes are sent at the end.  A transaction on one artifact
takes two round trips: one begins it and loads, one writes and commits.  A third is needed to create
an artifact, and for content that was too long to come with its row.  One is enough if the row is
probably as this process saved it: `coherence.stores.postgres_recent`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import psycopg

from coherence.contents import Content
from coherence.errors import OutcomeUnknown
from coherence.messages import Version
from coherence.stores.chance import draw, next_session
from coherence.stores.codec import (
    pack_names,
    pack_posts,
    pack_row,
    stored_form,
    to_bytes,
    unpack_row,
)
from coherence.stores.port import ABSENT, Entry, HomeRow, Moved, Place, Post, Stored
from coherence.stores.postgres_connections import PostgresConnections
from coherence.stores.postgres_errors import fault, lost
from coherence.stores.postgres_recent import Recent
from coherence.stores.postgres_records import ADD, FOLD, FORGET, REFUSE, RELAXED
from coherence.stores.postgres_rows import current, restore
from coherence.stores.postgres_schema import require_schema
from coherence.stores.postgres_sql import (
    ALONG,
    APPEND,
    BEGIN,
    BODY,
    COMMIT,
    COUNT,
    FOUNDED,
    INSERT,
    JOIN,
    LOCK,
    LOCK_ALL,
    NOW,
    PIN,
    PRUNE,
    PRUNE_AGED,
    PUBLISH,
    ROLLBACK,
    SESSIONS,
    SPLICE,
    THEIRS,
    UPDATE,
    UPDATE_EXPECTED,
    VERSION,
)
from coherence.stores.postgres_wire import Call, Rows, Wire
from coherence.stores.records import RefusedWrite, Tally, refused_values, storable, tally_values
from message_passing.process import Address

#: A current content of at most this size comes with the row in a transaction that publishes
#: nothing, since an answer may need it.
ALONG_BYTES_MAX: Final = 16_384


class PostgresTransaction:
    """Holds the locks of the rows that it has loaded, and writes everything at its end.

    The connection belongs to the thread from the first query on: `PostgresConnections.release`
    finds it by the thread, even if this object is gone.
    """

    __slots__ = (
        "_absent",
        "_along",
        "_artifacts",
        "_connections",
        "_expected",
        "_loaded",
        "_now",
        "_numbers",
        "_published",
        "_publishes",
        "_rows",
        "_wire",
        "_writes",
    )

    def __init__(self, connections: PostgresConnections, *, publishes: bool) -> None:
        self._connections = connections
        self._publishes = publishes

    def __enter__(self) -> PostgresTransaction:
        self._connections.require()
        self._wire: Wire | None = None
        self._now: float | None = None
        self._rows: dict[str, Stored | None] = {}
        #: The artifacts that no other transaction can make until the end of this one.
        self._absent: set[str] = set()
        #: The number of artifacts, if no other transaction can make one until then.
        self._artifacts: int | None = None
        #: The loaded rows of the artifacts to be saved.
        self._loaded: dict[str, Stored | None] = {}
        #: The one row that was not loaded, and its expected content.
        self._expected: tuple[str, Recent] | None = None
        #: The rows of `BODY` that came with an artifact's row.
        self._along: dict[str, Rows] = {}
        self._published: dict[tuple[str, Version], Content] = {}
        self._writes: list[Call] = []
        #: The random numbers of the lines to be added to the log.
        self._numbers: list[int] = []
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if error is None and not self._writes:
                self._secure()
            if error is not None or not self._writes:
                self._roll_back()
                return
            lines = self._write()
        except BaseException:
            self._roll_back()
            raise
        assert self._wire is not None
        self._connections.give(self._wire)
        if lines:
            self._connections.appended(lines)

    @property
    def now(self) -> float:
        """The server's clock."""
        if self._now is None:
            [[(self._now,)]] = self.trip((NOW, ()))
        return self._now

    def load(self, artifact: str) -> Stored | None:
        if artifact not in self._rows:
            if self._wire is None and self._publishes and self._expect(artifact):
                return self._rows[artifact]
            self._secure()
            calls: list[Call] = [(LOCK, (artifact,))]
            if self._wire is None and not self._publishes:
                calls.append((ALONG, (artifact, ALONG_BYTES_MAX)))
            locked, *along = self.trip(*calls)
            revision, home, now = current(locked)
            self._now = max(now, self._now or now)
            if along and along[0]:
                self._along[artifact] = along[0]
            found = Stored(unpack_row(home), revision) if revision is not None else None
            self._rows[artifact] = found
        return self._rows[artifact]

    def _expect(self, artifact: str) -> bool:
        """Expect the row that this process saved last, if that is probable."""
        recent = self._connections.recent.expected(artifact) if self._expected is None else None
        if recent is None:
            return False
        self._expected = (artifact, recent)
        self._rows[artifact], self._now = recent.stored, recent.at
        return True

    def _secure(self) -> None:
        """Lock the row that was not loaded.  Raises `Moved` if it is not as expected."""
        if self._expected is None:
            return
        artifact, recent = self._expected
        self._expected = None
        revision, home, now = current(self.trip((LOCK, (artifact,)))[0])
        if (revision, home) != (recent.stored.revision, recent.home):
            self._connections.recent.forget(artifact)
            raise Moved(f"{artifact!r} is not as it was expected")
        self._now = now

    def load_all(self, artifacts: Collection[str]) -> None:
        missing = [name for name in artifacts if name not in self._rows]
        if len(missing) < 2:
            for name in missing:
                self.load(name)
            return
        self._secure()
        [locked] = self.trip((LOCK_ALL, (pack_names(missing),)))
        self._now = max(self._now or 0.0, *(current([row[:-1]])[2] for row in locked))
        self._rows.update(dict.fromkeys(missing))
        for revision, home, _, _, name in locked:
            if name is not None:
                self._rows[name] = Stored(unpack_row(home), revision)

    def absent(self, artifact: str) -> None:
        if self._rows.setdefault(artifact, None) is not None:
            raise Moved(f"{artifact!r} has a row")
        if artifact not in self._absent:
            self._keep_absent([artifact])

    def _keep_absent(self, missing: list[str]) -> None:
        """Take the lock that makers of rows take; then look for the rows of `missing` again.

        And for all that were loaded and are missing: one trip serves any number.  Raises `Moved`
        for a row that has appeared: to lock it now, after that lock, could end in a deadlock.
        """
        self._secure()
        if len(self._rows) > 1:
            missing = [name for name, stored in self._rows.items() if stored is None]
        calls: list[Call] = [(COUNT, ())] if self._artifacts is None else []
        if missing:
            calls.append((FOUNDED, (pack_names(missing),)))
        found = self.trip(*calls)
        if self._artifacts is None:
            self._artifacts = found[0][0][0]
        if missing and found[-1]:
            raise Moved(f"{found[-1][0][0]!r} has just been made")
        self._absent.update(missing)

    def save(self, artifact: str, row: HomeRow, expected: int) -> None:
        stored = self.load(artifact)
        if (stored.revision if stored is not None else 0) != expected:
            self._connections.recent.forget(artifact)
            raise Moved(f"{artifact!r} is not at revision {expected}")
        if self._expected is not None and row.timers:
            # They count from a moment that is over.
            self._connections.recent.forget(artifact)
            raise Moved(f"{artifact!r} must be loaded, since it has timers")
        self._loaded.setdefault(artifact, stored)
        state, alive = row.state, row.state.content not in ABSENT
        values = (expected + 1, state.version, alive, pack_row(row), artifact)
        self._writes.append((UPDATE if expected else INSERT, values))
        self._rows[artifact] = Stored(row, expected + 1)

    def publish(
        self, artifact: str, entry: Entry, content: Content, previous: Content | None = None
    ) -> None:
        version, handle = entry.version, entry.handle
        body, difference = stored_form(content, previous)
        self._published[artifact, version] = content
        what = (str(handle.kind), handle.size_bytes, handle.digest)
        at = float(entry.at) if self._expected is None else None
        reason = storable(entry.reason) if entry.reason else ""
        how = (entry.pinned, entry.base, entry.overwrite, reason)
        values = (artifact, version, *what, entry.author, at, *how, body)
        self._writes.append((PUBLISH, values))
        if difference is not None:
            self._writes.append((SPLICE, (difference, artifact, version - 1)))
        rule = self._connections.retention
        if rule.versions is not None and version > rule.versions:
            self._writes.append((PRUNE, (artifact, version - max(rule.versions, 1))))
        if rule.age_s is not None:
            self._writes.append((PRUNE_AGED, (artifact, version, float(rule.age_s))))

    def append(
        self, artifact: str, version: Version, author: Address, posts: Sequence[Post]
    ) -> None:
        number = self._numbers[0] if self._numbers else draw()
        at = float(self.now) if self._expected is None else None
        packed = pack_posts(tuple(posts)) if posts else b""
        line = (number, self._connections.origin, artifact, version, author, at, packed)
        self._numbers.append(number)
        self._writes.append((APPEND, line))

    def tally(self, rows: Sequence[Tally]) -> None:
        # In one order, so that two transactions do not wait for each other.
        ordered = sorted(rows, key=lambda row: (row.agent, row.artifact, row.day))
        self._writes += [(ADD, tally_values(row)) for row in ordered]

    def content(self, artifact: str, version: Version) -> Content | None:
        own = self._published.get((artifact, version))
        if own is not None:
            return own
        self._secure()
        rows = self._along.get(artifact)
        if rows is None or rows[0][0] != version:
            [rows] = self.trip((BODY, (artifact, version)))
        kept = restore(rows, artifact, version)
        return kept[1] if kept is not None else None

    def join(self, agent: Address, beyond: int | None, life: str, lease_s: float) -> int:
        """As `Store.join`, for a process at the stored location `life`."""
        [[(last, self._now)]] = self.trip((SESSIONS, ()))
        if beyond is not None:
            [theirs] = self.trip((THEIRS, (agent, beyond, self._connections.origin)))
            if theirs:
                return 0
        session = next_session(last, self.now)
        self._writes.append((JOIN, (session, agent, self._connections.origin, life, lease_s)))
        self.append("", 0, agent, ())
        return session

    def pin(self, artifact: str, version: Version, pinned: bool) -> bool:
        """As `Store.pin`."""
        content = self.content(artifact, version) if self.load(artifact) is not None else None
        if content is None:
            return False
        # Whole while pinned, since the next version, its base, may be removed.
        self._writes.append((PIN, (pinned, to_bytes(content), artifact, version)))
        return True

    def refuse(self, line: RefusedWrite, keep: int) -> None:
        """As `Store.refuse`."""
        self.relax()
        self._writes += [(REFUSE, refused_values(line)), (FORGET, (max(keep, 0),))]

    def fold(self) -> None:
        """Add up the artifacts of each agent's old days."""
        self._writes.append((FOLD, ()))

    def relax(self) -> None:
        """A crash of the server may lose this transaction."""
        self._writes.append((RELAXED, ()))

    def count(self) -> int:
        if self._artifacts is None:
            self._keep_absent([])
        assert self._artifacts is not None
        return self._artifacts + sum(1 for statement, _ in self._writes if statement is INSERT)

    def trip(self, *calls: Call) -> list[Rows]:
        """The rows of each of `calls`; the first trip begins the transaction there."""
        if self._wire is None:
            self._wire, found = self._connections.begin((BEGIN, ()), *calls)
            return found[1:]
        try:
            return self._wire.trip(*calls)
        except psycopg.Error as error:
            if self._wire.closed or lost(error):
                raise Moved(f"the connection was cut before anything was saved: {error}") from error
            raise fault(error) from error

    def _write(self) -> list[Place]:
        """Write and commit; the lines that were added to the log."""
        # Last, since this takes the lock that orders the log.
        last = [call for call in self._writes if call[0] is APPEND]
        first = [call for call in self._writes if call[0] is not APPEND]
        start = self._stake(first)
        if self._wire is None:
            self.trip((NOW, ()))
        wire = self._wire
        assert wire is not None
        try:
            found = wire.trip(*start, *first, *last, (COMMIT, ()))
        except psycopg.Error as error:
            for artifact in self._loaded:
                self._connections.recent.forget(artifact)
            if wire.closed or lost(error):
                # COMMIT was sent, and it is unknown whether it arrived.
                raise OutcomeUnknown(f"PostgreSQL: {error}") from error
            if isinstance(error, psycopg.errors.DivisionByZero):
                require_schema(self._connections.stamped(VERSION)[0][0])
                raise Moved(f"{list(self._loaded)} are not as they were expected") from error
            raise fault(error) from error
        done = found[len(start) :]
        self._remember(first, done)
        seqs = [rows[0][0] for rows in done[len(first) : -1]]
        return [Place(seq, number) for seq, number in zip(seqs, self._numbers, strict=True)]

    def _stake(self, first: list[Call]) -> list[Call]:
        """How to begin if a row was not loaded: `first` then depends on the expected row.

        If no change depends on that row, or no connection is certain to be alive, the row is locked
        after all.
        """
        if self._expected is None:
            return []
        at = next((at for at, call in enumerate(first) if call[0] is UPDATE), None)
        if at is not None:
            self._wire = self._connections.take_quiet()
        if at is None or self._wire is None:
            self._secure()
            return []
        recent = self._expected[1]
        first[at] = (UPDATE_EXPECTED, (*first[at][1], recent.stored.revision, recent.home))
        return [(BEGIN, ())]

    def _remember(self, first: Sequence[Call], done: Sequence[Rows]) -> None:
        """Remember the saved row, for later writes."""
        now = self._now or 0.0
        for (statement, values), rows in zip(first, done, strict=False):
            if statement in (UPDATE, UPDATE_EXPECTED, INSERT):
                if statement is UPDATE_EXPECTED:
                    now = rows[0][1]
                artifact, home = str(values[4]), values[3]
                stored, loaded = self._rows[artifact], self._loaded[artifact]
                assert stored is not None
                assert isinstance(home, bytes)
                self._connections.recent.saved(
                    artifact, loaded, Recent(stored, home, now), publishes=self._publishes
                )

    def _roll_back(self) -> None:
        wire, self._wire = self._wire, None
        if wire is None:
            return
        try:
            if wire.begun:
                wire.trip((ROLLBACK, ()))
        except psycopg.Error:
            wire.close()
        finally:
            self._connections.give(wire)
