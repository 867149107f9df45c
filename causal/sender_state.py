"""The state of the machines in plain form: own messages, kept secrets, one link to each peer."""

from __future__ import annotations

from typing import Any, TypeAlias

from causal.messages import Data, NamedData, Secret
from causal.repeat import NEVER, Repeat
from causal.views import FOUNDED, View
from message_passing.process import Address, Value

Packet: TypeAlias = Data[Any] | NamedData[Any]


class Own(Value, frozen=True, gc=False, tag=True):
    """A message of this process, from the application's send until no process waits for it."""

    id: int
    dst: Address
    payload: Any
    deps: frozenset[Secret] = frozenset()
    prev: int = 0
    sent: bool = False
    acked: bool = False
    eager: bool = False
    avoid: tuple[Address, ...] = ()
    released: bool = False


class Link(Value, frozen=True, gc=False, tag=True):
    """The highest ids that have passed between this process and one peer."""

    out: int = 0  # put on the wire by us
    got: int = 0  # delivered from them
    told: int = 0  # released by them ahead of delivery, else 0
    let: int = 0  # released by us, where a release may be lost
    repeat: Repeat = NEVER


class SenderState(Value, frozen=True, gc=False, tag=True):
    """The state of a secret-keeping process.  `links` follows the team's order."""

    links: tuple[Link, ...]
    next: int = 1
    own: tuple[Own, ...] = ()
    secrets: frozenset[Secret] = frozenset()
    filed: frozenset[tuple[Address, Packet]] = frozenset()
    view: View = FOUNDED
    ticking: bool = False

    @property
    def gone(self) -> tuple[Address, ...]:
        """The processes that have left the view."""
        return self.view.gone
