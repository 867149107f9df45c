"""The persistent map against a dict, and its promise that equal contents are equal trees."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal.window import Window

# Counts lie close together, near or far from zero, and straddle the borders of blocks.
KEYS = st.one_of(
    st.integers(0, 70),
    st.integers(1_000, 1_100),
    st.integers(32**3 - 40, 32**3 + 40),
    st.integers(0, 2**40),
)


@given(st.lists(st.tuples(st.booleans(), KEYS), max_size=60), KEYS)
def test_it_is_a_dict(changes: list[tuple[bool, int]], start: int) -> None:
    window: Window[int] = Window()
    plain: dict[int, int] = {}
    for put, key in changes:
        if put:
            window, plain[key] = window.put(key, key * 2), key * 2
        elif key in plain:
            window = window.drop(key)
            del plain[key]
        assert window.get(key) == plain.get(key)
    assert list(window.items()) == sorted(plain.items())
    assert window.get(start) == plain.get(start)
    later = sorted(key for key in plain if key >= start)
    assert window.first(start) == ((later[0], plain[later[0]]) if later else None)


@given(st.sets(KEYS, min_size=1, max_size=30), st.sets(KEYS, max_size=30), st.randoms())
def test_equal_contents_are_equal_trees(
    kept: set[int], dropped: set[int], rng: random.Random
) -> None:
    def built(keys: set[int]) -> Window[int]:
        order = sorted(keys)
        rng.shuffle(order)
        window: Window[int] = Window()
        for key in order:
            window = window.put(key, key + 1)
        return window

    direct, detour = built(kept), built(kept | dropped)
    for key in dropped - kept:
        detour = detour.drop(key)
    assert direct == detour
    assert hash(direct) == hash(detour)


def test_older_versions_stay_what_they_were() -> None:
    window: Window[str] = Window()
    versions = []
    for key in range(100):
        window = window.put(key, str(key))
        versions.append(window)
    for key in range(100):
        window = window.drop(key)
    assert window == Window()
    assert [sum(1 for _ in v.items()) for v in versions] == list(range(1, 101))


def test_a_change_copies_one_path() -> None:
    window: Window[int] = Window()
    for key in range(32 * 32):
        window = window.put(key, 1)
    changed = window.put(500, 2)
    assert window.root is not None
    assert changed.root is not None
    same = sum(a is b for a, b in zip(window.root, changed.root, strict=True))
    assert same == 31


def test_it_prints_its_contents() -> None:
    assert repr(Window().put(3, "c").put(1, "a")) == "Window({1: 'a', 3: 'c'})"


def test_dropping_needs_the_key() -> None:
    with pytest.raises(AssertionError):
        Window().drop(1)
