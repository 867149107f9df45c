"""Workbench, context and memory in real agents: bad input, state, teams, what a prompt holds."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("autogen_agentchat")
pytest.importorskip("autogen_ext")

from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken
from autogen_core.memory import ListMemory, MemoryContent, MemoryMimeType
from autogen_core.model_context import BufferedChatCompletionContext, UnboundedChatCompletionContext

from coherence import BadArgument, Conflict, InvalidName, UnknownArtifact, Workspace
from coherence.context.frameworks import require
from coherence.context.notices import NOTICE
from coherence.errors import WorkspaceClosed
from coherence_autogen import (
    ArtifactMemory,
    ArtifactWorkbench,
    CoherentModelContext,
    FrameworkMissing,
    citation,
)

READ = ("read_artifact", {"name": "plan.md"})
PLAN = "# Plan\n" + "".join(f"- step {number}: as agreed\n" for number in range(40))


def write(text):
    return ("write_artifact", {"name": "plan.md", "text": text})


# What a model may get wrong: it reads why, and goes on.


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("read_artifact", {}, "Field required"),
        ("read_artifact", {"name": 7}, "valid string"),
        ("read_artifact", ["plan.md"], "valid dictionary"),
        ("read_artifact", {"name": "../plan.md"}, "'..' as a part of its path"),
        ("read_artifact", {"name": ""}, "is empty"),
        ("read_artifact", {"name": "plans.md"}, "list_artifacts has all names"),
        ("read_artifact", {"name": "bytes"}, "holds bytes"),
        ("edit_artifact", {"name": "bytes", "old": "a", "new": "b"}, "holds bytes"),
        ("edit_artifact", {"name": "plan.md", "old": "step", "new": "x"}, "occurs 40 times"),
        ("edit_artifact", {"name": "plan.md", "old": "nowhere", "new": "x"}, "occurs 0 times"),
        ("edit_artifact", {"name": "plans.md", "old": "a", "new": "b"}, "no artifact 'plans.md'"),
        (
            "write_artifact",
            {"name": "plan.md", "text": "never read"},
            "you had not read what is there",
        ),
        ("no_such_tool", {}, "not found"),
    ],
)
def test_a_wrong_call_is_answered_and_changes_nothing(
    player, workspace, play, tool, arguments, words
):
    planner = workspace.agent("planner")
    planner.write("plan.md", PLAN)
    planner.write("bytes", b"\x00")
    coder = player(workspace, "coder", [(tool, arguments), "done"])
    assert play(coder.run()) == ["done"]
    assert words in coder.results[-1]
    assert planner.read("plan.md").ref.version == 1


def test_a_lone_surrogate_is_refused(workspace, play):
    workbench = ArtifactWorkbench(CoherentModelContext(workspace, "coder"))
    call = workbench.call_tool("write_artifact", {"name": "plan.md", "text": "\ud800"})
    (refused,) = play(call)
    assert refused.is_error
    assert workspace.names() == []


def test_the_text_of_the_current_version_comes_with_the_refusal(player, workspace, play):
    """One round trip less: whoever was refused has what it takes to write both."""
    planner = workspace.agent("planner")
    planner.write("plan.md", PLAN)

    def stale(messages):
        planner.write("plan.md", PLAN + "- more\n")
        return write("# Mine\n")

    coder = player(workspace, "coder", [READ, stale, write(PLAN + "- more\n- mine\n"), "done"])
    play(coder.run())
    assert "- more" in coder.results[1]
    assert "step 7" not in coder.results[1]
    assert 'ref="plan.md@3"' in coder.results[2]


# Several as one.


def both(one, other, **given):
    pieces = [{"name": "plan.md", "text": one}, {"name": "api.md", "text": other}]
    return ("publish_many", {"artifacts": pieces, **given})


def test_several_are_published_as_one_and_held_by_the_context(player, workspace, play):
    workspace.agent("planner").write("plan.md", PLAN)
    coder = player(
        workspace, "coder", [READ, both(PLAN + "a\n", "b"), both(PLAN + "c\n", "d"), READ, "done"]
    )
    assert play(coder.run()) == ["done"]
    changes = workspace.agent("planner").watch(since=0, timeout_s=0)
    groups = {(change.ref.version, change.ref.name): change.group for change in changes}
    assert groups[2, "plan.md"] == groups[1, "api.md"] != groups[3, "plan.md"]
    assert groups[3, "plan.md"] == groups[2, "api.md"]
    assert "[plan.md is unchanged since plan.md@3]" in coder.results[3]
    assert "[plan.md@2 is superseded]" in coder.prompts[-1]
    assert PLAN.count("as agreed") == coder.prompts[-1].count("as agreed")


def test_a_refused_publication_shows_all_that_has_moved(player, workspace, play):
    planner = workspace.agent("planner")
    for name in ("plan.md", "spec.md", "other.md"):
        planner.write(name, PLAN)
    reads = [("read_artifact", {"name": name}) for name in ("plan.md", "spec.md", "other.md")]

    def stale(messages):
        planner.write("plan.md", PLAN + "- more\n")
        planner.write("spec.md", PLAN + "- much more\n")
        return both("# Mine\n", "api")

    again = both(PLAN + "- more\n- mine\n", "api")
    coder = player(workspace, "coder", [reads, stale, again, "done"])
    play(coder.run())
    refused = coder.results[3]
    assert "Nothing was published" in refused
    assert "plan.md: you have plan.md@1, current is plan.md@2." in refused
    assert "spec.md: you have spec.md@1, current is spec.md@2." in refused
    assert "+- much more" in refused
    assert "step 7" not in refused
    assert "other.md" not in refused
    assert workspace.names() == ["api.md", "other.md", "plan.md", "spec.md"]
    assert 'ref="plan.md@3"' in coder.results[4]


def test_a_publication_rests_on_what_it_names(player, workspace, play):
    planner = workspace.agent("planner")
    for name in ("plan.md", "spec.md"):
        planner.write(name, PLAN)

    def stale(messages):
        planner.write("spec.md", "new")
        return both(PLAN + "a\n", "b", reads=["spec.md"])

    reads = [("read_artifact", {"name": name}) for name in ("plan.md", "spec.md")]
    turns = [reads, stale, both("a", "b", reads=["never.md"]), both(PLAN + "a\n", "b", reads=[])]
    coder = player(workspace, "coder", [*turns, "done"])
    play(coder.run())
    assert "spec.md: you have spec.md@1, current is spec.md@2." in coder.results[2]
    assert "you have not read never.md" in coder.results[3]
    assert 'ref="api.md@1"' in coder.results[4]


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([], "no artifact to publish"),
        ([{"name": "a"}], "Field required"),
        ([{"name": "a", "text": "b"}] * 2, "'a' is there twice"),
        ([{"name": "../a", "text": "b"}], "'..' as a part of its path"),
        ([{"name": f"{n}", "text": "b"} for n in range(65)], "at most 64 artifacts"),
    ],
)
def test_a_wrong_publication_is_answered(player, workspace, play, pieces, words):
    coder = player(workspace, "coder", [("publish_many", {"artifacts": pieces}), "done"])
    assert play(coder.run()) == ["done"]
    assert words in coder.results[0]
    assert workspace.names() == []


def test_calls_of_one_turn_derive_from_what_the_model_saw(player, workspace, play):
    """A read and a write at once: the text cannot derive from what the read has yet to show."""
    workspace.agent("planner").write("plan.md", PLAN)
    coder = player(workspace, "coder", [[READ, write("# Unseen\n")], "done"])
    play(coder.run())
    assert "Nothing was written" in coder.results[1]
    assert workspace.agent("planner").read("plan.md").text == PLAN


def test_calls_of_one_turn_take_turns_where_the_store_is_a_file(player, play, tmp_path):
    """AutoGen makes them at once; an agent does one thing at a time."""
    names = [f"{n}.md" for n in range(8)]
    with Workspace(f"sqlite:///{tmp_path}/team.db") as workspace:
        for name in names:
            workspace.agent("planner").write(name, f"text of {name}")
        reads = [("read_artifact", {"name": name}) for name in names]
        coder = player(workspace, "coder", [reads, "done"])
        play(coder.run())
    assert len(coder.results) == 8
    assert all(f"text of {name}" in told for name, told in zip(names, coder.results, strict=True))


def test_all_of_it_can_be_had_again(player, workspace, play):
    workspace.agent("planner").write("plan.md", PLAN)
    whole = ("read_artifact", {"name": "plan.md", "whole": True})
    coder = player(workspace, "coder", [READ, whole, "done"])
    play(coder.run())
    assert PLAN in coder.results[1]
    assert coder.prompts[-1].count("step 7") == 1, "the copy before is superseded"


def test_what_is_superseded_may_stay_in_the_prompt(player, workspace, play):
    workspace.agent("planner").write("plan.md", PLAN)
    whole = ("read_artifact", {"name": "plan.md", "whole": True})
    context = CoherentModelContext(workspace, "coder", drop_superseded=False)
    coder = player(workspace, "coder", [READ, whole, "done"], context=context)
    play(coder.run())
    assert coder.prompts[-1].count("step 7") == 2


# Notices.


def test_a_notice_closes_the_prompt_and_is_not_kept(player, workspace, play):
    planner = workspace.agent("planner")
    planner.write("plan.md", PLAN)

    def changed(messages):
        planner.write("plan.md", PLAN + "- more\n")
        return READ

    context = CoherentModelContext(workspace, "coder", on_change="notice")
    coder = player(workspace, "coder", [READ, "first", changed, "second"], context=context)
    play(coder.run())
    planner.write("plan.md", "# New")
    # The third call was made before, the fourth after the change had been read.
    play(coder.run())
    last = coder.client.prompts[2][-1]
    assert (
        last.content == f"{NOTICE}\nplan.md was changed by planner; you were last shown plan.md@1."
    )
    assert "plan.md@2" not in coder.prompts[2], "nobody can claim a version that it is not shown"
    assert NOTICE not in str(coder.context.inner._messages)


def test_a_workspace_closed_under_a_running_agent_is_named(player, workspace, play):
    workspace.agent("planner").write("plan.md", PLAN)

    def close(messages):
        workspace.close()
        return READ

    coder = player(workspace, "coder", [READ, close, "never"])
    with pytest.raises(WorkspaceClosed):
        play(coder.run())
    assert "the workspace is closed" in coder.results[1]


# State.


def test_a_team_goes_on_in_another_process_with_what_it_has(player, play, tmp_path):
    url = f"sqlite:///{tmp_path}/team.db"
    with Workspace(url) as first:
        first.agent("planner").write("plan.md", PLAN)
        coder = player(first, "coder", [READ, "done"])
        play(coder.run())
        (state,) = play(coder.agent.save_state())
    with Workspace(url) as second:
        again = player(second, "coder", [READ, write("# Done"), "done"])
        play(again.agent.load_state(json.loads(json.dumps(state))))
        play(again.run())
        assert "[plan.md is unchanged since plan.md@1]" in again.results[1]
        assert 'ref="plan.md@2"' in again.results[2]


def test_a_state_from_elsewhere_proves_nothing(player, play):
    """The same name and version in another store is another text."""
    with Workspace("memory://") as first:
        first.agent("planner").write("plan.md", "other text")
        coder = player(first, "coder", [READ, "done"])
        play(coder.run())
        (state,) = play(coder.agent.save_state())
    with Workspace("memory://") as second:
        second.agent("planner").write("plan.md", PLAN)
        again = player(second, "coder", [READ, "done"])
        play(again.agent.load_state(state))
        play(again.run())
        assert PLAN in again.results[-1]


def test_a_reset_context_has_nothing(player, workspace, play):
    workspace.agent("planner").write("plan.md", PLAN)
    coder = player(workspace, "coder", [READ, "done", READ, "done"])
    play(coder.run())
    play(coder.agent.on_reset(CancellationToken()))
    play(coder.run())
    assert PLAN in coder.results[-1]


def test_a_workbench_cannot_be_dumped(workspace):
    with pytest.raises(BadArgument, match="in code"):
        ArtifactWorkbench(CoherentModelContext(workspace, "coder")).dump_component()


# Teams.


def test_a_team_is_told_refs_instead_of_texts(player, workspace, play):
    """By default AutoGen sends everybody the result of an agent's last tool call."""
    workspace.agent("planner").write("plan.md", PLAN)

    def heard(**settings):
        ann = player(workspace, "ann", [READ], max_tool_iterations=1, **settings)
        bob = player(workspace, "bob", ["done"])
        stop = MaxMessageTermination(3)
        play(RoundRobinGroupChat([ann.agent, bob.agent], termination_condition=stop).run(task="go"))
        return bob

    assert PLAN in heard().prompts[0]
    told = heard(tool_call_summary_formatter=citation)
    assert "step 7" not in told.prompts[0]
    assert 'read_artifact ref="plan.md@1"' in told.prompts[0]


