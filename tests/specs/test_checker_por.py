"""Partial-order reduction: the same verdicts, the same dead ends, fewer states; and why it may."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from message_passing.network import Guarantee
from message_passing.process import Invoke, Send, Step
from specs.checker import (
    Action,
    Budget,
    Change,
    Composite,
    ModelError,
    UsageError,
    Verdict,
    always,
    check,
    eventually,
    por,
    reachable,
)
from specs.checker.search import Watch
from specs.examples.die_hard import die_hard
from specs.models.twophase import twophase
from specs.system import System, script

# Drawn composites: programs with a counter each, two shared variables, two queues.

PROGRAMS, SHARED, QUEUES = 3, (3, 4), (5, 6)
SLOTS = ("p", "q", "r", "x", "y", "in", "out")
PLACES = 4


def rule_of(program, lines):
    """One line of a program a place: what it tests, where it goes, what it does."""

    def rule(values):
        place = values[program]
        if place not in lines:
            return
        test, to, deeds = lines[place]
        writes, taken = [(program, to)], None
        match test:
            case ("is", slot, value):
                if values[slot] != value:
                    return
            case ("take", slot):
                queue = values[slot]
                if not queue:
                    return
                taken = queue[0]
                writes.append((slot, queue[1:]))
            case ("head", slot):
                if not values[slot] or values[slot][0]:
                    return
            case ("long", slot, wanted):
                if (len(values[slot]) > 1) is not wanted:
                    return
        updates = []
        for kind, slot, value in deeds:
            if kind == "write":
                writes.append((slot, value if taken is None else taken))
            else:
                updates.append((slot, value))
        action = Action(f"{SLOTS[program]}{place}", SLOTS[program], str(test), subject=str(deeds))
        yield Change(action, tuple(writes), tuple(updates))

    return rule


def add(slot, value, operation):
    """Queues grow; numbers are changed in a way that does not commute."""
    return (*value, operation) if slot in QUEUES else (value + 1) % 3 if operation else 0


TESTS = st.one_of(
    st.just(()),
    st.tuples(st.just("is"), st.sampled_from((0, 1, 2, *SHARED)), st.integers(0, 1)),
    st.tuples(st.just("take"), st.sampled_from(QUEUES)),
    st.tuples(st.just("head"), st.sampled_from(QUEUES)),
    st.tuples(st.just("long"), st.sampled_from(QUEUES), st.booleans()),
)
DEEDS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(SHARED), st.integers(0, 2)),
        st.tuples(st.just("update"), st.sampled_from((*SHARED, *QUEUES)), st.integers(0, 1)),
    ),
    max_size=2,
)


@st.composite
def programs(draw, returns):
    """Mostly straight on, so that there is something to be put in one order."""
    lines = {}
    for place in range(PLACES - draw(st.integers(0, 1))):
        on = min(place + 1, PLACES - 1)
        to = draw(st.sampled_from((on, on, on, 0 if returns else on, place)))
        deeds = draw(DEEDS)
        if returns or to == place:  # or a queue would grow without end
            deeds = [deed for deed in deeds if deed[1] not in QUEUES]
        lines[place] = (draw(TESTS), to, deeds)
    return lines


@st.composite
def predicates(draw):
    """A conjunction or disjunction of equalities, as lazy as Python's."""
    parts = draw(
        st.lists(
            st.tuples(st.sampled_from((0, 1, 2, *SHARED)), st.integers(0, 3)),
            min_size=1,
            max_size=3,
        )
    )
    join = draw(st.sampled_from((all, any)))
    return lambda view: join(view[slot] == value for slot, value in parts)


def negated(predicate):
    return lambda view: not predicate(view)


