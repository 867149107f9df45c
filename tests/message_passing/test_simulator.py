"""The simulator's order of events, its faults, its callbacks, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from message_passing import (
    BrokenContract,
    Busy,
    CallerError,
    CancelTimer,
    Constant,
    Deliver,
    Guarantee,
    Invoke,
    NetworkModel,
    NoSuchProcess,
    Receive,
    Reentrant,
    Respond,
    Restart,
    Send,
    SetTimer,
    Simulator,
    Step,
    Timeout,
    Unavailable,
)

Log = tuple[tuple[float, Any], ...]


class Logging:
    """Keeps every event with its time; `react` says which commands follow."""

    def __init__(self, react: Callable[[Any], tuple[Any, ...]] = lambda event: ()) -> None:
        self._react = react

    def initial(self) -> Log:
        return ()

    def step(self, state: Log, event: Any, now: float) -> Step[Log]:
        return Step((*state, (now, event)), self._react(event), "Act")

    def durable(self, state: Log) -> Log:
        return state[:1]


def commands(event: Any) -> tuple[Any, ...]:
    """A request is a tuple of commands to give."""
    return event.request if type(event) is Invoke else ()


def answering(event: Any) -> tuple[Any, ...]:
    return (*event.request, Respond("done")) if type(event) is Invoke else ()


def system(network: NetworkModel | None = None, **options: Any) -> Simulator:
    return Simulator(
        {"a": Logging(answering), "b": Logging(answering), "c": Logging(answering)},
        network=network,
        **options,
    )


def messages(sim: Simulator, address: str) -> list[Any]:
    return [event.message for _, event in sim.states[address] if type(event) is Receive]


def events(sim: Simulator, address: str) -> list[Any]:
    return [event for _, event in sim.states[address]]


# Order


def test_an_immediate_request_is_stepped_alone() -> None:
    sim = system()
    sim.invoke("a", (Send("b", 1),))
    assert events(sim, "a") == [Invoke((Send("b", 1),))]
    assert events(sim, "b") == []
    assert sim.run() == 1
    assert sim.states["b"] == ((0.0, Receive("a", 1)),)


def test_at_equal_times_timers_then_messages_then_requests() -> None:
    sim = system(NetworkModel(latency=5.0))
    sim.invoke("b", (), at=5)
    sim.invoke("a", (Send("b", "m"),))
    sim.invoke("b", (SetTimer("t", 5.0),))
    sim.run()
    assert [type(event) for event in events(sim, "b")] == [Invoke, Timeout, Receive, Invoke]


def test_a_timer_armed_for_this_moment_comes_before_messages_of_this_moment() -> None:
    sim = system()
    sim.invoke("a", (Send("b", 1), Send("b", 2)))
    sim.invoke("b", (SetTimer("now", 0.0),))
    sim.run()
    assert [type(event) for event in events(sim, "b")] == [Invoke, Timeout, Receive, Receive]


def test_equal_kinds_at_equal_times_come_in_the_order_they_were_entered() -> None:
    sim = system()
    for number in range(5):
        sim.invoke("a", (SetTimer(str(number), 1.0), Send("b", number)), at=0)
    sim.run()
    assert messages(sim, "b") == [0, 1, 2, 3, 4]
    assert [e.name for e in events(sim, "a") if type(e) is Timeout] == list("01234")


def test_run_until_includes_its_end_and_leaves_the_clock_there() -> None:
    sim = system()
    for at in (1.0, 2.0, 2.5):
        sim.invoke("a", (), at=at)
    assert sim.run(until=2) == 2
    assert sim.now == 2.0
    assert sim.run(until=2.25) == 0
    assert sim.now == 2.25
    assert sim.run() == 1
    assert sim.now == 2.5


def test_run_stops_after_max_events_with_the_clock() -> None:
    sim = system()
    for at in (1.0, 2.0, 3.0):
        sim.invoke("a", (), at=at)
    assert sim.run(until=10, max_events=2) == 2
    assert sim.now == 2.0


# Timers


def test_setting_an_armed_timer_replaces_it_and_cancelling_disarms_it() -> None:
    sim = system()
    sim.invoke("a", (SetTimer("late", 1.0), SetTimer("gone", 1.0)))
    sim.invoke("a", (SetTimer("late", 4.0), CancelTimer("gone"), CancelTimer("never")))
    assert sim.timers["a"] == {"late": 4.0}
    sim.run()
    assert [entry for entry in sim.states["a"] if type(entry[1]) is Timeout] == [
        (4.0, Timeout("late"))
    ]
    assert sim.timers["a"] == {}


def test_a_timer_moved_forward_fires_once() -> None:
    sim = system()
    sim.invoke("a", (SetTimer("t", 4.0),))
    sim.invoke("a", (SetTimer("t", 1.0),))
    sim.invoke("a", (SetTimer("u", 4.0), SetTimer("u", 4.0)))
    sim.run()
    fired = [entry for entry in sim.states["a"] if type(entry[1]) is Timeout]
    assert fired == [(1.0, Timeout("t")), (4.0, Timeout("u"))]


def test_a_cancelled_timer_does_not_move_the_clock() -> None:
    sim = system()
    sim.invoke("a", (SetTimer("t", 9.0),))
    sim.invoke("a", (CancelTimer("t"),))
    assert sim.run() == 0
    assert sim.now == 0.0


def test_a_timer_for_never_stays_armed_and_one_for_the_past_is_due_at_once() -> None:
    sim = system()
    sim.run(until=3)
    sim.invoke("a", (SetTimer("never", float("inf")), SetTimer("past", 1.0)))
    sim.run(until=5)
    assert sim.timers["a"] == {"never": float("inf")}
    assert sim.states["a"][-1] == (3.0, Timeout("past"))


# Requests


def test_a_second_request_is_refused_now_and_waits_when_scheduled() -> None:
    replies: list[tuple[str, Any]] = []

    def slow(event: Any) -> tuple[Any, ...]:
        if type(event) is Invoke:
            return (SetTimer("answer", event.request),)
        return (Respond(event.name),)

    sim = Simulator(
        {"a": Logging(slow)}, on_respond=lambda address, result: replies.append((address, result))
    )
    sim.invoke("a", 5.0)
    with pytest.raises(Busy):
        sim.invoke("a", 6.0)
    sim.invoke("a", 7.0, at=1)
    sim.invoke("a", 8.0, at=2)
    assert sim.outstanding == {"a"}
    sim.run()
    times = [(now, e.request) for now, e in sim.states["a"] if type(e) is Invoke]
    assert times == [(0.0, 5.0), (5.0, 7.0), (7.0, 8.0)]
    assert len(replies) == 3
    assert not sim.outstanding


def test_an_answer_without_a_request_is_a_defect_of_the_process() -> None:
    sim = Simulator({"a": Logging(lambda event: (Respond(1),)), "b": Logging(commands)})
    sim.invoke("b", (Send("a", 1),))
    with pytest.raises(BrokenContract, match="no request outstanding"):
        sim.run()


def test_a_step_that_raises_leaves_its_process_as_it_was() -> None:
    def refuse(event: Any) -> tuple[Any, ...]:
        if event == Invoke("bad"):
            raise ZeroDivisionError
        return (Respond(1),)

    sim = Simulator({"a": Logging(refuse)})
    with pytest.raises(ZeroDivisionError):
        sim.invoke("a", "bad")
    assert sim.states["a"] == ()
    assert not sim.outstanding
    sim.invoke("a", "good")


def test_deliveries_go_to_the_application() -> None:
    seen: list[Any] = []
    sim = system(on_deliver=lambda address, src, message: seen.append((address, src, message)))
    sim.invoke("a", (Deliver("b", "x"), Deliver("c", "y")))
    assert seen == [("a", "b", "x"), ("a", "c", "y")]


def test_the_application_may_schedule_the_next_request_from_an_answer() -> None:
    sim: Simulator

    def again(address: str, result: Any) -> None:
        if sim.now < 3:
            sim.invoke(address, (), at=sim.now + 1)

    sim = system(on_respond=again)
    sim.invoke("a", ())
    sim.run()
    assert [now for now, _ in sim.states["a"]] == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    "call", ["invoke", "run", "crash", "restart", "pause", "resume", "partition", "heal"]
)
def test_the_application_may_call_nothing_else_within_a_step(call: str) -> None:
    sim: Simulator
    arguments: dict[str, tuple[Any, ...]] = {
        "invoke": ("b", ()),
        "crash": ("b",),
        "restart": ("b",),
        "pause": ("b",),
        "resume": ("b",),
        "partition": ([["a"]],),
    }

    def meddle(address: str, result: Any) -> None:
        getattr(sim, call)(*arguments.get(call, ()))

    sim = system(on_respond=meddle)
    with pytest.raises(Reentrant):
        sim.invoke("a", ())
    assert sim.states["b"] == ()
    assert not sim.down


# Crash, restart, pause


def test_a_crash_keeps_the_durable_state_and_drops_timers_and_requests() -> None:
    sim = Simulator({"a": Logging(commands)})
    sim.invoke("a", (SetTimer("t", 5.0), Send("a", "forgotten")))
    sim.invoke("a", (), at=1)  # waits behind the first, which is never answered
    sim.run(until=2)
    sim.crash("a")
    assert sim.down == {"a"}
    assert sim.timers["a"] == {}
    sim.invoke("a", (), at=3)  # while down: lost with its application
    sim.run(until=6)
    sim.restart("a")
    sim.run()
    assert [type(event) for event in events(sim, "a")] == [Invoke, Restart]
    assert sim.states["a"][1] == (6.0, Restart())
    sim.invoke("a", ())  # nothing outstanding is left


def test_nothing_of_before_a_quick_crash_and_restart_comes_back() -> None:
    def answers_after_a_restart(event: Any) -> tuple[Any, ...]:
        if event == Invoke("after"):
            return (Respond(None),)
        return (SetTimer("t", 5.0),) if type(event) is Invoke else ()

    sim = Simulator({"a": Logging(answers_after_a_restart)})
    sim.invoke("a", "before")
    sim.invoke("a", "waiting behind it", at=1)
    sim.run(until=2)
    sim.crash("a")
    sim.restart("a")
    sim.invoke("a", "after")
    sim.run()
    assert events(sim, "a") == [Invoke("before"), Restart(), Invoke("after")]


@pytest.mark.parametrize("lossy", [False, True])
def test_a_message_to_a_crashed_process_waits_or_is_lost_as_the_guarantee_says(lossy: bool) -> None:
    guarantee = Guarantee.ORDERED_LOSSY if lossy else Guarantee.ORDERED
    sim = system(NetworkModel(guarantee=guarantee, latency=1.0))
    sim.crash("b")
    sim.invoke("a", (Send("b", 1), Send("b", 2)))
    sim.run(until=5)
    assert len(list(sim.in_flight())) == (0 if lossy else 2)
    sim.restart("b")
    sim.invoke("a", (Send("b", 3),))
    sim.run()
    assert messages(sim, "b") == ([3] if lossy else [1, 2, 3])
    assert type(events(sim, "b")[0]) is Restart


def test_a_lossy_network_can_be_told_to_hold_what_is_undeliverable() -> None:
    network = NetworkModel(guarantee=Guarantee.UNORDERED_LOSSY, holds_undeliverable=True)
    sim = system(network)
    sim.crash("b")
    sim.invoke("a", (Send("b", 1),))
    sim.run()
    sim.restart("b")
    sim.run()
    assert messages(sim, "b") == [1]


def test_events_of_a_paused_process_wait_with_overdue_timers_first() -> None:
    sim = system(NetworkModel(latency=1.0))
    sim.invoke("b", (SetTimer("second", 4.0), SetTimer("first", 3.0), SetTimer("later", 9.0)))
    sim.pause("b")
    sim.invoke("b", ())
    sim.invoke("a", (Send("b", 1), Send("b", 2)))
    sim.run(until=5)
    assert len(sim.states["b"]) == 1
    assert set(sim.timers["b"]) == {"first", "second", "later"}
    sim.resume("b")
    assert sim.states["b"][1:] == ((5.0, Timeout("first")), (5.0, Timeout("second")))
    assert sim.timers["b"] == {"later": 9.0}
    sim.run()
    rest = [(now, type(event)) for now, event in sim.states["b"][3:]]
    assert rest == [(5.0, Receive), (5.0, Receive), (5.0, Invoke), (9.0, Timeout)]
    assert messages(sim, "b") == [1, 2]


def test_a_timer_cancelled_by_an_earlier_overdue_one_does_not_fire() -> None:
    def react(event: Any) -> tuple[Any, ...]:
        if type(event) is Timeout:
            return (CancelTimer("second"),)
        return (SetTimer("first", 1.0), SetTimer("second", 2.0), Respond(None))

    sim = Simulator({"a": Logging(react)})
    sim.invoke("a", ())
    sim.pause("a")
    sim.run(until=3)
    sim.resume("a")
    sim.run()
    assert events(sim, "a")[1:] == [Timeout("first")]


def test_a_paused_process_that_crashes_loses_what_a_crash_loses() -> None:
    sim = system(NetworkModel(latency=1.0))
    sim.invoke("b", (SetTimer("t", 1.0),))
    sim.pause("b")
    sim.invoke("a", (Send("b", 1),))
    sim.invoke("b", (), at=1)
    sim.run(until=2)
    sim.crash("b")
    sim.restart("b")
    sim.run()
    assert events(sim, "b")[1:] == [Restart(), Receive("a", 1)]


@pytest.mark.parametrize(
    "misuse",
    [
        lambda sim: sim.restart("a"),
        lambda sim: sim.resume("a"),
        lambda sim: (sim.crash("a"), sim.crash("a")),
        lambda sim: (sim.crash("a"), sim.pause("a")),
        lambda sim: (sim.crash("a"), sim.resume("a")),
        lambda sim: (sim.crash("a"), sim.invoke("a", ())),
        lambda sim: (sim.pause("a"), sim.pause("a")),
        lambda sim: (sim.pause("a"), sim.restart("a")),
    ],
)
def test_what_a_process_that_is_down_or_paused_cannot_do_is_refused(
    misuse: Callable[[Simulator], Any],
) -> None:
    with pytest.raises(Unavailable):
        misuse(system())


# Partition


def test_a_partition_cuts_between_groups_and_heals_in_order() -> None:
    sim = system(NetworkModel(latency=1.0))
    sim.invoke("a", (Send("b", 0),))
    sim.partition([["a"]])  # b and c, not named, are together
    sim.invoke("a", (Send("b", 1), Send("b", 2), Send("a", "self")))
    sim.invoke("c", (Send("b", "near"),))
    sim.run(until=3)
    assert messages(sim, "b") == ["near"]  # 0 was under way: it meets the cut on arrival
    assert messages(sim, "a") == ["self"]
    sim.heal()
    sim.invoke("a", (Send("b", 3),))
    sim.run()
    assert messages(sim, "b") == ["near", 0, 1, 2, 3]


def test_what_a_partition_stops_is_lost_on_a_lossy_network() -> None:
    sim = system(NetworkModel(guarantee=Guarantee.ORDERED_LOSSY))
    sim.partition([["a"], ["b", "c"]])
    sim.invoke("a", (Send("b", 1),))
    sim.run()
    sim.heal()
    sim.run()
    assert messages(sim, "b") == []


def test_a_new_partition_replaces_the_old_one() -> None:
    sim = system()
    sim.partition([["a"]])
    sim.invoke("a", (Send("b", 1), Send("c", 2)))
    sim.run()
    sim.partition([["c"]])
    sim.run()
    assert messages(sim, "b") == [1]
    assert messages(sim, "c") == []


def test_a_bad_partition_changes_nothing() -> None:
    sim = system()
    sim.partition([["a"]])
    with pytest.raises(CallerError, match="two groups"):
        sim.partition([["a"], ["a", "b"]])
    with pytest.raises(NoSuchProcess):
        sim.partition([["nobody"]])
    sim.invoke("a", (Send("b", 1),))
    sim.run()
    assert messages(sim, "b") == []


# Oracles


def test_an_oracle_sees_each_step_and_the_messages_in_flight() -> None:
    seen: list[Any] = []

    def watch(view: Any, address: str, event: Any, step: Any) -> None:
        flying = list(view.in_flight())
        seen.append((view.now, address, type(event), step.action, view.states[address], flying))

    sim = system(NetworkModel(latency=2.0), observers=[watch])
    sim.invoke("a", (Send("b", 1), SetTimer("t", 1.0)))
    assert seen[0][:4] == (0.0, "a", Invoke, "Act")
    assert seen[0][4] == sim.states["a"]
    assert seen[0][5] == [("a", "b", 1)]
    sim.run()
    assert [entry[2] for entry in seen] == [Invoke, Timeout, Receive]
    assert seen[-1][5] == []


def test_a_view_cannot_be_used_to_change_anything() -> None:
    def meddle(view: Any, address: str, event: Any, step: Any) -> None:
        with pytest.raises(TypeError):
            view.states["a"] = None
        view.timers["a"].clear()
        with pytest.raises(AttributeError):
            view.now = 9
        for method in ("invoke", "run", "crash", "restart", "pause", "resume", "partition"):
            assert not hasattr(view, method)

    sim = system(observers=[meddle])
    sim.invoke("a", (SetTimer("t", 1.0),))
    assert sim.timers["a"] == {"t": 1.0}
    assert sim.run() == 1


@pytest.mark.parametrize(
    "meddling",
    [
        lambda sim: sim.invoke("b", ()),
        lambda sim: sim.invoke("b", (), at=5),
        lambda sim: sim.run(),
        lambda sim: sim.crash("b"),
        lambda sim: sim.pause("b"),
        lambda sim: sim.heal(),
    ],
)
def test_an_oracle_that_has_got_hold_of_the_simulator_is_refused(
    meddling: Callable[[Simulator], Any],
) -> None:
    sim: Simulator
    sim = system(observers=[lambda view, address, event, step: meddling(sim)])
    with pytest.raises(Reentrant):
        sim.invoke("a", ())
    assert sim.states["b"] == ()
    assert sim.run() == 0


def test_what_an_oracle_raises_ends_the_run_there() -> None:
    def never_two(view: Any, address: str, event: Any, step: Any) -> None:
        assert len(view.states["b"]) < 2

    sim = system(observers=[never_two])
    sim.invoke("a", (Send("b", 1), Send("b", 2), Send("b", 3)))
    with pytest.raises(AssertionError):
        sim.run()
    assert messages(sim, "b") == [1, 2]


# Bad input


@pytest.mark.parametrize(
    "misuse",
    [
        lambda sim: sim.run(until=1.0),
        lambda sim: sim.run(until=float("nan")),
        lambda sim: sim.run(until="soon"),
        lambda sim: sim.run(max_events=-1),
        lambda sim: sim.invoke("a", (), at=1.0),
        lambda sim: sim.invoke("a", (), at=float("inf")),
        lambda sim: sim.invoke("a", (), at=float("nan")),
        lambda sim: Simulator({}, seed="seven"),
    ],
)
def test_times_and_counts_that_make_no_sense_are_refused(misuse: Callable[[Any], Any]) -> None:
    sim = system()
    sim.run(until=2.0)
    with pytest.raises(CallerError):
        misuse(sim)
    assert sim.now == 2.0
    assert sim.run() == 0


@pytest.mark.parametrize("call", ["invoke", "crash", "restart", "pause", "resume"])
def test_an_unknown_process_is_refused(call: str) -> None:
    arguments = ("nobody", ()) if call == "invoke" else ("nobody",)
    with pytest.raises(NoSuchProcess, match="nobody"):
        getattr(system(), call)(*arguments)


@pytest.mark.parametrize(
    "command",
    [Send("nobody", 1), SetTimer("t", float("nan")), "no command", Invoke(())],
)
def test_a_command_that_is_none_is_a_defect_of_the_process(command: Any) -> None:
    with pytest.raises(BrokenContract) as caught:
        system().invoke("a", (command,))
    assert caught.value.fault == "ours"
    assert "trace" in str(caught.value)


def test_a_constant_network_without_faults_draws_no_random_number() -> None:
    sim = system(NetworkModel(latency=Constant(2.0)))
    before = sim._rng.getstate()
    sim.invoke("a", tuple(Send("b", number) for number in range(10)))
    sim.run()
    assert len(messages(sim, "b")) == 10
    assert sim._rng.getstate() == before
