"""Cuts, rows in one order and absence: what the conformance kit does not ask of every store."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, suppress
from functools import partial

import pytest
from postgres_link import Link, Lost

from coherence.errors import StoreCorrupt, StoreFault, StoreNewer, StoreReplaced
from coherence.stores.backup import unpacked
from coherence.stores.opening import open_store, put_back
from coherence.stores.port import Cut, Moved
from coherence.stores.promises import publish, write

SHARED = ["sqlite", "postgres"]
STORES = ["memory", *SHARED]


@pytest.fixture
def url(request, tmp_path):
    """Where a new store is."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/team.db"


@pytest.fixture
def store(url):
    with closing(open_store(url)) as opened:
        yield opened


@pytest.fixture
def spoil(request, url, tmp_path):
    """Changes a table behind the store's back; its names are those of SQLite."""

    def change(statement):
        if url.startswith("sqlite:"):
            with closing(sqlite3.connect(tmp_path / "team.db")) as db, db:
                db.execute(statement)
            return
        for theirs, ours in (
            ("artifact ", "coherence_artifact "),
            ("history ", "coherence_history "),
            ("slot & 255", "version"),
            ("meta ", "coherence_meta "),
            ("x'00'", "'\\x00'::bytea"),
        ):
            statement = statement.replace(theirs, ours)
        request.getfixturevalue("postgres").run(statement, url)

    return change


def versions(seen):
    return {name: each.version for name, each in seen.items()}


# What a cut holds.


@pytest.mark.parametrize("url", STORES, indirect=True)
def test_64_names_in_one_cut(store):
    names = [f"src/{number}.md" for number in range(64)]
    with store.transaction(publishes=True) as tx:
        tx.load_all(names)
        for name in names:
            write(tx, name, f"text of {name}")
    first, place = store.cut(names[::-1])
    assert list(first) == names[::-1]
    assert {name: each.content for name, each in first.items()} == {
        name: f"text of {name}" for name in names
    }
    have = {name: (1, first[name].entry.handle.digest) for name in names[::2]}
    publish(store, names[0], "again")
    seen, later = store.cut(names, have)
    assert [name for name in names if seen[name].content is None] == names[2::2]
    assert seen[names[0]].content == "again"
    assert [line.artifact for line in store.since(place).entries] == [names[0]]
    assert later == store.head()
    listed, place = store.listing("src/")
    assert listed == {name: seen[name].entry for name in sorted(names)}
    assert place == later


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("url", STORES, indirect=True)
def test_contents_of_16_mb(store):
    contents = {"a": "\U0001f642" * (4 << 20), "b": bytes(range(256)) * (1 << 16), "c": "short"}
    for name, content in contents.items():
        publish(store, name, content)
    seen, _ = store.cut(contents)
    assert all(seen[name].content == content for name, content in contents.items())
    held = {name: (1, seen[name].entry.handle.digest) for name in "ab"}
    again, _ = store.cut(contents, held)
    assert [again[name].content for name in contents] == [None, None, "short"]


@pytest.mark.parametrize("url", STORES, indirect=True)
def test_a_version_that_no_store_can_hold_is_not_held(store):
    publish(store, "a", "one")
    digest = store.cut(["a"])[0]["a"].entry.handle.digest
    for version in (-1, 0, 2, 1 << 32, (1 << 63) - 1, 1 << 63, 1 << 200):
        assert store.cut(["a"], {"a": (version, digest)})[0]["a"].content == "one"


@pytest.mark.parametrize("url", STORES, indirect=True)
def test_a_cut_waits_for_no_transaction_of_another_thread(store):
    """But on memory: there a transaction is over in microseconds."""
    publish(store, "a", "one")
    with store.transaction(publishes=True) as tx:
        tx.load_all(["a", "b"])
        tx.absent("b")
        write(tx, "a", "two")
        if store.shared:
            seen, place = store.cut(["a", "b"])
            assert versions(seen) == {"a": 1, "b": 0}
            assert seen["a"].content == "one"
            assert place == store.head()
            assert list(store.listing()[0]) == ["a"]
    assert store.cut(["a"])[0]["a"].content == "two"


