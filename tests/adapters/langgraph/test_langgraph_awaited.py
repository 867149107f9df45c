"""Awaited calls: what stays in the loop, what waits in threads of our own, and what is batched."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TypedDict

import pytest

pytest.importorskip("langgraph")

from langgraph.graph import START, StateGraph
from langgraph.store.base import GetOp, ListNamespacesOp, MatchCondition, PutOp
from langgraph.store.base.batch import AsyncBatchedBaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Send

from coherence import Conflict, Workspace
from coherence.context.steps import Aside
from coherence.workspace.threads import TaskThreads
from coherence_langgraph import CoherentStore, artifact_tools

NS = ("proj",)
#: For what would be a hang.
LIMIT_S = 60


class Numbered(TypedDict, total=False):
    n: int


class Remote(AsyncBatchedBaseStore):
    """As the stores of LangGraph for databases are; its embeddings need the default executor."""

    def __init__(self):
        super().__init__()
        self.kept, self.sizes = InMemoryStore(), []

    async def abatch(self, ops):
        ops = list(ops)
        self.sizes.append(len(ops))
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        return await self.kept.abatch(ops)


def with_one_thread(main):
    """Runs `main` in a loop whose default executor has one thread, so that to hold it shows."""

    async def run():
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        return await asyncio.wait_for(main(), LIMIT_S)

    return asyncio.run(run())


@pytest.mark.parametrize(("size", "home"), [(40, None), (400, None), (40, "sqlite")])
def test_parallel_puts_over_a_store_that_needs_the_executor_do_not_hang(size, home, tmp_path):
    async def puts(state, runtime):
        key = f"k{state['n']}"
        assert await runtime.store.aget(NS, key) is None
        await runtime.store.aput(NS, key, {"n": state["n"]})

    async def main():
        url = f"sqlite:///{tmp_path}/team.db" if home else "memory://"
        store = CoherentStore(Remote(), workspace=url)
        builder = StateGraph(Numbered)
        builder.add_node("puts", puts)
        sends = [Send("puts", {"n": number}) for number in range(size)]
        builder.add_conditional_edges(START, lambda state: sends, ["puts"])
        await builder.compile(store=store).ainvoke({})
        there = await store.inner.asearch(NS, limit=size + 1)
        store.workspace.close()
        return store.inner, {item.key: item.value["n"] for item in there}

    inner, there = with_one_thread(main)
    assert there == {f"k{number}": number for number in range(size)}
    if home is None:  # what is awaited at once goes to the store at once
        assert sorted(inner.sizes)[-2:] == [size, size]


def test_tools_over_a_store_that_needs_the_executor_do_not_hang():
    async def main():
        store = CoherentStore(Remote())
        write = next(tool for tool in artifact_tools(store, "me") if tool.name == "write_artifact")
        calls = (write.ainvoke({"name": f"proj/{n}", "text": f"{n}"}) for n in range(10))
        await asyncio.gather(*calls)
        return len(await store.inner.asearch(NS, limit=20))

    assert with_one_thread(main) == 10


def test_a_batch_goes_to_the_wrapped_store_as_one():
    async def main():
        store = CoherentStore(Remote())
        await store.abatch([PutOp(NS, f"k{n}", {"n": n}) for n in range(5)])
        found = await store.abatch([GetOp(NS, f"k{n}") for n in range(7)])
        return store.inner.sizes, [item and item.value["n"] for item in found]

    # One for the puts; one for the two that we do not hold ourselves.
    assert with_one_thread(main) == ([5, 2], [0, 1, 2, 3, 4, None, None])


def test_a_page_of_hits_is_one_call_of_the_wrapped_store():
    async def main():
        store = CoherentStore(Remote())
        store.supports_ttl = True
        await store.abatch([PutOp(NS, f"k{n}", {"n": n}) for n in range(5)])
        store.inner.sizes.clear()
        found = await store.asearch(NS)
        return store.inner.sizes, sorted(item.value["n"] for item in found)

    assert with_one_thread(main) == ([1], [0, 1, 2, 3, 4])


def test_listings_at_once_are_one_call_of_the_wrapped_store():
    async def main():
        store = CoherentStore(Remote())
        await store.abatch([PutOp((*NS, str(n), "end"), "k", {"n": n}) for n in range(3)])
        store.inner.sizes.clear()
        found = await asyncio.gather(
            store.alist_namespaces(prefix=(*NS, "1"), suffix=("end",)),
            store.alist_namespaces(suffix=("end",), max_depth=2, limit=2, offset=1),
        )
        gathered = list(store.inner.sizes)
        both = tuple(MatchCondition("prefix", path) for path in (NS, (*NS, "2")))
        [twice] = await store.abatch([ListNamespacesOp(both)])
        return gathered, found, twice

    gathered, found, twice = with_one_thread(main)
    assert gathered == [2]
    assert found == [[(*NS, "1", "end")], [(*NS, "1"), (*NS, "2")]]
    assert twice == [(*NS, "2", "end")]


@pytest.fixture
def handed(monkeypatch):
    """The names of the pools that calls were handed to."""
    handed = []
    for kind, name in ((Aside, "run"), (TaskThreads, "in_thread")):
        call = getattr(kind, name)

        async def noted(self, *given, call=call, name=name, **named):
            handed.append(name)
            return await call(self, *given, **named)

        monkeypatch.setattr(kind, name, noted)
    return handed


@pytest.mark.parametrize("over", ["memory://", InMemoryStore])
def test_in_memory_all_calls_stay_in_the_loop(graph, handed, over):
    store = CoherentStore(over if isinstance(over, str) else over())
    other = store.as_agent("other")
    store.put(NS, "k", {"n": 1})

    async def works(state, runtime):
        for _ in range(3):
            assert (await runtime.store.aget(NS, "k")).value == {"n": 1}
        assert await runtime.store.aget(NS, "nothing") is None
        other.put(NS, "k", {"n": 2})
        with pytest.raises(Conflict):
            await runtime.store.aput(NS, "k", {"n": 3})
        assert len(await runtime.store.asearch(NS)) == 1
        await runtime.store.aput(NS, "k", {"n": 3})
        await runtime.store.adelete(NS, "k")

    asyncio.run(graph(store, {"works": works}).ainvoke({"said": []}))
    assert handed == []
    assert store.workspace.history("proj/k")[-1].version == 4


def test_a_copy_is_served_in_the_loop_from_a_file_too(graph, handed, tmp_path):
    store = CoherentStore(f"sqlite:///{tmp_path}/team.db")
    store.put(NS, "k", {"n": 1})
    counts = []

    async def reads(state, runtime):
        for _ in range(3):
            await runtime.store.aget(NS, "k")
            counts.append(len(handed))

    asyncio.run(graph(store, {"reads": reads}).ainvoke({"said": []}))
    assert counts[0] == counts[1] == counts[2]
    assert set(handed) == {"in_thread"}
    store.workspace.close()


def test_where_the_loop_is_guarded_a_thread_looks_at_the_file(graph, monkeypatch, tmp_path):
    """The development server of LangGraph refuses each call in its loop that may block."""
    store = CoherentStore(f"sqlite:///{tmp_path}/team.db")
    store.put(NS, "k", {"n": 1})
    guarded = type(store.workspace._site.store)
    mark, refused = guarded.mark, []

    def guard(self):
        if asyncio._get_running_loop() is not None:
            refused.append(self)
            raise RuntimeError("a blocking call")
        return mark(self)

    monkeypatch.setattr(guarded, "mark", guard)

    async def works(state, runtime):
        for n in (1, 2):
            assert (await runtime.store.aget(NS, "k")).value == {"n": n}
            await runtime.store.aput(NS, "k", {"n": n + 1})

    asyncio.run(graph(store, {"works": works}).ainvoke({"said": []}))
    assert refused
    assert store.get(NS, "k").value == {"n": 3}
    store.workspace.close()


def test_a_put_behind_another_threads_turn_does_not_stop_the_loop(handed):
    store = CoherentStore("memory://").as_agent("me")
    held, done = threading.Event(), threading.Event()

    def holds():
        with store._bound.desk.busy:
            held.set()
            done.wait(LIMIT_S)

    async def main():
        await asyncio.to_thread(held.wait, LIMIT_S)
        waiting = asyncio.create_task(store.aput(NS, "k", {"n": 1}))
        while not handed:
            await asyncio.sleep(0)
        done.set()
        await waiting

    thread = threading.Thread(target=holds)
    thread.start()
    asyncio.run(main())
    thread.join()
    assert handed == ["run"]
    assert store.get(NS, "k").value == {"n": 1}


def test_puts_that_wait_keep_nobody_elses_from_going_on(tmp_path):
    """Many wait for one draft; the threads in which others' calls run are not theirs."""
    store = CoherentStore(f"sqlite:///{tmp_path}/team.db")
    store.put(NS, "k", {"text": "one"})
    agents = [store.as_agent(f"agent {number}") for number in range(20)]

    async def main():
        with store.workspace.agent("holder").edit("proj/k") as draft:
            waiting = [
                asyncio.create_task(agent.aput(NS, "k", {"text": agent._bound.desk.name}))
                for agent in agents
            ]
            while len(store.workspace.row("proj/k").row.state.queue) < len(agents):
                await asyncio.sleep(0)
            await store.as_agent("quick").aput(NS, "other", {"n": 1})
            draft.discard()
        await asyncio.gather(*waiting)

    asyncio.run(asyncio.wait_for(main(), LIMIT_S))
    assert store.workspace.row("proj/k").row.state.version == 21
    store.workspace.close()


