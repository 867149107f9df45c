"""A page that does not read costs nothing and loses nothing: it gets the whole again."""

from __future__ import annotations

import asyncio

import pytest

from coherence_console import channel as channels
from coherence_console.channel import DEPTH, LISTENERS_MAX, Channel, Event
from coherence_console.shapes import Failure


def event(text: str) -> Event:
    return Event("said", Failure(code=text, message=""))


class Line:
    """The ASGI side of one page: `send` blocks while `blocked` is set."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.free.set()
        self.sent: list[bytes] = []
        self.more = asyncio.Event()
        self.left = asyncio.Event()
        self.status = 0

    async def send(self, message) -> None:
        await self.free.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.sent.append(message["body"])
            self.more.set()

    async def receive(self):
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def until(self, count: int) -> None:
        while len(self.sent) < count:
            self.more.clear()
            await self.more.wait()

    def run(self, channel: Channel) -> asyncio.Task:
        scope = {"type": "http", "method": "GET", "path": "/"}
        return asyncio.ensure_future(channel.response()(scope, self.receive, self.send))


def run(test) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


def codes(line: Line) -> list[str]:
    return [frame.decode().split('"code":"')[1].split('"')[0] for frame in line.sent if frame]


def test_the_whole_comes_first_then_each_event():
    async def test():
        channel, line = Channel(lambda: event("whole")), Line()
        task = line.run(channel)
        await line.until(1)
        for text in "abc":
            channel.send(event(text))
        await line.until(4)
        assert codes(line) == ["whole", "a", "b", "c"]
        channel.end()
        await task
        assert line.sent[-1] == b""
        assert channel.listeners == 0

    run(test())


def test_a_page_that_does_not_read_gets_the_whole_again():
    async def test():
        number = 0
        channel = Channel(lambda: event(f"whole {number}"))
        slow, quick = Line(), Line()
        tasks = [slow.run(channel), quick.run(channel)]
        await slow.until(1)
        await quick.until(1)
        slow.free.clear()
        for number in range(1, 10 * DEPTH):
            channel.send(event(str(number)))
            await quick.until(number + 1)
        slow.free.set()
        await slow.until(3)
        channel.end()
        await asyncio.gather(*tasks)
        assert codes(quick)[-1] == str(number)
        assert len(codes(slow)) <= DEPTH + 3
        assert f"whole {number}" in codes(slow)

    run(test())


def test_a_page_that_has_left_or_never_reads_is_dropped(monkeypatch):
    monkeypatch.setattr(channels, "STALLED_S", 0.01)

    async def test():
        ends = []
        channel = Channel(lambda: event("whole"), last=lambda: ends.append(1))
        gone, dead = Line(), Line()
        task = gone.run(channel)
        await gone.until(1)
        gone.left.set()
        await task
        assert (channel.listeners, ends) == (0, [1])
        task = dead.run(channel)
        await dead.until(1)
        dead.free.clear()
        channel.send(event("a"))
        await task
        assert (channel.listeners, ends) == (0, [1, 1])

    run(test())


def test_a_silent_stream_shows_that_it_is_alive(monkeypatch):
    monkeypatch.setattr(channels, "ALIVE_S", 0.01)

    async def test():
        channel, line = Channel(lambda: event("whole")), Line()
        task = line.run(channel)
        await line.until(3)
        assert line.sent[1:3] == [b": alive\n\n"] * 2
        channel.end()
        await task

    run(test())


def test_streams_are_bounded():
    async def test():
        channel = Channel(lambda: event("whole"))
        lines = [Line() for _ in range(LISTENERS_MAX)]
        tasks = [line.run(channel) for line in lines]
        for line in lines:
            await line.until(1)
        late = Line()
        await late.run(channel)
        assert late.status == 503
        channel.end()
        await asyncio.gather(*tasks)

    run(test())


def test_events_without_a_page_cost_nothing_and_an_ended_channel_ends_at_once():
    async def test():
        channel, line = Channel(lambda: event("whole")), Line()
        channel.send(event("nobody hears it"))
        channel.end()
        await line.run(channel)
        assert line.sent == [b""]

    run(test())


@pytest.mark.parametrize("text", ["a\nb", "a\n\nevent: forged\ndata: {}", "\r\n", "\u2028"])
def test_no_text_ends_a_frame(text):
    frame = event(text).frame()
    assert frame.count(b"\n") == 3
    assert frame.count(b"\r") == 0
