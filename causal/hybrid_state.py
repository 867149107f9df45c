"""The hybrid's state: its own messages, the secrets of others, and one link to each peer."""

from __future__ import annotations

from typing import Any

from causal.front import Front
from causal.messages import Data
from causal.window import Window
from message_passing.process import Address, Value


class Own(Value, frozen=True, gc=False, tag=True):
    """A message of this process that is undelivered, or a secret still to be released.

    `need` counts the secrets acquired before the application sent it.
    """

    party: int
    need: int
    payload: Any
    prev: int = 0
    sent: bool = False
    secret: bool = False
    acked: bool = False


class Kept(Value, frozen=True, gc=False, tag=True):
    """A secret of the process at place `party`: its message `id`."""

    party: int
    id: int


class Link(Value, frozen=True, gc=False, tag=True):
    """The highest ids that have passed between this process and one peer."""

    out: int = 0  # put on the wire by us
    acked: int = 0  # delivered to them
    let: int = 0  # released by us, where a release may be lost
    got: int = 0  # delivered from them
    told: int = 0  # released by them
    filed: Window[Data[Any]] = Window()  # arrived before their turn, by `prev`
    heard: int = 0  # known to be delivered, as bits from `told` on; if deliveries are announced


FRESH = Link()


class State(Value, frozen=True, gc=False, tag=True):
    """The state of the hybrid.

    The queue is the entries of `own` that are not `sent`.  It has no entry older than `waiting`.
    It has no entry between `waiting` and `ahead` that could pass the queue to the owner of the
    oldest secret.
    """

    own: Front[Own] = Front()
    kept: Front[Kept] = Front()
    links: Window[Link] = Window()
    waiting: int = 1
    ahead: int = 1
    gone: tuple[Address, ...] = ()
    ticking: bool = False
