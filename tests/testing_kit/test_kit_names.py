"""The public names of the kit, and the settings of a search: what tests of applications rest on.

A change here is a change for users: it belongs in CHANGELOG.md.
"""

import inspect
import subprocess
import sys

import coherence.testing
from coherence.testing import ExploredTeam, explore, replay, strategies

NAMES = """
    BadToken Crash Deadlock ExplorationVerdict ExploredTeam Faulty Found LostUpdate Nondeterminism
    NotSerial Result StaleDecision Stuck VirtualClock assert_no_lost_update assert_no_waiters
    explore replay
"""
STRATEGIES = "agent_names contents fault_plans names operations programs"
TEAM = """
    agent always async_agent changes folder looks_at main main_async now one_move open restart run
    run_async shared tasks think workspace
"""
SETTINGS = """
    agents beyond bound check faults find grain outcome patience_s program raises reduce schedules
    seconds seed serial store walks workspace
"""


def test_the_names_of_the_kit():
    assert sorted(coherence.testing.__all__) == NAMES.split()


def test_the_strategies():
    own = [
        name
        for name, value in vars(strategies).items()
        if inspect.isfunction(value) and value.__module__ == strategies.__name__
    ]
    assert sorted(name for name in own if not name.startswith("_")) == STRATEGIES.split()


def test_what_a_team_can_do():
    assert [name for name in dir(ExploredTeam) if not name.startswith("_")] == TEAM.split()


def test_the_settings_of_a_search():
    assert sorted(inspect.signature(explore).parameters) == SETTINGS.split()
    assert set(inspect.signature(replay).parameters) - set(SETTINGS.split()) == {"token"}


def test_the_kit_loads_no_hypothesis_no_pytest_and_no_framework():
    code = (
        "import sys, coherence.testing\n"
        "print(*{'hypothesis', 'pytest', 'langgraph', 'crewai', 'autogen_core'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == ""
