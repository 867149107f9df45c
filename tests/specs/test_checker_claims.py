"""Claims on steps and refinement: every engine, against a plain search of the test's own."""

import itertools
import random
from dataclasses import replace

import pytest

from specs import report
from specs.checker import (
    Action,
    Composite,
    ImpureStep,
    Model,
    ModelError,
    PropertyError,
    UsageError,
    Verdict,
    always,
    check,
    enabled,
    eventually,
    every_step,
    leads_to,
    mapped,
    reachable,
    refines,
    refines_fairly,
    temporal,
    weak,
)
from specs.checker.chart import mermaid_chart, svg_chart, text_chart
from specs.checker.composite import Change, Symmetry
from specs.checker.simulate import simulate
from specs.checker.stateful import state_machine

#: To compile the kernel takes longer than all that it is then asked here.
NUMBA = pytest.param("numba", marks=pytest.mark.slow)
ENGINES = ["reference", "table", NUMBA]


def ticks(hour):
    yield "tick", hour % 12 + 1


def clock(*properties):
    return Model("hour clock", [12], ticks, properties)


def minutes(state):
    """A clock of hours and quarters; the hour changes with the last quarter."""
    hour, quarter = state
    yield "quarter", (hour if quarter < 3 else hour % 12 + 1, (quarter + 1) % 4)


def late(state):
    """The hour changes by two at noon."""
    for _, (hour, quarter) in minutes(state):
        yield "quarter", (2 if (hour, quarter) == (1, 0) else hour, quarter)


def fine_clock(actions, *properties, initial=(12, 0)):
    return Model("quarters", [initial], actions, properties)


def counters(*properties, steps=(1,), within=None):
    """Two counters up to 5; a shared slot counts how often "b" has moved."""

    def bump(slot, values):
        for step in steps:
            if values[slot] + step <= 5:
                action = Action(f"add {step}", "ab"[slot])
                updates = ((2, 1),) if slot else ()
                yield Change(action, ((slot, values[slot] + step),), updates)

    return Composite(
        name="counters",
        slots=["a", "b", "moves"],
        initial=[(0, 0, 0)],
        rules=[lambda values: bump(0, values), lambda values: bump(1, values)],
        apply=lambda slot, value, operation: value + operation,
        view=lambda values: values,
        properties=properties,
        terminal=lambda values: True,
        within=within,
    )


# Steps.


@pytest.mark.parametrize("engine", ENGINES)
def test_a_step_that_jumps_is_found(engine):
    grows = every_step("by one", lambda before, after: after[0] - before[0] <= 1)
    assert check(counters(grows), engine=engine).verdict is Verdict.HOLDS
    result = check(counters(grows, steps=(1, 3)), engine=engine)
    path = result.finding("by one").path
    assert result.verdict is Verdict.VIOLATED
    assert (len(path), path.actions[-1].name, path.last[0]) == (1, "add 3", 3)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_late_violation_has_a_shortest_path(engine):
    claim = every_step("a first", lambda before, after: before[1] == after[1] or before[0] == 5)
    late = every_step("no 2 to 3", lambda before, after: (before[0], after[0]) != (2, 3))
    result = check(counters(late), engine=engine)
    assert [m.state for m in result.counterexample.moments] == [
        (0, 0, 0),
        (1, 0, 0),
        (2, 0, 0),
        (3, 0, 0),
    ]
    assert len(check(counters(claim), engine=engine).counterexample) == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_the_action_may_be_asked(engine):
    claim = every_step(
        "a never adds 2",
        lambda before, action, after: (action.process, action.name) != ("a", "add 2"),
    )
    result = check(counters(claim, steps=(1, 2)), engine=engine)
    assert [str(action) for action in result.counterexample.actions] == ["add 2(a)"]
    assert check(counters(claim), engine=engine).verdict is Verdict.HOLDS


