"""A waiting agent notices that a process it waits for has ended; a lease is an hour here."""

import asyncio
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from time import monotonic

import pytest
from mortals import LEASE, PLAN, STRICT

from coherence import AsyncWorkspace, Fenced, GrantTimeout, Workspace
from coherence.messages import Acquire, Granted, Leave
from coherence.runtime import lookout, session
from coherence.stores.memory import MemoryStore

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no process table, no such locks")
BENCH = Path(__file__).parents[2] / "bench" / "bench_stall.py"


on_postgres = pytest.mark.parametrize("url", ["postgres"], indirect=True)
on_both = pytest.mark.parametrize("url", ["sqlite", "postgres"], indirect=True)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def url(request, tmp_path):
    if request.param == "postgres":
        return request.getfixturevalue("postgres").fresh()
    return f"sqlite:///{tmp_path}/team.db"


@pytest.fixture
def room(url, mortal):
    """A workspace on the store, others like it, and processes that can be killed."""
    opened = []

    def other(policy=LEASE):
        opened.append(Workspace(url, policy=policy))
        return opened[-1]

    room = other()
    room.mortal, room.other = partial(mortal, url), other
    yield room
    for each in opened:
        each.close()


def state(room):
    return room.row(PLAN).row.state


def queued(room):
    return [waiter.cache for waiter in state(room).queue]


def in_a_thread(work):
    made = threading.Thread(target=work, daemon=True)
    made.start()
    return made


def until(done):
    """Looks again and again: nobody announces a longer queue."""
    limit = monotonic() + 60
    while not done():
        assert monotonic() < limit
        threading.Event().wait(0.002)


# One that is killed holds nobody up.


@on_both
def test_a_holder_that_was_killed_is_noticed(room):
    ann = room.agent("ann")
    room.mortal("bob", "hold").kill()
    with ann.edit(PLAN) as draft:
        draft.text = "by ann"
    assert ann.read(PLAN).text == "by ann"


def test_an_optimistic_write_does_not_wait_for_one_that_was_killed(room):
    ann = room.agent("ann")
    ann.write(PLAN, "one")
    room.mortal("bob", "hold").kill()
    ann.write(PLAN, "two")
    assert ann.update(PLAN, lambda text: text + "!").text == "two!"


def test_one_that_is_killed_while_others_wait_is_noticed(room):
    bob = room.mortal("bob", "hold")
    got = []

    def wait():
        with room.agent("ann").edit(PLAN, wait_s=None) as draft:
            got.append(draft.text)

    waiter = in_a_thread(wait)
    until(lambda: queued(room) == ["ann"])
    bob.kill()
    waiter.join(60)
    assert got == [""]


@pytest.mark.slow(fast=1)
def test_several_that_were_killed_in_the_queue_are_passed_in_one_look(room):
    ann = room.agent("ann")
    with ann.edit(PLAN):
        dead = [room.mortal(f"bob{number}", "queue") for number in range(3)]
        until(lambda: len(queued(room)) == 3)
        live = room.other().agent("cyd")
        done = in_a_thread(lambda: live.update(PLAN, lambda text: "by cyd"))
        until(lambda: len(queued(room)) == 4)
        for each in dead:
            each.kill()
        until(lambda: queued(room) == ["cyd"])
        epoch = state(room).epoch
    done.join(60)
    assert not done.is_alive()
    assert state(room).epoch == epoch + 1, "the grant was given to one of the dead"
    assert live.read(PLAN).text == "by cyd"


@on_postgres  # elsewhere no write waits for readers
def test_a_strict_write_does_not_wait_for_a_reader_that_was_killed(room):
    writer = room.other(STRICT).agent("ann")
    writer.write(PLAN, "one")
    room.mortal("bob", "share").kill()
    writer.write(PLAN, "two")
    assert "bob" not in {sharer.cache for sharer in state(room).sharers}


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("wait_s", [0, 0.01])
def test_no_wait_at_all_takes_what_one_that_was_killed_has_left(room, wait_s):
    ann = room.agent("ann")
    room.mortal("bob", "hold").kill()
    until(lambda: room._site.store.gone(room._site.store.sessions(["bob"])[0]))
    with ann.edit(PLAN, wait_s=wait_s) as draft:
        draft.text = "by ann"


@pytest.mark.slow
def test_one_that_lives_is_waited_for(room):
    room.mortal("bob", "hold")
    with pytest.raises(GrantTimeout), room.agent("ann").edit(PLAN, wait_s=0.5):
        pass
    assert state(room).owner == "bob"


@pytest.mark.slow(fast=1)
def test_a_task_notices_too_and_holds_no_thread(room, url):
    async def main():
        async with AsyncWorkspace(url, policy=LEASE) as workspace:
            agents = [await workspace.agent(f"ann{number}") for number in range(12)]
            bob = await asyncio.to_thread(room.mortal, "bob", "hold")
            edits = [
                asyncio.create_task(agent.update(PLAN, lambda text: text + "!")) for agent in agents
            ]
            await asyncio.to_thread(until, lambda: len(queued(room)) == 12)
            assert len(await agents[0]._threads.run(lambda: [1])) == 1, (
                "a thread is left for others"
            )
            await asyncio.to_thread(bob.kill)
            await asyncio.gather(*edits)
            assert (await agents[0].read(PLAN)).text == "!" * 12

    asyncio.run(main())


