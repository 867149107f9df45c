"""Random teams in tasks, with locks and mappings: the reduction leaves no outcome out."""

import asyncio
import random
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import programs
from programs import NAMES

from coherence import Conflict
from coherence.testing import ExplorationVerdict, explore


def in_tasks(rng):
    """Tasks with an artifact, a mapping and a lock; some start tasks of their own."""
    names = NAMES[: rng.choice((2, 2, 3))]
    calls = ("read", "write", "update", "dict", "torn", "lock", "sleep", "both")
    most = 3 if len(names) == 2 else 2
    plans = {name: rng.choices(calls, k=rng.randint(1, most)) for name in names}

    def program(team):
        programs.seed(team, "x")
        box = team.shared({"x": ""}, "box")
        lock = asyncio.Lock()
        agents = {name: team.async_agent(name) for name in names}
        others = {name: team.async_agent(f"{name}-too") for name in names}

        async def work(name):
            agent, got = agents[name], []
            for call in plans[name]:
                try:
                    if call == "read":
                        got.append((await agent.read("x")).text)
                    elif call == "write":
                        text = (await agent.read("x")).text
                        await agent.write("x", text + name[0])
                    elif call == "update":
                        await agent.update("x", lambda text: text + name[0])
                    elif call == "dict":
                        box["x"] = box["x"] + name[0]
                    elif call == "torn":
                        text = box["x"]
                        await agent.read("x")
                        box["x"] = text + name[0]
                    elif call == "lock":
                        async with lock:
                            text = box["x"]
                            await agent.read("x")
                            box["x"] = text + name[0].upper()
                    elif call == "sleep":
                        await asyncio.sleep(1)
                    else:
                        both = (agent.read("x"), others[name].read("x"))
                        got += [view.text for view in await asyncio.gather(*both)]
                except Conflict:
                    got.append("conflict")
            return tuple(got)

        got = team.run_async(**{name: lambda name=name: work(name) for name in names})
        return sorted(got.items()), programs.final(team, "x"), box["x"]

    return program, plans


def in_threads(rng):
    """Threads with locks, re-entrant or not, tried or waited for, around a mapping."""
    names = NAMES[: rng.choice((2, 2, 3))]
    calls = ("lock", "try", "both", "nested", "wait", "dict", "think")
    most = 3 if len(names) == 2 else 2
    plans = {name: rng.choices(calls, k=rng.randint(1, most)) for name in names}

    def program(team):
        box = team.shared({"x": ""}, "box")
        one, two = threading.Lock(), threading.RLock()

        def work(name):
            got = []
            for call in plans[name]:
                if call == "lock":
                    with one:
                        box["x"] = box["x"] + name[0]
                elif call == "try":
                    if one.acquire(blocking=False):
                        box["x"] = box["x"] + name[0].upper()
                        one.release()
                    else:
                        got.append("busy")
                elif call == "both":
                    with one, two:
                        box["x"] = box["x"] + name[0]
                elif call == "nested":
                    with two, two:
                        got.append(box["x"])
                elif call == "wait":
                    got.append(two.acquire(timeout=5))
                    two.release()
                elif call == "dict":
                    box["x"] = name[0]
                else:
                    team.think()
            return tuple(got)

        got = team.run(**{name: lambda name=name: work(name) for name in names})
        return sorted(got.items()), box["x"]

    return program, plans


def compared(make, wanted, most):
    """How many schedules the reduction has saved over so many random programs."""
    done = saved = 0
    for number in range(10_000):
        program, plans = make(random.Random(number))
        how = {"find": ["error", "deadlock"], "bound": None, "seconds": 100, "walks": 0}
        how["grain"] = ("call", "transaction")[number % 2]
        every = explore(program, reduce=False, schedules=most, **how)
        if not every.exhaustive:
            continue
        reduced = explore(program, **how)
        assert reduced.exhaustive, (number, plans, str(reduced))
        assert reduced.outcomes.keys() == every.outcomes.keys(), (number, plans)
        done, saved = done + 1, saved + every.schedules - reduced.schedules
        if done == wanted:
            return saved
    raise AssertionError("too few programs")


MAKE = {"tasks": in_tasks, "threads": in_threads}


@pytest.mark.slow
@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_the_outcomes_of_some_random_teams_are_those_without_reduction(make):
    assert compared(make, 20, most=200) > 100


@pytest.mark.slow
@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_the_outcomes_of_60_random_teams_are_those_without_reduction(make):
    assert compared(make, 60, most=300) > 1_000


def test_what_a_woken_task_does_belongs_to_the_move_that_woke_it():
    """Found by a random team: a task that slept in the search had woken another one."""
    program, plans = in_tasks(random.Random(108))
    assert plans == {"ann": ["sleep", "both", "dict"], "bob": ["dict", "both"]}
    result = explore(program, find=["error"], bound=None)
    assert result.verdict is ExplorationVerdict.PROOF
    assert {outcome[-4:] for outcome in result.outcomes} == {"ab')", "ba')"}