@st.composite
def composites(draw):
    # With two rules a program has a choice.
    times = draw(st.sampled_from((1, 1, 2)))
    rules = []
    for number in range(PROGRAMS):
        returns = draw(st.booleans())
        rules += [rule_of(number, draw(programs(returns))) for _ in range(times)]
    within = draw(st.one_of(st.none(), st.none(), predicates()))
    return Composite(
        name="drawn",
        slots=SLOTS,
        initial=[(0, 0, 0, 0, 0, (), ())],
        rules=rules,
        apply=add,
        view=lambda values: values,
        properties=[
            always("never", negated(draw(predicates()))),
            always("not while", negated(draw(predicates())), when=draw(predicates())),
            reachable("some time", draw(predicates())),
        ],
        within=within and negated(within),
        queues=frozenset(QUEUES),
    )


BUDGET = Budget(states=400)


def replayed(model, path):
    """Whether a path is one of the model's."""
    assert path.moments[0].state in model.initial
    for before, after in itertools.pairwise(path.moments):
        assert (after.action, after.state) in model.successors(before.state)


def dead_ends(composite):
    """States that are within bounds and have no successor: of the full search, and of ours."""
    plain = composite.model()

    def is_dead(state):
        inside = composite.within is None or composite.within(state)
        return inside and not plain.successors(state)

    found = por.explore(replace(composite, properties=[], terminal=lambda _: True), Watch(BUDGET))
    reduced = {found.state(number) for number in range(found.distinct + len(found.outside))}
    seen, todo = set(composite.initial), list(composite.initial)
    while todo:
        state = todo.pop()
        if composite.within is None or composite.within(state):
            for _, following in plain.successors(state):
                if following not in seen:
                    seen.add(following)
                    todo.append(following)
    assert reduced <= seen
    return set(filter(is_dead, seen)), set(filter(is_dead, reduced))


def claims(composite):
    """The composite with each property alone, deadlocks aside, and with deadlocks alone."""
    for prop in composite.properties:
        yield replace(composite, properties=[prop], terminal=lambda _: True)
    yield replace(composite, properties=[])
    yield replace(composite, terminal=lambda _: True)


def same(composite):
    """Whether a check with the reduction says what a check without it says."""
    free = replace(composite, properties=[], terminal=lambda _: True)
    if check(free, engine="reference", budget=BUDGET).stopped:
        return
    for claim in claims(composite):
        full = check(claim, engine="reference")
        reduced = check(claim, por=True)
        assert reduced.verdict is full.verdict
        assert (reduced.deadlock is None) is (full.deadlock is None)
        if full.verdict is Verdict.HOLDS:
            assert reduced.distinct <= full.distinct
            assert reduced.actions == full.actions
            assert [(f.verdict, f.vacuous) for f in reduced.findings] == [
                (f.verdict, f.vacuous) for f in full.findings
            ]
        for path in [reduced.deadlock, *(f.path for f in reduced.findings)]:
            if path is not None:
                replayed(claim.model(), path)
    full_ends, our_ends = dead_ends(composite)
    assert our_ends == full_ends


@pytest.mark.slow
@settings(max_examples=30)
@given(composites())
def test_same_verdicts_and_dead_ends(composite):
    same(composite)


@pytest.mark.slow
@settings(max_examples=1_500)
@given(composites())
def test_same_verdicts_and_dead_ends_at_length(composite):
    same(composite)


# What each condition is for: without it, a small model gets another verdict.


def lines(*wanted, terminal=None, properties=(), queues=(), held=()):
    """Programs p, q, r of lines (program, place, what it tests, where it goes, what it does)."""
    return Composite(
        name="by hand",
        slots=SLOTS,
        initial=[(0, 0, 0, 0, 0, held, ())],
        rules=[rule_of(program, {place: line}) for program, place, *line in wanted],
        apply=add,
        view=lambda values: values,
        properties=properties,
        terminal=terminal,
        queues=frozenset(queues),
    )


P, Q, R, X, Y, IN, OUT = range(7)

#: Whatever ends well here: nothing is a deadlock.
ENDS = {"terminal": lambda _: True}

