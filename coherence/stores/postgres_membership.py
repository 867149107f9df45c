"""The members of a PostgreSQL database, whose processes are observed in two ways.

The process table shows processes of this machine and pid namespace.  An advisory lock that the
ear's connection holds (`postgres_life`) is visible everywhere, but a lost connection is not a
death.  So a process is taken for dead

- of this process table, if the table says that it has ended and its lock is free;
- of another table of this machine (another container), if its lock has been free for longer than a
  live process needs to take it again;
- of another machine, never.

After a restart of the server a free lock means nothing until it is taken again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from time import monotonic
from typing import Final, LiteralString

import msgspec

from coherence.stores.living import has_ended, is_here
from coherence.stores.membership import COLUMNS, Membership, member_of
from coherence.stores.port import Member
from coherence.stores.postgres_connections import PostgresConnections
from coherence.stores.postgres_life import LEASE_S, RENEW, RUN
from coherence.stores.postgres_sql import CLOCK, LEAVE
from coherence.stores.postgres_transaction import PostgresTransaction
from coherence.stores.postgres_wire import Statement
from message_passing.process import Address

#: How long a process of this machine may be without its lock before it is taken for dead, which is
#: longer than its ear needs to reconnect; and how often the server is asked.
FREE_S: Final = 4.0
ASK_S: Final = 1.0

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
# Shared, and released with the statement: concurrent queries do not take each other for the holder.
FREE = Statement("FREE", f"SELECT {RUN}, pg_try_advisory_xact_lock_shared($1::bigint)")


class PostgresMembership(Membership):
    """The members of the database of `connections`."""

    def __init__(self, connections: PostgresConnections) -> None:
        super().__init__(connections.origin)
        self._connections = connections
        #: Origin -> when its lock was first, and when last, seen to be free.
        self._free: dict[int, tuple[float, float]] = {}

    def join(self, agent: Address, beyond: int | None) -> int:
        with PostgresTransaction(self._connections, publishes=False) as tx:
            session = tx.join(agent, beyond, self._connections.life.stored(), LEASE_S)
        self._connections.ear.attend()
        return session

    def renew(self) -> None:
        if self._connections.life.joined:
            self._connections.ask(RENEW, *self._connections.life.renewal())

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
        self._connections.ask(LEAVE, agent, session)

    def members(self) -> list[Member]:
        rows = self._connections.ask(MEMBERS)
        return self.living([member_of(row[:-1]) for row in rows], rows[0][-1] if rows else 0.0)

    def has_lock(self, member: Member) -> bool:
        return self._is_free(member) is False

    def sessions(self, agents: Collection[Address]) -> list[Member]:
        return [member_of(row) for row in self._connections.ask(LAST, _json(agents))]

    def bury(self, member: Member) -> None:
        if member.origin:
            self._connections.ask(BURY, _json([member.origin]))

    def sweep(self) -> None:
        rows = self._connections.ask(MEMBERS)
        if not rows:
            return
        ended, over = self.lost([member_of(row[:-1]) for row in rows], rows[0][-1])
        if ended:
            self._connections.ask(BURY, _json(ended))
        if over:
            self._connections.ask(FORGET, _json([each.session for each in over]))

    def agreed(self) -> str:
        return str(self._connections.stamped(AGREED)[0][0])

    def agree(self, text: str) -> None:
        self._connections.ask(AGREE, text)

    def _is_free(self, member: Member) -> bool | None:
        """Whether the lock of that process is free; None if that cannot be known."""
        if not member.life.lock or not member.origin:
            return None
        [(run, free)] = self._connections.ask(FREE, member.origin)
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


def _json(values: Iterable[object]) -> str:
    return msgspec.json.encode(list(values)).decode()
