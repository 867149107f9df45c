"""The endpoint: causal order over real transports, back-pressure, effects, refusals, crashes."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from causal import Announcing
from causal.blocking import Endpoint
from causal.endpoint import AsyncEndpoint
from causal.frames import (
    Closed,
    Delivery,
    Excluded,
    Frame,
    Full,
    NotBytes,
    TooLong,
)
from causal.messages import Ack, Data, DepartedPeer, Release, UnknownPeer
from causal.transports.memory import MemoryHub, MemoryTransport
from causal.transports.port import NameTaken
from causal.transports.stream import StreamTransport
from message_passing.process import Envelope
from message_passing.wire import Codec

KEY = b"0123456789abcdef"


class Delayed:
    """A memory transport whose frames to some destinations wait until they are let through."""

    def __init__(self, inner: MemoryTransport) -> None:
        self.inner = inner
        self.kept: dict[str, list[bytes]] = {}
        self.tell: Callable[[tuple[Delayed, str, bytes]], None] = lambda frame: None
        self.start, self.close = inner.start, inner.close
        self.admit, self.forget = inner.admit, inner.forget

    def hold(self, dst: str) -> None:
        self.kept[dst] = []

    def send(self, dst: str, frame: bytes) -> None:
        self.tell((self, dst, frame))
        if dst in self.kept:
            self.kept[dst].append(frame)
        else:
            self.inner.send(dst, frame)

    def let(self, dst: str) -> None:
        for frame in self.kept.pop(dst):
            self.inner.send(dst, frame)


@asynccontextmanager
async def team(names: str, **options: Any) -> AsyncIterator[list[tuple[AsyncEndpoint, Delayed]]]:
    hub = MemoryHub()
    async with AsyncExitStack() as stack:
        members = []
        for name in names:
            transport = Delayed(hub.transport())
            endpoint = AsyncEndpoint(name, names, transport, **options)
            members.append((await stack.enter_async_context(endpoint), transport))
        yield members


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await main()

    asyncio.run(bounded())


async def rounds(count: int = 5) -> None:
    """Let what is on its way within the loop arrive."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_no_message_before_its_cause() -> None:
    async def main() -> None:
        async with team("abc") as [(a, wire), (b, _), (c, _)]:
            wire.hold("b")
            await a.send("b", b"plan B")
            await a.send("c", b"the plan has changed")
            told = await c.receive()
            assert told == Delivery("a", 2, b"the plan has changed")
            assert [(s.owner, s.id) for s in c.secrets()] == [("a", 2)]
            await c.send("b", b"step 1 of plan B is approved")
            await rounds()
            # c may not tell b; it may answer a.
            assert [h.dst for h in c.held()] == ["b"]
            await c.send("a", b"seen")
            assert (await a.receive()).payload == b"seen"
            wire.let("b")
            assert [(await b.receive()).src for _ in range(2)] == ["a", "c"]
            await c.flush(timeout_s=60)
            assert c.secrets() == ()

    run(main)


def test_what_is_announced_ends_a_secret_without_its_owner() -> None:
    async def main() -> None:
        async with team("abc", machine=Announcing) as [(a, wire), (b, back), (c, _)]:
            wire.hold("b")
            back.hold("a")  # b acknowledges nothing, so a releases nothing
            await a.send("b", b"plan B")
            await a.send("c", b"the plan has changed")
            assert (await c.receive()).id == 2
            await c.send("b", b"step 1 of plan B is approved")
            await rounds()
            assert [h.dst for h in c.held()] == ["b"]
            wire.let("b")
            assert [(await b.receive()).src for _ in range(2)] == ["a", "c"]
            assert c.secrets() == ()
            assert a.backlog() == 2
            back.let("a")
            await a.flush(timeout_s=60)

    run(main)


@pytest.mark.slow
def test_deliveries_end_when_the_endpoint_closes() -> None:
    async def main() -> None:
        async with team("ab") as [(a, _), (b, _)]:
            seen: list[bytes] = []

            async def consume() -> None:
                async for message in b.deliveries():
                    seen.append(message.payload)

            task = asyncio.create_task(consume())
            for number in range(300):
                await a.send("b", b"%d" % number)
            await a.flush()
            await b.close()
            await task
            assert seen == [b"%d" % number for number in range(300)]

    run(main)


def test_a_message_to_oneself() -> None:
    async def main() -> None:
        async with team("ab") as [(a, _), _]:
            await a.send("a", b"note")
            assert await a.receive() == Delivery("a", 1, b"note")

    run(main)


