"""Events for any number of pages, sent as a stream, without ever waiting for one of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from threading import Lock
from typing import Final, NamedTuple

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from coherence_console.answers import encoded
from coherence_console.shapes import Shape

#: Events that may wait for a page; one that is further behind gets the whole again.
DEPTH: Final = 8
#: A silent stream shows by a comment that it is alive, so that the page notices a dead one.
ALIVE_S: Final = 15.0
#: A page that has not read for so long is dropped.
STALLED_S: Final = 30.0
#: Streams of one channel at once.
LISTENERS_MAX: Final = 64


#: In place of an event: the whole follows.
_AGAIN: Final = b""


class Event(NamedTuple):
    """One event: the kind that a page listens for, and what it carries."""

    kind: str
    shape: Shape

    def frame(self) -> bytes:
        """The event as the stream has it."""
        # JSON has no line break outside of its texts, and none that is not escaped within them.
        return b"event: %s\ndata: %s\n\n" % (self.kind.encode(), encoded(self.shape))


class Channel:
    """Events about one subject.

    A new page first gets `whole()`, an event with everything, and then each event that is sent
    from then on.  A page that falls behind loses what waits for it, and gets `whole()` again.
    `whole` runs in a thread and may block.  `first` is called when the first page comes, `last`
    when the last one has left, both in the event loop: they must not block.
    """

    def __init__(
        self,
        whole: Callable[[], Event],
        *,
        first: Callable[[], None] = lambda: None,
        last: Callable[[], None] = lambda: None,
    ) -> None:
        self._whole = whole
        self._first, self._last = first, last
        self._listeners: set[_Listener] = set()
        self._lock = Lock()
        self._ended = False

    @property
    def listeners(self) -> int:
        """The number of pages that listen."""
        return len(self._listeners)

    def send(self, event: Event) -> None:
        """Send an event to all pages.  From any thread; never waits."""
        if self._listeners:
            self._offer(event.frame())

    def again(self) -> None:
        """Send the whole to all pages again.  From any thread; never waits."""
        self._offer(_AGAIN)

    def end(self) -> None:
        """End all streams, and those to come.  From any thread."""
        self._ended = True
        self._offer(None)

    def response(self) -> Response:
        """The stream, as the answer of a route."""
        return _Stream(self)

    def _offer(self, frame: bytes | None) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener.offer(frame)

    async def frames(self) -> AsyncIterator[bytes]:
        """What one page gets, until the channel ends."""
        listener = _Listener()
        with self._lock:
            self._listeners.add(listener)
            begins = len(self._listeners) == 1
        try:
            if begins:
                self._first()
            while not self._ended:
                if listener.behind:
                    listener.catch_up()
                    yield (await asyncio.to_thread(self._whole)).frame()
                    continue
                frame = await listener.next()
                if frame is None:
                    return
                if frame:
                    yield frame
        finally:
            with self._lock:
                self._listeners.discard(listener)
                ends = not self._listeners
            if ends:
                self._last()


class _Listener:
    """The events that wait for one page."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._frames: deque[bytes | None] = deque()
        self._more = asyncio.Event()
        self.behind = True

    def offer(self, frame: bytes | None) -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it the stream
            self._loop.call_soon_threadsafe(self._take, frame)

    def _take(self, frame: bytes | None) -> None:
        if frame == _AGAIN or len(self._frames) >= DEPTH:
            self._frames.clear()
            self.behind = True
        if frame != _AGAIN:
            self._frames.append(frame)
        self._more.set()

    def catch_up(self) -> None:
        """Forget what waits: the whole follows."""
        self._frames = deque(each for each in self._frames if each is None)
        self.behind = False

    async def next(self) -> bytes | None:
        """The next frame, or a comment; None at the end.  Empty if the whole is to follow."""
        while not self._frames:
            if self.behind:
                return _AGAIN
            self._more.clear()
            try:
                async with asyncio.timeout(ALIVE_S):
                    await self._more.wait()
            except TimeoutError:
                return b": alive\n\n"
        return self._frames.popleft()


class _Stream(Response):
    """An answer of events, which ends if its page leaves or does not read."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._channel = channel

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._channel.listeners >= LISTENERS_MAX:
            await Response("too many streams\n", 503)(scope, receive, send)
            return
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        frames = self._channel.frames()
        try:
            async for frame in frames:
                async with asyncio.timeout(STALLED_S):
                    await send({"type": "http.response.body", "body": frame, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            await frames.aclose()  # type: ignore[attr-defined]


async def _left(receive: Receive) -> None:
    """Returns when the page has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
