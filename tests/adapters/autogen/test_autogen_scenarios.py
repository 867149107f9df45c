"""The twelve scenarios that every adapter passes, with AutoGen agents and its replay model."""

import asyncio
import subprocess
import sys

import pytest

pytest.importorskip("autogen_agentchat")
pytest.importorskip("autogen_ext")

from autogen_core.model_context import BufferedChatCompletionContext

from coherence import AsyncWorkspace, Lazy, Workspace

READ = ("read_artifact", {"name": "plan.md"})
PLAN = "# Plan\n" + "".join(f"- step {number}: as agreed\n" for number in range(40))


def write(text, **more):
    return ("write_artifact", {"name": "plan.md", "text": text, **more})


def edit(old, new):
    return ("edit_artifact", {"name": "plan.md", "old": old, "new": new})


def meanwhile(deed, then):
    """A turn before which something happens elsewhere."""

    def turn(messages):
        deed()
        return then

    return turn


def text_of(workspace, name="plan.md"):
    return workspace.agent("judge").read(name).text


def authors(workspace):
    return [entry.author for entry in workspace.history("plan.md")]


def test_plan_read_by_four_written_by_one(player, workspace, play):
    from autogen_agentchat.conditions import MaxMessageTermination
    from autogen_agentchat.teams import RoundRobinGroupChat

    planner = player(workspace, "planner", [write(PLAN), "planned"])
    readers = [player(workspace, f"reader{n}", [READ, "read"]) for n in range(4)]
    everyone = [each.agent for each in (planner, *readers)]
    team = RoundRobinGroupChat(everyone, termination_condition=MaxMessageTermination(6))
    play(team.run(task="go"))
    for reader in readers:
        (answer,) = reader.results
        assert answer.startswith('<artifact ref="plan.md@1" ')
        assert PLAN in answer
    assert authors(workspace) == ["planner"]


def test_two_parallel_writers(player, workspace, play):
    workspace.agent("planner").write("plan.md", "# Plan\n\n## API\n\n## UI\n")
    both_have_read = asyncio.Barrier(2)

    def writer(name, heading, line):
        async def first(messages):
            await both_have_read.wait()
            return write(f"# Plan\n\n{heading}\n{line}\n")

        def second(messages):
            if "Nothing was written" not in messages[-1].content[0].content:
                return "done"
            return write(f"{text_of(workspace)}{heading}\n{line}\n")

        return player(workspace, name, [READ, first, second, "done"])

    ann, bob = writer("ann", "## API", "- get"), writer("bob", "## UI", "- form")
    play(ann.run(), bob.run())

    first, *others = authors(workspace)
    assert first == "planner"
    assert sorted(others) == ["ann", "bob"]
    assert "- get" in text_of(workspace)
    assert "- form" in text_of(workspace)
    (told,) = [a for each in (ann, bob) for a in each.results if "Nothing was written" in a]
    assert others[0] in told


def test_stale_write_after_long_work(player, workspace, play):
    planner = workspace.agent("planner")
    planner.write("plan.md", "# Plan\n- draft\n")

    def meanwhile_twice():
        for version in (2, 3):
            planner.write("plan.md", f"# Plan\n- version {version}\n")

    stale = meanwhile(meanwhile_twice, then=write("# Plan\n- stale\n"))
    coder = player(workspace, "coder", [READ, stale, "done"])
    play(coder.run())
    assert "planner was faster" in coder.results[-1]
    assert "version 3" in coder.results[-1]
    assert text_of(workspace) == "# Plan\n- version 3\n"


def test_unchanged_reread(player, workspace, play):
    workspace.agent("planner").write("plan.md", PLAN)
    coder = player(workspace, "coder", [READ, READ, "done"])
    play(coder.run())
    first, second = coder.results
    assert PLAN in first
    assert "[plan.md is unchanged since plan.md@1]" in second
    assert "step 7" not in second


def test_delta_reread(player, workspace, play):
    planner = workspace.agent("planner")
    planner.write("plan.md", PLAN)
    grown = PLAN.replace("step 7: as agreed", "step 7: as agreed, but faster")
    again = meanwhile(lambda: planner.write("plan.md", grown), then=READ)
    coder = player(workspace, "coder", [READ, again, READ, "done"])
    play(coder.run())
    _, second, third = coder.results
    assert '<artifact ref="plan.md@2" since="plan.md@1" ' in second
    assert "+- step 7: as agreed, but faster" in second
    assert "step 9" not in second
    assert "[plan.md is unchanged since plan.md@2]" in third


def test_context_trimmed_then_read(player, workspace, play):
    planner = workspace.agent("planner")
    for name in ("plan.md", "a.md", "b.md"):
        planner.write(name, PLAN)
    others = [("read_artifact", {"name": name}) for name in ("a.md", "b.md")]
    buffer = BufferedChatCompletionContext(5)
    coder = player(workspace, "coder", [READ, READ, *others, READ, "done"], inner=buffer)
    play(coder.run())
    assert "[plan.md is unchanged since plan.md@1]" in coder.results[1]
    # The text went out of the buffer before the remark that it is unchanged did.
    assert "[plan.md@1 is not in this conversation: read it again]" in coder.prompts[3]
    assert "plan.md is unchanged" not in coder.prompts[3]
    assert PLAN in coder.results[-1]


