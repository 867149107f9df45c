"""Symmetry: orbits add up to the unreduced state count, verdicts agree, paths stay concrete."""

import itertools
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from message_passing.network import Guarantee
from message_passing.process import Invoke, Receive, Send, Step
from specs.checker import (
    Action,
    Budget,
    Composite,
    ModelError,
    UsageError,
    Verdict,
    always,
    check,
    equivariance,
    eventually,
    reachable,
)
from specs.checker.composite import Change, Symmetry
from specs.models.twophase import twophase
from specs.system import System, any_of, renamed, whenever

# Resource managers: orbits, transitions from them, states that they stand for.
ORBITS = {3: (80, 317, 288), 5: (314, 2_047, 8_832), 7: (920, 8_409, 296_448)}


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("rms", ORBITS)
def test_orbits_of_twophase_add_up(rms):
    result = check(twophase(rms), engine="table", symmetry=True)
    orbits, generated, states = ORBITS[rms]
    assert result.verdict is Verdict.HOLDS
    assert (result.distinct, result.generated) == (orbits, generated)
    assert result.notes == (
        f"symmetry: {orbits:,} orbits stand for {states:,} states",
        f"symmetry was tested in {orbits:,} of {orbits:,} states, not proved",
    )


def test_a_counterexample_is_concrete():
    model = twophase(4, hasty=True)
    path = check(model, engine="table", symmetry=True).counterexample
    assert len(path) == 9
    plain = model.model()
    assert path.moments[0].state in plain.initial
    for before, after in itertools.pairwise(path.moments):
        assert (after.action, after.state) in plain.successors(before.state)
    assert not plain.properties[1].predicate(plain.seen(path.last))


def test_refused_with_liveness():
    system = System({"a": Gossip({}, ("a",))}, Guarantee.ORDERED)
    model = system.model("live", [eventually("x", lambda view: True)], symmetric=["a"])
    with pytest.raises(UsageError, match="symmetry with a liveness property"):
        check(model, symmetry=True)


def test_refused_where_nothing_is_interchangeable():
    with pytest.raises(UsageError, match="no interchangeable"):
        check(twophase(3, symmetric=False), symmetry=True)


def test_processes_that_differ_are_found_out():
    class Stubborn(Gossip):
        def step(self, state, event, now):
            if isinstance(event, Invoke) and event.request == 0:
                return Step((3, None), (), "stick")
            return super().step(state, event, now)

    system = System(
        {"a": Gossip({}, ("a", "b")), "b": Stubborn({}, ("a", "b"))},
        Guarantee.ORDERED,
        environment={"a": any_of(0, times=1), "b": any_of(0, times=1)},
    )
    model = system.model("unlike", symmetric=["a", "b"], terminal=lambda view: True)
    with pytest.raises(ModelError, match="not interchangeable"):
        check(model, symmetry=True)


class Counting:
    """Counts to a number, and stops earlier if it is told to."""

    def __init__(self, last=99):
        self.last = last

    def initial(self):
        return 0

    def durable(self, state):
        return state

    def step(self, state, event, now):
        return Step(state, (), "") if state == self.last else Step(state + 1, (), "Count")


def counting(properties, top=4, **others):
    names = ("a", "b", "c")
    system = System(
        {name: others.get(name, Counting()) for name in names},
        Guarantee.ORDERED,
        environment={name: whenever(lambda n: ["go"] if n < top else []) for name in names},
    )
    return system.model("counting", properties, symmetric=names, terminal=lambda view: True)


@pytest.mark.parametrize(
    "claim",
    [
        always("a is behind", lambda view: view["a"] <= view["b"]),
        reachable("a is ahead", lambda view: view["a"] == 4 and view["c"] == 0),
        always("when", lambda view: True, when=lambda view: view["b"] == 3),
    ],
    ids=lambda claim: claim.name,
)
def test_a_claim_that_tells_replicas_apart_is_refused(claim):
    with pytest.raises(ModelError, match=f"{claim.name}.* tells a and . apart"):
        check(counting([claim]), symmetry=True)


@pytest.mark.parametrize("last", [0, 3, 5, 8, 11])
@pytest.mark.parametrize("seen", [True, False], ids=["structure", "steps"])
def test_processes_that_differ_deep_in_the_state_space_are_found_out(monkeypatch, last, seen):
    monkeypatch.setattr(equivariance, "EXCHANGED_WITH_ALL", 20)
    claim = reachable("all", lambda view: all(view[name] == 12 for name in view.addresses))
    model = counting([claim], top=12, b=Counting(last))
    assert model.symmetry is not None
    assert "b are not interchangeable" in model.symmetry.unlike
    if not seen:
        model = replace(model, symmetry=replace(model.symmetry, unlike=""))
    with pytest.raises(ModelError, match="not interchangeable"):
        check(model, symmetry=True)
    assert check(model).verdict is Verdict.VIOLATED


