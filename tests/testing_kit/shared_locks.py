"""What agents of threads and of tasks may share, each as a lock: called, it is for a `with`.

And a program whose agents meet at one.
"""

import asyncio
import contextlib
import queue
import threading
from threading import Lock, RLock

from coherence.testing import ExplorationVerdict, explore


def token_of(tokens):
    """A queue with one token in it, as a lock."""
    tokens.put(1)

    @contextlib.contextmanager
    def held():
        token = tokens.get()
        try:
            yield
        finally:
            tokens.put(token)

    return held


def token_of_tasks(tokens):
    tokens.put_nowait(1)

    @contextlib.asynccontextmanager
    async def held():
        token = await tokens.get()
        try:
            yield
        finally:
            tokens.put_nowait(token)

    return held


def constant(made):
    return lambda: made


THREADS = {
    "lock": lambda: constant(threading.Lock()),
    "lock by a name of its own": lambda: constant(Lock()),
    "re-entrant lock": lambda: constant(threading.RLock()),
    "re-entrant lock by a name of its own": lambda: constant(RLock()),
    "semaphore": lambda: constant(threading.Semaphore(1)),
    "bounded semaphore": lambda: constant(threading.BoundedSemaphore()),
    "condition": lambda: constant(threading.Condition()),
    "condition of a lock": lambda: constant(threading.Condition(threading.Lock())),
    "queue": lambda: token_of(queue.Queue()),
    "last in, first out": lambda: token_of(queue.LifoQueue()),
}
TASKS = {
    "lock": lambda: constant(asyncio.Lock()),
    "semaphore": lambda: constant(asyncio.Semaphore(1)),
    "bounded semaphore": lambda: constant(asyncio.BoundedSemaphore()),
    "condition": lambda: constant(asyncio.Condition()),
    "queue": lambda: token_of_tasks(asyncio.Queue()),
}


def signed(held):
    """Two threads sign in turn."""

    def program(team):
        team.agent("clerk").write("log.md", "")

        def sign(name):
            def work():
                with held():
                    text = team.agent(name).read("log.md").text
                    team.agent(name).write("log.md", text + name)

            return work

        team.run(ann=sign("ann"), bob=sign("bob"))
        return team.agent("clerk").read("log.md").text

    return program


def require_both_orders(program):
    result = explore(program, bound=None)
    assert result.verdict is ExplorationVerdict.PROOF, result
    assert set(result.outcomes) == {"'annbob'", "'bobann'"}
    return result
