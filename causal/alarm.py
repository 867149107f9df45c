"""An event loop's clock for a machine, whose timers are due by it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

from message_passing.process import Time


class Alarm:
    """The clock of the event loop, and one call at the moment when the next timer is due.

    The loop may call a little early, by less than its clock can tell.
    """

    def __init__(self, ring: Callable[[Time], None]) -> None:
        #: When it rings.
        self.at = inf
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Use the clock of the running loop."""
        self._loop = asyncio.get_running_loop()
        self.time = self._loop.time

    @property
    def is_set(self) -> bool:
        """Whether it will ring."""
        return self.at < inf

    def set(self, at: Time) -> None:
        """Ring at that moment, and at no other."""
        self.cancel()
        self.at = at
        self._handle = self._loop.call_at(at, self._ring, at)

    def cancel(self) -> None:
        """Do not ring."""
        self.at = inf
        if self._handle is not None:
            self._handle.cancel()
