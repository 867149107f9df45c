"""Where one agent works: one call at a time, and no longer than it takes to join again."""

import asyncio
import threading

import pytest

from coherence import BadArgument, InvalidName, Workspace, WorkspaceClosed
from coherence.context.desk import AsyncDesk, Desk


@pytest.fixture
def workspace():
    with Workspace("memory://") as opened:
        yield opened


@pytest.fixture(params=[Desk, AsyncDesk])
def kind(request):
    return request.param


@pytest.mark.parametrize("name", ["", None, "a/../b", "x" * 101])
def test_an_agent_has_a_name(workspace, kind, name):
    with pytest.raises(InvalidName):
        kind(workspace, name)


@pytest.mark.parametrize("url", ["sqlite:///team.db", None])
def test_a_desk_is_in_a_workspace(kind, url):
    with pytest.raises(BadArgument, match="open one"):
        kind(url, "coder")


def test_a_closed_workspace_has_no_desks(workspace, kind):
    workspace.close()
    with pytest.raises(WorkspaceClosed):
        kind(workspace, "coder")


def test_who_has_left_joins_again(workspace):
    desk = Desk(workspace, "coder")
    with desk.agent() as agent:
        agent.write("plan.md", "one")
        agent.leave()
    with desk.agent() as agent:
        assert agent.read("plan.md").text == "one"


def test_threads_take_turns(workspace):
    """An agent of a workspace that a second thread calls meanwhile refuses."""
    desk, got = Desk(workspace, "coder"), []
    second = threading.Thread(target=lambda: got.append(desk.busy.acquire(blocking=False)))
    with desk.agent(), desk.agent():  # a thread may sit down again
        second.start()
        second.join()
    assert got == [False]


def test_tasks_take_turns(tmp_path):
    async def adds(desk):
        async with desk.agent() as agent:
            await agent.update("plan.md", lambda text: text + "x")

    async def together(workspace):
        desk = AsyncDesk(workspace, "coder")
        await asyncio.gather(*(adds(desk) for _ in range(8)))
        async with desk.agent() as agent:
            return (await agent.read("plan.md")).text

    with Workspace(f"sqlite:///{tmp_path}/team.db") as workspace:
        assert asyncio.run(together(workspace)) == "x" * 8