def test_what_a_colleague_quotes_counts_as_held(player, workspace, play):
    """The default summary has the whole text: nobody needs to fetch it again."""
    workspace.agent("planner").write("plan.md", PLAN)
    ann = player(workspace, "ann", [READ], max_tool_iterations=1)
    bob = player(workspace, "bob", [READ, "done"])
    stop = MaxMessageTermination(3)
    play(RoundRobinGroupChat([ann.agent, bob.agent], termination_condition=stop).run(task="go"))
    assert "[plan.md is unchanged since plan.md@1]" in bob.results[0]


# Memory.


def test_a_memory_brings_each_text_once(player, workspace, play):
    """AutoGen's own adds another copy each turn (and so 1, 2, 3, 4 of them)."""
    planner = workspace.agent("planner")
    planner.write("notes/plan.md", PLAN)
    planner.write("other.md", "not for you")
    text = MemoryContent(content=PLAN, mime_type=MemoryMimeType.TEXT)

    def copies(memory):
        coder = player(workspace, "coder", ["ok"] * 4, memory=[memory])
        for _ in range(4):
            play(coder.run())
        assert "not for you" not in coder.prompts[-1]
        assert "unchanged" not in coder.prompts[-1], "nothing to say, nothing added"
        return [prompt.count("step 7") for prompt in coder.prompts]

    assert copies(ListMemory(memory_contents=[text])) == [1, 2, 3, 4]
    assert copies(ArtifactMemory(workspace, "coder", "notes/")) == [1, 1, 1, 1]


