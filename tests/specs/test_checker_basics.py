"""Plain models: verdicts, paths, deadlock, coverage, vacuity, budgets, and what is refused."""

import pytest

from specs.checker import (
    Budget,
    ImpureStep,
    Model,
    ModelError,
    PropertyError,
    UsageError,
    Verdict,
    always,
    check,
    eventually,
    leads_to,
    reachable,
    strong,
    weak,
)


def clock(hour):
    yield "tick", hour % 12 + 1


def counter(limit):
    def actions(n):
        if n < limit:
            yield "inc", n + 1
        if n > 0:
            yield "dec", n - 1

    return actions


def test_a_first_model():
    model = Model("clock", [1], clock, [always("in range", lambda hour: 1 <= hour <= 12)])
    result = check(model)
    assert result.verdict is Verdict.HOLDS
    assert (result.distinct, result.generated, result.depth) == (12, 12, 11)
    assert result.verdict.exit_code == 0


def test_a_violation_comes_with_a_shortest_path():
    model = Model("counter", [0], counter(9), [always("below five", lambda n: n < 5)])
    result = check(model)
    assert result.verdict is Verdict.VIOLATED
    assert result.verdict.exit_code == 1
    path = result.counterexample
    assert [m.state for m in path.moments] == [0, 1, 2, 3, 4, 5]
    assert [a.name for a in path.actions] == ["inc"] * 5
    assert result.distinct == 6


def test_deadlock_is_told_apart_from_termination():
    def countdown(n):
        if n:
            yield "down", n - 1

    stuck = check(Model("countdown", [3], countdown))
    assert stuck.verdict is Verdict.VIOLATED
    assert [m.state for m in stuck.deadlock.moments] == [3, 2, 1, 0]
    done = check(Model("countdown", [3], countdown, terminal=lambda n: n == 0))
    assert done.verdict is Verdict.HOLDS
    assert done.deadlock is None


def test_reachable_has_a_witness_or_is_violated():
    properties = [reachable("seven", lambda n: n == 7), reachable("never", lambda n: n == 70)]
    result = check(Model("counter", [0], counter(9), properties))
    assert len(result.finding("seven").path) == 7
    assert result.finding("never").verdict is Verdict.VIOLATED
    assert result.verdict is Verdict.VIOLATED


def test_coverage_and_vacuity():
    model = Model(
        "counter",
        [0],
        counter(3),
        [
            always("if ten then red", lambda n: False, when=lambda n: n == 10),
            leads_to("from ten to zero", lambda n: n == 10, lambda n: n == 0),
            always("if two then small", lambda n: n < 3, when=lambda n: n == 2),
        ],
        alphabet=frozenset({"inc", "dec", "reset"}),
    )
    result = check(model)
    assert result.verdict is Verdict.HOLDS
    assert result.never_taken == {"reset"}
    assert result.vacuous == ("if ten then red", "from ten to zero")


def test_budget_ends_undetermined():
    model = Model(
        "unbounded", [0], lambda n: [("inc", n + 1)], [always("natural", lambda n: n >= 0)]
    )
    result = check(model, budget=Budget(states=5_000))
    assert result.verdict is Verdict.UNDETERMINED
    assert result.verdict.exit_code == 3
    assert "5000 states" in result.stopped


def test_a_budget_of_memory_and_of_time():
    model = Model("unbounded", [0], lambda n: [("inc", n + 1)])
    for budget in (Budget(memory_mib=1), Budget(seconds=1e-9)):
        result = check(model, budget=budget)
        assert result.verdict is Verdict.UNDETERMINED
        assert "budget of" in result.stopped


def test_control_c_ends_undetermined_with_what_was_seen():
    def actions(n):
        if n == 3:
            raise KeyboardInterrupt
        yield "inc", n + 1

    result = check(Model("interrupted", [0], actions))
    assert result.verdict is Verdict.UNDETERMINED
    assert result.interrupted
    assert result.distinct == 4


def test_control_c_while_a_claim_is_judged_ends_the_judging_of_all():
    asked = []

    def asks(n):
        asked.append(n)
        raise KeyboardInterrupt

    claims = [always("small", lambda n: n < 3), eventually("a", asks), eventually("b", asks)]
    result = check(Model("interrupted", [0], lambda n: [("inc", (n + 1) % 3)], claims))
    assert [f.verdict.value for f in result.findings] == ["HOLDS", "UNDETERMINED", "UNDETERMINED"]
    assert result.interrupted
    assert asked == [0]


def test_within_bounds_a_model():
    model = Model("bounded", [0], lambda n: [("inc", n + 1)], within=lambda n: n < 10)
    result = check(model)
    assert result.verdict is Verdict.HOLDS
    assert result.distinct == 10


