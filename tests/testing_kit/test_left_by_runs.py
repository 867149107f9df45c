"""A lock that a run leaves in a registry of the user's begins again in the next run."""

import asyncio
import functools
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from shared_locks import require_both_orders, signed

from coherence.testing import ExplorationVerdict, explore

KEPT = {}


def kept(make):
    return lambda: KEPT.setdefault("log.md", make())


REGISTRIES = {
    "dictionary": (threading.Lock, kept(threading.Lock)),
    "re-entrant": (threading.RLock, kept(threading.RLock)),
    "condition": (threading.Condition, kept(threading.Condition)),
    "cache": (threading.Lock, functools.cache(lambda: threading.Lock())),
}


@pytest.mark.parametrize(("plain", "find"), REGISTRIES.values(), ids=REGISTRIES)
def test_a_lock_that_a_run_leaves_begins_again_in_the_next(plain, find, monkeypatch):
    monkeypatch.setitem(globals(), "KEPT", {})
    made = require_both_orders(signed(find))
    assert require_both_orders(signed(find)).schedules == made.schedules
    with find():  # outside of all runs it is as one of Python's
        taken = []
        thread = threading.Thread(target=lambda: taken.append(find().acquire(blocking=False)))
        thread.start()
        thread.join()
    assert taken == [False]
    with pytest.raises(RuntimeError):
        find().release()


def test_a_condition_that_a_run_leaves_wakes_outside_of_all(monkeypatch):
    monkeypatch.setitem(globals(), "KEPT", {})
    for make in (threading.Condition, lambda: threading.Condition(threading.Lock())):
        KEPT.clear()
        require_both_orders(signed(kept(make)))
        condition, come = KEPT["log.md"], []

        def waits(condition=condition, come=come):
            with condition:
                come.append(condition.wait_for(lambda: bool(come)))

        thread = threading.Thread(target=waits)
        thread.start()
        while not condition._waiters:
            pass
        with condition:
            come.append("one")
            condition.notify()
        thread.join()
        assert come == ["one", True]


def test_a_lock_of_tasks_that_a_run_leaves_begins_again_in_the_next(monkeypatch):
    monkeypatch.setitem(globals(), "KEPT", {})

    def program(team):
        team.agent("clerk").write("log.md", "")

        def sign(name):
            async def work():
                async with KEPT.setdefault("log.md", asyncio.Lock()):
                    text = (await team.async_agent(name).read("log.md")).text
                    await team.async_agent(name).write("log.md", text + name)

            return work

        team.run(ann=sign("ann"), bob=sign("bob"))
        return team.agent("clerk").read("log.md").text

    made = require_both_orders(program)
    assert require_both_orders(program).schedules == made.schedules


def test_a_semaphore_that_a_run_leaves_makes_no_proof(monkeypatch):
    monkeypatch.setitem(globals(), "KEPT", {})
    result = explore(signed(kept(threading.Semaphore)), bound=None)
    assert result.verdict is ExplorationVerdict.UNDETERMINED
