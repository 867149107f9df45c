"""A transaction on a SQLite file: which files of the package it passes, and how it nests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import coherence.stores
from coherence import Workspace
from coherence.errors import StoreFault
from coherence.stores.memory import MemoryStore
from coherence.stores.port import Place
from coherence.stores.promises import publish
from coherence.stores.sqlite import SqliteStore

STORES = Path(coherence.stores.__file__).parent


def passed(call):
    """The files of `coherence.stores` that a call enters."""
    files = set()

    def profile(frame, event, argument):
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.parent == STORES:
            files.add(path.name)

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return files


@pytest.mark.parametrize(
    ("kind", "miss", "write"),
    [
        ("memory", {"memory.py"}, {"memory.py", "memory_tables.py"}),
        (
            "sqlite",
            {"sqlite.py", "sqlite_transaction.py", "codec.py"},
            {"sqlite.py", "sqlite_transaction.py", "codec.py", "sqlite_file.py"},
        ),
    ],
)
def test_a_transaction_passes_few_files(kind, miss, write, tmp_path):
    with Workspace("memory://" if kind == "memory" else f"sqlite:///{tmp_path}/team.db") as team:
        ann, bob = team.agent("ann"), team.agent("bob")
        ann.write("plan.md", "one")
        bob.read("plan.md")
        ann.write("plan.md", "two")
        assert passed(lambda: bob.read("plan.md")) == miss
        assert passed(lambda: ann.write("plan.md", "three")) == write


def test_a_transaction_within_another_is_refused_and_does_not_end_it(tmp_path):
    store = SqliteStore(tmp_path / "team.db")

    def nested():
        with store.transaction(publishes=True):
            publish(store, "b", "two")

    with pytest.raises(StoreFault, match="in a transaction"):
        nested()
    with store.transaction(publishes=False) as tx:
        tx.append("", 0, "ann", ())
        with pytest.raises(StoreFault, match="in a transaction"):
            publish(store, "b", "two")
        tx.append("", 0, "bob", ())
    assert [change.author for change in store.since(Place(0)).entries] == ["ann", "bob"]
    assert store.names() == []
    assert publish(store, "b", "two") == 1
    store.close()


@pytest.mark.parametrize("kind", [MemoryStore, SqliteStore])
def test_an_object_that_is_used_again_keeps_nothing_of_the_transaction_before(kind, tmp_path):
    store = kind() if kind is MemoryStore else kind(tmp_path / "team.db")

    def fail():
        with store.transaction(publishes=True) as tx:
            tx.append("", 0, "lost", ())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    with store.transaction(publishes=True) as tx:
        assert tx.load("a") is None
    assert store.head().seq == 0
    assert store.last == Place(0)
    publish(store, "a", "one")
    assert store.head().seq == 1
    store.close()
