"""The searches alone: what they show, how much they leave out, and in which order."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from toy import drawn, explored, run

from coherence.testing.moves import EVERYTHING, Move, commute
from coherence.testing.search import Bounded, Diverged, Follow, Serial
from coherence.testing.sources import Sources
from coherence.testing.walk import Walk

HOT = ["r x", "w x", "r x", "w x"]

#: program -> schedules without reduction, with it.
COUNTS = {
    "a dict, read and written by two": ([["r x", "w x"]] * 2, 6, 4),
    "three, each its own": ([["r x", "w x"], ["r y", "w y"], ["r z", "w z"]], 90, 1),
    "two readers, one writer": ([["r x"] * 4, ["r x"] * 4, HOT], 34_650, 225),
}


@pytest.mark.slow
@pytest.mark.parametrize(("program", "every", "reduced"), COUNTS.values(), ids=COUNTS)
def test_counts_with_and_without_reduction(program, every, reduced):
    plain, cut, schedules = explored(program, Bounded())
    assert (len(schedules), cut) == (every, 0)
    assert len({tuple(schedule) for schedule in schedules}) == every
    outcomes, cut, schedules = explored(program, Sources())
    assert (len(schedules), cut) == (reduced, 0)
    assert outcomes.keys() == plain.keys()


@pytest.mark.slow
def test_three_agents_of_four_moves_of_one_artifact():
    plain, _, schedules = explored([HOT] * 3, Bounded())
    assert len(schedules) == 34_650
    outcomes, cut, schedules = explored([HOT] * 3, Sources())
    assert (len(schedules), cut) == (7_134, 0)
    assert outcomes.keys() == plain.keys()


@pytest.mark.slow
def test_the_outcomes_of_200_random_programs_are_those_without_reduction():
    compared = saved = 0
    for seed in range(1_000):
        program = drawn(random.Random(seed))
        search = Bounded()
        plain, _, schedules = explored(program, search, at_most=2_500)
        if not search.is_complete:
            continue
        reduced = Sources()
        outcomes, cut, fewer = explored(program, reduced)
        assert reduced.is_complete
        assert outcomes.keys() == plain.keys(), (seed, program)
        assert len(fewer) + cut <= len(schedules), (seed, program)
        compared += 1
        saved += len(schedules) - len(fewer)
        if compared == 200:
            break
    assert compared == 200
    assert saved > 10_000


def switches(schedule, program):
    """The preemptions of a schedule."""
    left = [len(ops) for ops in program]
    found = 0
    for at, agent in enumerate(schedule):
        if at and schedule[at - 1] != agent and left[schedule[at - 1]]:
            found += 1
        left[agent] -= 1
    return found


def test_bounds_come_in_turn_and_leave_nothing_out_silently():
    program = [["w x"] * 3] * 2
    _, _, schedules = explored(program, Bounded())
    found = [switches(schedule, program) for schedule in schedules]
    assert found == sorted(found)
    assert found.count(0) == 2
    search = Bounded(1)
    _, _, some = explored(program, search)
    assert [switches(schedule, program) for schedule in some] == [n for n in found if n <= 1]
    assert search.has_left_out
    assert not search.is_complete
    search = Bounded(9)
    explored(program, search)
    assert search.is_complete


@pytest.mark.parametrize("make", [Bounded, Sources])
def test_a_run_that_meets_other_moves_is_told(make):
    search = make()
    search.begin()
    search.choose({0: (("x", True),), 1: (("x", True),)}, [])
    search.choose({1: (("x", True),)}, [Move(0, (("x", True),))])
    assert search.end([Move(0, (("x", True),)), Move(1, (("x", True),))])
    search.begin()
    with pytest.raises(Diverged) as found:
        search.choose({0: (("y", True),), 1: (("x", True),)}, [])
    assert found.value.at == 0


def test_walks_are_those_of_their_seed():
    def walked(seed):
        search = Walk(seed)
        return [explored([HOT] * 3, search, at_most=1)[2][0] for _ in range(5)]

    assert walked(1) == walked(1)
    assert walked(1) != walked(2)
    assert len(set(map(tuple, walked(1)))) == 5


def test_follow_plays_a_schedule_and_says_where_it_cannot():
    names = ["ann", "bob"]
    missed = []
    search = Follow(
        ["bob", "bob", "bob", "ann"], names.__getitem__, lambda at, name: missed.append((at, name))
    )
    _, moves = run([["r x", "w x"]] * 2, search)
    assert [names[move.agent] for move in moves] == ["bob", "bob", "ann", "ann"]
    assert missed == [(2, "bob")]


def test_serial_runs_one_after_the_other():
    _, moves = run([["r x", "w x"]] * 3, Serial([2, 0, 1]))
    assert [move.agent for move in moves] == [2, 2, 0, 0, 1, 1]


def test_which_moves_commute():
    assert commute((("x", False),), (("x", False),))
    assert commute((("x", True),), (("y", True),))
    assert not commute((("x", False),), (("x", True),))
    assert not commute(((EVERYTHING, False),), (("x", True),))
    assert commute(((EVERYTHING, False),), (("x", False),))
