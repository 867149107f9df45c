"""What the connections of one endpoint share: its name, what it accepts, and its peers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from math import inf
from typing import Final

from causal.transports import certificates
from causal.transports.addresses import Route, parsed
from causal.transports.framed import Framed
from causal.transports.greeting import digest
from causal.transports.port import Crowded, NoRoute, OnFrame, OnRefusal, OtherTeam
from causal.transports.strangers import Strangers
from message_passing.errors import CallerError
from message_passing.process import Address

CROWD_S: Final = 5.0
"""How often an endpoint is told of a crowd, at most."""


class Host:
    """The settings of an endpoint's sockets, checked, and what it knows of its peers."""

    name: Address = ""
    team: tuple[Address, ...] = ()
    team_digest = b""
    incarnation = b""
    is_open = False
    on_frame: OnFrame
    on_refusal: OnRefusal

    def __init__(
        self,
        addresses: Mapping[Address, str],
        key: bytes,
        *,
        frame_bytes_max: int,
        buffer_bytes_max: int,
        unproved_max: int,
        server_tls: ssl.SSLContext | None,
        client_tls: ssl.SSLContext | None,
    ) -> None:
        if unproved_max < 1:
            raise CallerError(f"unproved_max is {unproved_max}", remedy="give 1 or more")
        self.certified = certificates.required(server_tls, client_tls)
        if not isinstance(key, bytes):
            raise CallerError(f"the key is a {type(key).__name__}", remedy="give bytes")
        if len(key) < 16 and (key or not self.certified):
            raise CallerError(
                f"a key of {len(key)} bytes",
                remedy="give 16 random bytes or more, or TLS contexts that require certificates",
            )
        self.key = key
        self.frame_bytes_max, self.buffer_bytes_max = frame_bytes_max, buffer_bytes_max
        self.server_tls, self.client_tls = server_tls, client_tls
        self.routes: dict[Address, Route] = {}
        for name, address in addresses.items():
            self.learn(name, address)
        #: The incarnation under which each peer has connected.
        self.lives: dict[Address, bytes] = {}
        self.forgotten: set[Address] = set()
        self.incoming: set[Framed] = set()
        self.strangers = Strangers[Framed](unproved_max)
        self._crowd_said_at = -inf
        #: The digest of each peer whose team differs, as long as it does.
        self._other_teams: dict[Address, bytes] = {}

    def learn(self, name: Address, address: str) -> None:
        """Take the address of an endpoint.  Raises `NoRoute`."""
        if not address:
            raise NoRoute(f"no address is given for {name!r}")
        route, tls = parsed(address, name), self.client_tls
        if isinstance(route, str) and tls is not None and tls.check_hostname:
            raise NoRoute(
                f"the Unix socket of {name!r} has no host name to check",
                remedy="set check_hostname = False on client_tls",
            )
        self.routes[name] = route

    def route(self, name: Address) -> Route:
        """Where an endpoint listens.  Raises `NoRoute`."""
        route = self.routes.get(name)
        if route is None:
            raise NoRoute(f"no address is given for {name!r}")
        return route

    def begin(self, name: Address, team: tuple[Address, ...], incarnation: bytes) -> None:
        """Take what tells this endpoint from others."""
        self.name, self.team, self.incarnation = name, team, incarnation
        self.team_digest = digest(self.key, team)

    def agrees(self, peer: Address) -> None:
        """A peer has this endpoint's team."""
        self._other_teams.pop(peer, None)

    def differs(self, peer: Address, its_digest: bytes, its_team: tuple[Address, ...]) -> None:
        """A peer has another team.  The endpoint is told once, until the peer changes its team."""
        if self._other_teams.get(peer) != its_digest:
            self._other_teams[peer] = its_digest
            self.on_refusal(OtherTeam.of(self.name, self.team, peer, its_team))

    def meets(self, source: str, connection: Framed) -> None:
        """A connection opens whose peer has not proved itself; the oldest is closed if need be."""
        loser = self.strangers.enter(source, connection)
        if loser is None:
            return
        loser.close()
        now = asyncio.get_running_loop().time()
        if now - self._crowd_said_at >= CROWD_S:
            self._crowd_said_at = now
            self.on_refusal(Crowded(f"over {self.strangers.most} connections wait for a proof"))
