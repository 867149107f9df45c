"""The one interface of all delivery protocols, and the checks that they share.

A machine is a :class:`message_passing.process.Process`.  Its events are `Invoke` of a request,
`Receive` of a packet, `Timeout` and `Restart`; its commands are `Send`, `Deliver` of a
:class:`causal.messages.Message`, `Respond`, and timers on links that lose.

*Delivered* means handed to the application's queue, in order.  A process that takes messages from
that queue later still acts on them in the order of delivery, so every guarantee holds.  An
acknowledgement never waits for the end of a job.

A machine instance holds configuration only.  It survives crashes by keeping all of its state
(`durable`); a process that loses its state is a crash-stop process, and joins again under a new
name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from causal.messages import Context, Held, Secret, UnknownPeer, Unsupported
from message_passing.errors import Impossible
from message_passing.network import Guarantee
from message_passing.process import (
    Address,
    Command,
    Event,
    Invoke,
    Receive,
    Restart,
    Step,
    Time,
    Timeout,
)

S = TypeVar("S")
Commands = tuple[Command[Any, Any], ...]

RESEND = "resend"
"""The one timer, used on lossy links only: repeat what is unacknowledged, ask for releases."""


class Machine(ABC, Generic[S]):
    """A delivery protocol at one process, `me`, of a `team`.

    `links` is the guarantee of the network.  `resend_after` is the period of repetition on lossy
    links, in the driver's unit of time; other links ignore it.  While a peer stays silent, its
    period doubles, at most `backoff` times.  A process that is `joining` is not one of the
    founders, which `team` lists.
    """

    name: ClassVar[str]
    survives_loss: ClassVar[bool] = True
    stop_and_wait: ClassVar[bool] = False
    """Whether at most one message to each process is on the wire."""
    packets: ClassVar[Any] = None
    """Its packets for endpoints: tagged structs as ``A | B``, payloads of bytes.  None: it has none
    that an endpoint could send."""

    def __init__(
        self,
        me: Address,
        team: Iterable[Address],
        *,
        links: Guarantee = Guarantee.UNORDERED,
        resend_after: Time = 1.0,
        backoff: int = 0,
        joining: bool = False,
    ) -> None:
        members = tuple(dict.fromkeys(team))
        if (me in members) is joining:
            raise UnknownPeer(
                f"{me!r} is {'a founder already' if joining else 'not in its own team'}",
                remedy="list the founders in `team`; only another process is `joining`",
            )
        if not self.survives_loss and (links.lossy or links.duplicating):
            raise Unsupported(
                f"{self.name} needs links that neither lose nor repeat messages",
                remedy="give it such links, or choose a machine that survives loss, as Hybrid does",
            )
        if not resend_after > 0:
            raise Unsupported(f"resend_after must be positive, not {resend_after!r}")
        self.me = me
        self.team = members
        self.links = links
        # Read at every step: a property of an enumeration's value is not cheap.
        self.lossy = links.lossy
        self.resend_after, self.backoff = resend_after, backoff
        # Whether the protocol itself must keep the messages of one pair in order.
        self.chained = not self.stop_and_wait and (links.lossy or not links.ordered)
        self.place = {address: index for index, address in enumerate(members)}

    @abstractmethod
    def initial(self) -> S:
        """The state before the first event."""

    def durable(self, state: S) -> S:
        """All of it: see the module's text on crashes."""
        return state

    def step(self, state: S, event: Event[Any, Any], now: Time) -> Step[S]:
        """One transition; a refusal is raised before any change."""
        kind = type(event)
        if kind is Receive:
            return self.receive(state, event.src, event.message, now)  # type: ignore[union-attr]
        if kind is Invoke:
            return self.invoke(state, event.request, now)  # type: ignore[union-attr]
        if kind is Timeout and event.name == RESEND:  # type: ignore[union-attr]
            return self.resend(state, "Resend", now)
        if kind is Restart:
            return self.resend(state, "Restart", now)
        raise Impossible(f"{self.name} has no row for {event!r}")

    @abstractmethod
    def invoke(self, state: S, request: Any, now: Time) -> Step[S]:
        """The application's request."""

    @abstractmethod
    def receive(self, state: S, src: Address, packet: Any, now: Time) -> Step[S]:
        """A packet from another process."""

    def resend(self, state: S, action: str, now: Time) -> Step[S]:
        """The timer is due, or the process has restarted: nothing to repeat on reliable links."""
        return Step(state, (), action)

    # The state on disk.

    def snapshot(self, state: S) -> Any:
        """`state` without its timer, as plain data or structs that msgpack can hold.

        Payloads are bytes.
        """
        raise Unsupported(f"{self.name} makes no snapshots of its state")

    def restore(self, saved: Any) -> S:
        """The state of a snapshot that comes back as plain data; `Restart` is stepped next.

        Raises `msgspec.ValidationError` for data of another form.
        """
        raise Unsupported(f"{self.name} makes no snapshots of its state")

    # Inspection for the application.  It never changes a state.

    def secrets(self, state: S) -> tuple[Secret, ...]:
        """The secrets that this process keeps, by owner and id."""
        return ()

    def held(self, state: S) -> tuple[Held, ...]:
        """The messages that wait in this process, oldest first, and what each waits for."""
        return ()

    @abstractmethod
    def idle(self, state: S) -> bool:
        """Whether nothing is held, unacknowledged, kept or buffered."""

    def owing(self, state: S) -> tuple[Address, ...]:
        """The processes from which a packet is outstanding."""
        raise Unsupported(f"{self.name} keeps no account of what is outstanding")

    def undelivered(self, state: S) -> tuple[tuple[Address, int], ...]:
        """The messages that are not known to be delivered, oldest first: destination and id."""
        raise Unsupported(f"{self.name} keeps no account of undelivered messages")

    def backlog(self, state: S) -> int:
        """How many messages were sent from the oldest undelivered one on, or 0."""
        raise Unsupported(f"{self.name} keeps no account of undelivered messages")

    def context(self, state: S) -> Context:
        """A handle on all that this process has sent and delivered so far."""
        raise Unsupported(f"{self.name} keeps no account of undelivered messages")

    def effects_allowed(self, state: S, context: Context) -> bool:
        """Whether all that precedes `context` has been delivered.

        An effect outside the system (a file, a mail, a call of a tool) is a message to a party that
        keeps no secrets.  Perform it when this holds, else queue it: output commit (Elnozahy et
        al., "A Survey of Rollback-Recovery Protocols", section 2.4).
        """
        raise Unsupported(f"{self.name} keeps no account of undelivered messages")

    # Shared checks.

    def known(self, dst: Address) -> Address:
        """`dst`, if it is in the team."""
        if dst not in self.place:
            raise UnknownPeer(f"{dst!r} is not in the team of {self.me!r}")
        return dst


Builder: TypeAlias = Callable[..., Machine[Any]]
"""Makes a machine: a class of machines, called with what :class:`Machine` takes."""
