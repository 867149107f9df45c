"""Refs in the state, tools for a model, and the notice that closes its prompt."""

import threading
from typing import TypedDict

import pytest

pytest.importorskip("langgraph")
pytest.importorskip("langchain")

from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.store.memory import InMemoryStore

from coherence import BadRef, Conflict, InvalidName, Ref, WorkspaceClosed
from coherence.context.calls import claim
from coherence.context.notices import NOTICE
from coherence_langgraph import ArtifactRefs, CoherentStore, RefsClash, artifact_tools, newest_refs
from coherence_langgraph.middleware import CoherenceMiddleware, in_context

NS = ("proj",)
PLAN = "# Plan\n" + "".join(f"- step {number} of a long plan\n" for number in range(1, 21))
READ = ("read_artifact", {"name": "proj/plan.md"})
AGAIN = ("read_artifact", {"name": "proj/plan.md", "have": "proj/plan.md@1"})


# Refs


class Refs(TypedDict, total=False):
    refs: ArtifactRefs


def test_the_newest_ref_wins_in_whatever_order():
    assert newest_refs({"p": "p@2"}, {"p": "p@10", "q": "q@1"}) == {"p": "p@10", "q": "q@1"}
    assert newest_refs({"p": "p@10"}, {"p": "p@2"}) == {"p": "p@10"}


def test_a_key_is_one_artifact():
    with pytest.raises(RefsClash):
        newest_refs({"p": "p@2"}, {"p": "q@3"})
    with pytest.raises(BadRef):
        newest_refs({}, {"p": "the plan"})


def test_parallel_nodes_leave_the_newest_ref_in_the_state():
    """Where each leaves the text, LangGraph raises InvalidUpdateError."""
    store = CoherentStore("memory://", on_conflict="merge")
    store.put(NS, "plan.md", {"text": PLAN})

    def changes(step):
        def node(state, runtime):
            text = runtime.store.get(NS, "plan.md").value["text"]
            text = text.replace(f"step {step} ", "a step ")
            runtime.store.put(NS, "plan.md", {"text": text})
            return {"refs": {"plan": runtime.store.get(NS, "plan.md").ref}}

        return node

    builder = StateGraph(Refs)
    for step in (3, 9, 15):
        builder.add_node(f"coder {step}", changes(step))
        builder.add_edge(START, f"coder {step}")
    assert builder.compile(store=store).invoke({}) == {"refs": {"plan": "proj/plan.md@4"}}
    assert store.get(NS, "plan.md").value["text"].count("a step") == 3


def test_an_old_checkpoint_is_served_its_version_and_told_what_changed():
    store = CoherentStore(InMemoryStore())
    store.put(NS, "plan.md", {"text": "one\n"})

    def plans(state, runtime):
        return {"refs": {"plan": runtime.store.get(NS, "plan.md").ref}}

    seen = []

    def codes(state, runtime):
        item = runtime.store.resolve(state["refs"]["plan"])
        seen.append(item.value["text"])
        try:
            runtime.store.put(NS, "plan.md", {"text": item.value["text"] + "two\n"})
        except Conflict as conflict:
            seen.append(conflict.summary)

    builder = StateGraph(Refs)
    builder.add_node("plans", plans)
    builder.add_node("codes", codes)
    builder.add_edge(START, "plans")
    builder.add_edge("plans", "codes")
    app = builder.compile(store=store, checkpointer=InMemorySaver())
    thread = {"configurable": {"thread_id": "1"}}
    app.invoke({}, thread)
    (before,) = [old for old in app.get_state_history(thread) if old.next == ("codes",)]
    assert before.values == {"refs": {"plan": "proj/plan.md@1"}}
    app.invoke(None, before.config)
    assert seen[:2] == ["one\n", "one\n"]
    assert "current is proj/plan.md@2, by codes" in seen[2]
    assert "+two" in seen[2]
    assert store.get(NS, "plan.md").value == {"text": "one\ntwo\n"}


# Tools


