"""Writes that expect the row as it was saved: one round trip, and never a wrong one."""

import threading

import psycopg
import pytest
from postgres_link import Link, Lost
from postgres_stores import publish

from coherence.contents import Limits, check_content
from coherence.errors import OutcomeUnknown
from coherence.messages import Inv
from coherence.states import HomeAt, HomeState
from coherence.stores import postgres_connections as module
from coherence.stores import postgres_recent
from coherence.stores.port import Entry, HomeRow, Moved, Place, Post

PLAN = "plan.md"


@pytest.fixture
def link(postgres_url):
    made = Link(postgres_url)
    yield made
    made.close()


@pytest.fixture
def store(opened, link, monkeypatch):
    """A store that expects plan.md@3 to be as it was saved."""
    monkeypatch.setattr(module, "QUIET_S", 3600.0)
    made = opened(url=link.url)
    for text in "123":
        publish(made, PLAN, text)
    assert made._connections.recent.expected(PLAN) is not None
    return made


def trips(link, call):
    """The statements of each round trip of `call`, those of the thread that notifies left out."""
    return [trip for trip in link.during(call) if trip != ["RING"]]


def writing(store, version, content="mine", timers=(), saves=True):
    """A transaction that publishes that version of the plan, up to its end."""
    tx = store.transaction(publishes=True)
    tx.__enter__()
    stored = tx.load(PLAN)
    handle = check_content(content, Limits())
    if saves:
        row = HomeRow(HomeState(version=version, content=handle), timers)
        tx.save(PLAN, row, stored.revision)
    tx.publish(PLAN, Entry(version, handle, "ann", tx.now), content)
    tx.append(PLAN, version, "ann", ())
    return tx


def test_a_row_that_nobody_else_touches_is_not_loaded(store, link):
    for text in "456":
        assert trips(link, lambda text=text: publish(store, PLAN, text)) == [
            ["BEGIN", "UPDATE_EXPECTED", "PUBLISH", "APPEND", "COMMIT"]
        ]
    assert [entry.version for entry in store.history(PLAN)] == [1, 2, 3, 4, 5, 6]
    assert store.row(PLAN).row.state.version == 6
    assert store.row(PLAN).revision == 6
    lines = store.since(Place(0)).entries
    assert [change.version for change in lines] == [1, 2, 3, 4, 5, 6]
    assert store.last == store.head()._replace(generation=0)


def test_what_another_wrote_is_not_overwritten(store, link, opened):
    other = opened()
    tx = writing(store, 4)
    publish(other, PLAN, "theirs")
    with pytest.raises(Moved):
        tx.__exit__(None, None, None)
    assert store.read(PLAN, 4)[1] == "theirs"
    assert publish(store, PLAN, "mine") == 5
    assert store.head().seq == 5, "nothing of what was refused is in the log"


def test_after_another_has_written_the_row_is_loaded_until_it_is_let_alone(store, link, opened):
    other = opened()
    publish(other, PLAN, "theirs")
    with pytest.raises(Moved):
        publish(store, PLAN, "mine")
    loads = [len(trips(link, lambda text=text: publish(store, PLAN, text))) for text in "5678"]
    assert loads == [2, 2, 1, 1]


def test_two_who_write_by_turns_expect_nothing(opened, link):
    one, two = opened(), opened(url=link.url)
    for number in range(10):
        publish((one, two)[number % 2], PLAN, str(number))
    assert one._connections.recent.expected(PLAN) is None
    assert two._connections.recent.expected(PLAN) is None


def test_a_row_is_the_same_only_byte_for_byte(store, postgres, postgres_url):
    """A store that was put back may count the same revisions over other contents."""
    handle = check_content("another history", Limits())
    from coherence.stores.codec import pack_row

    home = pack_row(HomeRow(HomeState(version=3, content=handle)))
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute("UPDATE coherence_artifact SET home = %s", (home,))
    with pytest.raises(Moved):
        publish(store, PLAN, "derived from what is lost")
    assert store.row(PLAN).row.state.content == handle
    assert store.row(PLAN).revision == 3


def test_a_row_that_is_gone_is_missed(store, postgres, postgres_url):
    postgres.run("DELETE FROM coherence_artifact", postgres_url)
    with pytest.raises(Moved):
        publish(store, PLAN, "mine")


