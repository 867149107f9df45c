"""What tasks wait for beside their workspace: locks and the like of asyncio, which the user makes.

Each wait for one is a move before it begins.  What does not wait, such as
`asyncio.Semaphore.release`, is a part of the move before.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from coherence.testing.before import Held
from coherence.testing.frames import (
    asker,
    is_by_users,
    is_importing,
    is_users,
    of_program,
    place_of,
)
from coherence.testing.instead import Container, Replaced
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


#: The attribute of such an object that has what a run knows of it.
KNOWN: Final = "_known_to_a_run"


class Known(NamedTuple):
    """What a run knows of an object that its agents wait for."""

    thing: Thing
    stage: Stage
    #: Has it begin again, as in a run that finds it in a module.
    begin: Callable[[Any], None]


def _nothing(made: object) -> None:
    """As it is: it was found before the run, and put back as it was before the first."""


class TaskLocks:
    """Those of one run."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._acquire = asyncio.Lock.acquire
        self._named = 0
        #: Which task has a lock, and which lock each task wants.
        self._held: dict[int, Actor] = {}
        self._wanted: dict[Actor, asyncio.Lock] = {}

    def replaced(self) -> Iterator[Replaced]:
        """The attributes that have another value while a run lasts."""
        yield asyncio.Lock, "__init__", self._making(asyncio.Lock)
        yield asyncio.Lock, "acquire", self._acquiring()
        for kind, (waits, others) in CALLS.items():
            yield kind, "__init__", self._making(kind)
            for name, words in waits.items():
                yield kind, name, self._waiting(getattr(kind, name), words)
            for name in others:
                yield kind, name, self._touching(getattr(kind, name))

    def made_before(self, before: Iterable[Held]) -> Iterator[Replaced]:
        """What has to be known of those that were made before the program."""
        for held in before:
            attributes = vars(held.value)
            _, stage, begin = attributes.get(KNOWN) or (None, self._stage, _nothing)
            thing = Thing("lock", f"{held.kind} {held.name}")
            yield Container(attributes), KNOWN, Known(thing, stage, begin)

    def waits(self) -> Mapping[str, Waiting]:
        """Which tasks wait for a lock without end, and for whom."""
        found = {}
        for actor, lock in self._wanted.items():
            if lock.locked() and (holder := self._held.get(id(lock))) is not None:
                known = vars(lock).get(KNOWN)
                name = str(known.thing.name) if known is not None else "a lock"
                found[actor.blamed.name] = Waiting(name, holder.blamed.name)
        return found

    def _making(self, kind: type) -> Callable[..., None]:
        plain = vars(kind)["__init__"]

        def init(made: object, *given: Any, **options: Any) -> None:
            plain(made, *given, **options)
            frame, what = asker(sys._getframe(1), kind.__name__.lower())
            if is_users(frame) and not is_importing(of_program(frame)):
                self._named += 1
                thing = Thing("lock", f"{what} {self._named} of {place_of(frame)}")

                def begin(again: Any) -> None:
                    vars(again)["_loop"] = None  # that of another run
                    plain(again, *given, **options)

                vars(made)[KNOWN] = Known(thing, self._stage, begin)

        return init

    def _access(self, made: object) -> Access | None:
        """What a use of this touches, if it is known."""
        known: Known | None = vars(made).get(KNOWN)
        if known is None:
            return None
        if known.stage is not self._stage:  # an earlier run has left it
            known.begin(made)
            vars(made)[KNOWN] = known._replace(stage=self._stage)
        return ((known.thing, True),)

    async def _stop_before(self, made: object, words: str) -> None:
        if (access := self._access(made)) is not None:
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
            access = self._access(made)
            if access is not None and (me := self._stage.tasks.me()) is not None:
                self._stage.run.touch(me, access)
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
