"""Histories on PostgreSQL: servers that go back in time, and tables of an older release."""

from pathlib import Path

import msgspec
import psycopg
import pytest
from postgres_link import Link
from postgres_stores import ends, publish, waiting

from coherence import Lazy, Workspace
from coherence.errors import StoreNewer, StoreOlder, StoreReadOnly
from coherence.stores import postgres_schema
from coherence.stores.opening import open_store
from coherence.stores.port import Place
from coherence.stores.postgres import PostgresStore
from coherence.stores.postgres_schema import MIGRATIONS, SCHEMA

DATA = Path(__file__).parent / "data"


# Timelines.


@pytest.mark.slow
def test_another_timeline_of_the_server_is_another_history(postgres, postgres_url, opened):
    """Each new connection asks which it is; the first that finds another draws a generation."""
    one, two = opened(), opened()
    publish(one, "plan.md", "1")
    places = [store.head() for store in (one, two)]
    [(timeline,)] = postgres.run("SELECT timeline FROM coherence_meta", postgres_url)
    assert timeline == "00000001"
    postgres.run("UPDATE coherence_meta SET timeline = '00000009'", postgres_url)
    assert not one.since(places[0]).foreign, "as long as its connections live"
    postgres.cut()
    for store, place in zip((one, two), places, strict=True):
        changes = store.since(place)
        assert changes.foreign
        assert changes.place.generation not in (0, place.generation)
    [(timeline, generation)] = postgres.run(
        "SELECT timeline, generation FROM coherence_meta", postgres_url
    )
    assert timeline == "00000001"
    three = opened()
    assert three.head().generation == generation, "it is drawn once"


def test_the_same_timeline_keeps_the_generation(postgres, opened):
    store = opened()
    publish(store, "plan.md", "1")
    place = store.head()
    postgres.stop()
    postgres.start()
    assert not store.since(place).foreign
    assert store.head() == place


def test_a_server_that_does_not_tell_its_timeline_keeps_the_generation(postgres, opened):
    """As some that are hosted do, and some roles may not ask."""
    revoke = "REVOKE EXECUTE ON FUNCTION pg_walfile_name(pg_lsn) FROM PUBLIC"
    url = postgres.fresh()
    schema = url.rsplit("%3D", 1)[1]
    postgres.run(revoke)
    try:
        postgres.run(f"CREATE ROLE plain LOGIN; GRANT ALL ON SCHEMA {schema} TO plain")
        store = opened(url=url.replace("tester@", "plain@"))
        publish(store, "plan.md", "1")
        place = store.head()
        postgres.cut()
        assert not store.since(place).foreign
        assert postgres.run("SELECT timeline FROM coherence_meta", url) == [("",)]
    finally:
        postgres.run(revoke.replace("REVOKE", "GRANT").replace("FROM", "TO"))


@pytest.mark.slow
def test_a_hot_standby_is_read_and_what_a_failover_loses_is_noticed(postgres, opened):
    primary = type(postgres)(postgres._programs)
    link = Link(primary.fresh())
    one = two = None
    try:
        one = opened(url=link.url)
        publish(one, "plan.md", "1")
        place = one.head()
        standby = primary.standby()
        try:
            schema = link.url.rsplit("%3D", 1)[1]
            looking = open_store(standby.url(schema), create=False, readonly=True)
            assert looking.read("plan.md", 1)[1] == "1"
            assert looking.names() == ["plan.md"]
            assert looking.since(Place(0)).entries[0].version == 1
            assert list(looking.check()) == []
            thread = waiting(looking, 1)
            assert ends(thread), "it takes no listeners: it is looked at"
            with pytest.raises(StoreReadOnly, match="primary"):
                looking.join("ann")
            looking.close()
            with pytest.raises(StoreReadOnly):
                PostgresStore(standby.url(schema)).join("ann")

            standby.stop()
            publish(one, "plan.md", "lost")
            primary.stop("immediate")
            standby.start()
            standby.promote()
            link.lead_to(standby.url(schema))
            two = opened(url=link.url)
            assert publish(two, "plan.md", "stands") == 2
            assert one.since(place).foreign
            assert [two.read("plan.md", version)[1] for version in (1, 2)] == ["1", "stands"]
            [(timeline,)] = standby.run("SELECT timeline FROM coherence_meta", link.url)
            assert timeline == "00000002"
            one.close()
            two.close()
        finally:
            standby.close()
    finally:
        primary.close()
        link.close()