def test_a_refused_write_tells_the_model_what_to_do(store, play):
    store.put(NS, "plan.md", {"text": "one\n"})
    write = ("write_artifact", {"name": "proj/plan.md", "text": "mine\n"})
    based = ("write_artifact", {**write[1], "base": "proj/plan.md@1"})
    answers, _ = play(store, "coder", [write, based, based, "done"])
    assert answers[0].startswith("Refused (conflict): You wrote from nothing; current is")
    assert answers[1] == "[proj/plan.md@2 is written]"
    assert "You wrote from proj/plan.md@1; current is proj/plan.md@2" in answers[2]
    assert store.search(NS)[0].value == {"text": "mine\n"}
    assert store.workspace.history("proj/plan.md")[-1].author.split(".")[0] == "coder"


def test_an_edit_needs_its_passage_once(store, play):
    store.put(NS, "plan.md", {"text": "one\none\ntwo\n"})
    edits = [
        ("edit_artifact", {"name": "proj/plan.md", "old": old, "new": new})
        for old, new in (("one", "1"), ("three", "3"), ("two", "two"), ("two", "2"))
    ]
    answers, _ = play(store, "coder", [*edits, "done"])
    assert "the passage occurs 2 times in proj/plan.md" in answers[0]
    assert "the passage occurs 0 times in proj/plan.md" in answers[1]
    assert "old and new are the same" in answers[2]
    assert answers[3] == "[proj/plan.md@2 is written]"
    assert store.search(NS)[0].value == {"text": "one\none\n2\n"}


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (("read_artifact", {"name": "nothing.md"}), "unknown-artifact"),
        (("read_artifact", {"name": "../etc"}), "invalid-name"),
        (("write_artifact", {"name": "proj/plan.md", "text": "", "base": "v1"}), "bad-ref"),
        (("read_artifact", {"name": 5}), "validation error"),
        (("write_artifact", {"name": "proj/plan.md", "text": ["a"]}), "validation error"),
    ],
)
def test_a_wrong_call_is_an_answer(play, call, told):
    store = CoherentStore("memory://")
    store.put(NS, "plan.md", {"text": "one\n"})
    answers, _ = play(store, "coder", [call, ("list_artifacts", {}), "done"])
    assert told in answers[0]
    assert answers[1] == "proj/plan.md"


def test_a_workspace_that_is_closed_under_an_agent_is_named(play):
    store = CoherentStore("memory://")
    store.put(NS, "plan.md", {"text": "one\n"})
    told = []

    def close(messages):
        store.workspace.close()
        return READ

    def never(messages):
        told.append(messages[-1].text)
        return "never"

    with pytest.raises(WorkspaceClosed):
        play(store, "coder", [READ, close, never])
    assert told == []


def test_several_are_published_as_one(store, play):
    store.put(NS, "plan.md", {"text": PLAN})
    store.put(NS, "spec.md", {"text": PLAN})
    other = store.as_agent("other")

    def both(base, reads):
        plan = {"name": "proj/plan.md", "text": PLAN + "- mine\n", "base": base}
        return "publish_many", {
            "artifacts": [plan, {"name": "proj/api.md", "text": "a\n"}],
            "reads": [reads],
        }

    def late(messages):
        other.put(NS, "spec.md", {"text": PLAN + "- new\n"})
        return both("proj/plan.md@1", "proj/spec.md@1")

    spec = ("read_artifact", {"name": "proj/spec.md"})
    again = both("proj/plan.md@1", "proj/spec.md@2")
    have = ("read_artifact", {"name": "proj/plan.md", "have": "proj/plan.md@2"})
    answers, prompts = play(store, "coder", [READ, spec, late, again, have, "done"])
    assert "proj/spec.md: you have proj/spec.md@1, current is proj/spec.md@2." in answers[2]
    assert "proj/plan.md: " not in answers[2]
    assert answers[3] == "[proj/api.md@1, proj/plan.md@2 are written]"
    assert answers[4] == "[proj/plan.md is unchanged since proj/plan.md@2]"
    held = in_context(prompts[-1], store.workspace.identity)
    assert {name: ref.version for name, ref in held.items()} == {
        "proj/plan.md": 2,
        "proj/spec.md": 2,  # told by the middleware
        "proj/api.md": 1,
    }
    if store.inner is not None:
        assert store.inner.get(NS, "api.md").value == {"text": "a\n"}


