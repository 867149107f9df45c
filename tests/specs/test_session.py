"""The session: paths by numbers, beside the model's own successors and the results of checks."""

import random
import sys
from dataclasses import replace

import pytest

from specs import catalogue
from specs.checker import Model, always, check, every_step, reachable
from specs.checker.composite import Composite
from specs.checker.errors import UsageError
from specs.checker.result import Verdict
from specs.examples.die_hard import die_hard
from specs.models.mesi import mesi
from specs.models.teaching import dining, ping
from specs.models.twophase import twophase
from specs.session import NoSuchPath, Session, frame, part
from specs.session.session import STEPS_MAX
from specs.session.values import label_of

FAST = [case for case in catalogue.cases() if case.time == "fast"]
BROKEN = [case for case in FAST if case.expect is Verdict.VIOLATED]
#: The first of each model; the others are slow only because there are many.
FIRST = {case.name: case for case in reversed(BROKEN)}.values()


def made(case):
    return catalogue.factory(case.name)(**case.constants)


def plain(model):
    return model.model() if isinstance(model, Composite) else model


@pytest.mark.slow(fast=9)
@pytest.mark.parametrize("name", catalogue.names())
def test_numbers_are_those_of_the_successors(name):
    model = made(next(catalogue.cases(name)))
    session, rules, chance = Session(model), plain(model), random.Random(1)
    state, numbers = rules.initial[0], [0]
    for _ in range(12):
        following = rules.successors(state)
        shown = frame(session, numbers)
        assert shown.enabled_total == len(following)
        assert [c.label for c in shown.enabled] == [
            label_of(action) for action, _ in following[: len(shown.enabled)]
        ]
        assert [c.idle for c in shown.enabled] == [t == state for _, t in following[:200]]
        if not following:
            break
        numbers.append(chance.randrange(len(following)))
        state = following[numbers[-1]][1]
        assert session.places(numbers)[-1].state == state


@pytest.mark.slow(fast=2)
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=str(case), marks=() if case in FIRST else pytest.mark.slow)
        for case in BROKEN
    ],
)
def test_from_opening_to_standing_on_the_violation(case):
    model = made(case)
    session = Session(model)
    result = check(model)
    path = result.counterexample
    if path is None:  # a witness that does not exist has no path
        assert not next(f for f in result.findings if f.verdict is Verdict.VIOLATED).claim.formula
        return
    numbers = session.follow(path)
    assert len(numbers) == len(path.moments)
    shown = frame(session, numbers, loop=path.loop)
    if path.loop is None:
        assert case.violates in shown.violated
        before = frame(session, numbers[:-1])
        (choice,) = [c for c in before.enabled if c.number == numbers[-1]]
        assert case.violates in choice.violates, "told one step ahead"
        assert case.violates in shown.steps[-1].violates
    else:
        assert shown.closes
        assert shown.chart is None or shown.chart.loop == path.loop


@pytest.mark.parametrize("how", [{"symmetry": True}, {"por": True}])
def test_paths_of_reduced_searches(how):
    model = mesi(broken="swmr", symmetric=True)
    path = check(model, **how).counterexample
    session = Session(model)
    assert frame(session, session.follow(path)).violated


def test_a_path_of_another_model_is_followed_as_far_as_it_goes():
    path = check(mesi(broken="swmr")).counterexample
    numbers = Session(mesi()).follow(path)
    assert 0 < len(numbers) < len(path.moments)
    assert Session(die_hard()).follow(path) == []


def test_a_path_that_leads_elsewhere_has_another_digest():
    def ordered(one, other):
        def actions(state):
            yield one, (*state, one)
            yield other, (*state, other)

        return Session(Model("sets", [()], actions))

    here, there = ordered("a", "b"), ordered("b", "a")
    assert here.digest([0, 0]) != there.digest([0, 0])
    assert here.digest([0, 0, 1]) == there.digest([0, 1, 0])
    assert here.digest([0]) == there.digest([0])


def test_a_digest_does_not_depend_on_addresses():
    class Odd:
        def __hash__(self):
            return 1

        def __eq__(self, other):
            return type(other) is type(self)

    digests = {Session(Model("odd", [Odd()], lambda _: ())).digest([0]) for _ in range(2)}
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("path", "steps", "words"),
    [
        ([], 0, "initial state"),
        ([1], 0, "no initial state 1"),
        ([-1], 0, "no initial state -1"),
        ([0, 2, 99], 1, "step 2 is action 99 of the 6 enabled"),
        ([0, -1], 0, "step 1 is action -1"),
        ([0] * (STEPS_MAX + 2), 0, "more than 10,000"),
    ],
)
def test_a_path_that_is_not_there(path, steps, words):
    with pytest.raises(NoSuchPath, match=words) as raised:
        Session(die_hard()).places(path)
    assert raised.value.steps == steps


def test_a_path_of_ten_thousand_steps():
    def actions(count):
        yield "one", count + 1

    session = Session(Model("counter", [0], actions))
    path = [0] * (STEPS_MAX + 1)
    assert sys.getrecursionlimit() < len(path)
    shown = frame(session, path)
    assert shown.state.text == "10000"
    assert len(shown.steps) == 100
    assert shown.steps_from == STEPS_MAX - 100


def test_places_beyond_the_cache_are_found_again(monkeypatch):
    monkeypatch.setattr("specs.session.session.PLACES_MAX", 3)
    session = Session(die_hard())
    paths = [[0, a, b] for a in range(6) for b in range(6)]
    first = [session.places(path)[-1].state for path in paths]
    assert [session.places(path)[-1].state for path in paths] == first