# Another history, another store.


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_a_version_of_a_lost_history_is_not_held(url, store, tmp_path):
    publish(store, "a", "one")
    with closing(sqlite3.connect(tmp_path / "backup.db", isolation_level=None)) as db:
        store.dump(db)
    publish(store, "a", "lost")
    publish(store, "lost", "lost")
    seen, before = store.cut(["a", "lost"])
    held = {name: (each.version, each.entry.handle.digest) for name, each in seen.items()}
    with unpacked(tmp_path / "backup.db") as backup:
        put_back(backup, url)
    with closing(open_store(url)) as other:
        publish(other, "a", "two")
    if url.startswith("sqlite:"):  # the open file is no longer the one at the path
        with suppress(StoreFault):
            store.mark()
    seen, place = store.cut(["a", "lost"], held)
    assert seen["a"].content == "two"
    assert seen["lost"] == Cut()
    assert place.generation != before.generation
    assert store.since(before).foreign


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_a_cut_of_another_store_is_refused(url, store, tmp_path):
    publish(store, "a", "one")
    with closing(open_store("memory://")) as other:
        publish(other, "a", "of another")
        with closing(sqlite3.connect(tmp_path / "backup.db", isolation_level=None)) as db:
            other.dump(db)
    with unpacked(tmp_path / "backup.db") as backup:
        put_back(backup, url)
    for look in (lambda: store.cut(["a"]), lambda: store.cut([]), store.listing):
        with pytest.raises(StoreReplaced):
            look()


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_a_cut_of_a_newer_schema_is_refused(url, store, spoil):
    publish(store, "a", "one")
    spoil(
        "PRAGMA user_version = 99"
        if url.startswith("sqlite:")
        else "UPDATE meta SET schema_version = 99"
    )
    for look in (lambda: store.cut(["a"]), store.listing):
        with pytest.raises(StoreNewer):
            look()


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_who_only_looks_has_cuts_too(url, store):
    publish(store, "a", "one")
    digest = store.cut(["a"])[0]["a"].entry.handle.digest
    with closing(open_store(url, create=False, readonly=True)) as reader:
        assert reader.cut(["a", "no"])[0] == store.cut(["a", "no"])[0]
        publish(store, "a", "two")
        seen, place = reader.cut(["a"], {"a": (1, digest)})
        assert seen["a"].content == "two"
        assert place == store.head()
        assert reader.listing() == store.listing()


# Damage.

DAMAGES = [
    "DELETE FROM history WHERE slot & 255 = 2",
    "UPDATE history SET body = x'00' WHERE slot & 255 = 2",
    "UPDATE history SET digest = x'00' WHERE slot & 255 = 2",
    "UPDATE history SET kind = 'music' WHERE slot & 255 = 2",
    "UPDATE history SET whole = NOT whole WHERE slot & 255 = 2",
    "UPDATE artifact SET version = 1 WHERE name = 'a'",
    "UPDATE artifact SET home = x'00' WHERE name = 'a'",
]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_a_damaged_version_is_in_no_cut(store, spoil, damage):
    publish(store, "a", "one")
    publish(store, "a", "two")
    publish(store, "b", "one")
    digest = store.cut(["a"])[0]["a"].entry.handle.digest
    spoil(damage)
    with pytest.raises(StoreCorrupt):
        store.cut(["a", "b"])
    assert store.cut(["b"])[0]["b"].content == "one"
    if "body" not in damage and "whole" not in damage:
        with pytest.raises(StoreCorrupt):
            store.cut(["a"], {"a": (2, digest)})
    if "DELETE" in damage or "kind" in damage:
        with pytest.raises(StoreCorrupt):
            store.listing()


# PostgreSQL: round trips, connections, locks.


@pytest.fixture
def link(postgres_url):
    made = Link(postgres_url)
    yield made
    made.close()


def trips(link, call):
    """The statements of each round trip that `call` waits for."""
    return [trip for trip in link.during(call) if "RING" not in trip]


def test_what_takes_one_round_trip_on_postgres(link):
    with closing(open_store(link.url)) as store:
        names = [f"n/{number}" for number in range(20)]
        for name in names:
            publish(store, name, f"{name} " * 1_000)
        assert trips(link, lambda: store.cut(names)) == [["CUT"]]
        assert trips(link, lambda: store.listing("n/")) == [["LISTING"]]


@pytest.mark.parametrize("statement", ["CUT", "LISTING", "LOCK_ALL", "FOUNDED"])
def test_no_statement_is_compiled_for_its_price(postgres, postgres_url, opened, statement):
    """Which takes half a second: the server does so if it expects many rows."""
    from coherence.stores import postgres_sql

    publish(opened(), "a", "one")
    text = getattr(postgres_sql, statement).sql.decode().replace("$1", '\'[["a", 0, ""]]\'')
    if statement in ("LOCK_ALL", "FOUNDED"):
        text = text.replace('[["a", 0, ""]]', '["a"]')
    [[[plan]]] = postgres.run(f"EXPLAIN (FORMAT JSON) {text}", postgres_url)
    [[least]] = postgres.run("SHOW jit_above_cost", postgres_url)
    assert plan["Plan"]["Total Cost"] < int(least) / 10


