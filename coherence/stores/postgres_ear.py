"""Hears that the change log has grown, and tells others so: one connection, and one thread on it.

A notification carries nothing and proves nothing.  The ear counts them and asks nothing: it wakes
whoever waits, who reads the log.  So one that is lost costs time, and one from a stranger costs a
question.

The notification that a transaction causes is sent after its commit, by the ear, in a transaction
that is not synced: the server lets only one transaction notify at a time, and would make all of
them wait for each other's disk.  Those that come close together are sent as one.
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
from coherence.stores.postgres_membership import PostgresMembership
from coherence.stores.postgres_wire import Statement, Wire
from message_passing.interrupts import Knock, free, start

log = logging.getLogger("coherence.stores")

RING: Final = Statement("RING", "SELECT pg_notify($1, $2)")
#: The least time from one notification that is sent to the next, in seconds.
PACE_S: Final = 0.005
#: How long until a lost connection is made again, in seconds: at first, and at most.
AGAIN_S: Final = 0.05
AGAIN_S_MAX: Final = 2.0
#: How often a server that takes no listeners, a hot standby, is looked at instead, in seconds.
LOOK_S: Final = 1.0
#: After how many lines of this process the log is read, although nobody else has written.
OWN_LINES: Final = 512


class Ear:
    """Knows whether the log may have grown.  Listens once somebody waits, or is to be told.

    Its connection also holds the lock of `membership`, whose origin tells the notifications that
    this process has sent from those of others.
    """

    def __init__(
        self, connect: Callable[[], Wire], channel: str, membership: PostgresMembership
    ) -> None:
        self._connect = connect
        self._channel = channel
        self._membership = membership
        self._origin = str(membership.origin)
        self._ring = (RING, (channel, self._origin))
        self._changed = threading.Condition()
        #: How often there was reason to read the log, and how much of that a reading has answered.
        self.heard = 0
        self._answered = 0
        #: How long the log was at the last reading.
        self._head = 0
        self._own = 0
        self._wakes = 0
        #: A wake that has found nobody waiting ends the next wait.
        self._woken = False
        self._due = False
        self._thread: threading.Thread | None = None
        self._closed = False
        #: To end a pause of the thread's, and told by the thread when it ends.
        self._ended, self._gone = Knock(), Knock()
        #: A byte into one end ends the thread's wait at the other.
        self._ends: tuple[socket.socket, socket.socket] | None = None

    def wait(self, seq: int, timeout_s: float) -> None:
        """Block until another may have made the log longer than `seq`, or this wait is ended."""
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
        """There is reason to read the log."""
        with self._changed:
            self._own = 0
            self.heard += 1
            self._changed.notify_all()

    def learn(self, heard: int, head: int) -> None:
        """A reading that began when `heard` was so high has found the log's end there."""
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
        """This process has added so many lines to the log: others are told, soon."""
        self._own += lines
        if self._own >= OWN_LINES:
            self.hear()
        if not self._due:
            self._due = True
            if self._thread is None:
                self._start()
            self._nudge()

    def attend(self) -> None:
        """An agent has joined: see to this process's membership from now on."""
        if not self._membership.joined:
            self._membership.joined = True
            self._start()
            self._nudge()

    def release(self) -> None:
        """Give back what a call of this thread's has left behind."""
        free(self._changed)
        if self._due:
            self._start()
            self._nudge()

    def close(self) -> None:
        """Listen no longer.  What others are to be told is told first, if the server is there."""
        self._closed = True
        self._ended()
        self.wake()
        if self._ends is not None:
            self._nudge()
            while self._thread is not None:
                self._gone.wait(LOOK_S)
            for end in self._ends:
                end.close()

    def _start(self) -> None:
        with self._changed:
            if self._closed:
                return
            ends = self._ends
            if ends is None:
                ends = socket.socketpair()
                for end in ends:
                    end.setblocking(False)
                self._ends = ends
            if self._thread is None:
                thread = threading.Thread(
                    target=self._be_there, args=ends[1:], name="coherence-notify", daemon=True
                )
                start(thread)
                self._thread = thread

    def _nudge(self) -> None:
        if self._ends is not None:
            with suppress(OSError):  # full, and so it is on its way
                self._ends[0].send(b"x")

    def _be_there(self, far: socket.socket) -> None:
        with self._changed:
            if self._thread is not threading.current_thread():
                return  # the call that began this thread was cut off: another takes its place
        try:
            self._run(far)
        finally:
            self._thread = None
            self._gone()

    def _run(self, far: socket.socket) -> None:
        again_s = AGAIN_S
        while not self._closed or self._due:
            try:
                self._membership.connects()
                wire = self._connect()
                try:
                    listens = self._listen(wire)
                    again_s = AGAIN_S
                    # What was notified before is not repeated.
                    self.hear()
                    self._attend(wire, far, listens)
                finally:
                    self._membership.let_go()
                    wire.close()
            except (psycopg.Error, StoreFault) as error:
                # Nothing is lost by it but time: who asks a server that is away says so.
                level = logging.INFO if again_s == AGAIN_S else logging.DEBUG
                log.log(level, "no notifications for now: %s", error)
                # Whoever waits shall look, and learn what has become of the server.
                self.wake()
                if self._ended.wait(again_s):
                    return
                again_s = min(2 * again_s, AGAIN_S_MAX)

    def _listen(self, wire: Wire) -> bool:
        """Whether the server will notify; a standby does not."""
        assert wire.conn is not None
        wire.conn.execute("SET synchronous_commit = off")
        try:
            wire.conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
        except psycopg.errors.ReadOnlySqlTransaction:
            return False
        return True

    def _attend(self, wire: Wire, far: socket.socket, listens: bool) -> None:
        """Hear and tell until closed, or until another connection is needed.

        Raises `psycopg.Error` where this one is lost.
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
                if not self._membership.keep(wire):
                    return
                self._take_in(pgconn)
                left_s = max(0.0, told_at + PACE_S - now) if self._due else None
                limit_s = LOOK_S if not listens else self._membership.next_s
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
