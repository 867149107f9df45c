"""The tools in real crews: CrewAI's guards against repetition, and calls that are wrong."""

import importlib
import subprocess
import sys
import threading
from typing import Any

import pytest

pytest.importorskip("crewai")

from crewai.tools import BaseTool
from crewai.tools.tool_failure import ToolExecutionFailedError

from coherence import BadArgument, InvalidName, WorkspaceClosed
from coherence.context import frameworks
from coherence_crewai import FrameworkMissing, artifact_tools, framework
from coherence_crewai.tools import ArtifactTool

READ = ("read_artifact", {"name": "plan.md"})


class Plain(BaseTool):
    """What a user would write first."""

    name: str = "read_artifact"
    description: str = "Read"
    read: Any

    def _run(self, name: str) -> str:
        return self.read(name).text


@pytest.fixture
def planner(workspace):
    agent = workspace.agent("planner")
    agent.write("plan.md", "# Plan\n- one\n- two\n")
    return agent


# Repetition.


def test_plain_functions_end_the_run_at_the_fifth_equal_read(team, planner):
    coder = team.agent("coder", [READ] * 7 + ["done"], tools=[Plain(read=planner.read)])
    with pytest.raises(ToolExecutionFailedError, match="5 times"):
        team.run(coder, hooks=False)


def test_plain_text_never_reaches_the_tool_again(team, planner, results):
    coder = team.agent(
        "coder", [READ, READ, "done"], tools=[Plain(read=planner.read)], native=False
    )
    team.run(coder, hooks=False)
    assert "I tried reusing the same input" in results(coder)[1]


@pytest.mark.parametrize("native", [True, False], ids=["functions", "text"], indirect=True)
@pytest.mark.parametrize("hooks", [True, False])
def test_seven_identical_reads_are_all_answered(team, planner, native, results, hooks):
    coder = team.agent("coder", [READ] * 7 + ["done"], native=native)
    assert team.run(coder, hooks=hooks).raw == "done"
    answers = results(coder)
    assert len(answers) == 7
    assert all("plan.md@1" in answer for answer in answers)


def test_seven_identical_failures_are_all_answered(team, workspace, native, results):
    coder = team.agent("coder", [READ] * 7 + ["done"], native=native)
    assert team.run(coder, hooks=False).raw == "done"
    assert all("no artifact 'plan.md'" in answer for answer in results(coder))


def test_with_a_cache_every_read_is_fresh(team, planner, native, results):
    """CrewAI's own cache would answer for the tool."""

    def changes(messages):
        planner.write("plan.md", "# Plan 2")
        return READ

    coder = team.agent("coder", [READ, changes, READ, "done"], native=native)
    team.run(coder, hooks=False, cache=True)
    assert "# Plan 2" in results(coder)[1]
    assert "# Plan 2" in results(coder)[2]


def test_a_plain_tool_with_a_cache_serves_what_is_stale(team, planner, results):
    def changes(messages):
        planner.write("plan.md", "# Plan 2")
        return READ

    tools = [Plain(read=planner.read)]
    coder = team.agent("coder", [READ, changes, "done"], tools=tools)
    team.run(coder, hooks=False, cache=True)
    assert "# Plan 2" not in results(coder)[1]


def test_calls_of_one_turn_do_not_get_in_each_others_way(team, planner, results):
    """CrewAI makes them in threads, and an agent of a workspace does one thing at a time."""
    write = ("write_artifact", {"name": "new.md", "text": "new"})
    edit = ("edit_artifact", {"name": "plan.md", "old": "two", "new": "2"})
    coder = team.agent("coder", [[READ, write, edit, READ, READ, READ, READ, READ], "done"])
    team.run(coder)
    assert len(results(coder)) == 8
    assert not any("code:" in answer for answer in results(coder))


# Edits.


def test_an_edit_needs_a_passage_that_is_there_once(team, planner, workspace, native, results):
    twice = ("edit_artifact", {"name": "plan.md", "old": "- ", "new": "* "})
    never = ("edit_artifact", {"name": "plan.md", "old": "three", "new": "3"})
    coder = team.agent("coder", [twice, never, "done"], native=native)
    team.run(coder)
    first, second = results(coder)
    assert "occurs 2 times in plan.md" in first
    assert "occurs 0 times in plan.md" in second
    assert len(workspace.history("plan.md")) == 1
    planner.write("plan.md", "nobody holds it any more", wait_s=0)


@pytest.mark.parametrize("have", ["plan.md", "plan.md@9", "other.md@1"])
def test_an_edit_that_could_not_be_answered_is_not_made(planner, workspace, have):
    edit = artifact_tools(workspace, "coder")[2]
    answer = edit.run(name="plan.md", old="one", new="1", have=have)
    assert answer.code in ("bad-ref", "unknown-version")
    assert len(workspace.history("plan.md")) == 1


def test_an_edit_of_nothing_says_what_there_is(planner, workspace):
    answer = artifact_tools(workspace, "coder")[2].run(name="plans.md", old="a", new="b")
    assert answer.code == "unknown-artifact"
    assert "'plan.md'" in answer.message
    assert workspace.names(deleted=True) == ["plan.md"]


# Writes.


def test_a_write_without_a_base_overwrites_nothing(planner, workspace):
    answer = artifact_tools(workspace, "coder")[1].run(name="plan.md", text="mine")
    assert answer.code == "conflict"
    assert planner.read("plan.md").text.startswith("# Plan")


def test_a_base_of_none_is_as_models_put_it(workspace):
    write = artifact_tools(workspace, "coder")[1]
    assert 'ref="a.md@1"' in write.run(name="a.md", text="a", base="")
    assert 'ref="a.md@2"' in write.run(name="a.md", text="b", base="a.md@1")


