"""Agents with a model: its turns, what compaction drops, threads, processes, a restart."""

import asyncio
import subprocess
import sys
import threading

import pytest

af = pytest.importorskip("agent_framework")

from coherence import Workspace  # noqa: E402 - after the framework that may be missing
from coherence_agent_framework import CoherentFileAccess  # noqa: E402

PLAN = "build: open\nreview: open\n"
READ = ("file_access_read", {"file_name": "plan.md"})


def write(text, **more):
    given = {"file_name": "plan.md", "content": text, "overwrite": True, **more}
    return ("file_access_write", given)


def search(pattern):
    return ("file_access_grep", {"regex_pattern": pattern})


@pytest.fixture
def agent(files, example):
    """Makes an agent whose model plays these turns, and its client."""

    def made(*turns, name="coder", **settings):
        client = example("agent_framework_scripted").Script(*turns, **settings)
        return af.Agent(client, name=name, context_providers=[files]), client

    return made


def told(client):
    return list(client.answers.values())


def test_the_tools_are_those_of_the_framework(workspace, caller, stock, unattended):
    for more in (
        unattended,
        {},
        {"disable_write_tools": True},
        {"instructions": "Use files."},
    ):
        plain, ours = (
            made.before_run
            for made in (
                af.FileAccessProvider(stock.store, **more),
                CoherentFileAccess(workspace, **more),
            )
        )
        contexts = []
        for before_run in (plain, ours):
            context = af.SessionContext(session_id="s", input_messages=[])
            who = {"agent": caller(stock).agent, "session": af.AgentSession(session_id="s")}
            asyncio.run(before_run(**who, context=context, state={}))
            contexts.append(context)
        shown = [
            [
                (tool.name, tool.description, tool.parameters(), tool.approval_mode)
                for tool in context.tools
            ]
            for context in contexts
        ]
        assert shown[0] == shown[1]
        (before,), (after,) = (context.instructions for context in contexts)
        assert after.startswith(before)


def test_two_agents_rewrite_one_file(example):
    plans = example("agent_framework_files").main([])
    assert plans["CoherentFileAccess"] == "build: done\nreview: done\n"
    assert plans["FileAccessProvider"] == "build: open\nreview: done\n", "the framework alone"


def test_a_write_does_not_derive_from_a_read_of_the_same_answer(workspace, agent):
    """The model has made both calls before it sees what either answers."""
    workspace.agent("other").write("plan.md", PLAN)
    coder, client = agent([READ, write("mine")], [write("mine")], "done")
    asyncio.run(coder.run("go"))
    assert "you have not read it" in told(client)[1]
    assert told(client)[2] == "File 'plan.md' written."


def test_what_a_session_has_read_is_known_in_its_next_run(workspace, agent):
    other = workspace.agent("other")
    other.write("plan.md", PLAN)
    coder, client = agent([READ], "read", [write("mine")], "done")

    async def story():
        session = coder.create_session()
        await coder.run("read it", session=session)
        await coder.run("write it", session=session)

    asyncio.run(story())
    assert told(client) == [PLAN, "File 'plan.md' written."]


STRATEGIES = {
    "truncation": lambda: af.TruncationStrategy(max_n=8, compact_to=6),
    "sliding window": lambda: af.SlidingWindowStrategy(keep_last_groups=2),
    "tool results": lambda: af.ToolResultCompactionStrategy(keep_last_tool_call_groups=1),
    "tool calls": lambda: af.SelectiveToolCallCompactionStrategy(keep_last_tool_call_groups=1),
}


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_what_compaction_has_dropped_is_not_known_any_more(workspace, agent, strategy):
    workspace.agent("other").write("plan.md", PLAN)
    looks = [[search(each)] for each in ("build", "review", "open", "b", "r", "o")]
    turns = [[READ], *looks, [write("mine")], [READ], [write("mine")], "done"]
    coder, client = agent(*turns, compaction_strategy=strategy())
    asyncio.run(coder.run("go"))
    assert "you have not read it" in told(client)[7]
    assert told(client)[9] == "File 'plan.md' written."
    workspace.agent("other").write("plan.md", PLAN, overwrite=True)
    plain, client = agent(*turns[:-3], "done", name="remembers")
    asyncio.run(plain.run("go"))
    assert told(client)[7] == "File 'plan.md' written.", "nothing was dropped"


