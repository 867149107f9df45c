"""The interface of a transport to its endpoint.

A transport carries frames between named endpoints and verifies the sender of each.  It may lose,
repeat and reorder frames, since the protocol above repairs that; it must not alter or invent any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol, TypeAlias

from message_passing.errors import CallerError, EnvironmentFault, PeerError
from message_passing.process import Address

OnFrame: TypeAlias = Callable[[Address, bytes], None]
"""Takes a frame from an endpoint whose name has been checked.  It does not raise."""

OnRefusal: TypeAlias = Callable[[PeerError], None]
"""Called with the error of a refused connection or frame."""


FAREWELL_S: Final = 1.0
"""How long the end may take to reach a peer that frames wait for, and to write them to it."""


class NameTaken(CallerError):
    """Another endpoint uses this name already."""

    remedy = "give every endpoint its own name; one that comes back without its journal, a new one"


class NoRoute(CallerError):
    """The transport knows no route to that endpoint."""


class NoTransport(EnvironmentFault):
    """The transport could not be opened."""


class MissingExtra(EnvironmentFault):
    """A package that this transport needs is not installed."""

    remedy = "pip install 'psycopg[binary]'"


class BadKey(PeerError):
    """The peer that opened the connection does not know the key."""

    remedy = "all endpoints of a team need the same key"


class BadCertificate(PeerError):
    """TLS failed: a certificate is missing, not trusted, out of date, or has another name."""

    remedy = "give every endpoint a certificate of its own name, signed by the team's authority"


class SecondEndpoint(PeerError):
    """Another endpoint connects under the name of a known one."""

    remedy = "one that comes back without its journal needs a new name"


class ForgedFrame(PeerError):
    """A frame was inserted, repeated, altered or moved between its sender and us."""

    remedy = "the connection is opened again; find out which process is on the path"


class OtherTeam(PeerError):
    """Another endpoint was started with a different team."""

    remedy = "start every endpoint with the names with which the team was founded"

    @classmethod
    def of(
        cls, name: Address, team: Iterable[Address], peer: Address, its_team: Iterable[Address]
    ) -> OtherTeam:
        """The error with both lists."""
        return cls(f"{peer!r} has the team {sorted(its_team)}, and {name!r} has {sorted(team)}")


class Crowded(PeerError):
    """More connections have not proved themselves than are allowed; the oldest is closed."""

    remedy = "find out which process opens them; raise `unproved_max` for a large team"


class BadFrame(PeerError):
    """A frame is too long, or comes before its sender has identified itself."""


class Transport(Protocol):
    """One endpoint's access to the others.

    `team` are the names with which the team was founded, in any order: the same at every endpoint,
    for ever.  A process that joins later gives that list too, without its own name.

    `incarnation` tells two endpoints of one name apart: an endpoint that restarts with its journal
    keeps it, any other has a new one.
    """

    async def start(
        self,
        name: Address,
        team: tuple[Address, ...],
        incarnation: bytes,
        on_frame: OnFrame,
        on_refusal: OnRefusal,
    ) -> None:
        """Start, reachable as `name`.

        Raises `NameTaken`, `NoTransport`, and `OtherTeam` if it can see already that an endpoint
        has a different team.  A transport that notices it later calls `on_refusal` with that error
        at both endpoints, and hands over no frame between them.
        """
        ...

    def send(self, dst: Address, frame: bytes) -> None:
        """Send at once or drop: never blocks, never waits for a connection.

        Raises `NoRoute` for a destination that the transport can never reach.
        """
        ...

    def admit(self, name: Address, address: str) -> None:
        """Accept a new member.  A second call does nothing.

        `address` is for transports that use addresses, and empty if none is given.  Raises
        `NoRoute` for an address that cannot be used.
        """
        ...

    def forget(self, name: Address) -> None:
        """A member has left or is excluded: drop what waits for it, and stop dialling.

        Its frames still arrive, and `send` still takes an answer to them: the transport tries to
        send it, and keeps one frame at most.  A name that is not known, or forgotten already, is
        accepted.  A forgotten name stays forgotten.
        """
        ...

    async def close(self) -> None:
        """Close, after writing out the frames that `send` has taken.

        Frames to a peer that cannot be reached soon are dropped.  A second call does nothing.
        """
        ...
