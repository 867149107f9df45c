"""The twelve scenarios that every adapter passes, here with real crews of scripted agents."""

import re
import subprocess
import sys
import threading

import pytest

pytest.importorskip("crewai")

from coherence import Lazy, Workspace

READ = ("read_artifact", {"name": "plan.md"})
PLAN = "# Plan\n" + "".join(f"- step {number}: as agreed\n" for number in range(40))


def write(text, base=None):
    return ("write_artifact", {"name": "plan.md", "text": text, "base": base})


def last(messages):
    """What the last tool call was answered."""
    return next(m["content"] for m in reversed(messages) if m["role"] == "tool")


def meanwhile(*deeds, then):
    """A turn before which something happens elsewhere."""

    def turn(messages):
        for deed in deeds:
            deed()
        return then

    return turn


def text_of(workspace, name="plan.md"):
    return workspace.agent("judge").read(name).text


def test_plan_read_by_four_written_by_one(team, workspace, native, results):
    planner = team.agent("planner", [write(PLAN), "planned"], native=native)
    readers = [team.agent(f"reader {n}", [READ, "read"], native=native) for n in range(4)]
    team.run(planner, *readers)
    for reader in readers:
        (answer,) = results(reader)
        assert answer.startswith('<artifact ref="plan.md@1"')
        assert PLAN in answer
    assert [entry.author for entry in workspace.history("plan.md")] == ["planner"]


def test_two_parallel_writers(team, workspace, results):
    from crewai import Task

    workspace.agent("planner").write("plan.md", "# Plan\n\n## API\n\n## UI\n")
    both_have_read = threading.Barrier(2)

    def writer(name, heading, line):
        def first(messages):
            both_have_read.wait(30)
            return write(f"# Plan\n\n{heading}\n{line}\n", "plan.md@1")

        def second(messages):
            if "(code: conflict)" not in last(messages):
                return "done"
            base = re.search(r'base="([^"]+)"', last(messages))[1]
            return write(f"{text_of(workspace)}{heading}\n{line}\n", base)

        return team.agent(name, [READ, first, second, "done"])

    ann, bob = writer("ann", "## API", "- get"), writer("bob", "## UI", "- form")
    closer = team.agent("closer", ["closed"])
    tasks = [
        Task(description="d", expected_output="e", agent=agent, async_execution=agent is not closer)
        for agent in (ann, bob, closer)
    ]
    team.run(ann, bob, closer, tasks=tasks)

    authors = [entry.author for entry in workspace.history("plan.md")]
    assert authors[0] == "planner"
    assert sorted(authors[1:]) == ["ann", "bob"]
    assert "- get" in text_of(workspace)
    assert "- form" in text_of(workspace)
    told = [a for agent in (ann, bob) for a in results(agent) if "(code: conflict)" in a]
    assert len(told) == 1
    assert authors[1] in told[0]


def test_stale_write_after_long_work(team, workspace, native, results):
    planner = workspace.agent("planner")
    planner.write("plan.md", "# Plan\n- draft\n")
    deeds = [lambda n=n: planner.write("plan.md", f"# Plan\n- version {n}\n") for n in (2, 3)]
    stale = meanwhile(*deeds, then=write("# Plan\n- stale\n", "plan.md@1"))
    coder = team.agent("coder", [READ, stale, "done"], native=native)
    output = team.run(coder)

    answer = results(coder)[-1]
    assert "current is plan.md@3, by planner" in answer
    assert "+- version 3" in answer
    assert '"plan.md@3"' in answer
    assert text_of(workspace) == "# Plan\n- version 3\n"
    assert [failure.failure.code for failure in output.tasks_output[0].tool_failures] == [
        "conflict"
    ]


def test_unchanged_reread(team, workspace, native, results):
    workspace.agent("planner").write("plan.md", PLAN)
    coder = team.agent("coder", [READ, READ, "done"], native=native)
    team.run(coder)
    first, second = results(coder)
    assert PLAN in first
    assert "[plan.md is unchanged since plan.md@1]" in second
    assert "step 7" not in second


def test_delta_reread(team, workspace, native, results):
    planner = workspace.agent("planner")
    planner.write("plan.md", PLAN)
    grown = PLAN.replace("step 7: as agreed", "step 7: as agreed, but faster")
    again = meanwhile(lambda: planner.write("plan.md", grown), then=READ)
    coder = team.agent("coder", [READ, again, "done"], native=native)
    team.run(coder)
    second = results(coder)[-1]
    assert '<artifact ref="plan.md@2" since="plan.md@1"' in second
    assert "+- step 7: as agreed, but faster" in second
    assert "step 9" not in second


