"""Every cell of both tables: what it does is pinned in rows/*.txt; the others cannot happen.

After a change, `pytest tests/coherence --rewrite` writes the files; the diff is what changed.
"""

from itertools import product

import cells
import pytest

from coherence.messages import PutE, PutM
from coherence.states import HomeAt
from coherence.table import SAME, Row, Stall, Stalled, Table
from message_passing.errors import Impossible
from message_passing.process import Receive


class Unheard:
    pass


ALL = [
    (name, str(at), on)
    for name, table in cells.TABLES.items()
    for at, on in product(table.states, table.events)
]
POSSIBLE = [cell for cell in ALL if cell[1:] in cells.TABLES[cell[0]].cells]
IMPOSSIBLE = [cell for cell in ALL if cell not in POSSIBLE]
NAMED = [cell for cell in POSSIBLE if cell[2] not in cells.INTERNAL]
REWRITE = "run: pytest tests/coherence/test_rows.py --rewrite, and review the difference"
STALLS = [cell for cell in POSSIBLE if cells.TABLES[cell[0]].cells[cell[1:]].stall]


@pytest.fixture(scope="module")
def pinned(rewrite):
    if rewrite:
        for name in cells.TABLES:
            cells.write(name)
    return {name: cells.pinned(name) for name in cells.TABLES}


def test_the_files_hold_the_cells_that_can_happen(pinned):
    for name in cells.TABLES:
        assert list(pinned[name]) == list(cells.cells(name)), REWRITE


@pytest.mark.parametrize(("name", "at", "on"), POSSIBLE)
def test_a_cell_does_what_is_pinned(name, at, on, pinned):
    assert cells.outcome(name, at, on) == pinned[name].get((at, on)), REWRITE


@pytest.mark.parametrize(("name", "at", "on"), NAMED)
def test_the_guards_name_the_cell(name, at, on):
    policy, state, event = cells.example(name, at, on)
    process = cells.automaton(name, cells.TABLES[name], policy)
    assert process.classify(process.scratch(process, state, cells.NOW), event) == on


@pytest.mark.parametrize(("name", "at", "on"), IMPOSSIBLE)
def test_what_cannot_happen_raises(name, at, on):
    policy, state, event = cells.example(name, at, on)
    process = cells.automaton(name, cells.TABLES[name], policy, forced=on)
    with pytest.raises(Impossible, match=f"{on} cannot happen in {at}"):
        process.step(state, event, cells.NOW)


@pytest.mark.parametrize(("name", "at", "on"), STALLS)
def test_a_stall_raises_and_changes_nothing(name, at, on):
    policy, state, event = cells.example(name, at, on)
    process = cells.automaton(name, cells.TABLES[name], policy)
    _, untouched, _ = cells.example(name, at, on)
    with pytest.raises(Stalled):
        process.step(state, event, cells.NOW)
    assert state == untouched


@pytest.mark.parametrize("name", cells.TABLES)
def test_a_message_without_a_row_cannot_happen(name):
    """A message without a guard has the event of its name: the table alone says what it does."""
    process = cells.automaton(name, cells.TABLES[name], cells.STRICT)
    with pytest.raises(Impossible, match=f"{name}: Unheard cannot happen in I"):
        process.step(process.initial(), Receive("elsewhere", Unheard()), cells.NOW)


@pytest.mark.parametrize("name", cells.TABLES)
def test_an_event_without_an_example_is_named(name):
    with pytest.raises(AssertionError, match=f"Unheard has no example: add one to `_{name}`"):
        cells.example(name, "I", "Unheard")


def event_of(at, src, message, **changes):
    """The event in the table that a message is to the home of the examples."""
    home = cells.automaton("home", cells.HOME, cells.STRICT)
    x = home.scratch(home, cells.replace(cells.HOMES[at], **changes), cells.NOW)
    return home.classify(x, Receive(src, message))


@pytest.mark.parametrize(
    ("at", "src", "heard"),
    [
        (HomeAt.S, "bob", 5),  # among the sharers
        (HomeAt.E, "bob", 5),
        (HomeAt.M, "bob", 5),  # the owner
        (HomeAt.M, "cyd", 6),  # in the queue
        (HomeAt.S_A, "bob", 5),  # awaited
        (HomeAt.S_A, "cyd", 6),
    ],
)
def test_a_commit_that_a_newer_request_has_overtaken_is_late(at, src, heard):
    for epoch, content in ((0, "three"), (0, "two"), (3, "three"), (2, "three")):
        for base in (1, 2):
            late, timely = (
                event_of(at, src, PutM(serial, base, epoch, content, "two"))
                for serial in (heard - 1, heard)
            )
            assert late == "PutM/late" != timely


def test_a_judged_commit_is_answered_again_whatever_has_overtaken_it():
    ann = cells.replace(cells.ANN, serial=9)
    assert event_of(HomeAt.S, "ann", PutM(4, 1, 0, "two"), sharers=(ann,)) == "PutM/again"
    assert event_of(HomeAt.S_A, "ann", PutM(4, 1, 0, "two"), sharers=(ann,)) == "PutM/pending"


@pytest.mark.parametrize(
    ("serial", "event"), [(4, "PutE/late"), (5, "PutE/owner"), (6, "PutE/owner")]
)
def test_a_grant_is_not_returned_by_a_message_that_its_renewal_has_overtaken(serial, event):
    assert event_of(HomeAt.M, "bob", PutE(serial, 3)) == event


@pytest.mark.parametrize("on", ["LastAck", "LastAck/sole", "Lazy", "Queued", "Empty"])
def test_what_follows_by_itself_is_found(on):
    """From a state in which it is due, a restart, which changes no state, runs it."""
    at = next(str(at) for at in cells.HOME.states if (at, on) in cells.HOME.cells and at != "I")
    _, state, _ = cells.example("home", at, on)
    policy = cells.LAZY if on == "Lazy" else cells.STRICT
    if on == "Lazy":
        state = cells.replace(state, unacked=(cells.BOB,))
    process = cells.automaton("home", cells.HOME, policy)
    x = process.scratch(process, state, cells.NOW)
    assert process.follows(x) == on


def test_a_table_refuses_a_cell_given_twice_and_an_unknown_state():
    row = Row("A", "go", (), SAME, "Go", "here")
    with pytest.raises(ValueError, match="given twice"):
        Table("t", ["A"], [row, row])
    with pytest.raises(ValueError, match="unknown state"):
        Table("t", ["A"], [Row("A", "go", (), "B", "Go", "here")])
    with pytest.raises(ValueError, match="unknown state"):
        Table("t", ["B"], [row])


def test_changed_leaves_the_table_as_it_was():
    table = Table("t", ["A"], [Row("A", "go", (), SAME, "Go", "here"), Stall("A", "halt", "here")])
    assert table.changed("A", "go", None).cells.keys() == {("A", "halt")}
    assert table.cells.keys() == {("A", "go"), ("A", "halt")}
    assert table.events == ("go", "halt")
