"""One turn of a driver, and the drivers that interpret commands in loops of their own."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from message_passing import (
    BrokenContract,
    CancelTimer,
    Constant,
    Deliver,
    Guarantee,
    Invoke,
    NetworkModel,
    Receive,
    Respond,
    Restart,
    Send,
    SetTimer,
    Simulator,
    Step,
    Timeout,
)
from message_passing.turn import NOTHING, Core, Effects, due, interpret
from specs.checker import always, check
from specs.replay import replay
from specs.system import Bounds, System, any_of

NEVER = float("inf")


class Doing:
    """Does what a function of the event says, and counts its steps; half of it is durable."""

    def __init__(self, react: Callable[[Any], tuple[Any, ...]]) -> None:
        self._react = react

    def initial(self) -> tuple[int, str]:
        return (0, "volatile")

    def step(self, state: tuple[int, str], event: Any, now: float) -> Step[tuple[int, str]]:
        return Step((state[0] + 1, f"{state[1]}+"), self._react(event), "Count")

    def durable(self, state: tuple[int, str]) -> tuple[int, str]:
        return (state[0], "volatile")


def told(event: Any) -> tuple[Any, ...]:
    """A request is the commands to give."""
    return event.request if type(event) is Invoke else ()


def core_with(*commands: Any, react: Callable[[Any], tuple[Any, ...]] = told) -> Core:
    core = Core(Doing(react))
    core.step(Invoke(commands), 0.0)
    return core


def events_of(core: Core, event: Any, now: float) -> list[Any]:
    return [step[0] for step in core.turn(event, now)]


def test_each_kind_of_command_keeps_its_order() -> None:
    timers = {"old": 1.0, "kept": 2.0}
    commands = (
        Send("b", 1),
        Respond("first"),
        SetTimer("new", 3.0),
        Deliver("c", "word"),
        CancelTimer("old"),
        Send("a", 2),
        CancelTimer("unknown"),
    )
    effects = interpret(commands, timers)
    assert effects == Effects([Send("b", 1), Send("a", 2)], [Deliver("c", "word")], ["first"])
    assert timers == {"kept": 2.0, "new": 3.0}
    assert interpret(commands, timers) == effects
    assert timers == {"kept": 2.0, "new": 3.0}


@pytest.mark.parametrize("command", [Send("b", 1), Respond(2), Deliver("c", 3), SetTimer("t", 4.0)])
def test_an_only_command_means_what_it_means_among_others(command: Any) -> None:
    alone, among = dict[str, float](), dict[str, float]()
    only = interpret((command,), alone)
    several = interpret((command, CancelTimer("other")), among)
    for kind in ("sends", "deliveries", "answers"):
        assert list(getattr(only, kind)) == list(getattr(several, kind))
    assert alone == among


def test_no_command_has_no_effect() -> None:
    assert interpret((), {}) is NOTHING


def test_what_is_not_a_command_is_refused() -> None:
    with pytest.raises(BrokenContract, match="'send'"):
        interpret(("send",), {})  # type: ignore[arg-type]


def test_timers_that_are_due_come_before_what_arrives() -> None:
    core = core_with(SetTimer("second", 4.0), SetTimer("first", 3.0), SetTimer("far", 9.0))
    seen = events_of(core, Receive("b", "m"), 5.0)
    assert seen == [Timeout("first"), Timeout("second"), Receive("b", "m")]
    assert core.deadline == 9.0
    core.step(Invoke((CancelTimer("far"), SetTimer("never", NEVER))), 5.0)
    assert core.deadline is None


def test_a_timer_that_an_earlier_overdue_one_cancels_or_moves_does_not_fire() -> None:
    def react(event: Any) -> tuple[Any, ...]:
        if event == Timeout("first"):
            return (CancelTimer("second"), SetTimer("third", 9.0))
        return told(event)

    armed = (SetTimer("first", 1.0), SetTimer("second", 2.0), SetTimer("third", 3.0))
    core = core_with(*armed, react=react)
    assert events_of(core, None, 5.0) == [Timeout("first")]
    assert core.deadline == 9.0


def test_a_timer_set_again_for_the_past_does_not_hang_the_driver() -> None:
    core = core_with(react=lambda event: (SetTimer("t", 0.0),))
    assert events_of(core, None, 1.0) == [Timeout("t")]
    assert core.timers == {"t": 0.0}


def test_timers_are_not_durable_and_the_restart_arms_them() -> None:
    core = core_with(
        SetTimer("old", 3.0),
        react=lambda e: (SetTimer("t", 7.0),) if e == Restart() else told(e),
    )
    core.crash()
    assert (core.timers, core.state) == ({}, (1, "volatile"))
    core.step(Restart(), 0.0)
    assert core.timers == {"t": 7.0}


def test_a_step_that_raises_changes_nothing() -> None:
    def react(event: Any) -> tuple[Any, ...]:
        if event == Receive("b", "bad"):
            raise ZeroDivisionError
        return told(event)

    core = core_with(SetTimer("t", 3.0), react=react)
    with pytest.raises(ZeroDivisionError):
        core.step(Receive("b", "bad"), 1.0)
    assert (core.state[0], core.timers) == (1, {"t": 3.0})


def test_due_takes_a_timer_out_before_it_is_stepped() -> None:
    timers = {"a": 1.0, "b": 2.0}
    fired = due(timers, 2.0)
    assert next(fired) == Timeout("a")
    assert timers == {"b": 2.0}


# The loops that are inlined for speed: the simulator's and the checker's.


def random_commands(rng: random.Random, answers: bool) -> tuple[Any, ...]:
    names = ("t", "u")

    def one() -> Any:
        return rng.choice(
            (
                Send(rng.choice("ab"), rng.randrange(3)),
                SetTimer(rng.choice(names), rng.choice((1.0, 7.0))),
                CancelTimer(rng.choice(names)),
                Deliver("b", rng.randrange(3)),
            )
        )

    commands = [one() for _ in range(rng.randrange(6))]
    if answers:
        commands.insert(rng.randrange(len(commands) + 1), Respond(rng.randrange(9)))
    return tuple(commands)


class Once(Doing):
    """Gives its commands at the first request, and then none."""

    def __init__(self, commands: tuple[Any, ...]) -> None:
        super().__init__(lambda event: commands if type(event) is Invoke else ())


@pytest.mark.slow(fast=50)
@pytest.mark.parametrize("seed", range(200))
def test_the_simulator_interprets_as_the_one_definition_does(seed: int) -> None:
    commands = random_commands(random.Random(seed), answers=True)
    delivered: list[Any] = []
    answered: list[Any] = []
    sim = Simulator(
        {"a": Once(commands), "b": Doing(lambda event: ())},
        network=NetworkModel(latency=Constant(1.0)),
        on_deliver=lambda address, src, message: delivered.append(Deliver(src, message)),
        on_respond=lambda address, result: answered.append(result),
    )
    sim.invoke("a", "go")
    timers: dict[str, float] = {}
    effects = interpret(commands, timers)
    assert sim.timers["a"] == timers
    assert (delivered, answered) == (list(effects.deliveries), list(effects.answers))
    assert [Send(dst, message) for _, dst, message in sim.in_flight()] == list(effects.sends)


@pytest.mark.slow(fast=50)
@pytest.mark.parametrize("seed", range(200))
def test_the_checker_interprets_as_the_one_definition_does(seed: int) -> None:
    """A replay steps the checker's path again with `Core`, and compares what comes of it."""
    commands = random_commands(random.Random(seed), answers=True)
    made = System(
        {"a": Once(commands), "b": Doing(lambda event: ())},
        Guarantee.ORDERED,
        environment={"a": any_of("go", times=1)},
        bounds=Bounds(in_flight=9),
    )
    asked = always("asks", lambda view: not view.local("a").invoked)
    path = check(made.model("once", [asked], terminal=lambda view: True)).counterexample
    assert path is not None
    (step,) = [effects for _, effects in replay(made, path)]
    assert step == interpret(commands, {})
