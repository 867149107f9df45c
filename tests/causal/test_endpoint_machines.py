"""Any machine that has what an endpoint needs, and a typed refusal of every other."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from causal import (
    Announcing,
    AsyncEndpoint,
    Bss91,
    Csps,
    Cykas,
    CykasRefined,
    Delivery,
    Endpoint,
    Hybrid,
    HybridPlain,
    Journal,
    Machine,
    MemoryHub,
    Mf95,
    Named,
    Rst91,
    UnsuitableMachine,
    Unsupported,
)
from causal.frames import Frame, frame_of
from causal.journal import Began, DamagedJournal, Rested
from causal.messages import Ack, Data, Release
from causal.simulate.informed import Informed
from message_passing.network import Guarantee
from message_passing.process import (
    Address,
    Deliver,
    Event,
    Receive,
    Send,
    Step,
    Time,
    Timeout,
    Value,
)


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await main()

    asyncio.run(bounded())


class Seen(Value, frozen=True, gc=False, tag=True, array_like=True):
    """Tells a sender which message has been delivered, for its log."""

    id: int
    text: str


class Telling(Csps):
    """A machine of a user's own, with a packet of its own."""

    name = "telling"
    packets = Data[bytes] | Ack | Release | Seen

    def receive(self, state: Any, src: Address, packet: Any, now: Time) -> Step[Any]:
        if type(packet) is Seen:
            return Step(state, (), "Seen")
        step = super().receive(state, src, packet, now)
        seen = (Send(src, Seen(c.message.id, "yes")) for c in step.commands if type(c) is Deliver)
        return Step(step.state, (*step.commands, *seen), step.action)


def plain_hybrid(*arguments: Any, **options: Any) -> HybridPlain:
    """A function that makes a machine."""
    return HybridPlain(*arguments, **options)


SUITABLE: Any = [
    Hybrid, Announcing, HybridPlain, Mf95, Cykas, CykasRefined, Csps, Telling, plain_hybrid,
]  # fmt: skip


@pytest.mark.parametrize("machine", SUITABLE)
def test_a_machine_runs_in_endpoints_and_returns_with_its_journal(
    tmp_path: Path, machine: Any
) -> None:
    async def main() -> None:
        hub = MemoryHub()

        def opened(name: str) -> AsyncEndpoint:
            journal = Journal(tmp_path / name)
            return AsyncEndpoint(
                name, "abc", hub.transport(), machine=machine, journal=journal, resend_after_s=0.02
            )

        async with opened("a") as a, opened("b") as b:
            await a.send("b", b"plan B")
            await a.send("c", b"the plan has changed")
            assert await b.receive(timeout_s=60) == Delivery("a", 1, b"plan B")
            b.dealt_with()
            async with opened("c") as c:
                assert (await c.receive(timeout_s=60)).payload == b"the plan has changed"
                await c.send("b", b"step 1 is approved")
            # c returns with a message that it has not finished, and one that may still wait.
            async with opened("c") as c:
                assert (await c.receive(timeout_s=60)).payload == b"the plan has changed"
                assert (await b.receive(timeout_s=60)).payload == b"step 1 is approved"
                for end in (a, b, c):
                    await end.flush(timeout_s=60)
                assert not (a.refused + b.refused + c.refused)

    run(main)


def test_the_blocking_endpoint_takes_a_machine_as_well() -> None:
    with Endpoint("a", "a", MemoryHub().transport(), machine=Mf95) as a:
        a.send("a", b"note")
        assert a.receive(timeout_s=60).payload == b"note"


class Careless(Hybrid):
    """Built for links that lose nothing, whatever it is asked for."""

    def __init__(self, me: Address, team: Any, **options: Any) -> None:
        super().__init__(me, team, links=Guarantee.ORDERED)


class Unlisted(Hybrid):
    packets = None


class Untagged(Hybrid):
    packets = Data[bytes] | dict | list


class Uncounted(Hybrid):
    def backlog(self, state: Any) -> int:
        raise Unsupported("no account is kept")


class Unwritten(Hybrid):
    def snapshot(self, state: Any) -> Any:
        return Machine.snapshot(self, state)


class Unwritable(Hybrid):
    def snapshot(self, state: Any) -> Any:
        return object()


class Unreadable(Hybrid):
    def snapshot(self, state: Any) -> Any:
        return {"own": state.own.next}


