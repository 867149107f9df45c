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
from typing import TYPE_CHECKING, Any, Final

from coherence.errors import StoreFault
from coherence.stores.life_lock import LifeLock
from coherence.stores.living import has_ended, here, is_absent, is_here, pack_life
from coherence.stores.membership import Membership
from coherence.stores.port import Member
from coherence.stores.sqlite_rows import MEMBERS, member
from message_passing.process import Address, Time

if TYPE_CHECKING:
    from coherence.stores.sqlite import SqliteStore

#: The name of the file beside the database, after the database's.
SUFFIX: Final = "-live"
#: How long an agent is a member if the life of its process cannot be observed: after a restart of
#: the machine, or on a system without such locks.  Waiting processes prolong it.
LEASE_S: Final = 86_400.0

_RENEW: Final = "UPDATE member SET life = ?, until = ?, ended = 0 WHERE origin = ?"
_MARK: Final = "UPDATE member SET ended = ? WHERE origin = ? AND NOT ended"
_FORGET: Final = "DELETE FROM member WHERE agent = ? AND session = ?"


class SqliteMembership(Membership):
    """The members of the file that `store` has open."""

    def __init__(self, store: SqliteStore) -> None:
        super().__init__(store.origin)
        self._store = store
        # Beside the file itself, as its log, even if the file was opened under another name.
        self.path = Path(os.path.realpath(store.path) + SUFFIX)
        self._life_lock = LifeLock(self.path, store.origin)
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

    def facts(self, now: Time) -> tuple[str, Time]:
        """The location of this process, with its lock taken, and the expiry of its row."""
        self.joined = True
        self._until = now + LEASE_S
        return pack_life(here(self._life_lock.take())), self._until

    def leave(self, agent: Address, session: int) -> None:
        self._store._change(_FORGET, agent, session)

    def members(self) -> list[Member]:
        rows = self._query(f"{MEMBERS} ORDER BY agent")
        return self.living(map(member, rows), self._store.clock())

    def sessions(self, agents: Collection[Address]) -> list[Member]:
        places = ", ".join("?" * len(agents))
        return [member(row) for row in self._query(f"{MEMBERS} WHERE agent IN ({places})", agents)]

    def bury(self, member: Member) -> None:
        if member.origin:
            self._store._change(_MARK, self._store.clock(), member.origin)

    def keep(self) -> None:
        """`renew`, if there is a reason to."""
        if self.joined and (
            self._until < self._store.clock() + LEASE_S / 2 or self._life_lock.lost
        ):
            with suppress(StoreFault):  # it will be tried again
                self.renew()

    def renew(self) -> None:
        if self.joined:
            self._store._change(_RENEW, *self.facts(self._store.clock()), self.origin)

    def sweep(self) -> None:
        now = self._store.clock()
        ended, over = self.lost(map(member, self._query(MEMBERS)), now)

        def mark(db: sqlite3.Cursor) -> None:
            db.executemany(_MARK, [(now, origin) for origin in ended])
            db.executemany(_FORGET, [(each.agent, each.session) for each in over])

        if ended or over:
            self._store._atomically(mark)

    def agreed(self) -> str:
        rows = self._query("SELECT value FROM meta WHERE key = 'policies'")
        return str(rows[0][0]) if rows else ""

    def agree(self, text: str) -> None:
        self._store._change("INSERT OR REPLACE INTO meta VALUES ('policies', ?)", text)

    def release(self) -> None:
        """Release the resources that an interrupted call of this thread has left."""
        self._life_lock.release()

    def close(self) -> None:
        """Release the lock."""
        self._life_lock.close()

    def _query(self, sql: str, values: Collection[object] = ()) -> list[Any]:
        return self._store._query(sql, *values)
