"""Traps that a scheduler of threads and tasks falls into, by their numbers in the evidence.

Trap 8 is in `test_team_faults`, 10 and 11 in `test_explore`; 1, 4 and 13 concern adopted threads.
"""

import asyncio
import gc
import os
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import programs

from coherence import Conflict
from coherence.testing import Deadlock, ExplorationVerdict, Found, Stuck, explore
from message_passing.interrupts import Knock

PATCHED = {
    "time.sleep": lambda: vars(time)["sleep"],
    "asyncio.sleep": lambda: asyncio.sleep,
    "threading.Lock": lambda: threading.Lock,
    "threading.RLock": lambda: threading.RLock,
    "asyncio.Lock": lambda: (asyncio.Lock.__init__, asyncio.Lock.acquire),
    "Knock.wait": lambda: Knock.wait,
    "open": lambda: open,
}


@pytest.fixture(autouse=True)
def nothing_stays_patched():
    before = {name: find() for name, find in PATCHED.items()}
    yield
    assert {name: find() for name, find in PATCHED.items()} == before


def test_2_a_try_without_a_wait_hands_nothing_on():
    def program(team):
        lock = threading.Lock()
        got = team.run(
            ann=lambda: lock.acquire(blocking=False), bob=lambda: lock.acquire(blocking=False)
        )
        assert sorted(got.values()) == [False, True]
        assert lock.locked()
        lock.release()
        with pytest.raises(RuntimeError):
            lock.release()
        return got["ann"]

    result = explore(program)
    assert result.verdict is ExplorationVerdict.PROOF
    assert set(result.outcomes) == {"True", "False"}


def test_3_a_deadlock_in_blocks_that_wait_for_others_unwinds():
    """Each holds what the other waits for while it unwinds."""

    def program(team):
        one, two = threading.Lock(), threading.Lock()
        done = threading.Event()

        def both(first, second):
            with first:
                try:
                    with second:
                        pass
                finally:
                    done.set()

        team.run(ann=lambda: both(one, two), bob=lambda: both(two, one))

    for _ in range(20):
        assert isinstance(explore(program, raises=False).found.cause, Deadlock)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_3_an_error_in_one_agent_unwinds_the_others(error):
    def program(team):
        ann, bob, _ = programs.seed(team, "plan")

        def fails():
            ann.read("plan")
            raise error

        def drafts():
            with bob.edit("plan") as draft:
                draft.text = "b"

        team.run(ann=fails, bob=drafts)

    with pytest.raises(Found if error is RuntimeError else KeyboardInterrupt):
        explore(program)
    assert explore(programs.updating).verdict is ExplorationVerdict.PROOF


def test_3_tasks_that_wait_while_they_unwind_end(caplog):
    """A cancelled call waits until homes have its messages."""

    def program(team):
        programs.seed(team, "a", "b")
        ann, bob = team.async_agent("ann"), team.async_agent("bob")

        async def both(agent, first, second):
            async with agent.edit(first):
                await asyncio.gather(agent.edit(second).__aenter__())

        team.run_async(ann=lambda: both(ann, "a", "b"), bob=lambda: both(bob, "b", "a"))

    found = explore(program, raises=False).found
    assert isinstance(found.cause, Deadlock)
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_4_what_a_task_of_an_agent_does_is_its_doing():
    """No update of ann's is lost to ann, whichever of her tasks made it; bob's is."""

    def program(team):
        box = team.shared({"plan": ""}, "box")
        programs.seed(team, "x")
        ann, bob = team.async_agent("ann"), team.async_agent("bob")

        async def tool(agent):
            text = box["plan"]
            await agent.read("x")
            box["plan"] = text + agent.name[0]

        async def with_tool(agent):
            await asyncio.gather(tool(agent))

        team.run_async(ann=lambda: with_tool(ann), bob=lambda: with_tool(bob))
        return box["plan"]

    with pytest.raises(Found, match=r"(ann|bob) replaced box\['plan'\]@1"):
        explore(program)

    def alone(team):
        box = team.shared({"plan": ""}, "box")
        programs.seed(team, "x")
        ann, _ = team.async_agent("ann"), team.async_agent("bob")

        async def tool():
            box["plan"] = box["plan"] + "a"

        async def two_tools():
            await asyncio.gather(tool(), tool())
            await ann.read("x")

        team.run_async(ann=two_tools)

    assert explore(alone).found is None


def test_5_two_things_of_one_name_are_two():
    def program(team):
        programs.seed(team, "plan")
        other = team.open("memory://")
        other.agent("init").write("plan", "")
        plan = team.shared({"plan": ""}, "plan")

        def work(name):
            if name == "ann":
                text = team.agent(name).read("plan").text
                other.agent("ann").update("plan", lambda text: text + "a")
                team.agent(name).write("plan", text + "a")
            else:
                other.agent("bob").update("plan", lambda text: text + "b")
                plan["plan"] = "b"

        team.run(ann=lambda: work("ann"), bob=lambda: work("bob"))
        return other.agent("init").read("plan").text

    result = explore(program, serial=True)
    assert result.verdict is ExplorationVerdict.PROOF
    assert set(result.outcomes) == {"'ab'", "'ba'"}


