"""What tasks wait for beside their workspace: locks and the like of asyncio, which the user makes.

Each wait for one is a move before it begins.  What does not wait, such as
`asyncio.Semaphore.release`, is a part of the move before.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from typing import Any

from coherence.testing.before import Held
from coherence.testing.frames import asker, is_by_users, is_importing, is_users, outwards, place_of
from coherence.testing.instead import Replaced
from coherence.testing.moves import Access
from coherence.testing.oracles import Thing, Waiting
from coherence.testing.scheduler import Actor
from coherence.testing.stage import Stage

#: By class: the calls that may wait, with words for them, and those that do not.
CALLS: Mapping[type, tuple[Mapping[str, str], tuple[str, ...]]] = {
    asyncio.Semaphore: ({"acquire": "acquire"}, ("release",)),
    asyncio.Queue: (
        {"get": "get from", "put": "put into", "join": "wait for"},
        ("get_nowait", "put_nowait", "task_done", "empty", "full", "qsize"),
    ),
}


class TaskLocks:
    """Those of one run."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._acquire = asyncio.Lock.acquire
        self._things: dict[int, tuple[object, Thing]] = {}
        #: Which task has a lock, and which lock each task wants.
        self._held: dict[int, Actor] = {}
        self._wanted: dict[Actor, asyncio.Lock] = {}

    def replaced(self) -> Iterator[Replaced]:
        """The attributes that have another value while a run lasts."""
        yield asyncio.Lock, "__init__", self._named(asyncio.Lock)
        yield asyncio.Lock, "acquire", self._acquiring()
        for kind, (waits, others) in CALLS.items():
            yield kind, "__init__", self._named(kind)
            for name, words in waits.items():
                yield kind, name, self._waiting(getattr(kind, name), words)
            for name in others:
                yield kind, name, self._touching(getattr(kind, name))

    def know(self, before: Iterable[Held]) -> None:
        """Know what was made before the program."""
        for held in before:
            self._things[id(held.value)] = held.value, Thing("lock", f"{held.kind} {held.name}")

    def waits(self) -> Mapping[str, Waiting]:
        """Which tasks wait for a lock without end, and for whom."""
        found = {}
        for actor, lock in self._wanted.items():
            if lock.locked() and (holder := self._held.get(id(lock))) is not None:
                _, thing = self._things.get(id(lock), (lock, Thing("lock", "a lock")))
                found[actor.blamed.name] = Waiting(str(thing.name), holder.blamed.name)
        return found

    def _named(self, kind: type) -> Callable[..., None]:
        plain = vars(kind)["__init__"]

        def init(made: object, *given: Any, **options: Any) -> None:
            plain(made, *given, **options)
            frame, what = asker(sys._getframe(1), kind.__name__.lower())
            if is_users(frame) and not is_importing(outwards(frame)):
                name = f"{what} {len(self._things) + 1} of {place_of(frame)}"
                self._things[id(made)] = made, Thing("lock", name)

        return init

    def _access(self, made: object) -> Access:
        return ((self._things[id(made)][1], True),)

    async def _stop_before(self, made: object, words: str) -> None:
        if id(made) in self._things:
            access = self._access(made)
            await self._stage.tasks.step(access, f"{words} {access[0][0]}")
        elif self._stage.tasks.me() is not None and is_by_users(sys._getframe(1).f_back):
            self._stage.doubt_order(made)

    def _waiting(self, plain: Callable[..., Coroutine[Any, Any, Any]], words: str) -> Any:
        async def call(made: object, *given: Any, **options: Any) -> Any:
            await self._stop_before(made, words)
            return await plain(made, *given, **options)

        return call

    def _touching(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(made: object, *given: Any, **options: Any) -> Any:
            if id(made) in self._things and (me := self._stage.tasks.me()) is not None:
                self._stage.run.touch(me, self._access(made))
            return plain(made, *given, **options)

        return call

    def _acquiring(self) -> Callable[..., Any]:
        async def acquire(lock: asyncio.Lock) -> bool:
            await self._stop_before(lock, "acquire")
            actor = self._stage.tasks.me()
            if actor is None:
                return bool(await self._acquire(lock))
            self._wanted[actor] = lock
            try:
                done = await self._acquire(lock)
            finally:
                del self._wanted[actor]
            self._held[id(lock)] = actor
            return bool(done)

        return acquire
