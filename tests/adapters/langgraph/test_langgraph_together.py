"""A node's gets and puts as one transaction: write skew without it, and not with it."""

import asyncio
import threading

import pytest

pytest.importorskip("langgraph")

from langgraph.graph import START, StateGraph
from langgraph.store.memory import InMemoryStore
from langgraph.types import RetryPolicy, Send

from coherence import BadArgument, Conflicts
from coherence_langgraph import CoherentStore

NS = ("team",)
ON, OFF = {"on_call": True}, {"on_call": False}


@pytest.fixture(params=["wraps", "memory", pytest.param("sqlite", marks=pytest.mark.slow)])
def store(request, tmp_path):
    url = f"sqlite:///{tmp_path}/team.db" if request.param == "sqlite" else "memory://"
    over = InMemoryStore() if request.param == "wraps" else url
    with CoherentStore(over) as store:
        yield store


def on_call(store):
    return [name for name in ("ann", "bob") if store.get(NS, name).value == ON]


def team(store, leaves):
    """Two nodes at once, each of which takes its agent off call if another one is on."""
    both_have_read, tries = threading.Barrier(2, timeout=30), []
    for name in ("ann", "bob"):
        store.put(NS, name, ON)

    def node(name):
        def run(state):
            def wait():
                tries.append(name)
                if tries.count(name) == 1:
                    both_have_read.wait()

            leaves(name, wait)

        return run

    graph = StateGraph(dict)
    for name in ("ann", "bob"):
        graph.add_node(name, node(name), retry_policy=RetryPolicy(retry_on=Conflicts))
        graph.add_edge(START, name)
    graph.compile(store=store).invoke({})
    return on_call(store), len(tries)


def test_single_puts_leave_neither_on_call(store):
    def leaves(name, wait):
        there = on_call(store)
        wait()
        if len(there) > 1:
            store.put(NS, name, OFF)

    assert team(store, leaves) == ([], 2)


@pytest.mark.slow
def test_together_the_node_that_commits_later_runs_again(store):
    def leaves(name, wait):
        with store.transaction() as together:
            there = on_call(together)
            wait()
            if len(there) > 1:
                together.put(NS, name, OFF)

    there, tries = team(store, leaves)
    assert (len(there), tries) == (1, 3)
    if store.inner is not None:
        assert on_call(store.inner) == there


def test_copies_of_one_node_have_a_transaction_each(store):
    for key in "abc":
        store.put(NS, key, {"n": 0})
    all_in = threading.Barrier(3, timeout=30)

    def copy(state):
        with store.transaction() as together:
            value = together.get(NS, state["key"]).value
            all_in.wait()
            together.put(NS, state["key"], {"n": value["n"] + 1})
            together.put(NS, state["key"] * 2, {"n": 1})

    graph = StateGraph(dict)
    graph.add_node("copy", copy)
    graph.add_conditional_edges(START, lambda _: [Send("copy", {"key": key}) for key in "abc"])
    graph.compile(store=store).invoke({})
    assert len(store.search(NS)) == 6
    assert all(item.value == {"n": 1} for item in store.search(NS))


def test_nodes_that_await(store):
    store.put(NS, "ann", ON)
    store.put(NS, "gone", ON)

    async def leave():
        async with store.transaction() as together:
            assert (await together.aget(NS, "ann")).value == ON
            assert await together.aget(NS, "never") is None
            await together.aput(NS, "ann", OFF)
            await together.adelete(NS, "gone")
            await together.adelete(NS, "never")
            assert store.as_agent("other").get(NS, "ann").value == ON

    asyncio.run(leave())
    for there in filter(None, (store, store.inner)):
        assert [(item.key, item.value) for item in there.search(NS)] == [("ann", OFF)]


def test_a_block_that_raises_or_has_lost_puts_nothing(store):
    store.put(NS, "ann", ON)

    def fails():
        with store.transaction() as together:
            together.put(NS, "ann", OFF)
            raise KeyError

    def loses_at_its_end():
        with store.transaction() as together:
            together.get(NS, "ann")
            together.put(NS, "bob", ON)
            store.put(NS, "ann", {"on_call": "later"})

    def loses_at_a_get():
        with store.transaction() as together:
            together.get(NS, "ann")
            store.put(NS, "ann", ON)
            together.get(NS, "bob")
            raise AssertionError("it was told nothing")

    with pytest.raises(KeyError):
        fails()
    with pytest.raises(Conflicts) as refused:
        loses_at_its_end()
    assert list(refused.value.conflicts) == ["team/ann"]
    with pytest.raises(Conflicts):
        loses_at_a_get()
    assert [(item.key, item.value) for item in store.search(NS)] == [("ann", ON)]


def test_what_a_block_cannot_do(store):
    with store.transaction() as together:
        with pytest.raises(BadArgument, match="search"):
            together.search(NS)
        together.put(NS, "ann", ON)
        with pytest.raises(BadArgument, match="this transaction writes"):
            together.get(NS, "ann")
    assert store.get(NS, "ann").value == ON


def test_what_only_the_wrapped_store_has_is_taken_over():
    inner = InMemoryStore()
    inner.put(NS, "ann", ON)
    inner.put(NS, "bob", ON)
    with CoherentStore(inner) as store:
        with store.transaction() as together:
            assert together.get(NS, "ann").value == ON
            together.put(NS, "bob", OFF, index=False)
        assert inner.get(NS, "bob").value == OFF
        assert store.workspace.history("team/bob")[-1].version == 2


def test_strictly_a_put_derives_from_what_the_block_has_got():
    def put(value, *, first):
        with store.transaction() as together:
            if first:
                together.get(NS, "ann")
            together.put(NS, "ann", value)

    with CoherentStore("memory://", unread="raise") as store:
        put(ON, first=False)
        with pytest.raises(Conflicts):
            put(OFF, first=False)
        put(OFF, first=True)
        assert store.get(NS, "ann").value == OFF
