"""Plans of faults: played at their times, drawn from a seed, refused where they make no sense."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from message_passing import Invoke, NetworkModel, Receive, Respond, Restart, Send, Simulator, Step
from message_passing.faults import BadPlan, Outage, Split, Stall, draw, play


class Node:
    """Keeps what happens to it; a request is the number to send to everybody."""

    def initial(self) -> tuple[Any, ...]:
        return ()

    def step(self, state: Any, event: Any, now: float) -> Step[Any]:
        commands: tuple[Any, ...] = ()
        if type(event) is Invoke:
            commands = (*(Send(dst, event.request) for dst in "ab"), Respond(None))
        return Step((*state, (now, event)), commands, "Act")

    def durable(self, state: Any) -> Any:
        return state


def system() -> Simulator:
    sim = Simulator({"a": Node(), "b": Node()}, network=NetworkModel(latency=0.5))
    for second in range(10):
        sim.invoke("a", second, at=second)
    return sim


def received(sim: Simulator) -> list[tuple[float, int]]:
    return [(now, e.message) for now, e in sim.states["b"] if type(e) is Receive]


def test_an_outage_lasts_from_its_start_to_its_end() -> None:
    sim = system()
    play(sim, [Outage("b", 1.6, 4.0)], until=5)
    assert received(sim) == [(0.5, 0), (1.5, 1), (4.0, 2), (4.0, 3), (4.5, 4)]
    assert (4.0, Restart()) in sim.states["b"]
    assert sim.now == 5


def test_a_stall_lasts_from_its_start_to_its_end() -> None:
    sim = system()
    play(sim, [Stall("b", 1.6, 3.0), Stall("b", 3.1, 3.7)], until=4)
    assert received(sim) == [(0.5, 0), (1.5, 1), (3.0, 2), (3.7, 3)]


def test_one_fault_may_begin_where_another_ends() -> None:
    sim = system()
    play(sim, [Outage("b", 3.0, 3.7), Stall("b", 1.6, 3.0)], until=4)
    assert received(sim) == [(0.5, 0), (1.5, 1), (3.0, 2), (3.7, 3)]


def test_a_split_lasts_from_its_start_to_its_end() -> None:
    sim = system()
    play(sim, [Split((("a",), ("b",)), 1.0, 3.0)], until=4)
    assert received(sim) == [(0.5, 0), (3.0, 1), (3.0, 2), (3.5, 3)]
    assert len([e for _, e in sim.states["a"] if type(e) is Receive]) == 4


def test_a_fault_that_outlasts_the_run_stays_in_force() -> None:
    sim = system()
    play(sim, [Outage("b", 1.0), Outage("a", 50.0, 60.0)], until=20)
    assert sim.down == {"b"}


@pytest.mark.parametrize(
    "plan",
    [
        [Outage("a", 3.0, 3.0)],
        [Outage("a", 1.0, 2.0)],
        [Outage("a", float("nan"), 9.0)],
        [Outage("x", 3.0, 4.0)],
        [Split((("a", "x"),), 3.0, 4.0)],
        [Split((("a",), ("a",)), 3.0, 4.0)],
        [Outage("a", 3.0, 5.0), Stall("a", 4.0, 6.0)],
        [Outage("a", 3.0), Outage("a", 9.0)],
        [Split((("a",),), 3.0, 5.0), Split((("b",),), 4.0, 4.5)],
    ],
)
def test_a_plan_that_cannot_be_played_is_refused_whole(plan: list[Any]) -> None:
    sim = system()
    sim.run(until=2)
    before = sim.states["b"]
    with pytest.raises(BadPlan):
        play(sim, [Outage("b", 2.5, 2.6), *plan], until=9)
    assert sim.now == 2
    assert sim.states["b"] == before


@given(seed=st.integers(0, 2**32), count=st.integers(0, 20))
def test_a_drawn_plan_can_be_played_and_is_over_in_time(seed: int, count: int) -> None:
    plan = draw(Random(seed), ["a", "b"], until=9.0, count=count, duration_max=4.0)
    assert plan == draw(Random(seed), ["a", "b"], until=9.0, count=count, duration_max=4.0)
    assert all(0 <= fault.start < fault.end <= 9.0 for fault in plan)
    sim = system()
    play(sim, plan, until=9.0)
    sim.run()
    assert not sim.down
    # A lossless network: whatever happened, everything that was asked for has arrived, in order.
    sent = [e.request for _, e in sim.states["a"] if type(e) is Invoke]
    assert [number for _, number in received(sim)] == sent


def test_drawing_uses_all_kinds_of_faults() -> None:
    plan = draw(Random(1), ["a", "b", "c", "d"], until=1000.0, count=60, duration_max=10.0)
    assert {type(fault) for fault in plan} == {Outage, Stall, Split}
