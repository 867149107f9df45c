"""The endpoint for programs without an event loop: the same calls, each of which blocks.

The endpoint runs in a thread of its own, so it acknowledges while the program works.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar

from causal.endpoint import AsyncEndpoint
from causal.frames import Closed, Delivery
from causal.messages import Context, Held, Secret
from causal.transports.port import Transport
from message_passing.process import Address

T = TypeVar("T")


class Endpoint:
    """As `causal.endpoint.AsyncEndpoint`, with the same arguments; used as a context manager."""

    def __init__(
        self, name: Address, team: Iterable[Address], transport: Transport, **options: Any
    ) -> None:
        self._endpoint = AsyncEndpoint(name, team, transport, **options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name=f"causal-{name}", daemon=True
        )

    @property
    def state(self) -> Any:
        """The state of the machine."""
        return self._call(lambda: self._endpoint.state)

    def __enter__(self) -> Endpoint:
        self._thread.start()
        try:
            self._wait(self._endpoint.open())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread.is_alive():
            try:
                self._wait(self._endpoint.__aexit__(kind, error, trace))
            finally:
                self._stop()

    def send(self, dst: Address, payload: bytes, *, timeout_s: float | None = None) -> int:
        """Send, and return the message's id."""
        return self._wait(self._endpoint.send(dst, payload, timeout_s=timeout_s))

    def receive(self, *, timeout_s: float | None = None) -> Delivery:
        """The next message in causal order.  Raises `TimeoutError` when the time is over."""
        return self._wait(self._endpoint.receive(timeout_s=timeout_s))

    def deliveries(self) -> Iterator[Delivery]:
        """Messages in causal order, until the endpoint is closed."""
        while True:
            try:
                yield self.receive()
            except Closed:
                return

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Wait until every message sent so far has been delivered."""
        self._wait(self._endpoint.flush(timeout_s=timeout_s))

    def settled(self, context: Context, *, timeout_s: float | None = None) -> None:
        """Wait until effects are allowed."""
        self._wait(self._endpoint.settled(context, timeout_s=timeout_s))

    def context(self) -> Context:
        """A handle on what this endpoint knows now."""
        return self._call(self._endpoint.context)

    def effects_allowed(self, context: Context) -> bool:
        """Whether everything before `context` is delivered."""
        return self._call(lambda: self._endpoint.effects_allowed(context))

    def backlog(self) -> int:
        """How many messages were sent from the oldest undelivered one on."""
        return self._call(self._endpoint.backlog)

    def dealt_with(self) -> None:
        """Mark the last received message as finished: a restart does not deliver it again."""
        self._call(self._endpoint.dealt_with)

    def secrets(self) -> tuple[Secret, ...]:
        """Eager messages that have not been released yet."""
        return self._call(self._endpoint.secrets)

    def held(self) -> tuple[Held, ...]:
        """Messages that wait in this endpoint, each with what it waits for."""
        return self._call(self._endpoint.held)

    def members(self) -> tuple[Address, ...]:
        """The names in this endpoint's view of the team, its own included."""
        return self._call(self._endpoint.members)

    @property
    def excluded(self) -> bool:
        """Whether the team has excluded this endpoint."""
        return self._call(lambda: self._endpoint.excluded)

    @property
    def lost(self) -> tuple[tuple[Address, int], ...]:
        """The newest messages that may be lost: destination and id."""
        return self._call(lambda: self._endpoint.lost)

    def peer_down(self, peer: Address) -> None:
        """Exclude a crashed peer."""
        self._call(lambda: self._endpoint.peer_down(peer))

    def admit(self, name: Address, address: str = "") -> None:
        """Take a new endpoint into the team."""
        self._call(lambda: self._endpoint.admit(name, address))

    def leave(self, *, timeout_s: float | None = None) -> None:
        """Leave the team for good and close.  A second call does nothing."""
        if self._thread.is_alive():
            try:
                self._wait(self._endpoint.leave(timeout_s=timeout_s))
            finally:
                self._stop()

    def close(self, *, flush_s: float = 0.0) -> None:
        """Close the endpoint.  A second call does nothing."""
        if self._thread.is_alive():
            self._wait(self._endpoint.close(flush_s=flush_s))
            self._stop()

    def _call(self, function: Callable[[], T]) -> T:
        # In the endpoint's thread: no other thread may read its state.
        async def called() -> T:
            return function()

        return self._wait(called())

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        if not self._thread.is_alive():
            work.close()
            raise Closed(f"{self._endpoint.name!r} is not open")
        done = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return done.result()
        finally:
            # After an interrupt the call is over: it must neither take a message nor send one.
            done.cancel()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
