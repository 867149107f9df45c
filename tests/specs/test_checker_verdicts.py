"""What a verdict claims: bounds that decide, rules that are impure, fairness of nothing."""

import itertools
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import NamedTuple

import pytest

from message_passing.network import Guarantee
from message_passing.process import Invoke, Receive, Send, Step
from specs.checker import (
    Action,
    Change,
    Composite,
    ImpureStep,
    Limit,
    Model,
    ModelError,
    Verdict,
    always,
    check,
    eventually,
    leads_to,
    liveness,
    reachable,
    strong,
    weak,
)
from specs.checker.chart import text_chart
from specs.checker.result import Moment, Path
from specs.checker.simulate import simulate
from specs.checker.stateful import state_machine
from specs.conform import Graph, differences_of
from specs.system import Bounds, System, whenever
from specs.tlavalue import function

HOLDS, VIOLATED, UNDETERMINED = Verdict.HOLDS, Verdict.VIOLATED, Verdict.UNDETERMINED
SEARCHES = [
    {"engine": "reference"},
    {"engine": "table"},
    {"engine": "numba"},
    {"por": True},
]
LIVE = SEARCHES[:3]


def composite(rules, initial, **more):
    """A composite whose slots are integers; an update's operation is a function."""
    more.setdefault("view", lambda values: values)
    more.setdefault("terminal", lambda view: True)
    slots = [f"slot{i}" for i in range(len(initial))]
    return Composite("composite", slots, [initial], rules, lambda slot, x, f: f(x), **more)


def increments(values):
    yield Change(Action("inc"), ((0, values[0] + 1),))


def resets(values):
    if values[0]:
        yield Change(Action("reset"), ((0, 0),))


def at(number):
    return lambda values: values[0] == number


def below(number):
    return lambda values: values[0] < number


# Bounds.


@pytest.fixture(params=[False, True], ids=["python", "compiled"])
def passes(request, monkeypatch):
    """Both implementations of the passes over a graph."""
    if request.param:
        monkeypatch.setattr(liveness, "COMPILED_FROM", 1)


@pytest.mark.parametrize("search", SEARCHES, ids=str)
def test_counts_are_of_the_states_within_bounds(search):
    result = check(composite([increments], (0,), within=below(10)), **search)
    assert (result.distinct, result.generated, result.depth) == (10, 10, 9)


@pytest.mark.parametrize("search", LIVE, ids=str)
@pytest.mark.usefixtures("passes")
def test_a_behaviour_that_leaves_the_bounds_is_not_a_counterexample(search):
    claims = [
        eventually("ten", at(10)),
        eventually("four", at(4)),
        leads_to("from three to ten", at(3), at(10)),
        leads_to("from three to four", at(3), at(4)),
        always("small", below(9)),
    ]
    model = composite(
        [increments], (0,), properties=claims, fairness=[weak("inc")], within=below(5)
    )
    result = check(model, **search)
    verdicts = [finding.verdict for finding in result.findings]
    assert verdicts == [UNDETERMINED, HOLDS, UNDETERMINED, HOLDS, HOLDS]
    assert (result.verdict, result.bounded) == (UNDETERMINED, True)
    path = result.finding("ten").path
    assert [moment.state for moment in path.moments] == [(n,) for n in range(6)]
    assert path.loop is None
    assert any("leaves open: 'ten', 'from three to ten'" in note for note in result.notes)


@pytest.mark.parametrize("search", LIVE, ids=str)
@pytest.mark.usefixtures("passes")
def test_a_lasso_within_the_bounds_is_a_counterexample(search):
    claims = [leads_to("ten", at(1), at(10))]
    model = composite([increments, resets], (0,), properties=claims, within=below(5))
    assert check(model, **search).verdict is VIOLATED
    # With fairness the loop through 1 is still a fair behaviour, and it stays within the bounds.
    model = composite(
        [increments, resets],
        (0,),
        properties=claims,
        fairness=[strong("inc"), strong("reset")],
        within=below(5),
    )
    result = check(model, **search)
    assert result.verdict is VIOLATED
    assert all(moment.state[0] < 5 for moment in result.counterexample.moments)


@pytest.mark.parametrize("search", SEARCHES, ids=str)
def test_a_witness_beyond_the_bounds_is_undetermined(search):
    found = check(
        composite([increments], (0,), properties=[reachable("five", at(5))], within=below(5)),
        **search,
    )
    assert found.verdict is HOLDS
    missed = check(
        composite([increments], (0,), properties=[reachable("ten", at(10))], within=below(5)),
        **search,
    )
    assert missed.verdict is UNDETERMINED


