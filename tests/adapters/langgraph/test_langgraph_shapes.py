"""No silent loss in any shape that a graph can take, by seeded schedules.

Each part of a shape adds its mark to one item by get and put.  A schedule holds every part before
each of its store calls, and lets one go on at a time, chosen by the seed.  At the end the item has
the marks of all parts whose puts went well, and of no other.
"""

import asyncio
import contextvars
import threading
from concurrent.futures import Future
from pathlib import Path
from random import Random
from typing import Annotated, Any, TypedDict

import pytest
from soaking import times

pytest.importorskip("langgraph")

from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedStore, ToolNode
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, RetryPolicy, Send, interrupt

from coherence import Conflict
from coherence_langgraph import ArtifactRefs, CoherentStore

NS = ("proj",)
RETRY = RetryPolicy(
    max_attempts=50, initial_interval=0.0001, max_interval=0.001, jitter=False, retry_on=Conflict
)


class Schedule:
    """Lets one of `parts` go on at a time, as `seed` has it, once all that are left wait."""

    def __init__(self, seed, parts):
        self._random, self._left, self._lock = Random(seed), parts, threading.Lock()
        self._waiting: dict[int, Future[None]] = {}

    def turn(self, part):
        """What the part waits for before its next call."""
        turn: Future[None] = Future()
        with self._lock:
            self._waiting[part] = turn
            self._go_on()
        return turn

    def ends(self):
        with self._lock:
            self._left -= 1
            self._go_on()

    def _go_on(self):
        if self._waiting and len(self._waiting) == self._left:
            self._waiting.pop(self._random.choice(sorted(self._waiting))).set_result(None)


class Parts:
    """What the parts of one run do, and how each has ended."""

    def __init__(self, store, seed, count):
        self.store, self.count = store, count
        self.schedule = Schedule(seed, count)
        #: Whether parts that lost try again, themselves.
        self.tries_again = Random(seed).random() < 0.5
        self.went_well = set()

    def adds(self, part, over=None, *, ends=True):
        """Get and put by a part that blocks; whether it went well."""
        over = over or self.store
        while True:
            self.schedule.turn(part).result(60)
            value = over.get(NS, "k").value
            self.schedule.turn(part).result(60)
            try:
                over.put(NS, "k", {**value, str(part): True})
            except Conflict:
                if self.tries_again:
                    continue
                if not ends:
                    raise
                self.schedule.ends()
                return False
            self.went_well.add(str(part))
            self.schedule.ends()
            return True

    async def adds_awaited(self, part):
        """The same by a part that awaits."""
        while True:
            await asyncio.wrap_future(self.schedule.turn(part))
            value = (await self.store.aget(NS, "k")).value
            await asyncio.wrap_future(self.schedule.turn(part))
            try:
                await self.store.aput(NS, "k", {**value, str(part): True})
            except Conflict:
                if self.tries_again:
                    continue
                self.schedule.ends()
                return
            self.went_well.add(str(part))
            self.schedule.ends()
            return


class Numbered(TypedDict, total=False):
    part: int


def one_node(store, node):
    builder = StateGraph(dict)
    builder.add_node("works", node)
    builder.add_edge(START, "works")
    return builder.compile(store=store)


def at_once(count):
    return {"max_concurrency": count}


def tool_calls(parts):
    @tool
    def work(part: int, store: Annotated[Any, InjectedStore()]) -> str:
        """Work on the item."""
        return str(parts.adds(part, store))

    calls = [{"name": "work", "args": {"part": n}, "id": f"{n}"} for n in range(parts.count)]
    builder = StateGraph(MessagesState)
    builder.add_node("tools", ToolNode([work]))
    builder.add_edge(START, "tools")
    turn = {"messages": [AIMessage("", tool_calls=calls)]}
    builder.compile(store=parts.store).invoke(turn, at_once(parts.count))


def gathered(parts):
    async def works(state):
        if parts.tries_again:  # then the parts have a creator that has read it too
            await parts.store.aget(NS, "k")
        await asyncio.gather(*map(parts.adds_awaited, range(parts.count)))

    asyncio.run(one_node(parts.store, works).ainvoke({}))


def handed_on(parts):
    """Coroutines that put what their node has read, without a read of their own."""

    async def works(state):
        async def saves(part):
            await asyncio.wrap_future(parts.schedule.turn(part))
            try:
                await parts.store.aput(NS, "k", {**value, str(part): True})
                parts.went_well.add(str(part))
            except Conflict:
                pass
            parts.schedule.ends()

        if parts.tries_again:
            value = (await parts.store.aget(NS, "k")).value
        else:
            await parts.store.aget(NS, "other")
            value = (await asyncio.gather(parts.store.aget(NS, "k")))[0].value
        await asyncio.gather(*map(saves, range(parts.count)))

    asyncio.run(one_node(parts.store, works).ainvoke({}))
    assert len(parts.went_well) == 1


def threads(parts):
    def works(state):
        parts.store.get(NS, "k")
        running = [
            threading.Thread(target=contextvars.copy_context().run, args=(parts.adds, part))
            for part in range(parts.count)
        ]
        for each in running:
            each.start()
        for each in running:
            each.join(60)

    one_node(parts.store, works).invoke({})


def threads_of_an_agent(parts):
    agent = parts.store.as_agent("agent")
    running = [
        threading.Thread(target=parts.adds, args=(part, agent)) for part in range(parts.count)
    ]
    for each in running:
        each.start()
    for each in running:
        each.join(60)


