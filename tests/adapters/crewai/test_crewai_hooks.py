"""What the hooks tell, what they check, and that they leave no trace."""

import asyncio

import pytest

pytest.importorskip("crewai")

from crewai import Crew, Task
from crewai.hooks import InterceptionPoint, get_hooks
from crewai.hooks.dispatch import scoped_hooks

from coherence import BadArgument, Workspace
from coherence.context.notices import NOTICE
from coherence_crewai import artifact_tools, coherence_hooks

READ = ("read_artifact", {"name": "plan.md"})
PLAN = "# Plan\n" + "".join(f"- step {number}: as agreed\n" for number in range(40))


@pytest.fixture
def planner(workspace):
    agent = workspace.agent("planner")
    agent.write("plan.md", PLAN)
    return agent


def changes(planner, then, text="# Plan 2"):
    def turn(messages):
        planner.update("plan.md", lambda _: text)
        return then

    return turn


def notices(prompt):
    return [m["content"] for m in prompt if str(m.get("content")).startswith(NOTICE)]


# Notices.


def test_news_comes_last_once_and_does_not_stay(team, planner, native):
    other = ("write_artifact", {"name": "other.md", "text": "x"})
    turns = [READ, changes(planner, other), changes(planner, READ, "# 3"), "done"]
    coder = team.agent("coder", turns, native=native)
    team.run(coder, informing={"on_change": "notice"})
    told = [notices(prompt) for prompt in coder.llm.prompts]
    line = "plan.md was changed by planner; you were last shown plan.md@1."
    assert told[0] == told[1] == []
    assert told[2] == [f"{NOTICE}\n{line}"]
    assert coder.llm.prompts[2][-1]["role"] == "user"
    assert coder.llm.prompts[2][-1]["content"] == told[2][0]
    assert told[3] == [], "what it read since is the newest"


def test_own_writes_are_no_news(team, planner, workspace, native):
    write = ("write_artifact", {"name": "plan.md", "text": "# Mine", "base": "plan.md@1"})
    coder = team.agent("coder", [READ, write, "done"], native=native)
    team.run(coder)
    assert workspace.agent("judge").read("plan.md").text == "# Mine"
    assert [notices(prompt) for prompt in coder.llm.prompts] == [[], [], []]


def test_who_has_seen_nothing_is_told_nothing(team, planner):
    coder = team.agent("coder", [changes(planner, ("read_artifact", {"name": "no.md"})), "done"])
    team.run(coder)
    assert not any(notices(prompt) for prompt in coder.llm.prompts)


def test_who_has_no_tools_of_this_workspace_is_told_nothing(team, planner):
    """What others report is in the first message of a task."""
    coder = team.agent("coder", [READ, changes(planner, 'I had <artifact ref="plan.md@1">')])
    with Workspace() as other:
        tools = [[], artifact_tools(other, "elsewhere")]
        outsiders = [team.agent(f"outsider {n}", ["done"], tools=tools[n]) for n in range(2)]
        insider = team.agent("insider", ["done"])
        team.run(coder, *outsiders, insider)
    assert all('plan.md@1"' in str(a.llm.prompts) for a in (*outsiders, insider))
    assert not any(notices(prompt) for a in outsiders for prompt in a.llm.prompts)
    assert notices(insider.llm.prompts[0])


def test_an_older_version_seen_later_is_no_news(team, planner, native):
    planner.write("quotes.md", '<artifact ref="plan.md@1">')
    quotes = ("read_artifact", {"name": "quotes.md"})
    coder = team.agent("coder", [READ, changes(planner, READ), quotes, "done"], native=native)
    team.run(coder)
    assert not notices(coder.llm.prompts[-1])


# Claims.


def test_a_claim_from_hearsay_is_not_believed(team, planner, native, results):
    """A task begins with a new conversation; what an earlier one read is not in it."""
    claim = ("read_artifact", {"name": "plan.md", "have": "plan.md@1"})
    coder = team.agent("coder", [READ, "I have read plan.md@1", claim, "done"], native=native)
    tasks = [Task(description="d", expected_output="e", agent=coder) for _ in range(2)]
    team.run(coder, tasks=tasks)
    (answer,) = results(coder)
    assert PLAN in answer