@pytest.mark.parametrize("search", SEARCHES, ids=str)
def test_bounds_that_are_never_met_decide_nothing(search):
    def up(values):
        if values[0] < 3:
            yield from increments(values)

    claims = [reachable("ten", at(10))]
    result = check(composite([up], (0,), properties=claims, within=below(5)), **search)
    assert (result.verdict, result.bounded) == (VIOLATED, False)
    assert not any("bound" in note for note in result.notes)


class Chatter:
    """Sends whenever it is asked to, and counts what arrives."""

    def __init__(self, other):
        self.other = other

    def initial(self):
        return 0

    def step(self, state, event, now):
        match event:
            case Invoke("talk"):
                return Step(state, (Send(self.other, "hello"),), "Talk")
            case Receive(_, "hello"):
                return Step(min(state + 1, 2), (Send(self.other, "hello"),), "Answer")
        raise AssertionError(event)

    def durable(self, state):
        return state


def chatter(in_flight, **more):
    system = System(
        {"a": Chatter("b"), "b": Chatter("a")},
        Guarantee.ORDERED,
        environment={name: whenever(lambda state: ["talk"]) for name in "ab"},
        bounds=Bounds(in_flight=in_flight),
    )
    return system.model("chatter", **more)


@pytest.mark.parametrize("search", SEARCHES, ids=str)
def test_full_channels_are_not_a_deadlock(search):
    # Both channels are full, and every step sends: only the bound stops the two.
    result = check(chatter(1), **search)
    assert result.deadlock is None
    assert (result.verdict, result.bounded) == (HOLDS, True)
    assert any("in_flight=1" in note for note in result.notes)


@pytest.mark.parametrize("search", LIVE, ids=str)
def test_a_lasso_that_only_full_channels_make_fair_is_no_counterexample(search):
    claims = [eventually("b hears", lambda view: view["b"] > 0)]
    fairness = [weak(name, each="process") for name in ("Talk", "Answer")]
    model = chatter(1, properties=claims, fairness=fairness)
    result = check(model, **search)
    assert result.finding("b hears").verdict is UNDETERMINED
    # No fairness: both may be silent, whatever the bound.
    assert check(chatter(1, properties=claims), **search).verdict is VIOLATED
    missing = chatter(1, properties=[reachable("never", lambda view: view["b"] > 5)])
    assert check(missing, **search).verdict is UNDETERMINED


def test_walks_and_state_machines_keep_the_bounds():
    model = composite([increments], (0,), terminal=None, within=below(3))
    result = simulate(model, walks=3)
    assert (result.verdict, result.bounded) == (UNDETERMINED, True)
    assert result.notes == ("3 walks ended outside `within`",)
    assert simulate(chatter(1), walks=50).deadlock is None

    def stops_outside(n):
        if n < 3:
            yield "inc", n + 1

    plain = Model("stops outside", [0], stops_outside, within=lambda n: n < 3)
    assert check(plain).verdict is HOLDS
    machine = state_machine(plain)()
    machine.state, machine.following = 3, []
    machine.no_deadlock()


def test_a_plain_model_may_say_what_it_leaves_out():
    def actions(n):
        if n < 2:
            yield "inc", n + 1

    limit = Limit("n=2", lambda n: [Action("inc")] if n == 2 else [], lambda: True)
    claims = [eventually("three", lambda n: n == 3)]
    model = Model("limited", [0], actions, claims, fairness=[weak("inc")], limit=limit)
    assert check(model).verdict is UNDETERMINED


# Rules, updates and predicates that are no functions of the state.


def toggles(values):
    if values[2] < 2:
        yield Change(Action("toggle"), ((2, values[2] + 1),))


def leaks_late(values):
    if values[0] < 3:
        yield Change(Action("put"), ((0, values[0] + 1),), ((1, lambda x: x + values[2]),))


def rolls(dice, values):
    if values[0] < 50:
        yield Change(Action("roll"), ((0, values[0] + dice.randint(1, 3)),))


def counts_calls(calls, values):
    calls.append(0)
    if values[0] < 40:
        yield Change(Action("inc"), ((0, values[0] + (2 if len(calls) % 2 else 1)),))


def reads_what_another_wrote(seen, values):
    if values[0] < 40:
        yield Change(Action("inc"), ((0, values[0] + (2 if seen else 1)),))
    if values[0] == 30:
        seen.append(0)


