"""The twelve scenarios that every adapter passes, by agents; and some of them by plain nodes."""

import subprocess
import sys
import threading

import pytest

pytest.importorskip("langgraph")
pytest.importorskip("langchain")

from langgraph.types import RetryPolicy
from scenarios import SCENARIOS

from coherence import Conflict
from coherence_langgraph import CoherentStore

NS = ("proj",)
PLAN = "# Plan\n" + "".join(f"- step {number} of a long plan\n" for number in range(1, 21))
RETRY = RetryPolicy(
    max_attempts=50, initial_interval=0.001, max_interval=0.01, jitter=False, retry_on=Conflict
)


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_scenario(scenario, driver, tmp_path):
    scenario(driver, tmp_path)


# Nodes that get and put, as they are.


def text_of(store):
    return store.as_agent("judge").get(NS, "plan.md").value["text"]


@pytest.mark.parametrize("on_conflict", ["raise", "merge"])
def test_two_parallel_nodes(graph, on_conflict):
    store = CoherentStore("memory://", on_conflict=on_conflict)
    store.put(NS, "plan.md", {"text": PLAN})
    met = threading.Barrier(2)

    def changes(old, new):
        def node(state, runtime):
            text = runtime.store.get(NS, "plan.md").value["text"]
            met.wait(30)
            try:
                runtime.store.put(NS, "plan.md", {"text": text.replace(old, new)})
            except Conflict as conflict:
                # The loser is told, and has what it needs to keep both.
                runtime.store.resolve(str(conflict.current))
                runtime.store.put(NS, "plan.md", {"text": conflict.merge()})
                return {"said": [conflict.summary]}

        return node

    app = graph(store, {"a": changes("step 2 ", "step A "), "b": changes("step 9 ", "step B ")})
    said = app.invoke({"said": []})["said"]
    assert len(said) == (on_conflict == "raise")
    assert text_of(store) == PLAN.replace("step 2 ", "step A ").replace("step 9 ", "step B ")


def test_a_node_that_has_worked_for_long(graph, store):
    store.put(NS, "plan.md", {"text": PLAN})
    human = store.as_agent("human")

    def works(state, runtime):
        text = runtime.store.get(NS, "plan.md").value["text"]
        human.put(NS, "plan.md", {"text": "a better plan"})  # while a model thinks
        runtime.store.put(NS, "plan.md", {"text": text + "- an afterthought\n"})

    with pytest.raises(Conflict) as refused:
        graph(store, {"coder": works}).invoke({"said": []})
    assert text_of(store) == "a better plan"
    assert refused.value.author == "human"
    assert refused.value.yours == PLAN + "- an afterthought\n"


def test_nodes_that_delete_and_recreate(graph, store):
    store.put(NS, "plan.md", {"text": "old"})
    store.as_agent("reader").get(NS, "plan.md")

    def deletes(state, runtime):
        runtime.store.delete(NS, "plan.md")

    def looks(state, runtime):
        assert runtime.store.get(NS, "plan.md") is None
        assert runtime.store.search(NS) == []
        runtime.store.put(NS, "plan.md", {"text": "new"})

    graph(store, {"planner": deletes}, {"coder": looks}).invoke({"said": []})
    item = store.as_agent("reader").get(NS, "plan.md")
    assert (item.value, item.ref) == ({"text": "new"}, "proj/plan.md@3")
    assert [found.value for found in store.search(NS)] == [{"text": "new"}]


ADDS = """
import sys
sys.path[:0] = sys.argv[2:]
from langgraph.graph import START, StateGraph
from coherence import Conflict
from coherence_langgraph import CoherentStore

def adds(state):
    for _ in range(20):
        while True:
            item = store.get(("proj",), "count")
            try:
                store.put(("proj",), "count", {"n": item.value["n"] + 1})
                break
            except Conflict:
                continue

store = CoherentStore(sys.argv[1])
builder = StateGraph(dict)
builder.add_node("adds", adds)
builder.add_edge(START, "adds")
print("ready", flush=True)
sys.stdin.readline()
builder.compile(store=store).invoke({})
store.workspace.close()
"""


@pytest.mark.slow
def test_nodes_of_two_processes(graph, tmp_path):
    url = f"sqlite:///{tmp_path}/team.db"
    store = CoherentStore(url)
    store.put(NS, "count", {"n": 0})
    command = [sys.executable, "-c", ADDS, url, *(path for path in sys.path if path)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "ready\n"

    def adds(state, runtime):
        item = runtime.store.get(NS, "count")
        runtime.store.put(NS, "count", {"n": item.value["n"] + 1})

    app = graph(store, {f"adds {number}": adds for number in range(10)}, retry=RETRY)
    other.stdin.write("go\n")
    other.stdin.flush()
    app.invoke({"said": []})
    other.communicate(timeout=60)
    assert other.returncode == 0
    assert store.as_agent("judge").get(NS, "count").value == {"n": 30}
    assert [found.value for found in store.search(NS)] == [{"n": 30}]
    store.workspace.close()
