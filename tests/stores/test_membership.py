"""Members whose processes end are members no longer; what nobody can tell is a matter of time."""

import json
import random
import re
import sqlite3
import sys
import threading
from contextlib import closing
from functools import partial
from time import monotonic

import pytest
from crowd import PLANS, Crowd
from msgspec.structs import replace
from postgres_link import Link
from typer.testing import CliRunner

from coherence import Workspace
from coherence.cli import app
from coherence.stores import living, membership
from coherence.stores.sqlite import SqliteStore
from coherence.stores.sqlite_membership import LEASE_S

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no process table, no such locks")
PATIENCE_S = 60


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def url(request, tmp_path):
    if request.param == "postgres":
        return request.getfixturevalue("postgres").fresh()
    return f"sqlite:///{tmp_path}/team.db"


@pytest.fixture
def team(url, mortal):
    """A workspace with one agent, and a way to make mortals."""
    with Workspace(url) as workspace:
        workspace.agent("ann")
        workspace.mortal = partial(mortal, url)
        yield workspace


def names(workspace):
    return [member.agent for member in workspace.members()]


def last(store, agent):
    [member] = store.sessions([agent])
    return member


def until(done):
    """A server learns only by and by that a connection has ended, and nobody says when."""
    limit = monotonic() + PATIENCE_S
    while not done():
        assert monotonic() < limit
        threading.Event().wait(0.005)


def elsewhere(member, **other):
    """`member`, as if it lived where another process table counts."""
    return replace(member, life=replace(member.life, space="another table", **other))


@pytest.fixture
def change(url, request):
    """Carries out a statement on the store's tables, whose prefix is ``{}``."""

    def run(statement):
        if url.startswith("sqlite"):
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as db:
                db.execute(statement.format(""))
                db.commit()
        else:
            request.getfixturevalue("postgres").run(statement.format("coherence_"), url)

    return run


# On every store.


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("collected", [False, True], ids=["zombie", "collected"])
def test_a_process_that_was_killed_is_no_member(team, collected):
    store = team._site.store
    bob = team.mortal("bob")
    assert names(team) == ["ann", "bob"]
    assert not store.gone(last(store, "bob"))
    bob.kill(collect=collected)
    until(lambda: store.gone(last(store, "bob")))
    assert names(team) == ["ann"]
    assert not store.gone(last(store, "ann"))


@pytest.mark.slow(fast=1)
def test_a_forked_child_does_not_stand_in_for_its_parent(team):
    bob = team.mortal("bob", "fork")
    bob.kill(collect=False)
    until(lambda: names(team) == ["ann"])


@pytest.mark.slow(fast=1)
def test_a_process_that_is_stopped_is_a_member(team):
    bob = team.mortal("bob")
    bob.stop()
    assert names(team) == ["ann", "bob"]
    assert not team._site.store.gone(last(team._site.store, "bob"))


@pytest.mark.slow(fast=1)
def test_one_of_another_boot_is_a_member_for_a_time(team, monkeypatch):
    team.mortal("bob").kill()
    monkeypatch.setattr(living, "HOST", "another boot")
    store = team._site.store
    assert not store.gone(last(store, "bob"))
    assert "bob" in names(team)


@pytest.mark.parametrize("url", ["sqlite", "postgres"], indirect=True)
def test_what_was_seen_once_counts_where_nobody_can_tell_any_more(team, monkeypatch):
    store = team._site.store
    team.mortal("bob").kill()
    until(lambda: store.gone(last(store, "bob")))
    store.bury(last(store, "bob"))
    monkeypatch.setattr(living, "HOST", "another boot")
    assert store.gone(last(store, "bob"))
    assert "bob" not in names(team)


def test_a_mark_takes_nothing_from_a_process_that_is_seen_to_live(team, url):
    with Workspace(url) as other:
        other.agent("bob")
        store = team._site.store
        store.bury(last(store, "bob"))
        assert not store.gone(last(store, "bob"))
        assert names(team) == ["ann", "bob"]
        other._site.store.renew()
        assert last(store, "bob").ended == 0


