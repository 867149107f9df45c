"""CoherentStore: who is who, what compares with what, and all that the wrapped store can do."""

import asyncio
import operator
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypedDict

import pytest

pytest.importorskip("langgraph")

from langchain_core.runnables import RunnableLambda
from langgraph.graph import START, StateGraph
from langgraph.store.base import BaseStore, GetOp, InvalidNamespaceError, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore
from langgraph.types import RetryPolicy, Send

from coherence import (
    AgentLeft,
    BadArgument,
    BadUrl,
    Conflict,
    InvalidContent,
    InvalidName,
    UnknownVersion,
    Workspace,
)
from coherence.context.values import item_of, name_of
from coherence_langgraph import CoherentStore, FrameworkMissing

NS = ("proj",)
RETRY = RetryPolicy(
    max_attempts=50, initial_interval=0.001, max_interval=0.01, jitter=False, retry_on=Conflict
)


class Total(TypedDict, total=False):
    tries: Annotated[int, operator.add]


# Lost updates


def ten_adders(store, *, asynchronous=False, retry=None):
    """Ten parallel nodes that each add one; all have read before the first one writes."""
    met = threading.Barrier(10)
    tried = set()

    def adds(state, runtime, config):
        item = runtime.store.get(NS, "count")
        node = config["metadata"]["langgraph_node"]
        if node not in tried:
            tried.add(node)
            met.wait(30)
        runtime.store.put(NS, "count", {"n": (item.value["n"] if item else 0) + 1})

    async def adds_async(state, runtime):
        item = await runtime.store.aget(NS, "count")
        await asyncio.sleep(0)
        await runtime.store.aput(NS, "count", {"n": (item.value["n"] if item else 0) + 1})

    builder = StateGraph(Total)
    for number in range(10):
        node = adds_async if asynchronous else adds
        builder.add_node(f"adder {number}", node, retry_policy=retry)
        builder.add_edge(START, f"adder {number}")
    return builder.compile(store=store)


def test_ten_parallel_nodes_lose_updates_in_a_plain_store():
    store = InMemoryStore()
    ten_adders(store).invoke({}, {"max_concurrency": 10})
    assert store.get(NS, "count").value["n"] < 10


def test_ten_parallel_nodes_add_up(store):
    ten_adders(store, retry=RETRY).invoke({}, {"max_concurrency": 10})
    assert store.get(NS, "count").value == {"n": 10}


@pytest.mark.parametrize("store", ["wraps", "memory", "sqlite"], indirect=True)
def test_ten_parallel_tasks_add_up(store):
    app = ten_adders(store, asynchronous=True, retry=RETRY)
    asyncio.run(app.ainvoke({}))
    assert store.get(NS, "count").value == {"n": 10}


def test_copies_of_one_node_are_tasks_of_their_own():
    store = CoherentStore("memory://")
    store.put(NS, "count", {"n": 0})
    met = threading.Barrier(2)

    def adds(state, runtime):
        item = runtime.store.get(NS, "count")
        met.wait(30)
        runtime.store.put(NS, "count", {"n": item.value["n"] + 1})

    builder = StateGraph(Total)
    builder.add_node("adds", adds)
    builder.add_conditional_edges(START, lambda state: [Send("adds", {}), Send("adds", {})])
    with pytest.raises(Conflict):
        builder.compile(store=store).invoke({})
    assert store.get(NS, "count").value == {"n": 1}


def test_what_two_read_as_absent_only_one_can_make(store):
    first, second = store.as_agent("first"), store.as_agent("second")
    assert first.get(NS, "k") is None
    assert second.get(NS, "k") is None
    first.put(NS, "k", {"by": "first"})
    with pytest.raises(Conflict):
        second.put(NS, "k", {"by": "second"})


def test_a_search_counts_as_a_read(store):
    store.put(NS, "k", {"n": 1})
    first, second = store.as_agent("first"), store.as_agent("second")
    assert [item.value for item in first.search(NS)] == [{"n": 1}]
    second.put(NS, "k", {"n": 2})  # it has not read: a put as any store's
    with pytest.raises(Conflict):
        first.put(NS, "k", {"n": 3})
    with pytest.raises(Conflict):
        first.delete(NS, "k")
    assert first.get(NS, "k").value == {"n": 2}
    first.delete(NS, "k")
    assert second.get(NS, "k") is None


