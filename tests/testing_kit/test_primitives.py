"""Every order in which agents come to what a program synchronises with, beside its workspace."""

import asyncio
import importlib
import sys
import threading
import time
from asyncio import sleep as async_sleep
from pathlib import Path
from time import sleep

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from shared_locks import TASKS, THREADS

from coherence.testing import Deadlock, ExplorationVerdict, Found, explore


@pytest.mark.parametrize("make", THREADS.values(), ids=THREADS)
def test_threads_come_to_it_in_every_order(make):
    def program(team):
        held = make()
        team.agent("clerk").write("log.md", "")

        def sign(name):
            def work():
                with held():
                    team.agent(name).update("log.md", lambda text: text + name)

            return work

        team.run(ann=sign("ann"), bob=sign("bob"))
        return team.agent("clerk").read("log.md").text

    result = explore(program, bound=None)
    assert result.verdict is ExplorationVerdict.PROOF
    assert set(result.outcomes) == {"'annbob'", "'bobann'"}


@pytest.mark.parametrize("make", TASKS.values(), ids=TASKS)
def test_tasks_come_to_it_in_every_order(make):
    def program(team):
        async def main():
            held = make()
            clerk = team.async_agent("clerk")
            await clerk.write("log.md", "")

            async def sign(name):
                async with held():
                    await team.async_agent(name).update("log.md", lambda text: text + name)

            await asyncio.gather(sign("ann"), sign("bob"))
            return (await clerk.read("log.md")).text

        return team.main_async(main)

    result = explore(program, bound=None)
    assert result.verdict is ExplorationVerdict.PROOF
    assert set(result.outcomes) == {"'annbob'", "'bobann'"}


def test_a_waiting_agent_takes_the_lock_again_after_the_one_that_woke_it():
    """The agent that notifies makes moves before it lets go of the lock."""

    def program(team):
        condition, ready = threading.Condition(), []

        def waits():
            with condition:
                condition.wait_for(lambda: ready)
                return team.agent("ann").read("plan.md").text

        def wakes():
            with condition:
                ready.append(1)
                condition.notify()
                team.agent("bob").write("plan.md", "done")

        return team.run(ann=waits, bob=wakes)["ann"]

    result = explore(program, bound=None)
    assert result.verdict is ExplorationVerdict.PROOF
    assert set(result.outcomes) == {"'done'"}


def test_all_that_are_woken_come_in_every_order():
    def program(team):
        barrier = threading.Barrier(3)
        team.agent("clerk").write("log.md", "")

        def pass_it(name):
            def work():
                barrier.wait()
                team.agent(name).update("log.md", lambda text: text + name)

            return work

        team.run(**{name: pass_it(name) for name in "abc"})
        return team.agent("clerk").read("log.md").text

    result = explore(program, walks=0, schedules=400)
    assert set(result.outcomes) == {
        repr(each) for each in ("abc", "acb", "bac", "bca", "cab", "cba")
    }


def test_semaphores_that_two_take_crosswise_are_a_deadlock():
    def program(team):
        one, two = threading.Semaphore(), threading.Semaphore()

        def take(first, second):
            def work():
                with first, second:
                    team.agent("clerk").read("plan.md")

            return work

        team.agent("clerk").write("plan.md", "")
        team.run(ann=take(one, two), bob=take(two, one))

    with pytest.raises(Found) as found:
        explore(program)
    assert isinstance(found.value.cause, Deadlock)


@pytest.mark.parametrize("faults", ["kill", "stall"])
def test_an_agent_that_dies_in_a_wait_leaves_the_lock_to_others(faults):
    def program(team):
        condition, ready = threading.Condition(), []

        def waits():
            with condition:
                condition.wait_for(lambda: ready, timeout=60)
                team.agent("ann").write("ann.md", "done")

        def wakes():
            with condition:
                ready.append(1)
                condition.notify()
                team.agent("bob").write("bob.md", "done")

        team.run(ann=waits, bob=wakes)
        return team.agent("clerk").list()

    result = explore(program, faults=[faults], find=("error",), schedules=300, raises=False)
    assert result.found is None
    assert result.schedules > 1


def test_a_function_by_a_name_of_its_own_takes_no_time():
    def program(team):
        team.run(ann=lambda: sleep(1_000), bob=lambda: team.agent("bob").list())

    assert explore(program, bound=None).verdict is ExplorationVerdict.PROOF


def test_so_does_one_for_tasks():
    def program(team):
        async def works():
            await async_sleep(1_000)

        async def lists():
            await team.async_agent("bob").list()

        team.run(ann=works, bob=lists)

    assert explore(program, bound=None).verdict is ExplorationVerdict.PROOF


class Hostile:
    """Nothing may be asked of it."""

    def __getattribute__(self, name):
        raise AssertionError(f"{name} is asked for")

    __eq__ = __hash__ = None


def test_values_of_the_users_modules_are_left_alone(monkeypatch):
    monkeypatch.setitem(globals(), "HOSTILE", Hostile())
    assert explore(lambda team: team.agent("ann").list(), bound=None).schedules == 1


def test_a_module_that_is_imported_meanwhile_keeps_nothing(tmp_path, monkeypatch):
    name = "imported_by_a_program"
    (tmp_path / f"{name}.py").write_text(
        "from threading import Lock\nfrom time import sleep\nmake = lambda: Lock()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def program(team):
        held = importlib.import_module(name).make()

        def work():
            with held:
                team.agent("ann").list()

        team.run(ann=work, bob=work)

    first = explore(program, bound=None)
    assert type(importlib.import_module(name).make()) is type(threading.Lock())
    assert explore(program, bound=None).schedules == first.schedules > 1
    module = importlib.import_module(name)
    assert type(module.make()) is type(threading.Lock())
    assert module.sleep is time.sleep


def test_what_a_library_makes_is_left_alone():
    plain = type(threading.Lock())
    found = []

    def program(team):
        found.append(type(threading.Thread(target=print)._started._cond._lock))
        team.run(ann=lambda: team.agent("ann").list(), bob=lambda: None)

    explore(program)
    assert set(found) == {plain}
