"""The lock of this process, which the connection of its ear holds, and its lease.

The lock is visible to every process of the server, and the server drops it with the connection.
Through a pooler between client and server, which shares one server process between several clients,
no lock is taken.
"""

from __future__ import annotations

import logging
import os
from time import monotonic
from typing import Final, LiteralString

import psycopg

from coherence.stores.living import here, pack_life
from coherence.stores.postgres_errors import lost
from coherence.stores.postgres_sql import CLOCK
from coherence.stores.postgres_wire import Statement, Wire
from message_passing import forks

log = logging.getLogger("coherence.stores")

#: How long an agent is a member if the life of its process cannot be observed, and how often the
#: process prolongs that.
LEASE_S: Final = 300.0
RENEW_S: Final = 60.0
#: The pause before another try if a lost connection still holds the lock.
RETRY_S: Final = 1.0
#: Identifies a run of a server.
RUN: Final[LiteralString] = "extract(epoch FROM pg_postmaster_start_time())::text"

RENEW = Statement(
    "RENEW",
    f"""
    UPDATE coherence_member SET life = $1, until = {CLOCK} + $2::float8, ended = 0
    WHERE origin = $3::bigint
    """,
)
MEET = Statement("MEET", f"SELECT {RUN}, pg_backend_pid()")
HOLD = Statement("HOLD", "SELECT pg_try_advisory_lock($1::bigint)")


class PostgresLife:
    """The lock and the lease of the opening with this origin; `wire` is its first connection."""

    def __init__(self, origin: int, wire: Wire) -> None:
        self.origin = origin
        #: Whether an agent of this opening has joined.
        self.joined = False
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
        forks.in_children(self._disown)

    def stored(self) -> str:
        """The stored location of this process."""
        return pack_life(here(self._run))

    def renewal(self) -> tuple[str, float, int]:
        """The values of `RENEW`."""
        return self.stored(), LEASE_S, self.origin

    @property
    def next_s(self) -> float | None:
        """How long until the ear must call `keep`; None if no agent has joined."""
        return max(0.0, self._keep_at - monotonic()) if self.joined else None

    def connects(self) -> None:
        """Called before the ear connects."""
        self._forks = forks.count()

    def keep(self, wire: Wire) -> bool:
        """On the ear's connection, hold this process's lock and prolong its membership.

        Returns False if another connection is needed.
        """
        if not self.joined or self._keep_at > monotonic():
            return True
        assert wire.conn is not None
        self._socket = wire.conn.pgconn.socket
        if not self._held and self._forks != forks.count():
            return False  # a forked child shares it unknowingly
        wait_s = RENEW_S
        try:
            if not self._held and self._meet(wire):
                [[(self._held,)]] = wire.trip((HOLD, (self.origin,)))
                if not self._held:  # for the server, a lost connection still holds it
                    wait_s = RETRY_S
            wire.trip((RENEW, self.renewal()))
        except psycopg.Error as error:
            if wire.closed or lost(error):
                raise
            log.debug("the membership of this process was not prolonged: %s", error)
        self._keep_at = monotonic() + wait_s
        return True

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