@pytest.mark.parametrize("name", ["", "a/../b"])
def test_tools_have_an_agent_with_a_name(name):
    with pytest.raises(InvalidName):
        artifact_tools(CoherentStore("memory://"), name)


def test_tools_in_a_graph_act_for_its_node():
    store = CoherentStore("memory://")
    calls = [{"name": "write_artifact", "args": {"name": "a", "text": "b"}, "id": "1"}]
    inner = StateGraph(dict)
    inner.add_node("tools", ToolNode(artifact_tools(store), messages_key="messages"))
    inner.add_edge(START, "tools")
    outer = StateGraph(dict)
    outer.add_node("coder", inner.compile())
    outer.add_edge(START, "coder")
    outer.compile().invoke({"messages": [AIMessage("", tool_calls=calls)]})
    assert store.workspace.history("a")[0].author == "coder"
    artifact_tools(store, "by name")[1].invoke({"name": "b", "text": "c"})
    assert store.workspace.history("b")[0].author == "by name"


def test_calls_made_at_once_wait_for_each_other(store, play):
    store.put(NS, "plan.md", {"text": PLAN})
    edit = [
        ("edit_artifact", {"name": "proj/plan.md", "old": f"step {n} ", "new": f"STEP {n} "})
        for n in range(1, 9)
    ]
    play(store, "coder", [edit, "done"])
    assert store.get(NS, "plan.md").value["text"].count("STEP") == 8


# The middleware


def test_a_notice_closes_the_prompt_and_is_not_kept(store, agent):
    store.put(NS, "plan.md", {"text": PLAN})
    planner = store.as_agent("planner")

    def changed(_messages):
        planner.put(NS, "plan.md", {"text": "short"})
        return ("list_artifacts", {})

    def deleted(_messages):
        planner.delete(NS, "plan.md")
        return ("list_artifacts", {})

    informing = {"on_change": "notice"}
    made, model = agent(store, "coder", [READ, changed, deleted, "done"], informing=informing)
    state = made.invoke({"messages": [("user", "go")]})
    told = [prompt[-1].text for prompt in model.prompts]
    changed, deleted = (
        f"{NOTICE}\nproj/plan.md was {what} by planner; you were last shown proj/plan.md@1."
        for what in ("changed", "deleted")
    )
    assert (told[2], told[3]) == (changed, deleted)
    assert [message.type for message in state["messages"]].count("human") == 1


def test_what_a_model_wrote_it_has(store, play):
    write = ("write_artifact", {"name": "proj/plan.md", "text": PLAN})
    edit = ("edit_artifact", {"name": "proj/plan.md", "old": "step 2 ", "new": "step II "})
    again = ("read_artifact", {"name": "proj/plan.md", "have": "proj/plan.md@2"})
    answers, prompts = play(store, "coder", [write, edit, again, "done"])
    assert answers[2] == "[proj/plan.md is unchanged since proj/plan.md@2]"
    assert not any(NOTICE in message.text for message in prompts[-1])


def told(ref, have="", *, text="...", said="..."):
    """The message of a tool that answered `text`, and now says `said`."""
    artifact = claim(Ref.parse(ref), Ref.parse(have) if have else None, text)
    return ToolMessage(said, artifact=artifact, tool_call_id="1")


def test_a_difference_to_what_is_gone_is_not_had():
    def held(*messages):
        return {name: str(ref) for name, ref in in_context(messages).items()}

    assert held(told("p@1"), told("p@3", "p@1")) == {"p": "p@3"}
    assert held(told("p@3", "p@1")) == {}
    assert held(told("p@1"), told("p@3", "p@2")) == {"p": "p@1"}  # of that there is all
    assert held(told("p@1", "p@1")) == {}  # "unchanged", of a text that is not there
    assert held(told("p@1"), told("p@1", "p@1")) == {"p": "p@1"}
    assert held(HumanMessage("p@1"), ToolMessage("p@1", artifact="else", tool_call_id="1")) == {}