def test_a_row_with_timers_is_loaded(store, link):
    """They count from the moment of the transaction, which is that of the lock."""
    with pytest.raises(Moved):
        writing(store, 4, timers=(("grant", 2.5),))
    store.release()
    tx = writing(store, 4, timers=(("grant", 2.5),))
    tx.__exit__(None, None, None)
    assert store.row(PLAN).row.timers == (("grant", 2.5),)
    assert len(trips(link, lambda: publish(store, PLAN, "5"))) == 2
    assert len(trips(link, lambda: publish(store, PLAN, "6"))) == 2


def test_what_is_published_is_stamped_by_the_server(store, postgres):
    now = "SELECT extract(epoch FROM clock_timestamp())::float8"
    [(before,)] = postgres.run(now)
    publish(store, PLAN, "4")
    [(after,)] = postgres.run(now)
    assert before <= store.history(PLAN)[-1].at <= after
    assert before <= store.since(Place(3)).entries[0].at <= after


def test_a_transaction_that_saves_nothing_is_made_of_the_current_row(store, link, opened):
    def look():
        with store.transaction(publishes=True) as tx:
            assert tx.load(PLAN).row.state.version == 3

    assert trips(link, look) == [["BEGIN", "LOCK"], ["ROLLBACK"]]
    publish(opened(), PLAN, "theirs")
    with pytest.raises(Moved):
        look()


def test_a_line_without_a_row_waits_for_the_row(store, link):
    """What is told follows from the row, though it did not change."""

    def tell():
        with store.transaction(publishes=True) as tx:
            tx.load(PLAN)
            tx.append(PLAN, 0, "", (Post("bob", Inv(3, False)),))

    assert trips(link, tell) == [["BEGIN", "LOCK"], ["APPEND", "COMMIT"]]


def test_the_second_row_of_a_transaction_locks_the_first(store, link, opened):
    publish(store, "other.md", "1")

    def both():
        with store.transaction(publishes=True) as tx:
            first, second = tx.load(PLAN), tx.load("other.md")
            for name, stored in ((PLAN, first), ("other.md", second)):
                state = HomeState(HomeAt.I, stored.row.state.version, stored.row.state.content)
                tx.save(name, HomeRow(state), stored.revision)

    assert trips(link, both)[:2] == [["BEGIN", "LOCK"], ["LOCK"]]
    for text in "45":
        publish(store, PLAN, text)
    publish(opened(), PLAN, "theirs")
    with pytest.raises(Moved):
        both()


def test_a_content_is_of_the_row_that_is_locked(store, link):
    def look():
        with store.transaction(publishes=True) as tx:
            tx.load(PLAN)
            assert tx.content(PLAN, 3) == "3"

    assert trips(link, look) == [["BEGIN", "LOCK"], ["BODY"], ["ROLLBACK"]]


def test_a_wait_for_the_row_may_end_with_it_unchanged(store, opened):
    other = opened()
    with other.transaction(publishes=False) as tx:
        tx.load(PLAN)
        thread = threading.Thread(target=publish, args=(store, PLAN, "4"))
        thread.start()
    thread.join(60)
    assert store.read(PLAN, 4)[1] == "4"


def test_a_miss_in_between_by_this_process_disturbs_nothing(store, link):
    with store.transaction(publishes=False) as tx:
        stored = tx.load(PLAN)
        tx.save(PLAN, stored.row, stored.revision)
    assert len(trips(link, lambda: publish(store, PLAN, "4"))) == 1


def test_a_connection_that_lay_idle_is_asked_first(store, link, monkeypatch):
    monkeypatch.setattr(module, "QUIET_S", 0.0)
    assert len(trips(link, lambda: publish(store, PLAN, "4"))) == 2


def test_a_connection_whose_end_has_come_is_asked_first(store, postgres):
    wire = next(iter(store._connections._wires))
    postgres.cut()
    while not wire.stirs:
        pass
    assert publish(store, PLAN, "4") == 4


@pytest.mark.parametrize("lost", Lost)
def test_a_cut_in_the_one_round_trip_leaves_its_outcome_unknown(store, link, lost):
    link.arm(b"COMMIT\0", lost)
    with pytest.raises(OutcomeUnknown):
        publish(store, PLAN, "4")
    made = 3 + (lost is Lost.ANSWER)
    assert store.row(PLAN).row.state.version == made
    assert publish(store, PLAN, "more") == made + 1


def test_so_many_rows_are_kept(store, monkeypatch):
    monkeypatch.setattr(postgres_recent, "ROWS_MAX", 2)
    for name in ("a", "b", "c"):
        for text in "123":
            publish(store, name, text)
    assert [
        store._connections.recent.expected(name) is not None for name in (PLAN, "a", "b", "c")
    ] == [
        False,
        False,
        True,
        True,
    ]
