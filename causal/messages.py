"""Requests to a delivery protocol, its packets on the wire, and its refusals.

Ids count the messages of one process from 1, in the order in which the application sent them; 0
means "no message".  A packet to another process carries `view`, the changes of the team that its
recipient may not have heard of: a receiver installs them before it reads the rest of the packet.
"""

from __future__ import annotations

from typing import Any, Generic, TypeAlias, TypeVar

from message_passing.errors import CallerError, PeerError
from message_passing.process import Address, Value

P = TypeVar("P")

# Requests.


class Unicast(Value, Generic[P], frozen=True, gc=False, tag=True):
    """Send `payload` to `dst`.  Answered at once with the message's id; never blocks."""

    dst: Address
    payload: P


class Broadcast(Value, Generic[P], frozen=True, gc=False, tag=True):
    """Send `payload` to the whole team, the sender included.  Answered with the message's id."""

    payload: P


class PeerDown(Value, frozen=True, gc=False, tag=True):
    """The membership service says that `peer` has crashed; its name is not used again.

    One member is told; the protocol tells the others, and `peer` as well in case it lives.
    """

    peer: Address


class Admit(Value, frozen=True, gc=False, tag=True):
    """Take `peer` into the team; its name has not been used before.

    `address` says where it can be reached, if the driver's network needs that.
    """

    peer: Address
    address: str = ""


class Leave(Value, frozen=True, gc=False, tag=True):
    """Leave the team once every message of this process is delivered, or `at_once`.

    Until then the process takes part as before, but accepts no new message.
    """

    at_once: bool = False


class Probe(Value, frozen=True, gc=False, tag=True):
    """Ask `peer` for any packet, so that its silence means something."""

    peer: Address


Request: TypeAlias = Unicast[Any] | Broadcast[Any] | PeerDown | Admit | Leave | Probe

# Results for the application.


class Message(Value, Generic[P], frozen=True, gc=False, tag=True):
    """A delivered message: `id` is its sender's count, so (sender, id) identifies it."""

    id: int
    payload: P


# Packets of the sender-side protocols.  `array_like` keeps field names off the wire.


class Joined(Value, frozen=True, gc=False, tag=True, array_like=True, order=True):
    """A process that joined the team after it was founded."""

    name: Address
    address: str = ""


Changes: TypeAlias = tuple[Joined | Address, ...]
"""Changes of a team, in any order: processes that joined it, and the names of those that left it
or were excluded."""


class Data(Value, Generic[P], frozen=True, gc=False, tag=True, array_like=True):
    """One message of the application.

    `prev` is the id of the sender's previous message to the same process; it is 0 on links that
    keep the order.  `eager` makes the message a secret of its recipient.
    """

    id: int
    prev: int
    eager: bool
    payload: P
    view: Changes = ()


class NamedData(Value, Generic[P], frozen=True, gc=False, tag=True, array_like=True):
    """As `Data`, but a secret only from named processes: those in `avoid`."""

    id: int
    prev: int
    avoid: tuple[Address, ...]
    payload: P
    view: Changes = ()


class Ack(Value, frozen=True, gc=False, tag=True, array_like=True):
    """Every message of yours to me up to `id` has been delivered."""

    id: int
    view: Changes = ()


class Release(Value, frozen=True, gc=False, tag=True, array_like=True):
    """No eager message of mine to you up to `id` is a secret any longer."""

    id: int
    view: Changes = ()


class Delivered(Value, frozen=True, gc=False, tag=True, array_like=True):
    """The message `id` of `owner`, a third process, has been delivered to me.

    It stays true however late it arrives.  Its loss costs only time: a `Release` says more.
    """

    owner: Address
    id: int
    view: Changes = ()


class Notice(Value, frozen=True, gc=False, tag=True, array_like=True):
    """Nothing but the sender's view; `ask` asks for the recipient's."""

    view: Changes
    ask: bool = False


# Packets of the receiver-side protocols.


class MatrixData(Value, Generic[P], frozen=True, gc=False, tag=True, array_like=True):
    """A message with its sender's counts of messages for each pair of processes."""

    id: int
    sent: tuple[tuple[int, ...], ...]
    payload: P


class VectorData(Value, Generic[P], frozen=True, gc=False, tag=True, array_like=True):
    """A broadcast with its sender's vector of deliveries, this broadcast counted."""

    clock: tuple[int, ...]
    payload: P


# Inspection.


class Secret(Value, frozen=True, gc=False, tag=True, order=True):
    """An eager message that its sender, `owner`, has not released yet.

    It was sent while an earlier message of the owner to another process was undelivered.  A process
    that keeps the secret must not tell a process that could act on it before that message.  `avoid`
    names those processes if the protocol does; empty means every other process.
    """

    owner: Address
    id: int
    avoid: tuple[Address, ...] = ()


class Held(Value, frozen=True, gc=False, tag=True):
    """A message that was sent by the application and is not on the wire yet, and why."""

    id: int
    dst: Address
    secrets: tuple[Secret, ...]
    unacked: tuple[int, ...]


class Context(Value, frozen=True, gc=False, tag=True):
    """What a process knew at one moment: opaque, only the process that captured it can read it."""

    sent: int
    kept: int | frozenset[Secret]


# Refusals.


class UnknownPeer(CallerError):
    """The destination is not in this process's team."""

    remedy = "send to a member of the team, or build the process with the member added"


class DepartedPeer(CallerError):
    """The process has left the view, or has been excluded from it."""

    remedy = "a process that comes back joins under a new name"


class NotAMember(CallerError):
    """This process is not in the team: not yet, or not any more."""

    remedy = "a process that joins waits until a member has admitted it; a name is not used twice"


class Unsupported(CallerError):
    """The protocol does not offer this request or does not run on these links."""


class ForgedPacket(PeerError):
    """The packet cannot come from a correct peer: it was ignored."""

    remedy = "check which processes can write to this process's links"
