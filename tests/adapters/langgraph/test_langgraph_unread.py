"""``unread="raise"``: nothing is replaced that was not read, or handed on by the graph's state."""

import threading
from typing import Any, TypedDict

import pytest

pytest.importorskip("langgraph")

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.store.base import PutOp
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, interrupt

from coherence import BadArgument, Conflict
from coherence_langgraph import ArtifactRefs, CoherentStore, Unread

NS = ("proj",)


class Work(TypedDict, total=False):
    refs: ArtifactRefs
    found: Any
    value: dict


@pytest.fixture(params=["wraps", "memory", pytest.param("sqlite", marks=pytest.mark.slow)])
def strict(request, tmp_path):
    """A store that refuses such puts; proj/k is there."""
    url = f"sqlite:///{tmp_path}/team.db"
    over = {"wraps": InMemoryStore(), "memory": "memory://", "sqlite": url}[request.param]
    store = CoherentStore(over, unread="raise")
    store.put(NS, "k", {"n": 1})
    yield store
    store.workspace.close()


def chain(store, *nodes, **settings):
    builder = StateGraph(Work)
    before = START
    for node in nodes:
        builder.add_node(node.__name__, node)
        builder.add_edge(before, node.__name__)
        before = node.__name__
    return builder.compile(store=store, **settings)


def saves(state, runtime):
    runtime.store.put(NS, "k", {"n": 2})


def test_what_was_not_read_is_not_replaced(strict):
    with pytest.raises(Unread, match="get the item") as told:
        chain(strict, saves).invoke({})
    assert str(told.value.current) == "proj/k@1"
    with pytest.raises(Unread):
        strict.put(NS, "k", {"n": 2})  # outside a graph nothing is read
    with pytest.raises(Unread):
        strict.delete(NS, "k")
    assert strict.get(NS, "k").value == {"n": 1}


def test_what_was_read_or_is_new_or_is_the_tasks_own_may_be_put(strict):
    def works(state, runtime):
        over = runtime.store
        over.put(NS, "new", {"n": 1})
        over.put(NS, "new", {"n": 2})
        over.get(NS, "k")
        over.put(NS, "k", {"n": 2})
        over.delete(NS, "k")
        over.delete(NS, "never")
        over.put(NS, "k", {"n": 3})

    chain(strict, works).invoke({})
    assert strict.get(NS, "k").value == {"n": 3}
    agent = strict.as_agent("agent")
    agent.search(NS)
    agent.put(NS, "k", {"n": 4})


def test_the_default_replaces():
    store = CoherentStore("memory://")
    store.put(NS, "k", {"n": 1})
    chain(store, saves).invoke({})
    assert store.get(NS, "k").value == {"n": 2}


def loads(state, runtime):
    item = runtime.store.get(NS, "k")
    return {"refs": {"k": item.ref}, "value": item.value}


def loads_item(state, runtime):
    return {"found": {"items": [runtime.store.get(NS, "k")]}}


def loads_value(state, runtime):
    return {"value": runtime.store.get(NS, "k").value}


@pytest.mark.parametrize("first", [loads, loads_item])
def test_a_later_node_derives_from_the_version_in_the_state(strict, first):
    def meanwhile(state, runtime):
        theirs = strict.as_agent("other")
        theirs.get(NS, "k")
        theirs.put(NS, "k", {"n": 9})

    chain(strict, first, saves).invoke({})
    assert strict.get(NS, "k").value == {"n": 2}
    with pytest.raises(Conflict) as told:
        chain(strict, first, meanwhile, saves).invoke({})
    assert told.value.base_version == 2
    assert strict.get(NS, "k").value == {"n": 9}


def test_a_value_alone_says_nothing_of_its_version(strict):
    with pytest.raises(Unread):
        chain(strict, loads_value, saves).invoke({})


def test_a_ref_outlives_an_interrupt(strict):
    def asks(state, runtime):
        interrupt("go on?")

    app = chain(strict, loads, asks, saves, checkpointer=InMemorySaver())
    for thread in ("first", "second"):
        app.invoke({}, {"configurable": {"thread_id": thread}})
    app.invoke(Command(resume="yes"), {"configurable": {"thread_id": "first"}})
    with pytest.raises(Conflict):
        app.invoke(Command(resume="yes"), {"configurable": {"thread_id": "second"}})


def test_a_plain_thread_of_a_node_has_read_nothing(strict):
    def works(state, runtime):
        def part():
            try:
                runtime.store.get(NS, "k")
                runtime.store.put(NS, "k", {"n": 2})
            except Unread as error:
                told.append(error)

        thread = threading.Thread(target=part)
        thread.start()
        thread.join(30)

    told = []
    chain(strict, works).invoke({})
    assert len(told) == 1


def test_what_the_wrapped_store_held_before_is_there_too():
    inner = InMemoryStore()
    inner.put(NS, "k", {"n": 1})
    store = CoherentStore(inner, unread="raise")
    with pytest.raises(Unread):
        chain(store, saves).invoke({})
    with pytest.raises(Unread):
        store.batch([PutOp(NS, "k", None)])
    assert inner.get(NS, "k").value == {"n": 1}


def test_merging_is_of_what_was_read(strict):
    store = CoherentStore(strict.workspace, unread="raise", on_conflict="merge")
    with pytest.raises(Unread):
        chain(store, saves).invoke({})


def test_what_contradicts_itself_is_refused():
    with pytest.raises(BadArgument, match="unread"):
        CoherentStore("memory://", unread="ignore")
    with pytest.raises(BadArgument, match="overwrite"):
        CoherentStore("memory://", unread="raise", on_conflict="overwrite")
