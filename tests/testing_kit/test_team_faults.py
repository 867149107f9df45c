"""Agents that die or stall before each of their moves, and a store whose answers are lost."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import programs

from coherence import Fenced, GrantTimeout, Lazy
from coherence.testing import Deadlock, ExplorationVerdict, Found, explore, replay

LEASE_S = 15.0


def test_whoever_waits_for_a_dead_agent_goes_on_within_a_lease():
    ended = []

    def program(team):
        ann, bob, _ = programs.seed(team, "plan")
        clock = team.workspace

        def draft(agent):
            with agent.edit("plan", wait_s=None) as mine:
                mine.text += agent.name[0]

        team.run(ann=lambda: draft(ann), bob=lambda: draft(bob))
        (text,) = programs.final(team, "plan")
        published = clock.history("plan")[-1].at
        ended.append(published)
        kept = {"a", "b"} - {name[0] for name in team.killed}
        assert kept <= set(text), (text, team.killed)
        return tuple(sorted(team.killed)), text

    result = explore(program, faults=["kill"], bound=None)
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
    assert result.faults == 4
    assert {"(('ann',), 'b')", "(('bob',), 'a')", "((), 'ab')"} <= set(result.outcomes)
    assert max(ended) - min(ended) <= LEASE_S + 1
    assert max(ended) - min(ended) >= LEASE_S - 1, "somebody did wait for a lease"


def test_an_agent_that_comes_back_under_its_name_keeps_everything():
    def program(team):
        programs.seed(team, "plan")

        def add(name):
            agent = team.agent(name)
            agent.update("plan", lambda text: text if name[0] in text else text + name[0])

        team.restart("ann", lambda: add("ann"))
        team.restart("bob", lambda: add("bob"))
        team.run(ann=lambda: add("ann"), bob=lambda: add("bob"))
        (text,) = programs.final(team, "plan")
        assert sorted(text) == ["a", "b"], text
        return text

    result = explore(program, faults=["kill"], grain="transaction")
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
    assert result.faults >= 8


def test_a_program_without_a_restart_loses_the_work_of_the_dead():
    with pytest.raises(Found, match="the process of ann dies") as found:
        explore(programs.updating, faults=["kill"])
    token = found.value.token
    assert token.startswith("[kill/1/ann]")
    with pytest.raises(Found):
        replay(programs.updating, token)


def test_a_dead_agent_says_nothing_and_its_caches_are_gone():
    """Not even what an edit says at the end of its block, or a leave message."""

    def program(team):
        ann, bob, _ = programs.seed(team, "plan")
        before = team.workspace.metrics()["writes"]

        def work():
            with ann, ann.edit("plan") as draft:
                draft.text = "a"

        team.run(ann=work, bob=lambda: bob.read("plan"))
        if "ann" in team.killed:
            published = team.workspace.metrics()["writes"] - before
            return published, team.workspace.row("plan").row.state.owner
        return "lived"

    result = explore(program, faults=["kill"], bound=None)
    # Nothing done; a grant that only its lease ends; a version, but no leave message.
    assert set(result.outcomes) == {"'lived'", "(0, '')", "(0, 'ann')", "(1, '')"}


def test_an_agent_that_stalls_past_its_lease_is_fenced():
    def program(team):
        ann, bob, _ = programs.seed(team, "plan")
        got = team.run(ann=lambda: programs.draft(ann), bob=lambda: programs.draft(bob))
        (text,) = programs.final(team, "plan")
        kept = sorted(name[0] for name, what in got.items() if what == "kept")
        assert sorted(text) == kept
        return tuple(sorted(got.items()))

    result = explore(program, faults=["stall"])
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
    assert result.faults == 4
    assert "(('ann', 'fenced'), ('bob', 'kept'))" in result.outcomes


@pytest.mark.slow
def test_a_lost_answer_of_the_store_loses_and_doubles_no_update():
    def program(team):
        ann, bob, _ = programs.seed(team, "plan")
        team.run(
            ann=lambda: ann.update("plan", lambda text: text + "a"),
            bob=lambda: bob.update("plan", lambda text: text + "b"),
        )
        (text,) = programs.final(team, "plan")
        assert sorted(text) == ["a", "b"], text

    result = explore(
        program, faults=["unknown outcome"], grain="transaction", bound=None, seconds=60
    )
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
    assert result.faults > 10


def waiting_for_each_other(wait_s):
    def program(team):
        ann, bob, _ = programs.seed(team, "a", "b")

        def both(agent, first, second):
            with agent.edit(first):
                try:
                    with agent.edit(second, wait_s=wait_s):
                        return "both"
                except GrantTimeout:
                    return "timeout"

        got = team.run(ann=lambda: both(ann, "a", "b"), bob=lambda: both(bob, "b", "a"))
        return sorted(got.items())

    return program


def test_left_to_virtual_time_a_deadlock_ends_at_its_deadline():
    result = explore(waiting_for_each_other(60.0), find=["error"])
    assert result.verdict is ExplorationVerdict.PROOF
    assert any("timeout" in outcome for outcome in result.outcomes)


def test_an_attempt_is_no_deadlock_and_needs_the_finer_grain():
    """Trap 8: with a wait below a lease, others' transactions are seen."""
    result = explore(waiting_for_each_other(0))
    assert result.verdict is ExplorationVerdict.PROOF
    assert result.grain == "transaction"
    assert any("timeout" in outcome for outcome in result.outcomes)


