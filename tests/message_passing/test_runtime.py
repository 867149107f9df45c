"""The blocking driver: what is durable before what is sent, timers, restarts, and its refusals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from message_passing import (
    BrokenContract,
    Busy,
    CancelTimer,
    Deliver,
    Envelope,
    EnvironmentFault,
    Invoke,
    PeerError,
    Receive,
    Reentrant,
    Respond,
    Restart,
    Send,
    SetTimer,
    Step,
    Timeout,
)
from message_passing.memory import MemoryJournal, MemoryNetwork
from message_passing.runtime import Runtime, Unanswered
from message_passing.turn import Misaddressed


class Scripted:
    """Counts its steps, durably; what each event brings about is given."""

    def __init__(self, react: Callable[[Any], tuple[Any, ...]]) -> None:
        self._react = react

    def initial(self) -> tuple[int, str]:
        return (0, "volatile")

    def step(self, state: tuple[int, str], event: Any, now: float) -> Step[tuple[int, str]]:
        if event == Invoke("look"):
            return Step(state, (Respond(state),), "Look")
        return Step((state[0] + 1, f"{state[1]}+"), self._react(event), "Count")

    def durable(self, state: tuple[int, str]) -> tuple[int, str]:
        return (state[0], "volatile")


def doing(event: Any) -> tuple[Any, ...]:
    """A request is the commands to give, then it is answered."""
    return (*event.request, Respond("done")) if type(event) is Invoke else ()


class Diary(MemoryJournal):
    """A journal that writes down what is done in which order, and can fail or crash."""

    def __init__(self, diary: list[Any]) -> None:
        super().__init__()
        self.diary = diary
        self.crash_before_save = False
        self.crash_after_save = False

    def save(self, state: Any, outgoing: Sequence[Envelope[Any]]) -> None:
        if self.crash_before_save:
            raise EnvironmentFault("the disk is full")
        super().save(state, outgoing)
        self.diary.append(("save", state, tuple(e.message for e in outgoing)))
        if self.crash_after_save:
            raise Killed


class Killed(BaseException):
    """The process died here."""


class Wire:
    """A transport that keeps what it is given, and gives what it is told to."""

    def __init__(self, diary: list[Any]) -> None:
        self.diary = diary
        self.sent: list[Envelope[Any]] = []
        self.arriving: list[Envelope[Any]] = []
        self.fails = False

    def send(self, envelope: Envelope[Any]) -> None:
        if self.fails:
            raise EnvironmentFault("no route")
        self.sent.append(envelope)
        self.diary.append(("send", envelope.message))

    def wait(self, until: float | None) -> Envelope[Any] | None:
        return self.arriving.pop(0) if self.arriving else None


class Rig:
    """A runtime with everything around it in view."""

    def __init__(self, react: Callable[[Any], tuple[Any, ...]] = doing) -> None:
        self.diary: list[Any] = []
        self.journal, self.wire = Diary(self.diary), Wire(self.diary)
        self.now = 0.0
        self._react = react
        self.runtime = self.build()

    def build(self) -> Runtime:
        """A driver as after a crash: everything but the journal and the network is new."""
        return Runtime(
            "a",
            Scripted(self._react),
            self.wire,
            lambda: self.now,
            self.journal,
            on_deliver=lambda src, message: self.diary.append(("deliver", src, message)),
            trace=lambda now, address, event, step: self.diary.append(("step", step.action)),
        )


def test_saved_then_delivered_then_sent_then_answered() -> None:
    rig = Rig()
    answer = rig.runtime.call((Send("b", 1), Deliver("c", 2), Send("b", 3)))
    assert rig.diary == [
        ("save", (1, "volatile"), (1, 3)),
        ("step", "Count"),
        ("deliver", "c", 2),
        ("send", 1),
        ("send", 3),
    ]
    assert answer == "done"


def test_sequence_numbers_count_from_one_on_each_pair() -> None:
    rig = Rig()
    rig.runtime.call((Send("b", "x"), Send("c", "y"), Send("b", "z")))
    rig.runtime.call((Send("b", "w"),))
    assert [(e.src, e.dst, e.seq) for e in rig.wire.sent] == [
        ("a", "b", 1),
        ("a", "c", 1),
        ("a", "b", 2),
        ("a", "b", 3),
    ]


def test_a_step_that_only_looks_writes_nothing() -> None:
    rig = Rig()
    rig.runtime.call(())
    rig.diary.clear()
    assert rig.runtime.call("look") == (1, "volatile+")
    assert rig.diary == [("step", "Look")]


def test_what_cannot_be_saved_has_not_happened() -> None:
    rig = Rig()
    rig.runtime.call(())
    rig.diary.clear()
    rig.journal.crash_before_save = True
    with pytest.raises(EnvironmentFault, match="disk"):
        rig.runtime.call((Send("b", 1), SetTimer("t", 5.0), Deliver("c", 2)))
    assert rig.diary == []
    assert rig.runtime.core.state == (1, "volatile+")
    assert rig.runtime.core.timers == {}
    rig.journal.crash_before_save = False
    assert rig.runtime.call((Send("b", 1),)) == "done"
    assert [e.seq for e in rig.wire.sent] == [1]


def test_after_a_crash_between_save_and_send_all_that_was_saved_is_sent() -> None:
    rig = Rig(lambda event: (Send("b", "back"),) if event == Restart() else doing(event))
    rig.runtime.call((Send("b", 1),))
    rig.journal.crash_after_save = True
    with pytest.raises(Killed):
        rig.runtime.call((Send("b", 2), Send("c", 3)))
    assert [e.message for e in rig.wire.sent] == [1]  # nothing left before it was due

    rig.journal.crash_after_save = False
    rig.runtime = rig.build()
    rig.runtime.start()
    assert [(e.dst, e.seq, e.message) for e in rig.wire.sent] == [
        ("b", 1, 1),
        ("b", 2, 2),
        ("c", 1, 3),
        ("b", 3, "back"),
    ]
    # Two requests and the restart; the volatile part began anew at the restart.
    assert rig.runtime.core.state == (3, "volatile+")


def test_a_crash_while_sending_repeats_what_may_have_left_under_its_number() -> None:
    rig = Rig()
    rig.wire.fails = True
    with pytest.raises(EnvironmentFault, match="route"):
        rig.runtime.call((Send("b", 1),))
    rig.wire.fails = False
    again = rig.build()
    again.start()
    assert [(e.seq, e.message) for e in rig.wire.sent] == [(1, 1)]
    assert rig.journal.load().unsent == ()  # type: ignore[union-attr]


def test_what_could_not_be_sent_is_sent_before_anything_newer() -> None:
    rig = Rig()
    rig.wire.fails = True
    with pytest.raises(EnvironmentFault):
        rig.runtime.call((Send("b", 1),))
    rig.wire.fails = False
    rig.runtime.call((Send("b", 2),))
    assert [e.message for e in rig.wire.sent] == [1, 2]


@pytest.mark.parametrize("crash_at", range(12))
def test_nothing_is_ever_sent_that_is_not_durable(crash_at: int) -> None:
    """Killed at every point between two actions of a run: save, send and mark as sent."""
    rig = Rig()
    saved: set[tuple[str, int]] = set()
    countdown = crash_at

    def tick() -> None:
        nonlocal countdown
        if countdown == 0:
            raise Killed
        countdown -= 1

    save, send, sent = rig.journal.save, rig.wire.send, rig.journal.sent

    def save_or_die(state: Any, outgoing: Sequence[Envelope[Any]]) -> None:
        tick()
        save(state, outgoing)
        saved.update((e.dst, e.seq) for e in outgoing)
        tick()

    def send_or_die(envelope: Envelope[Any]) -> None:
        assert (envelope.dst, envelope.seq) in saved
        tick()
        send(envelope)

    def sent_or_die(envelope: Envelope[Any]) -> None:
        tick()
        sent(envelope)

    rig.journal.save, rig.wire.send = save_or_die, send_or_die  # type: ignore[method-assign]
    rig.journal.sent = sent_or_die  # type: ignore[method-assign]
    acknowledged = 0
    with suppress(Killed):
        while True:
            rig.runtime.call((Send("b", acknowledged), Send("c", acknowledged)))
            acknowledged += 1
    countdown = -1
    rig.runtime = rig.build()
    rig.runtime.start()
    for dst in "bc":
        numbers = [e.seq for e in rig.wire.sent if e.dst == dst]
        distinct = sorted(set(numbers))
        assert distinct == list(range(1, len(distinct) + 1))  # no gap
        assert len(distinct) >= acknowledged
        for envelope in rig.wire.sent:
            assert envelope.message == envelope.seq - 1  # one number, one message


def test_timers_that_are_due_come_before_what_arrives() -> None:
    seen: list[Any] = []

    def react(event: Any) -> tuple[Any, ...]:
        seen.append(event)
        return doing(event)

    rig = Rig(react)
    rig.runtime.call((SetTimer("second", 4.0), SetTimer("first", 3.0), SetTimer("far", 9.0)))
    rig.now = 5.0
    rig.runtime.receive(Envelope("b", "a", 1, "m"))
    assert seen[1:] == [Timeout("first"), Timeout("second"), Receive("b", "m")]
    assert rig.runtime.due() == 9.0
    rig.runtime.call((CancelTimer("far"), SetTimer("never", float("inf"))))
    assert rig.runtime.due() is None


def test_a_timer_that_an_earlier_overdue_one_cancels_or_moves_does_not_fire() -> None:
    def react(event: Any) -> tuple[Any, ...]:
        if event == Timeout("first"):
            return (CancelTimer("second"), SetTimer("third", 9.0))
        return doing(event)

    rig = Rig(react)
    armed = (SetTimer("first", 1.0), SetTimer("second", 2.0), SetTimer("third", 3.0))
    rig.runtime.call(armed)
    rig.now = 5.0
    assert rig.runtime.due() == 9.0
    assert rig.runtime.core.state[0] == 2


def test_a_timer_set_again_for_the_past_does_not_hang_the_driver() -> None:
    rig = Rig(lambda e: (SetTimer("t", 0.0), *((Respond(1),) if type(e) is Invoke else ())))
    rig.runtime.call(())
    rig.runtime.due()
    assert rig.runtime.core.state[0] == 2


def test_timers_are_not_durable_and_the_restart_arms_them() -> None:
    rig = Rig(lambda e: (SetTimer("t", 7.0),) if e == Restart() else doing(e))
    rig.runtime.call((SetTimer("old", 3.0),))
    rig.runtime = rig.build()
    assert rig.runtime.core.timers == {}
    rig.runtime.start()
    assert rig.runtime.core.timers == {"t": 7.0}


def test_the_first_start_is_no_restart() -> None:
    rig = Rig()
    rig.runtime.start()
    assert rig.diary == []


def test_a_call_waits_for_messages_and_timers() -> None:
    def react(event: Any) -> tuple[Any, ...]:
        if type(event) is Invoke:
            return (SetTimer("deadline", 2.0),)
        return (Respond(event),) if event in (Receive("b", "answer"), Timeout("deadline")) else ()

    rig = Rig(react)
    rig.wire.arriving = [Envelope("b", "a", 1, "noise"), Envelope("b", "a", 2, "answer")]
    assert rig.runtime.call("ask") == Receive("b", "answer")
    rig.wire.wait = lambda until: setattr(rig, "now", until)  # type: ignore[method-assign]
    assert rig.runtime.call("ask") == Timeout("deadline")


def test_a_request_that_nothing_can_answer_is_said_to_be_open() -> None:
    rig = Rig(lambda event: (Respond("late"),) if type(event) is Receive else ())
    with pytest.raises(Unanswered):
        rig.runtime.call("ask")
    with pytest.raises(Busy):
        rig.runtime.call("ask again")
    rig.runtime.receive(Envelope("b", "a", 1, "m"))
    with pytest.raises(Unanswered):
        rig.runtime.call("ask again")  # and not the late answer to the first


def test_a_second_request_is_refused_before_timers_that_could_answer_the_first() -> None:
    rig = Rig(lambda event: (Respond("late"),) if type(event) is Timeout else ())
    with pytest.raises(Unanswered):
        rig.runtime.call("ask")
    rig.runtime.core.timers["t"] = 1.0
    rig.now = 5.0
    before = rig.runtime.core.state
    with pytest.raises(Busy):
        rig.runtime.call("ask again")
    assert rig.runtime.core.state == before
    rig.runtime.due()
    assert not rig.runtime.core.outstanding


def test_a_call_from_within_a_step_is_refused() -> None:
    rig = Rig()
    refused: list[Exception] = []

    def meddle(src: str, message: Any) -> None:
        for call in (
            lambda: runtime.receive(Envelope("b", "a", 9, "m")),
            lambda: runtime.due(),
            lambda: runtime.call(()),
        ):
            with pytest.raises((Reentrant, Busy)) as caught:
                call()
            refused.append(caught.value)

    runtime = Runtime("a", Scripted(doing), rig.wire, lambda: 0.0, rig.journal, on_deliver=meddle)
    assert runtime.call((Deliver("b", 1),)) == "done"
    assert len(refused) == 3
    assert runtime.core.state[0] == 1


def test_an_envelope_for_another_is_the_peers_fault() -> None:
    rig = Rig()
    with pytest.raises(Misaddressed) as caught:
        rig.runtime.receive(Envelope("b", "c", 1, "m"))
    assert isinstance(caught.value, PeerError)
    assert rig.diary == []


@pytest.mark.parametrize(
    ("answers", "happen"),
    [
        ((Respond(1), Respond(2)), lambda runtime: runtime.call("ask")),
        ((Respond(1),), lambda runtime: runtime.receive(Envelope("b", "a", 1, "m"))),
    ],
)
def test_an_answer_too_many_is_a_defect_and_changes_nothing(
    answers: tuple[Any, ...], happen: Callable[[Runtime], Any]
) -> None:
    rig = Rig(lambda event: answers)
    with pytest.raises(BrokenContract):
        happen(rig.runtime)
    assert rig.diary == []
    assert rig.runtime.core.state == (0, "volatile")


# In memory


class Relay:
    """Passes a number on to the next process, and the answer back; asks again after a second."""

    def __init__(self, next_address: str | None) -> None:
        self._next = next_address

    def initial(self) -> tuple[str, ...]:
        return ()

    def step(self, state: tuple[str, ...], event: Any, now: float) -> Step[tuple[str, ...]]:
        asked = (Send(self._next, "ask"), SetTimer("again", now + 1.0)) if self._next else ()
        if type(event) is Invoke:
            return Step(state, asked, "Ask")
        if type(event) is Timeout:
            return Step(state, asked, "Again")
        if event.message == "ask":
            if self._next is None:  # the last one answers the second time only
                reply = (Send(event.src, "answer"),) if state else ()
                return Step(("seen",), reply, "Reply")
            return Step((event.src,), (Send(self._next, "ask"),), "Pass")
        if state:
            return Step((), (Send(state[0], "answer"),), "Return")
        return Step((), (Respond(now), CancelTimer("again")), "Got")

    def durable(self, state: tuple[str, ...]) -> tuple[str, ...]:
        return state


def test_processes_in_memory_run_while_one_waits_and_time_moves_when_all_wait() -> None:
    network = MemoryNetwork()
    for address, following in (("a", "b"), ("b", "c"), ("c", None)):
        network.runtimes[address] = Runtime(
            address,
            Relay(following),
            network.port(address),
            network.clock,
            MemoryJournal(),
        )
    assert network.runtimes["a"].call("go") == 1.0
    assert network.now == 1.0
    assert network.carry() is None