def publication(*pieces, **given):
    fields = ("name", "text", "base")
    made = [dict(zip(fields, piece, strict=False)) for piece in pieces]
    return ("publish_many", {"artifacts": made, **given})


def test_several_are_published_as_one(team, planner, native, results):
    planner.write("spec.md", "rules")

    def late(messages):
        planner.write("spec.md", "new rules")
        planner.write("plan.md", "# Plan\n- one\n")
        return publication(("plan.md", "mine", "plan.md@1"), ("api.md", "a"), reads=["spec.md@1"])

    again = publication(("plan.md", "mine", "plan.md@2"), ("api.md", "a"), reads=["spec.md@2"])
    spec = ("read_artifact", {"name": "spec.md"})
    coder = team.agent("coder", [READ, spec, late, again, READ, "done"], native=native)
    assert team.run(coder).raw == "done"
    *_, refused, made, read = results(coder)
    assert "plan.md: you have plan.md@1, current is plan.md@2." in refused
    assert "spec.md: you have spec.md@1, current is spec.md@2." in refused
    assert 'ref="api.md@1"' in made
    assert 'ref="plan.md@3"' in made
    assert "[plan.md is unchanged since plan.md@3]" in read  # the call has the text


def test_a_publication_names_versions_of_its_own_artifacts(planner, workspace):
    publish = artifact_tools(workspace, "coder")[3]
    answer = publish.run(**publication(("plan.md", "mine", "spec.md@1"))[1])
    assert answer.code == "bad-ref"


def test_a_crew_may_be_told_to_stop_at_a_conflict(team, planner, native):
    stale = ("write_artifact", {"name": "plan.md", "text": "mine"})
    coder = team.agent("coder", [stale, "done"], native=native, tool_failure_policy="raise")
    with pytest.raises(ToolExecutionFailedError, match=r"current is plan\.md@1"):
        team.run(coder)


# Calls that are wrong.


def test_a_wrong_type_is_answered_with_the_fields(team, planner, native, results):
    wrong = ("read_artifact", {"name": ["plan.md"]})
    coder = team.agent("coder", [wrong, READ, "done"], native=native)
    assert team.run(coder).raw == "done"
    refused, read = results(coder)
    assert "name" in refused
    assert "valid string" in refused
    assert "# Plan" in read


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"name": "../secret"}, "invalid-name"),
        ({"name": ""}, "invalid-name"),
        ({"name": "plan.md", "have": "three"}, "bad-ref"),
        ({"name": "plan.md", "have": "plan.md@7"}, "unknown-version"),
    ],
)
def test_a_wrong_read_says_what_to_do(planner, workspace, arguments, code):
    answer = artifact_tools(workspace, "coder")[0].run(**arguments)
    assert answer.code == code
    assert answer.message.count("(") or "There are" in answer.message


def test_a_workspace_closed_under_a_running_crew_is_told_to_the_model(
    team, planner, workspace, native, results
):
    def closes(messages):
        workspace.close()
        return READ

    coder = team.agent("coder", [READ, closes, "done"], native=native)
    assert team.run(coder).raw == "done"
    assert "(code: workspace-closed)" in results(coder)[1]


@pytest.mark.parametrize("name", ["", None, "a/../b", "x" * 101])
def test_an_agent_has_a_name(workspace, name):
    with pytest.raises(InvalidName):
        artifact_tools(workspace, name)


def test_a_closed_workspace_has_no_tools(workspace):
    workspace.close()
    with pytest.raises(WorkspaceClosed):
        artifact_tools(workspace, "coder")


# The package.


def test_tools_live_on_through_copies_of_a_crew(team, planner):
    coder = team.agent("coder", ["done"])
    team.run(coder)
    kept = team.crew.copy().agents[0].tools
    assert [tool.desk for tool in kept] == [tool.desk for tool in coder.tools]
    assert all(isinstance(tool, ArtifactTool) for tool in kept)


@pytest.mark.slow
def test_it_loads_no_other_framework():
    program = "import coherence_crewai, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "crewai" in loaded
    assert {"langgraph", "langchain_core", "autogen_core", "autogen_agentchat"}.isdisjoint(loaded)


def test_a_missing_framework_is_named_with_its_releases():
    with pytest.raises(
        FrameworkMissing, match=r"pip install 'not-there>=1\.2,<2' 'beside>=1\.2,<2'"
    ):
        frameworks.require("not-there", (1, 2), (2,), beside="beside")


@pytest.mark.parametrize("version", ["1.15.9", "0.203.2", "2.0.0"])
def test_an_unknown_release_is_refused(monkeypatch, version):
    monkeypatch.setattr(frameworks, "version", lambda _: version)
    with pytest.raises(FrameworkMissing, match=rf"{version} .*pip install 'crewai>=1\.15\.10,<2'"):
        importlib.reload(framework)


@pytest.mark.parametrize("version", ["1.15.10", "1.15.30", "1.16.0a1", "1.99"])
def test_a_known_release_is_taken(monkeypatch, version):
    monkeypatch.setattr(frameworks, "version", lambda _: version)
    importlib.reload(framework)


def test_threads_are_served_in_turn(planner, workspace):
    read = artifact_tools(workspace, "coder")[0]
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(read.run(name="plan.md"))) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({answer.rpartition("[call ")[2] for answer in answers}) == 16


@pytest.mark.parametrize("given", [None, "memory://", {}])
def test_tools_are_of_a_workspace(given):
    with pytest.raises(BadArgument, match=r"not a Workspace \(give an open one"):
        artifact_tools(given, "coder")