def test_processes_of_different_classes_are_not_interchangeable():
    class Other(Counting):
        pass

    model = counting([], b=Other())
    with pytest.raises(ModelError, match="one is a Counting, the other a Other"):
        check(model, symmetry=True)
    assert twophase(3).symmetry.unlike == ""


class Gossip:
    """Symmetric processes that remember and mention each other; the state is (number, peer)."""

    def __init__(self, table, names):
        self.table = table
        self.names = names

    def initial(self):
        return (0, None)

    def step(self, state, event, now):
        number, peer = state
        match event:
            case Invoke(request):
                key, src, about = ("invoke", request), None, None
            case Receive(src, (message, about)):
                key = ("receive", message)
        row = self.table.get((number, *key))
        if row is None:
            return Step(state, (), "")
        after, remember, message, whom = row
        peer = {"src": src, "about": about, "keep": peer, "forget": None}[remember]
        to = {"src": [src], "peer": [peer], "all": self.names, "none": []}[whom]
        sends = tuple(Send(name, (message, peer)) for name in to if name is not None)
        return Step((after, peer), sends, key[0])

    def durable(self, state):
        return state


ROWS = st.dictionaries(
    st.sampled_from(
        [(n, kind, m) for n in range(3) for kind in ("invoke", "receive") for m in (0, 1)]
    ),
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["src", "about", "keep", "forget"]),
        st.integers(0, 1),
        st.sampled_from(["src", "peer", "all", "none"]),
    ),
    max_size=8,
)


@pytest.mark.slow
@settings(max_examples=60)
@given(
    table=ROWS,
    replicas=st.integers(2, 3),
    hub=st.one_of(st.none(), ROWS),
    ordered=st.booleans(),
)
def test_orbits_add_up(table, replicas, hub, ordered):
    names = ("a", "b", "c")[:replicas]
    table = {(0, "invoke", 0): (1, "keep", 0, "all"), **table}
    everyone = (*names, "hub") if hub is not None else names
    processes = {name: Gossip(table, everyone) for name in names}
    if hub is not None:
        processes["hub"] = Gossip(hub, everyone)
    system = System(
        processes,
        Guarantee.ORDERED if ordered else Guarantee.UNORDERED_DUPLICATING,
        environment={name: any_of(0, times=1, sequential=False) for name in names},
    )
    claims = [always("not all two", lambda view: any(view[name][0] != 2 for name in names))]
    model = system.model("gossip", claims, symmetric=names, terminal=lambda view: True)
    full = check(model, engine="table", budget=Budget(states=5_000))
    if full.stopped:
        return
    reduced = check(model, symmetry=True, budget=Budget(states=5_000))
    assert reduced.stopped == ""
    assert reduced.verdict is full.verdict
    assert reduced.depth == full.depth
    if full.verdict is Verdict.HOLDS:
        stand_for = reduced.notes[0].split()[-2]
        assert stand_for == f"{full.distinct:,}"
    else:
        assert len(reduced.counterexample) == len(full.counterexample)


def test_replicas_that_name_each_other_are_no_twins():
    """Two name each other, one names one of them: all look alike, and what each may do differs."""
    names = ("a", "b", "c")

    def pick(me, values):
        if values[me] is None:
            for peer in names:
                if peer != names[me]:
                    yield Change(Action("pick", names[me]), ((me, peer),))

    def close(me, values):
        peer = values[me]
        if peer in names and values[names.index(peer)] == names[me]:
            yield Change(Action("close", names[me]), ((me, "done"),))

    model = Composite(
        name="peers",
        slots=names,
        initial=[(None, None, None)],
        rules=[partial(rule, me) for rule in (pick, close) for me in range(3)],
        apply=lambda slot, value, operation: value,
        view=lambda values: values,
        terminal=lambda values: True,
        kinds=["peer"] * 3,
        symmetry=Symmetry(names, lambda slot: (names[slot],), renamed),
    )
    whole = check(model, engine="table")
    orbits = check(model, engine="table", symmetry=True)
    assert f"stand for {whole.distinct:,} states" in orbits.notes[0]