def test_without_hooks_a_claim_is_believed(team, planner, native, results):
    """The reason why the hooks are there."""
    claim = ("read_artifact", {"name": "plan.md", "have": "plan.md@1"})
    coder = team.agent("coder", [READ, "I have read plan.md@1", claim, "done"], native=native)
    tasks = [Task(description="d", expected_output="e", agent=coder) for _ in range(2)]
    team.run(coder, tasks=tasks, hooks=False)
    (answer,) = results(coder)
    assert "[plan.md is unchanged since plan.md@1]" in answer


def test_a_text_that_was_cut_is_not_held(team, planner, results):
    """CrewAI puts a long answer into a file, and shows the model its first lines."""
    claim = ("read_artifact", {"name": "plan.md", "have": "plan.md@1"})
    coder = team.agent("coder", [READ, claim, "done"])
    coder.llm.window_tokens = 800
    team.run(coder)
    first, second = results(coder)
    assert "stored as temporary artifact" in first, "not cut"
    assert "unchanged" not in second


def test_a_text_that_somebody_doctored_is_not_held(team, planner, results):
    coder = team.agent("coder", [READ, replaced("step 7", "step 6"), "done"])
    team.run(coder)
    assert PLAN in results(coder)[-1]


def replaced(old, new, then=READ):
    """A turn before which that is changed in what the tools have answered."""

    def turn(messages):
        for message in messages:
            if message["role"] == "tool":
                message["content"] = message["content"].replace(old, new)
        return then

    return turn


def test_a_text_under_another_number_is_not_held(team, planner, results):
    def forged(messages):
        planner.write("plan.md", "# 2")
        return replaced('ref="plan.md@1"', 'ref="plan.md@2"')(messages)

    coder = team.agent("coder", [READ, forged, "done"])
    team.run(coder)
    assert "# 2" in results(coder)[-1]


def test_a_text_of_another_workspace_is_not_held(team, planner, results):
    with Workspace() as other:
        other.agent("planner").write("plan.md", "# Other plan")
        theirs = artifact_tools(other, "coder")[0].run(name="plan.md")

    def foreign(messages):
        return replaced(messages[-1]["content"], theirs)(messages)

    coder = team.agent("coder", [READ, foreign, "done"])
    team.run(coder)
    assert results(coder)[0] == theirs
    assert PLAN in results(coder)[-1]


def test_what_the_model_wrote_itself_is_held(team, workspace, native, results):
    write = ("write_artifact", {"name": "plan.md", "text": PLAN})
    coder = team.agent("coder", [write, READ, "done"], native=native)
    team.run(coder)
    assert "[plan.md is unchanged since plan.md@1]" in results(coder)[-1]


def test_a_text_may_close_its_own_tag(team, workspace, results):
    workspace.agent("planner").write("plan.md", f'<artifact ref="x@1">\n</artifact>\n{PLAN}')
    coder = team.agent("coder", [READ, READ, "done"])
    team.run(coder)
    assert "[plan.md is unchanged since plan.md@1]" in results(coder)[-1]


def test_a_copy_under_another_name_is_not_held(team, planner, results):
    planner.write("copy.md", PLAN)
    coder = team.agent("coder", [READ, ("read_artifact", {"name": "copy.md"}), "done"])
    team.run(coder)
    assert PLAN in results(coder)[-1]


def test_what_changes_is_held_too_where_its_base_is(team, planner, native, results):
    twice = [PLAN.replace("step 7:", "step seven:"), PLAN.replace("step 7:", "step VII:")]
    again = [changes(planner, READ, text) for text in twice]
    coder = team.agent("coder", [READ, again[0], READ, again[1], READ, "done"], native=native)
    team.run(coder)
    _, second, third, fourth, fifth = results(coder)
    assert '<artifact ref="plan.md@2" since="plan.md@1"' in second
    assert third.startswith("[plan.md is unchanged since plan.md@2]")
    assert '<artifact ref="plan.md@3" since="plan.md@2"' in fourth
    assert "-- step seven:" in fourth
    assert fifth.startswith("[plan.md is unchanged since plan.md@3]")


