"""The fast hybrid against its plain twin: the same commands in the same order, on every link."""

from collections.abc import Iterable
from typing import Any

import pytest

from causal import Hybrid, HybridPlain
from causal.messages import Held, Secret
from causal.simulate.walk import walk
from causal.views import View, Viewed
from message_passing.network import Guarantee
from message_passing.process import Address, Event, Step, Time, Value


class Pair(Value, frozen=True):
    fast: Any
    plain: Any

    @property
    def gone(self) -> tuple[Address, ...]:
        gone: tuple[Address, ...] = self.fast.gone
        return gone

    @property
    def view(self) -> View:
        view: View = self.fast.view
        return view


class Twins(Viewed[Pair]):
    name = "twins"

    def __init__(self, me: Address, team: Iterable[Address], **options: Any) -> None:
        super().__init__(me, team, **options)
        self.fast, self.plain = Hybrid(me, team, **options), HybridPlain(me, team, **options)

    def initial(self) -> Pair:
        return Pair(self.fast.initial(), self.plain.initial())

    def step(self, state: Pair, event: Event[Any, Any], now: Time) -> Step[Pair]:
        fast = self.fast.step(state.fast, event, now)
        plain = self.plain.step(state.plain, event, now)
        assert (fast.commands, fast.action) == (plain.commands, plain.action)
        after = Pair(fast.state, plain.state)
        assert fast.state.view == plain.state.view
        assert self.secrets(after) == self.plain.secrets(plain.state)
        assert [(h.id, h.dst, h.secrets) for h in self.fast.held(fast.state)] == [
            (h.id, h.dst, h.secrets) for h in self.plain.held(plain.state)
        ]
        assert self.idle(after) == self.plain.idle(plain.state)
        # Whether an effect may be let out, now and for what was known before this event.
        for was in (after, state):
            assert self.fast.effects_allowed(fast.state, self.fast.context(was.fast)) == (
                self.plain.effects_allowed(plain.state, self.plain.context(was.plain))
            )
        return Step(after, fast.commands, fast.action)

    def invoke(self, *_: Any) -> Step[Pair]:
        raise NotImplementedError

    receive = take = forget = awaken = is_delivered = finish = invoke  # type: ignore[assignment]

    def idle(self, state: Pair) -> bool:
        return self.fast.idle(state.fast)

    def secrets(self, state: Pair) -> tuple[Secret, ...]:
        return self.fast.secrets(state.fast)

    def held(self, state: Pair) -> tuple[Held, ...]:
        return self.fast.held(state.fast)


@pytest.mark.slow(fast=2)
@pytest.mark.parametrize("links", list(Guarantee))
@pytest.mark.parametrize("changes", [{}, {"crashes": 2}, {"leaves": 1, "joins": 2, "mistakes": 1}])
def test_they_do_the_same(links: Guarantee, changes: dict[str, int]) -> None:
    for seed in range(12):
        outcome = walk(
            Twins,
            seed=seed,
            processes=3 + seed % 4,
            messages=30 + 6 * seed,
            links=links,
            loss=0.2,
            duplication=0.2,
            **changes,
        )
        assert outcome.safe
        assert outcome.complete