def test_a_memory_brings_what_changed_and_what_was_trimmed(player, workspace, play):
    planner = workspace.agent("planner")
    planner.write("plan.md", PLAN)
    coder = player(
        workspace,
        "coder",
        ["ok"] * 4,
        memory=[ArtifactMemory(workspace, "coder")],
        inner=BufferedChatCompletionContext(6),
    )
    play(coder.run())
    planner.write("plan.md", PLAN.replace("step 7:", "step 7, faster:"))
    play(coder.run())
    assert coder.prompts[1].count("step 9") == 1
    assert "+- step 7, faster: as agreed" in coder.prompts[1]
    for _ in range(2):
        play(coder.run())
    assert coder.prompts[-1].count("step 9") == 1


def test_a_memory_is_asked_and_added_to(workspace, play):
    async def use():
        memory = ArtifactMemory(workspace, "coder")
        kind = MemoryMimeType.TEXT
        await memory.add(MemoryContent(content="one", mime_type=kind, metadata={"name": "plan.md"}))
        (found,) = (await memory.query("plan.md")).results
        assert (found.content, found.metadata) == ("one", {"ref": "plan.md@1"})
        stale = {"name": "plan.md", "base": "plan.md@1"}
        await memory.add(MemoryContent(content="two", mime_type=kind, metadata=stale))
        with pytest.raises(Conflict):
            await memory.add(MemoryContent(content="three", mime_type=kind, metadata=stale))
        with pytest.raises(InvalidName):
            await memory.add(MemoryContent(content="nameless", mime_type=kind))
        with pytest.raises(UnknownArtifact):
            await memory.query("plans.md")
        await memory.clear()
        await memory.close()
        assert (await memory.query("plan.md")).results[0].content == "two"

    play(use())


