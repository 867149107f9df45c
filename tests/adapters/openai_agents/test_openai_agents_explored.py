"""The example's patches, and two agents that patch at once, in every order."""

import asyncio
import contextlib
import io

import pytest

pytest.importorskip("agents")

import openai_agents_patches as example
from agents import ApplyPatchOperation

from coherence.testing import ExplorationVerdict, Found, explore
from coherence_openai_agents import CoherentEditor


def printed(team, work):
    def main():
        with contextlib.redirect_stdout(io.StringIO()) as said:
            asyncio.run(work())
        return said.getvalue()

    return team.main(main)


def test_the_editor_of_the_sdk_loses_the_first_agents_file():
    def program(team):
        assert "An hour of work" in printed(team, example.stock)

    with pytest.raises(Found) as found:
        explore(program)
    assert isinstance(found.value.cause, AssertionError)
    assert found.value.result.schedules == 1


def test_ours_loses_nothing():
    def program(team):
        said = printed(team, example.coherent)
        assert "An hour of work" in said
        assert "  retries: 3" in said

    result = explore(program, bound=None)
    assert result.verdict is ExplorationVerdict.PROOF, str(result)


def test_two_agents_that_patch_at_once():
    def program(team):
        team.agent("planner").write("plan.md", "build: open\n\nreview: open\n")

        async def patch(part):
            editor = CoherentEditor(team.workspace, part)
            diff = f"@@\n-{part}: open\n+{part}: done\n"
            await asyncio.sleep(0)  # a model answers
            done = await editor.update_file(ApplyPatchOperation("update_file", "plan.md", diff))
            assert done.status == "completed"

        async def both():
            await asyncio.gather(patch("build"), patch("review"))

        team.main(lambda: asyncio.run(both()))
        text = team.agent("planner").read("plan.md").text
        assert text.count("done") == 2
        return [entry.author for entry in team.workspace.history("plan.md")]

    counts = set()
    for _ in range(3):
        result = explore(program, bound=None)
        assert result.verdict is ExplorationVerdict.PROOF, str(result)
        counts.add((result.schedules, len(result.outcomes)))
    assert counts == {(2, 2)}
