"""Listens for growth of the change log, and notifies others: one connection with one thread.

A notification carries no data and proves nothing.  The ear only counts notifications, and wakes the
waiting threads, which read the log.  So a lost notification costs time, and a foreign one costs a
query.

The ear sends the notification of a transaction after its commit, in a separate transaction that is
not synced: the server lets only one transaction notify at a time, so synced ones would wait for
each other's disk.  Notifications that are close together are sent as one.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Final

import psycopg
from psycopg import sql

from coherence.errors import StoreFault
from coherence.stores.postgres_life import PostgresLife
from coherence.stores.postgres_wire import Statement, Wire
from message_passing.background import Background, Worker
from message_passing.interrupts import Knock, free

log = logging.getLogger("coherence.stores")

RING: Final = Statement("RING", "SELECT pg_notify($1, $2)")
#: The least time between two sent notifications, in seconds.
PACE_S: Final = 0.005
#: The pause before a lost connection is opened again, in seconds: at first, and at most.
AGAIN_S: Final = 0.05
AGAIN_S_MAX: Final = 2.0
#: How often a server without listeners, a hot standby, is polled, in seconds.
LOOK_S: Final = 1.0
#: After how many lines of this process the log is read, even without lines of others.
OWN_LINES: Final = 512


class Ear(Worker):
    """Knows whether the log may have grown.  Connects at the first wait or notification.

    Its connection also holds the lock of `life`, whose origin distinguishes this process's
    notifications from those of others.
    """

    name = "coherence-notify"

    def __init__(
        self,
        connect: Callable[[], Wire],
        channel: str,
        life: PostgresLife,
        background: Background,
    ) -> None:
        self._connect = connect
        self._channel = channel
        self._life = life
        self._origin = str(life.origin)
        self._ring = (RING, (channel, self._origin))
        self._changed = threading.Condition()
        #: The count of reasons to read the log, and the count that a reading has covered.
        self.heard = 0
        self._answered = 0
        #: The length of the log at the last reading.
        self._head = 0
        self._own = 0
        self._wakes = 0
        #: A wake without a waiting thread ends the next wait.
        self._woken = False
        self._due = False
        self._background = background
        self._closed = False
        #: Whether the last turn is over, after which the ends below are not used.
        self._over = False
        #: Ends a pause of the thread; the thread notifies it after the last turn.
        self._ended, self._gone = Knock(), Knock()
        #: The pause before a lost connection is opened again.
        self._again_s = AGAIN_S
        #: A byte written to one end ends the thread's wait at the other.
        self._ends: tuple[socket.socket, socket.socket] | None = None

    def wait(self, seq: int, timeout_s: float) -> None:
        """Block until another process may have grown the log beyond `seq`, or the wait is ended."""
        with self._changed:
            self._start()
            wakes = self._wakes
            self._changed.wait_for(
                lambda: (
                    self._head > seq
                    or self.heard != self._answered
                    or self._wakes != wakes
                    or self._woken
                    or self._closed
                ),
                timeout_s,
            )
            self._woken = False

    def hear(self) -> None:
        """Count a reason to read the log."""
        with self._changed:
            self._own = 0
            self.heard += 1
            self._changed.notify_all()

    def learn(self, heard: int, head: int) -> None:
        """Note a reading that began at the count `heard` and found the log's end at `head`."""
        with self._changed:
            if heard >= self._answered:
                self._answered, self._head = heard, head
                self._own = 0

    def wake(self) -> None:
        """End every wait, and one that is about to begin."""
        with self._changed:
            self._wakes += 1
            self._woken = True
            self._changed.notify_all()

    def tell(self, lines: int) -> None:
        """This process has added `lines` lines to the log: notify others soon."""
        self._own += lines
        if self._own >= OWN_LINES:
            self.hear()
        if not self._due:
            self._due = True
            if not self._background.is_running(self):
                self._start()
            self._nudge()

    def attend(self) -> None:
        """An agent has joined: maintain this process's membership from now on."""
        if not self._life.joined:
            self._life.joined = True
            self._start()
            self._nudge()

    def release(self) -> None:
        """Release the resources that a call of this thread has left."""
        free(self._changed, *self._background.locks)
        if self._due:
            self._start()
            self._nudge()

    def close(self) -> None:
        """Stop listening.  Pending notifications are sent first, if the server is reachable."""
        self._closed = True
        self._ended()
        self.wake()
        if self._ends is not None:
            self._nudge()
            while self._background.is_running(self) and not self._over:
                self._gone.wait(LOOK_S)
            for end in self._ends:
                end.close()

    def _start(self) -> None:
        with self._changed:
            if self._closed:
                return
            if self._ends is None:
                ends = socket.socketpair()
                for end in ends:
                    end.setblocking(False)
                self._ends = ends
            self._background.need(self)

    def _nudge(self) -> None:
        if self._ends is not None:
            with suppress(OSError):  # a full pipe already wakes the thread
                self._ends[0].send(b"x")

    @property
    def is_needed(self) -> bool:
        return not self._over

    def work(self) -> None:
        """One connection, until it is lost or not needed."""
        assert self._ends is not None
        gives_up = False
        try:
            self._life.connects()
            wire = self._connect()
            try:
                listens = self._listen(wire)
                self._again_s = AGAIN_S
                # Earlier notifications are not repeated.
                self.hear()
                self._attend(wire, self._ends[1], listens)
            finally:
                self._life.let_go()
                wire.close()
        except (psycopg.Error, StoreFault) as error:
            # This costs only time: a query to an unreachable server reports the error.
            level = logging.INFO if self._again_s == AGAIN_S else logging.DEBUG
            log.log(level, "no notifications for now: %s", error)
            # Waiting threads must query, and learn the state of the server.
            self.wake()
            gives_up = self._ended.wait(self._again_s)
            self._again_s = min(2 * self._again_s, AGAIN_S_MAX)
        if self._closed and (gives_up or not self._due):
            self._over = True
            self._gone()

    def _listen(self, wire: Wire) -> bool:
        """Whether the server sends notifications; a standby does not."""
        assert wire.conn is not None
        wire.conn.execute("SET synchronous_commit = off")
        try:
            wire.conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
        except psycopg.errors.ReadOnlySqlTransaction:
            return False
        return True

    def _attend(self, wire: Wire, far: socket.socket, listens: bool) -> None:
        """Listen and notify until closed, or until another connection is needed.

        Raises `psycopg.Error` if this connection is lost.
        """
        assert wire.conn is not None
        pgconn = wire.conn.pgconn
        told_at = -PACE_S
        with selectors.DefaultSelector() as ready:
            ready.register(pgconn.socket, selectors.EVENT_READ)
            ready.register(far, selectors.EVENT_READ)
            while True:
                now = monotonic()
                closed = self._closed
                if self._due and (closed or now >= told_at + PACE_S):
                    self._due = False
                    try:
                        wire.trip(self._ring)
                    except BaseException:
                        self._due = True
                        raise
                    told_at = now
                if closed:
                    return
                if not self._life.keep(wire):
                    return
                self._take_in(pgconn)
                left_s = max(0.0, told_at + PACE_S - now) if self._due else None
                limit_s = LOOK_S if not listens else self._life.next_s
                for key, _ in ready.select(left_s if left_s is not None else limit_s):
                    if key.fileobj is far:
                        far.recv(4096)
                    else:
                        pgconn.consume_input()
                if not listens:
                    self.hear()

    def _take_in(self, pgconn: Any) -> None:
        strange = False
        while (notification := pgconn.notifies()) is not None:
            strange = strange or notification.extra != self._origin.encode()
        if strange:
            self.hear()
