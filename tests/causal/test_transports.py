"""Every transport passes the kit; sockets let nobody speak who has not proved the key."""

import asyncio
import socket
import ssl
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from causal.transports import conformance, incoming, outgoing
from causal.transports.addresses import parsed
from causal.transports.conformance import CHECKS, TEAM, Make, Station
from causal.transports.greeting import Challenge, Hello, Proof, Roster, Said, digest
from causal.transports.memory import MemoryHub, MemoryTransport
from causal.transports.outgoing import Outgoing
from causal.transports.port import NoRoute, NoTransport, OtherTeam
from causal.transports.stream import StreamTransport
from message_passing.errors import CallerError, PeerError

KEY = b"0123456789abcdef"


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


async def until(done: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not done():
            await asyncio.sleep(0.005)


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


@pytest.mark.slow(fast=9)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_kit(make: Make, check: Callable[[Make], Awaitable[None]]) -> None:
    asyncio.run(check(make))  # type: ignore[arg-type]


class Wrong(MemoryTransport):
    """A transport over memory; each subclass breaks one promise."""

    def __init__(self, hub: MemoryHub) -> None:
        super().__init__(hub)
        self.kept: dict[str, list[bytes]] = {}
        self.away: set[str] = set()

    def deliver(self, src: str, dst: str, frame: bytes) -> None:
        asyncio.get_running_loop().call_soon(self._hand_over, src, dst, frame)


class Cuts(Wrong):
    def send(self, dst: str, frame: bytes) -> None:
        super().send(dst, frame[:100])


class Blocks(Wrong):
    """The first frame for an absent peer keeps all later ones back."""

    def send(self, dst: str, frame: bytes) -> None:
        if dst not in self._hub.members:
            self.away.add(dst)
        if dst not in self.away:
            super().send(dst, frame)


class Remembers(Wrong):
    """A peer that has once been away is away for good."""

    seen: frozenset[str] = frozenset()

    def send(self, dst: str, frame: bytes) -> None:
        if dst in self._hub.members:
            self.seen = self.seen | {dst}
        elif dst in self.seen:
            self.away.add(dst)
        if dst not in self.away:
            super().send(dst, frame)


class Shares(Wrong):
    async def start(self, name: str, *args: object) -> None:
        self._hub.members.pop(name, None)
        self._hub.lives.pop(name, None)
        await super().start(name, *args)  # type: ignore[arg-type]

    async def close(self) -> None:
        self._hub.members.setdefault(str(self._name), lambda *_: None)
        await super().close()


class Sorts(Wrong):
    """It takes two orders of one team for two teams."""

    async def start(self, name: str, team: tuple[str, ...], *args: object) -> None:
        self.among = team
        await super().start(name, team, *args)  # type: ignore[arg-type]

    def send(self, dst: str, frame: bytes) -> None:
        teams = self._hub.teams
        if dst in teams and teams[dst][0] == self.among:
            super().send(dst, frame)


class Tolerates(Wrong):
    """It mixes two teams."""

    async def start(self, name: str, team: tuple[str, ...], *args: object) -> None:
        await super().start(name, ("a",), *args)  # type: ignore[arg-type]


class Founders(Wrong):
    """It admits no process."""

    async def start(self, name: str, team: tuple[str, ...], *args: object) -> None:
        self.among = team
        await super().start(name, team, *args)  # type: ignore[arg-type]

    def send(self, dst: str, frame: bytes) -> None:
        if dst in self.among:
            super().send(dst, frame)


class Keeps(Wrong):
    """It keeps all frames for an absent peer, and drops none of them when told to."""

    def send(self, dst: str, frame: bytes) -> None:
        self.kept.setdefault(dst, []).append(frame)
        if dst in self._hub.members:
            for each in self.kept.pop(dst):
                super().send(dst, each)


class Ignores(Wrong):
    """It takes nothing from a forgotten peer."""

    def forget(self, name: str) -> None:
        self.away.add(name)
        mine, take = str(self._name), self._hub.members[str(self._name)]
        self._hub.members[mine] = lambda src, frame: None if src in self.away else take(src, frame)


class Silent(Wrong):
    """It says nothing to a forgotten peer."""

    def forget(self, name: str) -> None:
        self.away.add(name)

    def send(self, dst: str, frame: bytes) -> None:
        if dst not in self.away:
            super().send(dst, frame)


class Raises(Wrong):
    def send(self, dst: str, frame: bytes) -> None:
        if dst not in self._hub.members:
            raise KeyError(dst)
        super().send(dst, frame)


class Reopens(Wrong):
    async def close(self) -> None:
        name = self._name
        await super().close()
        self._name = name
        self._hub.members.setdefault(str(name), lambda *_: None)
        self._hub.teams.setdefault(str(name), ((), lambda error: None))


class Hurries(Wrong):
    """Its end drops what waits for the loop's next round."""

    def send(self, dst: str, frame: bytes) -> None:
        if self._name is None:
            raise NoRoute("the transport is not open")
        asyncio.get_running_loop().call_soon(self.late, dst, frame)

    def late(self, dst: str, frame: bytes) -> None:
        if self._name is not None:
            super().send(dst, frame)


WRONG: list[tuple[type[Wrong], str]] = [
    (Cuts, "frames_arrive_whole"),
    (Blocks, "absent_peers_block_nobody"),
    (Remembers, "peers_may_come_back"),
    (Shares, "names_are_unique"),
    (Sorts, "the_order_of_a_team_is_free"),
    (Tolerates, "other_teams_are_refused"),
    (Founders, "members_are_admitted"),
    (Keeps, "forgotten_peers_get_one_frame_at_most"),
    (Ignores, "forgotten_peers_are_heard"),
    (Silent, "forgotten_peers_are_heard"),
    (Raises, "unknown_destinations_are_refused_or_dropped"),
    (Reopens, "closing_is_final"),
    (Hurries, "closing_writes_out"),
]


@pytest.mark.parametrize(("wrong", "name"), WRONG, ids=lambda each: getattr(each, "__name__", each))
def test_the_kit_finds_what_is_wrong(
    wrong: type[Wrong], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conformance, "PATIENCE_S", 0.2)
    check = {check.__name__: check for check in CHECKS}[name]

    def made(names: tuple[str, ...]) -> dict[str, Wrong]:
        hub = MemoryHub()
        return {name: wrong(hub) for name in names}

    with pytest.raises((AssertionError, TimeoutError, KeyError)):
        asyncio.run(check(made))  # type: ignore[arg-type]


def test_every_check_of_the_kit_can_fail() -> None:
    assert {name for _, name in WRONG} == {check.__name__ for check in CHECKS}


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
        await until(lambda: b.refusals)
        await b.transport.close()
        handed = []
        while not b.frames.empty():
            handed.append(b.frames.get_nowait()[1])
        return [error.code for error in b.refusals], handed

    return asyncio.run(main())


def framed(value: object) -> bytes:
    body = value if isinstance(value, bytes) else msgspec.msgpack.encode(value)
    return len(body).to_bytes(4, "big") + body


OURS = digest(KEY, TEAM)
HELLO = Hello("a", "b", b"life", b"n" * 16, OURS)


def test_no_frame_before_a_greeting(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(framed(b"a frame"))

    assert greeted(tmp_path, talk) == (["bad-frame"], [])


def test_no_frame_without_proof(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(framed(HELLO) + framed(b"a frame"))

    assert greeted(tmp_path, talk) == (["bad-frame"], [])


def test_whoever_asks_for_another_is_sent_away(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(framed(Hello("a", "c", b"", b"", OURS)))

    assert greeted(tmp_path, talk) == (["bad-frame"], [])


def test_a_wrong_key_is_noticed_on_both_sides(tmp_path: Path) -> None:
    async def main() -> tuple[list[str], list[str]]:
        addresses = {n: f"unix://{tmp_path}/{n}" for n in "ab"}
        a = await Station(StreamTransport(addresses, key=b"x" * 16)).start("a")
        b = await Station(StreamTransport(addresses, key=KEY)).start("b")
        a.transport.send("b", b"secret")
        await until(lambda: a.refusals)
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
        for life, came in ((b"first", b.frames.qsize), (b"second", lambda: b.refusals)):
            a = await Station(StreamTransport(addresses, key=KEY)).start("a", life)
            a.transport.send("b", life)
            await until(came)
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
        assert [one.patience.cancelled() for one in b.transport._host.incoming] == [True]
        for _ in range(4):
            a.transport.send("b", b"x" * 1_000_000)
        await a.transport.close()
        assert [len((await b.next())[1]) for _ in range(4)] == [1_000_000] * 4
        await b.transport.close()

    asyncio.run(main())


def test_the_end_waits_for_a_peer_that_comes_in_time(tmp_path: Path) -> None:
    async def main() -> None:
        addresses = {n: f"unix://{tmp_path}/{n}" for n in "ab"}
        a = await Station(StreamTransport(addresses, key=KEY)).start("a")
        a.transport.send("b", b"last")
        (out,) = a.transport._out.values()
        pausing = asyncio.Event()
        out.pause = lambda pause_s: pausing.wait()  # the peer is absent, as the first attempt shows
        closing = asyncio.create_task(a.transport.close())
        await asyncio.wait_for(out.closing.wait(), 20)
        b = await Station(StreamTransport(addresses, key=KEY)).start("b")
        pausing.set()
        assert await b.next() == ("a", b"last")
        await closing
        await b.transport.close()

    asyncio.run(main())


def test_the_end_does_not_wait_for_an_absent_peer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "FAREWELL_S", 0.05)

    async def main() -> None:
        addresses = {n: f"unix://{tmp_path}/{n}" for n in "ab"}
        a = await Station(StreamTransport(addresses, key=KEY)).start("a")
        a.transport.send("b", b"last")
        (out,) = a.transport._out.values()
        await asyncio.wait_for(a.transport.close(), 20)
        assert out.dialling.cancelled()

    asyncio.run(main())


def test_whoever_says_nothing_is_sent_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "GREETING_S", 0.01)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await asyncio.wait_for(reader.read(), 20) == b""

    assert greeted(tmp_path, talk) == (["bad-frame"], [])


@pytest.mark.slow
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


# One team.


def others(errors: list[PeerError]) -> list[str]:
    return [str(error) for error in errors if isinstance(error, OtherTeam)]


@pytest.mark.slow
def test_another_team_is_told_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "REDIAL_S", (0.001, 0.001))
    attempts: Counter[str] = Counter()
    report = Outgoing.report

    def counted(out: Outgoing, error: OSError | PeerError) -> bool:
        attempts[out.host.name] += 1
        return report(out, error)

    monkeypatch.setattr(Outgoing, "report", counted)

    async def main() -> None:
        addresses = {n: f"unix://{tmp_path}/{n}" for n in "ab"}
        a = await Station(StreamTransport(addresses, key=KEY)).start("a", team=("a", "b"))
        for number, team in enumerate([("b",), ("a", "b", "c")], start=1):
            b = await Station(StreamTransport(addresses, key=KEY)).start("b", team=team)
            attempts.clear()
            async with asyncio.timeout(20):
                while len(attempts) < 2 or min(attempts.values()) < 5:
                    a.transport.send("b", b"one")
                    b.transport.send("a", b"two")
                    await asyncio.sleep(0.001)
            assert len(others(a.refusals)) == number
            assert len(others(b.refusals)) == 1
            assert {error.code for error in a.refusals + b.refusals} == {"other-team"}
            assert not a.transport._host.lives
            await b.transport.close()
        assert "'b' has the team ['b'], and 'a' has ['a', 'b']" in others(a.refusals)[0]
        assert "'a' has the team ['a', 'b'], and 'b' has ['a', 'b', 'c']" in others(b.refusals)[0]
        b = await Station(StreamTransport(addresses, key=KEY)).start("b", team=("b", "a"))
        await b.receives(b"one", a, "b")
        await a.receives(b"two", b, "a")
        await conformance.close(a, b)

    asyncio.run(main())


@pytest.mark.slow
def test_a_member_of_another_team_only_is_told_too(tmp_path: Path) -> None:
    async def main() -> None:
        addresses = {n: f"unix://{tmp_path}/{n}" for n in "abc"}
        known = {n: addresses[n] for n in "ab"}
        a = await Station(StreamTransport(known, key=KEY)).start("a", team=("a", "b"))
        c = await Station(StreamTransport(addresses, key=KEY)).start("c", team=("a", "c"))
        c.transport.send("a", b"one")
        await until(lambda: others(a.refusals) and others(c.refusals))
        assert {error.code for error in a.refusals + c.refusals} == {"other-team"}
        await conformance.close(a, c)

    asyncio.run(main())


@pytest.mark.slow
def test_a_long_team_is_told_whole(tmp_path: Path) -> None:
    async def main() -> None:
        addresses = {n: f"unix://{tmp_path}/{n}" for n in "ab"}
        team = ("a", "b", *(f"agent-{number}" for number in range(5_000)))
        a = await Station(StreamTransport(addresses, key=KEY)).start("a", team=team)
        b = await Station(StreamTransport(addresses, key=KEY)).start("b", team=team[:-1])
        a.transport.send("b", b"one")
        await until(lambda: others(a.refusals) and others(b.refusals))
        for station in (a, b):
            assert others(station.refusals)[0].count("'agent-") == 9_999
        await conformance.close(a, b)

    asyncio.run(main())


def test_a_stranger_hears_no_names(tmp_path: Path) -> None:
    said = b""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal said
        hello = Hello("a", "b", b"life", b"n" * 16, b"t" * 16)
        writer.write(framed(hello))
        size = int.from_bytes(await reader.readexactly(4), "big")
        said = await reader.readexactly(size)
        writer.write(framed(Proof(b"p" * 32)) + framed(Roster(("a", "b"), b"m" * 32)))
        said += await reader.read()

    assert greeted(tmp_path, talk) == (["bad-key"], [])
    assert len(said) < 100
    # Not even a guess can be tried without the key.
    assert digest(KEY, TEAM) in said
    assert digest(b"another key 0123", TEAM) != digest(KEY, TEAM) == digest(KEY, TEAM[::-1])


@pytest.mark.parametrize("named", [("a",), ("x",)])
def test_a_team_that_another_tells_is_refused(tmp_path: Path, named: tuple[str, ...]) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = Hello("a", "b", b"life", b"n" * 16, digest(KEY, ("a",)))
        writer.write(framed(hello))
        size = int.from_bytes(await reader.readexactly(4), "big")
        challenge = msgspec.msgpack.decode(await reader.readexactly(size), type=Challenge)
        said = Said(KEY, hello, challenge.nonce, challenge.team, None)
        writer.write(framed(Proof(said.mac("dialer"))))
        writer.write(framed(Roster(named, said.mac("dialer's team", ("a",)))))
        assert await asyncio.wait_for(reader.read(), 20)

    assert greeted(tmp_path, talk) == (["other-team" if named == ("a",) else "bad-key"], [])


# Members that come and go.


def test_a_member_is_admitted_at_its_address(tmp_path: Path) -> None:
    async def main() -> None:
        team = ("a", "b")
        urls = {n: f"unix://{tmp_path}/{n}" for n in "abc"}
        known = {n: urls[n] for n in team}
        a, b = [
            await Station(StreamTransport(known, key=KEY)).start(name, team=team) for name in team
        ]
        c = await Station(StreamTransport(urls, key=KEY)).start("c", team=team)
        with pytest.raises(NoRoute):
            a.transport.send("c", b"too early")
        for station in (a, b):
            station.transport.admit("c", urls["c"])
            station.transport.admit("c", "")
        await c.receives(b"hello", a, "c")
        await b.receives(b"hello", c, "b")
        await conformance.close(a, b, c)

    asyncio.run(main())


@pytest.mark.parametrize("address", ["", "tcp://h", "anywhere"])
def test_a_member_without_a_good_address_is_refused(tmp_path: Path, address: str) -> None:
    async def main() -> None:
        a = await Station(StreamTransport({"a": f"unix://{tmp_path}/a"}, key=KEY)).start("a")
        with pytest.raises(NoRoute):
            a.transport.admit("c", address)
        with pytest.raises(NoRoute):
            a.transport.send("c", b"")
        await a.transport.close()

    asyncio.run(main())


def test_a_forgotten_peer_is_not_dialled_again_and_again(tmp_path: Path) -> None:
    async def main() -> None:
        addresses = {n: f"unix://{tmp_path}/{n}" for n in "ab"}
        a = await Station(StreamTransport(addresses, key=KEY)).start("a")
        a.transport.send("b", b"dropped")
        (dialling,) = [out.dialling for out in a.transport._out.values()]
        a.transport.forget("b")
        await asyncio.wait([dialling], timeout=20)
        assert dialling.done()
        a.transport.send("b", b"a notice")
        (out,) = a.transport._out.values()
        await asyncio.wait_for(out.dialling, 20)
        assert not out.waiting
        await a.transport.close()

    asyncio.run(main())


# Configuration.


BAD_ADDRESSES = [
    *("", "tcp://", "tcp://host", "tcp://h:x", "udp://h:1", "unix://", "tcp://h:65536", "tcp://:1"),
    *(
        "tcp://h:\u0661",
        "unix:///a\0b",
        "tcp://a..b:1",
        f"tcp://{'x' * 64}.example:1",
        "tcp://a b:1",
    ),
]


@pytest.mark.parametrize("url", BAD_ADDRESSES)
def test_bad_addresses_are_refused(url: str) -> None:
    with pytest.raises(NoRoute):
        parsed(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://joe:s3cret@host/db",
        "tcp://joe:s3cret@host:80",
        "tcp://joe:s3cret@host",
        "host=h user=joe password=s3cret",
        "unix://s3cret\0",
    ],
)
def test_no_error_repeats_a_password(url: str) -> None:
    for attempt in (
        lambda: parsed(url),
        lambda: StreamTransport({"a": url}, key=KEY),
        lambda: StreamTransport({}, key=KEY).admit("a", url),
    ):
        with pytest.raises(NoRoute) as caught:
            attempt()
        shown = "".join(traceback.format_exception_only(caught.value))
        assert "s3cret" not in shown
        assert "s3cret" not in repr(caught.value)


