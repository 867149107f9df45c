"""Hears that the change log has grown: one connection that listens, one thread that waits on it.

A notification carries nothing and proves nothing: it makes the ear ask the log how long it is.  So
one that is lost costs time, and one from a stranger costs a question.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
from collections.abc import Callable
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

log = logging.getLogger("coherence.stores")

HEAD: LiteralString = "SELECT head FROM coherence_meta"
#: How long until a lost connection is made anew, in seconds: at first, and at most.
AGAIN_S: Final = 0.05
AGAIN_S_MAX: Final = 2.0


class Ear:
    """Knows how long the log is, as far as has been heard.  Listens once somebody waits."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], channel: str) -> None:
        self._connect = connect
        self._channel = channel
        self._changed = threading.Condition()
        self._head = 0
        self._wakes = 0
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        #: A byte into one end ends the thread's wait at the other.
        self._ends: tuple[socket.socket, socket.socket] | None = None

    def wait(self, seq: int, timeout_s: float) -> None:
        """Block until the log is known to be longer than `seq`, woken, or the time is over."""
        with self._changed:
            if self._thread is None and not self._closed.is_set():
                self._ends = socket.socketpair()
                self._thread = threading.Thread(
                    target=self._run, args=self._ends[1:], name="coherence-notify", daemon=True
                )
                self._thread.start()
            wakes = self._wakes
            self._changed.wait_for(
                lambda: self._head > seq or self._wakes != wakes or self._closed.is_set(), timeout_s
            )

    def wake(self) -> None:
        """End every wait."""
        with self._changed:
            self._wakes += 1
            self._changed.notify_all()

    def hear(self, head: int) -> None:
        """The log is this long."""
        with self._changed:
            if head > self._head:
                self._head = head
                self._changed.notify_all()

    def close(self) -> None:
        """Listen no longer."""
        self._closed.set()
        self.wake()
        if self._thread is not None and self._ends is not None:
            self._ends[0].send(b"x")
            self._thread.join()
            for end in self._ends:
                end.close()

    def _run(self, far: socket.socket) -> None:
        again_s = AGAIN_S
        while not self._closed.is_set():
            try:
                with self._connect() as conn:
                    conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
                    again_s = AGAIN_S
                    self._listen(conn, far)
            except psycopg.Error as error:
                # Once for an outage: nothing is lost by it but time.
                level = logging.WARNING if again_s == AGAIN_S else logging.DEBUG
                log.log(level, "no notifications for now: %s", error)
                # Whoever waits shall look for himself, and learn what has become of the server.
                self.wake()
                self._closed.wait(again_s)
                again_s = min(2 * again_s, AGAIN_S_MAX)

    def _listen(self, conn: psycopg.Connection[Any], far: socket.socket) -> None:
        # By a handler: what comes while something else is asked is kept for no generator by some
        # releases of psycopg.
        heard: list[psycopg.Notify] = []
        conn.add_notify_handler(heard.append)
        with selectors.DefaultSelector() as ready:
            ready.register(conn.fileno(), selectors.EVENT_READ)
            ready.register(far, selectors.EVENT_READ)
            while not self._closed.is_set():
                heard.clear()
                head = conn.execute(HEAD).fetchone()
                if head is not None:
                    self.hear(head[0])
                # Some came while the answer did, and are not at the socket any more.
                if not heard:
                    ready.select()