@pytest.mark.parametrize("search", SEARCHES, ids=str)
@pytest.mark.parametrize(
    "rules",
    [
        lambda: [leaks_late, toggles],
        lambda: [partial(rolls, Random(1))],
        lambda: [partial(counts_calls, [])],
        lambda: [partial(reads_what_another_wrote, [])],
    ],
    ids=["reads late", "random", "counts", "slow"],
)
def test_an_impure_rule_is_refused(search, rules):
    with pytest.raises(ImpureStep) as refused:
        check(composite(rules(), (0, 0, 0)), **search)
    assert refused.value.remedy


@pytest.mark.parametrize("search", SEARCHES, ids=str)
def test_an_operation_may_contain_values_that_its_rule_read(search):
    def puts(values):
        if values[0] < 3:
            more = values[2]
            yield Change(Action("put"), ((0, values[0] + 1),), ((1, lambda x: x + more),))

    result = check(composite([puts, toggles], (0, 0, 0)), **search)
    assert (result.verdict, result.distinct) == (HOLDS, 30)


@pytest.mark.parametrize("search", SEARCHES, ids=str)
def test_an_impure_update_is_refused(search):
    dice = Random(1)

    def bumps(values):
        if values[0] < 3:
            yield Change(Action("put"), ((0, values[0] + 1),), ((1, lambda x: dice.random()),))

    with pytest.raises(ImpureStep):
        check(composite([bumps], (0, 0)), **search)

    def breaks(values):
        if values[0] < 3:
            yield Change(Action("put"), ((0, values[0] + 1),), ((1, lambda x: x.missing),))

    with pytest.raises(ModelError, match="missing"):
        check(composite([breaks], (0, 0)), **search)


def fickle():
    answers = itertools.cycle([True, False, True])
    return lambda values: next(answers)


def up_to_nine(values):
    if values[0] < 9:
        yield from increments(values)


@pytest.mark.parametrize("search", SEARCHES, ids=str)
@pytest.mark.parametrize(
    "asked",
    [
        lambda: {"properties": [always("fickle", fickle())]},
        lambda: {"within": fickle()},
    ],
    ids=["always", "within"],
)
def test_an_impure_predicate_is_refused(search, asked):
    with pytest.raises(ImpureStep, match=r"fickle|within"):
        check(composite([up_to_nine], (0,), **asked()), **search)


@pytest.mark.parametrize("search", LIVE, ids=str)
def test_impure_liveness_is_refused(search):
    model = composite([up_to_nine], (0,), properties=[eventually("fickle", fickle())])
    with pytest.raises(ImpureStep, match="fickle"):
        check(model, **search)
    numbers = itertools.count()
    claims = [eventually("nine", at(9))]
    fairness = [weak(lambda action: next(numbers))]
    with pytest.raises(ImpureStep, match="fairness"):
        check(composite([up_to_nine], (0,), properties=claims, fairness=fairness), **search)
    with pytest.raises(ModelError, match="unhashable"):
        check(composite([up_to_nine], (0,), properties=claims, fairness=[weak(list)]), **search)


def test_one_lasso_that_is_fair_beyond_the_bound_is_enough():
    moves = {0: [("left", 1), ("right", 2)], 1: [], 2: []}
    for held_back in (1, 2):

        def left_out(state, held_back=held_back):
            return [Action("inc")] if state == held_back else []

        model = Model(
            "fork",
            [0],
            moves.__getitem__,
            [eventually("three", lambda state: state == 3)],
            fairness=[weak("inc")],
            terminal=lambda state: True,
            limit=Limit("two", left_out, lambda: True),
            alphabet=frozenset({"inc"}),
        )
        result = check(model)
        assert result.verdict is VIOLATED
        assert result.counterexample.last == 3 - held_back


# Fairness that names nothing.


@pytest.mark.parametrize("search", LIVE, ids=str)
def test_fairness_of_an_unknown_action_is_refused(search):
    claims = [eventually("nine", at(9))]
    for fairness, hint in (
        (weak("incr"), "did you mean 'inc'"),
        (strong("decrement", each="process"), "the actions are inc"),
        (weak(lambda action: None), "names no action"),
    ):
        model = composite([up_to_nine], (0,), properties=claims, fairness=[fairness])
        with pytest.raises(ModelError, match=hint):
            check(model, **search)