def test_outside_a_graph_only_an_agent_compares(store):
    store.put(NS, "k", {"n": 1})
    agent = store.as_agent("agent")
    assert store.get(NS, "k").value == agent.get(NS, "k").value == {"n": 1}
    agent.put(NS, "k", {"n": 2})
    store.put(NS, "k", {"n": 3})  # as in any store
    with pytest.raises(Conflict):
        agent.put(NS, "k", {"n": 4})


def test_a_task_is_forgotten_with_its_run():
    import gc

    store = CoherentStore("memory://")
    for _ in range(3):
        ten_adders(store, retry=RETRY).invoke({}, {"max_concurrency": 10})
    gc.collect()
    # A thread that has just ended may still hold the last run's; what is kept does not grow.
    assert len(store.items._readers) <= 10


def test_a_version_can_be_taken_up_again(store):
    store = store.as_agent("agent")
    store.put(NS, "k", {"n": 1})
    ref = store.get(NS, "k").ref
    assert ref == "proj/k@1"
    store.put(NS, "k", {"n": 2})
    assert store.resolve(ref).value == {"n": 1}
    with pytest.raises(Conflict) as told:
        store.put(NS, "k", {"n": 9})
    assert str(told.value.current) == "proj/k@2"
    with pytest.raises(UnknownVersion):
        store.resolve("proj/k@7")


# What becomes of a put that lost


def lost(on_conflict, was, mine, theirs):
    store = CoherentStore(InMemoryStore(), on_conflict=on_conflict)
    store.put(NS, "k", was)
    me, other = store.as_agent("me"), store.as_agent("other")
    me.get(NS, "k")
    other.put(NS, "k", theirs)
    me.put(NS, "k", mine)
    assert store.inner.get(NS, "k").value == other.get(NS, "k").value
    return other.get(NS, "k").value


def test_fields_are_merged():
    was = {"a": 1, "b": 1, "gone": 1, "both": 1}
    mine = {"a": 2, "b": 1, "both": 2, "new": [1]}
    theirs = {"a": 1, "b": 3, "gone": 1, "both": 2}
    assert lost("merge", was, mine, theirs) == {"a": 2, "b": 3, "both": 2, "new": [1]}


def test_one_field_is_not_merged():
    with pytest.raises(Conflict):
        lost("merge", {"a": 1}, {"a": 2}, {"a": 3})
    with pytest.raises(Conflict):
        lost("merge", {"a": 1}, {"a": 2}, {"text": "now a text"})


def test_what_was_deleted_is_not_merged():
    store = CoherentStore("memory://", on_conflict="merge")
    store.put(NS, "k", {"a": 1, "b": 1})
    me = store.as_agent("me")
    me.get(NS, "k")
    store.delete(NS, "k")
    with pytest.raises(Conflict):
        me.put(NS, "k", {"a": 1, "b": 2})
    assert store.get(NS, "k") is None


def test_lines_are_merged():
    assert lost("merge", {"text": "1\n2\n3\n"}, {"text": "0\n2\n3\n"}, {"text": "1\n2\n4\n"}) == {
        "text": "0\n2\n4\n"
    }


def test_overwrite_is_the_plain_store():
    assert lost("overwrite", {"a": 1}, {"a": 2}, {"a": 3}) == {"a": 2}


# As the wrapped store


def test_values_are_copies(store):
    given = {"list": [1], "nested": {"a": 1}}
    store.put(NS, "k", given)
    given["list"].append(2)
    for read in (lambda: store.get(NS, "k"), lambda: store.search(NS)[0]):
        read().value["nested"]["a"] = 2
        read().value["list"].clear()
        assert read().value == {"list": [1], "nested": {"a": 1}}


def test_a_plain_store_hands_out_what_it_keeps():
    store = InMemoryStore()
    store.put(NS, "k", {"list": [1]})
    store.get(NS, "k").value["list"].clear()
    assert store.get(NS, "k").value == {"list": []}


def test_filters_search_and_listing(store):
    for number in range(5):
        store.put(("a", str(number % 2)), f"k{number}", {"n": number, "even": number % 2 == 0})
    assert {item.key for item in store.search(("a",), filter={"even": True})} == {"k0", "k2", "k4"}
    assert {item.key for item in store.search(("a",), filter={"n": {"$gt": 2}})} == {"k3", "k4"}
    assert len(store.search(("a",), limit=2, offset=1)) == 2
    assert sorted(store.list_namespaces(prefix=("a",))) == [("a", "0"), ("a", "1")]
    assert store.list_namespaces(max_depth=1) == [("a",)]