@pytest.mark.slow(fast=1)
def test_a_grant_that_a_killed_process_gave_is_found_although_nobody_rang(room, monkeypatch):
    """It had committed, and was killed before it said so."""
    store, released = room._site.store, threading.Event()
    monkeypatch.setattr(store, "wait", lambda seq, timeout_s: released.wait(60))
    ann = room.agent("ann")
    try:
        with room.other().agent("bob").edit(PLAN) as draft:
            waiter = in_a_thread(lambda: ann.update(PLAN, lambda text: "by ann"))
            until(lambda: queued(room) == ["ann"])
            draft.text = "by bob"
        store.gone = lambda member: member.agent == "bob"
        waiter.join(30)
        assert not waiter.is_alive()
    finally:
        released.set()


# A name that is joined again.


@pytest.mark.slow(fast=1)
def test_one_that_is_started_again_under_its_name_keeps_its_copy(room):
    ann = room.agent("ann")
    ann.write(PLAN, "one")
    room.mortal("bob", "hold").kill()
    again = room.other().agent("bob")
    assert again.read(PLAN).text == "one"
    assert state(room).owner == "bob"
    with ann.edit(PLAN) as draft:
        assert "bob" in {sharer.cache for sharer in state(room).sharers}
        draft.text = "two"
    until(lambda: again.read(PLAN).text == "two")


# A false alarm: a process that lives is taken for dead.


@pytest.fixture
def pair(room):
    """Two processes, as it were, and a way to make the first take the second for dead."""
    theirs = room.other()
    ann, bob = room.agent("ann"), theirs.agent("bob")
    gone = room._site.store.gone

    def slander(yes=True):
        room._site.store.gone = (lambda member: member.agent == "bob") if yes else gone

    return ann, bob, slander


def test_a_writer_that_lives_is_fenced_and_keeps_its_text(room, pair):
    ann, bob, slander = pair

    def sleep_over():
        with bob.edit(PLAN) as draft:
            draft.text = "by bob"
            slander()
            with ann.edit(PLAN) as other:
                other.text = "by ann"

    with pytest.raises(Fenced) as fenced:
        sleep_over()
    assert fenced.value.yours == "by bob"
    assert fenced.value.theirs == "by ann"
    slander(False)
    assert bob.update(PLAN, lambda text: text + ", then bob").text == "by ann, then bob"
    until(lambda: [member.agent for member in room.members()] == ["ann", "bob"])


def test_a_reader_that_lives_serves_no_copy_that_home_has_forgotten(room, pair):
    ann, bob, slander = pair
    ann.write(PLAN, "one")
    with bob.edit(PLAN) as draft:
        slander()
        with ann.edit(PLAN):
            pass
        slander(False)
        assert "bob" not in {sharer.cache for sharer in state(room).sharers}
        bob._follower.fetch()
        draft.discard()
    ann.write(PLAN, "two")
    bob._follower.fetch()
    assert bob.read(PLAN).text == "two"


def test_a_waiting_agent_that_lives_asks_again(room, pair):
    ann, bob, slander = pair
    with room.other().agent("cyd").edit(PLAN):
        done = in_a_thread(lambda: bob.update(PLAN, lambda text: text + "bob "))
        until(lambda: queued(room) == ["bob"])
        slander()
        mine = in_a_thread(lambda: ann.update(PLAN, lambda text: text + "ann "))
        until(lambda: queued(room) == ["ann", "bob"])
        slander(False)
    for each in (mine, done):
        each.join(60)
        assert not each.is_alive()
    bob._follower.fetch()
    assert bob.read(PLAN).text.split() == ["ann", "bob"]


@on_postgres  # elsewhere no write waits for readers
def test_a_strict_writer_that_is_taken_for_dead_waits_for_all_the_same(room):
    """Home forgets whose commit it was; asked once more, it owes the answer again."""
    bob = room.other(STRICT).agent("bob")
    bob.write(PLAN, "one")
    reader = room.mortal("cyd", "share")
    reader.stop()  # it acknowledges nothing
    done = []
    writer = in_a_thread(lambda: done.append(bob.write(PLAN, "two")))
    until(lambda: state(room).unacked)
    mistaken = room.other(STRICT)._site.homes
    mistaken.carry({PLAN: [("bob", Leave(state(room).writer_serial))]})
    until(lambda: state(room).writer == "bob")
    assert not done
    reader.go_on()
    writer.join(60)
    assert [str(ref) for ref in done] == [f"{PLAN}@2"]


def test_a_farewell_of_its_own_tells_nobody(room):
    """Only one that was said by another is in the log."""
    ann = room.agent("ann")
    ann.write(PLAN, "one")
    head = room._site.store.head().seq
    ann.leave()
    assert room._site.store.head().seq == head


# Who looks, and when.


