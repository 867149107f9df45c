"""The driver on an event loop: the same order, calls in turn, timers, cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from message_passing import (
    Busy,
    Deliver,
    Envelope,
    EnvironmentFault,
    Invoke,
    Receive,
    Respond,
    Restart,
    Send,
    SetTimer,
    Step,
    Timeout,
)
from message_passing.aio import AsyncMemoryJournal, AsyncMemoryNetwork, AsyncRuntime
from message_passing.memory import MemoryJournal
from message_passing.turn import Misaddressed


class Echo:
    """Sends each request to `to` and answers with what comes back, or answers at once."""

    def __init__(self, to: str | None = None) -> None:
        self._to = to

    def initial(self) -> int:
        return 0

    def step(self, state: int, event: Any, now: float) -> Step[int]:
        commands: tuple[Any, ...] = ()
        if type(event) is Invoke:
            if self._to:
                commands = (Send(self._to, event.request),)
            elif event.request == "timer":
                commands = (SetTimer("t", now),)
            else:
                commands = (*event.request, Respond(state))
        elif type(event) is Timeout:
            commands = (Respond("fired"),)
        elif type(event) is Restart:
            commands = (Send("b", "back"),)
        elif self._to:
            commands = (Respond(event.message),)
        else:
            commands = (Send(event.src, ("echo", event.message)),)
        return Step(state + 1, commands, "Act")

    def durable(self, state: int) -> int:
        return state


class Diary(AsyncMemoryJournal):
    """Writes down what is done, each after letting everything else run."""

    def __init__(self, diary: list[Any], journal: MemoryJournal | None = None) -> None:
        super().__init__(journal)
        self.diary = diary
        self.fails = False

    async def save(self, state: Any, outgoing: Sequence[Envelope[Any]]) -> None:
        await asyncio.sleep(0)
        if self.fails:
            raise EnvironmentFault("the disk is full")
        await super().save(state, outgoing)
        self.diary.append(("save", state))


class Wire:
    """Keeps what it is given, each after letting everything else run."""

    def __init__(self, diary: list[Any]) -> None:
        self.diary = diary

    async def send(self, envelope: Envelope[Any]) -> None:
        await asyncio.sleep(0)
        self.diary.append(("send", envelope.seq, envelope.message))


def run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(work, timeout=30)  # a bound for a hang, never waited for

    asyncio.run(bounded(), debug=True)


def alone(
    diary: list[Any], process: Any | None = None, journal: MemoryJournal | None = None
) -> AsyncRuntime:
    return AsyncRuntime(
        "a",
        process or Echo(),
        Wire(diary),
        None,
        Diary(diary, journal),
        on_deliver=lambda src, message: diary.append(("deliver", message)),
    )


def test_saved_then_delivered_then_sent_then_answered() -> None:
    async def work() -> None:
        diary: list[Any] = []
        runtime = alone(diary)
        assert await runtime.call((Send("b", 1), Deliver("c", 2))) == 0
        assert diary == [("save", 1), ("deliver", 2), ("send", 1, 1)]
        await runtime.close()

    run(work())


def test_turns_do_not_interleave() -> None:
    async def work() -> None:
        diary: list[Any] = []
        runtime = alone(diary)
        arrivals = [runtime.receive(Envelope("b", "a", n, n)) for n in (1, 2, 3)]
        await asyncio.gather(*arrivals, runtime.call((Send("b", "mine"),)))
        kinds = [entry[0] for entry in diary]
        assert kinds == ["save", "send"] * 4
        assert [entry[1] for entry in diary if entry[0] == "save"] == [1, 2, 3, 4]
        await runtime.close()

    run(work())


def test_a_second_call_waits_for_its_turn() -> None:
    async def work() -> None:
        network = AsyncMemoryNetwork()
        for address, process in (("a", Echo("b")), ("b", Echo())):
            runtime = AsyncRuntime(address, process, network, None, AsyncMemoryJournal())
            network.attach(runtime)
            if address == "a":
                asking = runtime
        answers = await asyncio.gather(*(asking.call(n) for n in range(5)))
        assert answers == [("echo", n) for n in range(5)]
        await network.close()

    run(work())


def test_a_timer_fires_by_itself() -> None:
    async def work() -> None:
        runtime = alone([])
        assert await runtime.call("timer") == "fired"
        assert runtime.core.timers == {}
        await runtime.close()

    run(work())


def test_an_alarm_that_rings_too_early_by_the_drivers_clock_rings_again() -> None:
    class Later(Echo):
        def step(self, state: int, event: Any, now: float) -> Step[int]:
            if type(event) is Invoke:
                return Step(state, (SetTimer("t", now + 0.001),), "Ask")
            return Step(state, (Respond("fired"),), "Answer")

    readings = iter(0.0004 * n for n in range(1, 1000))

    async def work() -> None:
        journal = AsyncMemoryJournal()
        runtime = AsyncRuntime("a", Later(), Wire([]), lambda: next(readings), journal)
        assert await runtime.call("timer") == "fired"
        await runtime.close()

    run(work())


def test_a_timer_whose_turn_cannot_be_saved_is_reported_and_tried_again() -> None:
    async def work() -> None:
        diary: list[Any] = []
        journal, reported = Diary(diary), []

        def report(loop: Any, context: dict[str, Any]) -> None:
            reported.append(context["exception"])
            journal.fails = False

        asyncio.get_running_loop().set_exception_handler(report)
        runtime = AsyncRuntime("a", Echo(), Wire(diary), None, journal, retry_s=0.0)
        call = asyncio.create_task(runtime.call("timer"))
        while not diary:
            await asyncio.sleep(0)
        journal.fails = True
        assert await call == "fired"
        assert [type(error) for error in reported] == [EnvironmentFault]
        await runtime.close()

    run(work())


def test_a_cancelled_call_gives_up_the_answer_and_not_the_request() -> None:
    async def work() -> None:
        diary: list[Any] = []
        runtime = alone(diary, Echo("b"))
        first = asyncio.create_task(runtime.call("one"))
        while ("send", 1, "one") not in diary:
            await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        second = asyncio.create_task(runtime.call("two"))
        for _ in range(10):
            await asyncio.sleep(0)
        assert ("send", 2, "two") not in diary  # the first is still open
        await runtime.receive(Envelope("b", "a", 1, "answer one"))
        while ("send", 2, "two") not in diary:
            await asyncio.sleep(0)
        await runtime.receive(Envelope("b", "a", 2, "answer two"))
        assert await second == "answer two"
        await runtime.close()

    run(work())


@pytest.mark.parametrize("yields", range(8))
def test_a_turn_that_has_begun_is_finished_whenever_its_caller_is_cancelled(yields: int) -> None:
    async def work() -> None:
        diary: list[Any] = []
        runtime = alone(diary)
        call = asyncio.create_task(runtime.call((Send("b", 1),)))
        for _ in range(yields):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await runtime.receive(Envelope("b", "a", 1, "m"))
        begun = [("save", 1), ("send", 1, 1)] if yields else []
        assert diary[: len(begun)] == begun
        assert len(diary) == len(begun) + 2
        await runtime.close()

    run(work())


def test_what_cannot_be_saved_has_not_happened() -> None:
    async def work() -> None:
        diary: list[Any] = []
        runtime = alone(diary)
        journal: Any = runtime._journal
        journal.fails = True
        with pytest.raises(EnvironmentFault, match="disk"):
            await runtime.call((Send("b", 1),))
        assert diary == []
        assert runtime.core.state == 0
        journal.fails = False
        assert await runtime.call(()) == 0
        await runtime.close()

    run(work())


def test_after_a_crash_what_was_saved_is_sent_and_the_process_restarts() -> None:
    async def work() -> None:
        diary: list[Any] = []
        journal = MemoryJournal()
        journal.save(5, [Envelope("a", "b", 9, "saved")])
        runtime = alone(diary, journal=journal)
        await runtime.start()
        assert diary == [("save", 6), ("send", 9, "saved"), ("send", 10, "back")]
        await runtime.close()

    run(work())


def test_close_stops_timers_and_gives_up_waiting_calls() -> None:
    async def work() -> None:
        runtime = alone([], Echo("b"))
        call = asyncio.create_task(runtime.call("never answered"))
        while not runtime.core.outstanding:
            await asyncio.sleep(0)
        await runtime.close()
        with pytest.raises(asyncio.CancelledError):
            await call

    run(work())


def test_refusals_change_nothing() -> None:
    async def work() -> None:
        diary: list[Any] = []
        runtime = alone(diary)
        with pytest.raises(Misaddressed):
            await runtime.receive(Envelope("b", "c", 1, "m"))
        runtime.core.outstanding = True
        with pytest.raises(Busy):
            runtime.core.step(Invoke(()), 0.0)
        runtime.core.outstanding = False
        assert diary == []
        await runtime.close()

    run(work())


def test_what_a_runtime_raises_on_a_message_comes_out_of_the_network() -> None:
    class Picky(Echo):
        def step(self, state: int, event: Any, now: float) -> Step[int]:
            if type(event) is Receive:
                raise ZeroDivisionError
            return super().step(state, event, now)

    async def work() -> None:
        network = AsyncMemoryNetwork()
        runtime = AsyncRuntime("b", Picky(), network, None, AsyncMemoryJournal())
        network.attach(runtime)
        await network.send(Envelope("a", "b", 1, "m"))
        for _ in range(10):
            await asyncio.sleep(0)
        with pytest.raises(ZeroDivisionError):
            await network.close()

    run(work())