def test_an_effect_waits_for_everything_before_it() -> None:
    async def main() -> None:
        async with team("abc") as [(a, wire), (b, _), (c, _)]:
            wire.hold("b")
            await a.send("b", b"first")
            await a.send("c", b"job")
            await c.receive()
            job = c.context()
            assert not c.effects_allowed(job)
            with pytest.raises(Full):
                await c.settled(job, timeout_s=0.01)
            wire.let("b")
            await c.settled(job, timeout_s=60)
            assert c.effects_allowed(job)
            assert (await b.receive()).payload == b"first"

    run(main)


# Back-pressure.


def test_a_sender_waits_while_too_much_is_undelivered() -> None:
    async def main() -> None:
        async with team("ab", backlog_max=4) as [(a, wire), (b, _)]:
            wire.hold("b")
            for _ in range(4):
                await a.send("b", b"")
            with pytest.raises(Full):
                await a.send("b", b"", timeout_s=0.01)
            assert a.backlog() == 4
            wire.let("b")
            assert await a.send("b", b"", timeout_s=60) == 5
            for number in range(5):
                assert (await b.receive()).id == number + 1

    run(main)


def test_a_full_inbox_is_a_link_that_loses_and_nothing_is_lost() -> None:
    async def main() -> None:
        async with team("ab", inbox_max=8, resend_after_s=0.02) as [(a, _), (b, _)]:
            for _ in range(100):
                await a.send("b", b"")
            await rounds()
            assert b.refused["inbox-full"] > 0
            for number in range(100):
                assert (await b.receive(timeout_s=60)).id == number + 1
            await a.flush(timeout_s=60)

    run(main)


def test_two_that_flood_each_other_do_not_lock_up() -> None:
    async def main() -> None:
        limits = {"backlog_max": 4, "inbox_max": 4, "resend_after_s": 0.02}
        async with team("ab", **limits) as [(a, _), (b, _)]:

            async def flood(here: AsyncEndpoint, there: str) -> None:
                # Sends everything first: nobody takes anything until the inboxes are full.
                for _ in range(8):
                    await here.send(there, b"")

            async def take(here: AsyncEndpoint) -> None:
                for _ in range(8):
                    await here.receive()

            floods = [asyncio.create_task(flood(a, "b")), asyncio.create_task(flood(b, "a"))]
            await rounds(20)
            await asyncio.gather(*floods, take(a), take(b))

    run(main)


# Refusals.


def test_bad_calls() -> None:
    async def main() -> None:
        async with team("ab", payload_bytes_max=10) as [(a, _), _]:
            with pytest.raises(UnknownPeer):
                await a.send("z", b"")
            with pytest.raises(TooLong):
                await a.send("b", b"x" * 11)
            for thing in ("text", 5, None, [1, 2]):
                with pytest.raises(NotBytes):
                    await a.send("b", thing)  # type: ignore[arg-type]
            assert a.state == a.machine.initial()
            with pytest.raises(TimeoutError):
                await a.receive(timeout_s=0.01)
            a.peer_down("b")
            with pytest.raises(DepartedPeer):
                await a.send("b", b"")
            await a.close()
            await a.close()
            with pytest.raises(Closed):
                await a.send("b", b"")
            with pytest.raises(Closed):
                await a.receive()
            with pytest.raises(Closed):
                a.peer_down("b")

    run(main)


@pytest.mark.slow
def test_two_endpoints_with_one_name() -> None:
    async def main() -> None:
        hub = MemoryHub()
        async with AsyncEndpoint("a", "ab", hub.transport()):
            with pytest.raises(NameTaken):
                await AsyncEndpoint("a", "ab", hub.transport()).open()
        # Without its journal it is another life, and needs another name.
        with pytest.raises(NameTaken):
            await AsyncEndpoint("a", "ab", hub.transport()).open()

    run(main)


CODEC = Codec(Frame, max_bytes=1 << 24)


