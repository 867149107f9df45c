"""Endpoints of one event loop: frames are delivered in the loop's next round."""

from __future__ import annotations

import asyncio

from causal.transports.port import NameTaken, NoRoute, OnFrame, OnRefusal
from message_passing.process import Address


class MemoryHub:
    """Connects the endpoints of one event loop.  `hub.transport()` is for one endpoint."""

    def __init__(self) -> None:
        self.members: dict[Address, OnFrame] = {}
        self.lives: dict[Address, bytes] = {}

    def transport(self) -> MemoryTransport:
        """A transport for one endpoint."""
        return MemoryTransport(self)


class MemoryTransport:
    """One endpoint's access to its hub.  Frames for an absent endpoint are dropped."""

    def __init__(self, hub: MemoryHub) -> None:
        self._hub = hub
        self._name: Address | None = None

    async def start(
        self, name: Address, incarnation: bytes, on_frame: OnFrame, on_refusal: OnRefusal
    ) -> None:
        """Enter the hub."""
        if name in self._hub.members or self._hub.lives.get(name, incarnation) != incarnation:
            raise NameTaken(f"{name!r} is, or was, another endpoint of this hub")
        self._hub.members[name] = on_frame
        self._hub.lives[name] = incarnation
        self._name = name

    def send(self, dst: Address, frame: bytes) -> None:
        """Deliver the frame in the loop's next round."""
        if self._name is None:
            raise NoRoute("the transport is not open")
        loop = asyncio.get_running_loop()
        loop.call_soon(self._hand_over, self._name, dst, frame)

    async def close(self) -> None:
        """Leave the hub."""
        if self._name is not None:
            del self._hub.members[self._name]
            self._name = None

    def _hand_over(self, src: Address, dst: Address, frame: bytes) -> None:
        on_frame = self._hub.members.get(dst)
        if on_frame is not None:
            on_frame(src, frame)
