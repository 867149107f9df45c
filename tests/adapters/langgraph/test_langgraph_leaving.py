"""The agents of a graph leave when its run is over, and only then."""

import asyncio
import os
import subprocess
import sys
import threading

import pytest

pytest.importorskip("langgraph")
pytest.importorskip("langchain")

from langgraph.graph import START, StateGraph
from langgraph.store.memory import InMemoryStore
from leaving import at_once, there

from coherence import Workspace
from coherence_langgraph import CoherentStore, artifact_tools

__all__ = ["at_once"]

NS = ("proj",)
READ = ("read_artifact", {"name": "proj/plan.md"})


def adds(state, runtime):
    item = runtime.store.get(NS, "plan.md")
    runtime.store.put(NS, "plan.md", {"text": (item.value["text"] if item else "") + "x"})


async def adds_awaited(state, runtime):
    item = await runtime.store.aget(NS, "plan.md")
    await runtime.store.aput(NS, "plan.md", {"text": (item.value["text"] if item else "") + "x"})


STEPS = {"planner": adds}, {"coder": adds}, {"reviewer": adds}


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/team.db"


@pytest.fixture
def looking(url):
    """A workspace by which to see who is there."""
    with Workspace(url) as opened:
        yield opened


@pytest.mark.slow
def test_a_graph_that_was_run_leaves_nobody_behind(graph, looking, url, at_once):
    store = CoherentStore(url)
    app = graph(store, *STEPS)
    for _ in range(3):
        app.invoke({"said": []})
        assert there(looking) == []
    assert looking.agent("judge").read("proj/plan.md").text == "x" * 9
    store.workspace.close()


def test_runs_that_follow_each_other_go_on_with_their_agents(graph, looking, url):
    def looks(state, runtime):
        runtime.store.get(NS, "plan.md")

    store = CoherentStore(url)
    store.put(NS, "plan.md", {"text": "x"})
    app = graph(store, {"planner": looks}, {"coder": looks})
    for _ in range(5):
        app.invoke({"said": []})
    assert there(looking) == ["coder", "outside", "planner"]
    assert store.workspace.metrics()["hits"] == 8
    store.workspace.close()


@pytest.mark.slow
def test_stores_that_are_dropped_leave_nobody_behind(graph, looking, url):
    for _ in range(5):
        store = CoherentStore(url)
        store.put(NS, "plan.md", {"text": ""})
        graph(store, *STEPS).invoke({"said": []})
        workspace = store.workspace
        del store
        assert there(looking) == []
        workspace.close()


@pytest.mark.slow
def test_awaited_runs_and_broken_off_streams(graph, looking, url, at_once):
    store = CoherentStore(url)
    app = graph(store, *({name: adds_awaited} for step in STEPS for name in step))
    asyncio.run(app.ainvoke({"said": []}))
    assert there(looking) == []
    stream = graph(store, *STEPS).stream({"said": []})
    next(stream)
    assert "planner" in there(looking)
    stream.close()
    del stream
    assert there(looking) == []
    store.workspace.close()


def test_a_run_that_fails_leaves_nobody_behind(graph, looking, url, at_once):
    def fails(state, runtime):
        adds(state, runtime)
        raise ZeroDivisionError

    store = CoherentStore(InMemoryStore(), workspace=url)
    with pytest.raises(ZeroDivisionError):
        graph(store, {"planner": fails}).invoke({"said": []})
    assert there(looking) == []
    store.workspace.close()


@pytest.mark.slow
def test_an_agent_stays_for_another_run_of_the_same_graph(graph, looking, url, at_once):
    store, met, over = CoherentStore(url), threading.Barrier(2), threading.Event()
    one_at_a_time = threading.Lock()

    def works(state, runtime):
        with one_at_a_time:
            adds(state, runtime)
        met.wait(30)
        if state["said"]:
            assert over.wait(30)
            served.append(runtime.store.workspace.metrics())
            runtime.store.get(NS, "plan.md")
            served.append(runtime.store.workspace.metrics())

    def run(*said):
        retried.invoke({"said": [*said]})

    served = []
    retried = graph(store, {"coder": works}, retry=None)
    store.put(NS, "plan.md", {"text": ""})
    first, second = (threading.Thread(target=run, args=said) for said in ((), ("stays",)))
    first.start()
    second.start()
    first.join(30)
    assert there(looking) == ["coder", "outside"]
    over.set()
    second.join(30)
    before, after = served
    assert after["hits"] == before["hits"] + 1, "it has what it had"
    assert there(looking) == ["outside"]
    store.workspace.close()


@pytest.mark.slow
def test_agents_with_tools_named_or_not(looking, url, agent, at_once):
    store = CoherentStore(url)
    store.put(NS, "plan.md", {"text": "x"})
    made, _ = agent(store, "coder", [READ, "done"])
    seen = []

    def looks(state):
        seen.append(there(looking))

    builder = StateGraph(dict)
    builder.add_node("works", lambda state: (made.invoke({"messages": [("user", "go")]}), {})[1])
    builder.add_node("looks", looks)
    builder.add_edge(START, "works")
    builder.add_edge("works", "looks")
    builder.compile().invoke({})
    assert seen == [["outside"]], "its own run is over"
    tools = artifact_tools(store, "by name")
    inner = StateGraph(dict)
    inner.add_node("calls", lambda state: (tools[0].invoke({"name": "proj/plan.md"}), looks(0))[1])
    inner.add_edge(START, "calls")
    inner.compile(store=store).invoke({})
    assert seen[1:] == [["by name", "outside"]]
    assert there(looking) == ["outside"]
    store.workspace.close()


@pytest.mark.slow
def test_a_store_for_one_agent_keeps_it_as_long_as_itself(looking, url):
    store = CoherentStore(url)
    for number in range(3):
        store.as_agent(f"user {number}").put(NS, "plan.md", {"text": "x"})
    assert there(looking) == []
    kept = store.as_agent("kept")
    kept.put(NS, "plan.md", {"text": "y"})
    assert there(looking) == ["kept"]
    store.workspace.close()


RUNS = """
import sys
from langgraph.graph import START, StateGraph
from coherence_langgraph import CoherentStore

def adds(state, runtime):
    item = runtime.store.get(("proj",), "plan.md")
    runtime.store.put(("proj",), "plan.md", {"text": (item.value["text"] if item else "") + "x"})

store = CoherentStore(sys.argv[1])
builder = StateGraph(dict)
before = START
for name in ("planner", "coder", "reviewer", "writer"):
    builder.add_node(name, adds)
    builder.add_edge(before, name)
    before = name
builder.compile(store=store).invoke({})
store.get(("proj",), "plan.md")
"""


@pytest.mark.slow
def test_scripts_as_in_the_guide_leave_nobody_behind(looking, url):
    path = os.pathsep.join(filter(None, sys.path))
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", RUNS, url],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert looking.members() == []
    assert looking.agent("judge").read("proj/plan.md").text == "x" * 8