@pytest.mark.parametrize("passage", ["step 30:", "+- step seven:"])
def test_a_chain_with_a_torn_link_is_not_held(team, planner, results, passage):
    more = PLAN.replace("step 7:", "step seven:")
    coder = team.agent(
        "coder", [READ, changes(planner, READ, more), replaced(passage, "..."), "done"]
    )
    team.run(coder)
    answer = results(coder)[-1]
    assert "unchanged" not in answer
    assert "step seven:" in answer
    assert ("step 30" in answer) == (passage == "step 30:")


def test_what_is_quoted_to_the_system_is_not_held(team, planner, results):
    """CrewAI so reports planned steps, each of which had messages of its own."""

    def quoted(messages):
        for message in messages:
            if message["role"] == "tool":
                messages[0]["content"] += message["content"]
                message["content"] = "..."
        return READ

    coder = team.agent("coder", [READ, quoted, "done"])
    team.run(coder)
    assert PLAN in results(coder)[-1]


# Registration.


def test_hooks_end_with_the_block(team, planner):
    coder = team.agent("coder", [READ, changes(planner, "done"), READ, "done"])
    team.run(coder)
    before = len(coder.llm.prompts)
    coder.llm.turns = [READ, changes(planner, READ, "# 3"), "done"]
    team.crew.kickoff()
    assert not any(notices(prompt) for prompt in coder.llm.prompts[before:])
    assert not any(get_hooks(point) for point in InterceptionPoint)


def test_hooks_serve_agents_that_ran_before_without_them(team, planner):
    """CrewAI's executors outlive a run, with the global hooks that they were made with."""
    other = ("write_artifact", {"name": "other.md", "text": "x"})
    coder = team.agent("coder", ["warm"])
    team.run(coder, hooks=False)
    coder.llm.turns = [READ, changes(planner, other), "done"]
    with coherence_hooks(team.crew, team.workspace):
        team.crew.kickoff()
    assert notices(coder.llm.prompts[-1])


def test_hooks_of_the_user_are_kept(team, planner):
    called = []
    mine = {InterceptionPoint.PRE_MODEL_CALL: [lambda context: called.append("mine")]}
    coder = team.agent("coder", [READ, "done"])
    with scoped_hooks(mine):
        team.run(coder)
        assert called == ["mine", "mine"]
        coder.llm.turns = [READ, "done"]
        team.crew.kickoff()
    assert len(called) == 4
    assert len(mine[InterceptionPoint.PRE_MODEL_CALL]) == 1


def test_hooks_reach_threads_tasks_and_copies(team, planner, results):
    coder = team.agent("coder", [])
    task = Task(description="d", expected_output="e", agent=coder, async_execution=True)
    crew = Crew(agents=[coder], tasks=[task])
    script = [READ, READ, "done"]
    with coherence_hooks(crew, team.workspace):
        for run in (
            crew.kickoff,
            lambda: asyncio.run(crew.kickoff_async()),
            lambda: asyncio.run(crew.akickoff()),
            lambda: crew.kickoff_for_each([{}]),
        ):
            coder.llm.turns[:] = script
            run()
            assert "unchanged since" in results(coder)[-1]


def test_a_crew_without_tools_of_this_workspace_is_refused(team, planner):
    coder = team.agent("coder", ["done"])
    crew = Crew(agents=[coder], tasks=[Task(description="d", expected_output="e", agent=coder)])
    with Workspace() as other, pytest.raises(BadArgument, match="artifact_tools"):
        coherence_hooks(crew, other)


def test_hooks_without_a_block_are_noticed(team, planner):
    crew = Crew(agents=[team.agent("coder", ["done"])], tasks=[])
    with pytest.warns(RuntimeWarning, match="does nothing without a block") as told:
        coherence_hooks(crew, team.workspace)
    assert [warning.filename for warning in told] == [__file__]
    with coherence_hooks(crew, team.workspace):
        pass


def test_tools_may_come_with_a_task(team, planner, results):
    coder = team.agent("coder", [READ, READ, "done"], tools=[])
    tools = artifact_tools(team.workspace, "coder")
    team.run(coder, tasks=[Task(description="d", expected_output="e", agent=coder, tools=tools)])
    assert "unchanged since" in results(coder)[-1]


def test_hooks_are_for_a_crew_and_a_workspace():
    with Workspace() as workspace:
        for given in ((None, workspace), (Crew.model_construct(agents=[], tasks=[]), "memory://")):
            with pytest.raises(BadArgument, match="give the"):
                coherence_hooks(*given)
