"""What users of LangGraph have reported, plain and coherent; and the example, as a user runs it."""

import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import TypedDict

import pytest

pytest.importorskip("langgraph")
pytest.importorskip("langchain")

from langgraph.errors import InvalidUpdateError
from langgraph.graph import START, StateGraph
from langgraph.store.memory import InMemoryStore

from coherence import Conflict
from coherence_langgraph import ArtifactRefs, CoherentStore

EXAMPLES = Path(__file__).parents[3] / "examples"
NS = ("proj",)


@pytest.mark.slow
def test_the_team_keeps_both_works_and_spends_less():
    """Two parallel edits of one file, the last wins (deepagents 6297); tokens of a real run."""
    command = [sys.executable, "langgraph_team.py"]
    ran = subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    plain, coherent = ran.stdout.splitlines()
    kept = [line.partition("work kept: ")[2].partition(" prompt")[0] for line in (plain, coherent)]
    assert kept[0].strip() in ("coder", "reviewer")
    assert kept[1].strip() == "coder, reviewer"
    tokens = [
        int(n.replace(",", ""))
        for n in re.findall(r"prompt tokens \([^)]*\): ([\d,]+)", ran.stdout)
    ]
    assert tokens[1] < tokens[0] / 2
    assert coherent.endswith(f"saved {100 * (1 - tokens[1] / tokens[0]):.0f} %")


class Texts(TypedDict, total=False):
    plan: str


class Refs(TypedDict, total=False):
    plan: ArtifactRefs


def parallel(state, store, leave):
    builder = StateGraph(state)
    for name in ("a", "b"):
        builder.add_node(name, lambda given, runtime, name=name: leave(runtime.store, name))
        builder.add_edge(START, name)
    return builder.compile(store=store).invoke({})


def test_parallel_nodes_that_share_a_key():
    """Parallel branches that leave one key (langgraph 6446, deepagentsjs 144)."""
    with pytest.raises(InvalidUpdateError):
        parallel(Texts, InMemoryStore(), lambda store, name: {"plan": f"by {name}"})

    def leave(store, name):
        store.get(NS, "plan")
        store.put(NS, "plan", {name: "done"})
        return {"plan": {"plan": store.get(NS, "plan").ref}}

    store = CoherentStore("memory://", on_conflict="merge")
    assert parallel(Refs, store, leave) == {"plan": {"plan": "proj/plan@2"}}


def test_a_value_that_is_changed_without_a_put():
    """InMemoryStore hands out live references (langgraph 8835)."""
    for store, expected in ((InMemoryStore(), []), (CoherentStore(InMemoryStore()), [1])):
        store.put(NS, "k", {"list": [1]})
        store.get(NS, "k").value["list"].clear()
        assert store.get(NS, "k").value["list"] == expected


def test_a_late_subagent_writes_back_what_it_read_long_ago():
    """A stale version written back destroys hours of work (claude-code 43138)."""
    for over in (None, "memory://"):
        store = CoherentStore(over) if over else InMemoryStore()
        store.put(NS, "plan", {"text": "old"})
        read, worked = threading.Event(), threading.Event()

        def late(given, runtime, read=read, worked=worked):
            text = runtime.store.get(NS, "plan").value["text"]
            read.set()
            assert worked.wait(30)
            runtime.store.put(NS, "plan", {"text": text + ", touched up"})

        def hours(given, runtime, read=read, worked=worked):
            assert read.wait(30)
            runtime.store.put(NS, "plan", {"text": "hours of work"})
            worked.set()

        builder = StateGraph(Texts)
        for name, node in (("late", late), ("hours", hours)):
            builder.add_node(name, node)
            builder.add_edge(START, name)
        app = builder.compile(store=store)
        if over:
            with pytest.raises(Conflict):
                app.invoke({})
            assert store.get(NS, "plan").value["text"] == "hours of work"
        else:
            app.invoke({})
            assert store.get(NS, "plan").value["text"] == "old, touched up"