@pytest.mark.slow(fast=1)
def test_where_nobody_waits_nobody_looks(room):
    ann = room.agent("ann")
    ann.write(PLAN, "one")
    with ann.edit(PLAN):
        pass
    assert lookouts(room)._kept == {}
    assert ann._session.caches.asked == {}
    room.mortal("bob", "hold")
    with pytest.raises(GrantTimeout), ann.edit(PLAN, wait_s=0.1):
        pass
    assert lookouts(room)._kept == {}
    assert ann._session.caches.asked == {}


def test_a_store_of_one_process_is_never_asked(monkeypatch):
    monkeypatch.setattr(MemoryStore, "sessions", None)
    with Workspace(policy=LEASE) as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        with ann.edit(PLAN), pytest.raises(GrantTimeout), bob.edit(PLAN, wait_s=0.3):
            pass


def lookouts(room):
    return room._site._shared.lookouts


class Played:
    """Agents of one workspace that wait, as `Session.wait` does, on a clock of the test."""

    def __init__(self, room, monkeypatch, names):
        self.now = 1000.0
        self.room, self.woken = room, []
        self.all = [room.agent(name)._session for name in names]
        lookouts(room)._clock = lambda: self.now
        self.asked = {}
        for each in self.all:
            each._clock = lambda: self.now
            asked = self.asked[each] = each.ask(PLAN, Acquire(None))
            assert asked.answer is None
            each.await_answer(asked, lambda name=each.name: self.woken.append(name))

    def ats(self):
        return [lookouts(self.room).at(PLAN, each.name) for each in self.all]

    def nudge(self, each):
        each.nudge(self.asked[each])

    def due(self, each):
        return self.now + each.patience_s(self.asked[each])


def test_one_agent_looks_for_all_of_its_process(room, monkeypatch):
    holder = room.other().agent("bob")
    with holder.edit(PLAN):
        play = Played(room, monkeypatch, ["ann", "cyd", "dan"])
        ann, cyd, dan = play.all
        assert play.ats() == [1000.0 + lookout.FIRST_S, None, None]
        for number in range(1, 4):
            play.now = 1000.0 + number
            play.nudge(ann)
            assert play.ats() == [play.now + lookout.LOOK_S, None, None]
        ann.cancel(PLAN)
        assert play.woken[-1:] == ["cyd"], "another one looks from now on, and is told"
        assert play.ats() == [None, play.now + lookout.LOOK_S, None]
        cyd.cancel(PLAN)
        dan.cancel(PLAN)
        assert lookouts(room)._kept == {}


def test_a_look_asks_the_store_only_where_somebody_is_gone(room, monkeypatch):
    holder = room.other().agent("bob")
    with holder.edit(PLAN) as draft:
        play = Played(room, monkeypatch, ["ann"])
        asked, sessions = [], room._site.store.sessions
        monkeypatch.setattr(
            room._site.store, "sessions", lambda names: asked.append(1) or sessions(names)
        )
        for number in range(1, 20):
            play.now = 1000.0 + number
            play.nudge(play.all[0])
        assert len(asked) == 1
        monkeypatch.setattr(room._site.store, "gone", lambda member: member.agent == "bob")
        play.now += 1
        play.nudge(play.all[0])
        assert len(asked) == 2
        assert isinstance(play.asked[play.all[0]].answer, Granted)
        draft.discard()


def test_looking_puts_off_no_other_look(room, monkeypatch):
    """It asks again after half a lease, however often it has looked meanwhile."""
    holder = room.other().agent("bob")
    with holder.edit(PLAN):
        play = Played(room, monkeypatch, ["ann"])
        ann = play.all[0]
        homes = room._site.homes
        carried, carry = [], homes.carry
        monkeypatch.setattr(
            homes, "carry", lambda batch, **_: carried.append(play.now) or carry(batch)
        )
        half = LEASE.grant_lease * session.AGAIN_AT
        ann.shared.caches.due.clear()
        due = play.due(ann)
        assert due == 1000.0 + lookout.FIRST_S
        while not carried:
            play.now = play.due(ann) + (100.0 if not carried else 0.0)
            play.nudge(ann)
        assert 1000.0 + half <= carried[0] <= 1000.0 + half + 100.0 + lookout.LOOK_S
        ann.cancel(PLAN)


def test_a_store_that_fails_breaks_no_wait(room, monkeypatch):
    from coherence import StoreFault

    holder = room.other().agent("bob")
    with holder.edit(PLAN):
        play = Played(room, monkeypatch, ["ann"])

        def fail(*_):
            raise StoreFault("on purpose")

        monkeypatch.setattr(room._site.store, "row", fail)
        play.now += 1
        play.nudge(play.all[0])
        assert play.asked[play.all[0]].answer is None
        play.all[0].cancel(PLAN)


# With real processes, real kills.


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("extra", [[], ["--processes", "16"], ["--stop"]], ids=["4", "16", "stop"])
def test_others_go_on_when_one_is_killed(url, extra):
    """Ends with an error where one goes on no more, and where an addition or a member is wrong."""
    command = [sys.executable, str(BENCH), "--kills", "3", "--store", url, *extra]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "all of them are there" in shown
