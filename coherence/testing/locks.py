"""Locks that the user supplies, which the scheduler knows: acquiring one is a move.

So is each use of what has a lock of its own: a condition, a semaphore, a queue.
"""

from __future__ import annotations

import _thread
import math
import threading
import time
from collections.abc import Mapping
from typing import Any

from coherence.testing.moves import Access
from coherence.testing.oracles import Thing, Waiting
from coherence.testing.scheduler import Actor, At
from coherence.testing.stage import Stage


class Cooperative:
    """A `threading.Lock`, or with `reentrant` a `threading.RLock`, for the agents of one run.

    With `quiet`, acquiring it is part of the move under way: for locks that no agent sees.  The
    user's modules may keep it: in another run it begins again, and outside of all it is a lock of
    the interpreter's.
    """

    def __init__(
        self,
        stage: Stage,
        name: str,
        *,
        reentrant: bool = False,
        quiet: bool = False,
        inner: bool = False,
    ) -> None:
        self._reentrant, self._quiet = reentrant, quiet
        self._plain: Any = threading.RLock() if reentrant else _thread.allocate_lock()
        #: Whether it belongs to something that the user sees in its place.
        self._inner = inner
        self._thing = Thing("lock", name)
        self._begin(stage)

    def _begin(self, stage: Stage) -> None:
        self._stage = stage
        self._count = 0
        self._holder: Actor | None = None
        #: How often an agent releases it that could not take it again, since it unwinds.
        self._unheld: dict[Actor | None, int] = {}

    def __str__(self) -> str:
        return str(self._thing)

    @property
    def holder(self) -> Actor | None:
        """The agent that holds the lock."""
        return self._holder if self._count else None

    @property
    def _access(self) -> Access:
        return ((self._thing, True),)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """See `threading.Lock.acquire`."""
        stage = Stage.present
        if stage is None:
            self._count = 0
            return bool(self._plain.acquire(blocking, timeout))
        if stage is not self._stage:
            if self._inner:  # of a semaphore or a queue, which keeps its number or its items
                stage.doubt_order(str(self))
            self._begin(stage)
        me = stage.me()
        if self._reentrant and self._count and self._holder is me:
            self._count += 1
            return True
        until = stage.run.now + timeout if timeout >= 0 else None
        if me is not None and not self._quiet:
            stage.threads.step(self._access, f"{'use' if self._inner else 'acquire'} {self}")
        elif me is not None:
            stage.run.touch(me, self._access)
        if me is None and stage.threads.is_outside:
            return self._take_outside(stage, blocking, timeout)
        while self._count:
            if not blocking or (until is not None and stage.run.now >= until):
                return False
            if me is None:
                stage.threads.wait_outside(self._is_free, until)
            else:
                stage.threads.block(self._is_free, until, self)
        self._count, self._holder = 1, me
        return True

    def _take_outside(self, stage: Stage, blocking: bool, timeout: float) -> bool:
        """Take it in real time, for a thread that is not of the run."""
        until = time.monotonic() + timeout if timeout >= 0 else math.inf
        while self._count and Stage.present is stage:
            if not blocking or time.monotonic() >= until:
                return False
            stage.threads.pause()
        if Stage.present is not stage:
            return self.acquire(blocking, timeout)
        if not self._quiet:
            thread = threading.current_thread().name
            stage.run.doubts.append(f"a thread that is not scheduled, {thread}, has taken {self}")
        self._count, self._holder = 1, None
        return True

    def release(self) -> None:
        """See `threading.Lock.release`."""
        if Stage.present is not self._stage:
            if self._count:  # an agent of a run that is over unwinds
                self._count -= 1
            elif Stage.present is None:
                self._plain.release()
            return
        if self._unheld and (unheld := self._unheld.pop(me := self._stage.me(), 0)):
            if unheld > 1:
                self._unheld[me] = unheld - 1
            return
        if not self._count:
            raise RuntimeError("release unlocked lock")
        self._count -= 1
        if not self._count:
            me = self._stage.me()
            if me is not None and not self._stage.run.is_over:
                words = "" if self._quiet or self._inner else f"release {self}"
                self._stage.run.touch(me, self._access, words)

    def locked(self) -> bool:
        """See `threading.Lock.locked`."""
        return bool(self._count if Stage.present is not None else self._plain.locked())

    def _is_free(self) -> bool:
        return not self._count

    def __getattr__(self, name: str) -> Any:
        """What a `threading.Condition` asks of a re-entrant lock."""
        found = {
            "_is_owned": self._is_mine,
            "_release_save": self._let_go,
            "_acquire_restore": self._take_again,
        }
        if name not in found:
            raise AttributeError(name)
        return found[name]

    def _is_mine(self) -> bool:
        if Stage.present is None:
            return bool(self._plain._is_owned() if self._reentrant else self._plain.locked())
        return bool(self._count) and self._holder is self._stage.me()

    def _let_go(self) -> Any:
        if Stage.present is None and self._reentrant:
            return self._plain._release_save()
        if Stage.present is None:
            return self.release()
        count, self._count = self._count, 1
        self.release()
        return count

    def _take_again(self, saved: Any) -> None:
        if Stage.present is None and self._reentrant:
            self._plain._acquire_restore(saved)
            return
        self.acquire()
        if Stage.present is not None:
            self._count = saved

    def is_not_taken_again(self, count: int) -> None:
        """The present agent unwinds from a wait: what it would release, it does not hold."""
        if (me := self._stage.me()) is not None:
            self._unheld[me] = count

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *error: Any) -> None:
        self.release()


def waits_for_locks(actors: list[Actor]) -> Mapping[str, Waiting]:
    """Which agents wait for a lock without end, and for whom."""
    return {
        actor.blamed.name: Waiting(str(actor.on), actor.on.holder.blamed.name)
        for actor in actors
        if actor.at is At.WAITING
        and actor.until is None
        and isinstance(actor.on, Cooperative)
        and actor.on.holder is not None
    }