def envelope(src: str, dst: str, *packets: Any) -> bytes:
    return CODEC.encode(Envelope(src, dst, 1, Frame(packets)))


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"", "damaged"),
        (b"noise" * 100, "damaged"),
        (b"x" * (1 << 27), "oversized"),
        (envelope("b", "a", Ack(1))[:-1] + b"\x00", "damaged"),
        (envelope("c", "a", Ack(1)), "misdirected"),  # b speaks as c
        (envelope("b", "c", Ack(1)), "misdirected"),
        (envelope("b", "a", Ack(7)), "forged-packet"),  # an id from the future
        (envelope("b", "a", Ack(1, ("z",))), "forged-packet"),  # a view from nowhere
        (envelope("b", "a", Ack(0)), "forged-packet"),  # ids from before the first
        (envelope("b", "a", Release(0)), "forged-packet"),
        (envelope("b", "a", Data(0, 0, False, b"")), "forged-packet"),
        (envelope("b", "a", Data(1, 1, False, b"")), "forged-packet"),  # after itself
    ],
)
def test_what_is_refused_is_counted_and_moves_no_state(
    frame: bytes, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with team("abc") as [(a, _), (_, theirs), _]:
            await a.send("b", b"")
            await rounds()
            before = a.state
            theirs.inner.send("a", frame)
            await rounds()
            assert a.refused == {code: 1}
            assert a.state == before

    run(main)
    assert "refused" in caplog.text


def test_a_replayed_message_is_acknowledged_again_and_not_delivered() -> None:
    async def main() -> None:
        async with team("ab") as [(a, wire), (b, _)]:
            wire.hold("b")
            await a.send("b", b"once")
            await rounds()
            (frame,) = wire.kept["b"]
            wire.let("b")
            assert (await b.receive()).payload == b"once"
            wire.inner.send("b", frame)
            await rounds()
            with pytest.raises(TimeoutError):
                await b.receive(timeout_s=0.01)

    run(main)


def test_nothing_that_is_replayed_moves_any_state() -> None:
    async def main() -> None:
        async with team("abc") as members:
            ends = [end for end, _ in members]
            said: list[tuple[Delayed, str, bytes]] = []
            for _, wire in members:
                wire.tell = said.append
            for _ in range(3):
                for src in ends:
                    for dst in ends:
                        if src is not dst:
                            await src.send(dst.name, b"once")
                await rounds()
            for end in ends:
                for _ in range(6):
                    await end.receive(timeout_s=60)
            await asyncio.gather(*[end.flush(timeout_s=60) for end in ends])
            await rounds()
            kinds = {type(p) for _, _, f in said for p in CODEC.decode(f).message.packets}
            assert kinds == {Data, Ack, Release}
            before = [(end.state, end.refused.copy()) for end in ends]
            for wire, dst, frame in said.copy():
                wire.inner.send(dst, frame)
                await rounds()
                assert [(end.state, end.refused) for end in ends] == before
            for end in ends:
                with pytest.raises(TimeoutError):
                    await end.receive(timeout_s=0.01)

    run(main)


def test_a_view_from_the_future_is_installed_before_the_packet_is_looked_at() -> None:
    async def main() -> None:
        async with team("abc") as [(a, _), (b, _), (c, wire)]:
            wire.hold("a")
            await c.send("a", b"late")
            await rounds()
            b.peer_down("c")
            await b.send("a", b"c is down")
            assert (await a.receive(timeout_s=60)).src == "b"
            with pytest.raises(DepartedPeer):
                await a.send("c", b"")
            before = a.state
            wire.let("a")
            await rounds()
            assert a.state == before
            with pytest.raises(TimeoutError):
                await a.receive(timeout_s=0.01)

    run(main)


def test_a_peer_that_has_closed_holds_its_messages_up_and_nobody_else() -> None:
    async def main() -> None:
        async with team("abc") as [(a, _), (b, _), (c, _)]:
            await b.close()
            await a.send("b", b"to nobody")
            with pytest.raises(Full):
                await a.flush(timeout_s=0.01)
            await a.send("c", b"goes on")
            assert (await c.receive(timeout_s=60)).payload == b"goes on"
            a.peer_down("b")
            await a.flush(timeout_s=60)
            with pytest.raises(DepartedPeer):
                await a.send("b", b"")

    run(main)


def test_whoever_was_excluded_is_told() -> None:
    async def main() -> None:
        async with team("abc") as [(a, _), (b, _), _]:
            b.peer_down("a")
            packet = Data(1, 0, False, b"", ("a",))
            a._on_frame("b", envelope("b", "a", packet))
            with pytest.raises(Excluded):
                await a.send("b", b"")
            with pytest.raises(Excluded):
                await a.receive()

    run(main)


# The blocking twin.


class Interrupted:
    """A result that is not there yet when Ctrl-C comes."""

    def __init__(self, done: Any) -> None:
        self.cancel = done.cancel

    def result(self) -> Any:
        raise KeyboardInterrupt


def test_an_interrupted_call_of_the_blocking_twin_takes_no_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = {name: f"unix://{tmp_path}/{name}" for name in "ab"}

    def endpoint(name: str) -> Endpoint:
        return Endpoint(name, "ab", StreamTransport(addresses, key=KEY))

    with endpoint("a") as a, endpoint("b") as b:
        run_in = asyncio.run_coroutine_threadsafe
        with monkeypatch.context() as patched:
            patched.setattr(
                asyncio, "run_coroutine_threadsafe", lambda *work: Interrupted(run_in(*work))
            )
            with pytest.raises(KeyboardInterrupt):
                b.receive()
        a.send("b", b"kept")
        assert b.receive(timeout_s=60).payload == b"kept"


def test_the_blocking_twin(tmp_path: Path) -> None:
    addresses = {name: f"unix://{tmp_path}/{name}" for name in "ab"}

    def opened(name: str) -> Endpoint:
        return Endpoint(name, "ab", StreamTransport(addresses, key=KEY))

    with opened("a") as a, opened("b") as b:
        assert a.send("b", b"hello") == 1
        assert b.receive(timeout_s=60) == Delivery("a", 1, b"hello")
        a.flush(timeout_s=60)
        context = a.context()
        a.settled(context, timeout_s=60)
        assert a.effects_allowed(context)
        assert (a.secrets(), a.held()) == ((), ())
        with pytest.raises(TimeoutError):
            b.receive(timeout_s=0.01)
        a.peer_down("b")
        with pytest.raises(DepartedPeer):
            a.send("b", b"")
    with pytest.raises(Closed):
        a.send("b", b"")
    assert list(a.deliveries()) == []


# Processes that die.

MEMBER = """
import asyncio, sys
from causal.endpoint import AsyncEndpoint
from causal.transports.stream import StreamTransport

name, names, *urls = sys.argv[1:]
addresses = dict(zip(names, urls, strict=True))

async def main():
    transport = StreamTransport(addresses, key=b"0123456789abcdef")
    loop = asyncio.get_running_loop()
    async with AsyncEndpoint(name, names, transport, resend_after_s=0.1) as me:
        print("up", flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            verb, *rest = line.split()
            answer = "ok"
            if verb == "send":
                await me.send(rest[0], rest[1].encode())
            elif verb == "down":
                me.peer_down(rest[0])
            elif verb == "take":
                got = await me.receive(timeout_s=60)
                answer = f"{got.src} {got.payload.decode()}"
            elif verb == "held":
                answer = str(len(me.held()))
            elif verb == "secrets":
                answer = str(len(me.secrets()))
            elif verb == "flush":
                await me.flush(timeout_s=60)
            print(answer, flush=True)

asyncio.run(main())
"""


class Member:
    """An endpoint in an operating-system process of its own, told what to do line by line."""

    def __init__(self, name: str, names: str, urls: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", MEMBER, name, names, *urls],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "up\n"

    def __call__(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def stop(self, how: int = signal.SIGTERM) -> None:
        os.kill(self.process.pid, how)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.mark.slow
def test_kill_9_in_a_group_of_five_on_tcp() -> None:
    names = "abcde"
    sockets = [socket.socket() for _ in names]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    urls = [f"tcp://127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    # d is never started: a's message to it stays undelivered, so all that follows is eager.
    for each in sockets:
        each.close()
    members = {name: Member(name, names, urls) for name in "abce"}
    a, b, c, e = (members[name] for name in "abce")
    try:
        a("send d first")
        a("send b task")
        assert b("take") == "a task"
        b("send c relayed")
        assert b("held") == "1"  # it may not be told before a's message to d is in
        a("send e bye")
        assert e("take") == "a bye"
        a.stop(signal.SIGKILL)
        # The news reaches one of three survivors; the others learn it from its packets.
        assert b("down a") == "ok"
        assert b("held") == "0"
        assert c("take") == "b relayed"
        assert b("down d") == "ok"
        # Nobody is mute: everybody can still tell everybody, and in order.
        for one, two in ("bc", "ce", "eb"):
            for number in range(3):
                members[one](f"send {two} {one}{number}")
            for number in range(3):
                assert members[two]("take") == f"{one} {one}{number}"
        assert [members[name]("flush") for name in "bce"] == ["ok"] * 3
        assert [members[name]("secrets") for name in "bc"] == ["0"] * 2
    finally:
        for member in members.values():
            if member.process.returncode is None:
                member.stop()
