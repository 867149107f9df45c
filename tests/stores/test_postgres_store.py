"""The store in PostgreSQL, where it differs from others; what all stores share is in the kit."""

import threading
from traceback import format_exception

import psycopg
import pytest
from postgres_stores import publish

from coherence.contents import Limits, check_content
from coherence.errors import (
    BadUrl,
    StoreBusy,
    StoreCorrupt,
    StoreFault,
    StoreMissing,
    StoreNewer,
    StoreReadOnly,
)
from coherence.states import HomeState
from coherence.stores import postgres_connections as module
from coherence.stores.opening import open_store
from coherence.stores.port import Entry, HomeRow, Moved, Place, Retention
from coherence.stores.postgres import PostgresStore
from coherence.stores.postgres_errors import fault
from coherence.stores.postgres_wire import Statement

LINES = "".join(f"line {number}\n" for number in range(200))


def bodies(server, url, name):
    rows = server.run(
        f"SELECT version, whole, length(body) FROM coherence_history WHERE artifact = '{name}'"
        " ORDER BY version",
        url,
    )
    return {version: (whole, length) for version, whole, length in rows}


# What comes from outside stays a value.

HOSTILE = [
    "'; DROP TABLE coherence_artifact; --",
    "%s %(name)s %%",
    '"; SELECT pg_sleep(100); "',
    "\\",
    "a\nb",
    "ü/\U0001f600",
    "a_%",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_never_escapes_into_a_query(opened, name):
    store = opened()
    publish(store, name, "one", author=name)
    publish(store, name, "two", author=name)
    publish(store, "other", "three")
    assert [entry.author for entry in store.history(name)] == [name, name]
    assert store.read(name, 2)[1] == "two"
    assert store.names(name) == [name]
    assert [change.artifact for change in store.since(Place(0)).entries] == [name, name, "other"]
    assert store.pin(name, 1, True)
    session = store.join(name)
    assert [member.agent for member in store.members()] == [name]
    store.leave(name, session)
    assert store.members() == []


def test_a_prefix_is_no_pattern(opened):
    store = opened()
    for name in ("a%b", "a_b", "axb", "B", "b"):
        publish(store, name, "x")
    assert store.names() == ["B", "a%b", "a_b", "axb", "b"], "by code point, whatever the locale"
    assert store.names("a%") == ["a%b"]
    assert store.names("a_") == ["a_b"]


def test_content_may_hold_what_text_columns_may_not(opened):
    store = opened()
    publish(store, "nul", "a\0b")
    publish(store, "bytes", bytes(range(256)))
    assert store.read("nul", 1)[1] == "a\0b"
    assert store.read("bytes", 1)[1] == bytes(range(256))


# Opening.


HALVES = ("s3", "cret")
UNREADABLE = [
    "postgresql://ann:s3cret@host/team?sslmood=on",
    "postgresql://ann:s3 cret@host/team",
    "postgresql://ann:s3%ZZcret@host/team",
    "postgresql://ann:s3cret]@[::1/team",
    "postgresql://[s3cret",
    "postgresql://ann:s3@cret@host/team",
    "postgresql://ann:s3/cret@host/team",
    "postgresql://ann:s3?cret@ho st/team",
    "postgresql://ann:s3/c?ret=1@host/team",
    "postgresql://ann:s3#/cret@host/team",
    "postgresql://ann:s3\ncret@host/team",
    "postgresql://ann:s3cret@host:s3cret/team",
    "postgresql://ann:s3cret@host/team?s3cret",
    "postgresql://ann:\ud800s3cret@host/team",
    "postgresql:host=host password=s3cret",
    "postgressql://ann:s3cret@host/team",
    "//ann:s3cret@host/team",
    "ann:s3cret@host/team",
    "postgresql ://ann:s3cret@host/team",
]


@pytest.mark.parametrize("address", UNREADABLE)
def test_an_address_that_cannot_be_read_keeps_its_password_to_itself(address):
    with pytest.raises(BadUrl) as refused:
        open_store(address)
    told = "".join(format_exception(refused.value)) + repr(refused.value.__context__)
    assert not any(half in told.split("BadUrl:")[1] for half in HALVES), told
    assert refused.value.__context__ is None


@pytest.mark.parametrize("user", ["ann", "s3cret"])
def test_a_server_that_is_not_there_hears_no_password_either(tmp_path, user):
    with pytest.raises(StoreMissing) as refused:
        PostgresStore(f"postgresql://{user}:s3cret@/team?host={tmp_path}/s3cret")
    assert "s3cret" not in str(refused.value)


def test_nobody_there(tmp_path):
    with pytest.raises(StoreMissing) as refused:
        PostgresStore(f"postgresql://ann:s3cret@/team?host={tmp_path}")
    assert "s3cret" not in str(refused.value)


def test_a_database_that_is_not_there(postgres):
    with pytest.raises(StoreMissing):
        PostgresStore(postgres.url(database="nowhere"))


def test_a_database_that_cannot_hold_every_name(postgres):
    name = "narrow"
    postgres.run(f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    with pytest.raises(StoreMissing, match="UTF8"):
        PostgresStore(postgres.url(database=name))


def test_a_newer_schema_is_refused_and_left_alone(postgres, postgres_url, opened):
    opened()
    postgres.run("UPDATE coherence_meta SET schema_version = 99", postgres_url)
    with pytest.raises(StoreNewer):
        PostgresStore(postgres_url)
    assert postgres.run("SELECT schema_version FROM coherence_meta", postgres_url) == [(99,)]


def test_tables_of_another_program_are_refused(postgres, postgres_url):
    postgres.run("CREATE TABLE coherence_meta (a integer)", postgres_url)
    with pytest.raises(StoreCorrupt):
        PostgresStore(postgres_url)
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    assert postgres.run(tables, postgres_url) == [("coherence_meta",)]


def test_nothing_is_made_where_nothing_should_be(postgres, postgres_url):
    for options in ({"create": False}, {"readonly": True}):
        with pytest.raises(StoreMissing):
            PostgresStore(postgres_url, **options)
    assert postgres.run("SELECT to_regclass('coherence_meta')", postgres_url) == [(None,)]


def test_who_only_looks_writes_nothing(opened):
    publish(opened(), "plan.md", "one")
    store = opened(readonly=True)
    assert store.read("plan.md", 1)[1] == "one"
    assert list(store.check()) == []
    with pytest.raises(StoreReadOnly):
        publish(store, "plan.md", "two")
    with pytest.raises(StoreReadOnly):
        store.join("ann")
    assert store.names() == ["plan.md"]


def test_many_open_a_new_database_at_once(postgres_url):
    stores = []
    barrier = threading.Barrier(4)

    def open_one():
        barrier.wait()
        stores.append(PostgresStore(postgres_url))

    threads = [threading.Thread(target=open_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({store.identity for store in stores}) == 1
    assert len({store.origin for store in stores}) == 4
    for store in stores:
        store.close()


def test_schemas_of_one_database_are_stores_apart(postgres):
    one, two = PostgresStore(postgres.fresh()), PostgresStore(postgres.fresh())
    publish(one, "plan.md", "one")
    assert two.names() == []
    assert one.identity != two.identity
    one.close()
    two.close()


def test_a_closed_store_refuses(opened):
    store = opened()
    store.close()
    store.close()
    for call in (store.head, lambda: publish(store, "a", "b"), lambda: store.wait(0, 60)):
        with pytest.raises(StoreFault, match="closed"):
            call()


# Transactions.


def test_a_row_that_is_loaded_is_waited_for(opened):
    one, two = opened(), opened()
    publish(one, "plan.md", "one")
    loaded = threading.Event()

    def second():
        loaded.wait()
        publish(two, "plan.md", "three")

    thread = threading.Thread(target=second)
    thread.start()
    with one.transaction(publishes=True) as tx:
        stored = tx.load("plan.md")
        loaded.set()
        publish(one, "other.md", "whoever meets at no row does not wait")
        handle = check_content("two", Limits())
        tx.save("plan.md", HomeRow(HomeState(version=2, content=handle)), stored.revision)
        tx.publish("plan.md", Entry(2, handle, "ann", tx.now), "two")
    thread.join()
    assert [one.read("plan.md", version)[1] for version in (1, 2, 3)] == ["one", "two", "three"]


def test_two_make_one_artifact_and_the_second_has_moved(opened, caplog):
    one, two = opened(), opened()

    def interleaved():
        with one.transaction(publishes=True) as tx:
            assert tx.load("plan.md") is None
            publish(two, "plan.md", "theirs")
            handle = check_content("mine", Limits())
            tx.save("plan.md", HomeRow(HomeState(version=1, content=handle)), 0)
            tx.publish("plan.md", Entry(1, handle, "ann", tx.now), "mine")
            tx.append("plan.md", 1, "ann", ())

    with pytest.raises(Moved):
        interleaved()
    assert not caplog.records, "what is expected is no matter for a log"
    assert one.read("plan.md", 1)[1] == "theirs"
    assert one.head().seq == 1
    with one.transaction(publishes=False) as tx:
        assert tx.count() == 1


def test_the_last_place_is_taken_once(opened):
    one, two = opened(), opened()
    counted = threading.Event()
    seen = []

    def second():
        counted.wait()
        with two.transaction(publishes=False) as tx:
            seen.append(tx.count())

    thread = threading.Thread(target=second)
    thread.start()
    with one.transaction(publishes=False) as tx:
        assert tx.count() == 0
        counted.set()
        tx.save("plan.md", HomeRow(HomeState()), 0)
        assert tx.count() == 1
    thread.join()
    assert seen == [1]


def test_rows_loaded_crosswise_are_untangled(opened):
    store = opened()
    publish(store, "a", "one")
    publish(store, "b", "one")
    barrier = threading.Barrier(2)
    results = []

    def both(first, then):
        try:
            with store.transaction(publishes=False) as tx:
                tx.load(first)
                barrier.wait()
                tx.load(then)
            results.append("done")
        except Moved:
            results.append("moved")

    threads = [threading.Thread(target=both, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["done", "moved"]


def test_a_lock_is_waited_for_only_so_long(opened, monkeypatch):
    monkeypatch.setattr(module, "LOCK_S", 0.05)
    one, two = opened(), opened()
    publish(one, "plan.md", "one")
    with one.transaction(publishes=False) as tx:
        tx.load("plan.md")
        with pytest.raises(StoreBusy):
            publish(two, "plan.md", "two")
    publish(two, "plan.md", "two")
    assert one.read("plan.md", 2)[1] == "two"


def test_whoever_stops_in_a_transaction_holds_nobody_up_for_long(opened, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(module, "STOPPED_S", 0.05)
        stopped = opened()
        publish(stopped, "plan.md", "one")
    other = opened()

    def late():
        with stopped.transaction(publishes=False) as tx:
            stored = tx.load("plan.md")
            publish(other, "plan.md", "two")
            tx.save("plan.md", HomeRow(HomeState(version=9)), stored.revision)

    with pytest.raises(StoreFault):
        late()
    assert other.row("plan.md").row.state.version == 2
    publish(stopped, "plan.md", "three")


def test_the_clock_is_the_servers_and_is_read_under_the_lock(postgres, opened):
    one, two = opened(), opened()
    publish(one, "plan.md", "one")
    asked, times = threading.Event(), []

    def second():
        with two.transaction(publishes=False) as tx:
            times.append(tx.now)
            asked.set()
            tx.load("plan.md")
            times.append(tx.now)

    thread = threading.Thread(target=second)
    with one.transaction(publishes=False) as tx:
        tx.load("plan.md")
        thread.start()
        asked.wait()
        [(release,)] = postgres.run("SELECT extract(epoch FROM clock_timestamp())::float8")
    thread.join()
    before, after = times
    assert before <= release <= after


# History.


def test_old_versions_are_kept_as_differences_and_read_back_whole(postgres, postgres_url, opened):
    store = opened(Retention(versions=None))
    texts = [LINES.replace(f"line {number}\n", f"changed {number}\n") for number in range(20)]
    previous = None
    for text in texts:
        publish(store, "plan.md", text, previous=previous)
        previous = text
    kept = bodies(postgres, postgres_url, "plan.md")
    assert kept[20][0]
    assert all(
        not whole and length < 200 for version, (whole, length) in kept.items() if version < 20
    )
    assert [store.read("plan.md", version)[1] for version in range(1, 21)] == texts


def test_a_pinned_version_outlives_those_it_was_a_difference_to(opened):
    store = opened(Retention(versions=2))
    previous = None
    for number in range(10):
        text = LINES + str(number)
        publish(store, "plan.md", text, previous=previous)
        previous = text
        if number == 2:
            assert store.pin("plan.md", 2, True)
    assert [(entry.version, entry.pinned) for entry in store.history("plan.md")] == [
        (2, True),
        (9, False),
        (10, False),
    ]
    assert store.read("plan.md", 2)[1] == LINES + "1"
    assert store.pin("plan.md", 2, False)
    assert store.tidy() == 1
    assert [entry.version for entry in store.history("plan.md")] == [9, 10]
    assert not store.pin("plan.md", 2, True)
    assert not store.pin("nothing.md", 1, True)


def test_upkeep_that_is_given_up_for_a_writer_is_begun_anew(postgres, postgres_url, opened):
    store = opened(Retention(versions=None))
    for text in "123":
        publish(store, "plan.md", text)
    postgres.run(
        """
        CREATE SEQUENCE tries;
        CREATE FUNCTION tangle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('tries') = 2 THEN
                RAISE EXCEPTION USING ERRCODE = 'deadlock_detected';
            END IF;
            RETURN OLD;
        END $$;
        CREATE TRIGGER tangled BEFORE DELETE ON coherence_history
        FOR EACH ROW EXECUTE FUNCTION tangle();
        """,
        postgres_url,
    )
    assert opened(Retention(versions=1)).tidy() == 2
    assert [entry.version for entry in store.history("plan.md")] == [3]


def test_history_ages_by_the_servers_clock(postgres, postgres_url, opened):
    store = opened(Retention(versions=None, age_s=3600))
    for text in "123":
        publish(store, "plan.md", text)
    age = "UPDATE coherence_history SET at = at - 7200 WHERE version "
    postgres.run(age + "= 1", postgres_url)
    assert store.tidy() == 1
    postgres.run(age + "= 3", postgres_url)
    assert store.tidy() == 0, "the current version is kept however old"
    publish(store, "plan.md", "4")
    assert [entry.version for entry in store.history("plan.md")] == [4]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE coherence_history SET body = 'nonsense' WHERE version = 1",
        "UPDATE coherence_history SET digest = digest || 'x' WHERE version = 1",
        "UPDATE coherence_history SET kind = 'music' WHERE version = 1",
        "UPDATE coherence_history SET whole = false WHERE version = 3",
        "DELETE FROM coherence_history WHERE version = 2",
        "DELETE FROM coherence_history WHERE version = 3",
        "UPDATE coherence_artifact SET home = 'nonsense'",
        "UPDATE coherence_artifact SET home = substr(home, 1, length(home) - 1)",
    ],
)
def test_damage_is_found(postgres, postgres_url, opened, damage):
    store = opened()
    previous = None
    for number in range(3):
        text = LINES + str(number)
        publish(store, "plan.md", text, previous=previous)
        previous = text
    assert list(store.check()) == []
    postgres.run(damage, postgres_url)
    assert any("plan.md" in line for line in store.check())


def test_damaged_lines_are_refused(postgres, postgres_url, opened):
    store = opened()
    publish(store, "plan.md", "one")
    postgres.run("UPDATE coherence_log SET posts = 'nonsense'", postgres_url)
    with pytest.raises(StoreCorrupt):
        store.since(Place(0))


# The change log.


def test_the_log_is_cut_at_the_far_end_and_says_so(opened, monkeypatch):
    monkeypatch.setattr(module, "LOG_LINES", 3)
    monkeypatch.setattr(module, "PRUNE_EVERY", 5)
    store = opened()
    for text in "12345":
        publish(store, "plan.md", text)
    assert store.since(Place(1)).gap
    assert not store.since(Place(2)).gap
    assert [change.seq for change in store.since(Place(3)).entries] == [4, 5]


def test_a_database_put_back_from_a_backup_has_another_history(opened):
    store = opened()
    publish(store, "plan.md", "one")
    changes = store.since(Place(7))
    assert changes.foreign
    assert changes.place == store.head()


def test_a_transaction_that_fails_leaves_no_hole_in_the_log(opened):
    store = opened()
    publish(store, "plan.md", "1")

    def twice():
        with store.transaction(publishes=True) as tx:
            tx.load("plan.md")
            tx.append("plan.md", 2, "ann", ())
            handle = check_content("2", Limits())
            tx.publish("plan.md", Entry(1, handle, "ann", tx.now), "2")

    with pytest.raises(StoreFault):
        twice()
    publish(store, "plan.md", "2")
    changes = store.since(Place(0))
    assert [change.seq for change in changes.entries] == [1, 2]


def test_a_long_log_is_fetched_in_parts(opened, monkeypatch):
    monkeypatch.setattr("coherence.stores.postgres.LINES", 2)
    store = opened()
    for text in "12345":
        publish(store, "plan.md", text)
    seen, place = [], Place(0)
    while (changes := store.since(place)).entries:
        assert not changes.gap
        seen += [change.seq for change in changes.entries]
        place = changes.place
    assert seen == [1, 2, 3, 4, 5]


# Connections.


@pytest.mark.slow
def test_connections_that_were_cut_are_replaced_unseen(postgres, opened):
    store = opened()
    publish(store, "plan.md", "1")
    for text in "23":
        assert postgres.cut() >= 1
        publish(store, "plan.md", text)
        assert postgres.cut() >= 1
        assert store.row("plan.md").row.state.version == int(text)


def test_a_cut_within_a_transaction_saves_nothing(postgres, opened):
    store = opened()
    publish(store, "plan.md", "1")

    def interrupted():
        with store.transaction(publishes=True) as tx:
            stored = tx.load("plan.md")
            postgres.cut()
            tx.save("plan.md", HomeRow(HomeState(version=2)), stored.revision)

    with pytest.raises(StoreFault):
        interrupted()
    assert store.row("plan.md").row.state.version == 1


def test_an_interrupt_leaves_no_connection_in_a_transaction(opened):
    store = opened()

    def interrupted():
        with store.transaction(publishes=False) as tx:
            tx.load("plan.md")
            raise KeyboardInterrupt

    for _ in range(2 * module.CONNECTIONS):
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    publish(store, "plan.md", "1")


SHOW = Statement("SHOW", "SHOW synchronous_commit")


def test_every_commit_is_synced_whatever_the_default(postgres, postgres_url, opened):
    store = opened()
    with store.transaction(publishes=False) as tx:
        assert tx.trip((SHOW, ())) == [[("on",)]]
    store.close()
    url = postgres_url.replace("options=", "options=-csynchronous_commit%3D{}%20")
    for asked, expected in (("off", "on"), ("remote_apply", "remote_apply")):
        with_default = PostgresStore(url.format(asked))
        with with_default.transaction(publishes=False) as tx:
            assert tx.trip((SHOW, ())) == [[(expected,)]]
        with_default.close()


def test_sql_errors_become_ours():
    known = {
        psycopg.errors.DiskFull: "store-full",
        psycopg.errors.InsufficientPrivilege: "store-read-only",
        psycopg.errors.SerializationFailure: "moved",
        psycopg.errors.DataCorrupted: "store-corrupt",
        psycopg.OperationalError: "store-fault",
    }
    for theirs, code in known.items():
        assert fault(theirs("text")).code == code