def test_a_batch_keeps_its_order(store):
    store.put(NS, "a", {"n": 1})
    found, none, hits, gone = store.batch(
        [GetOp(NS, "a"), PutOp(NS, "b", {"n": 2}), SearchOp(NS), GetOp(NS, "b")]
    )
    assert (found.value, none, gone) == ({"n": 1}, None, None)  # reads come before writes
    assert [hit.key for hit in hits] == ["a"]
    assert store.get(NS, "b").value == {"n": 2}


class Expiring(InMemoryStore):
    """A store with TTL whose clock is moved by hand."""

    supports_ttl = True
    now_min = 0.0

    def __init__(self):
        super().__init__()
        self.ttl_config = {"default_ttl": 5, "refresh_on_read": True}
        self.ends = {}

    def batch(self, ops):
        ops = list(ops)
        for op in ops:
            place = (op.namespace, op.key)
            if isinstance(op, PutOp) and op.value is not None:
                self.ends[place] = (self.now_min + op.ttl, op.ttl)
            elif self.ends.get(place, (self.now_min, 0))[0] <= self.now_min:
                super().batch([PutOp(op.namespace, op.key, None)])
            elif isinstance(op, GetOp) and op.refresh_ttl:
                self.ends[place] = (self.now_min + self.ends[place][1], self.ends[place][1])
        return super().batch(ops)


def test_ttl_is_the_wrapped_stores():
    inner = Expiring()
    store = CoherentStore(inner)
    store.put(NS, "k", {"n": 1}, ttl=10)
    inner.now_min = 9
    assert store.get(NS, "k").value == {"n": 1}  # and refreshed
    inner.now_min = 18
    assert store.get(NS, "k", refresh_ttl=False) is not None
    inner.now_min = 20
    assert store.get(NS, "k") is None
    store.put(NS, "k", {"n": 2})
    assert inner.ends[NS, "k"] == (25, 5)
    assert store.get(NS, "k").value == {"n": 2}
    with pytest.raises(NotImplementedError):
        CoherentStore(InMemoryStore()).put(NS, "k", {}, ttl=1)


def test_a_store_that_expires_items_and_does_not_say_so_is_believed_its_configuration():
    inner = Expiring()
    inner.supports_ttl = False  # as AsyncSqliteStore
    store = CoherentStore(inner)
    assert store.supports_ttl
    store.put(NS, "k", {"n": 1})
    assert inner.ends[NS, "k"] == (5, 5)
    inner.now_min = 5
    assert store.get(NS, "k") is None


def test_what_the_wrapped_store_holds_is_there():
    inner = InMemoryStore()
    inner.put(NS, "k", {"n": 1})
    store = CoherentStore(inner)
    assert store.get(NS, "k").ref == "proj/k@1"
    assert [item.value for item in store.search(NS)] == [{"n": 1}]
    store.delete(NS, "k")
    assert inner.get(NS, "k") is None
    inner.put(NS, "k", {"n": 2})  # past the coherent store: what is deleted stays so
    assert store.get(NS, "k") is None
    assert store.search(NS) == []
    store.delete(NS, "never")


def test_times_are_those_of_the_data(store):
    store.put(NS, "k", {"n": 1})
    made = store.get(NS, "k")
    assert abs(datetime.now(UTC) - made.created_at) < timedelta(minutes=1)
    store.put(NS, "k", {"n": 2})
    changed = store.get(NS, "k")
    assert changed.created_at == made.created_at <= changed.updated_at
    assert store.as_agent("b").get(NS, "k").updated_at == changed.updated_at
    assert store.search(NS)[0].updated_at == changed.updated_at


def test_a_file_is_searched_by_all_who_open_it(tmp_path):
    url = f"sqlite:///{tmp_path}/team.db"
    here, there = CoherentStore(url), CoherentStore(url)
    here.put(NS, "k", {"n": 1})
    here.put(NS, "text", {"text": "plain"})
    assert {item.key: item.value for item in there.search(NS)} == {
        "k": {"n": 1},
        "text": {"text": "plain"},
    }
    there.put(NS, "k", {"n": 2})
    here.workspace.agent("x").write("proj/bytes", b"\xff")  # no item, and no trouble
    here.workspace.agent("x").write("readme", "at the root")
    assert here.get(NS, "k").value == {"n": 2}
    assert [item.value for item in here.search(NS, filter={"n": 2})] == [{"n": 2}]
    there.delete(NS, "k")
    assert [item.key for item in here.search(NS)] == ["text"]
    assert here.list_namespaces(prefix=NS) == [NS]
    here.workspace.close()
    there.workspace.close()


