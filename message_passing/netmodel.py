"""A network that can be simulated: a guarantee, and the faults and delays within it.

The guarantee comes first: an option that it forbids is refused, so a run never gives a protocol an
event that its specification rules out.  All randomness is drawn from the generator passed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from message_passing.errors import CallerError
from message_passing.network import Guarantee
from message_passing.process import Address

if TYPE_CHECKING:
    from random import Random

PerMessage: TypeAlias = "Callable[[Random, Address, Address, Any], float]"
"""A figure for one message, from (generator, source, destination, message)."""


class BadNetwork(CallerError):
    """An option is out of range, or the guarantee forbids it."""


def _check(name: str, value: object, low: float, high: float) -> None:
    if not (isinstance(value, int | float) and low <= value <= high and math.isfinite(value)):
        raise BadNetwork(f"{name} is {value!r}", remedy=f"give a number from {low:g} to {high:g}")


class Constant(msgspec.Struct, frozen=True):
    """Every message takes `latency`."""

    latency: float

    def __post_init__(self) -> None:
        _check("latency", self.latency, 0, math.inf)

    def __call__(self, rng: Random, src: Address, dst: Address, message: Any) -> float:
        """The same for all; draws nothing."""
        return self.latency


class Uniform(msgspec.Struct, frozen=True):
    """Every value from `low` to `high` is equally likely."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check("low", self.low, 0, math.inf)
        _check("high", self.high, self.low, math.inf)

    def __call__(self, rng: Random, src: Address, dst: Address, message: Any) -> float:
        """One draw."""
        return self.low + (self.high - self.low) * rng.random()


class Exponential(msgspec.Struct, frozen=True):
    """Memoryless, as in a queueing model, with the given mean."""

    mean: float

    def __post_init__(self) -> None:
        _check("mean", self.mean, 0, math.inf)

    def __call__(self, rng: Random, src: Address, dst: Address, message: Any) -> float:
        """One draw."""
        return -self.mean * math.log(1.0 - rng.random())


class LogNormal(msgspec.Struct, frozen=True):
    """Mostly near `median`, with a long tail: `sigma` is the spread of the logarithm."""

    median: float
    sigma: float

    def __post_init__(self) -> None:
        _check("median", self.median, 0, math.inf)
        _check("sigma", self.sigma, 0, 10)

    def __call__(self, rng: Random, src: Address, dst: Address, message: Any) -> float:
        """One draw or more."""
        return self.median * rng.lognormvariate(0.0, self.sigma)


class NetworkModel(msgspec.Struct, frozen=True, kw_only=True):
    """Latency, loss, copies and reordering of messages between any two processes.

    A constant latency with no loss, copies or reordering draws no random number at all.
    """

    guarantee: Guarantee = Guarantee.ORDERED
    #: Time from send to arrival: a constant, a distribution, or a function of the message.  Where
    #: the guarantee is ordered, a message that would overtake arrives together with the one before.
    latency: float | PerMessage = 0.0
    #: The chance of a message not arriving at all: a constant, or a function of the message.
    loss_probability: float | PerMessage = 0.0
    #: The chance of each copy to be followed by another, up to `copies_max` copies in all.
    duplicate_probability: float = 0.0
    copies_max: int = 2
    #: The chance of a message being kept back by a further 0..`reorder_delay`, uniformly.
    reorder_probability: float = 0.0
    reorder_delay: float = 1.0
    #: Whether a message that reaches a process that is down, or a partition, waits for the restart
    #: or the healing, or else is lost.  By default it is lost where the guarantee is lossy.
    holds_undeliverable: bool | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.guarantee, Guarantee):
            raise BadNetwork(
                f"guarantee is {self.guarantee!r}",
                remedy="give a member of message_passing.Guarantee",
            )
        if not callable(self.latency):
            _check("latency", self.latency, 0, math.inf)
        if not callable(self.loss_probability):
            _check("loss_probability", self.loss_probability, 0, 1)
        _check("duplicate_probability", self.duplicate_probability, 0, 1)
        _check("reorder_probability", self.reorder_probability, 0, 1)
        _check("reorder_delay", self.reorder_delay, 0, math.inf)
        _check("copies_max", self.copies_max, 1, 1000)
        name = self.guarantee.value
        for option, used, allowed in (
            ("loss_probability", self.loss_probability != 0, self.guarantee.lossy),
            ("holds_undeliverable", self.holds_undeliverable is False, self.guarantee.lossy),
            ("duplicate_probability", self.duplicate_probability > 0, self.guarantee.duplicating),
            ("reorder_probability", self.reorder_probability > 0, not self.guarantee.ordered),
        ):
            if used and not allowed:
                raise BadNetwork(
                    f"{name} forbids {option}={getattr(self, option)!r}",
                    remedy="leave the option out, or choose a guarantee that permits it",
                )

    @property
    def holds(self) -> bool:
        """`holds_undeliverable` with its default resolved."""
        held = self.holds_undeliverable
        return not self.guarantee.lossy if held is None else held

    @property
    def fixed_latency(self) -> float | None:
        """The latency of every message if the model is deterministic; else None."""
        latency = self.latency.latency if isinstance(self.latency, Constant) else self.latency
        if callable(latency) or callable(self.loss_probability):
            return None
        chances = self.loss_probability + self.duplicate_probability + self.reorder_probability
        return None if chances else latency

    def arrivals(self, rng: Random, src: Address, dst: Address, message: Any) -> list[float]:
        """Latencies of the copies of one message: none if it is lost.

        Drawn in this order: loss; then for each copy its latency, its reordering delay, and whether
        another copy follows.  The caller keeps the order of an ordered network.
        """
        loss = self.loss_probability
        chance = loss(rng, src, dst, message) if callable(loss) else loss
        if chance > 0 and (chance >= 1 or rng.random() < chance):
            return []
        latencies: list[float] = []
        while True:
            delay = self.latency
            latency = delay(rng, src, dst, message) if callable(delay) else delay
            if not 0 <= latency < math.inf:
                raise BadNetwork(f"latency of a message from {src!r} to {dst!r} is {latency!r}")
            if self.reorder_probability and rng.random() < self.reorder_probability:
                latency += self.reorder_delay * rng.random()
            latencies.append(latency)
            if (
                not self.duplicate_probability
                or len(latencies) >= self.copies_max
                or rng.random() >= self.duplicate_probability
            ):
                return latencies
