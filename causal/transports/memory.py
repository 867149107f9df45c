"""Endpoints of one event loop: frames are delivered in the loop's next round."""

from __future__ import annotations

import asyncio

from causal.transports.port import NameTaken, NoRoute, OnFrame, OnRefusal, OtherTeam
from message_passing.process import Address


class MemoryHub:
    """Connects the endpoints of one event loop.  `hub.transport()` is for one endpoint."""

    def __init__(self) -> None:
        self.members: dict[Address, OnFrame] = {}
        self.lives: dict[Address, bytes] = {}
        #: What every present member gave at its start.
        self.teams: dict[Address, tuple[tuple[Address, ...], OnRefusal]] = {}

    def transport(self) -> MemoryTransport:
        """A transport for one endpoint."""
        return MemoryTransport(self)


class MemoryTransport:
    """One endpoint's access to its hub.  Frames for an absent endpoint are dropped."""

    def __init__(self, hub: MemoryHub) -> None:
        self._hub = hub
        self._name: Address | None = None

    async def start(
        self,
        name: Address,
        team: tuple[Address, ...],
        incarnation: bytes,
        on_frame: OnFrame,
        on_refusal: OnRefusal,
    ) -> None:
        """Enter the hub.  Raises `OtherTeam` if a present member has a different team."""
        hub = self._hub
        if name in hub.members or hub.lives.get(name, incarnation) != incarnation:
            raise NameTaken(f"{name!r} is, or was, another endpoint of this hub")
        for other, (its_team, its_refusal) in hub.teams.items():
            if set(its_team) != set(team):
                its_refusal(OtherTeam.of(other, its_team, name, team))
                raise OtherTeam.of(name, team, other, its_team)
        hub.members[name] = on_frame
        hub.lives[name] = incarnation
        hub.teams[name] = team, on_refusal
        self._name = name

    def send(self, dst: Address, frame: bytes) -> None:
        """Deliver the frame in the loop's next round."""
        if self._name is None:
            raise NoRoute("the transport is not open")
        loop = asyncio.get_running_loop()
        loop.call_soon(self._hand_over, self._name, dst, frame)

    def admit(self, name: Address, address: str) -> None:
        """Nothing to do: a hub reaches every endpoint that enters it."""

    def forget(self, name: Address) -> None:
        """Nothing to do: no frame waits in a hub."""

    async def close(self) -> None:
        """Leave the hub.  Frames that were sent are still delivered."""
        if self._name is not None:
            del self._hub.members[self._name], self._hub.teams[self._name]
            self._name = None

    def _hand_over(self, src: Address, dst: Address, frame: bytes) -> None:
        on_frame = self._hub.members.get(dst)
        if on_frame is not None:
            on_frame(src, frame)
