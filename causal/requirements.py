"""What an endpoint needs of the machine that it runs, tried before the endpoint starts anything.

Steps and inspections are pure.  So each need is tried on the machine's first state, and a machine
that refuses says why in its own words.

Two needs cannot be tried.  A journal records no time-out, so a machine may repeat packets then, but
change nothing that must survive a crash.  Nor may what a state holds depend on the time: a journal
is replayed at time 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from causal.frames import UnsuitableMachine, frame_of
from causal.machine import Builder, Machine
from causal.messages import Leave, NotAMember, PeerDown, Unicast, Unsupported
from causal.views import Viewed
from message_passing.network import Guarantee
from message_passing.process import Address, Invoke
from message_passing.wire import BadCodec, Codec

LINKS: Final = Guarantee.UNORDERED_LOSSY_DUPLICATING
"""A frame may be lost with its connection, repeated by us, or dropped from a full buffer."""

BACKOFF: Final = 4
"""How often the period of repetition doubles while a peer stays silent."""


def built(
    build: Builder,
    name: Address,
    team: tuple[Address, ...],
    resend_after_s: float,
    *,
    joining: bool = False,
    journaled: bool,
) -> Viewed[Any]:
    """The machine of the endpoint `name`.  Raises `UnsuitableMachine` if no endpoint can run it."""
    if not callable(build):
        raise UnsuitableMachine(f"{type(build).__name__} is an object, and not a class of machines")
    if not getattr(build, "survives_loss", True):
        raise UnsuitableMachine(f"{named(build)} does not survive the loss of a message")
    more = {"joining": True} if joining else {}
    machine = build(name, team, links=LINKS, resend_after=resend_after_s, backoff=BACKOFF, **more)
    if not isinstance(machine, Machine):
        raise UnsuitableMachine(f"{named(build)} gave a {type(machine).__name__}, not a machine")
    if not isinstance(machine, Viewed):
        raise UnsuitableMachine(
            f"the team of {machine.name!r} cannot change",
            remedy="derive the machine from Hybrid, or from causal.views.Viewed",
        )
    if (machine.me, machine.links, set(machine.team)) != (name, LINKS, set(team)):
        raise UnsuitableMachine(f"{named(build)} ignores its name, its team or its links")
    for need, attempt in needs(machine, journaled=journaled):
        try:
            attempt()
        except NotAMember:
            pass  # a process that joins does it later
        except (Unsupported, BadCodec, msgspec.ValidationError) as error:
            raise UnsuitableMachine(f"{machine.name!r} cannot {need}: {error}") from error
    return machine


def needs(machine: Machine[Any], *, journaled: bool) -> Iterator[tuple[str, Callable[[], object]]]:
    """Each need in words, and how it is tried."""
    state, other = machine.initial(), machine.team[-1]
    yield "send packets in frames", lambda: codec_of(machine)
    yield "send to one process", lambda: machine.step(state, Invoke(Unicast(other, b"")), 0.0)
    yield "exclude a process", lambda: machine.step(state, Invoke(PeerDown(other)), 0.0)
    yield "leave the team", lambda: machine.step(state, Invoke(Leave()), 0.0)
    yield "list undelivered messages", lambda: machine.undelivered(state)
    yield "say which process owes it something", lambda: machine.owing(state)
    yield "count undelivered messages", lambda: machine.backlog(state)
    yield (
        "say when effects are allowed",
        lambda: machine.effects_allowed(state, machine.context(state)),
    )
    if journaled:
        yield "be restored from a journal", lambda: machine.restore(read(machine.snapshot(state)))


def codec_of(machine: Machine[Any]) -> Codec:
    """A codec of the machine's frames."""
    if machine.packets is None:
        raise Unsupported("it lists none in `packets`")
    return Codec(frame_of(machine.packets))


def read(snapshot: Any) -> Any:
    """The snapshot as a journal gives it back."""
    try:
        return msgspec.msgpack.decode(msgspec.msgpack.encode(snapshot))
    except TypeError as error:
        raise Unsupported(str(error)) from error


def named(build: Builder) -> str:
    """A word for a class or a function."""
    return getattr(build, "__name__", type(build).__name__)