@pytest.mark.parametrize("search", LIVE, ids=str)
def test_fairness_of_a_listed_action_that_is_never_taken_is_noted(search):
    claims = [eventually("nine", at(9))]
    model = composite(
        [up_to_nine],
        (0,),
        properties=claims,
        fairness=[weak("inc"), weak("reset"), weak(lambda action: action.process or None)],
        alphabet=frozenset({"inc", "reset"}),
    )
    result = check(model, **search)
    assert result.verdict is HOLDS
    assert sum("applies to no step" in note for note in result.notes) == 2


def test_fairness_matters_to_liveness_only():
    model = composite([up_to_nine], (0,), properties=[always("small", below(10))])
    assert check(replace(model, fairness=[weak("incr")])).verdict is HOLDS
    # The action may be taken beyond the bound.
    claims = [eventually("two", at(2))]
    fairness = [weak("inc"), weak("reset")]
    beyond = composite([increments], (0,), properties=claims, fairness=fairness, within=below(5))
    assert check(beyond).verdict is HOLDS


# Equal values of different kinds.


class Sample(NamedTuple):
    value: object


@dataclass(frozen=True)
class Record:
    value: object


@pytest.mark.parametrize("search", SEARCHES[1:], ids=str)
@pytest.mark.parametrize("wrap", [lambda x: x, Sample, Record, lambda x: frozenset({(x,)})])
@pytest.mark.parametrize("pair", [(1, True), (1.0, 1), (0.0, -0.0)], ids=str)
def test_equal_values_of_different_kinds_are_refused(search, wrap, pair):
    one, other = map(wrap, pair)

    def rule(values):
        if values[0] is None:
            yield Change(Action("one"), ((0, one),))
            yield Change(Action("other"), ((0, other),))

    with pytest.raises(ModelError, match="kinds differ"):
        check(composite([rule], (None,)), **search)

    def send(values):
        if values[0] < 2:
            message = (one, other)[values[0]]
            yield Change(Action("send"), ((0, values[0] + 1),), ((1, message),))

    model = composite([send], (0, ()))
    with pytest.raises(ModelError, match="kinds differ"):
        check(replace(model, apply=lambda slot, queue, message: (*queue, message)), **search)


def test_equal_states_of_a_plain_model_are_one_state():
    def actions(state):
        if state == 0:
            yield "number", 1
            yield "truth", True

    result = check(Model("kinds", [0], actions, terminal=lambda state: True))
    assert result.distinct == 2


# What a reader sees.


class Jugs(NamedTuple):
    small: int = 0
    big: int = 0


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ([Jugs(), Jugs(0, 5)], ["initially: small=0, big=0", "fill: big: 0 → 5"]),
        ([Record(1), Record(2)], ["initially: value=1", "fill: value: 1 → 2"]),
        ([(("x", 1), ("y", 1)), (("x", 1), ("y", 2))], ["initially: x=1, y=1", "fill: y: 1 → 2"]),
        ([Jugs(), Jugs()], ["initially: small=0, big=0", "fill: nothing changes"]),
        ([1, 2], ["initially: 1", "fill: 2"]),
        ([(1, 2), (1, 3)], ["initially: (1, 2)", "fill: (1, 3)"]),
    ],
)
def test_a_chart_shows_what_each_step_changes(states, told):
    first, last = states
    path = Path((Moment(None, first), Moment(Action("fill"), last)))
    assert [line.split("  ")[-1] for line in text_chart(path).splitlines()] == told
    path = Path((Moment(None, first), Moment(Action("fill", "p"), last)))
    changes = told[1].removeprefix("fill: ")
    has_fields = "[" in text_chart(path)
    assert has_fields == (f"[{changes}]" in text_chart(path)) == ("=" in told[0])


def test_not_a_number_is_named_as_the_cause():
    with pytest.raises(ImpureStep, match="NaN"):
        check(Model("nan", [0.0], lambda state: [("go", float("nan"))]))


def test_differences_name_the_fields_that_differ():
    def home(version, *queue):
        record = {"version": version, "owner": "a", "queue": queue}
        return (function({"d1": function(record)}),)

    spec, code = Graph(("home",)), Graph(("home",))
    for graph in (spec, code):
        graph.number({"home": home(0)[0]})
        graph.number({"home": home(1)[0]})
        graph.edges.add((0, "Write", 1))
    code.edges.add((1, "Queue", code.number({"home": home(1, "b")[0]})))
    assert list(differences_of(spec, code)) == [
        "only in code: Queue: home[d1][queue] () -> ('b',); "
        "from the initial state but home[d1][version] 0 -> 1"
    ]
