"""Each of the eight guarantees is kept, used to the full, and cannot be configured away."""

from __future__ import annotations

from itertools import groupby, product
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from message_passing import (
    BadNetwork,
    Constant,
    Exponential,
    Guarantee,
    LogNormal,
    NetworkModel,
    Receive,
    Respond,
    Send,
    Simulator,
    Step,
    Uniform,
)

COUNT = 60


class Node:
    """Keeps the numbers that arrive from each source."""

    def initial(self) -> tuple[tuple[str, int], ...]:
        return ()

    def step(self, state: Any, event: Any, now: float) -> Step[Any]:
        if type(event) is Receive:
            return Step((*state, (event.src, event.message)), (), "Take")
        return Step(state, (*event.request, Respond(None)), "Give")

    def durable(self, state: Any) -> Any:
        return state


def arrivals(network: NetworkModel, seed: int) -> dict[tuple[str, str], list[int]]:
    """What arrives on each pair when numbers are sent in bursts and one by one."""
    sim = Simulator({name: Node() for name in "abc"}, network=network, seed=seed)
    for number, (src, dst) in product(range(COUNT), [("a", "b"), ("b", "a"), ("c", "b")]):
        sim.invoke(src, (Send(dst, number),), at=float(number // 7))
    sim.run()
    return {
        (src, dst): [number for source, number in sim.states[dst] if source == src]
        for src, dst in [("a", "b"), ("b", "a"), ("c", "b")]
    }


def everything(guarantee: Guarantee, latency: Any = 1.0) -> NetworkModel:
    """A network that does all that the guarantee lets it do."""
    return NetworkModel(
        guarantee=guarantee,
        latency=latency,
        loss_probability=0.2 if guarantee.lossy else 0.0,
        duplicate_probability=0.3 if guarantee.duplicating else 0.0,
        copies_max=3,
        reorder_probability=0.0 if guarantee.ordered else 0.3,
        reorder_delay=4.0,
    )


@pytest.mark.slow(fast=13)
@pytest.mark.parametrize("guarantee", list(Guarantee))
@pytest.mark.parametrize(
    "latency", [0.0, 1.0, Uniform(0.0, 5.0), Exponential(2.0), LogNormal(1.0, 1.5)]
)
@settings(max_examples=20)
@given(seed=st.integers(0, 2**32))
def test_a_guarantee_is_kept(guarantee: Guarantee, latency: Any, seed: int) -> None:
    for got in arrivals(everything(guarantee, latency), seed).values():
        assert set(got) <= set(range(COUNT))  # nothing is forged
        if not guarantee.lossy:
            assert set(got) == set(range(COUNT))
        if not guarantee.duplicating:
            assert len(got) == len(set(got))
        if guarantee.ordered:
            runs = [number for number, _ in groupby(got)]
            assert runs == sorted(set(got))  # in order, and repeats in a row


@pytest.mark.parametrize("guarantee", list(Guarantee))
def test_the_freedom_that_a_guarantee_leaves_is_used(guarantee: Guarantee) -> None:
    got = [pair for seed in range(5) for pair in arrivals(everything(guarantee), seed).values()]
    assert any(set(pair) != set(range(COUNT)) for pair in got) is guarantee.lossy
    assert any(len(pair) != len(set(pair)) for pair in got) is guarantee.duplicating
    in_order = all(pair == sorted(pair) for pair in got)
    assert in_order is guarantee.ordered


def test_a_repeat_may_come_long_after_on_an_unordered_network() -> None:
    got = arrivals(everything(Guarantee.UNORDERED_DUPLICATING, Exponential(2.0)), 1)["a", "b"]
    runs = [number for number, _ in groupby(got)]
    assert len(runs) > len(set(runs))


def test_a_message_that_would_overtake_arrives_with_the_one_before() -> None:
    def slow_then_fast(rng: Random, src: str, dst: str, message: Any) -> float:
        return 5.0 if message == 0 else 0.0

    sim = Simulator({"a": Node(), "b": Node()}, network=NetworkModel(latency=slow_then_fast))
    sim.invoke("a", (Send("b", 0), Send("b", 1)))
    sim.run(until=4)
    assert sim.states["b"] == ()
    sim.run(until=5)
    assert sim.states["b"] == (("a", 0), ("a", 1))


def test_pairs_are_independent() -> None:
    def slow_from_a(rng: Random, src: str, dst: str, message: Any) -> float:
        return 5.0 if src == "a" else 0.0

    sim = Simulator({n: Node() for n in "abc"}, network=NetworkModel(latency=slow_from_a))
    sim.invoke("a", (Send("b", 0),))
    sim.invoke("c", (Send("b", 1),))
    sim.run()
    assert sim.states["b"] == (("c", 1), ("a", 0))


def test_loss_can_depend_on_the_message() -> None:
    def odd_ones(rng: Random, src: str, dst: str, message: Any) -> float:
        return float(message % 2)

    network = NetworkModel(guarantee=Guarantee.ORDERED_LOSSY, loss_probability=odd_ones)
    assert arrivals(network, 0)["a", "b"] == list(range(0, COUNT, 2))


def test_probability_one_loses_and_copies_everything() -> None:
    lost = NetworkModel(guarantee=Guarantee.ORDERED_LOSSY, loss_probability=1)
    assert arrivals(lost, 0)["a", "b"] == []
    twice = NetworkModel(guarantee=Guarantee.ORDERED_DUPLICATING, duplicate_probability=1)
    assert arrivals(twice, 0)["a", "b"] == [n for n in range(COUNT) for _ in range(2)]


@pytest.mark.parametrize("guarantee", list(Guarantee))
@pytest.mark.parametrize(
    ("option", "value", "permitted"),
    [
        ("loss_probability", 0.1, lambda g: g.lossy),
        ("loss_probability", lambda *_: 0.0, lambda g: g.lossy),
        ("holds_undeliverable", False, lambda g: g.lossy),
        ("holds_undeliverable", True, lambda g: True),
        ("duplicate_probability", 0.1, lambda g: g.duplicating),
        ("reorder_probability", 0.1, lambda g: not g.ordered),
    ],
)
def test_an_option_that_the_guarantee_forbids_is_refused(
    guarantee: Guarantee, option: str, value: Any, permitted: Any
) -> None:
    options: dict[str, Any] = {"guarantee": guarantee, option: value}
    if permitted(guarantee):
        NetworkModel(**options)
    else:
        with pytest.raises(BadNetwork, match=f"{guarantee.value} forbids {option}"):
            NetworkModel(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"guarantee": "Ordered"},
        {"latency": -1.0},
        {"latency": float("nan")},
        {"latency": float("inf")},
        {"latency": "fast"},
        {"guarantee": Guarantee.ORDERED_LOSSY, "loss_probability": 1.1},
        {"guarantee": Guarantee.ORDERED_LOSSY, "loss_probability": -0.1},
        {"guarantee": Guarantee.ORDERED_LOSSY, "loss_probability": "often"},
        {"guarantee": Guarantee.ORDERED_DUPLICATING, "duplicate_probability": 2},
        {"guarantee": Guarantee.ORDERED_DUPLICATING, "copies_max": 0},
        {"guarantee": Guarantee.UNORDERED, "reorder_probability": 2},
        {"guarantee": Guarantee.UNORDERED, "reorder_probability": 0.5, "reorder_delay": -1},
    ],
)
def test_an_option_out_of_range_is_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(BadNetwork) as caught:
        NetworkModel(**options)
    assert list(options)[-1] in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constant(-1),
        lambda: Uniform(2, 1),
        lambda: Uniform(-1, 1),
        lambda: Exponential(-1),
        lambda: LogNormal(-1, 1),
        lambda: LogNormal(1, float("nan")),
    ],
)
def test_a_distribution_without_sense_is_refused(make: Any) -> None:
    with pytest.raises(BadNetwork):
        make()


@pytest.mark.parametrize("latency", [-1.0, float("nan"), float("inf")])
def test_a_latency_function_is_checked_at_each_message(latency: float) -> None:
    sim = Simulator({"a": Node()}, network=NetworkModel(latency=lambda *_: latency))
    with pytest.raises(BadNetwork, match="latency"):
        sim.invoke("a", (Send("a", 1),))


@pytest.mark.parametrize(
    ("latency", "mean"),
    [(Constant(3.0), 3.0), (Uniform(1.0, 5.0), 3.0), (Exponential(3.0), 3.0)],
)
def test_distributions_have_the_mean_that_they_say(latency: Any, mean: float) -> None:
    rng = Random(5)
    drawn = [latency(rng, "a", "b", None) for _ in range(20_000)]
    assert min(drawn) >= 0
    assert sum(drawn) / len(drawn) == pytest.approx(mean, rel=0.03)


def test_half_of_a_lognormal_is_below_its_median() -> None:
    rng = Random(5)
    below = sum(LogNormal(3.0, 1.0)(rng, "a", "b", None) < 3.0 for _ in range(20_000))
    assert below / 20_000 == pytest.approx(0.5, abs=0.02)