def nothing(*arguments: Any, **options: Any) -> Any:
    return None


def another(me: Address, team: Any, **options: Any) -> Any:
    return Hybrid(team[0], team, **options)


class Unopened:
    """A transport that fails the test if it is touched."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is used")


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (Rst91, "Rst91 does not survive"),
        (Bss91, "Bss91 does not survive"),
        (Informed, "Informed does not survive"),
        (Named, "cannot exclude a process"),
        (Hybrid("b", "ab"), "Hybrid is an object"),
        (nothing, "gave a NoneType"),
        (another, "another ignores its name"),
        (Careless, "Careless ignores its name, its team or its links"),
        (Unlisted, "lists none in `packets`"),
        (Untagged, "cannot send packets in frames"),
        (Uncounted, "cannot count undelivered messages: no account is kept"),
        (Unwritten, "cannot be restored from a journal"),
        (Unwritable, "cannot be restored from a journal"),
        (Unreadable, "cannot be restored from a journal"),
    ],
)
def test_an_unsuitable_machine_is_refused_before_anything_starts(
    tmp_path: Path, machine: Any, words: str
) -> None:
    journal = Journal(tmp_path / "b")
    with pytest.raises(UnsuitableMachine, match=words) as refused:
        AsyncEndpoint("b", "ab", Unopened(), machine=machine, journal=journal)
    assert "causal.requirements" in refused.value.remedy
    assert not journal.path.exists()


@pytest.mark.slow
def test_a_machine_without_snapshots_runs_without_a_journal() -> None:
    async def main() -> None:
        async with AsyncEndpoint("a", "ab", MemoryHub().transport(), machine=Unwritten) as a:
            assert a.machine.name == "hybrid"

    run(main)


def test_frames_of_every_union_have_one_tag() -> None:
    assert frame_of(Hybrid.packets) is Frame
    other = frame_of(Telling.packets)
    assert other is frame_of(Telling.packets)
    assert other.__struct_config__.tag == Frame.__struct_config__.tag
    packets = (Data(1, 0, False, b"x"), Ack(1))
    assert msgspec.msgpack.encode(other(packets)) == msgspec.msgpack.encode(Frame(packets))


class Noting(Hybrid):
    """Notes the events that it steps."""

    events: list[Event[Any, Any]]

    def step(self, state: Any, event: Event[Any, Any], now: Time) -> Step[Any]:
        self.events.append(event)
        return super().step(state, event, now)


@pytest.mark.slow
def test_a_timer_that_is_due_is_stepped_before_a_packet() -> None:
    async def main() -> None:
        hub = MemoryHub()
        noting = Noting
        noting.events = []
        a = AsyncEndpoint("a", "abc", hub.transport(), machine=noting, resend_after_s=60)
        async with a, AsyncEndpoint("b", "abc", hub.transport(), machine=Announcing) as b:
            await a.send("c", b"to a process that is not there")
            late = a._alarm.at
            a._alarm.time = lambda: late + 1
            noting.events.clear()
            await b.send("a", b"hello")
            assert (await a.receive(timeout_s=60)).payload == b"hello"
            assert [type(event) for event in noting.events] == [Timeout, Receive]
            # The timer is armed again, one period later.
            assert a._alarm.at == late + 61
            await a.close()

    run(main)


def test_the_journal_comes_before_the_wire(tmp_path: Path) -> None:
    async def main() -> None:
        hub = MemoryHub()
        journal = Journal(tmp_path / "a")
        wire = hub.transport()
        written: list[int] = []

        def send(dst: Address, frame: bytes) -> None:
            written.append(journal.path.stat().st_size)
            assert journal.path.read_bytes().count(b"payload") == 1
            inner(dst, frame)

        inner, wire.send = wire.send, send  # type: ignore[method-assign]
        async with AsyncEndpoint("a", "ab", wire, journal=journal) as a:
            await a.send("b", b"payload")
        assert written

    run(main)


def test_a_snapshot_of_another_form_is_damage(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a")
    journal.open()
    journal.append([Began("a", ("a", "b"), b"12345678", "hybrid"), Rested({"own": 1}, ())])
    journal.close()

    async def main() -> None:
        with pytest.raises(DamagedJournal, match="form"):
            await AsyncEndpoint("a", "ab", Unopened(), journal=journal).open()
        # The journal is closed again, for the one that mends it.
        journal.open()
        journal.close()

    run(main)
