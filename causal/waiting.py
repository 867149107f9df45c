"""Tasks that wait until something about their endpoint has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from causal.frames import Full
from message_passing.errors import CallerError, EnvironmentFault


class Waiting:
    """The tasks that wait for a condition; each asks again after a change.

    `stopped` gives the error that ends all waiting, or None.
    """

    def __init__(self, stopped: Callable[[], CallerError | EnvironmentFault | None]) -> None:
        self._stopped = stopped
        #: What they wait for.
        self.changes: set[asyncio.Future[None]] = set()

    async def until(self, done: Callable[[], bool], timeout_s: float | None) -> None:
        """Wait until `done`.  Raises what `stopped` gives, and `Full` after `timeout_s`."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout_s is None else loop.time() + timeout_s
        while not done():
            if (error := self._stopped()) is not None:
                raise error
            change: asyncio.Future[None] = loop.create_future()
            self.changes.add(change)
            try:
                if deadline is None:
                    await change
                else:
                    async with asyncio.timeout_at(deadline):
                        await change
            except TimeoutError:
                raise Full(f"nothing changed in {timeout_s} s") from None
            finally:
                self.changes.discard(change)

    def wake(self) -> None:
        """Something has changed."""
        for change in self.changes:
            if not change.done():
                change.set_result(None)