def test_properties_here():
    def actions(n):
        yield "up", n + 1
        yield "down", n - 1

    def fails(n):
        return 1 // (2 - n) < 9

    session = Session(
        Model(
            "n",
            [0],
            actions,
            properties=[
                always("small", lambda n: n < 2),
                always("even", lambda n: n % 2 == 0, when=lambda n: n > 0),
                reachable("minus", lambda n: n < 0),
                every_step("grows", lambda before, after: after > before),
                always("divides", fails),
            ],
            within=lambda n: n < 1,
        )
    )
    start, up, down, two = (
        {each.name: each.here for each in frame(session, path).properties}
        for path in ([0], [0, 0], [0, 1], [0, 0, 0])
    )
    assert start == {
        "small": "holds",
        "even": "untested",
        "minus": "no witness",
        "grows": "untested",
        "divides": "holds",
    }
    assert (up["even"], up["grows"]) == ("violated", "holds")
    assert (down["minus"], down["grows"]) == ("witness", "violated")
    assert (two["small"], two["divides"]) == ("violated", "raised")
    assert frame(session, [0, 0]).outside
    assert [c.violates for c in frame(session, [0]).enabled] == [["even"], ["grows"]]


def test_a_model_whose_action_raises_is_shown():
    def actions(n):
        if n:
            raise ValueError("no more")
        yield "on", 1

    shown = frame(Session(Model("raises", [0], actions)), [0, 0])
    assert "ValueError: no more" in shown.error
    assert not shown.enabled
    assert "deadlock" not in shown.violated


def test_a_deadlock_one_step_ahead():
    model = dining(philosophers=2, polite=False)
    session = Session(model)
    numbers = session.follow(check(model).counterexample)
    shown = frame(session, numbers[:-1])
    assert ["deadlock"] in [c.violates for c in shown.enabled]
    assert frame(session, numbers).violated == ["deadlock"]


def test_the_truth_of_a_liveness_property_here():
    (answered,) = [p for p in frame(Session(ping()), [0]).properties if p.here == "open"]
    assert answered.formula
    assert set(answered.atoms) <= {"when", "good"}


def test_a_projection_on_processes():
    session = Session(mesi(caches=3))
    assert session.processes == ("home", "a", "b", "c")
    shown = frame(session, [0, 0, 0], only=["a"])
    assert {b.name for b in shown.state.parts} == {"a"} | {
        name for name in session.slots if "->" in name and "a" in name.split("->")
    }
    assert all("a" in (c.process, c.peer) for c in shown.enabled)
    assert shown.enabled_total > len(shown.enabled)
    with pytest.raises(UsageError, match="no process 'z'"):
        frame(session, [0], only=["z"])


def test_home_is_the_leftmost_lane_and_messages_are_slanted():
    session = Session(mesi())
    chart = frame(session, [0, 0, 3, 0]).chart
    assert chart.lanes[0] == "home"
    assert [(each.sent, each.taken) for each in chart.arrows] == [(1, 3)]
    assert frame(Session(die_hard()), [0, 0]).chart is None


def test_bookkeeping_and_channels_can_be_folded():
    groups = {b.name: b.group for b in frame(Session(mesi()), [0]).state.parts}
    assert groups["a"] == ""
    assert groups["a->home"] == "channels"
    assert groups["ghost"] == groups["raised"] == "bookkeeping"


def test_labels_name_enums_and_leave_defaults_out():
    session = Session(mesi())
    labels = [c.label for path in ([0], [0, 0], [0, 0, 0]) for c in frame(session, path).enabled]
    assert any("grant=E" in label for label in labels)
    assert not any("<" in label or "digest=None" in label for label in labels)


def test_a_part_that_a_frame_cuts_can_be_had():
    wide = tuple(range(5_000))
    session = Session(Model("wide", [("x", wide)], lambda _: ()))
    cut = frame(session, [0]).state.parts[1]
    assert cut.cut == 4_900
    assert cut.text.endswith("…")
    whole, text = part(session, [0], ["1"])
    assert text.count(",") == 4_999
    assert whole.name == "1"
    with pytest.raises(UsageError, match="no part"):
        part(session, [0], ["1", "x"])


@pytest.mark.slow
def test_a_random_walk_ends_at_a_violation_and_is_repeatable():
    session = Session(twophase(4, hasty=True))
    walks = [session.random_walk([0], 60, seed) for seed in range(200)]
    assert walks == [session.random_walk([0], 60, seed) for seed in range(200)]
    ends = [frame(session, walk).violated for walk in walks]
    assert ["consistent"] in ends
    stuck = Session(replace(dining(philosophers=2, polite=False), properties=[]))
    assert any(
        "deadlock" in frame(stuck, stuck.random_walk([0], 99, s)).violated for s in range(20)
    )


def test_a_loop_has_to_close():
    session = Session(die_hard())
    assert frame(session, [0, 0, 2], loop=0).closes
    assert not frame(session, [0, 0, 1], loop=0).closes
    with pytest.raises(UsageError, match="no loop from step 7"):
        frame(session, [0], loop=7)


def test_many_enabled_actions_come_in_pages():
    def actions(n):
        yield from ((f"to {m}", m) for m in range(1_000))

    session = Session(Model("many", [0], actions))
    assert len(frame(session, [0]).enabled) == 200
    last = frame(session, [0], enabled_from=900).enabled
    assert (last[0].number, last[-1].number, len(last)) == (900, 999, 100)