def test_a_stale_write_after_a_restart_is_refused(tmp_path, caller, unattended):
    """The conversation was loaded again; only its own last version is known to be its own."""
    url = f"sqlite:///{tmp_path}/team.db"
    with Workspace(url) as workspace:
        coder = caller(CoherentFileAccess(workspace, **unattended))
        for name in ("plan.md", "own.md", "edited.md"):
            coder.write(name, PLAN)
        other = workspace.agent("other")
        other.read("plan.md")
        other.write("plan.md", "theirs\n")
        other.update("edited.md", lambda text: text + "theirs\n")
        coder.replace("edited.md", "build: open", "build: done")
    with Workspace(url) as workspace:
        again = caller(CoherentFileAccess(workspace, **unattended))
        told = [again.write(name, "mine", overwrite=True) for name in ("plan.md", "edited.md")]
        assert ["you have not read it" in each for each in told] == [True, True]
        assert again.write("own.md", "mine", overwrite=True) == "File 'own.md' written."
        assert workspace.agent("other").read("plan.md").text == "theirs\n"


CHILD = """
import asyncio, sys
import conftest
from coherence import Workspace
from coherence_agent_framework import CoherentFileAccess

with Workspace(sys.argv[1]) as workspace:
    child = conftest.Caller(CoherentFileAccess(workspace, **conftest.UNATTENDED), "child")
    print(child.write("plan.md", child.read("plan.md") + "child\\n", overwrite=True), flush=True)
    sys.stdin.readline()
    for number in range(25):
        told = child.replace("lines.md", f"child {number} open", f"child {number} done")
        assert told.startswith("Replaced"), told
"""


@pytest.mark.slow
def test_two_processes_lose_nothing(tmp_path, caller, unattended):
    url = f"sqlite:///{tmp_path}/team.db"
    lines = [f"{who} {n} open\n" for n in range(25) for who in ("child", "parent")]
    with Workspace(url) as workspace:
        parent = caller(CoherentFileAccess(workspace, **unattended), "parent")
        parent.write("plan.md", PLAN)
        parent.write("lines.md", "".join(lines))
        paths = [str(path) for path in sys.path]
        command = f"import sys; sys.path[:0] = {paths!r}\nsys.path.insert(0, {HERE!r})\n" + CHILD
        child = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", command, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with child:
            assert child.stdout.readline() == "File 'plan.md' written.\n"
            told = parent.write("plan.md", PLAN + "parent\n", overwrite=True)
            assert "child.s changed it after you saw it" in told
            child.stdin.write("\n")
            child.stdin.flush()
            for number in range(25):
                told = parent.replace("lines.md", f"parent {number} open", f"parent {number} done")
                assert told.startswith("Replaced"), told
        assert child.returncode == 0
        assert parent.read("lines.md") == "".join(lines).replace("open", "done")
        assert parent.read("plan.md") == PLAN + "child\n"


HERE = __file__.rpartition("/")[0]


@pytest.mark.slow
@pytest.mark.parametrize("url", ["memory://", "sqlite:///{}/team.db"])
def test_four_threads_with_fifty_replaced_passages_each(tmp_path, caller, unattended, url):
    lines = [f"{who} {n} open\n" for n in range(50) for who in range(4)]
    with Workspace(url.format(tmp_path)) as workspace:
        files = CoherentFileAccess(workspace, **unattended)
        callers = [caller(files, f"agent{who}") for who in range(4)]
        callers[0].write("lines.md", "".join(lines))
        # Pydantic builds the schema of the arguments at the first use, not in several threads.
        callers[0].replace("lines.md", "nothing", "something")
        failed = []

        async def edit(who):
            for n in range(50):
                told = await callers[who].call(
                    "file_access_replace",
                    file_name="lines.md",
                    old_string=f"{who} {n} open\n",
                    new_string=f"{who} {n} done\n",
                )
                if not told.startswith("Replaced 1 "):
                    failed.append(told)

        threads = [threading.Thread(target=asyncio.run, args=(edit(who),)) for who in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert callers[0].read("lines.md") == "".join(lines).replace("open", "done")
        assert len(workspace.history("lines.md")) <= 201


def test_an_agent_leaves_after_its_run(workspace, agent, monkeypatch):
    from leaving import there

    from coherence.context import seats

    monkeypatch.setattr(seats, "LINGER_S", 0.0)
    coder, client = agent([write(PLAN)], "done")
    asyncio.run(coder.run("go"))
    assert told(client) == ["File 'plan.md' written."]
    assert there(workspace) == []


def test_what_happens_goes_to_the_log(workspace, agent, caplog):
    workspace.agent("other").write("plan.md", PLAN)
    with caplog.at_level("INFO", logger="coherence.agent_framework"):
        coder, _ = agent([search("open")], [READ], [write("mine")], "done")
        asyncio.run(coder.run("go"))
    said = [record.msg.said["coherence"] for record in caplog.records]
    assert said == ["hit", "publish"]
    assert all(record.msg.said["agent"].startswith("coder.") for record in caplog.records)