def test_a_text_that_was_cut_or_masked_is_not_had():
    assert in_context([told("p@1", text="secret", said="*****")]) == {}
    torn = told("p@2", "p@1", text="+a line", said="+a l...")
    assert str(in_context([told("p@1"), torn])["p"]) == "p@1"
    arguments = {"name": "p", "text": "the whole"}
    call = {"name": "write_artifact", "args": arguments, "id": "1"}
    written = told("p@1", text="the whole", said="[p@1 is written]")
    assert str(in_context([AIMessage("", tool_calls=[call]), written])["p"]) == "p@1"
    assert in_context([AIMessage("", tool_calls=[{**call, "args": {}}]), written]) == {}
    assert in_context([written]) == {}


class Summarise(AgentMiddleware):
    """Replaces the whole history by a line, once, as a summary does."""

    done = False

    def before_model(self, state, runtime):
        if not self.done and len(state["messages"]) == 3:
            self.done = True
            gone = [RemoveMessage(id=message.id) for message in state["messages"]]
            return {"messages": [*gone, HumanMessage("a summary")]}


def test_a_summary_is_no_text(store, play):
    store.put(NS, "plan.md", {"text": PLAN})
    answers, prompts = play(store, "coder", [READ, AGAIN, AGAIN, "done"], before=[Summarise()])
    assert PLAN not in "".join(message.text for message in prompts[1])
    # The read after the summary is whole, the one after that need not be.
    whole, unchanged = (
        f"[proj/plan.md@1]\n{PLAN}",
        "[proj/plan.md is unchanged since proj/plan.md@1]",
    )
    assert answers == [whole, unchanged]


def test_one_name_many_conversations(store, agent):
    """What another conversation has read says nothing of what this one has before it."""
    store.put(NS, "plan.md", {"text": PLAN})
    other, _ = agent(store, "coder", [READ, "done"])

    def meanwhile(_messages):
        other.invoke({"messages": [("user", "go")]})
        return AGAIN

    made, model = agent(store, "coder", [READ, meanwhile, "done"], before=[Summarise()])
    made.invoke({"messages": [("user", "go")]})
    assert model.prompts[-1][-1].text == f"[proj/plan.md@1]\n{PLAN}"


def test_a_model_that_makes_a_version_up_gets_the_text(store, play):
    store.put(NS, "plan.md", {"text": PLAN})
    answers, _ = play(store, "coder", [AGAIN, "done"])
    assert answers == [f"[proj/plan.md@1]\n{PLAN}"]


def test_two_agents_at_once_are_told_their_own(store, agent):
    store.put(NS, "plan.md", {"text": PLAN})
    met = threading.Barrier(2)
    told = {}

    def meet(_messages):
        met.wait(30)
        return READ

    def run(name):
        made, model = agent(store, name, [meet, AGAIN, "done"])
        made.invoke({"messages": [("user", "go")]})
        told[name] = [message.text for message in model.prompts[-1] if message.type == "tool"]

    threads = [threading.Thread(target=run, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    unchanged = "[proj/plan.md is unchanged since proj/plan.md@1]"
    assert told == {name: [f"[proj/plan.md@1]\n{PLAN}", unchanged] for name in ("a", "b")}


def test_asynchronous_agents_too(store, agent):
    import asyncio

    store.put(NS, "plan.md", {"text": PLAN})
    made, model = agent(store, "coder", [READ, AGAIN, "done"])
    asyncio.run(made.ainvoke({"messages": [("user", "go")]}))
    assert model.prompts[-1][-1].text == "[proj/plan.md is unchanged since proj/plan.md@1]"
    assert CoherenceMiddleware(store).name == "CoherenceMiddleware"
