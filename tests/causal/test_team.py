"""Endpoints whose team changes: excluded, left, joined, suspected; over memory and over sockets."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from causal import (
    AsyncEndpoint,
    Bss91,
    Closed,
    DepartedPeer,
    Endpoint,
    Excluded,
    Journal,
    MemoryHub,
    NotAMember,
    StreamTransport,
    Undelivered,
    UnsuitableMachine,
)
from causal.journal import WrongJournal
from causal.membership import ASKED, Silence
from message_passing.errors import CallerError

KEY = b"0123456789abcdef"
Open = Callable[..., Awaitable[AsyncEndpoint]]


def run(main: Callable[[Open], Awaitable[None]], place: Path | None = None) -> None:
    """Run `main`, which opens endpoints of one team: on sockets below `place`, or in memory."""

    async def bounded() -> None:
        hub = MemoryHub()
        async with AsyncExitStack() as stack, asyncio.timeout(30):

            async def opened(name: str, team: str, **options: Any) -> AsyncEndpoint:
                at = None if place is None else {n: address(place, n) for n in {*team, name}}
                transport = hub.transport() if at is None else StreamTransport(at, key=KEY)
                options = {"resend_after_s": 0.05, **options}
                endpoint = AsyncEndpoint(name, team, transport, **options)
                await endpoint.open()
                stack.push_async_callback(endpoint.close)
                return endpoint

            await main(opened)

    asyncio.run(bounded())


def address(place: Path, name: str) -> str:
    return f"unix://{place}/{name}"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def everyone(opened: Open, team: str) -> list[AsyncEndpoint]:
    return [await opened(name, team) for name in team]


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("sockets", [False, True])
def test_one_survivor_is_enough_in_a_quiet_team(tmp_path: Path, sockets: bool) -> None:
    async def main(opened: Open) -> None:
        # b starts late, so q's message to it never arrives, and c keeps q's secret.
        a, c, d, q = [await opened(name, "abcdq") for name in "acdq"]
        await q.send("b", b"m1")
        await q.send("c", b"m2")
        assert (await c.receive(timeout_s=60)).payload == b"m2"
        await q.close()
        b = await opened("b", "abcdq")
        await c.send("d", b"m3")
        a.peer_down("q")
        assert (await d.receive(timeout_s=60)).payload == b"m3"
        await until(lambda: all("q" not in each.members() for each in (a, b, c, d)))

    run(main, tmp_path if sockets else None)


@pytest.mark.parametrize("sockets", [False, True])
def test_an_excluded_endpoint_is_told_though_no_application_sends(
    tmp_path: Path, sockets: bool
) -> None:
    async def main(opened: Open) -> None:
        p, q, r = await everyone(opened, "pqr")
        p.peer_down("q")
        with pytest.raises(Excluded):
            await q.receive(timeout_s=60)
        with pytest.raises(Excluded):
            await q.send("r", b"")
        with pytest.raises(Excluded):
            await q.leave()
        await p.send("r", b"goes on")
        assert (await r.receive(timeout_s=60)).payload == b"goes on"

    run(main, tmp_path if sockets else None)


def test_an_excluded_endpoint_learns_it_from_the_answer_to_what_it_sends() -> None:
    async def main(opened: Open) -> None:
        p, q, r = await everyone(opened, "pqr")
        hub = p._transport._hub  # type: ignore[attr-defined]
        deaf = hub.members.pop("q")
        p.peer_down("q")
        await until(lambda: "q" not in r.members() and not r.state.view.unsure)
        hub.members["q"] = deaf
        assert not q.excluded
        await q.send("r", b"?")
        with pytest.raises(Excluded):
            await q.flush(timeout_s=60)
        assert q.lost == (("r", 1),)

    run(main)


@pytest.mark.parametrize("sockets", [False, True])
def test_whoever_leaves_mutes_nobody(tmp_path: Path, sockets: bool) -> None:
    async def main(opened: Open) -> None:
        a, b, c, d = await everyone(opened, "abcd")
        await b.send("d", b"the last word")
        await b.leave(timeout_s=60)
        await until(lambda: a.members() == ("a", "c", "d"))
        with pytest.raises(DepartedPeer):
            await a.send("b", b"fyi")
        await a.send("c", b"job")
        assert (await c.receive(timeout_s=60)).payload == b"job"
        await c.send("d", b"result")
        said = [(await d.receive(timeout_s=60)).payload for _ in range(2)]
        assert said == [b"the last word", b"result"]
        await a.flush(timeout_s=60)
        with pytest.raises(Closed):
            await b.send("a", b"")
        await b.leave()

    run(main, tmp_path if sockets else None)


def test_a_message_to_an_endpoint_that_has_left_is_reported() -> None:
    async def main(opened: Open) -> None:
        a, b = await everyone(opened, "ab")
        hub = a._transport._hub  # type: ignore[attr-defined]
        deaf = hub.members.pop("b")
        await a.send("b", b"too late")
        await asyncio.sleep(0)
        hub.members["b"] = deaf
        await b.leave(timeout_s=60)
        await a.flush(timeout_s=60)
        assert a.lost == (("b", 1),)
        assert a.members() == ("a",)

    run(main)


@pytest.mark.slow
def test_leaving_reports_what_could_not_be_delivered() -> None:
    async def main(opened: Open) -> None:
        a = await opened("a", "abc")
        b = await opened("b", "abc")
        await a.send("c", b"to a process that is not there")
        await a.send("b", b"job")
        with pytest.raises(Undelivered) as caught:
            await a.leave(timeout_s=0.05)
        assert caught.value.messages == (("c", 1),)
        assert (await b.receive(timeout_s=60)).payload == b"job"
        await b.send("b", b"to itself")
        await until(lambda: not b.secrets())

    run(main)


def test_delivered_messages_can_be_received_after_leaving() -> None:
    async def main(opened: Open) -> None:
        a, b = await everyone(opened, "ab")
        await a.send("b", b"one")
        await a.flush(timeout_s=60)
        await b.leave(timeout_s=60)
        assert [m.payload async for m in b.deliveries()] == [b"one"]

    run(main)


def test_the_end_of_the_block_leaves() -> None:
    async def main(opened: Open) -> None:
        b = await opened("b", "ab")
        hub = b._transport._hub  # type: ignore[attr-defined]
        async with AsyncEndpoint("a", "ab", hub.transport()) as a:
            await a.send("b", b"last words")
        assert (await b.receive(timeout_s=60)).payload == b"last words"
        assert b.members() == ("b",)

    run(main)


@pytest.mark.slow
def test_an_error_in_the_block_is_not_replaced() -> None:
    async def main(opened: Open) -> None:
        b = await opened("b", "abc")
        hub = b._transport._hub  # type: ignore[attr-defined]
        with suppress(ZeroDivisionError):
            async with AsyncEndpoint("a", "abc", hub.transport()) as a:
                await a.send("c", b"to nobody")
                _ = 1 // 0
        await until(lambda: b.members() == ("b", "c"))

    run(main)


def test_an_endpoint_with_a_journal_closes_and_comes_back(tmp_path: Path) -> None:
    async def main(opened: Open) -> None:
        b = await opened("b", "ab")
        hub = b._transport._hub  # type: ignore[attr-defined]
        for number in (1, 2):
            journal = Journal(tmp_path / "a")
            async with AsyncEndpoint("a", "ab", hub.transport(), journal=journal) as a:
                assert await a.send("b", b"") == number
                await a.flush(timeout_s=60)
        assert b.members() == ("a", "b")
        journal = Journal(tmp_path / "a")
        async with AsyncEndpoint("a", "ab", hub.transport(), journal=journal) as a:
            await a.leave(timeout_s=60)
        assert b.members() == ("b",)
        with pytest.raises(WrongJournal):
            await AsyncEndpoint("a", "ab", hub.transport(), journal=Journal(tmp_path / "a")).open()

    run(main)


@pytest.mark.parametrize("sockets", [False, True])
def test_a_newcomer_joins_a_running_team(tmp_path: Path, sockets: bool) -> None:
    async def main(opened: Open) -> None:
        a, b, c = await everyone(opened, "abc")
        await b.leave(timeout_s=60)
        d = await opened("d", "abc", joining=True)
        first = asyncio.create_task(d.send("c", b"may I?", timeout_s=60))
        await asyncio.sleep(0)
        assert not first.done()
        with pytest.raises(NotAMember):
            d.peer_down("a")
        a.admit("d", address(tmp_path, "d"))
        assert await first == 1
        assert (await c.receive(timeout_s=60)) == ("d", 1, b"may I?")
        await c.send("d", b"yes")
        assert (await d.receive(timeout_s=60)).payload == b"yes"
        await until(lambda: all(set(each.members()) == set("acd") for each in (a, c, d)))
        a.admit("d", address(tmp_path, "d"))
        with pytest.raises(DepartedPeer):
            a.admit("b", address(tmp_path, "b"))
        e = await opened("e", "abc", joining=True)
        d.admit("e", address(tmp_path, "e"))
        await until(lambda: set(e.members()) == set("acde") == set(c.members()))

    run(main, tmp_path if sockets else None)


@pytest.mark.slow
def test_a_newcomer_comes_back_with_its_journal(tmp_path: Path) -> None:
    async def main(opened: Open) -> None:
        a, b = await everyone(opened, "ab")

        def newcomer() -> Any:
            journal = Journal(tmp_path / "journal")
            return opened("c", "ab", joining=True, journal=journal)

        c = await newcomer()
        a.admit("c", address(tmp_path, "c"))
        await c.send("b", b"one", timeout_s=60)
        await c.close()
        c = await newcomer()
        await c.send("b", b"two")
        assert [(await b.receive(timeout_s=60)).payload for _ in range(2)] == [b"one", b"two"]
        assert set(c.members()) == set("abc")

    run(main, tmp_path)


def test_a_newcomer_says_that_it_is_one() -> None:
    with pytest.raises(CallerError, match="joining"):
        AsyncEndpoint("d", "abc", MemoryHub().transport())
    with pytest.raises(CallerError, match="founder"):
        AsyncEndpoint("a", "abc", MemoryHub().transport(), joining=True)


# Suspicion.


def test_a_silent_member_is_excluded_when_it_owes_something() -> None:
    async def main(opened: Open) -> None:
        a, b = [await opened(name, "abc", suspect_after_s=0.05) for name in "ab"]
        await a.send("c", b"to a process that is not there")
        await a.send("b", b"job")
        await a.flush(timeout_s=60)
        await until(lambda: a.members() == b.members() == ("a", "b") and not b.secrets())
        assert a.lost == (("c", 1),)

    run(main)


def test_a_member_that_owes_nothing_is_not_suspected() -> None:
    async def main(opened: Open) -> None:
        a = await opened("a", "abc", suspect_after_s=0.02)
        b = await opened("b", "abc")
        for _ in range(20):
            await a.send("b", b"")
            await a.flush(timeout_s=60)
            await asyncio.sleep(0.01)
        assert a.members() == ("a", "b", "c")
        assert not b.excluded

    run(main)


def test_an_owner_that_cannot_release_yet_is_not_suspected() -> None:
    async def main(opened: Open) -> None:
        a = await opened("a", "abc")
        b = await opened("b", "abc", suspect_after_s=0.02)
        asked = []
        inner = a._on_frame
        a._transport._hub.members["a"] = lambda *frame: (asked.append(1), inner(*frame))  # type: ignore[attr-defined]
        await a.send("c", b"to a process that is not there")
        await a.send("b", b"a secret until then")
        await b.receive(timeout_s=60)
        await until(lambda: len(asked) > 5 * ASKED)
        assert b.members() == ("a", "b", "c")
        assert b.secrets()

    run(main)


def test_a_wrongly_suspected_endpoint_knows_and_joins_again(tmp_path: Path) -> None:
    async def main(opened: Open) -> None:
        a, b = await everyone(opened, "ab")
        a.peer_down("b")
        with pytest.raises(Excluded):
            await b.receive(timeout_s=60)
        await b.close()
        again = await opened("b2", "ab", joining=True)
        a.admit("b2", address(tmp_path, "b2"))
        await again.send("a", b"back", timeout_s=60)
        assert await a.receive(timeout_s=60) == ("b2", 1, b"back")

    run(main, tmp_path)


@pytest.mark.slow
def test_an_endpoint_that_has_left_suspects_no_member() -> None:
    async def main(opened: Open) -> None:
        errors: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: errors.append(what))
        a = await opened("a", "ab", suspect_after_s=0.02)
        # b is not there, so it confirms nothing, and the watch goes on for as long as a waits.
        await a.leave(timeout_s=60)
        assert a.members() == ("b",)
        assert errors == []

    run(main)


def test_silence_counts_what_was_asked() -> None:
    silence = Silence()
    for _ in range(ASKED):
        assert silence.ask(["p", "q"]) == (["p", "q"], [])
        silence.heard("q")
    assert silence.ask(["p", "q"]) == (["q"], ["p"])
    for _ in range(ASKED):
        silence.ask(["p"])
    silence.forget()
    assert silence.ask(["p"]) == (["p"], []), "this process was suspended meanwhile"
    for _ in range(ASKED - 1):
        silence.ask(["p"])
    silence.ask([])
    assert silence.ask(["p"]) == (["p"], []), "it owed nothing in between"


def test_limits_are_checked() -> None:
    with pytest.raises(CallerError):
        AsyncEndpoint("a", "ab", MemoryHub().transport(), suspect_after_s=0)
    with pytest.raises(UnsuitableMachine):
        AsyncEndpoint("a", "ab", MemoryHub().transport(), machine=Bss91)


# The blocking twin.


def test_the_blocking_twin_leaves_and_admits(tmp_path: Path) -> None:
    def endpoint(name: str, team: str, **options: Any) -> Endpoint:
        addresses = {n: address(tmp_path, n) for n in {*team, name}}
        return Endpoint(name, team, StreamTransport(addresses, key=KEY), **options)

    with endpoint("a", "ab") as a:
        with endpoint("b", "ab") as b:
            b.send("a", b"one")
        assert a.receive(timeout_s=60).payload == b"one"
        with endpoint("c", "ab", joining=True) as c:
            a.admit("c", address(tmp_path, "c"))
            c.send("a", b"two", timeout_s=60)
            assert a.receive(timeout_s=60).payload == b"two"
            assert set(c.members()) == set("ac")
            c.leave(timeout_s=60)
            c.leave()
        assert a.members() == ("a",)
        assert a.lost == ()