def test_a_text_is_an_artifact_that_any_framework_reads():
    with Workspace() as workspace:
        store = CoherentStore(workspace)
        workspace.agent("crew").write("proj/plan.md", "from elsewhere")
        assert store.get(NS, "plan.md").value == {"text": "from elsewhere"}
        store.put(NS, "plan.md", {"text": "from a graph"})
        assert workspace.agent("crew").read("proj/plan.md").text == "from a graph"
        assert workspace.names() == ["proj/plan.md"]


@pytest.mark.parametrize(
    "key",
    ["plan.md", ".", "..", "a.", "", " a", "é", "e\u0301", "a/b", "%", "a%2E", "\ud800",
     "\u3000x", "a@b:c", "x" * 150],
)  # fmt: skip
def test_any_key_is_an_artifact(key):
    assert item_of(name_of(("a", "b"), key)) == (("a", "b"), key)
    store = CoherentStore("memory://")
    store.put(("a", "b"), key, {"n": 1})
    assert store.get(("a", "b"), key).value == {"n": 1}
    assert [item.key for item in store.search(("a",))] == [key]


# Who is who, and what is told


def test_the_agent_is_the_node():
    store = CoherentStore("memory://")

    def writes(state, runtime):
        runtime.store.put(NS, "k", {"n": 1})

    inner = StateGraph(Total)
    inner.add_node("deep?", writes)
    inner.add_edge(START, "deep?")
    outer = StateGraph(Total)
    outer.add_node("outer", inner.compile())
    outer.add_edge(START, "outer")
    outer.compile(store=store).invoke({})
    assert store.workspace.history("proj/k")[0].author == "outer/deep%3F"


def test_events_are_streamed(graph, store):
    store.put(NS, "k", {"n": 1})
    other = store.as_agent("other")

    def works(state, runtime):
        runtime.store.get(NS, "k")
        runtime.store.get(NS, "k")
        other.put(NS, "k", {"n": 2})
        try:
            runtime.store.put(NS, "k", {"n": 3})
        except Conflict:
            runtime.store.get(NS, "k")
            runtime.store.put(NS, "k", {"n": 4})

    app = graph(store, {"coder": works})
    events = list(app.stream({"said": []}, stream_mode="custom"))
    assert [(event["coherence"], event["ref"]) for event in events] == [
        ("fill", "proj/k@1"),
        ("hit", "proj/k@1"),
        ("conflict", "proj/k@2"),
        ("fill", "proj/k@2"),
        ("publish", "proj/k@3"),
    ]
    assert {event["agent"].split(".")[0] for event in events} == {"coder"}


def test_a_write_that_waits_does_not_stop_the_loop():
    store = CoherentStore("memory://")
    store.put(NS, "k", {"text": "one"})

    async def main():
        with store.workspace.agent("holder").edit("proj/k") as draft:
            waiting = asyncio.create_task(store.aput(NS, "k", {"text": "two"}))
            while not store.workspace.row("proj/k").row.state.queue:
                await asyncio.sleep(0)
            draft.discard()
        await waiting

    asyncio.run(main())
    assert store.get(NS, "k").value == {"text": "two"}


# Bad input


def test_what_cannot_be_is_refused_and_changes_nothing():
    store = CoherentStore(InMemoryStore())
    store.put(NS, "k", {"n": 1})
    for value in ({"n": object()}, {"n": {1: object}}, {"text": "\ud800"}):
        with pytest.raises(InvalidContent):
            store.put(NS, "k", value)
    with pytest.raises(InvalidName):
        store.put(NS, "x" * 201, {"n": 1})
    with pytest.raises(InvalidNamespaceError):
        store.put(("a.b",), "k", {"n": 1})
    with pytest.raises(InvalidNamespaceError):
        store.batch([GetOp(("a.b",), "k")])
    with pytest.raises(InvalidName):
        store.as_agent("")
    assert store.get(NS, "k").ref == "proj/k@1"


def test_a_store_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(BadUrl):
        CoherentStore("sqllite:///team.db")
    with pytest.raises(BadArgument):
        CoherentStore(InMemoryStore(), on_conflict="ignore")
    with pytest.raises(BadArgument):
        CoherentStore("memory://", workspace="memory://")
    with pytest.raises(BadArgument):
        CoherentStore(None)


def test_a_workspace_that_is_closed_under_a_graph(graph):
    store = CoherentStore("memory://")
    store.put(NS, "k", {"n": 1})

    def works(state, runtime):
        runtime.store.get(NS, "k")
        store.workspace.close()
        runtime.store.put(NS, "k", {"n": 2})

    with pytest.raises(AgentLeft):
        graph(store, {"coder": works}).invoke({"said": []})


