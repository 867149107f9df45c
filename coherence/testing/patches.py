"""What is replaced while a run lasts, and put back after it.

Only calls from the user's files are meant: those of the standard library, of installed packages and
of this distribution keep what they had.  The one exception is `Knock.wait`, through which agents of
a workspace wait.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from types import ModuleType
from typing import Any, TypeVar

from coherence.runtime import token_counts
from coherence.testing.adopted import Adoption
from coherence.testing.before import Before
from coherence.testing.frames import asker, is_between, is_importing, is_users, of_program, place_of
from coherence.testing.instead import Replaced, all_instead, instead
from coherence.testing.locks import Cooperative, waits_for_locks
from coherence.testing.oracles import Waiting
from coherence.testing.owned import Owned
from coherence.testing.scheduler import Actor
from coherence.testing.stage import Stage
from coherence.testing.staged import StagedWorkspace
from coherence.testing.task_locks import TaskLocks
from coherence.tokens import Estimate
from coherence.workspace.threads import TaskThreads
from coherence.workspace.workspace import Workspace
from message_passing.interrupts import Knock

T = TypeVar("T")


class Patches:
    """What stands in for clocks, locks and waits during a run on `stage`."""

    def __init__(self, stage: Stage, before: Before) -> None:
        self._stage, self._before = stage, before
        self._program = threading.get_ident()
        self._locks, self._lasts = 0, False
        self._sleep, self._async_sleep = vars(time)["sleep"], asyncio.sleep
        #: Where a library has last slept in each agent, and after how many moves of it.
        self._pauses: dict[Actor, tuple[str, int]] = {}
        self._wait = Knock.wait
        self._tasks = TaskLocks(stage)
        stage.lock_waits = self._lock_waits

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Install them, and put everything back."""
        found: dict[tuple[Any, str], Any] = {
            (time, "sleep"): self._sleeping_thread(),
            (asyncio, "sleep"): self._sleeping(),
            (threading, "Lock"): self._lock(threading.Lock, reentrant=False),
            (threading, "RLock"): self._lock(threading.RLock, reentrant=True),
            (Knock, "wait"): self._waiting(),
            (Workspace, "__init__"): self._opening(Workspace.__init__),
            (TaskThreads, "run"): self._in_place(TaskThreads.run),
            # To load a tokenizer takes longer than many runs.
            (token_counts, "_installed"): Estimate,
        }
        replaced: list[Replaced] = [(*key, what) for key, what in found.items()]
        replaced += self._made_before(replaced)
        replaced += [*Adoption(self._stage).replaced(), *self._tasks.replaced()]
        self._lasts = True
        try:
            with all_instead(replaced), instead(Stage, "present", self._stage):
                yield
        finally:
            self._lasts = False  # a module that was imported meanwhile may have some of them

    def _made_before(self, replaced: Sequence[Replaced]) -> list[Replaced]:
        """What the user's modules hold, where these functions are replaced."""
        functions = {
            vars(where)[name]: what
            for where, name, what in replaced
            if isinstance(where, ModuleType)
        }
        self._before.look(functions)
        known = self._tasks.made_before(self._before.of_tasks)
        return [*self._before.replaced(functions, self._cooperative), *known]

    def _cooperative(
        self, kind: str, name: str, reentrant: bool, quiet: bool = False
    ) -> Cooperative:
        inner = kind not in ("lock", "condition")
        words = f"{kind} {name}"
        return Cooperative(self._stage, words, reentrant=reentrant, quiet=quiet, inner=inner)

    def _sleeping_thread(self) -> Callable[[float], None]:
        """A thought is a move that touches nothing, of any length."""
        stage = self._stage

        @wraps(self._sleep)
        def sleep(seconds: float) -> None:
            frame = sys._getframe(1)
            if not self._lasts:
                self._sleep(seconds)
            elif not is_users(frame):
                self._paused(seconds, place_of(frame))
            elif stage.me() is not None:
                stage.threads.step((), "think")
            elif threading.get_ident() == self._program:
                stage.threads.wait_outside(lambda: False, stage.run.now + seconds)
            else:
                self._sleep(seconds)

        return sleep

    def _paused(self, seconds: float, place: str) -> None:
        """A library sleeps, such as one that tries again: a move, but time if it polls."""
        actor = self._stage.threads.me()
        if actor is None or self._stage.run.is_over:
            self._sleep(seconds)
            return
        polls = self._pauses.get(actor) == (place, actor.moves)
        if polls:
            self._stage.threads.block(lambda: False, self._stage.run.now + seconds)
        else:
            self._stage.threads.step((), f"pause at {place}")
        self._pauses[actor] = place, actor.moves

    def _sleeping(self) -> Callable[..., Any]:
        async def plain(delay: float, result: Any) -> Any:
            return await self._async_sleep(delay, result)

        async def thought(result: Any) -> Any:
            await self._stage.tasks.step((), "think")
            return result

        @wraps(self._async_sleep)
        def sleep(delay: float, result: Any = None) -> Any:
            tasks = self._stage.tasks
            if not self._lasts or not is_users(sys._getframe(1)) or tasks.me() is None:
                return plain(delay, result)
            return thought(result)

        return sleep

    def _lock(self, make: Callable[[], Any], *, reentrant: bool) -> Callable[[], Any]:
        @wraps(make)
        def lock() -> Any:
            if not self._lasts:
                return make()
            frame, kind = asker(sys._getframe(1))
            # An adapter may call a workspace while it holds a lock.
            quiet = is_between(frame)
            if not quiet and (not is_users(frame) or is_importing(of_program(frame))):
                return make()
            self._locks += 1
            name = f"{self._locks} of {place_of(frame)}"
            return self._cooperative(kind, name, reentrant, quiet)

        return lock

    def _waiting(self) -> Callable[..., bool]:
        stage = self._stage

        def wait(knock: Knock, timeout_s: float | None = None) -> bool:
            is_program = threading.get_ident() == self._program
            if stage.run.is_settling or (stage.threads.me() is None and not is_program):
                return self._wait(knock, timeout_s)
            until = None if timeout_s is None else stage.run.now + max(0.0, timeout_s)
            if stage.threads.me() is not None:
                stage.threads.block(lambda: knock.is_due, until)
            else:
                stage.threads.wait_outside(lambda: knock.is_due, until)
            return knock.is_due and self._wait(knock, 0.0)

        return wait

    def _opening(self, plain: Callable[..., None]) -> Callable[..., None]:
        def init(workspace: Workspace, *given: Any, **options: Any) -> None:
            """A workspace that is opened during a run is on its time, and its calls are moves."""
            if "clock" in options or "background" in options or self._stage.run.is_settling:
                plain(workspace, *given, **options)
                return
            url = given[0] if given else options.pop("url", "memory://")
            store = self._stage.store(url, options.get("retention"))
            try:
                plain(
                    workspace,
                    store,
                    *given[1:],
                    clock=self._stage.run.clock,
                    background=Owned(),
                    **options,
                )
            except BaseException:
                if store is not url:  # the caller closes a store that was passed in
                    store.close()
                raise
            StagedWorkspace(self._stage, workspace)

        return init

    def _in_place(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        async def run(threads: TaskThreads, work: Callable[..., T], *arguments: object) -> T:
            """A call at any store is made in the task, as one at a store in memory is."""
            if threading.get_ident() == self._program or self._stage.threads.me() is not None:
                return work(*arguments)
            result: T = await plain(threads, work, *arguments)
            return result

        return run

    def _lock_waits(self) -> Mapping[str, Waiting]:
        """Which agents wait for a lock without end, and for whom."""
        return {**waits_for_locks(self._stage.run.actors), **self._tasks.waits()}