BROKEN = {
    # Both orders of two writes that nothing else looks at.
    "opponents": (
        lambda patch: patch.setattr(por.Meetings, "opponents", lambda self, found: 0),
        lines(
            (P, 0, (), 1, [("write", X, 1)]),
            (Q, 0, (), 1, [("write", X, 2)]),
            terminal=lambda values: values[X] != 1,
        ),
    ),
    # A program that goes on only as long as another has not written.
    "disturbers": (
        lambda patch: patch.setattr(por.Meetings, "disturbers", lambda self, found: 0),
        lines(
            (P, 0, ("is", X, 0), 1, []),
            (Q, 0, (), 1, [("write", X, 1)]),
            terminal=lambda values: values[P] == 1,
        ),
    ),
    # A state between two steps that have nothing to do with each other.
    "visibility": (
        lambda patch: patch.setattr(por.Meetings, "add_goal", lambda self, bits, found: None),
        lines(
            (P, 0, (), 1, []),
            (Q, 0, (), 1, []),
            properties=[always("p first", lambda values: (values[P], values[Q]) != (0, 1))],
            **ENDS,
        ),
    ),
    # A loop that nobody looks at, and something that happens beside it.
    "cycle proviso": (
        lambda patch: patch.setattr(por._Search, "_goes_on", lambda *_: True),
        lines(
            (P, 0, (), 1, []),
            (P, 1, (), 0, []),
            (Q, 0, (), 1, []),
            properties=[always("q stays", lambda values: values[Q] == 0)],
        ),
    ),
    # A program that looks at what another writes, and does not begin with that.
    "learning": (
        lambda patch: patch.setattr(por._Search, "_is_void", lambda self: False),
        lines(
            (P, 0, (), 1, [("write", X, 1)]),
            (Q, 0, (), 1, []),
            (Q, 1, ("is", X, 0), 2, []),
            terminal=lambda values: values[Q] != 2,
        ),
    ),
}


@pytest.mark.parametrize("condition", BROKEN)
def test_each_condition_is_needed(condition, monkeypatch):
    break_it, model = BROKEN[condition]
    assert check(model, engine="reference").verdict is Verdict.VIOLATED
    assert check(model, por=True).verdict is Verdict.VIOLATED
    break_it(monkeypatch)
    assert check(model, por=True).verdict is Verdict.HOLDS


# Two steps that only a queue, or only an update, joins; each order comes to another end.
TAKE, HEAD, LONG = ("take", IN), ("head", IN), ("long", IN, True)
# By name: what p tests and does, what q tests and does, what the queue holds, the bad end.
JOINED = {
    "two take": ((TAKE, []), (TAKE, []), (0,), lambda v: v[Q] == 0),
    "look at a head that is taken": ((HEAD, []), (TAKE, []), (0,), lambda v: v[P] == 0),
    "take a head that is looked at": ((TAKE, []), (HEAD, []), (0,), lambda v: v[Q] == 1),
    "take from what is measured": ((TAKE, []), (LONG, []), (0, 0), lambda v: v[Q] == 1),
    "look at what is overwritten": (
        *((HEAD, []), ((), [("write", IN, ())])),
        *((0,), lambda v: v[P] == 0),
    ),
    "update what is looked at": (
        *(((), [("update", X, 1)]), (("is", X, 0), [])),
        *((), lambda v: v[Q] == 1),
    ),
}


@pytest.mark.parametrize("how", JOINED)
@pytest.mark.parametrize("turn", [1, -1])
def test_both_orders_of_steps_that_meet_are_followed(how, turn):
    (p_tests, p_does), (q_tests, q_does), held, bad = JOINED[how]
    both = [(P, 0, p_tests, 1, p_does), (Q, 0, q_tests, 1, q_does)]
    ends_well = {"terminal": lambda values: not bad(values)}
    model = lines(*both[::turn], queues=(IN,), held=held, **ends_well)
    assert check(model, engine="reference").verdict is Verdict.VIOLATED
    assert check(model, por=True).verdict is Verdict.VIOLATED


@pytest.mark.parametrize("between", [(0, 1), (1, 0)])
@pytest.mark.parametrize("turn", [1, -1])
def test_an_update_is_visible(between, turn):
    both = [(P, 0, (), 1, []), (Q, 0, (), 1, [("update", X, 1)])]
    never = always("never between", lambda values: (values[P], values[X]) != between)
    assert check(lines(*both[::turn], properties=[never], **ENDS), por=True).counterexample


