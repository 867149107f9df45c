"""Parts of one task that run at once: what one has read, another may not write over unseen."""

import asyncio
import contextvars
import threading
from typing import Annotated, Any

import pytest

pytest.importorskip("langgraph")

from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedStore, ToolNode

from coherence import Conflict

NS = ("proj",)


def tool_node(store, size, does):
    """One turn of as many tool calls; all are in the middle of theirs at the same time."""

    @tool
    def work(number: int, store: Annotated[Any, InjectedStore()]) -> str:
        """Work on the item."""
        return does(store, number)

    calls = [{"name": "work", "args": {"number": n}, "id": f"{n}"} for n in range(size)]
    builder = StateGraph(MessagesState)
    builder.add_node("tools", ToolNode([work]))
    builder.add_edge(START, "tools")
    turn = {"messages": [AIMessage("", tool_calls=calls)]}
    out = builder.compile(store=store).invoke(turn, {"max_concurrency": size})
    return [message.content for message in out["messages"][1:]]


@pytest.mark.parametrize("size", [2, 10])
def test_of_tool_calls_that_have_read_one_version_one_puts(store, size):
    store.put(NS, "k", {})
    met = threading.Barrier(size)

    def does(store, number):
        value = store.get(NS, "k").value
        met.wait(30)
        try:
            store.put(NS, "k", {**value, str(number): "done"})
        except Conflict:
            return "refused"
        return "ok"

    said = tool_node(store, size, does)
    assert sorted(said) == ["ok"] + ["refused"] * (size - 1)
    assert store.get(NS, "k").value == {str(said.index("ok")): "done"}


@pytest.mark.parametrize("size", [2, 10])
def test_tool_calls_that_try_again_lose_nothing(store, size):
    store.put(NS, "k", {})
    met = threading.Barrier(size)

    def does(store, number):
        waits = met.wait
        while True:
            value = store.get(NS, "k").value
            waits(30)
            waits = lambda timeout: None  # noqa: E731
            try:
                store.put(NS, "k", {**value, str(number): "done"})
                return "ok"
            except Conflict:
                pass

    assert tool_node(store, size, does) == ["ok"] * size
    assert store.get(NS, "k").value == {str(n): "done" for n in range(size)}


def test_of_coroutines_that_have_read_one_version_one_puts(graph, store):
    store.put(NS, "k", {})

    async def works(state, runtime):
        async def part(number):
            value = (await runtime.store.aget(NS, "k")).value
            await met.wait()
            await runtime.store.aput(NS, "k", {**value, str(number): "done"})

        met = asyncio.Barrier(10)
        ends.extend(await asyncio.gather(*map(part, range(10)), return_exceptions=True))

    ends = []
    asyncio.run(graph(store, {"works": works}).ainvoke({"said": []}))
    assert sorted(type(end).__name__ for end in ends) == ["Conflict"] * 9 + ["NoneType"]
    assert store.get(NS, "k").value == {str(ends.index(None)): "done"}


@pytest.mark.parametrize("how", ["with the context", "with an agent"])
def test_of_threads_of_a_node_that_have_read_one_version_one_puts(graph, store, how):
    """A thread gets no context by itself: then it is outside the graph, unless for an agent."""
    store.put(NS, "k", {})
    with_context = how == "with the context"

    def works(state, runtime):
        theirs = runtime.store if with_context else runtime.store.as_agent("worker")
        met, refused = threading.Barrier(2), []

        def part(number):
            value = theirs.get(NS, "k").value
            met.wait(30)
            try:
                theirs.put(NS, "k", {**value, str(number): "done"})
            except Conflict:
                refused.append(number)

        threads = []
        for number in range(2):
            run = contextvars.copy_context().run if with_context else (lambda call, n: call(n))
            threads.append(threading.Thread(target=run, args=(part, number)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        told.extend(refused)

    told = []
    graph(store, {"works": works}).invoke({"said": []})
    assert len(told) == 1
    assert store.get(NS, "k").value == {str(1 - told[0]): "done"}


def test_calls_that_are_awaited_together_are_their_callers(graph, store):
    """Each is a task of its own to asyncio, and its context is gone when it ends."""
    store.put(NS, "k", {"n": 1})
    store.put(NS, "j", {"n": 1})
    other = store.as_agent("other")

    async def works(state, runtime):
        over = runtime.store
        assert await over.aget(NS, "i") is None
        k, j = await asyncio.gather(over.aget(NS, "k"), over.aget(NS, "j"))
        await asyncio.gather(
            over.aput(NS, "k", {"n": k.value["n"] + 1}), over.aput(NS, "j", {"n": j.value["n"] + 1})
        )
        with pytest.raises(Conflict):  # the put before might still be under way: read again
            await over.aput(NS, "k", {"n": 3})
        assert (await over.aget(NS, "k")).value == {"n": 2}
        await over.aput(NS, "k", {"n": 3})
        other.put(NS, "j", {"n": 9})
        with pytest.raises(Conflict):
            await over.aput(NS, "j", {"n": 3})
        await asyncio.wait_for(over.aget(NS, "j"), 30)
        await over.aput(NS, "j", {"n": 10})

    asyncio.run(graph(store, {"works": works}).ainvoke({"said": []}))
    assert store.get(NS, "k").value == {"n": 3}
    assert store.get(NS, "j").value == {"n": 10}


def test_tools_that_a_node_calls_are_of_its_task(graph, store):
    store.put(NS, "k", {"n": 1})

    @tool
    async def load() -> dict:
        """Load it."""
        return (await store.aget(NS, "k")).value

    @tool
    async def save(n: int) -> None:
        """Save it."""
        await store.aput(NS, "k", {"n": n})

    async def works(state, runtime):
        value = await load.ainvoke({})
        store.as_agent("other").put(NS, "k", {"n": 5})
        with pytest.raises(Conflict):
            await save.ainvoke({"n": value["n"] + 1})
        await load.ainvoke({})
        await save.ainvoke({"n": 6})
        with pytest.raises(Conflict):  # the two might run at once: it cannot be told
            await save.ainvoke({"n": 7})
        await load.ainvoke({})
        await save.ainvoke({"n": 7})

    asyncio.run(graph(store, {"works": works}).ainvoke({"said": []}))
    assert store.get(NS, "k").value == {"n": 7}