@pytest.mark.parametrize("number", [1, 8, 50])
def test_a_transaction_on_any_number_of_artifacts_is_three_round_trips(link, number):
    """As many are written, are new, are only read, are read and missing."""
    with closing(open_store(link.url)) as store:
        written, new, read, missing = (
            [f"{kind}/{each}" for each in range(number)]
            for kind in ("written", "new", "read", "missing")
        )
        for name in (*written, *read):
            publish(store, name, "one")

        def commit():
            with store.transaction(publishes=True) as tx:
                tx.load_all([*written, *new, *read, *missing])
                for name in (*written, *new):
                    assert tx.count() >= 2 * number
                    write(tx, name, "two")
                for name in missing:
                    tx.absent(name)

        saved = ["UPDATE", "PUBLISH"] * number + ["INSERT", "PUBLISH"] * number
        asked, counted, *rest = trips(link, commit)
        assert (asked, counted) == (["BEGIN", "LOCK_ALL"], ["COUNT", "FOUNDED"])
        # Of many statements the server may answer the first while the last are being sent.
        assert len(rest) == 1 or number > 8
        assert [each for trip in rest for each in trip] == [
            *saved,
            *["APPEND"] * 2 * number,
            "COMMIT",
        ]
        assert store.cut(new)[0][new[-1]].content == "two"


@pytest.mark.parametrize("lost", Lost)
@pytest.mark.parametrize("statement", [b"CUT\0", b"LISTING\0"])
def test_a_cut_whose_connection_is_cut_is_answered(link, lost, statement):
    with closing(open_store(link.url)) as store:
        publish(store, "a", "one")
        look = (lambda: store.cut(["a"])) if statement == b"CUT\0" else store.listing
        seen = look()
        link.arm(statement, lost)
        assert look() == seen


@pytest.mark.parametrize("lost", Lost)
@pytest.mark.parametrize("statement", [b"LOCK_ALL\0", b"FOUNDED\0"])
def test_a_cut_before_anything_was_saved_is_run_again(link, lost, statement):
    with closing(open_store(link.url)) as store:
        publish(store, "a", "one")

        def work():
            with store.transaction(publishes=True) as tx:
                tx.load_all(["a", "b"])
                tx.absent("b")
                write(tx, "a", "two")

        work()
        link.arm(statement, lost)
        with suppress(Moved):
            work()
        link.mend()
        assert store.row("a").row.state.version in (2, 3)
        work()
        assert store.cut(["a", "b"])[0]["b"] == Cut()


def deadlocks(works):
    """The deadlocks that the server found while these transactions ran, each in its thread."""
    from psycopg.errors import DeadlockDetected

    moved, failed = [], []

    def carry_out(transactions):
        try:
            for store, work in transactions:
                while True:
                    try:
                        with store.transaction(publishes=True) as tx:
                            work(tx)
                        break
                    except Moved as error:
                        moved.append(error)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=carry_out, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    return [error for error in moved if isinstance(error.__cause__, DeadlockDetected)]


def test_an_artifact_that_appears_is_not_locked_after_the_others(opened):
    """Its maker has its row, and waits for the lock that absence has."""

    def derive(written, found, tx):
        tx.load_all([written, found])
        if tx.load(found) is None:
            tx.absent(found)
        write(tx, written, found)

    works = [
        [(store, partial(derive, f"{a}/{number}", f"{b}/{number}")) for number in range(15)]
        for store, (a, b) in zip([opened() for _ in range(4)], ["xy", "yx"] * 2, strict=True)
    ]
    assert deadlocks(works) == []


def test_rows_are_locked_in_one_order(opened):
    names = [f"n/{number}" for number in range(8)]
    stores = [opened() for _ in range(4)]
    for name in names:
        publish(stores[0], name, "")

    def touch(order, tx):
        tx.load_all(order)
        write(tx, order[0], "")

    works = [
        [(store, partial(touch, order)) for _ in range(15)]
        for store, order in zip(stores, [names, names[::-1]] * 2, strict=True)
    ]
    assert deadlocks(works) == []


def test_a_row_is_made_under_the_lock_that_absence_has(opened, postgres):
    """A maker that has not counted waits for that lock before it inserts: no deadlock."""
    one, two = opened(), opened()
    refused = []

    def make():
        try:
            publish(two, "a", "of two")
        except Moved as error:
            refused.append(error)

    maker = threading.Thread(target=make)
    with one.transaction(publishes=True) as tx:
        tx.load_all(["a", "b"])
        tx.absent("b")
        maker.start()
        while postgres.run("SELECT count(*) FROM pg_locks WHERE NOT granted") == [(0,)]:
            assert maker.is_alive()
        write(tx, "a", "of one")
    maker.join()
    assert [type(error.__cause__).__name__ for error in refused] == ["UniqueViolation"]
    assert one.cut(["a"])[0]["a"].content == "of one"