def test_6_a_sleep_of_the_standard_library_is_no_move():
    def program(team):
        programs.seed(team, "plan")
        ann = team.async_agent("ann")

        async def work():
            await asyncio.wait_for(asyncio.shield(ann.read("plan")), 5)
            await asyncio.sleep(0)

        team.run_async(ann=work)

    result = explore(program)
    assert result.longest == 2  # the read, and the sleep that is the user's


def test_7_a_task_that_a_foreign_thread_wakes_is_told():
    def program(team):
        programs.seed(team, "plan")
        ann = team.async_agent("ann")
        threads = []

        async def work():
            loop, come = asyncio.get_running_loop(), asyncio.Event()

            def wake():
                while not come._waiters:
                    pass
                loop.call_soon_threadsafe(come.set)

            threads.append(threading.Thread(target=wake))
            threads[-1].start()
            await come.wait()
            await ann.read("plan")

        team.run_async(ann=work)
        for thread in threads:
            thread.join()

    result = explore(program)
    assert result.verdict is ExplorationVerdict.UNDETERMINED
    assert "a thread that is not scheduled" in str(result)


def test_9_the_orders_of_acquiring_a_lock_are_all_tried():
    assert set(explore(programs.locks_in_order).outcomes) == {"'ab'", "'ba'"}
    result = explore(programs.locks_in_order, bound=None)
    assert set(result.outcomes) == {"'ab'", "'ba'"}


def test_12_a_thread_that_hangs_is_named_and_hurts_no_later_run():
    reads, writes = os.pipe()

    def program(team):
        ann, bob, _ = programs.seed(team, "plan")

        def hangs():
            ann.read("plan")
            os.read(reads, 1)

        team.run(ann=hangs, bob=lambda: bob.read("plan"))

    with pytest.raises(Stuck, match=r"ann \(runs, .*test_traps.py:\d+, after: read plan\)"):
        explore(program, patience_s=0.3)
    os.write(writes, b"x")
    os.close(reads)
    os.close(writes)
    assert explore(programs.updating).verdict is ExplorationVerdict.PROOF


def test_14_what_the_program_does_alone_is_no_move():
    def program(team):
        ann, bob, _ = programs.seed(team, "plan")
        ann.read("plan")
        first = team.run(ann=lambda: ann.read("plan").text, bob=lambda: bob.read("plan").text)
        with ann.edit("plan") as draft:
            draft.text = "between"
        time.sleep(100)
        second = team.run(ann=lambda: ann.read("plan").text)
        return first, second

    result = explore(program, bound=None)
    assert (result.schedules, result.longest) == (1, 3)


def test_14_the_program_waits_on_virtual_time_too():
    def program(team):
        ann, bob, _ = programs.seed(team, "plan")
        edit = ann.edit("plan", hold_s=0.0)
        edit.__enter__()
        team.run(bob=lambda: bob.read("plan"))
        bob.update("plan", lambda text: text + "b", wait_s=None)
        return team.workspace.history("plan")[-1].at

    result = explore(program)
    (at,) = result.outcomes
    assert float(at) >= 1_015


def test_a_loop_that_polls_ends():
    def program(team):
        ann, bob, _ = programs.seed(team, "plan")

        def polls():
            while not ann.read("plan").text:
                time.sleep(0.1)
            return "seen"

        got = team.run(ann=polls, bob=lambda: bob.update("plan", lambda text: "b"))
        return got["ann"]

    result = explore(program, schedules=50, walks=5)
    assert set(result.outcomes) == {"'seen'"}


def test_a_loop_without_end_is_cut_off_and_said():
    def program(team):
        ann, _, _ = programs.seed(team, "plan")

        def polls():
            while not ann.read("plan").text:
                time.sleep(0.1)

        team.run(ann=polls)

    result = explore(program, schedules=5)
    assert result.verdict is ExplorationVerdict.UNDETERMINED
    assert "too many moves" in str(result)


def test_an_agent_that_never_thinks_lets_others_think():
    def program(team):
        ann, bob, _ = programs.seed(team, "plan")

        def thinks():
            text = ann.read("plan").text
            team.think()
            try:
                ann.write("plan", text + "a")
            except Conflict:
                return "conflict"
            return "kept"

        got = team.run(ann=thinks, bob=lambda: bob.update("plan", lambda text: text + "b"))
        return got["ann"]

    result = explore(program, bound=None)
    assert set(result.outcomes) == {"'conflict'", "'kept'"}


def test_a_watch_waits_on_virtual_time():
    def program(team):
        ann, bob, _ = programs.seed(team, "plan")

        def watches():
            with ann.watch("plan", timeout_s=100) as changes:
                return [change.ref.version for change in changes]

        got = team.run(
            ann=watches,
            bob=lambda: [bob.update("plan", lambda text: text + "b") for _ in "12"] and None,
        )
        return got["ann"]

    result = explore(program, bound=None)
    assert result.verdict is ExplorationVerdict.PROOF
    assert {"[2, 3]", "[3]", "[]"} >= set(result.outcomes) >= {"[2, 3]"}
