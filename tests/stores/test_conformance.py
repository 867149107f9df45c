"""Every store keeps every promise, and a store broken on purpose fails at that promise."""

from __future__ import annotations

from collections import defaultdict
from itertools import count
from threading import Event, Lock
from types import MappingProxyType

import pytest
from msgspec.structs import replace

from coherence.errors import StoreFault
from coherence.stores import joint_promises, promises
from coherence.stores.archive import Image
from coherence.stores.backup import fill
from coherence.stores.conformance import ARCHIVE, BASE, EXTENDED, verify
from coherence.stores.memory import MemoryStore
from coherence.stores.port import Entry, HomeRow, Moved, Place
from coherence.stores.promises import publish
from coherence.stores.sqlite import SqliteStore
from coherence.stores.sqlite_transaction import change


def memory(kind=MemoryStore):
    def make():
        store = kind()
        return lambda: store

    return make


def sqlite(folder, kind=SqliteStore):
    numbers = count()

    def make():
        file = folder / f"{next(numbers)}.db"
        return lambda: kind(file)

    return make


def test_memory_keeps_the_base_promises():
    report = verify(memory())
    assert report.kept, report
    assert report.checked == (*BASE, *ARCHIVE)


@pytest.mark.slow
def test_sqlite_keeps_all_promises(tmp_path):
    report = verify(sqlite(tmp_path))
    assert report.kept, report
    assert report.checked == (*BASE, *EXTENDED, *ARCHIVE)


@pytest.mark.slow
def test_postgres_keeps_all_promises(postgres):
    from coherence.stores.postgres import PostgresStore

    def make():
        url = postgres.fresh()
        return lambda: PostgresStore(url)

    report = verify(make)
    assert report.kept, report
    assert report.checked == (*BASE, *EXTENDED, *ARCHIVE)


class Bent:
    """A transaction that can be bent."""

    def __init__(self, inner):
        self.inner = inner

    def __enter__(self):
        self.tx = self.inner.__enter__()
        return self

    def __exit__(self, *error):
        return self.inner.__exit__(*error)

    def __getattr__(self, name):
        return getattr(self.tx, name)


def of(kind, transaction, **attributes):
    """The methods of `kind` with transactions of another kind."""
    made = type("BentTransaction", (transaction,), attributes)
    return {
        "transaction": lambda self, *, publishes: made(kind.transaction(self, publishes=publishes))
    }


def bent(kind, **methods):
    """`kind`, whose transactions do something else."""
    return of(kind, Bent, **methods)


def lose_timers(self, artifact, row, expected):
    self.tx.save(artifact, HomeRow(row.state), expected)


def keep_half(self, kind, error, trace):
    self.inner.__exit__(None, None, None)
    return False


def forget_own(self, artifact, version):
    return None


def ignore_revision(self, artifact, row, expected):
    stored = self.tx.load(artifact)
    self.tx.save(artifact, row, stored.revision if stored else 0)


def lose_update(self, artifact):
    stored = self.tx.load(artifact)
    if stored is not None and stored.revision > 20:
        self.tx.save(artifact, stored.row, stored.revision)
    return stored


def forget_reason(self, artifact, entry, content, previous=None):
    self.tx.publish(artifact, replace(entry, reason=""), content, previous)


class Unlocked(Bent):
    """A transaction that looks without a lock, and takes the lock to write."""

    proves = False

    def __enter__(self):
        self.store, self.seen, self.changes = self.inner._store, {}, []
        self.now = self.store.now()
        return self

    def load(self, artifact):
        if artifact not in self.seen:
            self.seen[artifact] = self.store.row(artifact)
        return self.seen[artifact]

    def load_all(self, artifacts):
        for artifact in artifacts:
            self.load(artifact)

    def absent(self, artifact):
        if self.load(artifact) is not None:
            raise Moved("it is there")

    def count(self):
        return 1_000

    def __getattr__(self, name):
        return lambda *arguments: self.changes.append((name, arguments))

    def __exit__(self, kind, error, trace):
        if kind is None:
            with self.inner as tx:
                for artifact, stored in self.seen.items():
                    if self.proves and stored is not None and tx.load(artifact) != stored:
                        raise Moved(artifact)
                for name, arguments in self.changes:
                    getattr(tx, name)(*arguments)


LOCKS = defaultdict(lambda: defaultdict(Lock))


class LocksAsGiven(Bent):
    """A transaction that locks its rows one by one, in the order in which they are given."""

    def __enter__(self):
        self.tx, self.held = None, []
        return self

    def load_all(self, artifacts):
        for artifact in dict.fromkeys(artifacts):
            LOCKS[self.inner._store][artifact].acquire()
            self.held.append(artifact)
            Event().wait(0.001)

    def __getattr__(self, name):
        if self.tx is None:
            self.tx = self.inner.__enter__()
        return getattr(self.tx, name)

    def __exit__(self, *error):
        try:
            return None if self.tx is None else self.inner.__exit__(*error)
        finally:
            for artifact in self.held:
                LOCKS[self.inner._store][artifact].release()


def cut_one_by_one(self, names, have=MappingProxyType({})):
    place, seen = self.head(), {}
    for name in names:
        seen |= MemoryStore.cut(self, [name], have)[0]
        Event().wait(0.001)
    return seen, place


