"""What agents of threads and of tasks may share, each as a lock: called, it is for a `with`."""

import asyncio
import contextlib
import queue
import threading
from threading import Lock, RLock


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
