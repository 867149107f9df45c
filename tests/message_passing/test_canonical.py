"""Canonical bytes: equal for equal values, and independent of how sets happen to be ordered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from message_passing import Unencodable, Value, canonical, digest
from message_passing.canonical import plain


class Leaf(Value, frozen=True, gc=False, tag=True):
    """A struct that has no order."""

    name: str
    count: int = 0


class Other(Value, frozen=True, gc=False, tag=True):
    """The same fields under another tag."""

    name: str
    count: int = 0


@dataclass(frozen=True)
class Plain:
    """A dataclass with a set."""

    held: frozenset[Any]


class Colour(Enum):
    """An enum."""

    RED = "red"


atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    st.builds(Leaf, st.sampled_from("xyz")),
)
values = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple), st.frozensets(inner, max_size=4)
    ),
    max_leaves=10,
)


def rebuilt(value: Any) -> Any:
    """An equal value whose sets were filled in another order."""
    if isinstance(value, frozenset):
        return frozenset(rebuilt(element) for element in reversed(list(value)))
    return tuple(map(rebuilt, value)) if isinstance(value, tuple) else value


@given(values)
def test_equal_values_have_equal_bytes(value: Any) -> None:
    again = rebuilt(value)
    assert again == value
    assert canonical(again) == canonical(value)


def test_a_set_is_ordered_by_the_bytes_of_its_elements_whatever_they_are() -> None:
    mixed = frozenset({1, "a", None, (2, "b"), Leaf("x"), Leaf("y"), frozenset({1})})
    parts = msgspec.msgpack.decode(canonical(mixed))
    assert len(parts) == 7
    packed = [msgspec.msgpack.encode(part) for part in parts]
    assert packed == sorted(packed)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Leaf("x"), Other("x")),
        (Leaf("x"), Leaf("x", 1)),
        (Leaf("x"), Leaf("y")),
        ((1, 2), (2, 1)),
        (("a",), "a"),
        (1, "1"),
        (None, 0),
        (frozenset({1}), frozenset({2})),
        ({"a": 1}, {"a": 2}),
    ],
)
def test_different_values_have_different_digests(one: Any, other: Any) -> None:
    assert digest(one) != digest(other)


def test_other_plain_values_have_a_form() -> None:
    assert plain(Plain(frozenset({2, 1}))) == {"held": [1, 2]}
    assert plain({"b": 1, "a": 2}) == [["a", 2], ["b", 1]]
    assert canonical(Colour.RED) == canonical("red")


def test_a_digest_is_pinned() -> None:
    # Recorded traces are compared by it: a change here is a change of the format.
    assert digest(Leaf("x", 1)) == "8f943b5f9e2902b1"


@pytest.mark.parametrize("value", [object(), 2**64, "\ud800", (1, {2, object()})])
def test_what_has_no_form_is_refused(value: Any) -> None:
    with pytest.raises(Unencodable):
        canonical(value)