@pytest.mark.parametrize("url", ["sqlite", "postgres"], indirect=True)
def test_two_workspaces_of_one_process_end_each_for_itself(team, url):
    with Workspace(url) as other:
        other.agent("bob")
        with Workspace(url) as third:
            third.agent("cyd")
        assert names(team) == ["ann", "bob"]
        assert not team._site.store.gone(last(team._site.store, "bob"))
    assert names(team) == ["ann"]


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("when", ["join", "leave", "gc"])
def test_rows_of_the_dead_are_marked_by_whoever_comes_by_and_go_in_time(
    team, url, when, monkeypatch
):
    store = team._site.store
    team.mortal("bob").kill()
    until(lambda: store.gone(last(store, "bob")))
    with Workspace(url) as other:
        cyd = other.agent("cyd")
        if when != "join":
            other._site.store._membership._sweep_at = 0.0
            cyd.leave() if when == "leave" else other.gc()
        assert last(store, "bob").ended > 0
    monkeypatch.setattr(membership, "KEPT_S", -3600.0)
    store.tidy()
    assert store.sessions(["bob"]) == []
    assert names(team) == ["ann"], "one that lives stays, however long it is silent"


@pytest.mark.slow(fast=1)
def test_status_shows_none_of_those_that_were_killed(team, url):
    team.agent("ann").write("plan.md", "text")
    cyd, dan, eve = (
        team.mortal(name, verb)
        for name, verb in (("cyd", "hold"), ("dan", "queue"), ("eve", "share"))
    )
    until(lambda: len(team.row("plan.md").row.state.queue) == 1)
    shown = CliRunner().invoke(app, ["status", "--store", url, "--json"]).stdout
    assert all(f'"{name}"' in shown for name in ("ann", "cyd", "dan"))
    for each in (cyd, dan, eve):
        each.kill()
    until(lambda: names(team) == ["ann"])
    shown = CliRunner().invoke(app, ["status", "--store", url, "--json"]).stdout
    assert '"ann"' in shown
    assert not [name for name in ("cyd", "dan", "eve") if f'"{name}"' in shown]


def shown(url):
    """The agents that `coherence status` lists, and those that hold, wait for or have a copy."""
    done = CliRunner().invoke(app, ["status", "--store", url, "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    found = {each["agent"] for each in said["agents"]}
    for each in said["artifacts"]:
        found |= {each["holder"], *each["copies"], *(queued["agent"] for queued in each["waiting"])}
    return sorted(found - {""})


@pytest.mark.slow
@pytest.mark.parametrize("tells", ["the kernel", "the lease"])
def test_status_shows_none_of_forty_that_were_killed_at_work(tells, team, url, change, monkeypatch):
    """At once where the kernel or the server tells, else when their leases have run out."""
    for plan in PLANS:
        team.agent("ann").write(plan, "begun\n")
    store, chance = team._site.store, random.Random(16)
    crowd = Crowd(url, 40)
    try:
        assert len(shown(url)) == 41
        head = store.head().seq
        until(lambda: store.head().seq > head + 100)
        for pid in chance.sample(crowd.pids, 40):
            crowd.kill(pid)
        if url.startswith("postgres"):
            until(lambda: names(team) == ["ann"])
        assert shown(url) == ["ann"]
        states = [team.row(plan).row.state for plan in PLANS]
        assert any(state.owner for state in states), "what they held is recorded, and not shown"
        if tells == "the lease":
            monkeypatch.setattr(living, "HOST", "another machine")
            change("UPDATE {}member SET ended = 0")
            assert len(shown(url)) == 41
            change("UPDATE {}member SET until = 1 WHERE agent <> 'ann'")
            assert shown(url) == ["ann"]
    finally:
        crowd.close()


# SQLite: what the lock alone says.


@pytest.fixture
def file(tmp_path):
    return tmp_path / "team.db"


@pytest.fixture
def opened(file):
    stores = []

    def open_one(**settings):
        stores.append(SqliteStore(file, **settings))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


def test_the_lock_tells_across_process_tables(opened, file, mortal):
    store = opened()
    bob = mortal(f"sqlite:///{file}", "bob")
    member = elsewhere(last(store, "bob"))
    assert not store.gone(member)
    bob.kill()
    assert store.gone(member)
    assert not store.gone(elsewhere(last(store, "bob"), host="another boot"))


def test_a_process_that_runs_another_program_now_is_gone(opened, file, mortal):
    store = opened()
    bob = mortal(f"sqlite:///{file}", "bob", "exec")
    assert store.gone(last(store, "bob"))
    bob.kill()


def test_a_store_that_is_dropped_without_a_farewell_is_gone(opened):
    one, two = opened(), opened()
    one.join("bob")
    two.join("cyd")
    one.close()
    assert [member.agent for member in two.members()] == ["cyd"]
    assert two.gone(last(two, "bob"))


def test_a_copy_of_the_folder_made_by_the_process_itself_does_no_harm(opened, file):
    one, two = opened(), opened()
    one.join("bob")
    for each in file.parent.iterdir():
        each.read_bytes()
    assert not two.gone(elsewhere(last(two, "bob")))


@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "replaced"])
def test_a_side_file_that_is_gone_is_no_death_and_is_made_again(opened, file, replaced):
    one, two = opened(), opened()
    one.join("bob")
    two.join("cyd")
    side = one._membership.path
    assert side == file.parent / "team.db-live"
    side.unlink()
    if replaced:
        side.touch()
    bob = elsewhere(last(two, "bob"))
    assert not two.gone(bob)
    assert two._membership.has_ended(bob) is None
    one.wait(0, 0.0)  # its next chance
    two.renew()
    again = elsewhere(last(two, "bob"))
    assert again.life.lock != bob.life.lock
    assert two._membership.has_ended(again) is False
    one.close()
    assert two.gone(again)


