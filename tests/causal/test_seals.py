"""A process on the path, without the key: whatever it does to the frames, none of it is taken."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

import pytest

from causal.endpoint import AsyncEndpoint
from causal.frames import Frame
from causal.messages import Data
from causal.transports.conformance import Station, close
from causal.transports.greeting import Said
from causal.transports.seal import LONG_BYTES, TAG_BYTES, Seal
from causal.transports.stream import StreamTransport
from message_passing.process import Envelope
from message_passing.wire import Codec

KEY = b"0123456789abcdef"
FRAMES = [b"frame %d" % number for number in range(6)]


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


async def read(reader: asyncio.StreamReader) -> bytes:
    """The next frame with its length, as it is on the wire."""
    head = await reader.readexactly(4)
    return head + await reader.readexactly(int.from_bytes(head, "big"))


class Meddler:
    """A proxy before b: it relays the greetings, and then does as it likes with the frames."""

    def __init__(self, folder: Path, meddle: Callable[[list[bytes]], list[bytes]]) -> None:
        self.front, self.back = f"{folder}/front", f"{folder}/b"
        self.meddle, self.connections = meddle, 0
        self.greetings: list[bytes] = []
        self.frames: list[bytes] = []

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, onward = await asyncio.open_unix_connection(self.back)
        back = asyncio.create_task(self.copy(there, writer))
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            greetings = [await read(reader)]
            onward.write(greetings[0])
            greetings.append(await read(reader))
            onward.write(greetings[1])
            if self.connections == 1:
                self.greetings = greetings
                self.frames = [await read(reader) for _ in FRAMES]
                for frame in self.meddle(list(self.frames)):
                    onward.write(frame)
            await self.copy(reader, onward)
        onward.close()
        await back
        writer.close()

    async def copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
        writer.close()  # an end that hangs up is heard at the other one

    async def __aenter__(self) -> "Meddler":
        self.server = await asyncio.start_unix_server(self.relay, self.front)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.server.close()


def altered(frame: bytes, at: int) -> bytes:
    return frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]


MEDDLING: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "inserts at the start": lambda f: [framed(b"t" * TAG_BYTES + b"forged"), *f],
    "inserts later": lambda f: [*f[:3], framed(b"t" * TAG_BYTES + b"forged"), *f[3:]],
    "inserts one without a tag": lambda f: [*f[:3], framed(b"forged"), *f[3:]],
    "inserts an empty one": lambda f: [*f[:3], framed(b""), *f[3:]],
    "repeats at once": lambda f: [*f[:3], f[2], *f[3:]],
    "repeats later": lambda f: [*f, f[0]],
    "swaps": lambda f: [f[1], f[0], *f[2:]],
    "takes one out": lambda f: [*f[:2], *f[3:]],
    "alters a frame": lambda f: [*f[:3], altered(f[3], -1 % len(f[3])), *f[4:]],
    "alters a tag": lambda f: [*f[:3], altered(f[3], 4), *f[4:]],
    "cuts a frame": lambda f: [*f[:3], framed(f[3][4:-1]), *f[4:]],
    "joins two": lambda f: [*f[:3], framed(f[3][4:] + f[4][4:]), f[5]],
}


async def meddled(
    folder: Path, meddle: Callable[[list[bytes]], list[bytes]]
) -> tuple[list[bytes], list[str], Meddler]:
    """What b took, and refused, of the frames on the first connection."""
    async with Meddler(folder, meddle) as path:
        urls = {"a": f"unix://{folder}/a", "b": f"unix://{path.back}"}
        b = await Station(StreamTransport(urls, key=KEY)).start("b")
        a = await Station(StreamTransport(urls | {"b": f"unix://{path.front}"}, key=KEY)).start("a")
        for frame in FRAMES:
            a.transport.send("b", frame)
        # The connection ends, and the protocol above sends again.
        took = await b.receives(b"again", a, "b")
        await close(a, b)
        return took, [error.code for error in b.refusals], path


@pytest.mark.parametrize("how", MEDDLING)
def test_meddling_is_refused(tmp_path: Path, how: str) -> None:
    took, refused, path = asyncio.run(meddled(tmp_path, MEDDLING[how]))
    assert refused == ["forged-frame"]
    assert took == FRAMES[: len(took)]
    assert path.connections > 1


def test_a_path_that_does_not_meddle_is_no_hindrance(tmp_path: Path) -> None:
    took, refused, path = asyncio.run(meddled(tmp_path, lambda frames: frames))
    assert (took, refused) == (FRAMES, [])
    assert path.connections == 1
    assert all(
        len(there) - 4 - len(frame) == TAG_BYTES <= 24
        for frame, there in zip(FRAMES, path.frames, strict=True)
    )


@pytest.mark.parametrize("how", ["inserts one without a tag", "repeats at once", "swaps"])
def test_without_tags_the_same_is_taken(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Said, "seal", lambda said: None)
    took, refused, path = asyncio.run(meddled(tmp_path, MEDDLING[how]))
    assert refused == []
    assert [framed(frame) for frame in took[: len(FRAMES)]] == MEDDLING[how](path.frames)[
        : len(FRAMES)
    ]
    assert took[: len(FRAMES)] != FRAMES


def test_a_recorded_connection_cannot_be_played_again(tmp_path: Path) -> None:
    async def main() -> None:
        _, _, path = await meddled(tmp_path, lambda frames: frames)
        urls = {n: f"unix://{tmp_path}/{n}" for n in "ab"}
        b = await Station(StreamTransport(urls, key=KEY)).start("b")
        reader, writer = await asyncio.open_unix_connection(f"{tmp_path}/b")
        writer.write(path.greetings[0])
        await read(reader)
        writer.write(b"".join([path.greetings[1], *path.frames]))
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()
        assert [error.code for error in b.refusals] == ["bad-key"]
        assert b.frames.empty()
        await close(b)

    asyncio.run(main())


def test_no_forged_message_is_delivered_and_no_genuine_one_is_lost(tmp_path: Path) -> None:
    codec = Codec(Frame, max_bytes=1 << 20)
    forged = codec.encode(Envelope("a", "b", 1, Frame((Data(1, 0, False, b"forged"),))))

    async def main() -> list[bytes]:
        async with Meddler(tmp_path, lambda frames: frames) as path:

            async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                there, onward = await asyncio.open_unix_connection(path.back)
                back = asyncio.create_task(path.copy(there, writer))
                with suppress(asyncio.IncompleteReadError, ConnectionError):
                    for _ in range(2):
                        onward.write(await read(reader))
                    if not connections:
                        connections.append(1)
                        onward.write(framed(b"t" * TAG_BYTES + forged) + framed(forged))
                    await path.copy(reader, onward)
                onward.close()
                await back
                writer.close()

            connections: list[int] = []
            path.server.close()
            server = await asyncio.start_unix_server(relay, f"{tmp_path}/relay")
            urls = {"a": f"unix://{tmp_path}/a", "b": f"unix://{path.back}"}
            through = urls | {"b": f"unix://{tmp_path}/relay"}
            async with (
                AsyncEndpoint("b", "ab", StreamTransport(urls, key=KEY)) as b,
                AsyncEndpoint(
                    "a", "ab", StreamTransport(through, key=KEY), resend_after_s=0.05
                ) as a,
            ):
                for number in range(3):
                    await a.send("b", b"%d" % number)
                got = [(await b.receive(timeout_s=60)).payload for _ in range(3)]
                await a.flush(timeout_s=60)
                assert b.refused == {"forged-frame": 1}
            server.close()
            return got

    assert asyncio.run(main()) == [b"0", b"1", b"2"]


# With TLS


@asynccontextmanager
async def relayed_over_tls(
    folder: Path, server: ssl.SSLContext, client: ssl.SSLContext
) -> AsyncIterator[str]:
    """A process on the path that ends one TLS channel and opens another."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_unix_connection(
            f"{folder}/b", ssl=client, server_hostname=""
        )

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                while data := await source.read(1 << 16):
                    sink.write(data)
            sink.close()

        await asyncio.gather(copy(reader, onward), copy(there, writer))

    listening = await asyncio.start_unix_server(relay, f"{folder}/front", ssl=server)
    yield f"unix://{folder}/front"
    listening.close()


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_greeting_over_another_tls_channel_proves_nothing(
    tmp_path: Path, version: ssl.TLSVersion, bound: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    trustme = pytest.importorskip("trustme")
    if not bound:
        monkeypatch.setattr(ssl, "CHANNEL_BINDING_TYPES", [])

    def context(purpose: ssl.Purpose) -> ssl.SSLContext:
        made = ssl.create_default_context(purpose)
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE  # encrypts, and no more
        made.maximum_version = version
        if purpose is ssl.Purpose.CLIENT_AUTH:
            trustme.CA().issue_cert("any").configure_cert(made)
        return made

    async def main() -> None:
        server, client = context(ssl.Purpose.CLIENT_AUTH), context(ssl.Purpose.SERVER_AUTH)
        tls: dict[str, Any] = {"key": KEY, "server_tls": server, "client_tls": client}
        posing = context(ssl.Purpose.CLIENT_AUTH)
        async with relayed_over_tls(tmp_path, posing, client) as front:
            urls = {n: f"unix://{tmp_path}/{n}" for n in "abc"}
            b = await Station(StreamTransport(urls, **tls)).start("b")
            a = await Station(StreamTransport(urls | {"b": front}, **tls)).start("a")
            c = await Station(StreamTransport(urls, **tls)).start("c")
            await b.receives(b"straight", c, "b")
            if bound:
                a.transport.send("b", b"relayed")
                async with asyncio.timeout(20):
                    while not a.refusals:
                        await asyncio.sleep(0.005)
                assert a.refusals[0].code == "bad-key"
                taken = [b.frames.get_nowait()[0] for _ in range(b.frames.qsize())]
                assert "a" not in taken
            else:
                await b.receives(b"relayed", a, "b")
            await close(a, b, c)

    asyncio.run(main())


# The tags


def test_a_tag_is_a_mac_over_number_and_frame() -> None:
    key, long = b"k" * 32, b"x" * 100_000
    seal = Seal(key)
    for number, frame in enumerate([b"", b"frame", b"x" * (LONG_BYTES - 1)], start=1):
        body = number.to_bytes(8, "big") + frame
        assert seal.tag(frame) == blake2b(body, key=key, digest_size=TAG_BYTES).digest()
    body = (1 << 63 | 4).to_bytes(8, "big") + sha256(long).digest()
    assert seal.tag(long) == blake2b(body, key=key, digest_size=TAG_BYTES).digest()


def test_a_frame_that_is_a_hash_has_another_tag() -> None:
    long = b"x" * LONG_BYTES
    assert Seal(b"key").tag(long) != Seal(b"key").tag(sha256(long).digest())


@pytest.mark.parametrize("size", [0, 100, LONG_BYTES - 1, LONG_BYTES, 100_000])
def test_a_tag_depends_on_key_number_and_every_byte(size: int) -> None:
    frame = bytes(size)
    tags = {Seal(b"key").tag(frame), Seal(b"another").tag(frame)}
    seal = Seal(b"key")
    tags |= {seal.tag(frame) for _ in range(3)}
    for at in {0, size // 2, size - 1} if size else set():
        tags.add(Seal(b"key").tag(altered(frame, at)))
    tags.add(Seal(b"key").tag(frame + b"\0"))
    assert len(tags) == 5 + (3 if size else 0)


def test_each_connection_has_its_own_tags(tmp_path: Path) -> None:
    seen = set()
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        _, _, path = asyncio.run(meddled(tmp_path / folder, lambda frames: frames))
        seen.add(path.frames[0])
    assert len(seen) == 2
