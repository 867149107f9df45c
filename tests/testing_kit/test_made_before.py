"""Locks and the like that modules hold from before the program are those of each run."""

import asyncio
import contextlib
import functools
import importlib
import queue
import sys
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from shared_locks import TASKS, THREADS, require_both_orders, signed

from coherence.runtime import token_counts
from coherence.testing import Deadlock, ExplorationVerdict, Found, explore

LOCK = type(threading.Lock())
MADE = SIDE = MANY = None
A, B = threading.Lock(), threading.RLock()
STARTS = queue.Queue()
FLAG = threading.Event()


@pytest.mark.parametrize("make", THREADS.values(), ids=THREADS)
def test_threads_come_to_it_in_every_order(make, monkeypatch):
    monkeypatch.setitem(globals(), "MADE", make())
    made = require_both_orders(signed(lambda: MADE()))
    assert made.schedules == require_both_orders(lambda team: signed(make())(team)).schedules
    with MADE():  # it is as it was
        pass


@pytest.mark.parametrize("make", TASKS.values(), ids=TASKS)
def test_tasks_come_to_it_in_every_order(make, monkeypatch):
    monkeypatch.setitem(globals(), "MADE", make())

    def program(team):
        async def main():
            clerk = team.async_agent("clerk")
            await clerk.write("log.md", "")

            async def sign(name):
                async with MADE():
                    text = (await team.async_agent(name).read("log.md")).text
                    await team.async_agent(name).write("log.md", text + name)

            await asyncio.gather(sign("ann"), sign("bob"))
            return (await clerk.read("log.md")).text

        return team.main_async(main)

    require_both_orders(program)

    async def use():
        async with MADE():  # in another loop
            pass

    asyncio.run(use())


class OfClass:
    lock = threading.Lock()


class Notes:
    def __init__(self):
        self.lock = threading.Lock()


class Outer:
    def __init__(self):
        self.notes = Notes()


class Frozen(Notes):
    def __setattr__(self, name, value):
        if name in vars(self):
            raise AttributeError("it is not to be changed")
        super().__setattr__(name, value)


class Turns(queue.Queue):
    """A queue of the user's own."""

    def lock(self):
        return self.not_empty


@dataclass
class Made:
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class Slotted:
    lock: threading.Lock = field(default_factory=threading.Lock)


def locked():
    lock = threading.Lock()
    return lambda: lock


PLACES = {
    "class": (OfClass, lambda: MADE.lock),
    "object": (Notes(), lambda: MADE.lock),
    "object of an object": (Outer(), lambda: MADE.notes.lock),
    "frozen object": (Frozen(), lambda: MADE.lock),
    "slots": (Slotted(), lambda: MADE.lock),
    "namespace": (SimpleNamespace(lock=threading.Lock()), lambda: MADE.lock),
    "queue of a class": (Turns(), lambda: MADE.lock()),
    "closure": (locked(), lambda: MADE()),
    "dictionary": ({"a": threading.Lock()}, lambda: MADE["a"]),
    "list": ([threading.Lock()], lambda: MADE[0]),
}


@pytest.mark.parametrize(("place", "find"), PLACES.values(), ids=PLACES)
def test_it_is_found(place, find, monkeypatch):
    monkeypatch.setitem(globals(), "MADE", place)
    lock = find()
    require_both_orders(signed(find))
    assert find() is lock


def test_a_factory_of_locks_makes_those_of_the_run(monkeypatch):
    monkeypatch.setitem(globals(), "MANY", defaultdict(threading.Lock))

    def program(team):
        found = signed(lambda: MANY["log.md"])(team)
        MANY.clear()
        return found

    require_both_orders(program)
    assert MANY.default_factory is threading.Lock

    def of_dataclass(team):
        made = Made()
        return signed(lambda: made.lock)(team)

    require_both_orders(of_dataclass)
    assert type(Made().lock) is LOCK


def test_locks_that_two_take_crosswise_are_a_deadlock_with_their_names():
    def program(team):
        def take(first, second):
            def work():
                with first(), second():
                    team.agent("clerk").list()

            return work

        team.run(ann=take(lambda: A, lambda: B), bob=take(lambda: B, lambda: A))

    with pytest.raises(Found) as found:
        explore(program)
    assert isinstance(found.value.cause, Deadlock)
    assert f"lock {__name__}.A" in str(found.value.cause)
    assert f"lock {__name__}.B" in str(found.value.cause)
    assert type(A) is LOCK


def test_each_run_begins_as_before_the_first():
    STARTS.put("one")

    def program(team):
        seen = STARTS.qsize(), FLAG.is_set()
        STARTS.put("two")
        FLAG.set()
        team.run(ann=lambda: team.agent("ann").write("a", ""), bob=lambda: team.agent("b").list())
        return seen

    result = explore(program, bound=None)
    assert result.schedules > 1
    assert set(result.outcomes) == {"(1, False)"}
    assert STARTS.get_nowait() == "one"
    assert STARTS.empty()
    assert not FLAG.is_set()


