"""Handle a member's messages in causal order, one after the other, in tasks of an event loop.

No task waits for a message.  A held message is state, and the arrival of its cause lets it be
handled.  So a loop with only held messages is idle, a lost message blocks no task, and a saved
state contains every held message.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from causal.member import Clock, Member
from causal.messages import VectorData
from message_passing.process import Address

P = TypeVar("P", bound=tuple[Any, ...])


class Handling(Generic[P]):
    """Calls `handle` for each message, and `give_up` for one held for `hold_s` seconds.

    Both are called with the payload.  With `hold_s` None every message is held until its causes
    come.  Raises as `Member` does.
    """

    def __init__(
        self,
        me: Address,
        team: Sequence[Address],
        handle: Callable[..., Awaitable[object]],
        give_up: Callable[..., Coroutine[Any, Any, None]],
        hold_s: float | None,
    ) -> None:
        self.member = Member[P](me, team)
        self._handle, self._give_up, self._hold_s = handle, give_up, hold_s
        self._turn = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def receive(self, src: Address, clock: Clock, payload: P) -> None:
        """A message has arrived: handle it and the messages that waited for it, or hold it.

        Handles all that is ready, then raises the last error of a handler.
        """
        self._watch(self.member.hear(src, clock, payload))
        await self._handle_ready()

    @asynccontextmanager
    async def knowing(self, clock: Clock) -> AsyncIterator[None]:
        """A block that runs between messages, once all that `clock` counts has been handled.

        Raises `TimeoutError` if that takes longer than `hold_s`.
        """
        async with self._turn:
            known = self._turn.wait_for(lambda: self.member.knows(clock))
            await asyncio.wait_for(known, self._hold_s)
            yield

    def load(self, saved: Mapping[str, Any], load: Callable[[Any], P]) -> None:
        """See `Member.load`; ready messages are handled, held messages get `hold_s` again."""
        self.member.load(saved, load)
        for packet in self.member.held:
            self._watch(packet)
        self._start(self._handle_ready())

    async def _handle_ready(self) -> None:
        failure = None
        async with self._turn:
            while self.member.ready:
                try:
                    await self._handle(*self.member.ready.popleft())
                except Exception as error:  # of its handler: the others are not to blame
                    failure = error
            self._turn.notify_all()
        if failure is not None:
            raise failure

    def _watch(self, packet: VectorData[P]) -> None:
        if self._hold_s is not None and self.member.is_held(packet):
            asyncio.get_running_loop().call_later(self._hold_s, self._overdue, packet)

    def _overdue(self, packet: VectorData[P]) -> None:
        if self.member.is_held(packet):
            self.member.give_up(packet)
            self._start(self._give_up(*packet.payload))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
