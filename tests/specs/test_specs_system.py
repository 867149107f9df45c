"""What a system's network, timers, crashes and environment may do, counted by hand; bad input."""

import pytest

from message_passing.network import Guarantee
from message_passing.process import (
    CancelTimer,
    Invoke,
    Receive,
    Respond,
    Restart,
    Send,
    SetTimer,
    Step,
    Timeout,
)
from specs.checker import ImpureStep, ModelError, Verdict, always, check, reachable
from specs.system import Bounds, Hearsay, System, any_of, renamed, script, whenever


class Base:
    def initial(self):
        return ()

    def durable(self, state):
        return state

    def step(self, state, event, now):
        return Step(state, (), "")


class Sender(Base):
    """Sends 1 and 2 at once."""

    def step(self, state, event, now):
        return Step(state, (Send("to", 1), Send("to", 2), Respond(None)), "Send")


class Recorder(Base):
    """Its state is what it received."""

    def step(self, state, event, now):
        match event:
            case Receive(_, message) if len(state) < 3:
                return Step((*state, message), (), "Record")
        return Step(state, (), "")


HISTORIES = {
    Guarantee.ORDERED: {(), (1,), (1, 2)},
    Guarantee.ORDERED_LOSSY: {(), (1,), (2,), (1, 2)},
    Guarantee.ORDERED_DUPLICATING: {
        *((), (1,), (1, 1), (1, 1, 1), (1, 2), (1, 1, 2), (1, 2, 2)),
    },
    Guarantee.UNORDERED: {(), (1,), (2,), (1, 2), (2, 1)},
    Guarantee.UNORDERED_LOSSY: {(), (1,), (2,), (1, 2), (2, 1)},
}


@pytest.mark.parametrize("guarantee", HISTORIES, ids=lambda g: g.value)
@pytest.mark.parametrize("engine", ["reference", "table"])
def test_what_may_arrive(guarantee, engine):
    """Every history that the guarantee allows is reachable, and no other."""
    system = System(
        {"from": Sender(), "to": Recorder()},
        guarantee,
        environment={"from": any_of("go", times=1)},
    )
    allowed = HISTORIES[guarantee]
    claims = [
        always("allowed", lambda view: view["to"] in allowed),
        *(reachable(str(h), lambda view, h=h: view["to"] == h) for h in allowed),
    ]
    result = check(system.model("net", claims, terminal=lambda view: True), engine=engine)
    assert result.verdict is Verdict.HOLDS, result.findings


@pytest.mark.parametrize(
    "guarantee", [Guarantee.UNORDERED_DUPLICATING, Guarantee.UNORDERED_LOSSY_DUPLICATING]
)
def test_a_set_gives_anything_any_number_of_times(guarantee):
    system = System(
        {"from": Sender(), "to": Recorder()},
        guarantee,
        environment={"from": any_of("go", times=1)},
    )
    every = [(), (1,), (2,), *((a, b) for a in (1, 2) for b in (1, 2)), (2, 1, 2), (1, 1, 1)]
    claims = [reachable(str(h), lambda view, h=h: view["to"] == h) for h in every]
    result = check(system.model("set", claims, terminal=lambda view: True))
    assert result.verdict is Verdict.HOLDS
    assert ("Drop" in result.actions) == guarantee.lossy


class Clock(Base):
    """Arms two timers, and one of them disarms the other."""

    def step(self, state, event, now):
        match event:
            case Invoke():
                return Step(state, (SetTimer("one", 1.0), SetTimer("two", 2.0)), "Arm")
            case Timeout("one"):
                return Step((*state, "one"), (CancelTimer("two"),), "One")
            case Timeout("two"):
                return Step((*state, "two"), (), "Two")
            case Restart():
                return Step((*state, "back"), (), "Recover")

    def durable(self, state):
        return state[:1]


