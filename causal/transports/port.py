"""The interface of a transport to its endpoint.

A transport carries frames between named endpoints and verifies the sender of each.  It may lose,
repeat and reorder frames, since the protocol above repairs that; it must not alter or invent any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from message_passing.errors import CallerError, EnvironmentFault, PeerError
from message_passing.process import Address

OnFrame: TypeAlias = Callable[[Address, bytes], None]
"""Takes a frame from an endpoint whose name has been checked.  It does not raise."""

OnRefusal: TypeAlias = Callable[[PeerError], None]
"""Called with the error of a refused connection or frame."""


class NameTaken(CallerError):
    """Another endpoint uses this name already."""

    remedy = "give every endpoint its own name; one that comes back without its journal, a new one"


class NoRoute(CallerError):
    """The transport knows no route to that endpoint."""


class NoTransport(EnvironmentFault):
    """The transport could not be opened."""


class MissingExtra(EnvironmentFault):
    """A package that this transport needs is not installed."""

    remedy = 'pip install "artifact-coherence[postgres]"'


class BadKey(PeerError):
    """The peer that opened the connection does not know the key."""

    remedy = "all endpoints of a team need the same key"


class BadCertificate(PeerError):
    """TLS failed: a certificate is missing, not trusted, out of date, or has another name."""

    remedy = "give every endpoint a certificate of its own name, signed by the team's authority"


class SecondEndpoint(PeerError):
    """Another endpoint connects under the name of a known one."""

    remedy = "one that comes back without its journal needs a new name"


class BadFrame(PeerError):
    """A frame is too long, or comes before its sender has identified itself."""


class Transport(Protocol):
    """One endpoint's access to the others.

    `incarnation` tells two endpoints of one name apart: an endpoint that restarts with its journal
    keeps it, any other has a new one.
    """

    async def start(
        self, name: Address, incarnation: bytes, on_frame: OnFrame, on_refusal: OnRefusal
    ) -> None:
        """Start, reachable as `name`.  Raises `NameTaken` or `NoTransport`."""
        ...

    def send(self, dst: Address, frame: bytes) -> None:
        """Send at once or drop: never blocks, never waits for a connection.

        Raises `NoRoute` for a destination that the transport can never reach.
        """
        ...

    async def close(self) -> None:
        """Close; frames sent before may or may not arrive.  A second call does nothing."""
        ...
