"""Every transport passes the kit; sockets let nobody speak who has not proved the key."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from causal.transports import stream
from causal.transports.conformance import CHECKS, Make, Station
from causal.transports.greeting import Challenge, Hello, Proof
from causal.transports.memory import MemoryHub
from causal.transports.port import NoRoute, NoTransport
from causal.transports.stream import StreamTransport, parsed
from message_passing.errors import CallerError

KEY = b"0123456789abcdef"


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(params=["memory", "tcp", "unix"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    def memory(names: tuple[str, ...]) -> dict[str, object]:
        hub = MemoryHub()
        return {name: hub.transport() for name in names}

    def streams(names: tuple[str, ...]) -> dict[str, object]:
        if request.param == "unix":
            urls = [f"unix://{tmp_path}/{name}" for name in names]
        else:
            urls = [f"tcp://127.0.0.1:{port}" for port in free_ports(len(names))]
        addresses = dict(zip(names, urls, strict=True))
        return {name: StreamTransport(addresses, key=KEY) for name in names}

    return memory if request.param == "memory" else streams  # type: ignore[misc]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_kit(make: Make, check: Callable[[Make], Awaitable[None]]) -> None:
    asyncio.run(check(make))  # type: ignore[arg-type]


def test_the_kit_finds_what_is_wrong() -> None:
    class Deaf:
        async def start(self, *args: object) -> None: ...

        def send(self, dst: str, frame: bytes) -> None: ...

        async def close(self) -> None: ...

    by_name = {check.__name__: check for check in CHECKS}
    for name in ("names_are_unique", "closing_is_final"):
        with pytest.raises(AssertionError):
            asyncio.run(by_name[name](lambda names: {n: Deaf() for n in names}))  # type: ignore[arg-type]


# Who is speaking.


def greeted(
    tmp_path: Path, talk: Callable[..., Awaitable[None]], key: bytes = KEY
) -> tuple[list[str], list[bytes]]:
    """What endpoint b refused and was handed while somebody talked to its socket."""

    async def main() -> tuple[list[str], list[bytes]]:
        addresses = {n: f"unix://{tmp_path}/{n}" for n in "ab"}
        b = await Station(StreamTransport(addresses, key=key)).start("b")
        reader, writer = await asyncio.open_unix_connection(f"{tmp_path}/b")
        await talk(reader, writer)
        writer.close()
        for _ in range(200):
            if b.refusals:
                break
            await asyncio.sleep(0.01)
        await b.transport.close()
        handed = []
        while not b.frames.empty():
            handed.append(b.frames.get_nowait()[1])
        return [error.code for error in b.refusals], handed

    return asyncio.run(main())


def framed(value: object) -> bytes:
    body = value if isinstance(value, bytes) else msgspec.msgpack.encode(value)
    return len(body).to_bytes(4, "big") + body


HELLO = Hello("a", "b", b"life", b"n" * 16)


def test_no_frame_before_a_greeting(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(framed(b"a frame"))

    assert greeted(tmp_path, talk) == (["bad-frame"], [])


def test_no_frame_without_proof(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(framed(HELLO) + framed(b"a frame"))

    assert greeted(tmp_path, talk) == (["bad-frame"], [])


@pytest.mark.parametrize("hello", [Hello("z", "b", b"", b""), Hello("a", "c", b"", b"")])
def test_strangers_and_the_lost_are_sent_away(tmp_path: Path, hello: Hello) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(framed(hello))

    assert greeted(tmp_path, talk) == (["bad-frame"], [])


def test_a_wrong_key_is_noticed_on_both_sides(tmp_path: Path) -> None:
    async def main() -> tuple[list[str], list[str]]:
        addresses = {n: f"unix://{tmp_path}/{n}" for n in "ab"}
        a = await Station(StreamTransport(addresses, key=b"x" * 16)).start("a")
        b = await Station(StreamTransport(addresses, key=KEY)).start("b")
        a.transport.send("b", b"secret")
        for _ in range(500):
            if a.refusals:
                break
            await asyncio.sleep(0.01)
        await a.transport.close()
        await b.transport.close()
        assert b.frames.empty()
        return [e.code for e in a.refusals], [e.code for e in b.refusals]

    # The dialer finds out first, and does not even say its proof.
    ours, theirs = asyncio.run(main())
    assert set(ours) == {"bad-key"}
    assert theirs == []


def test_a_forged_or_replayed_proof_is_refused(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(framed(HELLO))
        size = int.from_bytes(await reader.readexactly(4), "big")
        challenge = msgspec.msgpack.decode(await reader.readexactly(size), type=Challenge)
        # The listener's own proof, sent back, is not the dialer's.
        writer.write(framed(Proof(challenge.mac)) + framed(b"a frame"))

    assert greeted(tmp_path, talk) == (["bad-key"], [])


def test_an_oversized_frame_ends_the_connection(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((1 << 31).to_bytes(4, "big"))

    assert greeted(tmp_path, talk) == (["bad-frame"], [])


def test_another_life_by_a_known_name_is_refused(tmp_path: Path) -> None:
    async def main() -> list[str]:
        addresses = {n: f"unix://{tmp_path}/{n}" for n in "ab"}
        b = await Station(StreamTransport(addresses, key=KEY)).start("b")
        for life in (b"first", b"second"):
            a = await Station(StreamTransport(addresses, key=KEY)).start("a", life)
            a.transport.send("b", life)
            for _ in range(200):
                if b.refusals or (life == b"first" and not b.frames.empty()):
                    break
                await asyncio.sleep(0.01)
            await a.transport.close()
        await b.transport.close()
        assert await b.next() == ("a", b"first")
        assert b.frames.empty()
        return [error.code for error in b.refusals]

    assert asyncio.run(main())[0] == "second-endpoint"


def test_what_was_written_before_closing_arrives(tmp_path: Path) -> None:
    async def main() -> None:
        addresses = {n: f"unix://{tmp_path}/{n}" for n in "ab"}
        a, b = [await Station(StreamTransport(addresses, key=KEY)).start(name) for name in "ab"]
        a.transport.send("b", b"first")
        assert (await b.next())[1] == b"first"
        # Nobody's patience with the greeting ends a connection that has proved itself.
        assert [one.patience.cancelled() for one in b.transport.incoming] == [True]
        for _ in range(4):
            a.transport.send("b", b"x" * 1_000_000)
        await a.transport.close()
        assert [len((await b.next())[1]) for _ in range(4)] == [1_000_000] * 4
        await b.transport.close()

    asyncio.run(main())


def test_whoever_says_nothing_is_sent_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "GREETING_S", 0.01)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await asyncio.wait_for(reader.read(), 20) == b""

    assert greeted(tmp_path, talk) == (["bad-frame"], [])


def test_closing_ends_a_greeting_that_nobody_answers(tmp_path: Path) -> None:
    async def main() -> None:
        addresses = {n: f"unix://{tmp_path}/{n}" for n in "ab"}
        talk: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            greeting.set()
            talk.set_result(await reader.read(-1))
            writer.close()

        greeting = asyncio.Event()
        server = await asyncio.start_unix_server(mute, f"{tmp_path}/b")
        a = await Station(StreamTransport(addresses, key=KEY)).start("a")
        a.transport.send("b", b"a frame")
        await asyncio.wait_for(greeting.wait(), 20)
        await a.transport.close()
        assert b"a frame" not in await asyncio.wait_for(talk, 20)
        server.close()

    asyncio.run(main())


def test_tls_on_both_sides() -> None:
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)

    async def main() -> None:
        urls = [f"tcp://127.0.0.1:{port}" for port in free_ports(2)]
        addresses = dict(zip("ab", urls, strict=True))
        a, b = [
            await Station(
                StreamTransport(addresses, key=KEY, server_tls=server, client_tls=client)
            ).start(name)
            for name in "ab"
        ]
        a.transport.send("b", b"private")
        assert await b.next() == ("a", b"private")
        # Whoever dials without TLS does not get as far as a greeting.
        host, port = parsed(addresses["b"])
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(framed(HELLO))
        with suppress(ConnectionError):
            assert type(await reader.read()) is bytes
        writer.close()
        assert b.frames.empty()
        for station in (a, b):
            await station.transport.close()

    asyncio.run(main())


# Configuration.


@pytest.mark.parametrize("url", ["", "tcp://", "tcp://host", "tcp://h:x", "udp://h:1", "unix://"])
def test_bad_addresses_are_refused(url: str) -> None:
    with pytest.raises(NoRoute):
        parsed(url)


def test_addresses() -> None:
    assert parsed("tcp://[::1]:80") == ("::1", 80)
    assert parsed("unix:///run/a.sock") == "/run/a.sock"


def test_a_short_key_is_refused() -> None:
    with pytest.raises(CallerError):
        StreamTransport({}, key=b"short")


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    async def main() -> None:
        (port,) = free_ports(1)
        addresses = {"a": f"tcp://127.0.0.1:{port}", "b": f"tcp://127.0.0.1:{port}"}
        a = await Station(StreamTransport(addresses, key=KEY)).start("a")
        with pytest.raises(NoTransport):
            await Station(StreamTransport(addresses, key=KEY)).start("b")
        await a.transport.close()

    asyncio.run(main())