# Schema 1.


@pytest.fixture
def schema_1(postgres_url):
    """A database as commit f5ca753 made it, its two processes gone in the middle of a draft."""
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute((DATA / "schema-1.sql").read_text())
    return postgres_url


IDENTITY = "a61226a5c087471c"
TEXT = "".join(f"line {number}\n" for number in range(80))
PLAN = [
    TEXT,
    TEXT.replace("line 7\n", "line seven\n"),
    TEXT.replace("line 7\n", "line seven\n") + "more\n",
    TEXT + "still more\n",
]


def test_a_database_of_schema_1_is_read_whole(postgres, schema_1):
    with Workspace(schema_1) as workspace:
        assert (
            workspace.identity
            == postgres.run("SELECT identity FROM coherence_meta", schema_1)[0][0]
        )
        agent = workspace.agent("carl")
        assert workspace.names() == ["data.bin", "draft.md", "long.md", "notes/ü.md", "plan.md"]
        assert workspace.names(deleted=True) == [*workspace.names()[:4], "old.md", "plan.md"]
        assert [agent.read("plan.md", version=n).text for n in range(1, 5)] == PLAN
        assert [entry.pinned for entry in workspace.history("plan.md")] == [
            True,
            False,
            False,
            False,
        ]
        assert agent.read("long.md", version=1).text == TEXT
        assert agent.read("long.md").text == TEXT + "end\n"
        assert agent.read("notes/ü.md").text == "Grüße\n"
        assert agent.read("data.bin").content == bytes(range(64))
        assert [member.agent for member in workspace.members()] == ["ann", "bob", "carl"]
        assert workspace.check() == []
        store = workspace._site.store
        lines = store.since(Place(0)).entries
        assert [change.seq for change in lines] == list(range(1, len(lines) + 1))
        assert len({change.number for change in lines} - {0}) == len(lines)
        assert [change.author for change in lines if not change.artifact] == ["ann", "bob", "carl"]
    assert postgres.run("SELECT schema_version FROM coherence_meta", schema_1) == [(SCHEMA,)]


def test_a_database_of_schema_1_is_written_to(schema_1):
    with Workspace(schema_1, policy=Lazy(grant_lease=0.5)) as workspace:
        agent = workspace.agent("carl")
        agent.read("plan.md")
        assert str(agent.write("plan.md", "five")) == "plan.md@5"
        assert str(agent.write("old.md", "again", overwrite=True)) == "old.md@3"
        agent.write("new.md", "new")
        # Its holder is gone for longer than the lease, and so is the one that waits.
        view = agent.update("draft.md", lambda text: text + " third")
        assert view.text == "first third"
        with agent.edit("draft.md") as draft:
            draft.text = "under a grant"
        assert agent.rename("long.md", "short.md").name == "short.md"
        assert workspace.check() == []
        assert workspace.agent("ann").read("draft.md").text == "under a grant"


def test_a_database_of_schema_1_is_not_touched_by_who_only_looks(postgres, schema_1):
    with pytest.raises(StoreOlder, match="upgrade"):
        PostgresStore(schema_1, readonly=True)
    assert postgres.run("SELECT schema_version FROM coherence_meta", schema_1) == [(1,)]
    PostgresStore(schema_1, create=False).close()
    assert postgres.run("SELECT schema_version FROM coherence_meta", schema_1) == [(SCHEMA,)]


def test_a_place_of_before_the_migration_is_one_of_after_it(opened, schema_1):
    """A process that knew nothing but the number of a line goes on from there."""
    changes = opened().since(Place(7))
    assert (changes.gap, changes.foreign) == (False, False)
    assert changes.entries[0].seq == 8


# Schema 2.


@pytest.fixture
def schema_2(postgres_url):
    """A database as commit a923444 made it, its two processes killed in the middle of a draft."""
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute((DATA / "schema-2.sql").read_text())
    return postgres_url


