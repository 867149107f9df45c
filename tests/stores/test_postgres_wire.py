"""One connection to PostgreSQL: what a round trip carries, and what a broken one leaves behind."""

import threading

import psycopg
import pytest
from postgres_stores import publish

from coherence.errors import StoreFault
from coherence.stores import postgres_connections as store_module
from coherence.stores import postgres_wire as module
from coherence.stores.postgres_sql import BEGIN, COMMIT, LOCK, ROLLBACK
from coherence.stores.postgres_wire import Statement, Wire

ECHO = Statement(
    "ECHO",
    "SELECT $1::text, $2::bigint, $3::float8, $4::boolean, $5::bytea, $6::integer IS NULL",
)
DIVIDE = Statement("DIVIDE", "SELECT 1 / $1::bigint")


@pytest.fixture
def wire(postgres_url):
    made = Wire()
    made.open({"conninfo": postgres_url, "autocommit": True})
    yield made
    made.close()


@pytest.mark.parametrize(
    "values",
    [
        ("", 0, 0.0, False, b""),
        ("ü\U0001f600%s$1'\"\\", -1, -1.5, True, b"\0\xff"),
        ("x" * 100_000, (1 << 63) - 1, 1e300, True, bytes(range(256))),
        ("x", -(1 << 63), float("inf"), False, b"\0"),
    ],
)
def test_values_come_back_as_they_went(wire, values):
    assert wire.trip((ECHO, (*values, None))) == [[(*values, True)]]


def test_values_of_a_derived_type_go_as_what_they_are(wire):
    class Name(str):
        __slots__ = ()

    assert wire.trip((ECHO, (Name("ann"), 1, 1.0, True, b"", None)))[0][0][0] == "ann"


@pytest.mark.parametrize("value", [1 << 63, -(1 << 63) - 1])
def test_a_number_out_of_range_is_refused_before_anything_is_sent(wire, value):
    with pytest.raises(psycopg.DataError):
        wire.trip((DIVIDE, (1,)), (DIVIDE, (value,)))
    assert wire.idle
    assert wire.trip((DIVIDE, (1,))) == [[(1,)]]


def test_a_text_that_has_no_utf8_is_refused_before_anything_is_sent(wire):
    with pytest.raises(psycopg.DataError):
        wire.trip((ECHO, ("\ud800", 1, 1.0, True, b"", None)))
    assert wire.idle


def test_a_text_with_a_nul_is_refused_and_not_cut_off(wire, opened):
    with pytest.raises(psycopg.DataError):
        wire.trip((ECHO, ("a\0b", 1, 1.0, True, b"", None)))
    assert wire.idle
    store = opened()
    publish(store, "a", "one")
    with pytest.raises(StoreFault):
        store.row("a\0b")


def test_what_comes_after_an_error_is_not_done(wire):
    with pytest.raises(psycopg.errors.DivisionByZero):
        wire.trip((BEGIN, ()), (DIVIDE, (1,)), (DIVIDE, (0,)), (DIVIDE, (2,)), (COMMIT, ()))
    assert wire.begun, "not committed"
    wire.trip((ROLLBACK, ()))
    assert wire.idle


def test_a_statement_that_is_wrong_is_not_taken_for_prepared(wire):
    wrong = Statement("WRONG", "SELECT nonsense")
    for _ in range(2):
        with pytest.raises(psycopg.errors.UndefinedColumn):
            wire.trip((DIVIDE, (1,)), (wrong, ()), (DIVIDE, (1,)))
    assert wire.trip((DIVIDE, (1,))) == [[(1,)]]


def test_trips_without_a_transaction_stand_or_fall_whole(wire, postgres, postgres_url):
    postgres.run("CREATE TABLE told (number bigint)", postgres_url)
    insert = Statement("INSERT", "INSERT INTO told VALUES ($1::bigint)")
    with pytest.raises(psycopg.errors.DivisionByZero):
        wire.trip((insert, (1,)), (DIVIDE, (0,)))
    assert postgres.run("SELECT * FROM told", postgres_url) == []


def test_more_than_a_socket_holds_is_sent_while_answers_come(wire):
    """Both ways at once: neither end waits for the other to read."""
    many = "x" * 3_000_000
    found = wire.trip(*[(ECHO, (many, 1, 1.0, True, b"", None))] * 5)
    assert [len(rows[0][0]) for rows in found] == [len(many)] * 5


