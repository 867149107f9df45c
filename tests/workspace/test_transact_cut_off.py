"""A transaction of three artifacts that ends in the middle: all of it or nothing, on every store.

A process is killed at each call to its store; the store fails there; the task is cancelled there; a
Ctrl-C comes there.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from itertools import count

import pytest

from coherence import AsyncWorkspace, Lazy, OutcomeUnknown, StoreFault, Workspace
from coherence.stores.faulty import Crash, Faulty
from coherence.stores.memory import MemoryStore
from coherence.stores.sqlite import SqliteStore

POLICY = Lazy(grant_lease=600.0)
NAMES = ("a", "b", "c")
WAIT_S = 20.0


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def make_store(request, tmp_path):
    """Makes a store, and a function that opens it; what a test leaves open is closed."""
    numbers, opened = count(), []

    def make():
        if request.param == "memory":
            store = MemoryStore()
            return lambda: store
        if request.param == "sqlite":
            file = tmp_path / f"{next(numbers)}.db"
            return lambda: opening(SqliteStore, file)
        from coherence.stores.postgres import PostgresStore

        url = request.getfixturevalue("postgres").fresh()
        return lambda: opening(PostgresStore, url)

    def opening(kind, where):
        opened.append(kind(where))
        return opened[-1]

    #: Of the moments with a server, every fourth.
    make.step = 4 if request.param == "postgres" else 1
    yield make
    for store in opened:
        store.close()


class Here(Faulty):
    """Fails in the thread of the test alone, and never denies what has taken effect."""

    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        self._thread = threading.get_ident()

    def moment(self):
        if threading.get_ident() == self._thread:
            try:
                super().moment()
            except StoreFault as fault:
                if self.moments in self.effected:
                    raise OutcomeUnknown("the answer is lost") from fault
                raise
        elif self.dead:
            raise StoreFault("the process has ended")


def versions(store):
    rows = store.rows(NAMES)
    return [rows[name].row.state.version if name in rows else 0 for name in NAMES]


def before(agent):
    """Two that exist, one that does not; what is read is none of them."""
    agent.write("a", "1"), agent.write("b", "1"), agent.write("read", "1")


def transaction(agent):
    with agent.transaction(["read"]) as tx:
        text = tx.read("read").text
        tx.read("absent", missing=None)
        tx.write("a", text + "!", overwrite=True)
        tx.delete("b", overwrite=True)
        tx.write("c", text + "!")
    return tx.refs


def check(workspace, told):
    """All three or none, each with its content; and everybody can go on."""
    assert workspace.check() == []
    store = workspace._site.store
    made = versions(store)
    assert made in ([1, 1, 0], [2, 2, 1])
    if told is not None:
        assert made == [2, 2, 1]
    contents = [store.read(name, version) for name, version in zip(NAMES, made, strict=True)]
    texts = [found[1] if found is not None else None for found in contents]
    assert texts == (["1!", b"", "1!"] if made[2] else ["1", "1", None])
    eve = workspace.agent("eve")
    with eve.transaction() as tx:
        for name in NAMES:
            tx.write(name, "by eve", overwrite=True)
    for name in NAMES:
        assert eve.read(name).text == "by eve"


@pytest.mark.slow
def test_a_crash_at_every_call_to_the_store(make_store):
    outcomes = set()
    for at in count(1, make_store.step):
        reopen = make_store()
        with Workspace(reopen(), policy=POLICY) as survivor:
            before(survivor.agent("first"))
            store = Here(reopen())
            agent = Workspace(store, policy=POLICY).agent("doomed")
            store.at = store.moments + at
            told = None
            with suppress(Crash):
                told = transaction(agent)
            store.dead = True
            outcomes.add(versions(survivor._site.store)[2])
            check(survivor, told)
            store.store.close()  # as the system closes what a dead process had open
        if told is not None:
            break
    assert at > 15
    assert outcomes == {0, 1}


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("fault", [StoreFault, OutcomeUnknown, KeyboardInterrupt])
def test_a_fault_at_every_call_to_the_store(make_store, fault):
    """The call fails or succeeds, and the same agent carries on."""
    faulty = Here(make_store()(), make=lambda: fault("on purpose"))
    with Workspace(faulty, policy=POLICY) as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        for at in count(1, make_store.step):
            for name in (*NAMES, "read"):
                ann.write(name, f"before {at}", overwrite=True, wait_s=WAIT_S)
            ann.delete("c")
            base = versions(faulty.store)
            faulty.at = faulty.moments + at
            told = None
            with suppress(StoreFault, KeyboardInterrupt):
                told = transaction(ann)
            reached, faulty.at = faulty.moments >= faulty.at, 0
            grown = [now - was for now, was in zip(versions(faulty.store), base, strict=True)]
            assert grown in ([0, 0, 0], [1, 1, 1]), f"torn at moment {at}: {grown}"
            assert told is None or grown == [1, 1, 1]
            for name in NAMES:
                bob.write(name, f"later {at}", overwrite=True, wait_s=WAIT_S)
            with bob.edit("a", wait_s=WAIT_S) as draft:
                draft.text = "free"
            if not reached:
                break
    assert at > 15


def test_a_task_that_is_cancelled_at_every_call_to_the_store(make_store):
    """Nothing is torn, and nobody has to wait for a grant that it has left."""
    store = make_store()()

    async def story():
        async with AsyncWorkspace(Workspace(store, policy=POLICY)) as tasks:
            ann, bob = await tasks.agent("ann"), await tasks.agent("bob")
            run, calls = ann._threads.run, 0

            async def counted(work, *given):
                nonlocal calls
                calls += 1
                if calls == at:
                    asyncio.current_task().cancel()
                return await run(work, *given)

            for at in count(1):
                for name in NAMES:
                    await bob.write(name, f"before {at}", overwrite=True, wait_s=WAIT_S)
                base = versions(store)
                calls = 0
                ann._threads.run = counted
                task = asyncio.ensure_future(changing(ann, bob))
                await asyncio.wait([task])
                ann._threads.run = run
                grown = [now - was for now, was in zip(versions(store), base, strict=True)]
                # Bob writes "a" once, beside the first call of the function.
                assert grown in ([0, 0, 0], [1, 0, 0], [2, 1, 1]), f"torn at call {at}: {grown}"
                if not task.cancelled():
                    assert grown == [2, 1, 1]
                    return at

    async def changing(ann, bob):
        """Refused the first time: the second is under grants."""
        first = True

        async def function(tx):
            nonlocal first
            text = (await tx.read("a")).text
            if first:
                first = False
                await bob.write("a", "bob", overwrite=True)
            for name in NAMES:
                tx.write(name, text + "!", overwrite=True)

        await ann.transact(function)

    async def bounded():
        async with asyncio.timeout(100):
            return await story()

    assert asyncio.run(bounded()) > 5
