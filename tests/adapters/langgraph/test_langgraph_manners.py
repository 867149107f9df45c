"""What code that was written for LangGraph's own stores does with one, and what is refused."""

import asyncio

import pytest

pytest.importorskip("langgraph")

from langgraph.store.base import GetOp, PutOp
from langgraph.store.memory import InMemoryStore

from coherence import (
    BadArgument,
    Conflict,
    Conflicts,
    InvalidContent,
    InvalidName,
    Workspace,
    WorkspaceClosed,
)
from coherence.workspace.transaction import NAMES_MAX
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


@pytest.mark.parametrize("url", ["memory://", "sqlite"])
@pytest.mark.parametrize("awaited", [False, True])
def test_a_put_that_lost_meanwhile_takes_the_others_with_it(tmp_path, url, awaited):
    url = f"sqlite:///{tmp_path}/team.db" if url == "sqlite" else url
    with CoherentStore(InMemoryStore(), workspace=url) as store:
        store.put(NS, "k", {"n": 1})
        me, other = store.as_agent("me"), store.as_agent("other")
        me.get(NS, "k")
        rows = store.workspace.row

        def overtaken(name):  # at the last look before the commit
            del store.workspace.row
            other.put(NS, "k", {"n": 2})
            return rows(name)

        store.workspace.row = overtaken
        ops = [PutOp(NS, "a", {"n": 1}), PutOp(NS, "k", {"n": 3}), PutOp(NS, "b", None)]
        with pytest.raises(Conflicts) as refused:
            asyncio.run(me.abatch(ops)) if awaited else me.batch(ops)
        assert list(refused.value.conflicts) == ["proj/k"]
        for there in (store, store.inner):
            assert [(item.key, item.value) for item in there.search(NS)] == [("k", {"n": 2})]


@pytest.mark.parametrize("url", ["memory://", "sqlite"])
def test_an_awaited_batch_waits_for_a_draft_without_stopping_the_loop(tmp_path, url):
    url = f"sqlite:///{tmp_path}/team.db" if url == "sqlite" else url

    async def main():
        async with CoherentStore(url) as store:
            await store.aput(NS, "k", {"text": "one"})
            drafting = store.workspace.agent("drafting")
            with drafting.edit("proj/k") as draft:
                ops = [PutOp(NS, "k", {"text": "three"}), PutOp(NS, "j", {"n": 1})]
                batch = asyncio.ensure_future(store.abatch(ops))
                while not store.workspace.row("proj/k").row.state.queue:  # it is not waiting yet
                    await asyncio.sleep(0)
                assert await store.as_agent("other").aget(NS, "j") is None
                draft.text = "two"
            await batch
            assert (await store.aget(NS, "k")).value == {"text": "three"}
            assert (await store.aget(NS, "j")).value == {"n": 1}
            assert [entry.version for entry in store.workspace.history("proj/k")] == [1, 2, 3]

    asyncio.run(main())


def test_a_refused_batch_names_all_that_have_moved(store):
    store.batch([PutOp(NS, key, {"n": 1}) for key in "abc"])
    me, other = store.as_agent("me"), store.as_agent("other")
    me.batch([GetOp(NS, key) for key in "abc"])
    other.batch([PutOp(NS, key, {"n": 2}) for key in "ac"])
    with pytest.raises(Conflicts, match="RetryPolicy") as refused:
        me.batch([PutOp(NS, key, {"n": 3}) for key in "abc"])
    assert list(refused.value.conflicts) == ["proj/a", "proj/c"]
    assert [item.value["n"] for item in store.batch([GetOp(NS, key) for key in "abc"])] == [2, 1, 2]


def test_a_batch_is_one_change_for_who_watches():
    store = CoherentStore("memory://")
    store.put(NS, "gone", {"n": 1})
    store.batch([PutOp(NS, "a", {"n": 1}), PutOp(NS, "gone", None), PutOp(NS, "never", None)])
    agent = store.workspace.agent("watcher")
    changes = list(agent.watch(since=0, timeout_s=0))
    assert [change.ref.name for change in changes] == ["proj/gone", "proj/a", "proj/gone"]
    assert changes[0].group != changes[1].group == changes[2].group


@pytest.mark.parametrize("awaited", [False, True])
def test_a_batch_merges_each_of_its_puts_or_none(awaited):
    store = CoherentStore(InMemoryStore(), on_conflict="merge")
    store.batch([PutOp(NS, key, {"x": 1, "y": 1}) for key in "ab"])
    me, other = store.as_agent("me"), store.as_agent("other")

    def put(**mine):
        me.batch([GetOp(NS, key) for key in "ab"])
        for key in "ab":
            there = other.get(NS, key).value
            other.put(NS, key, there | {"y": there["y"] + 1})
        ops = [PutOp(NS, "a", {"x": 2, "y": 1}), PutOp(NS, "b", mine)]
        asyncio.run(me.abatch(ops)) if awaited else me.batch(ops)

    put(x=2, y=1)
    with pytest.raises(Conflict):
        put(x=2, y=9)
    for there in (store, store.inner):
        assert [there.get(NS, key).value for key in "ab"] == [{"x": 2, "y": 3}] * 2


def test_more_puts_than_a_transaction_has_are_published_in_several(store):
    keys = [f"k{number:03}" for number in range(NAMES_MAX + 2)]
    me = store.as_agent("me")
    me.batch([PutOp(NS, key, {"n": 1}) for key in keys])
    store.as_agent("other").put(NS, keys[-1], {"n": 2})
    with pytest.raises(Conflict):  # the one that is certain to be refused comes first
        me.batch([PutOp(NS, key, {"n": 3}) for key in keys])
    assert {item.value["n"] for item in store.search(NS, limit=100)} == {1, 2}


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
