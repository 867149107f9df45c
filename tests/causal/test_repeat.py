"""Repetition on links that lose: pauses, batches, and the limit of what waits for a predecessor."""

from collections.abc import Callable
from typing import Any

import pytest

from causal import Hybrid, HybridPlain
from causal.machine import RESEND
from causal.messages import Ack, Data, Notice
from causal.repeat import BATCH, FILED_MAX, NEVER
from causal.simulate.walk import Bench
from message_passing.network import Guarantee
from message_passing.process import Receive, Restart, Send, Timeout

WILD = Guarantee.UNORDERED_LOSSY_DUPLICATING
Build = Callable[..., Any]
BOTH = pytest.mark.parametrize("build", [Hybrid, HybridPlain])


def bench(build: Build, **options: Any) -> Bench:
    return Bench({address: build(address, "abc", links=WILD, **options) for address in "abc"})


def ring(b: Bench, address: str = "a") -> list[tuple[str, int]]:
    """Let a period pass; the messages that are repeated."""
    step = b.do(address, Timeout(RESEND))
    b.flying.clear()
    return repeats(step)


def repeats(step: Any) -> list[tuple[str, int]]:
    sends = [c for c in step.commands if type(c) is Send]
    return [(c.dst, c.message.id) for c in sends if type(c.message) is Data]


@BOTH
def test_pauses_double_while_a_peer_is_silent(build: Build) -> None:
    b = bench(build, backoff=3)
    b.play("a>b")
    rings = [bool(ring(b)) for _ in range(40)]
    assert [at for at, repeated in enumerate(rings) if repeated] == [0, 2, 6, 14, 22, 30, 38]


@BOTH
def test_each_peer_has_its_own_pauses(build: Build) -> None:
    b = bench(build, backoff=4)
    b.play("a>b")
    for _ in range(10):
        ring(b)
    b.play("a>c")
    assert ring(b) == [("c", 2)]


@BOTH
@pytest.mark.parametrize(
    "sign", [Notice((), ask=True), Data(1, 0, False, None)], ids=["notice", "data"]
)
def test_a_sign_of_life_ends_the_pauses(build: Build, sign: Any) -> None:
    b = bench(build, backoff=4)
    b.play("a>b")
    for _ in range(8):
        ring(b)
    b.do("a", Receive("b", sign))
    assert ring(b) == [("b", 1)]


@BOTH
def test_a_restart_asks_every_peer_and_begins_at_once(build: Build) -> None:
    b = bench(build, backoff=4)
    b.play("a>b")
    for _ in range(2):
        ring(b)
    step = b.do("a", Restart())
    assert repeats(step) == [("b", 1)]
    asked = [c.dst for c in step.commands if type(c) is Send and type(c.message) is Notice]
    assert asked == ["b", "c"]


@BOTH
def test_a_silent_peer_gets_one_batch_and_the_rest_as_it_acknowledges(build: Build) -> None:
    b = bench(build)
    for _ in range(3 * BATCH + 5):
        b.send("a", "b")
    b.flying.clear()
    sent = ring(b)
    assert sent == [("b", id) for id in range(1, BATCH + 1)]
    assert ring(b) == sent, "and no more than that, however often"
    for batch in (2, 3):
        step = b.do("a", Receive("b", Ack((batch - 1) * BATCH)))
        first = (batch - 1) * BATCH + 1
        assert repeats(step) == [("b", id) for id in range(first, first + BATCH)]
    step = b.do("a", Receive("b", Ack(3 * BATCH)))
    assert [id for _, id in repeats(step)] == list(range(3 * BATCH + 1, 3 * BATCH + 6))
    step = b.do("a", Receive("b", Ack(3 * BATCH + 5)))
    assert repeats(step) == []
    assert b.machines["a"].idle(b.states["a"])
    assert b.machines["a"].link(b.states["a"], "b").repeat == NEVER  # type: ignore[attr-defined]


@BOTH
def test_what_waits_for_a_predecessor_is_limited(build: Build) -> None:
    b = bench(build)
    machine, state = b.machines["b"], b.states["b"]
    for id in range(2, 3 * FILED_MAX if build is Hybrid else FILED_MAX + 20):
        state = machine.step(state, Receive("a", Data(id, id - 1, False, None)), 0.0).state
    step = machine.step(state, Receive("a", Data(1, 0, False, None)), 0.0)
    assert step.commands[0] == Send("a", Ack(FILED_MAX + 1))
    # The place is free again.
    state = step.state
    for id in range(FILED_MAX + 3, FILED_MAX + 20):
        state = machine.step(state, Receive("a", Data(id, id - 1, False, None)), 0.0).state
    step = machine.step(state, Receive("a", Data(FILED_MAX + 2, FILED_MAX + 1, False, None)), 0.0)
    assert step.commands[0] == Send("a", Ack(FILED_MAX + 19))


@BOTH
def test_what_waits_is_not_limited_on_links_that_lose_nothing(build: Build) -> None:
    machine = build("b", "ab", links=Guarantee.UNORDERED)
    state, last = machine.initial(), FILED_MAX + 2
    for id in range(last, 0, -1):
        step = machine.step(state, Receive("a", Data(id, id - 1, False, None)), 0.0)
        state = step.state
    assert step.commands[0] == Send("a", Ack(last))


@pytest.mark.slow(fast=1)
@BOTH
def test_a_burst_larger_than_all_limits_arrives(build: Build) -> None:
    b = bench(build, backoff=4)
    for _ in range(4 * BATCH):
        b.send("a", "b")
    b.flying.clear()
    for _ in range(3):
        b.do("a", Timeout(RESEND))
        b.drain()
    assert b.outcome().complete
