"""How processes on PostgreSQL hear of each other: what is told, when, and what it costs."""

import psycopg
import pytest
from postgres_link import Link
from postgres_stores import ends, publish, waiting

from coherence.states import HomeState
from coherence.stores import postgres_ear as module
from coherence.stores.port import HomeRow, Place
from coherence.stores.postgres_wire import Statement

GATE = 7


def running(store):
    ear = store._connections.ear
    return ear._background.is_running(ear)


@pytest.fixture
def gate(postgres, postgres_url, monkeypatch):
    """While it is shut, no notification is sent; `gate.rung` says how many wait for it."""
    slow = "SELECT pg_advisory_xact_lock(7), pg_notify($1, $2)"
    monkeypatch.setattr(module, "RING", Statement("RING", slow))

    class Gate:
        def __enter__(self):
            self._conn = psycopg.connect(postgres_url, autocommit=True)
            self._conn.execute("SELECT pg_advisory_lock(7)")
            return self

        def __exit__(self, *error):
            self._conn.close()

        def await_ring(self):
            asked = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            while postgres.run(asked) == [(0,)]:
                pass

    return Gate()


# Waiting.


def test_a_wait_ends_when_another_appends(opened):
    one, two = opened(), opened()
    thread = waiting(one, 0)
    publish(two, "plan.md", "1")
    assert ends(thread)
    assert ends(waiting(one, 0)), "what is there already is not waited for"


def test_a_wait_ends_when_it_is_woken_or_the_store_closed(opened):
    store = opened()
    first, second = waiting(store, 0), waiting(store, 0)
    while not running(store):
        pass
    store.wake()
    store.close()
    assert ends(first)
    assert ends(second)


def test_listening_goes_on_after_a_cut(postgres, opened):
    one, two = opened(), opened()
    first = waiting(one, 0)
    publish(two, "plan.md", "1")
    assert ends(first)
    second = waiting(one, 1)
    postgres.cut()
    assert ends(second), "who waits is told to look, since he may have missed something"
    third = waiting(one, 1)
    publish(two, "plan.md", "2")
    assert ends(third)


def test_what_is_known_is_not_waited_for_again(opened):
    one, two = opened(), opened()
    publish(two, "plan.md", "1")
    assert ends(waiting(one, 0)), "a new listener looks first"
    assert one.since(Place(0)).place.seq == 1
    thread = waiting(one, 1)
    publish(two, "plan.md", "2")
    assert ends(thread)
    assert ends(waiting(one, 1)), "it was heard of, and not read yet"
    one.head()
    assert ends(waiting(one, 1)), "it was read, and by another than who waits"


def test_a_notification_that_comes_with_an_answer_is_heard(opened, gate):
    """The ear is told of another's line while it tells of its own."""
    one, two = opened(), opened()
    assert ends(waiting(one, 0))
    one.head()
    with gate:
        publish(one, "plan.md", "1")
        gate.await_ring()
        two._connections.ear.tell(1)
    thread = waiting(one, one.head().seq)
    assert ends(thread)


def test_a_notification_from_a_stranger_proves_nothing(postgres, opened):
    one, two = opened(), opened()
    publish(one, "plan.md", "1")
    assert ends(waiting(one, 1))
    place = one.head()
    thread = waiting(one, place.seq)
    postgres.run(f"NOTIFY {one._connections.channel}, '99999999'")
    assert ends(thread), "it costs a question"
    assert one.since(place).entries == ()
    thread = waiting(one, place.seq)
    publish(two, "plan.md", "2")
    assert ends(thread)


# Telling.


def test_nobody_waits_for_a_notification(opened, gate):
    one, two = opened(), opened()
    with gate:
        publish(one, "plan.md", "1")
        gate.await_ring()
        publish(one, "plan.md", "2")
        assert two.read("plan.md", 2)[1] == "2"
        assert two.head().seq == 2


def test_one_notification_is_under_way_and_stands_for_all_that_follow(
    postgres, postgres_url, opened, gate
):
    link = Link(postgres_url)
    one, two = opened(url=link.url), opened()
    with gate:
        publish(one, "plan.md", "1")
        gate.await_ring()
        for text in "23456789":
            publish(one, "plan.md", text)
    publish(one, "plan.md", "last")
    thread = waiting(two, 9)
    assert ends(thread)
    one.close()
    rings = [trip for trip in link.statements if trip == ["RING"]]
    assert 2 <= len(rings) <= 3, "the first, one for eight others, and perhaps one for the last"
    link.close()


def test_notifications_keep_their_distance_and_none_is_lost_at_the_end(
    postgres_url, opened, monkeypatch
):
    monkeypatch.setattr(module, "PACE_S", 3600.0)
    link = Link(postgres_url)
    store = opened(url=link.url)
    publish(store, "plan.md", "1")
    while not any("RING" in trip for trip in link.statements):
        pass
    for text in "23456789":
        publish(store, "plan.md", text)
    store.close()
    rings = [trip for trip in link.statements if trip == ["RING"]]
    assert len(rings) == 2
    link.close()


def test_a_notification_is_not_synced(postgres, postgres_url, opened, monkeypatch):
    """The server lets one transaction notify at a time: none may wait for a disk meanwhile."""
    postgres.run("CREATE TABLE told (synced text)", postgres_url)
    sql = "INSERT INTO told SELECT current_setting('synchronous_commit') WHERE $1 <> $2"
    monkeypatch.setattr(module, "RING", Statement("RING", sql))
    store = opened()
    publish(store, "plan.md", "1")
    store.close()
    assert postgres.run("SELECT synced FROM told", postgres_url) == [("off",)]


def test_a_transaction_that_adds_no_line_tells_nobody(opened):
    store = opened()
    with store.transaction(publishes=False) as tx:
        tx.save("plan.md", HomeRow(HomeState()), 0)
    assert not running(store)
    assert not store._connections.ear._due


def test_a_notification_that_a_cut_has_lost_is_sent_again(postgres, opened, gate):
    one, two = opened(), opened()
    assert ends(waiting(two, 0))
    two.head()
    with gate:
        publish(one, "plan.md", "1")
        gate.await_ring()
        postgres.run(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            " AND NOT granted"
        )
    # Both listen on connections of their own, and one of them was cut.
    assert ends(waiting(two, two.head().seq))


def test_who_closes_while_the_server_is_away_does_not_wait_for_it(postgres, opened):
    store = opened()
    publish(store, "plan.md", "1")
    postgres.stop("immediate")
    try:
        store._connections.ear.tell(1)
        store.close()
    finally:
        postgres.start()
