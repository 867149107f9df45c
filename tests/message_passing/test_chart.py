"""Charts: exact for a small one, and within their width for any."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from message_passing.chart import Arrow, mermaid, participants, text

SMALL = [
    Arrow(0.0, "a", "a", "Load"),
    Arrow(1.5, "a", "home", "GetS"),
    Arrow(3.0, "home", "a", "Data"),
    Arrow(3.0, "home", "b", "Inv", lost=True),
    Arrow(4.25, "b", "a", "Ack"),
]


def test_a_small_chart() -> None:
    assert text(SMALL, order=["home", "a", "b"]).splitlines() == [
        "   time  home              a                 b",
        "   0.00  │                 ● Load            │",
        "   1.50  │◀──────GetS──────┤                 │",
        "   3.00  ├──────Data──────▶│                 │",
        "   3.00  ├───────────────Inv────────────────✗│",
        "   4.25  │                 │◀──────Ack───────┤",
    ]


def test_a_lost_message_to_the_left_and_to_oneself() -> None:
    rows = text(
        [Arrow(0.0, "b", "a", "x", lost=True), Arrow(0.0, "a", "a", "y", lost=True)],
        order=["a", "b"],
    ).splitlines()
    assert rows[1] == "   0.00  │✗───────x────────┤"
    assert rows[2] == "   0.00  ✗ y               │"


def test_processes_come_in_order_of_appearance_after_those_named() -> None:
    assert participants(SMALL) == ["a", "home", "b"]
    assert text(SMALL, order=["b"]).splitlines()[0].split() == ["time", "b", "a", "home"]


def test_nothing_is_drawn_of_nothing() -> None:
    assert text([]) == ""
    assert text([], order=["a", "b"]).split() == ["time", "a", "b"]
    assert mermaid([]) == "sequenceDiagram"


def test_many_processes_become_lines() -> None:
    many = [Arrow(float(n), f"p{n}", f"p{n + 1}", "Data") for n in range(40)]
    rows = text([*many, Arrow(9.0, "p1", "p1", "Load")], width=80).splitlines()
    assert rows[7] == "   7.00  p7 ──Data──▶ p8"
    assert rows[-1] == "   9.00  p1 ● Load"


def test_mermaid() -> None:
    assert mermaid([*SMALL, Arrow(5.0, "a", "a", "x; y # z\nw")]).splitlines() == [
        "sequenceDiagram",
        "    participant p0 as a",
        "    participant p1 as home",
        "    participant p2 as b",
        "    Note over p0: Load",
        "    p0->>p1: GetS",
        "    p1->>p0: Data",
        "    p1-xp2: Inv",
        "    p2->>p0: Ack",
        "    Note over p0: x#59; y #35; z w",
    ]


names = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=30)
drawn = st.lists(
    st.builds(
        Arrow,
        st.floats(0, 9999),
        st.shared(st.lists(names, min_size=1, max_size=12, unique=True), key="names").flatmap(
            st.sampled_from
        ),
        st.shared(st.lists(names, min_size=1, max_size=12, unique=True), key="names").flatmap(
            st.sampled_from
        ),
        st.text(max_size=40),
        st.booleans(),
    ),
    min_size=1,
    max_size=10,
)


@pytest.mark.slow
@given(drawn, st.integers(20, 200))
def test_any_chart_fits_and_has_a_row_for_each_arrow(arrows: list[Arrow], width: int) -> None:
    rows = text(arrows, width=width).split("\n")
    assert len(rows) - len(arrows) in (0, 1)
    assert max(map(len, rows)) <= width


@pytest.mark.parametrize("lost", [False, True])
@given(columns=st.integers(2, 8), ends=st.tuples(st.integers(0, 7), st.integers(0, 7)))
def test_an_arrow_starts_and_ends_at_its_lifelines(
    columns: int, ends: tuple[int, int], lost: bool
) -> None:
    start, end = (number % columns for number in ends)
    order = [f"p{number}" for number in range(columns)]
    head, row = text([Arrow(0.0, order[start], order[end], "m", lost)], order=order).split("\n")
    row = row.ljust(len(head))
    for number, name in enumerate(order):
        mark = row[head.index(name)]
        if number == start == end:
            assert mark == ("✗" if lost else "●")
        elif number == start:
            assert mark == ("├" if end > start else "┤")
        elif number == end:
            assert mark == "│"
            assert row[head.index(name) + (-1 if end > start else 1)] in "▶◀✗"
        elif min(start, end) < number < max(start, end):
            assert mark in "─m"
        else:
            assert mark == "│"