def nodes(parts, retry=None):
    builder = StateGraph(dict)
    for part in range(parts.count):

        def works(state, part=part):
            parts.adds(part, ends=retry is None)

        builder.add_node(f"part {part}", works, retry_policy=retry)
        builder.add_edge(START, f"part {part}")
    builder.compile(store=parts.store).invoke({}, at_once(parts.count))


def retries(parts):
    nodes(parts, RETRY)
    assert len(parts.went_well) == parts.count


def sends(parts):
    builder = StateGraph(Numbered)

    def works(state):
        parts.adds(state["part"])

    builder.add_node("works", works)
    all_of_them = [Send("works", {"part": part}) for part in range(parts.count)]
    builder.add_conditional_edges(START, lambda state: all_of_them, ["works"])
    builder.compile(store=parts.store).invoke({}, at_once(parts.count))


def subgraphs(parts):
    outer = StateGraph(Numbered)
    for part in range(parts.count):
        inner = StateGraph(Numbered)

        def works(state, part=part):
            parts.adds(part)

        inner.add_node("works", works)
        inner.add_edge(START, "works")
        outer.add_node(f"team {part}", inner.compile())
        outer.add_edge(START, f"team {part}")
    outer.compile(store=parts.store).invoke({}, at_once(parts.count))


def interrupts(parts):
    """Runs that stop between get and put; a seed says in which order they go on."""

    def works(state, config):
        part = config["configurable"]["thread_id"]
        value = parts.store.get(NS, "k").value
        interrupt("go on?")
        parts.store.put(NS, "k", {**value, part: True})
        parts.went_well.add(part)

    builder = StateGraph(dict)
    builder.add_node("works", works)
    builder.add_edge(START, "works")
    app = builder.compile(store=parts.store, checkpointer=InMemorySaver())
    steps = [str(part) for part in range(parts.count)] * 2
    parts.schedule._random.shuffle(steps)
    begun = set()
    for part in steps:
        given = Command(resume="yes") if part in begun else {}
        begun.add(part)
        app.invoke(given, {"configurable": {"thread_id": part}})
    assert len(parts.went_well) == parts.count


class Referred(TypedDict, total=False):
    refs: ArtifactRefs


def time_travel(parts):
    """A run is gone back in, to where it had read; what was written since may not be lost."""
    store, random = parts.store, parts.schedule._random
    other = store.as_agent("other")

    def loads(state, runtime):
        return {"refs": {"k": runtime.store.get(NS, "k").ref}}

    def saves(state, runtime):
        value = runtime.store.resolve(state["refs"]["k"]).value
        mark = str(len(parts.went_well))
        runtime.store.put(NS, "k", {**value, mark: True})
        parts.went_well.add(mark)

    builder = StateGraph(Referred)
    builder.add_node("loads", loads)
    builder.add_node("saves", saves)
    builder.add_edge(START, "loads")
    builder.add_edge("loads", "saves")
    app = builder.compile(store=store, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    app.invoke({}, config)
    for _ in range(parts.count):
        if random.random() < 0.5:
            mark = f"other {len(parts.went_well)}"
            other.put(NS, "k", {**other.get(NS, "k").value, mark: True})
            parts.went_well.add(mark)
        past = [at for at in app.get_state_history(config) if at.next]
        back = random.choice(past)
        try:
            app.invoke(None, back.config)
        except Conflict:
            assert back.next == ("saves",)


#: Shape -> what runs it, and how many parts there are.  The page names each of them.
SHAPES = {
    "2 tool calls of one `ToolNode`": (tool_calls, 2),
    "10 tool calls of one `ToolNode`": (tool_calls, 10),
    "2 coroutines of `asyncio.gather`": (gathered, 2),
    "10 coroutines of `asyncio.gather`": (gathered, 10),
    "4 coroutines that put what their node has read": (handed_on, 4),
    "4 threads of a node, in copies of its context": (threads, 4),
    "4 threads of one `as_agent`": (threads_of_an_agent, 4),
    "4 parallel nodes": (nodes, 4),
    "4 parallel nodes with `RetryPolicy`": (retries, 4),
    "4 copies of a node by `Send`": (sends, 4),
    "4 parallel subgraphs": (subgraphs, 4),
    "4 runs with an interrupt between get and put": (interrupts, 4),
    "time travel, with refs and `resolve`": (time_travel, 6),
}


def run(shape, seed, over):
    shape, count = SHAPES[shape]
    store = CoherentStore(over())
    store.put(NS, "k", {})
    parts = Parts(store, seed, count)
    shape(parts)
    there = store.get(NS, "k").value
    assert set(there) == parts.went_well, f"seed {seed}"
    assert there == (store.inner.get(NS, "k").value if store.inner else there)
    store.close()


@pytest.mark.slow(fast=6)
@pytest.mark.parametrize("over", [InMemoryStore, lambda: "memory://"], ids=["wraps", "memory"])
@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_is_lost_in_silence(shape, over):
    for seed in range(5):
        run(shape, seed, over)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, times(300), 100))
@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_is_lost_in_silence_in_hundreds_of_runs(shape, first):
    for seed in range(first, first + 100):
        run(shape, seed, InMemoryStore if seed % 2 else lambda: "memory://")


def test_a_plain_store_loses_in_the_same_schedules():
    lost = 0
    for seed in range(5):
        store = InMemoryStore()
        store.put(NS, "k", {})
        parts = Parts(store, seed, 4)
        sends(parts)
        lost += len(parts.went_well) - len(store.get(NS, "k").value)
    assert lost > 0


def test_the_page_has_each_shape():
    page = Path(__file__).parents[3] / "docs" / "adapters" / "langgraph.md"
    table = page.read_text().partition("| shape |")[2].partition("\n\n")[0]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()[2:]]
    assert rows == list(SHAPES)