def test_where_no_lock_can_be_had_only_the_process_table_tells(opened, file, monkeypatch):
    monkeypatch.setattr("coherence.stores.life_lock.OFD", False)
    one, two = opened(), opened()
    one.join("bob")
    assert last(two, "bob").life.lock == ""
    assert two._membership.has_ended(last(two, "bob")) is False
    one.close()
    assert not two.gone(last(two, "bob")), "its process lives, for all that anybody can tell"
    assert two._membership.has_ended(elsewhere(last(two, "bob"))) is None


def test_a_membership_that_nobody_can_tell_of_is_a_matter_of_time(opened, monkeypatch):
    now = 1_000_000_000.0
    one, two = opened(clock=lambda: now), opened(clock=lambda: now)
    one.join("bob")
    monkeypatch.setattr(two._membership, "has_ended", lambda member: None)
    now += LEASE_S / 2 + 1
    assert [member.agent for member in two.members()] == ["bob"]
    one.wait(0, 0.0)  # a process that does something prolongs it
    now += LEASE_S / 2 + 1
    assert [member.agent for member in two.members()] == ["bob"]
    now += LEASE_S / 2
    assert two.members() == []
    one.renew()
    assert [member.agent for member in two.members()] == ["bob"]


def test_one_that_only_looks_asks_the_same_lock(opened, file, mortal):
    bob = mortal(f"sqlite:///{file}", "bob")
    looking = opened(readonly=True)
    assert [member.agent for member in looking.members()] == ["bob"]
    assert looking._membership.has_ended(elsewhere(last(looking, "bob"))) is False
    bob.kill()
    assert looking.members() == []
    assert looking.gone(elsewhere(last(looking, "bob")))


# PostgreSQL: a lost connection is not a death.


@pytest.fixture
def pair(postgres_url):
    """Two stores on one database, each of which has joined and holds its lock."""
    from coherence.stores.postgres import PostgresStore

    stores = [PostgresStore(postgres_url) for _ in range(2)]
    for store, name in zip(stores, ("bob", "cyd"), strict=True):
        store.join(name)
    until(lambda: all(holds(store) for store in stores))
    yield stores
    for store in stores:
        store.close()


def holds(store):
    return store._connections.life._held


def refusing(asked):
    """Takes no connection for now, and says that one was asked for."""
    import psycopg

    def refuse():
        asked.set()
        raise psycopg.OperationalError("no connection for now")

    return refuse


