"""The members of a SQLite file, whose processes are observed by the process table and a lock.

The process table shows processes of the same pid namespace, the lock on the file beside the
database all processes of the same kernel, containers included.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from coherence.errors import StoreCorrupt, StoreFault
from coherence.stores.chance import next_session
from coherence.stores.life_lock import LifeLock
from coherence.stores.living import has_ended, here, is_absent, is_here, pack_life
from coherence.stores.membership import Membership
from coherence.stores.port import Member
from coherence.stores.sqlite_connections import SqliteConnections
from coherence.stores.sqlite_rows import MEMBERS, member
from coherence.stores.sqlite_transaction import SqliteTransaction, atomically, change
from message_passing.process import Address, Time

#: The name of the file beside the database, after the database's.
SUFFIX: Final = "-live"
#: How long an agent is a member if the life of its process cannot be observed: after a restart of
#: the machine, or on a system without such locks.  Waiting processes prolong it.
LEASE_S: Final = 86_400.0

_THEIRS: Final = "SELECT 1 FROM member WHERE agent = ? AND session > ? AND origin <> ?"
_SESSION: Final = "SELECT value FROM meta WHERE key = 'session'"
_TAKE: Final = "UPDATE meta SET value = ? WHERE key = 'session'"
_JOIN: Final = (
    "INSERT OR REPLACE INTO member (agent, session, since, origin, life, until)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
_RENEW: Final = "UPDATE member SET life = ?, until = ?, ended = 0 WHERE origin = ?"
_MARK: Final = "UPDATE member SET ended = ? WHERE origin = ? AND NOT ended"
_FORGET: Final = "DELETE FROM member WHERE agent = ? AND session = ?"


class SqliteMembership(Membership):
    """The members of the file that `connections` have open."""

    def __init__(self, connections: SqliteConnections) -> None:
        super().__init__(connections.origin)
        self._connections = connections
        #: Whether an agent of this opening has joined.
        self.joined = False
        # Beside the file itself, as its log, even if the file was opened under another name.
        self.path = Path(os.path.realpath(connections.path) + SUFFIX)
        self._life_lock = LifeLock(self.path, connections.origin)
        self._until = 0.0

    def has_ended(self, member: Member) -> bool | None:
        if member.origin == self.origin and self.origin:
            return False
        life = member.life
        if not is_here(life):
            return None
        free = self._life_lock.is_free(member.origin, life.lock)
        if free is None:
            return has_ended(life)
        # If its lock is free, it has ended, or runs another program now, or has dropped the store
        # without a leave message.  A process that has ended may leave its lock to a child.
        return free or is_absent(life)

    def join(self, agent: Address, beyond: int | None) -> int:
        with SqliteTransaction(self._connections, publishes=False) as tx:
            if beyond is not None:
                theirs = (agent, beyond, self.origin)
                if tx.cursor.execute(_THEIRS, theirs).fetchone() is not None:
                    return 0
            found = tx.cursor.execute(_SESSION).fetchone()
            if found is None or type(found[0]) is not int:
                raise StoreCorrupt("the file has no valid count of sessions")
            session = next_session(found[0], tx.now)
            tx.cursor.execute(_TAKE, (session,))
            joined = (agent, session, tx.now, self.origin, *self._facts(tx.now))
            tx.cursor.execute(_JOIN, joined)
            tx.append("", 0, agent, ())
        return session

    def _facts(self, now: Time) -> tuple[str, Time]:
        """The location of this process, with its lock taken, and the expiry of its row."""
        self.joined = True
        self._until = now + LEASE_S
        return pack_life(here(self._life_lock.take())), self._until

    def leave(self, agent: Address, session: int) -> None:
        change(self._connections, _FORGET, agent, session)

    def members(self) -> list[Member]:
        rows = self._query(f"{MEMBERS} ORDER BY agent")
        return self.living(map(member, rows), self._connections.clock())

    def sessions(self, agents: Collection[Address]) -> list[Member]:
        places = ", ".join("?" * len(agents))
        return [member(row) for row in self._query(f"{MEMBERS} WHERE agent IN ({places})", agents)]

    def bury(self, member: Member) -> None:
        if member.origin:
            change(self._connections, _MARK, self._connections.clock(), member.origin)

    def keep(self) -> None:
        """`renew`, if there is a reason to."""
        if self.joined and (
            self._until < self._connections.clock() + LEASE_S / 2 or self._life_lock.lost
        ):
            with suppress(StoreFault):  # it will be tried again
                self.renew()

    def renew(self) -> None:
        if self.joined:
            change(self._connections, _RENEW, *self._facts(self._connections.clock()), self.origin)

    def sweep(self) -> None:
        now = self._connections.clock()
        ended, over = self.lost(map(member, self._query(MEMBERS)), now)

        def mark(db: sqlite3.Cursor) -> None:
            db.executemany(_MARK, [(now, origin) for origin in ended])
            db.executemany(_FORGET, [(each.agent, each.session) for each in over])

        if ended or over:
            atomically(self._connections, mark)

    def agreed(self) -> str:
        rows = self._query("SELECT value FROM meta WHERE key = 'policies'")
        return str(rows[0][0]) if rows else ""

    def agree(self, text: str) -> None:
        change(self._connections, "INSERT OR REPLACE INTO meta VALUES ('policies', ?)", text)

    def release(self) -> None:
        """Release the resources that an interrupted call of this thread has left."""
        self._life_lock.release()

    def close(self) -> None:
        """Release the lock."""
        self._life_lock.close()

    def _query(self, sql: str, values: Collection[object] = ()) -> list[Any]:
        return self._connections.query(sql, *values)