# Frame.


@pytest.mark.parametrize("kind", [CoherentModelContext, ArtifactMemory])
def test_what_cannot_be_used_is_refused_when_it_is_made(workspace, kind):
    for name in ("", None, "a:b"):
        with pytest.raises(InvalidName):
            kind(workspace, name)
    workspace.close()
    with pytest.raises(WorkspaceClosed):
        kind(workspace, "coder")


def test_without_autogen_the_import_says_what_to_install():
    """As it would be seen: nothing of AutoGen is touched before."""
    program = """
import importlib.metadata as metadata
import sys

def missing(name):
    raise metadata.PackageNotFoundError(name)

metadata.version = missing
try:
    import coherence_autogen
except ImportError as error:
    print(error, [name for name in sys.modules if name.startswith("autogen")])
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    remedy = "pip install 'autogen-core>=0.7,<0.8' 'autogen-agentchat>=0.7,<0.8'"
    assert done.stdout == f"autogen-core is not installed ({remedy}) []\n"


def test_a_release_that_is_not_known_is_refused():
    with pytest.raises(FrameworkMissing, match=r"pytest from 0\.7 to before 0\.8 is needed, not"):
        require("pytest", (0, 7), (0, 8))


@pytest.mark.slow
def test_importing_it_loads_no_other_framework():
    names = "crewai", "langgraph", "langchain_core", "autogen_ext", "grpc", "networkx"
    program = f"import sys, coherence_autogen; print([n for n in {names} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("inner", [[], "coder", UnboundedChatCompletionContext])
def test_what_is_not_a_model_context_is_not_put_inside(workspace, inner):
    with pytest.raises(BadArgument, match="give a model context of AutoGen"):
        CoherentModelContext(workspace, "coder", inner)


@pytest.mark.parametrize("make", [CoherentModelContext, ArtifactMemory])
def test_what_is_not_a_workspace_is_refused(make):
    with pytest.raises(BadArgument, match=r"not a Workspace \(give an open one"):
        make("memory://", "coder")


def test_a_workbench_is_of_a_context():
    with Workspace() as workspace, pytest.raises(BadArgument, match="CoherentModelContext"):
        ArtifactWorkbench(workspace)