@pytest.mark.parametrize("engine", ENGINES)
def test_steps_that_leave_the_subscript_unchanged_are_allowed(engine):
    def by_one(before, after):
        return after[0] == before[0] + 1

    of_a = every_step("of a", by_one, of=lambda values: values[0])
    of_all = every_step("of all", by_one)
    result = check(counters(of_a), engine=engine)
    assert (result.verdict, result.vacuous) == (Verdict.HOLDS, ())
    assert check(counters(of_all), engine=engine).counterexample.last == (0, 1, 1)
    idle = every_step("of nothing", lambda before, after: False, of=lambda values: 0)
    result = check(counters(idle), engine=engine)
    assert (result.verdict, result.vacuous) == (Verdict.HOLDS, ("of nothing",))
    assert any("no step changed what it is about" in line for line in report.lines(result))


def test_a_step_that_changes_nothing_is_allowed():
    def actions(state):
        yield "rest", state
        yield "go", 1

    model = Model("rests", [0], actions, [every_step("goes", lambda b, a: a == b + 1)])
    assert check(model).verdict is Verdict.HOLDS


@pytest.mark.parametrize("engine", ENGINES)
def test_a_step_out_of_bounds_is_judged(engine):
    claim = every_step("below 3", lambda before, after: after[0] < 3)
    model = counters(claim, within=lambda values: values[0] < 3)
    assert check(model, engine=engine).counterexample.last[0] == 3


