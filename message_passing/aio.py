"""The driver on an event loop: the twin of `message_passing.runtime`, and its ports in memory.

It runs the same turn in the same order.  Calls wait for their turn instead of being refused.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from message_passing.errors import EnvironmentFault
from message_passing.memory import MemoryJournal
from message_passing.ports import AsyncJournal, AsyncTransport, Clock, Saved, Trace
from message_passing.process import Address, Envelope, Event, Invoke, Process, Restart, Time
from message_passing.turn import Core, Ready


class AsyncRuntime:
    """Runs a process on the running event loop.  A turn that has begun is never cut short.

    An error in a timer's turn has no caller, so the loop's exception handler gets it; after an
    `EnvironmentFault` the turn is tried again after `retry_s`.
    """

    def __init__(
        self,
        address: Address,
        process: Process[Any, Any, Any],
        transport: AsyncTransport,
        clock: Clock | None,
        journal: AsyncJournal,
        *,
        on_deliver: Callable[[Address, Any], None] | None = None,
        trace: Trace | None = None,
        retry_s: float = 1.0,
    ) -> None:
        self.core = Core(address, process)
        self._loop = asyncio.get_running_loop()
        self._clock = clock or self._loop.time
        self._transport, self._journal = transport, journal
        self._on_deliver, self._trace = on_deliver or _ignore, trace
        self._outbox: deque[Envelope[Any]] = deque()
        self._calls, self._turns = asyncio.Lock(), asyncio.Lock()
        self._answer: asyncio.Future[Any] = self._loop.create_future()
        self._retry_s = retry_s
        self._alarm: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """After a crash: send what may not have left, step `Restart`.  Else do nothing."""
        saved = await self._journal.load()
        if saved is not None:
            self.core.restore(saved)
            self._outbox.extend(saved.unsent)
            await self._whole(self._turn(Restart()))

    async def call(self, request: Any) -> Any:
        """Ask the process and await its answer; a second call waits for its turn.

        Cancelling it gives up only the answer: the process still works on the request.
        """
        return await self._whole(self._ask(request))

    async def receive(self, envelope: Envelope[Any]) -> None:
        """Process a message.  On return it is durable, so a transport may acknowledge it."""
        await self._whole(self._turn(self.core.accept(envelope)))

    async def close(self) -> None:
        """Stop the timers, and cancel the waiting calls."""
        async with self._turns:
            if self._alarm is not None:
                self._alarm.cancel()
            tasks = self._tasks - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, request: Any) -> Any:
        async with self._calls:
            if self.core.outstanding:  # of a call that failed after its request was sent
                await self._answer
            self._answer = self._loop.create_future()
            await self._turn(Invoke(request))
            return await self._answer

    async def _turn(self, event: Event[Any, Any] | None) -> None:
        async with self._turns:
            try:
                now = self._clock()
                for timeout in self.core.overdue(now):
                    await self._carry_out(self.core.step(timeout, now), now)
                if event is not None:
                    await self._carry_out(self.core.step(event, now), now)
            finally:
                self._set_alarm()  # after any turn: an alarm may ring a little early, by our clock

    async def _carry_out(self, ready: Ready, now: Time) -> None:
        if self.core.must_save(ready):
            await self._journal.save(ready.durable, ready.outgoing)
        self.core.adopt(ready)
        self._outbox.extend(ready.outgoing)
        for answer in ready.answers:
            if not self._answer.done():  # cancelled by close
                self._answer.set_result(answer)
        if self._trace is not None:
            self._trace(now, self.core.address, ready.event, ready.step)
        for delivery in ready.deliveries:
            self._on_deliver(delivery.src, delivery.message)
        while self._outbox:
            await self._transport.send(self._outbox[0])
            await self._journal.sent(self._outbox.popleft())

    def _set_alarm(self, at_least_s: float = 0.0) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        deadline = self.core.deadline
        if deadline is not None:
            delay_s = max(at_least_s, deadline - self._clock())
            self._alarm = self._loop.call_later(delay_s, self._ring)

    def _ring(self) -> None:
        self._spawn(self._turn(None)).add_done_callback(self._rung)

    def _rung(self, task: asyncio.Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            said = f"a timer of {self.core.address!r}"
            self._loop.call_exception_handler({"message": said, "exception": error, "task": task})
        if isinstance(error, EnvironmentFault):
            self._set_alarm(at_least_s=self._retry_s)

    def _whole(self, work: Coroutine[Any, Any, Any]) -> asyncio.Future[Any]:
        return asyncio.shield(self._spawn(work))

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class AsyncMemoryJournal:
    """A `MemoryJournal` that is awaited."""

    def __init__(self, journal: MemoryJournal | None = None) -> None:
        self._journal = journal or MemoryJournal()

    async def load(self) -> Saved | None:
        """The last saved state and its envelopes."""
        return self._journal.load()

    async def save(self, state: Any, outgoing: Sequence[Envelope[Any]]) -> None:
        """Save the state and the envelopes."""
        self._journal.save(state, outgoing)

    async def sent(self, envelope: Envelope[Any]) -> None:
        """Forget the envelope."""
        self._journal.sent(envelope)


class AsyncMemoryNetwork:
    """Runtimes of one event loop, each with a queue of mail and a task that delivers it."""

    def __init__(self) -> None:
        self._queues: dict[Address, asyncio.Queue[Envelope[Any]]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def attach(self, runtime: AsyncRuntime) -> None:
        """Start delivering mail to `runtime`."""
        queue = self._queues.setdefault(runtime.core.address, asyncio.Queue())
        self._tasks.append(asyncio.create_task(self._hand_over(queue, runtime)))

    async def send(self, envelope: Envelope[Any]) -> None:
        """Append the envelope to its destination's queue."""
        self._queues.setdefault(envelope.dst, asyncio.Queue()).put_nowait(envelope)

    async def close(self) -> None:
        """Stop delivering.  Raises the error that a runtime raised on a message, if any."""
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    @staticmethod
    async def _hand_over(queue: asyncio.Queue[Envelope[Any]], runtime: AsyncRuntime) -> None:
        while True:
            await runtime.receive(await queue.get())


def _ignore(src: Address, message: Any) -> None:
    pass