def test_an_invariant_is_checked_outside_the_bound_too():
    model = Model(
        "bounded",
        [0],
        lambda n: [("inc", n + 1)],
        [always("below ten", lambda n: n < 10)],
        within=lambda n: n < 10,
    )
    assert len(check(model).counterexample) == 10


class TestLiveness:
    def test_without_fairness_anything_may_stop(self):
        model = Model("clock", [1], clock, [eventually("noon", lambda h: h == 12)])
        result = check(model)
        assert result.verdict is Verdict.VIOLATED
        assert result.counterexample.loop == len(result.counterexample)  # it stutters
        fair = Model("clock", [1], clock, [eventually("noon", lambda h: h == 12)], [weak("tick")])
        assert check(fair).verdict is Verdict.HOLDS

    def test_a_loop_is_shown(self):
        def actions(state):
            if state == "busy":
                yield "spin", "busy2"
                yield "leave", "done"
            elif state == "busy2":
                yield "spin", "busy"
            else:
                yield "rest", "done"

        properties = [eventually("done", lambda s: s == "done")]
        everything = [weak("spin"), weak("leave")]
        result = check(Model("spinner", ["busy"], actions, properties, everything))
        assert result.verdict is Verdict.VIOLATED  # `leave` is off in every other state
        path = result.counterexample
        assert path.loop is not None
        assert path.moments[path.loop].state == path.last
        assert {a.name for a in path.actions} == {"spin"}
        strongly = [weak("spin"), strong("leave")]
        assert check(Model("s", ["busy"], actions, properties, strongly)).verdict is Verdict.HOLDS

    def test_leads_to_starts_where_the_antecedent_is_met(self):
        def actions(state):
            yield from {
                "idle": [("ask", "asked")],
                "asked": [("answer", "idle"), ("lose", "lost")],
                "lost": [("stay", "lost")],
            }[state]

        claim = leads_to("answered", lambda s: s == "asked", lambda s: s == "idle")
        result = check(Model("rpc", ["idle"], actions, [claim], [strong("answer")]))
        assert result.verdict is Verdict.VIOLATED
        assert [m.state for m in result.counterexample.moments] == ["idle", "asked", "lost"]

    def test_an_unfinished_search_says_nothing_about_liveness(self):
        model = Model(
            "up", [0], lambda n: [("inc", n + 1)], [eventually("far", lambda n: n == 10**9)]
        )
        result = check(model, budget=Budget(states=100))
        assert result.finding("far").verdict is Verdict.UNDETERMINED


class TestRefusals:
    def test_no_initial_state(self):
        with pytest.raises(ModelError, match="no initial state"):
            Model("empty", [], clock)

    def test_an_unhashable_state(self):
        with pytest.raises(ModelError, match="hashed"):
            Model("lists", [[1]], clock)
        with pytest.raises(ModelError, match="hashed"):
            check(Model("lists", [0], lambda _: [("go", [1])]))

    def test_an_action_that_raises(self):
        with pytest.raises(ModelError, match="ZeroDivisionError"):
            check(Model("m", [0], lambda n: [("go", 1 // n)]))

    def test_a_property_that_raises_or_gives_no_answer(self):
        with pytest.raises(PropertyError, match="'p' raised TypeError"):
            check(Model("m", [1], clock, [always("p", lambda hour: hour["x"])]))
        with pytest.raises(PropertyError, match="answered None"):
            check(Model("m", [1], clock, [always("p", lambda hour: None)]))

    def test_twin_properties(self):
        twins = [always("p", lambda _: True), reachable("p", lambda _: True)]
        with pytest.raises(ModelError, match="two properties"):
            Model("m", [1], clock, twins)

    @pytest.mark.parametrize("limit", [{"states": 0}, {"seconds": 0.0}, {"memory_mib": -1}])
    def test_a_budget_of_zero(self, limit):
        with pytest.raises(UsageError, match="decides nothing"):
            Budget(**limit)

    def test_requests_that_make_no_sense(self):
        model = Model("clock", [1], clock)
        with pytest.raises(UsageError, match="no engine"):
            check(model, engine="warp")
        with pytest.raises(UsageError, match="plain model"):
            check(model, engine="table")
        with pytest.raises(UsageError, match="no such field"):
            weak("tick", each="colour")
        with pytest.raises(UsageError, match="no property"):
            check(model).finding("p")

    def test_hidden_state_is_found_out(self):
        calls = []

        def actions(n):
            calls.append(n)
            yield "go", (n + len(calls)) % 5

        with pytest.raises(ImpureStep, match="outside the arguments"):
            check(Model("moody", [0], actions))

    def test_a_changed_argument_is_found_out(self):
        class Box:
            def __init__(self):
                self.items = []

            def __repr__(self):
                return f"Box({self.items})"

        def actions(box):
            box.items.append(1)
            yield "go", box

        with pytest.raises(ImpureStep, match="changed its argument"):
            check(Model("mutable", [Box()], actions))
