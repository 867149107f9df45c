"""The contracts of a workspace hold under every order of two agents' calls, and beside a third."""

import sys
from contextlib import suppress
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from contracts import CONTRACTS

from coherence import UnknownArtifact
from coherence.testing import ExplorationVerdict, explore


@pytest.mark.slow(fast=7)
@pytest.mark.parametrize(
    ("program", "settings"), CONTRACTS.items(), ids=lambda given: getattr(given, "__name__", "")
)
def test_a_contract_holds_in_every_order(program, settings):
    result = explore(
        program, grain="transaction", bound=None, schedules=50_000, **{"seconds": 60, **settings}
    )
    assert result.verdict is ExplorationVerdict.PROOF, str(result)


class Quits(Exception):
    """Ends a draft without a version."""


class WithAThird:
    """A team in which cyd reads and drafts the plan, and changes nothing."""

    def __init__(self, team):
        self._team = team

    def __getattr__(self, name):
        return getattr(self._team, name)

    def run(self, **works):
        cyd = self._team.agent("cyd")

        def third():
            with suppress(UnknownArtifact):
                cyd.read("plan")
            with suppress(Quits), cyd.edit("plan", wait_s=None):
                raise Quits

        got = self._team.run(**works, cyd=third)
        del got["cyd"]
        return got


#: Those that run a third agent of their own.
OF_THREE = {"a_live_draft_keeps_its_grant_for_as_long_as_it_waits"}


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize(
    ("program", "settings"),
    [item for item in CONTRACTS.items() if item[0].__name__ not in OF_THREE],
    ids=lambda given: getattr(given, "__name__", ""),
)
def test_a_contract_holds_beside_a_third_agent_under_two_preemptions(program, settings):
    settings = {"schedules": 50_000, "seconds": 100, **settings, "faults": ()}
    result = explore(
        lambda team: program(WithAThird(team)), grain="transaction", beyond=False, **settings
    )
    assert result.exhaustive or result.preemptions == 2, str(result)
    assert not result.doubts


@pytest.mark.slow
@pytest.mark.parametrize("place", ["sqlite", "postgres"])
@pytest.mark.parametrize(
    ("program", "settings"), CONTRACTS.items(), ids=lambda given: getattr(given, "__name__", "")
)
def test_a_contract_holds_on_a_disk_and_on_a_server(program, settings, place, request):
    url = "sqlite:///team.db"
    if place == "postgres":
        url = request.getfixturevalue("postgres").url()
    settings = {"bound": None, "seconds": 60, **settings}
    memory, other = explore(program, **settings), explore(program, store=url, **settings)
    assert memory.verdict is other.verdict is ExplorationVerdict.PROOF, str(other)
    assert other.outcomes.keys() == memory.outcomes.keys()