def test_the_wrapped_store_hears_of_a_put_whose_caller_is_cancelled():
    class Slow(Remote):
        async def abatch(self, ops):
            begun.set()
            await let.wait()
            return await super().abatch(ops)

    async def main():
        nonlocal begun, let
        begun, let = asyncio.Event(), asyncio.Event()
        store = CoherentStore(Slow())
        putting = asyncio.create_task(store.aput(NS, "k", {"n": 1}))
        await begun.wait()
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
        let.set()
        while store.inner.kept.get(NS, "k") is None:
            await asyncio.sleep(0)

    begun = let = None
    with_one_thread(main)


def test_calls_that_block_leave_the_order_to_the_wrapped_store():
    """One after the other: two searches that refresh a TTL at once may lock rows crosswise."""

    class Ordered(Remote):
        under_way = most = 0

        async def abatch(self, ops):
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            await asyncio.sleep(0)  # time for another, if it does not wait
            found = await super().abatch(ops)
            self.under_way -= 1
            return found

    async def main():
        store = CoherentStore(Ordered())

        def works(number):
            store.put(NS, f"k{number}", {"n": number})
            return len(store.search(NS, filter={"n": number}))

        with ThreadPoolExecutor(8) as threads:
            loop = asyncio.get_running_loop()
            found = [loop.run_in_executor(threads, works, number) for number in range(40)]
            assert await asyncio.gather(*found) == [1] * 40
        return store.inner.most

    assert with_one_thread(main) == 1


def test_a_call_that_would_stop_the_wrapped_stores_loop_publishes_nothing():
    async def main():
        store = CoherentStore(Remote())
        with pytest.raises(asyncio.InvalidStateError, match="asynchronous interface"):
            store.put(NS, "k", {"n": 1})
        return store.workspace.names()

    assert with_one_thread(main) == []


def test_a_wrapped_store_that_fails_is_told_by_the_next_put():
    class Failing(InMemoryStore):
        fails = True

        async def abatch(self, ops):
            if self.fails:
                raise OSError("no embeddings today")
            return await super().abatch(ops)

    async def main():
        await store.aput(NS, "k", {"n": 1})

    store = CoherentStore(Failing(), workspace=Workspace())
    with pytest.raises(OSError, match="today"):
        asyncio.run(main())
    assert store.inner.get(NS, "k") is None
    store.inner.fails = False
    asyncio.run(main())
    assert store.inner.get(NS, "k").value == {"n": 1}