def test_an_armed_timer_may_be_due_at_any_time():
    system = System({"p": Clock()}, Guarantee.ORDERED, environment={"p": script("go")})
    seen = {(), ("one",), ("two",), ("two", "one")}
    claims = [always("orders", lambda view: view["p"] in seen)]
    claims += [reachable(str(s), lambda view, s=s: view["p"] == s) for s in seen]
    result = check(system.model("timers", claims, terminal=lambda view: True))
    assert result.verdict is Verdict.HOLDS


def test_a_timer_guard_holds_timers_back():
    def one_first(view, address, name):
        return name == "one"

    system = System(
        {"p": Clock()},
        Guarantee.ORDERED,
        environment={"p": script("go")},
        timer_guard=one_first,
    )
    result = check(system.model("timers", terminal=lambda view: True))
    assert result.actions == {"Arm", "One"}


def test_a_crash_takes_timers_and_what_is_not_durable():
    system = System(
        {"p": Clock()},
        Guarantee.ORDERED,
        environment={"p": script("go")},
        bounds=Bounds(crashes=1),
    )
    claims = [
        always("no timer survives", lambda view: view.local("p").up or not view.local("p").armed),
        always("one of the two survives", lambda view: view["p"] != ("two", "one", "back")),
        reachable("after both", lambda view: view["p"] == ("two", "back")),
        reachable("down", lambda view: not view.local("p").up),
    ]
    result = check(system.model("crash", claims, terminal=lambda view: True))
    assert result.verdict is Verdict.HOLDS
    assert {"Crash", "Recover"} <= result.actions


def test_a_sequential_environment_waits_for_the_response():
    class Silent(Base):
        def step(self, state, event, now):
            return Step((*state, event.request), (), "Take")

    for environment, most in [(any_of(1, times=3), 1), (any_of(1, times=3, sequential=False), 3)]:
        system = System({"p": Silent()}, Guarantee.ORDERED, environment={"p": environment})
        result = check(system.model("asks", terminal=lambda view: True))
        assert result.depth == most


def test_history_is_open_to_properties():
    system = System(
        {"from": Sender(), "to": Recorder()},
        Guarantee.UNORDERED,
        environment={"from": any_of("go", times=1)},
        observe=lambda ghost, address, event, step: (*ghost, (address, step.action)),
        ghost=(),
    )
    claims = [reachable("sent, then recorded twice", lambda view: len(view.ghost) == 3)]
    result = check(system.model("ghost", claims, terminal=lambda view: True))
    assert len(result.finding("sent, then recorded twice").path) == 3


@pytest.mark.parametrize("engine", ["reference", "table", "numba"])
def test_a_step_that_raises_is_a_violation_with_its_way(engine):
    class Fragile(Base):
        def step(self, state, event, now):
            if state == (1,):
                raise ValueError("no row for this")
            return Step((1,), (Respond(None),), "Once")

    system = System({"p": Fragile()}, Guarantee.ORDERED, environment={"p": any_of("go", times=2)})
    claims = [always("evaluated before it raised only", lambda view: view["p"] in ((), (1,)))]
    result = check(system.model("fragile", claims), engine=engine)
    assert result.finding("no step raises").verdict is Verdict.VIOLATED
    assert [a.name for a in result.counterexample.actions] == ["Once", "Raise"]
    assert "ValueError: no row for this" in result.counterexample.last[-1]


