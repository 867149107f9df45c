"""Connections without a proof are few and cheap, and keep no member waiting."""

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from causal import AsyncEndpoint
from causal.transports import host as hosts
from causal.transports.conformance import Station, close
from causal.transports.strangers import Strangers
from causal.transports.stream import StreamTransport
from message_passing.errors import CallerError

KEY = b"0123456789abcdef"


def test_the_oldest_of_the_largest_source_loses_its_place() -> None:
    strangers = Strangers[int](4)
    came = [("x", 1), ("y", 2), ("x", 3), ("y", 4)]
    assert [strangers.enter(*each) for each in came] == [None] * 4
    assert strangers.enter("x", 5) == 1
    assert strangers.enter("x", 6) == 3
    assert strangers.enter("z", 7) == 5  # of three from x, y and z keep theirs
    assert len(strangers) == 4


def test_a_flood_from_one_source_displaces_itself() -> None:
    strangers = Strangers[int](8)
    assert strangers.enter("a member", 0) is None
    lost = [strangers.enter("a flood", number) for number in range(1, 10_000)]
    assert [each for each in lost if each is not None] == list(range(1, 9_993))
    assert len(strangers) == 8


def test_a_place_is_free_after_a_proof() -> None:
    strangers = Strangers[int](1)
    assert strangers.enter("x", 1) is None
    for source in ("x", "x", "y"):  # a second time, or from elsewhere, does nothing
        strangers.leave(source, 1)
    assert len(strangers) == 0
    assert strangers.enter("x", 2) is None
    assert strangers.enter("y", 3) in (2, 3)


def test_a_new_connection_gets_a_place_from_a_source_with_more() -> None:
    strangers = Strangers[int](2)
    assert [strangers.enter("flood", 1), strangers.enter("flood", 2)] == [None, None]
    assert strangers.enter("member", 3) == 1


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(CallerError):
        StreamTransport({}, key=KEY, unproved_max=0)


def test_members_do_not_count_and_a_crowd_is_told_once(tmp_path: Path) -> None:
    async def main() -> None:
        urls = {n: f"unix://{tmp_path}/{n}" for n in "abc"}
        b = await Station(StreamTransport(urls, key=KEY, unproved_max=3)).start("b")
        host = b.transport._host
        a, c = [await Station(StreamTransport(urls, key=KEY)).start(name) for name in "ac"]
        await b.receives(b"one", a, "b")
        assert len(host.strangers) == 0
        silent = [await asyncio.open_unix_connection(f"{tmp_path}/b") for _ in range(20)]
        while len(host.incoming) != 4 or not b.refusals:
            await asyncio.sleep(0)
        assert len(host.strangers) == 3
        # The member's connection is still the same, and a new member gets in.
        (proved,) = [each for each in host.incoming if each.proved]
        a.transport.send("b", b"two")
        await b.receives(b"three", c, "b")
        assert proved in host.incoming
        assert [error.code for error in b.refusals] == ["crowded"]
        for _, writer in silent:
            writer.close()
        await close(a, b, c)
        assert len(host.strangers) == 0

    asyncio.run(main())


def test_a_crowd_is_told_again_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "CROWD_S", 0.0)

    async def main() -> None:
        b = await Station(
            StreamTransport({"b": f"unix://{tmp_path}/b"}, key=KEY, unproved_max=1)
        ).start("b")
        silent = [await asyncio.open_unix_connection(f"{tmp_path}/b") for _ in range(3)]
        async with asyncio.timeout(20):
            while len(b.refusals) < 2:
                await asyncio.sleep(0.001)
        for _, writer in silent:
            writer.close()
        await close(b)

    asyncio.run(main())


SERVER = """
import asyncio, resource, sys
from causal import AsyncEndpoint, StreamTransport

files = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

async def main():
    transport = StreamTransport(eval(sys.argv[1]), key=b"0123456789abcdef")
    async with AsyncEndpoint("a", "ab", transport) as a:
        print("up", flush=True)
        got = await a.receive()
        print(got.payload.decode(), max(a.refused, default="none"), flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""

FLOOD = """
import resource, selectors, socket, sys

port, source, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
waiting = selectors.DefaultSelector()

def connect():
    stranger = socket.socket()
    stranger.bind((source, 0))
    stranger.connect(("127.0.0.1", port))
    stranger.setblocking(False)
    waiting.register(stranger, selectors.EVENT_READ)

for _ in range(count):
    connect()
waiting.select(5)  # until the first is closed; without a cap, until none is left to accept
print("flooded", flush=True)
while True:
    for key, _ in waiting.select():
        waiting.unregister(key.fileobj)
        key.fileobj.close()
        connect()  # for each that was closed, a new one
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "count", "files"),
    [("127.0.0.1", 180, 160), ("127.0.0.1", 1500, 1024), ("127.0.0.2", 1500, 1024)],
)
def test_silent_connections_keep_no_member_waiting(source: str, count: int, files: int) -> None:
    """More than the server has files; the strangers renew what is closed.

    They come from the member's own host, or another.
    """
    with socket.socket() as a, socket.socket() as b:
        for each in (a, b):
            each.bind(("127.0.0.1", 0))
        ports = {"a": a.getsockname()[1], "b": b.getsockname()[1]}
        urls = {name: f"tcp://127.0.0.1:{port}" for name, port in ports.items()}

    def run(program: str, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    async def main(server: subprocess.Popen[str]) -> None:
        assert server.stdout is not None
        async with AsyncEndpoint("b", "ab", StreamTransport(urls, key=KEY)) as b:
            flood = run(FLOOD, ports["a"], source, count)
            try:
                assert flood.stdout is not None
                assert flood.stdout.readline() == "flooded\n"
                await b.send("a", b"honest")
                await b.flush(timeout_s=60)
                assert server.stdout.readline() == "honest crowded\n"
            finally:
                flood.kill()
                flood.communicate()

    server = run(SERVER, urls, files)
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "up\n"
        asyncio.run(main(server))
    finally:
        server.kill()
        server.communicate()
