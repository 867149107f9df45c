"""What the kit needs of a workspace, and that production is what it was."""

import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import programs
import pytest

from coherence import Workspace
from coherence.runtime.homes import Homes
from coherence.runtime.session import Session
from coherence.testing import explore
from coherence.workspace.agent import Agent, Blocking
from coherence.workspace.aio import AsyncAgent
from coherence.workspace.transacting import Transacting
from coherence.workspace.workspace import site_of


def instructions(work):
    """The lines and calls that `work` executes in this thread: a measure without a clock."""
    seen = [0]

    def trace(frame, event, argument):
        frame.f_trace_opcodes = True
        seen[0] += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return seen[0]


def hit_cost():
    with Workspace() as workspace:
        agent = workspace.agent("ann")
        agent.write("plan", "text")
        agent.read("plan")
        instructions(lambda: agent.read("plan"))  # Python 3.12 sees them all from the second time
        return instructions(lambda: agent.read("plan"))


@pytest.mark.slow
def test_a_hit_costs_what_it_did_before_and_after_an_exploration():
    before = hit_cost()
    explore(programs.typical, bound=None)
    assert hit_cost() == before
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_hooks; "
        "print(test_hooks.hit_cost())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert int(done.stdout) == before


def test_what_is_behind_a_workspace_is_what_it_was():
    explore(programs.updating)
    with Workspace() as workspace:
        agent = workspace.agent("ann")
        assert type(agent) is Agent
        assert type(agent._session) is Session
        assert type(agent._operations) is Transacting
        assert type(agent._operations._waits) is Blocking
        assert agent._quick
        homes = site_of(workspace).homes
        assert type(homes) is Homes
        assert not {"look", "carry"} & vars(homes).keys()
        assert agent._session.wait.__func__ is Session.wait


def test_the_agents_of_a_program_are_those_of_production():
    def program(team):
        assert type(team.workspace) is Workspace
        assert type(team.agent("ann")) is Agent
        assert type(team.async_agent("bob")) is AsyncAgent
        team.run(ann=lambda: team.agent("ann").update("plan", lambda text: text + "a"))

    explore(program)


@pytest.mark.slow
def test_production_imports_nothing_of_the_kit():
    code = (
        "import sys, coherence, coherence.cli, coherence.context; "
        "print([name for name in sys.modules if name.startswith('coherence.testing')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_virtual_clock_starts_no_thread():

    def program(team):
        before = set(threading.enumerate())
        ann, _, _ = programs.seed(team, "plan")

        def work():
            with ann.edit("plan") as draft:
                draft.text = "a"
            assert {t.name for t in set(threading.enumerate()) - before} <= {"coherence-testing"}

        team.run(ann=work)

    explore(program)
