"""The twelve scenarios that every adapter passes, on graphs and agents of LangGraph."""

import subprocess
import sys
import threading

import pytest

pytest.importorskip("langgraph")
pytest.importorskip("langchain")

from langchain.agents.middleware import AgentMiddleware
from langgraph.types import RetryPolicy

from coherence import Conflict, Lazy, Workspace
from coherence_langgraph import CoherentStore

NS = ("proj",)
PLAN = "# Plan\n" + "".join(f"- step {number} of a long plan\n" for number in range(1, 21))
READ = ("read_artifact", {"name": "proj/plan.md"})
AGAIN = ("read_artifact", {"name": "proj/plan.md", "have": "proj/plan.md@1"})
RETRY = RetryPolicy(max_attempts=50, initial_interval=0.001, max_interval=0.01, retry_on=Conflict)


def text_of(store):
    return store.as_agent("judge").get(NS, "plan.md").value["text"]


def reads(state, runtime):
    return {"said": [runtime.store.get(NS, "plan.md").value["text"]]}


def writes(text):
    return lambda state, runtime: runtime.store.put(NS, "plan.md", {"text": text})


def after(act, then):
    """A turn before which something happens."""

    def turn(_messages):
        act()
        return then

    return turn


def test_plan_read_by_four_written_by_one(graph, store):
    four = {f"reader {number}": reads for number in range(4)}
    again = {f"{name} again": reads for name in four}
    app = graph(store, {"planner": writes("one")}, four, {"replan": writes("two")}, again)
    assert app.invoke({"said": []})["said"] == ["one"] * 4 + ["two"] * 4


@pytest.mark.parametrize("on_conflict", ["raise", "merge"])
def test_two_parallel_writers(graph, on_conflict):
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


def test_stale_write_after_long_work(graph, store):
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


def test_unchanged_reread(store, play):
    store.put(NS, "plan.md", {"text": PLAN})
    (first, second), prompts = play(store, "coder", [READ, AGAIN, "done"])
    assert first == f"[proj/plan.md@1]\n{PLAN}"
    assert second == "[proj/plan.md is unchanged since proj/plan.md@1]"
    assert not any("is now" in message.text for prompt in prompts for message in prompt)


def test_delta_reread(store, play):
    store.put(NS, "plan.md", {"text": PLAN})
    planner = store.as_agent("planner")
    changed = {"text": PLAN.replace("step 7 ", "step seven ")}
    later = after(lambda: planner.put(NS, "plan.md", changed), AGAIN)
    (_, second), prompts = play(store, "coder", [READ, later, "done"])
    assert second.startswith("[proj/plan.md@2: changes since proj/plan.md@1]")
    assert "+- step seven of" in second
    assert "step 8" not in second
    assert "is now" not in prompts[2][-1].text  # the delta has told it


class OnlyLast(AgentMiddleware):
    """Shows a model the last two messages only."""

    def wrap_model_call(self, request, handler):
        return handler(request.override(messages=request.messages[-2:]))


def test_context_trimmed_then_read(store, play):
    store.put(NS, "plan.md", {"text": PLAN})
    other = ("list_artifacts", {})
    answers, prompts = play(store, "coder", [READ, other, AGAIN, "done"], before=[OnlyLast()])
    assert PLAN not in "".join(message.text for message in prompts[2])
    assert answers[2] == f"[proj/plan.md@1]\n{PLAN}"


def test_exclusive_edit_with_a_waiter(graph, store):
    store.put(NS, "plan.md", {"text": "one\n"})
    held = threading.Event()

    def holds(state, runtime):
        with runtime.store.desk().agent() as me, me.edit("proj/plan.md") as draft:
            held.set()
            while not store.workspace.row("proj/plan.md").row.state.queue:
                assert waiter.is_alive()
            draft.text += "two\n"
        runtime.store.put(NS, "done", {"by": "holder"})

    def waits():
        assert held.wait(30)
        with store.workspace.agent("waiter").edit("proj/plan.md") as draft:
            draft.text += "three\n"

    waiter = threading.Thread(target=waits)
    waiter.start()
    graph(store, {"holder": holds}).invoke({"said": []})
    waiter.join(30)
    assert text_of(store) == "one\ntwo\nthree\n"


CRASHES = """
import os, sys
from coherence import Lazy, Workspace
agent = Workspace(sys.argv[1], policy=Lazy(grant_lease=0.5)).agent("doomed")
with agent.edit("proj/plan.md") as draft:
    draft.text = "half a thought"
    os._exit(9)
"""

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


def test_writer_crashes_mid_edit(graph, tmp_path):
    url = f"sqlite:///{tmp_path}/team.db"
    with Workspace(url, policy=Lazy(grant_lease=0.5)) as workspace:
        store = CoherentStore(workspace)
        store.put(NS, "plan.md", {"text": "one\n"})
        crashed = subprocess.run([sys.executable, "-c", CRASHES, url], check=False)
        assert crashed.returncode == 9

        def carries_on(state, runtime):
            text = runtime.store.get(NS, "plan.md").value["text"]
            runtime.store.put(NS, "plan.md", {"text": text + "two\n"})

        graph(store, {"coder": carries_on}).invoke({"said": []})
        assert text_of(store) == "one\ntwo\n"


def test_agent_joins_late(graph, store):
    for version in range(1, 6):
        graph(store, {"planner": writes(f"plan {version}")}).invoke({"said": []})
    late = graph(store, {"newcomer": reads})
    assert late.invoke({"said": []})["said"] == ["plan 5"]
    assert store.get(NS, "plan.md").ref == "proj/plan.md@5"


def test_delete_and_recreate(graph, store):
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


def test_two_processes_one_file(graph, tmp_path):
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


def test_recorded_run_accepted(graph, play, recorded):
    """Every step that the protocol took for this run, judged by its invariants."""
    store = CoherentStore("memory://")
    met = threading.Barrier(3)

    def adds(state, runtime):
        text = runtime.store.get(NS, "plan.md").value["text"]
        if not state["said"]:
            met.wait(30)
        runtime.store.put(NS, "plan.md", {"text": text + "more\n"})

    first = graph(store, {"planner": writes("one\n")})
    first.invoke({"said": []})
    three = {f"coder {number}": adds for number in range(3)}
    app = graph(store, three, {"reader": reads})
    with pytest.raises(Conflict):
        app.invoke({"said": []})
    graph(store, {"coder 0": adds}, {"reader": reads}, retry=RETRY).invoke({"said": ["later"]})
    edit = ("edit_artifact", {"name": "proj/plan.md", "old": "one", "new": "two"})
    play(store, "editor", [READ, edit, "done"])
    assert recorded.verdict() == ""
    names = {address for address, _, _ in recorded.steps}
    assert {"planner", "coder 0", "coder 1", "coder 2", "reader", "editor", "home"} <= names
