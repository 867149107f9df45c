"""Events on the stream of a graph say what was read and what that saved."""

import pytest

pytest.importorskip("langgraph")

from coherence import View
from coherence.tokens import Estimate
from coherence_langgraph import CoherentStore, artifact_tools


def test_the_stream_has_the_sizes_of_store_and_tools(graph, monkeypatch):
    monkeypatch.setattr(View, "counter", Estimate())
    store = CoherentStore("memory://")
    read, *_ = artifact_tools(store)
    text = "one more line\n" * 30

    def node(state, *, store):
        store.put(("proj",), "plan.md", {"text": text})
        store.get(("proj",), "plan.md")
        first = read.invoke({"name": "proj/plan.md"})
        assert text in first
        read.invoke({"name": "proj/plan.md", "have": "proj/plan.md@1"})

    with store:
        events = list(graph(store, {"node": node}).stream({}, stream_mode="custom"))
        whole = -(-len(text) // 4)
        assert [event["coherence"] for event in events] == ["publish", "hit", "fill", "fill"]
        assert [event["tokens"] for event in events[:3]] == [whole] * 3
        assert {event["ref"] for event in events} == {"proj/plan.md@1"}
        unchanged = events[-1]
        assert (unchanged["served"], unchanged["tokens"] + unchanged["saved"]) == (
            "unchanged",
            whole,
        )
        assert {event["agent"] for event in events[:2]} == {"node"}
        total = store.workspace.stats().total
        assert total.reads == 3
        assert total.saved_tokens == unchanged["saved"] - 5, "less a tag before the whole text"


def test_authors_and_events_carry_one_name(graph, tmp_path):
    """Over a file it has a suffix, since several processes may run one program."""
    with CoherentStore(f"sqlite:///{tmp_path}/team.db") as store:

        def node(state, *, store):
            store.put(("proj",), "plan.md", {"text": "text"})

        (event,) = graph(store, {"planner": node}).stream({}, stream_mode="custom")
        (entry,) = store.workspace.history("proj/plan.md")
        (line,) = store.workspace.stats().by("agent")
        assert event["agent"] == entry.author == line.name
        assert entry.author.startswith("planner.")
