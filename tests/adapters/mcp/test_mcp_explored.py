"""Two clients change one artifact by the tools, under every order of the calls of their servers."""

import pytest

pytest.importorskip("mcp_types", reason="mcp 2 is not installed")

import anyio
from mcp_clients import client_of, told

from coherence.testing import explore

PLAN = "build: open\nreview: open\n"
PARTS = ("build", "review")


def work(team):
    team.agent("planner").write("plan.md", PLAN)

    async def change(part):
        async with client_of(team.workspace, part) as client:
            done = PLAN.replace(f"{part}: open", f"{part}: done")
            given = {"name": "plan.md", "text": done, "expect": "plan.md@1"}  # as both have read
            answer = await client.call_tool("write_artifact", given)
            if answer.is_error:
                passage = {"old": f"{part}: open", "new": f"{part}: done"}
                await told(client, "edit_artifact", name="plan.md", **passage)

    async def both():
        async with anyio.create_task_group() as tasks:
            for part in PARTS:
                tasks.start_soon(change, part)

    team.main(lambda: anyio.run(both))
    text = team.agent("planner").read("plan.md").text
    assert text.count("done") == 2, text
    return len(team.workspace.history("plan.md"))


def test_two_clients_lose_nothing_in_any_order():
    """All are thousands: those without a preemption."""
    result = explore(work, bound=0, beyond=False, seconds=60)
    assert result.preemptions == 0
    assert not result.doubts
    assert set(result.outcomes) == {"3"}