def test_a_connection_that_is_cut_meanwhile_is_closed(wire):
    end = Statement("END", "SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(psycopg.OperationalError):
        wire.trip((DIVIDE, (1,)), (end, ()), (DIVIDE, (1,)))
    assert wire.closed


def test_a_connection_that_was_cut_is_closed(wire, postgres):
    wire.trip((BEGIN, ()))
    postgres.cut()
    for _ in range(2):
        with pytest.raises(psycopg.OperationalError):
            wire.trip((DIVIDE, (1,)))
        assert wire.closed
        assert not wire.begun


# Calls that are cut off.


@pytest.fixture
def cut_off(monkeypatch):
    """Raises KeyboardInterrupt at the n-th wait for the server from now on, in this thread."""
    me, read, left = threading.get_ident(), module._Ready.read, []

    def waited(self):
        if threading.get_ident() == me and left:
            left[0] -= 1
            if left[0] == 0:
                left.clear()
                raise KeyboardInterrupt
        read(self)

    monkeypatch.setattr(module._Ready, "read", waited)
    return lambda at: left.append(at)


def backends(postgres):
    """What the server does for clients that hold or want a row."""
    return postgres.run(
        "SELECT pid FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        " AND (state = 'idle in transaction' OR wait_event_type = 'Lock')"
    )


@pytest.mark.parametrize("at", [1, 2])
def test_a_write_that_is_cut_off_leaves_nothing_behind(postgres, opened, cut_off, at):
    one, two = opened(), opened()
    publish(one, "plan.md", "1")
    for _ in range(2 * store_module.CONNECTIONS):
        cut_off(at)
        with pytest.raises(KeyboardInterrupt):
            publish(one, "plan.md", "more")
        one.release()
    publish(two, "plan.md", "more")
    publish(one, "plan.md", "more")
    assert set(one._connections._wires.values()) == {0}


def test_a_wait_for_a_lock_that_is_cut_off_is_ended_at_the_server(postgres, opened, cut_off):
    """What it holds already would be held until it had the lock, and noticed that it is alone."""
    one, two = opened(), opened()
    publish(one, "a", "1")
    publish(one, "b", "1")
    with two.transaction(publishes=False) as held:
        held.load("b")
        tx = one.transaction(publishes=False)
        tx.__enter__()
        tx.load("a")
        cut_off(1)
        with pytest.raises(KeyboardInterrupt):
            tx.load("b")
        one.release()
        publish(two, "a", "2")
    while backends(postgres):
        pass


def test_a_connection_is_waited_for_where_all_are_in_use(opened, monkeypatch):
    monkeypatch.setattr(store_module, "CONNECTIONS", 1)
    monkeypatch.setattr(store_module, "CONNECT_S", 0.05)
    store = opened()
    publish(store, "plan.md", "1")
    with store.transaction(publishes=False) as tx:
        tx.load("plan.md")
        with pytest.raises(StoreFault, match="in use"):
            store.names()
    assert store.names() == ["plan.md"]


def test_a_connection_that_is_given_back_goes_to_whoever_waits(opened, monkeypatch):
    monkeypatch.setattr(store_module, "CONNECTIONS", 1)
    store, seen = opened(), []
    publish(store, "plan.md", "1")
    with store.transaction(publishes=False) as tx:
        tx.load("plan.md")
        thread = threading.Thread(target=lambda: seen.extend(store.names()))
        thread.start()
        while not store._connections._waiting:
            pass
    thread.join(60)
    assert seen == ["plan.md"]


def test_connections_that_lie_idle_are_closed(opened, monkeypatch):
    store = opened()
    publish(store, "plan.md", "1")
    with store.transaction(publishes=False) as tx:
        tx.load("plan.md")
        store.names()
    assert len(store._connections._wires) == 2
    store.names()
    assert len(store._connections._wires) == 2
    monkeypatch.setattr(store_module, "IDLE_S", 0.0)
    store.names()
    assert len(store._connections._wires) == 1


def test_a_name_locks_its_own_row_alone(wire, opened):
    """The parameters of one statement are not those of the next in the same trip."""
    store = opened()
    publish(store, "a", "1")
    publish(store, "b", "1")
    found = wire.trip((BEGIN, ()), (LOCK, ("a",)), (LOCK, ("b",)), (LOCK, ("c",)), (COMMIT, ()))
    assert [rows[0][0] for rows in found[1:4]] == [1, 1, None]