def test_a_wait_without_end_is_a_deadlock_too():
    found = explore(waiting_for_each_other(None), raises=False).found
    assert isinstance(found.cause, Deadlock)


def test_a_policy_is_that_of_the_workspace():
    def program(team):
        ann, _, _ = programs.seed(team, "plan")
        edit = ann.edit("plan", hold_s=0.0)
        edit.__enter__()
        bob = team.agent("bob")
        team.run(bob=lambda: bob.update("plan", lambda text: text + "b"))
        return team.workspace.history("plan")[-1].at

    result = explore(program, workspace={"policy": Lazy(grant_lease=30.0)})
    (at,) = result.outcomes
    assert 1_030 <= float(at) <= 1_031


def test_an_agent_that_dies_within_a_transaction_holds_up_no_other_beyond_a_lease():
    """At each moment of the store: what it did is there as a whole, or not at all."""

    def program(team):
        ann, bob, _ = programs.seed(team, "plan")
        begun = team.now

        def draft(agent):
            with agent.edit("plan") as mine:
                mine.text += agent.name[0]

        team.run(ann=lambda: draft(ann), bob=lambda: draft(bob))
        assert team.now - begun <= LEASE_S + 1
        (text,) = programs.final(team, "plan")
        assert {"a", "b"} - {name[0] for name in team.killed} <= set(text)
        return sorted(team.killed), text

    result = explore(program, faults=["kill within"], seconds=60)
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
    assert result.faults > 10
    # Both the death before the effect and the one after are among them.
    assert {"(['ann'], 'b')", "(['ann'], 'ab')"} <= set(result.outcomes)


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("fault", ["kill", "stall", "kill within", "unknown outcome"])
def test_faults_of_agents_in_tasks(fault):
    def program(team):
        programs.seed(team, "plan")
        ann, bob = team.async_agent("ann"), team.async_agent("bob")

        async def draft(agent):
            try:
                async with agent.edit("plan") as mine:
                    mine.text += agent.name[0]
            except Fenced:
                return ""
            return agent.name[0]

        got = team.run_async(ann=lambda: draft(ann), bob=lambda: draft(bob))
        (text,) = programs.final(team, "plan")
        assert set(text) >= set("".join(kept for kept in got.values() if kept))
        return sorted(team.killed), text

    result = explore(program, faults=fault, seconds=60)
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
    assert result.faults >= 4
    if fault.startswith("kill"):
        assert "(['ann'], 'b')" in result.outcomes


@pytest.mark.slow
def test_two_workspaces_and_two_runs_have_one_fault():
    """Each store counted its own moments, and each run began again: several died at once."""

    def program(team):
        rooms = [team.open("memory://") for _ in "12"]
        for room in rooms:
            room.agent("init").write("plan", "")

        def add(number):
            agent = rooms[number].agent(["ann", "bob"][number])
            agent.update("plan", lambda text: text + "x")

        for _ in "12":
            team.run(ann=lambda: add(0), bob=lambda: add(1))
        assert len(team.killed) <= 1
        return sorted(team.killed)

    result = explore(program, faults="kill within", seconds=60)
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
    assert set(result.outcomes) == {"[]", "['ann']", "['bob']", "['ann/2']", "['bob/2']"}
    assert result.faults > 20


def test_a_call_that_changes_nothing_has_no_outcome_to_be_unknown():
    """A look at the history raised `OutcomeUnknown`, which no store raises there."""

    def program(team):
        ann, bob, _ = programs.seed(team, "plan")

        def look():
            bob.history("plan")
            bob.list()
            bob.read("plan", version=1)

        team.run(ann=lambda: ann.update("plan", lambda text: text + "a"), bob=look)
        return programs.final(team, "plan")

    result = explore(program, faults="unknown outcome", seconds=60)
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
    assert set(result.outcomes) == {"('a',)"}
