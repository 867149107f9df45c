"""Trees of states: what is marked is what differs, to the leaf, whatever the values."""

import dataclasses
from enum import Enum
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specs.session import tree
from specs.session.tree import BRANCHES_MAX, Branch
from specs.session.values import Pairs, parts_of, text_of

# Hypothesis prints the values that it draws, a few of which have long texts.
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")


class Colour(Enum):
    RED = "r"
    GREEN = "g"


class Named(NamedTuple):
    one: object
    two: object = ()


class Struct(msgspec.Struct, frozen=True):
    one: object
    two: object = 0


@dataclasses.dataclass(frozen=True)
class Data:
    one: object


def pairs(each: dict[object, object]) -> Pairs:
    return Pairs(frozenset(each.items()))


leaves = st.none() | st.integers(2, 9) | st.text("ab.", max_size=3) | st.sampled_from(Colour)
values = st.recursive(
    leaves,
    lambda inner: (
        st.tuples(inner, inner)
        | st.lists(inner, max_size=3).map(tuple)
        | st.frozensets(inner, max_size=3)
        | st.builds(Named, st.just("named"), inner)  # else it equals a tuple
        | st.builds(Struct, inner, inner)
        | st.builds(Data, inner)
        | st.dictionaries(leaves, inner, max_size=3).map(
            lambda each: Pairs(frozenset(each.items()))
        )
    ),
    max_leaves=8,
)


def after(branch: Branch) -> object:
    """What a marked tree says of the value now."""
    parts = [after(each) for each in branch.parts if each.mark != "removed"]
    return (branch.kind, branch.type, branch.text if branch.kind == "leaf" else "", parts)


def before(branch: Branch, was: Branch) -> bool:
    """Whether a marked tree says of the value before what that one's tree says."""
    if branch.mark == "changed":
        return branch.was == was.text
    parts = [each for each in branch.parts if each.mark != "added"]
    if branch.kind == "map":  # what was removed comes last
        parts.sort(key=lambda each: each.name)
        was.parts.sort(key=lambda each: each.name)
    alike = (branch.kind, branch.type, len(parts)) == (was.kind, was.type, len(was.parts))
    texts = branch.kind != "leaf" or branch.text == was.text
    return alike and texts and all(map(before, parts, was.parts))


def marked(branch: Branch) -> list[Branch]:
    return [branch] * bool(branch.mark) + [b for each in branch.parts for b in marked(each)]


@pytest.mark.slow
@given(values, values)
@settings(max_examples=400)
def test_both_values_can_be_read_from_a_marked_tree(new, old):
    shown = tree(new, old)
    assert after(shown) == after(tree(new))
    assert before(shown, tree(old))
    assert bool(marked(shown)) == (new != old)


@pytest.mark.slow
@given(values, values)
def test_marks_reach_the_leaf(new, old):
    for branch in marked(tree(new, old)):
        if branch.mark == "within":
            assert any(each.mark for each in branch.parts)
        if branch.mark == "changed":
            assert not any(each.mark for each in branch.parts)


@given(values)
def test_a_value_is_not_changed_by_itself(value):
    assert marked(tree(value, value)) == []
    assert marked(tree(value)) == []


@given(values, st.integers(1, 200))
def test_texts_are_bounded_and_say_so(value, length):
    text, whole = text_of(value, length), text_of(value, 1_000_000)
    assert len(text) <= length
    assert text == whole or text == whole[: length - 1] + "…"


def test_only_the_field_that_differs_is_marked():
    new, old = Named(Struct("a", 1), 5), Named(Struct("a", 2), 5)
    names = [(b.name, b.mark, b.was) for b in marked(tree(new, old))]
    assert names == [("", "within", ""), ("one", "within", ""), ("two", "changed", "2")]


def test_a_queue_loses_its_head_and_gains_a_tail():
    marks = [(b.text, b.mark) for b in tree((2, 3, 4), (1, 2, 3)).parts]
    assert marks == [("1", "removed"), ("2", ""), ("3", ""), ("4", "added")]
    marks = [(b.text, b.mark) for b in tree(("y", "z"), ("x", "y", "z")).parts]
    assert marks == [('"x"', "removed"), ('"y"', ""), ('"z"', "")]


def test_one_place_in_the_middle_of_a_sequence():
    parts = tree((1, Struct(2, 3), 4), (1, Struct(2, 9), 4)).parts
    assert [each.mark for each in parts] == ["", "within", ""]
    assert [each.mark for each in parts[1].parts] == ["", "changed"]


def test_quiet_parts_are_those_at_their_defaults():
    parts = {each.name: each.quiet for each in tree(Struct((), 0)).parts}
    assert parts == {"one": True, "two": True}
    assert not tree(Struct(1, 5)).parts[1].quiet


def test_a_large_state_is_cut_and_its_changes_are_kept():
    old = tuple(tuple(range(2, 100)) for _ in range(100))
    new = (*old[:-1], (*old[-1][:-1], "changed"))
    shown = tree(new, old)
    assert len(marked(shown)) == 3
    assert sum(each.cut for each in (shown, *shown.parts)) > 0
    count = 1 + len(shown.parts) + sum(len(each.parts) for each in shown.parts)
    assert count <= BRANCHES_MAX + 1


def test_a_deep_state_needs_no_recursion():
    deep = 5
    for _ in range(600):
        deep = (deep,)
    shown = tree(deep)
    depth = 0
    while shown.parts:
        shown, depth = shown.parts[0], depth + 1
    assert depth == 600
    assert "…" in text_of(deep)


def test_texts_are_for_readers():
    assert text_of(Struct(Colour.RED)) == "Struct(one=RED)"
    assert text_of(frozenset({10, 9, 2})) == "{2, 9, 10}"
    assert text_of("\u202egnp.exe\n") == '"\\u202egnp.exe\\u000a"'
    assert text_of((1,)) == "(1,)"
    assert " at 0x" not in text_of(object())
    assert parts_of((("a", 1), ("b", 2))).kind == "record"


def test_a_repr_that_raises_is_shown():
    class Rude:
        def __repr__(self):
            raise RuntimeError

    assert "RuntimeError" in text_of(Rude())
