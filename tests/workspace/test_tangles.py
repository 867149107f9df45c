"""Transactions on several homes lock them in one order, so that none has to be run again.

The interleaving is made, not hoped for: the first stops once it has locked a row, and goes on when
the second has locked one too, or waits for that row, whichever the server says.
"""

from __future__ import annotations

import threading

import pytest

from coherence import Workspace
from coherence.stores.faulty import Faulty
from coherence.stores.port import Moved

WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND application_name = 'second'
"""


class Halting(Faulty):
    """A store that says when its first row is loaded, and counts what was given up."""

    def __init__(self, store):
        super().__init__(store)
        self.loaded = threading.Event()
        self.moved = 0
        self.halt = lambda: None

    def transaction(self, *, publishes):
        return Steps(self, self.store.transaction(publishes=publishes))


class Steps:
    def __init__(self, outer, inner):
        self._outer, self._inner = outer, inner

    def __enter__(self):
        self._tx = self._inner.__enter__()
        return self

    def __exit__(self, kind, error, trace):
        self._outer.moved += kind is Moved
        return self._inner.__exit__(kind, error, trace)

    def load(self, artifact):
        stored = self._tx.load(artifact)
        if not self._outer.loaded.is_set():
            self._outer.loaded.set()
            self._outer.halt()
        return stored

    def __getattr__(self, name):
        return getattr(self._tx, name)


@pytest.fixture
def pair(postgres_url):
    """Two workspaces on one database whose agents have read the same artifacts."""
    from coherence.stores.postgres import PostgresStore

    stores = [
        Halting(PostgresStore(f"{postgres_url}&application_name={name}"))
        for name in ("first", "second")
    ]
    rooms = [Workspace(store) for store in stores]
    yield stores, rooms
    for room in rooms:
        room.close()


def interleave(postgres, stores, works):
    """Run `works`: the first is between its first two loads while the second begins."""
    first, second = stores

    def run_second():
        try:
            works[1]()
        finally:
            second.loaded.set()

    thread = threading.Thread(target=run_second)

    def let_second_in():
        thread.start()
        while not (second.loaded.is_set() or postgres.run(WAITING)[0][0]):
            pass

    for store in stores:
        store.loaded.clear()
        store.moved = 0
    first.halt = let_second_in
    works[0]()
    thread.join(60)
    assert not thread.is_alive()
    return [store.moved for store in stores]


def test_two_that_leave_the_same_artifacts_do_not_tangle(postgres, pair):
    stores, rooms = pair
    ann, bob = rooms[0].agent("ann"), rooms[1].agent("bob")
    for name in ("a.md", "b.md"):
        ann.write(name, "text")
    for name in ("b.md", "a.md"):
        bob.read(name)
    assert interleave(postgres, stores, [ann.leave, bob.leave]) == [0, 0]
    assert [row.row.state.sharers for row in map(rooms[0].row, ("a.md", "b.md"))] == [(), ()]
