"""Threads that a program or a framework starts, and what they wait with."""

import asyncio
import os
import queue
import random
import sys
import sysconfig
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from functools import partial
from itertools import count
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import programs

from coherence.testing import (
    Deadlock,
    ExplorationVerdict,
    Found,
    LostUpdate,
    Nondeterminism,
    explore,
)
from coherence.testing.frames import is_importing


def add(team, name, how):
    agent = team.agent(name)
    if how == "update":
        agent.update("plan", lambda text: text + name[0])
    else:
        agent.write("plan", agent.read("plan").text + name[0], overwrite=True)


def with_threads(team, how):
    threads = [threading.Thread(target=add, args=(team, name, how)) for name in ("ann", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def with_a_pool(team, how):
    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(add, team, name, how) for name in ("ann", "bob")]
        assert [future.result() for future in done] == [None, None]


def with_a_small_pool(team, how):
    """Trap 13: more jobs than workers."""
    with ThreadPoolExecutor(1) as pool:
        done = [pool.submit(add, team, name, how) for name in ("ann", "bob")]
        wait(done)


def with_a_pool_that_ends_unasked(team, how):
    with ThreadPoolExecutor(2) as pool:
        for name in ("ann", "bob"):
            pool.submit(add, team, name, how)


def with_completed(team, how):
    pool = ThreadPoolExecutor(3)
    for future in as_completed([pool.submit(add, team, name, how) for name in ("ann", "bob")]):
        future.result()
    pool.shutdown()


WAYS = {
    way.__name__: way
    for way in (with_threads, with_a_pool, with_a_pool_that_ends_unasked, with_completed)
}


def program_of(way, how):
    def program(team):
        programs.seed(team, "plan")
        team.main(lambda: way(team, how))
        (text,) = programs.final(team, "plan")
        return text

    return program


@pytest.mark.slow(fast=5)
@pytest.mark.parametrize("bound", [2, None])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_threads_of_the_program_are_agents(way, bound):
    with pytest.raises(Found) as found:
        explore(program_of(way, "overwrite"), bound=bound)
    assert isinstance(found.value.cause, LostUpdate)
    assert found.value.switches <= 4
    result = explore(program_of(way, "update"), bound=bound)
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
    assert set(result.outcomes) == {"'ab'", "'ba'"}


def test_13_a_job_without_a_worker_waits_for_one():
    result = explore(program_of(with_a_small_pool, "overwrite"))
    assert result.verdict is ExplorationVerdict.PROOF
    assert set(result.outcomes) == {"'ab'"}


def test_4_a_job_is_blamed_for_the_threads_that_it_starts():
    def program(team):
        notes = team.shared({"plan": ""}, "notes")

        def tool(word):
            notes["plan"] = notes["plan"] + word

        def agent(name):
            for word in (name, name.upper()):
                thread = threading.Thread(target=tool, args=(word,))
                thread.start()
                thread.join()

        with_jobs(team, [lambda: agent("a"), lambda: agent("b")])

    def alone(team):
        notes = team.shared({"plan": ""}, "notes")

        def tool(word):
            notes["plan"] = notes["plan"] + word

        def agent():
            threads = [threading.Thread(target=tool, args=(word,)) for word in "ab"]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        with_jobs(team, [agent])

    def with_jobs(team, jobs):
        def main():
            with ThreadPoolExecutor() as pool:
                for future in [pool.submit(job) for job in jobs]:
                    future.result()

        team.main(main)

    with pytest.raises(Found, match=r"job[12] replaced notes\['plan'\]"):
        explore(program)
    with pytest.raises(Found, match=r"job1\.\d replaced notes\['plan'\]@1, .* by job1\.\d"):
        explore(alone)


def test_1_all_who_wait_are_notified():
    def program(team):
        come = threading.Condition()
        ready = []

        def waits():
            with come:
                come.wait_for(lambda: ready)
            return len(ready)

        def says():
            with come:
                ready.append(1)
                come.notify_all()

        got = team.run(ann=waits, bob=waits, cyd=says)
        return sorted(got.items(), key=str)

    result = explore(program)
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
    assert set(result.outcomes) == {"[('ann', 1), ('bob', 1), ('cyd', None)]"}


def test_2_a_semaphore_that_is_tried_hands_nothing_on():
    def program(team):
        free = threading.Semaphore(1)
        ann, bob, _ = programs.seed(team, "plan")

        def tries(agent):
            got = free.acquire(timeout=0)
            agent.read("plan")
            return got

        got = team.run(ann=lambda: tries(ann), bob=lambda: tries(bob))
        return sorted(got.values())

    result = explore(program)
    assert result.verdict is ExplorationVerdict.PROOF
    assert set(result.outcomes) == {"[False, True]"}


def test_a_queue_between_agents():
    def program(team):
        ann, bob, _ = programs.seed(team, "plan")
        box = queue.Queue(1)

        def gives():
            for word in "12":
                box.put(ann.read("plan").text + word)

        def takes():
            for _ in "12":
                text = box.get()
                bob.update("plan", lambda old, text=text: old + text[-1])

        team.run(ann=gives, bob=takes)
        (text,) = programs.final(team, "plan")
        return text

    result = explore(program, bound=None)
    assert result.verdict is ExplorationVerdict.PROOF
    assert set(result.outcomes) == {"'12'"}


def test_a_barrier_and_an_event():
    def program(team):
        ann, bob, _ = programs.seed(team, "plan")
        barrier, event = threading.Barrier(2), threading.Event()

        def first():
            barrier.wait()
            ann.update("plan", lambda text: text + "a")
            event.set()

        def second():
            barrier.wait(5)
            assert event.wait(100)
            bob.update("plan", lambda text: text + "b")

        team.run(ann=first, bob=second)
        (text,) = programs.final(team, "plan")
        return text

    result = explore(program, bound=None)
    assert result.verdict is ExplorationVerdict.PROOF
    assert set(result.outcomes) == {"'ab'"}


def test_an_event_that_nobody_sets_is_a_deadlock():
    def program(team):
        event = threading.Event()
        team.run(ann=event.wait, bob=lambda: team.agent("bob"))

    found = explore(program, raises=False).found
    assert isinstance(found.cause, Deadlock)
    assert "nothing will ever happen: ann waits" in str(found.cause)


def test_a_daemon_that_waits_does_not_keep_a_run():
    def program(team):
        programs.seed(team, "plan")
        box = queue.Queue()

        def serve():
            while True:
                box.get()(team.agent("ann"))

        def main():
            threading.Thread(target=serve, daemon=True).start()
            done = threading.Event()

            def job(agent):
                agent.update("plan", lambda text: text + "a")
                done.set()

            box.put(job)
            done.wait()

        team.main(main)
        team.run(bob=lambda: team.agent("bob").update("plan", lambda text: text + "b"))
        (text,) = programs.final(team, "plan")
        return text

    result = explore(program)
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
    assert set(result.outcomes) == {"'ab'"}


def test_an_error_in_a_job_is_where_the_program_has_it():
    def program(team):
        programs.seed(team, "plan")

        def main():
            with ThreadPoolExecutor(2) as pool:
                future = pool.submit(lambda: 1 / 0)
                assert isinstance(future.exception(), ZeroDivisionError)

        team.main(main)

    assert explore(program).verdict is ExplorationVerdict.PROOF


def in_a_loop(work):
    """A program whose event loop runs in a thread, as frameworks have it."""

    def program(team):
        programs.seed(team, "plan")
        team.main(lambda: asyncio.run(work(team)))
        (text,) = programs.final(team, "plan")
        return text

    return program


def test_an_event_loop_in_a_thread_hands_on():
    async def flow(team):
        loop = asyncio.get_running_loop()
        await asyncio.sleep(30)
        await loop.run_in_executor(None, add, team, "ann", "update")
        await asyncio.wait_for(asyncio.to_thread(add, team, "bob", "update"), 100)

    result = explore(in_a_loop(flow), bound=None)
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
    assert set(result.outcomes) == {"'ab'"}


@pytest.mark.parametrize("bound", [2, None])
def test_the_tasks_of_an_event_loop_in_a_thread_are_agents(bound):
    async def work(team, name, how):
        agent = team.async_agent(name)
        if how == "update":
            await agent.update("plan", lambda text: text + name[0])
        else:
            text = (await agent.read("plan")).text
            await agent.write("plan", text + name[0], overwrite=True)

    def both(how):
        async def flow(team):
            await asyncio.gather(*(work(team, name, how) for name in ("ann", "bob")))

        return in_a_loop(flow)

    with pytest.raises(Found) as found:
        explore(both("overwrite"), bound=bound)
    assert isinstance(found.value.cause, LostUpdate)
    result = explore(both("update"), bound=bound)
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
    assert set(result.outcomes) == {"'ab'", "'ba'"}


@pytest.mark.parametrize("bound", [2, None])
def test_calls_that_block_a_loop_in_a_thread_are_moves_to_other_threads(bound):
    async def thinks(team, name, how):
        await asyncio.sleep(0)
        add(team, name, how)

    def program_of(how):
        def program(team):
            programs.seed(team, "plan")

            async def flow():
                await asyncio.gather(thinks(team, "ann", how), thinks(team, "bob", how))

            def main():
                thread = threading.Thread(target=add, args=(team, "cyd", how))
                thread.start()
                asyncio.run(flow())
                thread.join()

            team.main(main)
            (text,) = programs.final(team, "plan")
            return text

        return program

    with pytest.raises(Found) as found:
        explore(program_of("overwrite"), bound=bound)
    assert isinstance(found.value.cause, LostUpdate)
    result = explore(program_of("update"), bound=bound)
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
    assert len(result.outcomes) == 6


def test_two_event_loops_in_threads():
    async def work(team, name):
        await team.async_agent(name).update("plan", lambda text: text + name[0])

    def program(team):
        programs.seed(team, "plan")
        team.run(
            ann=lambda: asyncio.run(work(team, "ann")), bob=lambda: asyncio.run(work(team, "bob"))
        )
        (text,) = programs.final(team, "plan")
        return text

    result = explore(program, bound=None)
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
    assert set(result.outcomes) == {"'ab'", "'ba'"}


@pytest.mark.slow
def test_an_event_loop_in_a_thread_whose_task_waits_for_ever_is_a_deadlock():
    async def flow(team):
        await asyncio.gather(asyncio.Event().wait(), asyncio.sleep(1))

    found = explore(in_a_loop(flow), raises=False).found
    assert isinstance(found.cause, Deadlock)


def test_a_loop_that_serves_the_process_outlives_the_run():
    """As the event bus of CrewAI: started in the first run, it is there in those that come."""
    service = []

    def serve(loop):
        asyncio.set_event_loop(loop)
        loop.run_forever()
        loop.close()

    async def told(word):
        return word

    def program(team):
        programs.seed(team, "plan")

        def main():
            if not service:
                service.append(asyncio.new_event_loop())
                thread = threading.Thread(target=serve, args=(service[0],), daemon=True)
                service.append(thread)
                thread.start()
            assert asyncio.run_coroutine_threadsafe(told("x"), service[0]).result(30) == "x"
            with ThreadPoolExecutor(2) as pool:
                for name in ("ann", "bob"):
                    pool.submit(add, team, name, "update")

        team.main(main)
        (text,) = programs.final(team, "plan")
        return text

    try:
        for _ in range(3):
            result = explore(program, bound=None)
            assert result.found is None
            assert set(result.outcomes) == {"'ab'", "'ba'"}
            assert result.verdict is ExplorationVerdict.UNDETERMINED
            assert "a thread that is not scheduled was given work" in str(result)
    finally:
        loop, thread = service
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def test_a_thread_whose_class_says_what_it_does():
    class Adder(threading.Thread):
        def __init__(self, team, name):
            super().__init__()
            self.given = team, name, "update"

        def run(self):
            add(*self.given)

    def both(team):
        threads = [Adder(team, name) for name in ("ann", "bob")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    result = explore(program_of(lambda team, _: both(team), "update"), bound=None)
    assert result.verdict is ExplorationVerdict.PROOF
    assert set(result.outcomes) == {"'ab'", "'ba'"}


def test_what_a_library_sleeps_takes_no_time():
    """Trying again lets others go on; a loop that polls lets time pass."""
    library = {"__name__": "library", "time": time}
    code = "def pause(seconds):\n    time.sleep(seconds)\n"
    exec(compile(code, f"{sysconfig.get_paths()['purelib']}/library.py", "exec"), library)

    def program(team):
        ann, bob, _ = programs.seed(team, "plan")
        begun = team.now

        def tries():
            library["pause"](1_000)
            ann.update("plan", lambda text: text + "a")
            while team.now < begun + 1_000:
                library["pause"](100)

        team.run(ann=tries, bob=lambda: bob.update("plan", lambda text: text + "b"))
        return programs.final(team, "plan")

    result = explore(program, bound=None)
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
    assert len(result.outcomes) == 2
    assert result.seconds < 100


def test_a_library_that_polls_for_what_is_outside_is_named():
    library = {"__name__": "library", "time": time}
    code = "def pause(seconds):\n    time.sleep(seconds)\n"
    exec(compile(code, f"{sysconfig.get_paths()['purelib']}/library.py", "exec"), library)
    runs = []

    def program(team):
        runs.append(1)
        ann, bob, _ = programs.seed(team, "plan")

        def tries():
            if len(runs) > 1:
                library["pause"](0.1)
            ann.read("plan")

        team.run(ann=tries, bob=lambda: bob.read("plan"))

    with pytest.raises(Nondeterminism, match=r"next ann: pause at library\.py:2"):
        explore(program)


def test_a_long_import_is_not_stuck(tmp_path, monkeypatch):
    """The import ends once the watch has found it; without that look it does not end."""
    reads, writes = os.pipe()
    (tmp_path / "long_import.py").write_text(f"import os\nos.read({reads}, 1)\n")
    monkeypatch.syspath_prepend(tmp_path)

    def found(stack):
        importing = is_importing(stack)
        if importing:
            os.write(writes, b"x")
        return importing

    monkeypatch.setattr("coherence.testing.threads.is_importing", found)

    def program(team):
        sys.modules.pop("long_import", None)

        def work():
            import long_import

            assert long_import
            team.agent("ann").update("plan", lambda text: text + "a")

        team.run(ann=work)

    try:
        result = explore(program, patience_s=0.5, bound=None)
    finally:
        os.close(writes)
        os.close(reads)
    assert result.verdict is ExplorationVerdict.PROOF, str(result)


def test_a_member_that_is_named_by_chance_is_no_divergence():
    def program(team):
        programs.seed(team, "plan")
        works = {n: lambda n=n: add(team, f"{n}.{random.random()}", "update") for n in ("a", "b")}
        team.run(**works)
        return programs.final(team, "plan")

    result = explore(program, bound=None)
    assert result.verdict is ExplorationVerdict.PROOF, str(result)
    assert set(result.outcomes) == {"('ab',)", "('ba',)"}


def test_a_run_that_a_foreign_thread_makes_differ_is_no_failure():
    """It is undetermined, with the reason."""
    turns = count()

    def program(team):
        ann, bob, _ = programs.seed(team, "plan", "other")
        event = threading.Event()

        def told():
            ann.read("other" if next(turns) else "plan")
            thread = Foreign(target=event.set)
            thread.start()
            event.wait()

        add_b = partial(bob.update, "plan", lambda text: text + "b")
        add_c = partial(team.agent("cyd").update, "plan", lambda text: text + "c")
        team.run(ann=told, bob=add_b, cyd=add_c)

    start = threading.Thread.start  # not the one that adopts

    class Foreign(threading.Thread):
        def start(self):
            start(self)

    result = explore(program, raises=False, walks=3)
    assert result.found is None
    assert result.verdict is ExplorationVerdict.UNDETERMINED
    assert "not reproducible" in str(result)