# How much is left out.


def counters(programs, properties=()):
    """Programs that count to three, each for itself."""

    def count(program):
        def rule(values):
            if values[program] < 3:
                change = ((program, values[program] + 1),)
                yield Change(Action("Count", str(program)), change)

        return rule

    return Composite(
        name="counters",
        slots=[str(program) for program in range(programs)],
        initial=[(0,) * programs],
        rules=[count(program) for program in range(programs)],
        apply=add,
        view=lambda values: values,
        properties=properties,
        terminal=lambda _: True,
    )


def test_steps_that_have_nothing_to_do_with_each_other_take_one_order():
    full, reduced = check(counters(5)), check(counters(5), por=True)
    assert (full.distinct, reduced.distinct) == (4**5, 1 + 3 * 5)
    note = "partial-order reduction: 15 of 45 steps were taken, 12 of 16 states left some out"
    assert reduced.notes[0].startswith(note)


def test_a_property_costs_the_orders_that_it_sees():
    sees_two = reachable("first before second", lambda v: v[0] == 3 and v[1] == 0)
    sees_all = reachable("sum", lambda v: sum(v[i] for i in range(5)) == 15)
    full = 4**5
    some = check(counters(5, [sees_two]), por=True)
    assert some.finding("first before second").verdict is Verdict.HOLDS
    assert some.distinct < full / 10
    assert check(counters(5, [sees_all]), por=True).distinct == full


class Teller:
    """Sends three numbers to a hearer, who adds them up."""

    def __init__(self, hearer=None):
        self.hearer = hearer

    def initial(self):
        return 0

    def step(self, state, event, now):
        if isinstance(event, Invoke):
            return Step(state, (Send(self.hearer, event.request),), "Tell")
        return Step(state + event.message, (), "Hear")

    def durable(self, state):
        return state


@pytest.mark.parametrize(
    ("guarantee", "full", "reduced"),
    [(Guarantee.ORDERED, 10**2, 13), (Guarantee.UNORDERED, 15**2, 72)],
)
def test_an_append_passes_a_delivery(guarantee, full, reduced):
    pairs = {"a": "b", "c": "d"}
    model = System(
        {**{a: Teller(b) for a, b in pairs.items()}, **{b: Teller() for b in pairs.values()}},
        guarantee,
        environment={a: script(1, 2, 4, sequential=False) for a in pairs},
    ).model("tellers", terminal=lambda _: True)
    assert check(model).distinct == full
    assert check(model, por=True).distinct == reduced


# What is refused.


def test_a_call_that_makes_no_sense_is_refused():
    with pytest.raises(UsageError, match="liveness"):
        check(counters(2, [eventually("x", lambda _: True)]), por=True)
    with pytest.raises(UsageError, match="with symmetry"):
        check(twophase(3), por=True, symmetry=True)
    with pytest.raises(UsageError, match="plain model"):
        check(die_hard(), por=True)
    with pytest.raises(UsageError, match="table engine does not reduce"):
        check(twophase(3), por=True, engine="table")


def test_a_queue_that_is_none_is_found_out():
    prepends = replace(
        lines((P, 0, (), 1, [("update", IN, 0)]), (P, 1, (), 2, [("update", IN, 1)]), queues=(IN,)),
        apply=lambda slot, value, operation: (operation, *value),
    )
    with pytest.raises(ModelError, match="not a queue"):
        check(prepends, por=True)

    def goes_on(values):
        if not values[IN] and values[X] == 0:
            yield Change(Action("Idle"), ((X, 1),))

    with pytest.raises(ModelError, match="and continued"):
        check(replace(prepends, rules=[goes_on]), por=True)


def test_a_budget_ends_it():
    result = check(counters(3), por=True, budget=Budget(states=5))
    assert result.verdict is Verdict.UNDETERMINED
    assert result.stopped == "budget of 5 states"
