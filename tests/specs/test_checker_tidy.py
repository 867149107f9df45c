"""A tidied counterexample still refutes: other ways into a loop, other ends of a deadlock."""

import itertools
from random import Random

import pytest

from specs.checker import (
    Action,
    Composite,
    Model,
    Verdict,
    always,
    check,
    eventually,
    every_step,
    leads_to,
)
from specs.checker.composite import Change


def commuting(lengths):
    """Processes that each count, one step after the other, and then stay."""

    def moves(state):
        for place, count in enumerate(state):
            if count < lengths[place]:
                name = "abc"[place]
                yield Action(name.upper(), name), (*state[:place], count + 1, *state[place + 1 :])

    return moves


def refutes(path, good, when=None):
    states = [moment.state for moment in path.moments]
    if when is None:
        return not any(map(good, states))
    loop = len(states) if path.loop is None else path.loop
    return any(
        when(state) and not any(map(good, states[min(at, loop) :]))
        for at, state in enumerate(states)
    )


def test_the_way_into_a_loop_avoids_what_never_happens():
    good = {(1, 0), (0, 2)}
    model = Model(
        "way",
        [(0, 0)],
        commuting((1, 2)),
        [eventually("good", good.__contains__)],
        terminal=lambda state: True,
    )
    path = check(model).counterexample
    assert refutes(path, good.__contains__)


@pytest.mark.slow(fast=4)
@pytest.mark.parametrize("seed", range(8))
def test_random_lassos_refute(seed):
    rng = Random(seed)
    violated = 0
    for _ in range(60):
        lengths = tuple(rng.randint(1, 3) for _ in range(rng.randint(2, 3)))
        everything = list(itertools.product(*(range(n + 1) for n in lengths)))
        good = frozenset(rng.sample(everything, rng.randint(1, 4)))
        when = frozenset(rng.sample(everything, rng.randint(1, 4)))
        claims = [
            eventually("good", good.__contains__),
            leads_to("when to good", when.__contains__, good.__contains__),
        ]
        start = [(0,) * len(lengths)]
        model = Model("random", start, commuting(lengths), claims, terminal=lambda state: True)
        for finding in check(model).findings:
            if finding.verdict is Verdict.VIOLATED:
                violated += 1
                asked = None if finding.name == "good" else when.__contains__
                assert refutes(finding.path, good.__contains__, asked), finding.path
    assert violated > 40


def test_a_deadlock_does_not_end_in_a_state_that_may_end():
    def moves(state):
        if state.count("a") < 1:
            yield Action("A", "a"), state + "a"
        if state.count("b") < 2:
            yield Action("B", "b"), state + "b"

    result = check(Model("dead", [""], moves, [], terminal=lambda state: state != "bab"))
    assert [moment.state for moment in result.deadlock.moments][-1] == "bab"


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["reference", "table", "numba"])
def test_there_may_be_many_initial_states(engine):
    many = 70_000

    def rule(values):
        if values[0] < many:
            yield Change(Action("step"), ((0, values[0] + many),))

    composite = Composite(
        "many",
        ["x", "y"],
        [(start, 0) for start in range(many)],
        [rule],
        lambda slot, value, operation: value,
        lambda values: values,
        [always("small", lambda values: values[0] < 3 * many)],
        terminal=lambda view: True,
    )
    result = check(composite, engine=engine)
    assert (result.verdict, result.distinct) == (Verdict.HOLDS, 2 * many)


def test_a_tidied_path_stays_within_the_bounds():
    """Fewer switches lead through a state from which the search did not go on."""
    model = Model(
        "bounded way",
        [(0, 0)],
        commuting((1, 2)),
        [always("not both", lambda state: state != (1, 2))],
        terminal=lambda state: True,
        within=lambda state: state not in {(0, 2), (1, 0)},
    )
    states = [moment.state for moment in check(model).counterexample.moments]
    assert states == [(0, 0), (0, 1), (1, 1), (1, 2)]


def test_a_tidied_way_to_a_step_ends_within_the_bounds():
    """Other orders end out of bounds, and the same step would violate the claim there."""

    def actions(word):
        for name, most in (("p", 1), ("q", 2)):
            if word.count(name) < most:
                yield Action(name, name), word + name
        if len(word) == 3:
            yield Action("z", "z"), word + "z"

    model = Model(
        "words",
        [""],
        actions,
        [every_step("no z", lambda before, after: "z" not in after)],
        terminal=lambda word: True,
        within=lambda word: word not in {"pqq", "qqp"},
    )
    assert [moment.state for moment in check(model).counterexample.moments][-2:] == ["qpq", "qpqz"]