def test_exclusive_edit_with_a_waiter(player, workspace, play):
    workspace.agent("planner").write("plan.md", PLAN)
    coder = player(workspace, "coder", [READ, edit("step 2:", "step 2, tested:"), "done"])

    async def review():
        boss = await AsyncWorkspace(workspace).agent("boss")
        async with boss.edit("plan.md") as draft:
            run = asyncio.create_task(coder.run())
            while not workspace.row("plan.md").row.state.queue:
                assert not run.done()
                await asyncio.sleep(0)
            draft.text = draft.text.replace("step 1:", "step 1, reviewed:")
        await run

    play(review())
    assert "step 1, reviewed:" in text_of(workspace)
    assert "step 2, tested:" in text_of(workspace)
    assert '<artifact ref="plan.md@3" since="plan.md@1" ' in coder.results[-1]


CRASHES = """
import os, sys
from coherence import Lazy, Workspace
agent = Workspace(sys.argv[1], policy=Lazy(grant_lease=0.5)).agent("doomed")
with agent.edit("plan.md") as draft:
    draft.text = "half a thought"
    os._exit(9)
"""

WRITES = """
import sys
from coherence import Workspace
with Workspace(sys.argv[1]) as workspace:
    agent = workspace.agent("other process")
    agent.update("plan.md", lambda text: text + sys.argv[2])
    print(agent.read("plan.md").text)
"""


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/team.db"


@pytest.fixture
def shared(url):
    """A workspace on a file."""
    with Workspace(url, policy=Lazy(grant_lease=0.5)) as opened:
        yield opened


def elsewhere(program, *arguments):
    """Runs `program` in a process of its own, to its end."""
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_writer_crashes_mid_edit(player, shared, url, play):
    shared.agent("planner").write("plan.md", "# Plan\n- one\n")
    assert elsewhere(CRASHES, url).returncode == 9
    coder = player(shared, "coder", [READ, edit("- one", "- one, done"), "done"])
    play(coder.run())
    assert text_of(shared) == "# Plan\n- one, done\n"
    assert "half a thought" not in "".join(coder.results)


def test_agent_joins_late(player, workspace, play):
    planner = workspace.agent("planner")
    for version in range(1, 6):
        planner.write("plan.md", f"# Plan {version}")
    guess = ("read_artifact", {"name": "plans.md"})
    newcomer = player(
        workspace, "newcomer", [guess, ("list_artifacts", {}), READ, write("# Plan 6"), "done"]
    )
    play(newcomer.run())
    guessed, listed, read, wrote = newcomer.results
    assert "there is no artifact 'plans.md'" in guessed
    assert listed == "plan.md"
    assert "# Plan 5" in read
    assert "plan.md@6" in wrote


def test_delete_and_recreate(player, workspace, play):
    planner = workspace.agent("planner")
    planner.write("plan.md", "# Old plan")
    again = meanwhile(lambda: planner.delete("plan.md"), then=READ)
    turns = [READ, again, write("# New plan"), write("# New plan", new=True), READ, "done"]
    looks = player(workspace, "looks", turns)
    play(looks.run())
    _, missing, refused, written, reread = looks.results
    assert "was deleted" in missing
    assert "plan.md was deleted by planner" in looks.prompts[2]
    assert "new=true" in refused
    assert written.startswith('<artifact ref="plan.md@3" ')
    assert "[plan.md is unchanged since plan.md@3]" in reread
    assert text_of(workspace) == "# New plan"


def test_two_processes_one_file(player, shared, url, play):
    shared.agent("planner").write("plan.md", PLAN)
    again = meanwhile(lambda: elsewhere(WRITES, url, "- from elsewhere\n"), then=READ)
    more = edit("elsewhere", "elsewhere, seen")
    coder = player(shared, "coder", [READ, again, more, "done"])
    play(coder.run())
    _, changed, _ = coder.results
    assert "+- from elsewhere" in changed
    assert "step 9" not in changed
    assert elsewhere(WRITES, url, "").stdout.startswith(PLAN + "- from elsewhere, seen\n")


def test_recorded_run_accepted(player, workspace, play, recorded):
    """Every step that the protocol took for this run, judged by its invariants."""
    planner = workspace.agent("planner")
    planner.write("plan.md", "# Plan\n- one\n")
    rival = meanwhile(
        lambda: planner.write("plan.md", "# Plan\n- one, by planner\n"),
        then=write("# Plan\n- stale\n"),
    )
    coder = player(workspace, "coder", [READ, rival, READ, edit("one", "two"), READ, "done"])
    reader = player(workspace, "reader", [READ, "done"])
    play(coder.run(), reader.run())
    assert text_of(workspace) == "# Plan\n- two, by planner\n"
    assert recorded.verdict() == ""
    assert {"coder", "reader", "planner", "home"} <= {address for address, _, _ in recorded.steps}
