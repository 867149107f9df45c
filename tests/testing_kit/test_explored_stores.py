"""Programs on SQLite and PostgreSQL have the outcomes that they have in memory, leases too."""

import random
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import explored_stores
import programs
from explored_stores import SQLITE, apart

from coherence import Lazy, Visibility
from coherence.testing import ExplorationVerdict, Found, explore, replay
from coherence.testing.strategies import KINDS, AgentCall, GeneratedProgram

FAULTS = (
    "kill",
    "stall",
    pytest.param("kill within", marks=pytest.mark.slow),
    pytest.param("unknown outcome", marks=pytest.mark.slow),
)
#: Where the agents of a program are.
PLACES = ("sqlite", "sqlite, apart", "postgres", "postgres, apart")
KEPT = {
    "updates": programs.updating,
    "conflicts": programs.retrying,
    "drafts": explored_stores.drafting,
    "drafts in order": programs.drafts_in_order,
    "transactions": explored_stores.transferring,
    "a short wait": explored_stores.giving_up,
    "a watch": explored_stores.watching,
    "a watch in tasks": explored_stores.watching_in_tasks,
    "updates in tasks": programs.updating_in_tasks,
    "drafts in tasks": explored_stores.drafting_in_tasks,
    "transactions in tasks": explored_stores.transacting_in_tasks,
}
WATCHES = (explored_stores.watching, explored_stores.watching_in_tasks)
LOST = {
    "overwrite": programs.overwriting,
    "overwrite in tasks": programs.overwriting_in_tasks,
    "crossed drafts": programs.crossed_drafts,
    "crossed drafts in tasks": programs.crossed_drafts_in_tasks,
}


@pytest.fixture
def explored(request):
    """Explores a program at a place."""

    def url_of(place):
        is_on_disk = place.startswith("sqlite")
        return SQLITE if is_on_disk else request.getfixturevalue("postgres").url()

    def explored(program, place, **settings):
        url = url_of(place)
        if place.endswith("apart"):
            program = apart(program, url)
        return explore(program, store=url, raises=False, seconds=60, **settings)

    explored.url = url_of
    return explored


@pytest.mark.slow(fast=4)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("program", KEPT.values(), ids=KEPT)
def test_the_outcomes_are_those_of_memory(program, place, explored):
    memory = explore(program, bound=None)
    other = explored(program, place, bound=None)
    assert memory.verdict is other.verdict is ExplorationVerdict.PROOF, str(other)
    assert other.outcomes.keys() == memory.outcomes.keys()
    if "apart" not in place and program not in WATCHES:  # how often a watch looks, differs
        assert (other.schedules, other.longest) == (memory.schedules, memory.longest)


@pytest.mark.slow(fast=6)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("program", LOST.values(), ids=LOST)
def test_what_is_lost_is_found_with_the_same_words_and_token(program, place, explored):
    memory = explore(program, raises=False).found
    other = explored(program, place).found
    assert memory is not None
    assert (str(other.cause), other.token) == (str(memory.cause), memory.token)


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fault", FAULTS)
def test_agents_that_die_or_stall_and_answers_that_are_lost(fault, place, explored):
    memory = explore(explored_stores.drafting, faults=[fault], bound=None)
    other = explored(explored_stores.drafting, place, faults=[fault], bound=None)
    assert memory.verdict is other.verdict is ExplorationVerdict.PROOF, str(other)
    assert other.outcomes.keys() == memory.outcomes.keys()
    if fault == "stall":
        assert any("fenced" in outcome for outcome in other.outcomes)
    if fault == "kill":  # the other agent goes on within a lease of virtual time
        assert any("['ann'], 15" in outcome for outcome in other.outcomes)


def reading(team):
    """What is read is what was published before it: no other agent runs in between."""
    ann, bob = explored_stores.seed(team, "plan")
    published = [1]

    def look():
        for _ in "12":
            assert bob.read("plan").ref.version >= published[-1], "stale"

    def write():
        published.append(ann.update("plan", lambda text: text + "a").ref.version)

    bob.read("plan")
    team.run(ann=write, bob=look)


@pytest.mark.slow(fast=2)
@pytest.mark.parametrize("place", PLACES)
def test_a_copy_is_stale_only_in_another_process_of_a_server(place, explored):
    assert explored(reading, place).verdict is ExplorationVerdict.PROOF
    result = explored(reading, place, faults=["late news"])
    if place != "postgres, apart":
        assert result.verdict is ExplorationVerdict.PROOF
        return
    assert str(result.found.cause).startswith("stale")
    assert result.found.token.startswith("[late-news/0/] ")
    url = explored.url(place)
    with pytest.raises(Found, match="fault: late news"):
        replay(apart(reading, url), result.found.token, store=url)


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("policy", [Lazy(visibility=Visibility.STRICT), Lazy(validity=0)])
def test_a_policy_under_which_no_copy_is_stale(policy, explored):
    given = {"workspace": {"policy": policy}, "faults": ["late news"]}
    result = explored(reading, "postgres, apart", **given)
    assert result.verdict is ExplorationVerdict.PROOF, str(result)


def _without_identity(value):
    """What came of a generated program, with refs that do not name their store."""
    return re.sub(r"(@\d+) [\w-]+", r"\1", repr(value))


def _compared(program, explored):
    memory = explore(program, outcome=_without_identity, bound=None, seconds=60)
    for place in PLACES:
        other = explored(program, place, outcome=_without_identity, bound=None)
        assert other.verdict is memory.verdict is ExplorationVerdict.PROOF, (place, str(other))
        assert other.outcomes.keys() == memory.outcomes.keys(), place
        if "apart" not in place:
            assert other.schedules == memory.schedules, place


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_random_programs_have_the_outcomes_of_memory(seed, explored):
    _compared(_drawn(seed), explored)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3, 40))
def test_many_random_programs_have_the_outcomes_of_memory(seed, explored):
    _compared(_drawn(seed), explored)


def _drawn(seed):
    rng = random.Random(seed)
    calls = {
        name: tuple(
            AgentCall(rng.choice(KINDS), rng.choice(["a", "b"]), rng.choice("xyz"))
            for _ in range(rng.randint(1, 2))
        )
        for name in ("ann", "bob")
    }
    return GeneratedProgram(calls)