@pytest.mark.parametrize("engine", ENGINES)
def test_a_claim_that_raises_is_an_error(engine):
    claim = every_step("breaks", lambda before, after: 1 // (4 - after[0]) > -9)
    with pytest.raises(PropertyError, match=r"'breaks' raised ZeroDivisionError.*add 1"):
        check(counters(claim), engine=engine)
    none = every_step("says nothing", lambda before, after: None)
    with pytest.raises(PropertyError, match="neither True nor False"):
        check(counters(none), engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_impure_claim_is_refused(engine):
    answers = itertools.cycle([True, True, False])
    claim = every_step("moody", lambda before, after: after[0] < 2 or next(answers))
    with pytest.raises(ImpureStep, match=r"'moody'.*: equal arguments gave"):
        check(counters(claim), engine=engine)


def test_the_arguments_of_a_claim_are_checked():
    with pytest.raises(UsageError, match="with 1 arguments"):
        every_step("one", lambda before: True)
    with pytest.raises(UsageError, match="cannot judge a step"):
        every_step("none", "x' = x")
    assert every_step("default", lambda before, after, k=1: True).steps.reads_action is False


def test_por_refuses_claims_on_steps():
    with pytest.raises(UsageError, match="claim on steps"):
        check(counters(every_step("any", lambda before, after: True)), por=True)


def ladder(*properties):
    """Twenty-four counters up to 7, filled one after the other: more bits than a word has."""

    def climb(slot, values):
        if values[slot] < 7 and (not slot or values[slot - 1] == 7):
            yield Change(Action("climb"), ((slot, values[slot] + 1),))

    return Composite(
        name="ladder",
        slots=[f"s{slot}" for slot in range(24)],
        initial=[(0,) * 24],
        rules=[lambda values, slot=slot: climb(slot, values) for slot in range(24)],
        apply=lambda slot, value, operation: value,
        view=lambda values: values,
        properties=properties,
        terminal=lambda values: True,
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_states_that_outgrow_a_word(engine):
    fine = every_step("by one", lambda before, after: sum(after) == sum(before) + 1)
    low = every_step("low", lambda before, after: (before[21], after[21]) != (3, 4))
    assert check(ladder(fine), engine=engine).verdict is Verdict.HOLDS
    result = check(ladder(fine, low), engine=engine)
    assert [finding.verdict.value for finding in result.findings] == ["UNDETERMINED", "VIOLATED"]
    assert (len(result.counterexample), result.distinct) == (21 * 7 + 4, 21 * 7 + 5)


def drawn(chance, **claims):
    """A random composite of three slots with values below 3, updates included."""
    tables = [
        {
            pair: [
                (
                    chance.randrange(3),
                    tuple((chance.randrange(3), 1) for _ in range(chance.choice((0, 0, 1)))),
                )
                for _ in range(chance.choice((0, 1, 1, 2)))
            ]
            for pair in itertools.product(range(3), repeat=2)
        }
        for _ in range(3)
    ]

    def rule(slot, values):
        for number, (value, updates) in enumerate(tables[slot][values[slot], values[slot - 1]]):
            yield Change(Action(f"r{number}", "abc"[slot]), ((slot, value),), updates)

    bound = chance.choice((None, 4))
    return Composite(
        name="drawn",
        slots=["a", "b", "c"],
        initial=list({tuple(chance.randrange(3) for _ in range(3)) for _ in range(2)}),
        rules=[lambda values, slot=slot: rule(slot, values) for slot in range(3)],
        apply=lambda slot, value, operation: (value + operation) % 3,
        view=lambda values: values,
        terminal=lambda values: True,
        within=None if bound is None else lambda values: sum(values) < bound,
        **claims,
    )


def drawn_claim(chance, name):
    slot, other = chance.randrange(3), chance.randrange(3)
    bad = {tuple(chance.randrange(3) for _ in range(3)) for _ in range(chance.choice((1, 2, 4)))}
    of = chance.choice((None, lambda values: values[other], lambda values: values[slot] > 0))
    if chance.random() < 0.3:
        return every_step(
            name,
            lambda before, action, after: (
                (before[slot], after[other], action.process)
                not in {(x, y, "abc"[z]) for x, y, z in bad}
            ),
            of=of,
        )
    return every_step(
        name, lambda before, after: (before[slot], after[slot], after[other]) not in bad, of=of
    )


def expected(model, claim):
    """Steps of the shortest path that ends with a violation, whether one changes `of`, by hand."""
    plain, steps = model.model(), claim.steps
    distance = dict.fromkeys(plain.initial, 0)
    shortest, met = None, False
    queue = list(distance)
    for state in queue:
        if plain.within is not None and not plain.within(state):
            continue
        for action, after in plain.successors(state):
            if after != state and (steps.of is None or steps.of(state) != steps.of(after)):
                met = True
                arguments = (state, action, after) if steps.reads_action else (state, after)
                if shortest is None and not steps.allowed(*arguments):
                    shortest = distance[state] + 1
            if after not in distance:
                distance[after] = distance[state] + 1
                queue.append(after)
    return shortest, met


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("engine", ENGINES)
def test_random_claims_agree_with_a_plain_search(engine):
    chance = random.Random(11)
    verdicts = set()
    for _ in range(60 if engine == "numba" else 300):
        claim = drawn_claim(chance, "claim")
        model = drawn(chance, properties=[claim])
        shortest, met = expected(model, claim)
        result = check(model, engine=engine)
        finding = result.finding("claim")
        verdicts.add(result.verdict)
        if shortest is None:
            assert (finding.verdict, finding.vacuous) == (Verdict.HOLDS, not met)
            continue
        assert (finding.verdict, len(finding.path)) == (Verdict.VIOLATED, shortest)
        before, last = finding.path.moments[-2:]
        assert (last.action, last.state) in model.model().successors(before.state)
        assert claim.steps.allows(before.state, last.action, last.state) is False
    assert verdicts == {Verdict.HOLDS, Verdict.VIOLATED}


@pytest.mark.parametrize("engine", ["table", NUMBA])
def test_engines_count_alike_with_several_claims(engine):
    chance = random.Random(5)
    for _ in range(40 if engine == "numba" else 150):
        claims = [
            drawn_claim(chance, "one"),
            always("sum", lambda v: sum(v) < 6),
            drawn_claim(chance, "two"),
        ]
        model = drawn(chance, properties=claims)
        ours, oracle = check(model, engine=engine), check(model, engine="reference")
        for name in ("verdict", "distinct", "generated", "depth", "actions", "vacuous"):
            assert getattr(ours, name) == getattr(oracle, name), name
        for mine, theirs in zip(ours.findings, oracle.findings, strict=True):
            assert mine.verdict is theirs.verdict
            assert (mine.path and len(mine.path)) == (theirs.path and len(theirs.path))


# Symmetry.


def twins(*properties, biased=False):
    """Two interchangeable counters up to 2, unless the first may jump."""

    def bump(slot, values):
        for step in (1, 2) if biased and not slot else (1,):
            if values[slot] + step <= 2:
                yield Change(Action("add", "xy"[slot]), ((slot, values[slot] + step),))

    return Composite(
        name="twins",
        slots=["x", "y"],
        initial=[(0, 0)],
        rules=[lambda values: bump(0, values), lambda values: bump(1, values)],
        apply=lambda slot, value, operation: value,
        view=lambda values: values,
        properties=properties,
        terminal=lambda values: True,
        kinds=("counter", "counter"),
        symmetry=Symmetry(("x", "y"), lambda slot: ("xy"[slot],), lambda value, names: value),
    )


def test_symmetry_keeps_verdicts_of_symmetric_claims():
    fine = every_step("one each", lambda before, after: sum(after) == sum(before) + 1)
    broken = every_step("not to the end", lambda before, after: sum(after) < 4)
    assert check(twins(fine), symmetry=True).verdict is Verdict.HOLDS
    result = check(twins(broken), symmetry=True)
    assert (result.verdict, len(result.counterexample)) == (Verdict.VIOLATED, 4)
    states = [moment.state for moment in result.counterexample.moments]
    assert (states[0], states[-1]) == ((0, 0), (2, 2))


def test_symmetry_refuses_a_claim_that_tells_replicas_apart():
    claim = every_step("x rests", lambda before, after: before[0] == after[0])
    with pytest.raises(ModelError, match="'x rests' tells x and y apart"):
        check(twins(claim), symmetry=True)


# Refinement.


def test_a_fine_clock_refines_a_coarse_one():
    result = check(fine_clock(minutes, refines("hours", clock(), lambda state: state[0])))
    assert (result.verdict, result.vacuous, result.distinct) == (Verdict.HOLDS, (), 48)


def test_a_wrong_step_is_named_with_what_the_abstract_model_offers():
    result = check(fine_clock(late, refines("hours", clock(), lambda state: state[0])))
    finding = result.finding("hours")
    assert (finding.verdict, len(finding.path), finding.path.last) == (Verdict.VIOLATED, 4, (2, 0))
    assert finding.why == (
        "quarter is not a step of 'hour clock': (12 -> 2); from 12 it offers tick -> 1"
    )
    text = "\n".join(report.lines(result))
    assert "VIOLATED      refines 'hours' (counterexample: 4 steps): quarter is not a step" in text
    assert finding.why.encode() in report.as_json(result, [])
    for chart in (text_chart, mermaid_chart, svg_chart):
        assert chart(finding.path)


def test_a_wrong_initial_state_is_named():
    model = fine_clock(minutes, refines("hours", clock(), lambda state: state[0]), initial=(3, 1))
    finding = check(model).finding("hours")
    assert (finding.verdict, len(finding.path)) == (Verdict.VIOLATED, 0)
    assert finding.why == "3 is not an initial state of 'hour clock', which begins in 12"


def test_a_mapping_that_never_moves_is_vacuous():
    result = check(fine_clock(minutes, refines("hours", clock(), lambda state: 12)))
    assert (result.verdict, result.vacuous) == (Verdict.HOLDS, ("hours",))


def test_a_mapping_outside_the_abstract_model_is_an_error():
    def actions(state):
        yield "go", {0: 1}[state]

    abstract = Model("narrow", [0], actions, terminal=lambda state: True)
    concrete = Model("wide", [0], lambda n: [("inc", n + 1)], [refines("r", abstract, lambda n: n)])
    with pytest.raises(PropertyError, match="gives 1, from which 'narrow' cannot go on"):
        check(concrete)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("steps", [(1,), (1, 2)])
def test_two_counters_refine_their_sum(engine, steps):
    total = Model("sum", [0], lambda n: [("inc", n + 1)] if n < 10 else [], terminal=lambda n: True)
    claim = refines("adds up", total, lambda values: values[0] + values[1])
    result = check(counters(claim, steps=steps), engine=engine)
    assert (result.verdict is Verdict.HOLDS) == (steps == (1,))
    if steps == (1, 2):
        assert (len(result.counterexample), result.distinct) == (1, 5)
        assert "(0 -> 2); from 0 it offers inc -> 1" in result.finding("adds up").why


@pytest.mark.parametrize("engine", ENGINES)
def test_a_start_that_does_not_refine(engine):
    total = Model("from one", [1], lambda n: [("inc", n + 1)])
    result = check(counters(refines("adds up", total, lambda v: v[0])), engine=engine)
    assert (result.verdict, result.distinct, result.generated) == (Verdict.VIOLATED, 1, 0)
    assert len(result.counterexample) == 0


def test_a_composite_can_be_the_abstract_model():
    claim = refines("itself", counters(), tuple)
    assert check(counters(claim), engine="table").verdict is Verdict.HOLDS
    assert check(counters(claim, steps=(2,)), engine="table").verdict is Verdict.VIOLATED


def fair_clock(*properties, fairness=()):
    return replace(fine_clock(minutes, *properties), fairness=fairness)


def hour_of(state):
    return state[0]


def test_fairness_of_the_abstract_model_is_a_claim_of_its_own():
    abstract = replace(clock(), fairness=[weak("tick")])
    claim = refines_fairly("ticks", abstract, hour_of)
    assert check(fair_clock(claim, fairness=[weak("quarter")])).verdict is Verdict.HOLDS
    finding = check(fair_clock(claim)).finding("ticks")
    assert (finding.verdict, finding.path.loop) == (Verdict.VIOLATED, len(finding.path))
    assert finding.why == "the loop neglects WF(tick) of the abstract model"
    assert check(fair_clock(refines_fairly("idle", abstract, lambda s: 12))).vacuous == ()
    with pytest.raises(UsageError, match="assumes no fairness"):
        refines_fairly("none", clock(), hour_of)
    with pytest.raises(PropertyError, match=r"mapping to 'hour clock' raised IndexError"):
        check(fair_clock(refines_fairly("bad", abstract, lambda state: state[2])))


def test_properties_of_the_abstract_model_are_restated():
    abstract = replace(
        clock(
            always("in range", lambda hour: 1 <= hour <= 12),
            always("goes on", enabled("tick")),
            every_step("by one", lambda before, after: after % 12 == (before + 1) % 12),
            leads_to("noon again", lambda hour: hour == 1, lambda hour: hour == 12),
        ),
        fairness=[weak("tick")],
    )
    claims = mapped(abstract, hour_of)
    assert [claim.name for claim in claims] == [
        "hour clock: in range",
        "hour clock: goes on",
        "hour clock: by one",
        "hour clock: noon again",
    ]
    assert check(fair_clock(*claims, fairness=[weak("quarter")])).verdict is Verdict.HOLDS
    assert check(fair_clock(*claims)).finding("hour clock: noon again").verdict is Verdict.VIOLATED
    result = check(fine_clock(late, *claims[:3]))
    assert result.finding("hour clock: by one").path.last == (2, 0)


# Walks.


def test_walks_judge_steps_and_starts():
    result = simulate(fine_clock(late, refines("hours", clock(), lambda state: state[0])), walks=3)
    finding = result.finding("hours")
    assert (result.verdict, finding.path.last) == (Verdict.VIOLATED, (2, 0))
    assert "is not a step of 'hour clock'" in finding.why
    assert (
        simulate(fine_clock(minutes, refines("h", clock(), lambda s: s[0])), walks=3)
        .findings[0]
        .path
        is None
    )
    wrong = fine_clock(minutes, refines("h", clock(), lambda s: s[0]), initial=(3, 1))
    assert len(simulate(wrong, walks=1).finding("h").path) == 0
    jumps = counters(every_step("by one", lambda b, a: sum(a[:2]) == sum(b[:2]) + 1), steps=(1, 2))
    assert simulate(jumps).verdict is Verdict.VIOLATED


def test_hypothesis_judges_steps():
    from hypothesis import Phase, settings
    from hypothesis.stateful import run_state_machine_as_test

    few = settings(
        max_examples=5,
        stateful_step_count=8,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
    )
    fine = fine_clock(minutes, refines("h", clock(), lambda state: state[0]))
    run_state_machine_as_test(state_machine(fine), settings=few)
    with pytest.raises(AssertionError, match="'h' is violated by quarter"):
        run_state_machine_as_test(
            state_machine(fine_clock(late, refines("h", clock(), lambda state: state[0]))),
            settings=few,
        )


# ENABLED.


@pytest.mark.parametrize("engine", ENGINES)
def test_enabled_in_every_kind_of_property(engine):
    can, other = enabled("add 1", "a"), enabled("add 1", "b")
    claims = [
        always("a moves", can),
        always("while low", can, when=lambda values: values[0] < 5),
        always("before b ends", lambda values: values[1] < 5, when=other),
        reachable("b stuck", enabled("add 9")),
        every_step("keeps on", lambda before, after: after[0] == 5, of=can),
    ]
    for place, expected in enumerate(("VIOLATED", "HOLDS", "HOLDS", "VIOLATED", "HOLDS")):
        result = check(counters(claims[place]), engine=engine)
        (finding,) = result.findings
        assert (finding.verdict.value, finding.vacuous) == (expected, False)
        assert finding.claim is claims[place]
    assert check(counters(claims[0]), engine=engine).counterexample.last[0] == 5


@pytest.mark.parametrize("engine", ENGINES)
def test_enabled_in_liveness(engine):
    can = enabled("add 1", "a")
    full = leads_to("full", can, lambda values: values[0] == 5)
    ends = temporal("ends", "<>[]~can /\\ [](can \\/ full)", can=can, full=lambda v: v[0] == 5)
    never = temporal("never", "[](can => []can)", can=can)
    model = counters(full, ends, never)
    fair = replace(model, fairness=[weak("add 1", each="process")])
    assert [f.verdict.value for f in check(model, engine=engine).findings] == ["VIOLATED"] * 3
    verdicts = [f.verdict.value for f in check(fair, engine=engine).findings]
    assert verdicts == ["HOLDS", "HOLDS", "VIOLATED"]
    assert check(fair, engine=engine).finding("never").path.moments[-1].state[0] == 5


@pytest.mark.parametrize("engine", ENGINES)
def test_enabled_counts_steps_out_of_bounds(engine):
    model = counters(within=lambda values: values[0] < 3)
    claim = temporal(
        "goes on", "[](can \\/ ~low)", can=enabled("add 1", "a"), low=lambda v: v[0] < 5
    )
    assert check(replace(model, properties=[claim]), engine=engine).verdict is Verdict.HOLDS


def test_enabled_with_reductions():
    some = always("some", enabled("add"), when=lambda values: sum(values) < 4)
    assert check(twins(some), symmetry=True).verdict is Verdict.HOLDS
    assert check(twins(some), por=True).verdict is Verdict.HOLDS
    first = always("first", enabled("add", "x"), when=lambda values: sum(values) < 3)
    with pytest.raises(ModelError, match="'first' tells x and y apart"):
        check(twins(first), symmetry=True)
    assert check(twins(first), por=True).verdict is Verdict.VIOLATED


def test_enabled_in_a_plain_model_with_a_view():
    def actions(n):
        if n < 3:
            yield "inc", n + 1

    claims = [
        always("below 3", enabled("inc"), when=lambda text: text != "n=3"),
        always("always", enabled("inc")),
        eventually("stops", lambda text: text == "n=3"),
    ]
    model = Model(
        "counts", [0], actions, claims, view=lambda n: f"n={n}", terminal=lambda text: True
    )
    result = check(model)
    assert result.finding("always").path.last == 3
    assert result.finding("below 3").verdict is Verdict.UNDETERMINED
    walked = simulate(model, walks=1, steps=5)
    assert walked.finding("always").path.last == 3
    assert walked.finding("always").claim is claims[1]
    refined = refines("same", Model("n", [0], actions), lambda text: int(text[2:]))
    model = replace(model, properties=[claims[0], refined])
    assert check(model).verdict is Verdict.HOLDS


def test_enabled_outside_a_model_is_an_error():
    with pytest.raises(PropertyError, match="ENABLED inc was asked of a view"):
        enabled("inc")(0)
    hidden = always("hidden", lambda values: enabled("add 1")(values))
    with pytest.raises(PropertyError, match="give enabled"):
        check(counters(hidden))