def test_context_trimmed_then_read(team, workspace, native):
    """CrewAI summarises a conversation that grows too long; the model still claims to have it."""
    planner = workspace.agent("planner")
    reads = []
    for name in ("plan.md", "a.md", "b.md", "c.md"):
        planner.write(name, PLAN)
        reads.append(("read_artifact", {"name": name}))
    claim = ("read_artifact", {"name": "plan.md", "have": "plan.md@1"})
    coder = team.agent("coder", [*reads, claim, "done"], native=native)
    coder.llm.window_tokens = 1_200
    team.run(coder)
    assert "So far I have read plan.md@1" in str(coder.llm.prompts[4]), "not summarised"
    assert PLAN in team.answers["coder"][-1]


def test_exclusive_edit_with_a_waiter(team, workspace, results):
    boss = workspace.agent("boss")
    boss.write("plan.md", PLAN)
    change = ("edit_artifact", {"name": "plan.md", "old": "step 2:", "new": "step 2, tested:"})
    coder = team.agent("coder", [READ, change, "done"])
    run = threading.Thread(target=team.run, args=(coder,))
    with boss.edit("plan.md") as draft:
        run.start()
        while not workspace.row("plan.md").row.state.queue:
            assert run.is_alive()
        draft.text = draft.text.replace("step 1:", "step 1, reviewed:")
    run.join(30)
    assert "step 1, reviewed:" in text_of(workspace)
    assert "step 2, tested:" in text_of(workspace)
    assert '<artifact ref="plan.md@3" since="plan.md@1"' in results(coder)[-1]


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
def shared(url, team):
    """The team's workspace, on a file."""
    with Workspace(url, policy=Lazy(grant_lease=0.5)) as opened:
        team.workspace = opened
        yield opened


def elsewhere(program, *arguments):
    """What `program` prints, run in a process of its own."""
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_writer_crashes_mid_edit(team, shared, url, results):
    shared.agent("planner").write("plan.md", "# Plan\n- one\n")
    assert elsewhere(CRASHES, url).returncode == 9
    change = ("edit_artifact", {"name": "plan.md", "old": "- one", "new": "- one, done"})
    coder = team.agent("coder", [READ, change, "done"])
    team.run(coder)
    assert text_of(shared) == "# Plan\n- one, done\n"
    assert "half a thought" not in "".join(results(coder))


def test_agent_joins_late(team, workspace, native, results):
    planner = workspace.agent("planner")
    for version in range(1, 6):
        planner.write("plan.md", f"# Plan {version}")
    guess = ("read_artifact", {"name": "plans.md"})
    newcomer = team.agent("newcomer", [guess, READ, "done"], native=native)
    team.run(newcomer)
    guessed, read = results(newcomer)
    assert "no artifact 'plans.md'" in guessed
    assert "'plan.md'" in guessed
    assert read.startswith('<artifact ref="plan.md@5"')
    assert ">\n# Plan 5\n</artifact>" in read


def test_delete_and_recreate(team, workspace, native, results):
    planner = workspace.agent("planner")
    planner.write("plan.md", "# Old plan")
    again = meanwhile(lambda: planner.delete("plan.md"), then=READ)
    looks = team.agent("looks", [READ, again, write("# New plan"), "done"], native=native)
    team.run(looks)
    _, missing, written = results(looks)
    assert "was deleted" in missing
    assert "(code: unknown-artifact)" in missing
    assert written.startswith('<artifact ref="plan.md@3"')
    assert text_of(workspace) == "# New plan"
    assert "plan.md was deleted by planner" in looks.llm.prompts[2][-1]["content"]


def test_two_processes_one_file(team, shared, url, results):
    shared.agent("planner").write("plan.md", PLAN)
    again = meanwhile(lambda: elsewhere(WRITES, url, "- from elsewhere\n"), then=READ)
    more = ("edit_artifact", {"name": "plan.md", "old": "elsewhere", "new": "elsewhere, seen"})
    coder = team.agent("coder", [READ, again, more, "done"])
    team.run(coder)
    _, changed, _ = results(coder)
    assert "+- from elsewhere" in changed
    assert "step 9" not in changed
    assert elsewhere(WRITES, url, "").stdout.startswith(PLAN + "- from elsewhere, seen\n")


def test_recorded_run_accepted(team, workspace, recorded):
    """Every step that the protocol took for this run, judged by its invariants."""
    planner = workspace.agent("planner")
    planner.write("plan.md", "# Plan\n- one\n")
    rival = meanwhile(
        lambda: planner.write("plan.md", "# Plan\n- one, by planner\n"),
        then=write("# Plan\n- stale\n", "plan.md@1"),
    )
    change = ("edit_artifact", {"name": "plan.md", "old": "one", "new": "two"})
    coder = team.agent("coder", [READ, rival, READ, change, READ, "done"])
    reader = team.agent("reader", [READ, "done"])
    team.run(coder, reader)
    assert recorded.verdict() == ""
    assert {"coder", "reader", "planner", "home"} <= {address for address, _, _ in recorded.steps}