@pytest.mark.parametrize("key", ["s3cret but not bytes", bytearray(b"s3cret and changeable")])
def test_a_key_is_bytes_and_is_not_repeated(key: object) -> None:
    with pytest.raises(CallerError) as caught:
        StreamTransport({}, key=key)  # type: ignore[arg-type]
    assert "s3cret" not in str(caught.value)


def test_addresses() -> None:
    assert parsed("tcp://[::1]:80") == ("::1", 80)
    assert parsed("tcp://bücher.example:443") == ("bücher.example", 443)
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


def test_an_endpoint_listens_at_its_own_entry_and_is_dialled_at_those_of_others() -> None:
    async def main() -> None:
        one, two = free_ports(2)
        b_everywhere = {"a": f"tcp://127.0.0.1:{one}", "b": f"tcp://0.0.0.0:{two}"}
        b_somewhere = {"a": f"tcp://127.0.0.1:{one}", "b": f"tcp://127.0.0.1:{two}"}
        a = await Station(StreamTransport(b_somewhere, key=KEY)).start("a")
        b = await Station(StreamTransport(b_everywhere, key=KEY)).start("b")
        a.transport.send("b", b"hello")
        assert await b.next() == ("a", b"hello")
        await a.transport.close()
        await b.transport.close()

    asyncio.run(main())
