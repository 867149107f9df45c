"""The members of a PostgreSQL database, whose processes are observed in two ways.

The process table shows processes of this machine and pid namespace.  An advisory lock that the
ear's connection holds is visible everywhere, but a lost connection is not a death.  So a process is
taken for dead

- of this process table, if the table says that it has ended and its lock is free;
- of another table of this machine (another container), if its lock has been free for longer than a
  live process needs to take it again;
- of another machine, never.

After a restart of the server a free lock means nothing until it is taken again.  Through a pooler
between client and server, which shares one server process between several clients, no lock is
taken.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Final, LiteralString
from weakref import WeakSet

import msgspec
import psycopg

from coherence.stores.living import has_ended, here, is_here, pack_life
from coherence.stores.membership import COLUMNS, Membership, member_of
from coherence.stores.port import Member
from coherence.stores.postgres_errors import lost
from coherence.stores.postgres_sql import CLOCK, LEAVE
from coherence.stores.postgres_wire import Statement, Wire
from message_passing.process import Address

if TYPE_CHECKING:
    from coherence.stores.postgres import PostgresStore

log = logging.getLogger("coherence.stores")

#: How long an agent is a member if the life of its process cannot be observed, and how often the
#: process prolongs that.
LEASE_S: Final = 300.0
RENEW_S: Final = 60.0
#: The pause before another try if a lost connection still holds the lock.
RETRY_S: Final = 1.0
#: How long a process of this machine may be without its lock before it is taken for dead, which is
#: longer than its ear needs to reconnect; and how often the server is asked.
FREE_S: Final = 4.0
ASK_S: Final = 1.0

#: Identifies a run of a server.
_RUN: Final[LiteralString] = "extract(epoch FROM pg_postmaster_start_time())::text"
_EACH: Final[LiteralString] = "(SELECT jsonb_array_elements_text($1::text::jsonb))"
_NUMBERS: Final[LiteralString] = "(SELECT jsonb_array_elements_text($1::text::jsonb)::bigint)"

AGREED = Statement("AGREED", "SELECT policies FROM coherence_meta")
AGREE = Statement("AGREE", "UPDATE coherence_meta SET policies = $1 RETURNING 1")
MEMBERS = Statement("MEMBERS", f"SELECT {COLUMNS}, {CLOCK} FROM coherence_member ORDER BY agent")
LAST = Statement("LAST", f"SELECT {COLUMNS} FROM coherence_member WHERE agent IN {_EACH}")
BURY = Statement(
    "BURY",
    f"UPDATE coherence_member SET ended = {CLOCK} WHERE origin IN {_NUMBERS} AND ended = 0",
)
FORGET = Statement("FORGET", f"DELETE FROM coherence_member WHERE session IN {_NUMBERS}")
RENEW = Statement(
    "RENEW",
    f"""
    UPDATE coherence_member SET life = $1, until = {CLOCK} + $2::float8, ended = 0
    WHERE origin = $3::bigint
    """,
)
MEET = Statement("MEET", f"SELECT {_RUN}, pg_backend_pid()")
HOLD = Statement("HOLD", "SELECT pg_try_advisory_lock($1::bigint)")
# Shared, and released with the statement: concurrent queries do not take each other for the holder.
FREE = Statement("FREE", f"SELECT {_RUN}, pg_try_advisory_xact_lock_shared($1::bigint)")

_ALL: WeakSet[PostgresMembership] = WeakSet()
#: How often this process has forked.
_forks = 0


class PostgresMembership(Membership):
    """The members of the database that `store` has open, and this process's lock."""

    def __init__(self, store: PostgresStore, wire: Wire) -> None:
        super().__init__(store.origin)
        self._store = store
        #: The place of this process's lock: the last known run of the server.  Empty if there can
        #: be no lock.
        self._run = ""
        self._meet(wire)
        #: Whether the ear's connection holds the lock, and that connection's socket.
        self._held = False
        self._socket = -1
        #: The number of forks of this process when that connection was opened.
        self._forks = 0
        #: When the ear must call `keep` next, on this process's monotonic clock.
        self._keep_at = 0.0
        #: Origin -> when its lock was first, and when last, seen to be free.
        self._free: dict[int, tuple[float, float]] = {}
        _ALL.add(self)

    def life(self) -> str:
        """The stored location of this process.  The first call makes the ear take the lock."""
        return pack_life(here(self._run))

    # Other processes.

    def has_ended(self, member: Member) -> bool | None:
        life = member.life
        if member.origin == self.origin and self.origin:
            return False
        if not is_here(life):
            return None
        ended = has_ended(life)
        if ended is None:
            return self._is_without(member)
        # Machines started from one snapshot may have one name, and each has a separate table: the
        # word of one table that a process has ended is not enough.
        return self._is_free(member) if ended else False

    def leave(self, agent: Address, session: int) -> None:
        self._store._ask(LEAVE, agent, session)

    def members(self) -> list[Member]:
        rows = self._store._ask(MEMBERS)
        return self.living([member_of(row[:-1]) for row in rows], rows[0][-1] if rows else 0.0)

    def has_lock(self, member: Member) -> bool:
        return self._is_free(member) is False

    def sessions(self, agents: Collection[Address]) -> list[Member]:
        return [member_of(row) for row in self._store._ask(LAST, _json(agents))]

    def bury(self, member: Member) -> None:
        if member.origin:
            self._store._ask(BURY, _json([member.origin]))

    def sweep(self) -> None:
        rows = self._store._ask(MEMBERS)
        if not rows:
            return
        ended, over = self.lost([member_of(row[:-1]) for row in rows], rows[0][-1])
        if ended:
            self._store._ask(BURY, _json(ended))
        if over:
            self._store._ask(FORGET, _json([each.session for each in over]))

    def agreed(self) -> str:
        return str(self._store._stamped(AGREED)[0][0])

    def agree(self, text: str) -> None:
        self._store._ask(AGREE, text)

    def _is_free(self, member: Member) -> bool | None:
        """Whether the lock of that process is free; None if that cannot be known."""
        if not member.life.lock or not member.origin:
            return None
        [(run, free)] = self._store._ask(FREE, member.origin)
        return bool(free) if run == member.life.lock else None

    def _is_without(self, member: Member) -> bool | None:
        """Whether that process has been without its lock for so long that it is dead."""
        now = monotonic()
        since, seen = self._free.get(member.origin, (now, 0.0))
        if now < seen + ASK_S:
            return now >= since + FREE_S or None
        free = self._is_free(member)
        if free:
            self._free[member.origin] = since, now
            return now >= since + FREE_S or None
        self._free.pop(member.origin, None)
        return free

    # This process.

    def renew(self) -> None:
        if self.joined:
            self._store._ask(RENEW, *self._renewal())

    @property
    def next_s(self) -> float | None:
        """How long until the ear must call `keep`; None if no agent has joined."""
        return max(0.0, self._keep_at - monotonic()) if self.joined else None

    def connects(self) -> None:
        """Called before the ear connects."""
        self._forks = _forks

    def keep(self, wire: Wire) -> bool:
        """On the ear's connection, hold this process's lock and prolong its membership.

        Returns False if another connection is needed.
        """
        if not self.joined or self._keep_at > monotonic():
            return True
        assert wire.conn is not None
        self._socket = wire.conn.pgconn.socket
        if not self._held and self._forks != _forks:
            return False  # a forked child shares it unknowingly
        wait_s = RENEW_S
        try:
            if not self._held and self._meet(wire):
                [[(self._held,)]] = wire.trip((HOLD, (self.origin,)))
                if not self._held:  # for the server, a lost connection still holds it
                    wait_s = RETRY_S
            wire.trip((RENEW, self._renewal()))
        except psycopg.Error as error:
            if wire.closed or lost(error):
                raise
            log.debug("the membership of this process was not prolonged: %s", error)
        self._keep_at = monotonic() + wait_s
        return True

    def _renewal(self) -> tuple[str, float, int]:
        return self.life(), LEASE_S, self.origin

    def let_go(self) -> None:
        """The ear's connection is lost, and the lock with it."""
        self._held, self._socket, self._keep_at = False, -1, 0.0

    def _meet(self, wire: Wire) -> bool:
        """Identify the run of the server; return whether this connection can hold a lock."""
        assert wire.conn is not None
        [[(run, answers)]] = wire.trip((MEET, ()))
        # Behind a pooler another server process answers than the one announced: a lock there would
        # belong to the client that it serves next.
        self._run = run if answers == wire.conn.info.backend_pid else ""
        return bool(self._run)

    def _disown(self) -> None:
        """This is a forked child, which must not keep the lock beyond the parent's life."""
        if self._socket >= 0:
            os.close(self._socket)  # the connection itself is the parent's, and never used here
            self._socket = -1


def _json(values: Iterable[object]) -> str:
    return msgspec.json.encode(list(values)).decode()


def _count_fork() -> None:
    global _forks
    _forks += 1


def _after_fork() -> None:
    for membership in list(_ALL):
        membership._disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_parent=_count_fork, after_in_child=_after_fork)
