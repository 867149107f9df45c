"""Whatever a process writes into a connection is refused with a typed error, and costs nothing.

The bytes go into the connection's protocol as the event loop would put them, in pieces, so an
exception reaches the test.
"""

import asyncio
import gc
import logging
import random
import struct
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
import pytest

from causal.endpoint import AsyncEndpoint
from causal.frames import Frame
from causal.messages import Ack, Data, Release
from causal.transports.conformance import TEAM, Station
from causal.transports.framed import Framed
from causal.transports.greeting import (
    GREETING_BYTES_MAX,
    Challenge,
    Hello,
    Proof,
    Roster,
    Said,
    digest,
    encode,
    heard,
)
from causal.transports.incoming import Incoming
from causal.transports.outgoing import Line
from causal.transports.seal import Seal
from causal.transports.stream import StreamTransport
from message_passing.errors import PeerError
from message_passing.process import Envelope
from message_passing.wire import Codec

KEY = b"0123456789abcdef"
CODEC = Codec(Frame, max_bytes=1 << 16)


class Wire(asyncio.Transport):
    """The other end keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_open = True

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.is_open = False

    abort = close


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def any_value(chance: random.Random, depth: int = 0) -> Any:
    """A value that msgpack can write."""
    kind = chance.randrange(8 if depth < 3 else 6)
    if kind == 0:
        return chance.choice([None, True, False, 0.5, float("nan"), float("inf")])
    if kind == 1:
        return chance.choice([0, -1, 2**31, 2**63, -(2**63), 2**64 - 1])
    if kind == 2:
        return chance.randbytes(chance.choice([0, 1, 16, 32, 900]))
    if kind == 3:
        return chance.choice(["Hello", "Proof", "Roster", "Challenge", "a", "b", "", "\0\n"])
    if kind == 4:
        return "\U0010ffff" * chance.choice([1, 10, 200])
    if kind == 5:
        return msgspec.msgpack.Ext(chance.randrange(-128, 128), chance.randbytes(4))
    size = chance.randrange(6)
    if kind == 6:
        return [any_value(chance, depth + 1) for _ in range(size)]
    return {chance.choice("abc"): any_value(chance, depth + 1) for _ in range(size)}


def any_greeting(chance: random.Random) -> bytes:
    hello = Hello("a", "b", chance.randbytes(8), chance.randbytes(16), digest(KEY, TEAM))
    kind = chance.randrange(8)
    if kind == 0:
        return encode(hello)
    if kind == 1:
        return encode(Proof(chance.randbytes(32)))
    if kind == 2:
        return encode(Roster(("a", "b"), chance.randbytes(32)))
    if kind == 3:
        return encode(Challenge(chance.randbytes(16), chance.randbytes(16), chance.randbytes(32)))
    if kind == 4:
        name = "x" * chance.choice([0, 100, 900])
        return encode(Hello(name, chance.choice(["b", name]), b"", b"", chance.randbytes(16)))
    if kind == 5:
        nested = chance.choice([b"\x91", b"\x81\xa1x", b"\x92\xc0"])
        return nested * (GREETING_BYTES_MAX // len(nested))
    if kind == 6:
        return encode(any_value(chance))
    return chance.randbytes(chance.randrange(40))


def mutated(chance: random.Random, data: bytes) -> bytes:
    """Some bytes changed, taken out or put in, most often one; sometimes none."""
    made = bytearray(data)
    for _ in range(chance.choice([0, 1, 1, 1, 2, 8])):
        at = chance.randrange(len(made) + 1)
        kind = chance.randrange(4)
        if kind == 0 and at < len(made):
            made[at] ^= 1 << chance.randrange(8)
        elif kind == 1 and at < len(made):
            made[at] = chance.choice([0, 0x7F, 0x80, 0xC0, 0xC1, 0xD9, 0xDD, 0xFF])
        elif kind == 2:
            del made[at : at + chance.randrange(4)]
        else:
            made[at:at] = chance.randbytes(chance.randrange(4))
    return bytes(made)


def feed(chance: random.Random, connection: Incoming | Line, data: bytes) -> None:
    while data and connection.wire is not None:
        size = chance.choice([1, 3, len(data), len(data)])
        connection.data_received(data[:size])
        data = data[size:]


def lost(connection: Incoming | Line) -> None:
    connection.close()
    connection.connection_lost(None)


def sizes(host: Any) -> tuple[int, ...]:
    kept = (host.incoming, host.strangers, host.lives, host.routes, host._other_teams)
    return tuple(map(len, kept))


async def before_the_greeting(folder: Path, seed: int, frames: int) -> Counter[str]:
    """Frames of strangers, at most four to a connection, to a listener and to a dialer."""
    chance, codes, sent = random.Random(seed), Counter[str](), 0
    urls = {name: f"unix://{folder}/{name}" for name in TEAM}
    b = await Station(StreamTransport(urls, key=KEY)).start("b")
    host = b.transport._host
    before = sizes(host)
    loop = asyncio.get_running_loop()
    while sent < frames:
        connection: Incoming | Line = Incoming(host)
        if sent % 4 == 0:
            connection = Line(host, "a", loop.create_future())
        connection.connection_made(Wire())
        for _ in range(4):
            body = mutated(chance, any_greeting(chance))
            head = framed(body)[:4] if chance.random() < 0.98 else chance.randbytes(4)
            feed(chance, connection, head + body)
            sent += 1
            assert len(connection.rest) <= GREETING_BYTES_MAX + 4
            if connection.wire is None:
                break
        if isinstance(connection, Line):
            lost(connection)
            assert isinstance(connection.opened.exception(), OSError | PeerError)
        else:
            assert not connection.proved
            lost(connection)
        codes.update(error.code for error in b.refusals)
        b.refusals.clear()
    assert b.frames.empty()
    assert sizes(host) == before
    await b.transport.close()
    return codes


def any_frame(chance: random.Random, number: int) -> bytes:
    """What a member could write that keeps to the form, more or less."""
    kind = chance.randrange(7)
    few = [chance.randrange(0, 40) for _ in range(4)]
    if kind == 0:
        return chance.randbytes(chance.randrange(60))
    if kind == 1:
        return encode(any_value(chance))
    packets: list[Any] = [
        Data(few[0] + 1, few[1], chance.random() < 0.5, chance.randbytes(8)),
        Ack(few[2]),
        Release(few[3]),
    ]
    src, dst = chance.choice(["aaaz", "b"]), chance.choice(["bbbz", "a"])
    chosen = tuple(chance.sample(packets, chance.randrange(4)))
    frame = CODEC.encode(Envelope(chance.choice(src), chance.choice(dst), number, Frame(chosen)))
    if kind == 6:  # with a checksum that fits
        body = mutated(chance, chance.choice([frame[7:], any_greeting(chance)]))
        return struct.pack(">2sBI", frame[:2], frame[2], crc32(body)) + body
    return frame if kind == 2 else mutated(chance, frame)


async def after_the_greeting(folder: Path, seed: int, frames: int) -> Counter[str]:
    """Frames of a member; one in fifty not sealed, which ends the connection."""
    chance, sent = random.Random(seed), 0
    transport = StreamTransport(
        {name: f"unix://{folder}/{name}" for name in "ab"}, key=KEY, buffer_bytes_max=1 << 12
    )
    async with AsyncEndpoint("b", "ab", transport, inbox_max=16, resend_after_s=1e9) as b:
        host = transport._host
        while sent < frames:
            connection, seal = joined(host)
            while connection.wire is not None and sent < frames:
                sent += 1
                frame = any_frame(chance, sent)
                sealed = seal.tag(frame) + frame
                if chance.random() < 0.02:
                    sealed = mutated(chance, sealed)
                feed(chance, connection, framed(sealed))
                if sent % 100 == 0:
                    await asyncio.sleep(0)
            lost(connection)
        assert not host.incoming
        assert len(host.strangers) == 0
        return Counter(b.refused)


def joined(host: Any) -> tuple[Incoming, Seal]:
    """A connection that has greeted, as a, and what seals its frames."""
    connection, wire = Incoming(host), Wire()
    connection.connection_made(wire)
    hello = Hello("a", "b", b"life", b"n" * 16, host.team_digest)
    connection.data_received(framed(encode(hello)))
    challenge = heard(wire.written[4:])
    assert type(challenge) is Challenge
    said = Said(KEY, hello, challenge.nonce, challenge.team, None)
    connection.data_received(framed(encode(Proof(said.mac("dialer")))))
    assert connection.proved
    seal = said.seal()
    assert seal is not None
    return connection, seal


@pytest.mark.parametrize("seed", range(3))
def test_before_the_greeting(tmp_path: Path, seed: int) -> None:
    codes = asyncio.run(before_the_greeting(tmp_path, seed, 3_000))
    assert set(codes) == {"bad-frame", "bad-key"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_after_the_greeting(tmp_path: Path, seed: int) -> None:
    codes = asyncio.run(after_the_greeting(tmp_path, seed, 3_000))
    assert {"forged-frame", "damaged", "malformed", "misdirected"} <= set(codes)


@pytest.mark.slow
@pytest.mark.parametrize("part", [before_the_greeting, after_the_greeting])
def test_a_hundred_thousand_frames_leave_nothing_behind(
    tmp_path: Path, part: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)  # pytest keeps what is logged
    asyncio.run(part(tmp_path, 1, 2_000))
    tracemalloc.start()
    try:
        gc.collect()
        first, _ = tracemalloc.get_traced_memory()
        codes = asyncio.run(part(tmp_path, 2, 100_000))
        gc.collect()
        last, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(codes.values()) > 1_000
    assert last - first < 1 << 18, f"{last - first} bytes"


def test_a_frame_in_many_pieces_is_put_together_once() -> None:
    got: list[bytes] = []

    class Frames(Framed):
        bytes_max = 1 << 20

        def frame(self, frame: bytes) -> None:
            got.append(frame)

    frames = Frames()
    frames.connection_made(Wire())
    body = random.Random(1).randbytes(5_000)
    kept = set()
    for byte in framed(body):
        frames.data_received(bytes([byte]))
        if len(frames.rest) > 2:
            kept.add(id(frames.rest))
    assert got == [body]
    assert len(kept) <= 3
    assert frames.rest == b""


BAD = {
    "a name that is not UTF-8": encode(["Hello", "a", "b", b"", b"", b""]).replace(
        b"\xa1a", b"\xa1\xff"
    ),
    "lists in lists": b"\x91" * GREETING_BYTES_MAX,
    "a name that is a number": encode(["Hello", 1, "b", b"", b"", b""]),
    "a greeting of an earlier release": encode(["Hello", "a", "b", b"", b""]),
    "a long name": encode(["Hello", "a", "x" * 900, b"", b"", digest(KEY, TEAM)]),
    "nothing": b"",
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
def test_a_greeting_that_cannot_be_read_is_a_bad_frame(tmp_path: Path, body: bytes) -> None:
    async def main() -> None:
        urls = {name: f"unix://{tmp_path}/{name}" for name in "ab"}
        b = await Station(StreamTransport(urls, key=KEY)).start("b")
        reader, writer = await asyncio.open_unix_connection(f"{tmp_path}/b")
        writer.write(framed(body))
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()
        (error,) = b.refusals
        assert error.code == "bad-frame"
        assert len(str(error)) < 200
        await b.transport.close()

    asyncio.run(main())