def test_a_database_of_schema_2_is_read_and_written(postgres, schema_2):
    with pytest.raises(StoreOlder, match="upgrade"):
        PostgresStore(schema_2, readonly=True)
    with Workspace(schema_2, policy=Lazy(grant_lease=1.0)) as workspace:
        store = workspace._site.store
        assert workspace.identity == "1ad98024fa574bc1"
        assert workspace.names() == ["again.md", "code.bin", "held.md", "notes/ü.md", "plan.md"]
        versions = [store.read("plan.md", number)[1] for number in range(1, 6)]
        assert [len(text) for text in versions] == [630, 634, 639, 646, 6]
        entries = [entry for name in workspace.names() for entry in workspace.history(name)]
        assert {(entry.base, entry.overwrite, entry.reason) for entry in entries} == {
            (0, False, "")
        }
        assert store.refusals() == store.tallies() == []
        held = workspace.row("held.md").row.state
        assert (held.owner, [waiter.cache for waiter in held.queue]) == ("ann", ["bob"])
        agent = workspace.agent("carl")
        assert str(agent.update("plan.md", lambda text: text + "more\n").ref) == "plan.md@6"
        assert str(agent.write("notes/old.md", "back", overwrite=True)) == "notes/old.md@3"
        assert workspace.check() == []
    assert postgres.run("SELECT schema_version FROM coherence_meta", schema_2) == [(SCHEMA,)]


def test_a_struct_is_changed_by_a_function(postgres, schema_2, monkeypatch):
    """As on SQLite: each row is decoded and written again, all or nothing."""

    def rename_author(conn):
        for name, data in conn.execute("SELECT name, home FROM coherence_artifact").fetchall():
            row = msgspec.msgpack.decode(data)
            row[1]["owner"] = row[1].get("owner", "").upper()
            change = "UPDATE coherence_artifact SET home = %s WHERE name = %s"
            conn.execute(change, (msgspec.msgpack.encode(row), name))

    def fail(conn):
        rename_author(conn)
        raise ZeroDivisionError

    version = "SELECT schema_version FROM coherence_meta"
    for last in (fail, rename_author):
        monkeypatch.setattr(postgres_schema, "MIGRATIONS", (*MIGRATIONS, last))
        monkeypatch.setattr(postgres_schema, "SCHEMA", SCHEMA + 1)
        if last is fail:
            with pytest.raises(ZeroDivisionError):
                PostgresStore(schema_2)
            assert postgres.run(version, schema_2) == [(2,)], "all steps are one transaction"
    store = PostgresStore(schema_2)
    assert store.row("held.md").row.state.owner == "ANN"
    store.close()
    assert postgres.run(version, schema_2) == [(SCHEMA + 1,)]


# A schema that changes while a database is open.


@pytest.mark.parametrize(
    ("schema", "refused"), [(SCHEMA + 1, StoreNewer), (SCHEMA - 1, StoreOlder)]
)
def test_a_process_notices_that_the_tables_have_another_schema_now(
    postgres, postgres_url, schema, refused
):
    """As after an upgrade by a newer release, or a restore, beside an open workspace."""
    with Workspace(postgres_url) as workspace, Workspace(postgres_url) as idle:
        ann, bob = workspace.agent("ann"), idle.agent("bob")
        for text in "123":  # the row is expected now, and not loaded
            ann.write("plan.md", text)
        postgres.run(f"UPDATE coherence_meta SET schema_version = {schema}", postgres_url)
        with pytest.raises(refused):
            ann.write("plan.md", "4")
        with pytest.raises(refused):
            ann.write("new.md", "1")
        with pytest.raises(refused):
            bob.read("plan.md")
        store = idle._site.store
        with pytest.raises(refused):
            store.since(Place(0))
        assert store.row("plan.md").row.state.version == 3
        assert store.names() == ["plan.md"]
        postgres.run(f"UPDATE coherence_meta SET schema_version = {SCHEMA}", postgres_url)
        assert str(ann.write("plan.md", "4", overwrite=True)) == "plan.md@4"
