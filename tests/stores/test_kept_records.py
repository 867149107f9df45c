"""Refused writes and tallies, and looks at many artifacts, on each store of this package."""

from __future__ import annotations

import logging
import re
import sqlite3
from contextlib import closing

import pytest

from coherence import Workspace
from coherence.contents import Limits, check_content
from coherence.errors import StoreCorrupt, StoreFault, StoreReadOnly, UsedAfterFork
from coherence.runtime.forks import StoreOfParent
from coherence.states import HomeState
from coherence.stores.backup import back_up, unpacked
from coherence.stores.faulty import Crash, Faulty
from coherence.stores.memory import MemoryStore
from coherence.stores.opening import open_store, put_back
from coherence.stores.port import Entry, HomeRow
from coherence.stores.promises import publish
from coherence.stores.records import (
    DAY_S,
    RefusedWrite,
    Tally,
    day_of,
    first_day_kept,
    is_day,
)
from coherence.stores.sqlite import SqliteStore

STORES = ["memory", "sqlite", "postgres"]
SHARED = STORES[1:]
LINE = RefusedWrite("plan.md", "bob", 12.5, 1, 2, "fenced", "tidy\0\ud800 up", 9, "-a\n+b\0\n")
DONE = Tally("2026-11-29", "ann", "plan.md", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
HOW = {"base": 0, "overwrite": True, "reason": "begun again"}


@pytest.fixture
def url(request, tmp_path):
    """Where a new store is."""
    kind = request.param
    if kind == "postgres":
        return request.getfixturevalue("postgres").fresh()
    return "memory://" if kind == "memory" else f"sqlite:///{tmp_path}/team.db"


def fill(store):
    """Two versions and a record of each kind."""
    publish(store, "plan.md", "one")
    handle = check_content("two", Limits())
    with store.transaction(publishes=True) as tx:
        tx.save("plan.md", HomeRow(HomeState(version=2, content=handle)), 1)
        tx.publish("plan.md", Entry(2, handle, "bob", tx.now, **HOW), "two")
        tx.append("plan.md", 2, "bob", ())
        tx.tally([DONE])
    store.refuse(LINE, 10)


def records(store):
    return store.refusals(), store.tallies(), store.history("plan.md")


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_characters_that_a_store_cannot_hold_are_replaced(url):
    with closing(open_store(url)) as store:
        fill(store)
        [line] = store.refusals()
        assert (line.reason, line.attempt) == ("tidy\u2400? up", "-a\n+b\u2400\n")
        handle = check_content("three", Limits())
        with store.transaction(publishes=True) as tx:
            tx.save("plan.md", HomeRow(HomeState(version=3, content=handle)), 2)
            tx.publish("plan.md", Entry(3, handle, "bob", tx.now, reason="a\0b"), "three")
        assert store.latest(["plan.md"])["plan.md"].reason == "a\u2400b"


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_a_store_that_is_only_read_shows_everything(url):
    with closing(open_store(url)) as store:
        fill(store)
        seen = records(store), store.revisions(), store.rows(["plan.md"]), store.latest(["plan.md"])
    with closing(open_store(url, create=False, readonly=True)) as store:
        assert seen == (
            records(store),
            store.revisions(),
            store.rows(["plan.md"]),
            store.latest(["plan.md"]),
        )
        assert is_day(day_of(store.now()))
        for write in (lambda: store.refuse(LINE, 1), lambda: store.tally([DONE])):
            with pytest.raises(StoreReadOnly):
                write()
        assert records(store) == seen[0]


@pytest.mark.parametrize("url", STORES, indirect=True)
def test_a_closed_store_refuses_looks_and_records(url):
    store = open_store(url)
    fill(store)
    store.close()
    calls = [lambda: store.refuse(LINE, 1), lambda: store.tally([DONE])]
    if url != "memory://":
        calls += [store.now, store.revisions, store.refusals, store.tallies]
        calls += [lambda: store.rows(["plan.md"]), lambda: store.latest(["plan.md"])]
    for call in calls:
        with pytest.raises(StoreFault):
            call()


# Backups.


@pytest.mark.parametrize("url", STORES, indirect=True)
@pytest.mark.parametrize("kind", SHARED)
def test_records_and_provenance_travel_with_a_backup(url, kind, tmp_path, request):
    file = tmp_path / "backup.db"
    with closing(open_store(url)) as store:
        fill(store)
        [line], *_ = seen = records(store)
        back_up(store, file)
        store.refuse(LINE, 10)
        store.tally([DONE])
    into = f"sqlite:///{tmp_path}/new.db"
    if kind == "postgres":
        into = request.getfixturevalue("postgres").fresh()
    with closing(open_store(into)) as store:
        fill(store)
        fill_more(store)
    with unpacked(file) as backup:
        put_back(backup, into)
    with closing(open_store(into)) as store:
        lines, tallies, entries = records(store)
        assert tallies == seen[1] == [DONE]
        if url == "memory://":  # its times become those of the wall
            assert lines[0].at > 1e9
        else:
            assert lines == [line]
        assert [line.attempt for line in lines] == ["-a\n+b\u2400\n"]
        assert [{name: getattr(entry, name) for name in HOW} for entry in entries] == [
            {"base": 0, "overwrite": False, "reason": ""},
            HOW,
        ]
        assert list(store.check()) == []
        store.refuse(LINE, 10)
        store.tally([DONE])
        assert len(store.refusals()) == 2
        assert store.tallies()[0].full == 2


def fill_more(store):
    """What the backup does not have."""
    store.refuse(LINE, 10)
    store.tally([Tally("2026-11-28", "eve", "plan.md", full=1)])


# Failures.


@pytest.mark.parametrize("url", STORES, indirect=True)
def test_a_crash_at_any_moment_keeps_tallies_and_versions_together(url):
    """A tally counts a write, so neither is kept without the other."""

    def work(store):
        with store.transaction(publishes=True) as tx:
            stored = tx.load("plan.md")
            version = stored.row.state.version + 1 if stored else 1
            handle = check_content("text", Limits())
            row = HomeRow(HomeState(version=version, content=handle))
            tx.save("plan.md", row, stored.revision if stored else 0)
            tx.publish("plan.md", Entry(version, handle, "ann", tx.now), "text")
            tx.append("plan.md", version, "ann", ())
            tx.tally([Tally("2026-11-29", "ann", "plan.md", writes=1)])

    with closing(open_store(url)) as store:
        work(store)
        whole = Faulty(store)
        work(whole)
        for moment in range(1, whole.moments + 1):
            with pytest.raises(Crash):
                work(Faulty(store, moment))
            store.release()
            assert store.tallies()[0].writes == len(store.history("plan.md"))


@pytest.mark.parametrize("call", ["tally", "refuse"])
def test_a_failing_store_fails_before_a_record(call):
    faulty = Faulty(MemoryStore(), at=1)
    with pytest.raises(Crash):
        faulty.tally([DONE]) if call == "tally" else faulty.refuse(LINE, 1)
    assert faulty.store.tallies() == faulty.store.refusals() == []


def test_the_store_of_a_parent_process_refuses_looks_and_records():
    store = StoreOfParent(MemoryStore(), UsedAfterFork("this is a child"))
    for name in ("tally", "refuse", "now", "revisions", "rows", "latest", "refusals", "tallies"):
        with pytest.raises(UsedAfterFork):
            getattr(store, name)


# Days.


def test_days_are_those_of_utc():
    assert day_of(0.0) == "1970-01-01"
    assert day_of(1_795_910_399.0) == "2026-11-28"
    assert day_of(1_795_910_400.0) == "2026-11-29"
    assert first_day_kept(1_795_910_400.0) == "2026-08-31"
    for text in ("", "20261129", "2026-11-31", "2026-W01-1", "2026-11-29T00", "today"):
        assert not is_day(text)


def test_a_store_closes_its_days_by_its_own_clock(tmp_path):
    now = 1_795_910_399.0
    with closing(SqliteStore(tmp_path / "team.db", clock=lambda: now)) as store:
        store.tally([Tally("", "ann", name, hits=1) for name in ("a", "b")])
        now += 1.0
        store.tally([Tally("", "ann", "a", hits=1)])
        assert [row.day for row in store.tallies()] == ["2026-11-28"] * 2 + ["2026-11-29"]
        now = 1_795_910_400.0 + 90 * DAY_S
        store.tidy()
        assert store.tallies() == [
            Tally("2026-11-28", "ann", "", hits=2),
            Tally("2026-11-29", "ann", "a", hits=1),
        ]


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_old_days_are_folded_without_upkeep(url):
    """By the first tally that an opening adds by itself, as an agent leaves."""
    old = Tally("2001-02-03", "ann", "a", hits=1)
    with closing(open_store(url)) as store:
        store.tally([old])
        store.tally([old])
        assert [row.artifact for row in store.tallies()] == ["", "a"]
    with closing(open_store(url)) as store:
        store.tally([])
        assert store.tallies() == [Tally("2001-02-03", "ann", "", hits=2)]


# Damage.


@pytest.mark.parametrize("url", SHARED, indirect=True)
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE {}tally SET hits = -1", "the tallies: .* negative"),
        ("UPDATE {}tally SET day = 'soon'", "the tallies: .* 'soon' is not a day"),
        ("UPDATE {}refusal SET kind = 'music'", "the refused writes: .* 'music'"),
    ],
)
def test_damaged_records_are_found(url, statement, said, caplog):
    caplog.set_level(logging.CRITICAL, "coherence")
    with closing(open_store(url)) as store:
        fill(store)
        assert list(store.check()) == []
        damage(url, statement)
        [found] = store.check()
        assert re.match(said, found)
        with pytest.raises(StoreCorrupt):
            store.tallies() if "tally" in statement else store.refusals()


def damage(url, statement):
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as db:
            db.execute(statement.format(""))
            db.commit()
    else:
        import psycopg

        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(statement.format("coherence_"))


@pytest.mark.parametrize("drop", ["DROP TABLE tally", "ALTER TABLE refusal DROP COLUMN attempt"])
def test_a_file_without_its_records_is_found(drop, tmp_path):
    url = f"sqlite:///{tmp_path}/team.db"
    with Workspace(url) as workspace:
        workspace.agent("ann").write("plan.md", "one")
    damage(url, drop)
    with closing(open_store(url, create=False, readonly=True)) as store:
        found = list(store.check())
    assert any(line.startswith("the tables: ") for line in found), found