def python(program):
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_it_loads_no_other_framework():
    loaded = python("import coherence_langgraph, sys; print(*sys.modules)")
    assert loaded.returncode == 0, loaded.stderr
    others = {"crewai", "autogen_core", "autogen_agentchat", "langchain"}
    assert others.isdisjoint(loaded.stdout.split())


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("raise m.PackageNotFoundError(name)", "FrameworkMissing: langgraph is not"),
        ("return '2.0'", "FrameworkMissing: langgraph from 1.1.5"),
    ],
)
def test_a_framework_that_is_missing_or_untried_is_named(version, told):
    refused = python(
        f"import importlib.metadata as m\ndef version(name): {version}\n"
        "m.version = version\nimport coherence_langgraph"
    )
    assert refused.returncode == 1
    assert told in refused.stderr
    assert "pip install 'langgraph>=1.1.5,<2'" in refused.stderr


def test_a_release_that_tells_no_tasks_apart_is_refused(graph, monkeypatch):
    """Else puts would replace what they have not seen, and nobody would notice."""
    monkeypatch.setattr("coherence_langgraph.store._TASK", "__by another name")
    store = CoherentStore("memory://")

    def works(state, runtime):
        runtime.store.put(NS, "k", {"n": 1})

    with pytest.raises(FrameworkMissing, match="does not identify its tasks"):
        graph(store, {"coder": works}).invoke({"said": []})
    store.put(NS, "k", {"n": 1})  # outside a graph there are none


def test_what_a_node_calls_is_of_its_task_unless_it_is_given_another_configuration(graph):
    store = CoherentStore("memory://")
    store.put(NS, "k", {"n": 1})
    read = RunnableLambda(lambda _: store.get(NS, "k"))
    write = RunnableLambda(lambda _: store.put(NS, "k", {"n": 3}))

    def works(state, runtime):
        read.invoke(None)
        store.as_agent("other").put(NS, "k", {"n": 2})
        with pytest.raises(Conflict):
            write.invoke(None)
        write.invoke(None, {"configurable": {"thread_id": "of its own"}})  # as outside a graph

    graph(store, {"coder": works}).invoke({"said": []})
    assert store.get(NS, "k").value == {"n": 3}


def test_it_is_a_store():
    assert isinstance(CoherentStore(InMemoryStore()), BaseStore)
    assert CoherentStore(InMemoryStore()).index_config is None  # what else it has is there too


def test_a_namespace_that_is_empty_again_is_not_listed():
    store = CoherentStore("memory://")
    store.put(("a", "b"), "k", {"n": 1})
    store.put(("c",), "k", {"n": 1})
    assert store.list_namespaces() == [("a", "b"), ("c",)]
    assert len(store.search(())) == 2
    store.delete(("c",), "k")
    assert store.list_namespaces() == [("a", "b")]
    assert len(store.search(())) == 1


FILTERS = [
    None,
    {},
    {"n": 1},
    {"there": None},
    {"n": 1, "kind": "odd"},
    {"n": {"$gt": 1}},
    {"n": {"$gte": 1, "$ne": 3}, "kind": "odd"},
    {"in": {"a": 1}},
    {"in": {}},
    {"list": [1, 2]},
    {"kind": True},
]


@pytest.mark.slow(fast=11)
@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("prefix", [(), ("a",), ("a", "b"), ("none",)])
def test_a_search_of_a_workspace_finds_what_the_plain_store_does(filters, prefix):
    plain, store = InMemoryStore(), CoherentStore("memory://")
    values = [
        {"n": 1, "kind": "odd"},
        {"n": 2, "kind": "even", "list": [1, 2]},
        {"n": 3, "kind": "odd", "in": {"a": 1, "b": 2}},
        {"n": 4, "in": {}},
        {"n": 5, "kind": True},
    ]
    for each in (plain, store):
        for number, value in enumerate(values):
            each.put(("a", "b", "c")[: 1 + number % 3], f"k{number}", value)
            each.put(("ab",), f"k{number}", value)

    def found(searched, **page):
        hits = searched.search(prefix, filter=filters, **page)
        return [(hit.namespace, hit.key, hit.value) for hit in hits]

    everything = found(store, limit=100)
    assert sorted(everything, key=str) == sorted(found(plain, limit=100), key=str)
    assert found(store, limit=2, offset=1) == everything[1:3]