def test_what_a_thread_outside_waits_for_is_left_alone(monkeypatch):
    monkeypatch.setitem(globals(), "SIDE", queue.Queue())
    done = []
    thread = threading.Thread(target=lambda: done.append(SIDE.get()), daemon=True)
    thread.start()
    while not SIDE.not_empty._waiters:
        pass
    mutex = SIDE.mutex
    explore(lambda team: team.agent("ann").write("same", str(SIDE.mutex is mutex)))
    SIDE.put("a job")
    thread.join()
    assert done == ["a job"]


def test_a_list_that_a_program_shortens_is_put_back(monkeypatch):
    locks = [threading.Lock(), threading.Lock()]
    monkeypatch.setitem(globals(), "MADE", list(locks))

    def program(team):
        signed(lambda: MADE[0])(team)
        MADE.pop()

    assert explore(program, bound=None).schedules > 1
    assert locks == MADE
    assert type(threading.Lock()) is LOCK


def test_a_thread_outside_of_the_run_waits_for_a_lock_in_real_time(monkeypatch):
    monkeypatch.setitem(globals(), "MADE", threading.Lock())
    log = []

    def takes():
        log.append("comes")
        with MADE:
            log.append("takes")

    def program(team):
        log.clear()
        thread = threading.Thread(target=takes)
        with MADE:
            thread.start()
            for _ in range(10_000):
                if log:
                    team.agent("ann").list()
            log.append("lets go")
        thread.join()
        return log

    result = explore(program, schedules=20)
    assert set(result.outcomes) == {"['comes', 'lets go', 'takes']"}
    assert result.verdict is ExplorationVerdict.UNDETERMINED
    assert f"has taken lock {__name__}.MADE" in str(result)


class Listener(threading.Thread):
    """A thread of the user's class, which ends with the test."""

    def __init__(self):
        super().__init__(daemon=True)
        self.ends = threading.Event()

    def run(self):
        self.ends.wait()


def test_the_locks_of_a_thread_are_its_own(monkeypatch):
    monkeypatch.setitem(globals(), "MADE", Listener())
    MADE.start()

    def program(team):
        MADE.join(timeout=0)
        return MADE.is_alive(), team.agent("ann").list()

    assert set(explore(program).outcomes) == {"(True, [])"}
    assert MADE.is_alive()
    MADE.ends.set()
    MADE.join()


@pytest.mark.parametrize("kind", ["threads", "tasks"])
def test_one_that_is_not_found_makes_no_proof(kind, monkeypatch):
    made = queue.Queue() if kind == "threads" else asyncio.Queue()
    monkeypatch.setitem(globals(), "MADE", {made})

    def program(team):
        def put():
            next(iter(MADE)).put(team.agent("ann").list())

        team.run(ann=put, bob=lambda: next(iter(MADE)).get())

    def of_tasks(team):
        async def put():
            await next(iter(MADE)).put(await team.async_agent("ann").list())

        async def get():
            await next(iter(MADE)).get()

        team.run(ann=put, bob=get)

    result = explore(program if kind == "threads" else of_tasks, bound=None)
    assert result.verdict is ExplorationVerdict.UNDETERMINED
    assert "the program has not made" in str(result)


@pytest.mark.slow  # its first run is stuck for some seconds, and then begins again
def test_a_module_that_the_program_imports_has_locks_of_each_run(tmp_path, monkeypatch):
    name = "has_a_lock_at_its_top"
    (tmp_path / f"{name}.py").write_text("import threading\nLOCK = threading.Lock()\n")
    monkeypatch.syspath_prepend(tmp_path)
    require_both_orders(signed(lambda: importlib.import_module(name).LOCK))
    assert type(importlib.import_module(name).LOCK) is LOCK


# What the program has with it.


def test_a_program_has_its_locks_with_it():
    lock, turns = threading.Lock(), queue.Queue()
    turns.put("turn")

    @contextlib.contextmanager
    def turn():
        taken = turns.get()
        try:
            yield
        finally:
            turns.put(taken)

    for held in (lambda: lock, turn):
        require_both_orders(signed(held))
    assert turns.qsize() == 1


def test_agents_and_their_objects_have_theirs():
    notes = Notes()

    class Signer:
        def __init__(self, notes):
            self.notes = notes

        def sign(self, agent):
            with self.notes.lock:
                agent.write("log.md", agent.read("log.md").text + agent.name)

    def text(team):
        return team.agent("clerk").read("log.md").text

    def prepare(team):
        team.agent("clerk").write("log.md", "")

    def work(signer, agent):
        signer.sign(agent)

    for agents in (
        {"ann": Signer(notes).sign, "bob": Signer(notes).sign},
        {
            "ann": functools.partial(work, Signer(notes)),
            "bob": functools.partial(work, Signer(notes)),
        },
    ):
        result = explore(prepare, agents, text, bound=None)
        assert result.verdict is ExplorationVerdict.PROOF
        assert set(result.outcomes) == {"'annbob'", "'bobann'"}
    assert type(notes.lock) is LOCK


def test_no_run_loads_a_tokenizer(monkeypatch):
    monkeypatch.setattr(token_counts, "installed", lambda: pytest.fail("it is loaded"))
    monkeypatch.setattr(token_counts, "_installed", token_counts.Installed())

    def program(team):
        with team.agent("ann") as ann:
            ann.write("plan.md", "one")
            ann.read("plan.md")
        return team.workspace.stats().total.reads

    assert set(explore(program).outcomes) == {"1"}
