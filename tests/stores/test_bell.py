"""The bell: who waits is rung, whatever the other threads of its process do meanwhile."""

from __future__ import annotations

import errno
import selectors
import threading

import pytest

from coherence.errors import StoreBusy
from coherence.stores import sqlite
from coherence.stores.bell import Bell, ring
from coherence.stores.sqlite import SqliteStore

LONG_S = 3600.0


class Between:
    """The bell's socket; lets another waiter in when the first has taken its ring.

    That one is where it waits when it has asked the socket for anything: for its number, to look
    at it from outside, or to wait for so and so long.
    """

    def __init__(self, inner, let_in):
        self.inner, self.let_in = inner, let_in
        self.first = threading.current_thread()
        self.rings = 0
        self.other_waits = threading.Event()

    def recv(self, size):
        if threading.current_thread() is not self.first:
            return self.inner.recv(size)
        if self.rings == 1:
            self.let_in()
            assert self.other_waits.wait(60)
        self.rings += 1
        return self.inner.recv(size)

    def __getattr__(self, name):
        value = getattr(self.inner, name)

        def call(*arguments):
            done = value(*arguments)
            if threading.current_thread() is not self.first:
                self.other_waits.set()
            return done

        return call


def test_a_waiter_that_comes_in_between_does_not_hold_up_the_one_that_was_rung():
    """Two threads meet here when one ear is about to end and the next has begun."""
    bell = Bell()
    other = threading.Thread(target=bell.wait, args=(LONG_S,), daemon=True)
    ended = threading.Event()

    def first():
        bell._socket = Between(bell._socket, other.start)
        bell.wait(LONG_S)
        ended.set()

    threading.Thread(target=first, daemon=True).start()
    ring([bell.port])
    assert ended.wait(60), "it has its ring, and waits all the same for as long as the other"
    ring([bell.port])
    other.join(60)
    assert not other.is_alive()
    bell.close()


def test_a_ring_is_heard_where_no_descriptor_is_left(monkeypatch):
    """Else each wait ends at once, and the log is looked at without end."""

    def none_left(self):
        raise OSError(errno.EMFILE, "on purpose")

    monkeypatch.setattr(selectors.DefaultSelector, "__init__", none_left)
    bell = Bell()
    ring([bell.port])
    bell.wait(LONG_S)
    with pytest.raises(BlockingIOError):
        bell._socket.recv(1)
    bell.close()


def test_a_bell_that_could_not_be_entered_is_entered_at_the_next_wait(tmp_path, monkeypatch):
    """Else a process that met a busy file once is rung by nobody for minutes."""
    store = SqliteStore(tmp_path / "team.db", clock=lambda: 1000.0)

    def busy(connections, statement, *values):
        raise StoreBusy("on purpose")

    with monkeypatch.context() as patched:
        patched.setattr(sqlite, "write", busy)
        with pytest.raises(StoreBusy):
            store.wait(0, 60.0)
    store.wake()  # so that the wait is over as soon as it begins
    store.wait(0, 60.0)
    assert store._connections.query("SELECT port FROM bell") == [(store._bell.port,)]
    store.close()
