"""The store in memory, where it differs from others; what all stores share is in the kit."""

import threading

import pytest

from coherence.contents import Limits, check_content
from coherence.errors import StoreFault
from coherence.states import HomeState
from coherence.stores.memory import MemoryStore
from coherence.stores.port import Entry, HomeRow, Moved, Place, Retention


def publish(store, name, text, author="ann"):
    handle = check_content(text, Limits())
    with store.transaction(publishes=True) as tx:
        stored = tx.load(name)
        version = 1 if stored is None else stored.row.state.version + 1
        state = HomeState(version=version, content=handle)
        tx.save(name, HomeRow(state), stored.revision if stored else 0)
        tx.publish(name, Entry(version, handle, author, tx.now), text)
        tx.append(name, version, author, ())
    return version


def test_content_is_the_object_that_was_written():
    store = MemoryStore()
    text = "".join(["a", "b"])
    publish(store, "plan.md", text)
    entry, content = store.read("plan.md", 1)
    assert content is text
    assert entry.author == "ann"


def test_a_transaction_that_fails_has_changed_nothing():
    store = MemoryStore()

    def half_done():
        with store.transaction(publishes=True) as tx:
            tx.save("plan.md", HomeRow(HomeState()), 0)
            tx.append("plan.md", 1, "ann", ())
            raise KeyError

    with pytest.raises(KeyError):
        half_done()
    assert store.row("plan.md") is None
    assert store.head() == Place(0)


def test_a_revision_that_has_moved_is_refused():
    store = MemoryStore()
    publish(store, "plan.md", "a")
    with pytest.raises(Moved), store.transaction(publishes=True) as tx:
        tx.save("plan.md", HomeRow(HomeState()), 0)
    assert store.row("plan.md").revision == 1


def test_history_keeps_what_the_rule_says_and_what_is_pinned():
    store = MemoryStore(Retention(versions=2))
    publish(store, "plan.md", "1")
    assert store.pin("plan.md", 1, True)
    for text in "2345":
        publish(store, "plan.md", text)
    assert [entry.version for entry in store.history("plan.md")] == [1, 4, 5]


def test_history_ages_by_the_stores_own_clock():
    now = [0.0]
    store = MemoryStore(Retention(versions=None, age_s=10), clock=lambda: now[0])
    publish(store, "plan.md", "1")
    now[0] = 11.0
    publish(store, "plan.md", "2")
    now[0] = 30.0
    assert store.tidy() == 0, "the current version is kept however old"
    assert [entry.version for entry in store.history("plan.md")] == [2]


def test_the_log_says_when_it_has_a_gap(monkeypatch):
    monkeypatch.setattr("coherence.stores.memory_tables.LOG_LINES", 3)
    store = MemoryStore()
    for text in "12345":
        publish(store, "plan.md", text)
    assert store.since(Place(1)).gap
    assert not store.since(Place(2)).gap
    assert [change.version for change in store.since(Place(3)).entries] == [4, 5]


def test_a_wait_ends_when_the_log_grows():
    store = MemoryStore()
    waiter = threading.Thread(target=store.wait, args=(0, 60))
    waiter.start()
    publish(store, "plan.md", "1")
    waiter.join(30)
    assert not waiter.is_alive()


def test_a_closed_store_refuses():
    store = MemoryStore()
    store.close()
    with pytest.raises(StoreFault), store.transaction(publishes=True):
        pass
