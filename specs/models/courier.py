"""A network by itself: one process sends numbers in order, another records the arrivals.

The smallest model in which every guarantee of `message_passing.network` differs from every other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from message_passing.errors import Impossible
from message_passing.network import Guarantee
from message_passing.process import Address, Event, Invoke, Receive, Send, Step, Time
from specs.checker.composite import Composite
from specs.checker.model import Property, always
from specs.system import Requests, System, View

SENDER: Address = "sender"
RECEIVER: Address = "receiver"

Noted: TypeAlias = tuple[int, ...]


class Sender:
    """Sends 1, 2, 3, ...; its state is the last number sent."""

    def initial(self) -> int:
        """Nothing was sent."""
        return 0

    def step(self, state: int, event: Event[str, int], now: Time) -> Step[int]:
        """Send."""
        if isinstance(event, Invoke):
            return Step(state + 1, (Send(RECEIVER, state + 1),), "Send")
        raise Impossible(f"{event} at the sender")

    def durable(self, state: int) -> int:
        """All of it."""
        return state


class Receiver:
    """Records the arriving numbers, in order."""

    def initial(self) -> Noted:
        """Nothing arrived."""
        return ()

    def step(self, state: Noted, event: Event[str, int], now: Time) -> Step[Noted]:
        """Note."""
        if isinstance(event, Receive):
            return Step((*state, event.message), (), "Note")
        raise Impossible(f"{event} at the receiver")

    def durable(self, state: Noted) -> Noted:
        """All of it."""
        return state


def courier(network: str = "Ordered", last: int = 3, longest: int = 4) -> Composite[View]:
    """Numbers up to `last` over a network; a state with `longest` recorded ones is not expanded."""
    guarantee = Guarantee(network)

    def requests(state: int, made: int) -> Iterator[str]:
        if state < last:
            yield "next"

    system = System(
        {SENDER: Sender(), RECEIVER: Receiver()},
        guarantee,
        environment={SENDER: Requests(requests, counted=False, sequential=False)},
    )
    return system.model(
        "courier",
        list(promises(guarantee, last)),
        terminal=lambda view: view[SENDER] == last,
        within=lambda view: len(view[RECEIVER]) < longest,
        alphabet=("Send", "Note"),
    )


def promises(guarantee: Guarantee, last: int) -> Iterator[Property[View]]:
    """The promises of a guarantee, as properties of the arrivals."""

    def all_arrived(view: View) -> bool:
        return set(view[RECEIVER]) == set(range(1, last + 1))

    def is_through(view: View) -> bool:
        return bool(view[SENDER] == last) and not view.channel(SENDER, RECEIVER)

    if guarantee.ordered:
        yield always("ascending", lambda v: list(v[RECEIVER]) == sorted(v[RECEIVER]))
    if not guarantee.duplicating:
        yield always("once", lambda v: len(set(v[RECEIVER])) == len(v[RECEIVER]))
    if not guarantee.lossy and (guarantee.ordered or not guarantee.duplicating):
        yield always("nothing missing", all_arrived, when=is_through)