def cut_the_ear(server, store):
    """As a proxy or an administrator does; the store is left without its lock."""
    key = store.origin
    held = f"locktype = 'advisory' AND (classid::bigint << 32 | objid::bigint) = {key}"
    [(cut,)] = server.run(f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE {held}")
    assert cut


def test_a_connection_that_was_cut_is_no_death_and_is_made_again(postgres, pair):
    one, two = pair
    bob = last(two, "bob")
    connect, asked = one._connections.ear._connect, threading.Event()
    one._connections.ear._connect = refusing(asked)
    cut_the_ear(postgres, one)
    assert asked.wait(PATIENCE_S)
    assert two._membership._is_free(bob) is True, "the lock is lost with its connection"
    assert not two.gone(bob)
    assert [member.agent for member in two.members()] == ["bob", "cyd"]
    assert not two.gone(elsewhere(bob)), "in another process table it is given time"
    one._connections.ear._connect = connect
    until(lambda: holds(one))
    assert two._membership._is_free(last(two, "bob")) is False


def test_one_of_another_process_table_is_gone_when_its_lock_stays_free(postgres, pair, monkeypatch):
    from coherence.stores import postgres_membership as module

    one, two = pair
    bob = elsewhere(last(two, "bob"))
    now = 1000.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    assert two._membership.has_ended(bob) is False
    one.close()
    until(lambda: two._membership._is_free(bob))
    for passed_s in (0.0, 0.5, module.FREE_S - 0.5):
        now = 1000.0 + passed_s
        assert not two.gone(bob)
    now = 1000.0 + module.FREE_S
    assert two.gone(bob)
    assert not two.gone(replace(bob, life=replace(bob.life, host="another machine")))


@pytest.mark.slow
def test_after_a_restart_of_the_server_no_lock_says_anything(postgres, postgres_url, pair, mortal):
    one, two = pair
    dan = mortal(postgres_url, "dan")
    until(lambda: two._membership.has_ended(last(two, "dan")) is False)
    before, killed = last(two, "bob"), last(two, "dan")
    dan.kill()
    until(lambda: two.gone(killed))
    postgres.stop()
    postgres.start()
    until(lambda: answered(lambda: two._membership.has_ended(killed)) == [None])
    assert not two.gone(killed), "its lock was of the server that is no more"
    assert two._membership._is_free(before) is None
    until(lambda: holds(one) and holds(two))
    until(lambda: last(two, "bob").life.lock != before.life.lock)
    assert two._membership._is_free(last(two, "bob")) is False, "taken again"
    assert [member.agent for member in two.members()] == ["bob", "cyd", "dan"]


def answered(ask):
    """What `ask` returns, in a list that is empty where the server does not answer yet."""
    from coherence import StoreFault

    try:
        return [ask()]
    except StoreFault:
        return []


@pytest.mark.slow
def test_a_lock_that_a_lost_connection_still_holds_is_waited_for(postgres, pair):
    """Where the server has not heard yet that the connection is lost."""
    import psycopg

    one, two = pair
    with psycopg.connect(postgres.url(), autocommit=True) as lost:
        connect, asked = one._connections.ear._connect, threading.Event()
        one._connections.ear._connect = refusing(asked)
        cut_the_ear(postgres, one)
        assert asked.wait(PATIENCE_S)
        lost.execute("SELECT pg_advisory_lock(%s)", (one.origin,))
        one._connections.ear._connect = connect
        until(lambda: one._connections.life._keep_at > 0)
        assert not holds(one)
        assert two._membership._is_free(last(two, "bob")) is False
    until(lambda: holds(one))


class Pooler(Link):
    """Promises the client another server process than the one that answers, as a pooler does."""

    def _carry(self, source, sink, last, to_server):
        super()._carry(source, sink if to_server else _Forging(sink), last, to_server)


class _Forging:
    def __init__(self, sink):
        self._sink = sink

    def sendall(self, data):
        self._sink.sendall(
            re.sub(rb"(?s)K\x00\x00\x00\x0c....", b"K\x00\x00\x00\x0c\x00\x00\x11\x11", data)
        )

    def __getattr__(self, name):
        return getattr(self._sink, name)


@pytest.fixture
def pooler(postgres_url):
    with closing(Pooler(postgres_url)) as link:
        yield link


def test_behind_a_pooler_there_are_leases_alone(postgres, postgres_url, pooler, mortal):
    from coherence.stores.postgres import PostgresStore

    dan = mortal(pooler.url, "dan")
    with closing(PostgresStore(pooler.url)) as store:
        store.join("bob")
        until(lambda: store._connections.life._keep_at > 0)
        assert not holds(store)
        assert last(store, "bob").life.lock == last(store, "dan").life.lock == ""
        assert postgres.run("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]
        dan.kill()
        assert store._membership.has_ended(last(store, "dan")) is None
        assert not store.gone(last(store, "dan"))
        assert [member.agent for member in store.members()] == ["bob", "dan"]
        postgres.run("UPDATE coherence_member SET until = 1", postgres_url)
        assert [member.agent for member in store.members()] == ["bob"], "dan is silent too long"


def test_one_of_another_machine_is_a_member_for_as_long_as_it_has_its_lock(
    postgres, postgres_url, pair, monkeypatch
):
    one, two = pair
    monkeypatch.setattr(living, "HOST", "another machine")
    postgres.run("UPDATE coherence_member SET until = 1 WHERE agent = 'bob'", postgres_url)
    assert [member.agent for member in two.members()] == ["bob", "cyd"]
    one.close()
    until(lambda: [member.agent for member in two.members()] == ["cyd"])
