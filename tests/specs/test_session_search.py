"""Search by field, operator and value: on one state, along a path, and beyond it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specs.checker import Model, check, reachable
from specs.checker.errors import UsageError
from specs.checker.result import Budget
from specs.examples.die_hard import die_hard
from specs.models.mesi import mesi
from specs.session import Session, condition, find_state, frame
from specs.session.conditions import OPERATORS, named
from specs.session.finding import along
from specs.session.values import Slotted, text_of

STATE = Slotted(
    {
        "a": (("version", 3), ("name", "plan.md"), ("set", frozenset({1, 2}))),
        "b": (("version", None), ("name", "x"), ("flag", True)),
        "x.y": 7,
    }
)


@pytest.mark.parametrize(
    ("field", "operator", "value", "expected"),
    [
        ("a.version", "=", "3", True),
        ("a.version", "=", "3.0", True),
        ("a.version", "!=", "3", False),
        ("b.version", "=", "None", True),
        ("*.version", ">", "2", True),
        ("b.version", ">", "2", False),
        ("b.flag", "=", "True", True),
        ("b.flag", "=", "1", False),
        ("a.name", "=", "plan.md", True),
        ("a.name", "contains", ".md", True),
        ("a.set", "contains", "2", True),
        ("a.set", "contains", "3", False),
        ("**", "=", "plan.md", True),
        ("**.name", "=", "x", True),
        ('"x.y"', "<=", "7", True),
        ("x.y", "<=", "7", False),
        ("a.set", "=", "{1, 2}", True),
        ("c", "!=", "1", False),
    ],
)
def test_conditions(field, operator, value, expected):
    assert condition(field, operator, value).holds(STATE) is expected


def test_changes():
    other = Slotted({**STATE, "x.y": 8})
    changes = condition('"x.y"', "changes")
    assert changes.holds(other, STATE)
    assert not changes.holds(STATE, STATE)
    assert not changes.holds(STATE)


@pytest.mark.parametrize(
    ("field", "operator", "value", "words"),
    [
        ("", "=", "1", "names no field"),
        ("a..b", "=", "1", "names no field"),
        ("a.", "=", "1", "names no field"),
        ('"a', "=", "1", "names no field"),
        ("a", "matches", "(a+)+$", "no operator 'matches'"),
        ("a", "__import__('os')", "", "no operator"),
        ("a", ">", "x", "is not a number"),
        ("a", "=", "x" * 20_000, "more than 10,000"),
        (".".join("a" * 99), "=", "1", "99 parts"),
    ],
)
def test_conditions_without_meaning(field, operator, value, words):
    with pytest.raises(UsageError, match=re.escape(words)):
        condition(field, operator, value)


@given(st.text(max_size=20), st.sampled_from(OPERATORS), st.text(max_size=10))
def test_any_text_is_a_condition_or_refused(field, operator, value):
    try:
        wanted = condition(field, operator, value)
    except UsageError:
        return
    assert wanted.holds(STATE, STATE) in (True, False)


@given(st.recursive(st.integers(0, 3), lambda each: st.lists(each).map(tuple), max_leaves=12))
def test_two_stars_find_every_value(value):
    assert len([*named(value, ("**",))]) == len([*_all(value)])
    for each in _all(value):
        assert condition("**", "=", text_of(each)).holds(value)


def _all(value):
    yield value
    if isinstance(value, tuple):
        for each in value:
            yield from _all(each)


def test_the_nearest_state_is_found():
    session = Session(die_hard())
    found = find_state(session, [0], condition("1", "=", "4"))
    witness = check(die_hard()).finding("measured").path
    assert len(found.path) == len(witness.moments)
    assert frame(session, found.path).state.text.endswith("4)")
    beyond = find_state(session, found.path, condition("1", "=", "2"))
    assert beyond.path[: len(found.path)] == found.path


def test_a_state_that_is_not_there():
    found = find_state(Session(die_hard()), [0], condition("1", ">", "5"))
    assert (found.path, found.stopped, found.distinct) == ([], "", 16)


def test_a_search_keeps_to_its_budget_and_to_within():
    endless = Session(Model("n", [0], lambda n: [("up", n + 1)]))
    found = find_state(endless, [0], condition("**", "<", "0"), budget=Budget(states=100))
    assert found.stopped == "budget of 100 states"
    bounded = Model("n", [0], lambda n: [("up", n + 1)], within=lambda n: n < 5)
    assert find_state(Session(bounded), [0], condition("**", "=", "9")).distinct == 6


def test_a_search_for_a_change():
    session = Session(mesi())
    found = find_state(session, [0], condition("home.state.version", "changes"))
    model = mesi()
    shortest = check(
        mesi()
        .model()
        .__class__(
            "v",
            model.initial,
            model.model().actions,
            [reachable("version", lambda state: state[0].state.version > 0)],
        )
    ).finding("version")
    assert len(found.path) == len(shortest.path.moments)
    assert along(session, found.path, condition("home.state.version", "changes")) == [
        len(found.path) - 1
    ]