TICKS = count()
BROKEN = {
    "cut": lambda kind: {"cut": cut_one_by_one},
    "loaded only": lambda kind: of(kind, Unlocked),
    "absent": lambda kind: of(kind, Unlocked, proves=True),
    "many in one order": lambda kind: {
        **of(kind, LocksAsGiven),
        "release": lambda self: (LOCKS.pop(self, None), kind.release(self)),
    },
    "values": lambda kind: bent(kind, save=lose_timers),
    "names": lambda kind: {"names": lambda self, prefix="", *, deleted=False: kind.names(self)},
    "current": lambda kind: {
        "current": lambda self, prefix="", *, after="", at_most=100: kind.current(
            self, prefix, at_most=at_most
        )
    },
    "provenance": lambda kind: bent(kind, publish=forget_reason),
    "looks": lambda kind: {
        "revisions": lambda self, prefix="": [
            (name, self.row(name).revision, True) for name in self.names(prefix)
        ]
    },
    "records": lambda kind: {
        "refuse": lambda self, line, keep: (kind.refuse(self, line, keep), publish(self, "a", "b"))
    },
    "refusals": lambda kind: {"refuse": lambda self, line, keep: kind.refuse(self, line, keep + 1)},
    "tallies": lambda kind: bent(kind, __exit__=keep_half),
    "days": lambda kind: {"tidy": lambda self: 0},
    "atomic": lambda kind: bent(kind, __exit__=keep_half),
    "reads its own": lambda kind: bent(kind, content=forget_own),
    "isolated": lambda kind: bent(kind, save=ignore_revision),
    "concurrent": lambda kind: bent(kind, load=lose_update),
    "ordered": lambda kind: {
        "since": lambda self, place: (found := kind.since(self, place))._replace(
            entries=tuple(reversed(found.entries))
        )
    },
    "sessions": lambda kind: {
        "join": lambda self, agent, *, beyond=None: kind.join(self, agent, beyond=beyond) % 2 + 1
    },
    "living": lambda kind: {"gone": lambda self, member: True},
    "return": lambda kind: {"join": lambda self, agent, *, beyond=None: kind.join(self, agent)},
    "pins": lambda kind: {"pin": lambda self, artifact, version, pinned: version == 1},
    "tidy": lambda kind: {"tidy": lambda self: kind.tidy(self) + 1},
    "undamaged": lambda kind: {"check": lambda self: ["a/b.md: it smells"]},
    "dump": lambda kind: {
        "dump": lambda self, db, progress=None: fill(db, Image("", 0, (), (), ()))
    },
    "clock": lambda kind: {"__init__": backwards(kind), "clock": None},
    "awake": lambda kind: {"wake": lambda self: None},
    "released": lambda kind: {"release": lambda self: None},
    "closed": lambda kind: {"close": lambda self: None},
    "durable": lambda kind: {
        "close": lambda self: (
            (change(self._connections, "DELETE FROM log"), kind.close(self))
            if not self._closed
            else None
        )
    },
    "shared": lambda kind: {"mark": lambda self: 7},
    "one history": lambda kind: {"since": lambda self, place: kind.since(self, Place(place.seq))},
    "marks": lambda kind: {"mark": lambda self: next(TICKS)},
    "heard": lambda kind: {"wait": lambda self, seq, timeout_s: Event().wait(timeout_s)},
}


def backwards(kind):
    ticks = count(1000, -1)

    def init(self, *arguments, **options):
        kind.__init__(self, *arguments, clock=lambda: float(next(ticks)), **options)

    return init


@pytest.mark.slow(fast=3)
@pytest.mark.parametrize("promise", [*BASE, *EXTENDED, *ARCHIVE])
def test_a_store_that_breaks_a_promise_fails_at_that_promise(promise, tmp_path, monkeypatch):
    monkeypatch.setattr(promises, "PATIENCE_S", 0.3)
    if promise not in ("loaded only", "absent"):
        monkeypatch.setattr(joint_promises, "OPEN_S", 0.001)
    kind = SqliteStore if promise in EXTENDED else MemoryStore
    methods = BROKEN[promise](kind)
    methods.pop("clock", None)
    broken = type("BrokenStore", (kind,), methods)
    report = verify(sqlite(tmp_path, broken) if kind is SqliteStore else memory(broken))
    assert promise in report.broken, report


@pytest.mark.slow
def test_a_store_of_several_processes_must_hash(tmp_path):
    report = verify(sqlite(tmp_path, type("BrokenStore", (SqliteStore,), {"hashes": False})))
    assert list(report.broken) == ["shared"]


def test_a_store_that_raises_is_reported_and_not_let_through():
    class Raising(MemoryStore):
        def names(self, prefix="", *, deleted=False):
            raise StoreFault("on purpose")

    report = verify(memory(Raising))
    assert "on purpose" in report.broken["names"]
    assert not report.kept


def test_a_store_of_an_older_shape_is_reported():
    """One without the calls for records, and whose history has no base, overwrite and reason."""

    class Older(MemoryStore):
        tally = refuse = revisions = rows = latest = now = property()

    report = verify(memory(type("Older", (Older,), bent(MemoryStore, publish=forget_reason))))
    assert set(report.broken) >= {"provenance", "looks", "records"}, report
    assert "the versions derive from" in report.broken["provenance"]
    for promise in ("looks", "records"):
        assert "AttributeError" in report.broken[promise]


def test_every_broken_promise_is_tried():
    assert set(BROKEN) == {*BASE, *EXTENDED, *ARCHIVE}
    assert Entry  # what third parties build on stays importable
