"""Causal order of the shipped hybrid for any number of processes, and the mistakes refuted."""

import json

import pytest

z3 = pytest.importorskip("z3")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from causal.hybrid_state import OwnEntry, is_acked  # noqa: E402
from causal.open_entries import OpenEntries  # noqa: E402
from causal.window import Window  # noqa: E402
from message_passing.network import Guarantee  # noqa: E402
from specs.checker.result import Verdict  # noqa: E402
from specs.cli import main  # noqa: E402
from specs.symbolic.engine import Effort, Execution, Proof, explore  # noqa: E402
from specs.symbolic.hybrid import PROPERTIES, USUAL, HybridProof, every_action, prove  # noqa: E402
from specs.symbolic.hybrid_broken import SLIPS  # noqa: E402
from specs.symbolic.hybrid_standins import Keys, advance  # noqa: E402
from specs.symbolic.hybrid_views import bit, tables  # noqa: E402
from specs.symbolic.proving import Ledger  # noqa: E402
from specs.symbolic.values import Number, term  # noqa: E402

#: Those whose refutation takes more than a second or two.
LONG = {"Release", "Ack"}
FEW = settings(max_examples=30, deadline=None)


@pytest.mark.slow
@pytest.mark.parametrize("links", USUAL)
def test_every_claim_is_proved(links):
    attempt = prove(links, Effort())
    assert not attempt.stopped
    assert {row.claim: row.verdict for row in attempt.rows()} == dict.fromkeys(
        (*PROPERTIES, "lemmas"), Verdict.HOLDS
    )
    unused = {"File"} if links == "Ordered" else set()
    assert attempt.ledger.actions == every_action() - unused


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("event", ["initial", "others", "Unicast/self", "again", "Data"])
def test_some_events(event):
    ledger = Ledger()
    assert list(HybridProof(Guarantee.ORDERED_DUPLICATING).explore(event, ledger, Effort()))
    assert ledger.paths
    assert not any(tally.refutations or tally.unknown for tally in ledger.tallies.values())


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize(
    "slip",
    [pytest.param(s, id=s.name, marks=[pytest.mark.slow] * (s.event in LONG)) for s in SLIPS],
)
def test_each_mistake_is_refuted(slip):
    found = slip.refutation()
    assert found is not None
    assert found.claim == slip.claim
    assert found.lines[0].startswith("event at a: ")
    assert found.lines[1].startswith("a before: next ")


def test_a_message_that_waits_for_no_secret_is_explained():
    (slip,) = [s for s in SLIPS if s.name == "a message waits for no secret"]
    text = str(slip.refutation())
    assert "the application sends to b" in text
    assert "of c; " in text
    assert "command: send b Data(" in text
    assert "a knows of x before" in text


def test_the_command_takes_the_hybrid(capsys):
    arguments = ["hybrid", "--policy", "Ordered", "--budget-paths", "3"]
    assert main(["prove-any", *arguments, "--property", "causal order", "--json"]) == 3
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["policy"], row["verdict"]) == ("hybrid, Ordered", "UNDETERMINED")


@pytest.mark.parametrize("wrong", [["--policy", "lazy"], ["--property", "swmr"]])
def test_a_wrong_call_says_what_there_is(wrong, capsys):
    assert main(["prove-any", "hybrid", *wrong]) == 2
    assert "usage: " in capsys.readouterr().err


# The laws of the stand-ins, each against what it stands for.


def messages():
    return st.builds(
        OwnEntry,
        party=st.integers(0, 2),
        need=st.integers(1, 3),
        payload=st.none(),
        prev=st.integers(0, 3),
        sent=st.booleans(),
        secret=st.booleans(),
        acked=st.booleans(),
    )


contents = st.dictionaries(st.integers(1, 6), messages(), max_size=5)
keys = st.integers(1, 6)


def real(found):
    window = Window()
    for key, entry in sorted(found.items()):
        window = window.put(key, entry)
    return window


def symbolic(path, found):
    """A table with these entries, and the keys that it has met."""
    met = Keys(path, lambda key: [])
    table, _, _ = tables(path, met, met, met)
    table = table.empty()
    for key, entry in found.items():
        table = table.put(key, entry)
    return table, met


def agree(path, table, window):
    """The term of "the table is the window", as far as the keys of these tests reach."""
    parts = []
    for key in range(1, 8):
        entry = window.get(key)
        parts.append(table.has(key) == (entry is not None))
        if entry is not None:
            parts += [table.of(f, key) == bit(getattr(entry, f)) for f in table.fields]
    return path.prove(z3.And(parts))[0] is Proof.PROVED


def only(run):
    """The result of the one path that the solver does not rule out."""
    (found,) = [f for f in explore(lambda path: None, run, Effort()) if f is not None]
    return found


@FEW
@given(contents, keys, messages())
def test_get_put_and_drop_are_those_of_a_window(found, key, entry):
    def run(path):
        table, _ = symbolic(path, found)
        window, at = real(found), Number(path, z3.IntVal(key))
        assert (table.get(at) is None) == (window.get(key) is None)
        assert (table.root is None) == (window.root is None)
        assert agree(path, table.put(at, entry), window.put(key, entry))
        if window.get(key) is not None:
            assert agree(path, table.drop(at), window.drop(key))
        return True

    assert only(run)


@pytest.mark.slow
@FEW
@given(contents, keys, keys)
def test_first_is_that_of_a_window(found, start, stop):
    def run(path):
        table, met = symbolic(path, found)
        for key in range(1, 8):
            met.meet(z3.IntVal(key))
        first = table.first(Number(path, z3.IntVal(start)), Number(path, z3.IntVal(stop)))
        if not path.is_possible():
            return None
        expected = real(found).first(start, stop) if start < stop else None
        if expected is None or expected[0] >= stop:
            assert first is None
        else:
            assert path.prove(first[0].term == expected[0])[0] is Proof.PROVED
        return True

    assert only(run)


#: What happens to entries: one more of a party, or some that are open are acknowledged.
histories = st.lists(st.integers(0, 2) | st.sets(keys), max_size=8)


@pytest.mark.slow
@FEW
@given(histories)
def test_advance_obeys_its_law(history):
    """The law allows what the real operation finds, and of cursors and entries nothing else."""
    entries = OpenEntries()
    for happening in history:
        if isinstance(happening, int):
            entries = entries.append(OwnEntry(happening, 1, None))
            continue
        entries, _ = entries.advance(is_acked)
        window = entries.window
        for key in happening:
            if (entry := window.get(key)) is not None:
                window = window.put(key, OwnEntry(entry.party, 1, None, acked=True))
        entries = OpenEntries(window, entries.next, entries.first, entries.party, entries.second)
    after, passed = entries.advance(is_acked)

    path = Execution(z3.SimpleSolver())
    table, met = symbolic(path, dict(entries.window.items()))
    for key in range(1, 10):
        met.meet(z3.IntVal(key))
    counts = (entries.next, entries.first, entries.party, entries.second)
    numbers = [Number(path, z3.IntVal(of)) for of in counts]
    closed = lambda _, entry: entry.acked  # noqa: E731
    found, listed = advance(OpenEntries(table, *numbers), closed)
    assert path.is_possible()
    same = [term(found.first) == after.first, term(found.second) == after.second]
    same += [term(found.party) == after.party, term(found.next) == after.next]
    assert path.prove(z3.And(same))[0] is Proof.PROVED
    assert agree(path, found.window, after.window)
    for key, _ in passed:
        assert path.prove(listed.member(z3.IntVal(key)))[0] is Proof.PROVED