class TestRefusals:
    def test_zero_processes(self):
        with pytest.raises(ModelError, match="zero processes"):
            System({}, Guarantee.ORDERED)

    def test_names_of_nobody(self):
        with pytest.raises(ModelError, match="no such process: q"):
            System({"p": Base()}, Guarantee.ORDERED, environment={"q": script()})
        with pytest.raises(ModelError, match="no such process: q"):
            System({"p": Base()}, Guarantee.ORDERED).model("m", symmetric=["q"])

    def test_a_message_to_nobody(self):
        system = System({"from": Sender()}, Guarantee.ORDERED, environment={"from": script("go")})
        with pytest.raises(ModelError, match="'to', which is not a process"):
            check(system.model("m"))

    def test_an_action_without_a_name(self):
        class Nameless(Base):
            def step(self, state, event, now):
                return Step((1,), (), "")

        system = System({"p": Nameless()}, Guarantee.ORDERED, environment={"p": script("go")})
        with pytest.raises(ModelError, match="without naming the action"):
            check(system.model("m"))

    @pytest.mark.parametrize("engine", ["reference", "table"])
    def test_an_unhashable_state(self, engine):
        class Listing(Base):
            def step(self, state, event, now):
                return Step([1], (), "Go")

        system = System({"p": Listing()}, Guarantee.ORDERED, environment={"p": script("go")})
        with pytest.raises(ModelError, match="hashed"):
            check(system.model("m", terminal=lambda view: True), engine=engine)

    def test_a_step_with_hidden_state(self):
        class Counting(Base):
            calls = 0

            def step(self, state, event, now):
                self.calls += 1
                return Step((self.calls,), (Respond(None),), "Go")

        system = System({"p": Counting()}, Guarantee.ORDERED, environment={"p": script("go")})
        with pytest.raises(ImpureStep, match="attribute or global"):
            check(system.model("m"))

    def test_a_property_of_nobody(self):
        from specs.checker import PropertyError

        system = System({"p": Base()}, Guarantee.ORDERED)
        claim = always("q is fine", lambda view: view["q"] == 1)
        for engine in ("reference", "table"):
            with pytest.raises(PropertyError, match="'q is fine' raised KeyError"):
                check(system.model("m", [claim]), engine=engine)


def test_names_are_replaced_wherever_they_are():
    value = ("a", frozenset({"b", "c"}), Send("a", ("b", 1)))
    swapped = renamed(value, {"a": "b", "b": "a"})
    assert swapped == ("b", frozenset({"a", "c"}), Send("b", ("a", 1)))


def test_whenever_asks_by_state():
    class Toggle(Base):
        def initial(self):
            return "off"

        def step(self, state, event, now):
            return Step(event.request, (Respond(None),), f"Turn-{event.request}")

    system = System(
        {"p": Toggle()},
        Guarantee.ORDERED,
        environment={"p": whenever(lambda s: ["on"] if s == "off" else ["off"])},
    )
    result = check(system.model("toggle"))
    assert (result.distinct, result.generated) == (2, 2)


# What others say in a process's name.


class Mortal(Base):
    """Does nothing but crash."""


def said_of(bounds):
    """A recorder that may be told "gone" in the name of a process, and that process."""
    processes = {"from": Mortal(), "to": Recorder()}
    hearsay = Hearsay("to", frozenset({"from"}), lambda address, state: ["gone"])
    return System(processes, Guarantee.ORDERED, bounds=bounds, hearsay=hearsay)


@pytest.mark.parametrize(
    ("bounds", "longest"),
    [
        (Bounds(), 0),
        (Bounds(alarms=2), 2),
        (Bounds(crashes=1, crashable=frozenset({"from"})), 3),
    ],
)
def test_others_speak_for_a_process_that_is_down_and_by_mistake_for_one_that_is_up(bounds, longest):
    model = said_of(bounds).model("hearsay").model()
    heard, kinds, todo = set(), set(), list(model.initial)
    seen = set(todo)
    while todo:
        state = todo.pop()
        heard.add(state[1].state)
        for action, following in model.successors(state):
            kinds.add(action.kind)
            todo += {following} - seen
            seen.add(following)
    assert heard == {("gone",) * times for times in range(longest + 1)}
    spoken = {"bury"} if bounds.crashes else {"alarm"} if bounds.alarms else set()
    assert kinds & {"bury", "alarm"} == spoken


def test_nobody_speaks_for_a_process_that_is_not_there():
    hearsay = Hearsay("to", frozenset({"from"}), lambda address, state: [])
    with pytest.raises(ModelError, match="from"):
        System({"to": Recorder()}, Guarantee.ORDERED, hearsay=hearsay)
