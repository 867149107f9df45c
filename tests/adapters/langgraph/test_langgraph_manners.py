"""What code that was written for LangGraph's own stores does with one, and what is refused."""

import asyncio

import pytest

pytest.importorskip("langgraph")

from langgraph.store.base import PutOp
from langgraph.store.memory import InMemoryStore

from coherence import BadArgument, Conflict, InvalidContent, InvalidName, Workspace, WorkspaceClosed
from coherence_langgraph import CoherentStore, Unread, artifact_tools

NS = ("proj",)


def test_a_block_ends_the_workspace_that_a_url_opened(tmp_path):
    with CoherentStore(f"sqlite:///{tmp_path}/team.db") as store:
        store.setup()
        store.put(NS, "k", {"n": 1})
        with store.as_agent("agent") as agent:
            agent.put(NS, "k", {"n": 2})
        assert store.get(NS, "k").value == {"n": 2}
    with pytest.raises(WorkspaceClosed):
        store.get(NS, "k")
    store.close()


def test_so_does_a_block_of_a_loop(tmp_path):
    async def main():
        async with CoherentStore(f"sqlite:///{tmp_path}/team.db") as store:
            await store.aput(NS, "k", {"n": 1})
            assert (await store.aget(NS, "k")).value == {"n": 1}
        with pytest.raises(WorkspaceClosed):
            store.get(NS, "k")

    asyncio.run(main())


def test_a_workspace_that_was_given_open_stays_open():
    with Workspace() as workspace:
        for over in (CoherentStore(workspace), CoherentStore(InMemoryStore(), workspace=workspace)):
            with over as store:
                store.put(NS, "k", {"n": 1})
        assert workspace.names() == ["proj/k"]


def test_the_wrapped_store_is_set_up_and_stays_open():
    class Database(InMemoryStore):
        calls = ()

        def setup(self):
            self.calls = (*self.calls, "setup")
            return "done"

        def close(self):
            self.calls = (*self.calls, "close")

    inner = Database()
    with CoherentStore(inner) as store:
        assert store.setup() == "done"
    assert inner.calls == ("setup",)


def test_what_neither_has_is_named_as_missing():
    with pytest.raises(AttributeError, match="'CoherentStore' object has no attribute 'sweep'"):
        CoherentStore("memory://").sweep  # noqa: B018
    with pytest.raises(AttributeError, match="'InMemoryStore' object has no attribute 'sweep'"):
        CoherentStore(InMemoryStore()).sweep  # noqa: B018


# Batches


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (PutOp(NS, "k", {"n": {1}}), InvalidContent),
        (PutOp(NS, "k", {"text": "\ud800"}), InvalidContent),
        (PutOp(NS, "x" * 201, {"n": 1}), InvalidName),
        (PutOp(NS, "lost", {"n": 3}), Conflict),
        (PutOp(NS, "lost", None), Conflict),
    ],
    ids=["type", "surrogate", "name", "lost", "lost deletion"],
)
@pytest.mark.parametrize("awaited", [False, True])
def test_a_batch_that_is_bound_to_be_refused_writes_nothing(store, bad, error, awaited):
    store.put(NS, "lost", {"n": 1})
    me, other = store.as_agent("me"), store.as_agent("other")
    me.get(NS, "lost")
    other.put(NS, "lost", {"n": 2})
    ops = [PutOp(NS, "a", {"n": 1}), bad, PutOp(NS, "b", {"n": 1})]
    with pytest.raises(error):
        asyncio.run(me.abatch(ops)) if awaited else me.batch(ops)
    assert [item.key for item in store.search(NS)] == ["lost"]
    assert store.get(NS, "lost").value == {"n": 2}


def test_so_is_one_that_would_replace_what_was_not_read():
    store = CoherentStore(InMemoryStore(), unread="raise")
    store.put(NS, "k", {"n": 1})
    with pytest.raises(Unread):
        store.batch([PutOp(NS, "a", {"n": 1}), PutOp(NS, "k", {"n": 2})])
    assert [item.key for item in store.search(NS)] == ["k"]


def test_puts_of_one_item_in_a_batch_keep_their_order(store):
    me = store.as_agent("me")
    me.batch([PutOp(NS, "k", {"n": 1}), PutOp(NS, "j", {"n": 1}), PutOp(NS, "k", {"n": 2})])
    assert store.get(NS, "k").value == {"n": 2}
    if store.inner is not None:
        assert store.inner.get(NS, "k").value == {"n": 2}


def test_a_put_that_lost_meanwhile_leaves_those_before_it(graph):
    """All or nothing under contention takes a transaction, which stores do not have yet."""
    told = []
    store = CoherentStore("memory://")
    store.put(NS, "k", {"n": 1})
    other = store.as_agent("other")

    def works(state, runtime):
        runtime.store.get(NS, "k")
        who = runtime.store._who()
        who.tell = lambda event: event["ref"] == "proj/a@1" and other.put(NS, "k", {"n": 2})
        with pytest.raises(Conflict):
            runtime.store.batch([PutOp(NS, "a", {"n": 1}), PutOp(NS, "k", {"n": 3})])
        told.append(sorted(item.key for item in runtime.store.search(NS)))

    graph(store, {"works": works}).invoke({"said": []})
    assert told == [["a", "k"]]


class Configured(InMemoryStore):
    MIGRATIONS = ("first",)


def test_a_setting_of_the_wrapped_store_reaches_it():
    store = CoherentStore(Configured())
    store.MIGRATIONS = ("first", "second")
    assert store.inner.MIGRATIONS == store.MIGRATIONS == ("first", "second")
    assert "MIGRATIONS" not in vars(store)


def test_what_only_we_have_stays_ours():
    inner = CoherentStore(InMemoryStore())
    store, theirs = CoherentStore(inner), inner.workspace
    store.note, store.workspace = "mine", store.workspace
    assert not hasattr(inner, "note")
    assert inner.workspace is theirs


# What is said


def test_a_refusal_names_what_a_graph_can_do(store):
    store.put(NS, "k", {"n": 1})
    me = store.as_agent("me")
    me.get(NS, "k")
    store.put(NS, "k", {"n": 2})
    with pytest.raises(Conflict) as told:
        me.put(NS, "k", {"n": 3})
    assert "RetryPolicy(retry_on=Conflict)" in str(told.value)
    assert "on_conflict" in str(told.value)
    assert "overwrite=True" not in str(told.value)


@pytest.mark.parametrize("given", [InMemoryStore, None, "memory://"])
def test_what_is_no_coherent_store_is_refused(given):
    with pytest.raises(BadArgument, match="CoherentStore"):
        artifact_tools(given() if given is InMemoryStore else given)


def test_so_it_is_by_the_middleware():
    pytest.importorskip("langchain")
    from coherence_langgraph.middleware import CoherenceMiddleware

    with pytest.raises(BadArgument, match="CoherentStore"):
        CoherenceMiddleware(InMemoryStore())
