"""An agent that was opened read-only reads as any other, and changes nothing."""

from __future__ import annotations

import asyncio
from inspect import iscoroutinefunction

import pytest

from coherence import Agent, AgentReadOnly, AsyncWorkspace, BadArgument, Workspace
from coherence.context.desk import AsyncDesk, Desk
from coherence.workspace.aio import AsyncAgent

# Every public call of an agent, with arguments that it would take.
CHANGES = {
    "write": ("plan.md", "two"),
    "update": ("plan.md", str.upper),
    "delete": ("plan.md",),
    "restore": ("plan.md@1",),
    "rename": ("plan.md", "new.md"),
    "edit": ("plan.md",),
    "transaction": (),
    "transact": (lambda tx: tx.write("new.md", "new"),),
}
READS = {
    "read": ("plan.md",),
    "snapshot": (["plan.md"],),
    "check": ("plan.md@1",),
    "list": (),
    "history": ("plan.md",),
    "cached": ("plan.md",),
    "forget": (),
}
#: Neither; each has a test of its own.
OTHERS = {"watch", "leave", "name"}


@pytest.mark.parametrize("kind", [Agent, AsyncAgent])
def test_every_call_is_a_read_or_a_change(kind):
    calls = {name for name in dir(kind) if not name.startswith("_")}
    assert calls == {*CHANGES, *READS, *OTHERS}


def state(rooms):
    """Everything in the store that a change would change."""
    workspace = rooms.opened[0]
    return {
        name: (workspace.history(name), workspace.row(name).row.state)
        for name in workspace.names(deleted=True)
    }


def change(agent, name):
    made = getattr(agent, name)(*CHANGES[name])
    if name in ("edit", "transaction"):
        with made:
            pytest.fail("the block ran")


async def change_in_a_task(agent, name):
    made = getattr(agent, name)(*CHANGES[name])
    if name not in ("edit", "transaction"):
        await made
        return
    async with made:
        pytest.fail("the block ran")


def test_it_reads_and_changes_nothing(rooms):
    (ann,) = rooms.agents("ann")
    ann.write("plan.md", "one")
    bob = rooms.open().agent("bob", read_only=True)
    assert bob.read_only
    for name, given in READS.items():
        getattr(bob, name)(*given)
    bob.read("plan.md")
    before = state(rooms)
    for name in CHANGES:
        with pytest.raises(AgentReadOnly, match="'bob' was opened read-only"):
            change(bob, name)
    assert state(rooms) == before
    assert bob.read("plan.md").text == "one", "it can be used on"
    with ann.edit("plan.md") as draft:  # and it holds no grant
        draft.text = "two"
    rooms.settle()
    assert bob.read("plan.md").text == "two"


def test_it_reads_and_changes_nothing_for_tasks(rooms):
    async def story():
        opened = AsyncWorkspace(rooms.open())
        bob = await opened.agent("bob", read_only=True)
        assert bob.read_only
        for name, given in READS.items():
            made = getattr(bob, name)(*given)
            if iscoroutinefunction(getattr(AsyncAgent, name)):
                await made
        before = state(rooms)
        for name in CHANGES:
            with pytest.raises(AgentReadOnly):
                await change_in_a_task(bob, name)
        assert state(rooms) == before
        await opened.close()

    (ann,) = rooms.agents("ann")
    ann.write("plan.md", "one")
    asyncio.run(story())


def test_a_name_may_be_opened_both_ways():
    with Workspace() as workspace:
        ann = workspace.agent("ann")
        looker = workspace.agent("ann", read_only=True)
        assert looker is workspace.agent("ann", read_only=True)
        assert ann is workspace.agent("ann")
        ann.write("plan.md", "one")
        assert looker.read("plan.md").text == "one"
        with pytest.raises(AgentReadOnly):
            looker.write("plan.md", "two")
        ann.write("plan.md", "two")
        with pytest.raises(BadArgument):
            workspace.agent("bob", read_only="yes")
        assert [member.agent for member in workspace.members()] == ["ann"]


def test_its_changes_are_refused_within_an_observer_too(tmp_path):
    """It wraps the operations of every agent, as telemetry does."""
    with Workspace(observe=tmp_path / "seen") as workspace:
        looker = workspace.agent("bob", read_only=True)
        for name in CHANGES:
            with pytest.raises(AgentReadOnly):
                change(looker, name)


def test_a_desk_may_be_read_only():
    with Workspace() as workspace:

        def of_threads():
            with Desk(workspace, "bob", read_only=True).agent() as agent:
                agent.write("plan.md", "text")

        async def of_tasks():
            async with AsyncDesk(workspace, "bob", read_only=True).agent() as agent:
                await agent.write("plan.md", "text")

        with pytest.raises(AgentReadOnly):
            of_threads()
        with pytest.raises(AgentReadOnly):
            asyncio.run(of_tasks())
        assert workspace.names() == []


def test_it_watches_and_leaves():
    with Workspace() as workspace:
        looker = workspace.agent("bob", read_only=True)
        watch = looker.watch(timeout_s=0)
        workspace.agent("ann").write("plan.md", "one")
        assert [str(change.ref) for change in watch] == ["plan.md@1"]
        looker.leave()
        assert [member.agent for member in workspace.members()] == ["ann"]
