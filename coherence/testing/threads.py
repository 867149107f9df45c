"""Agents in threads of their own, of which one runs at a time."""

from __future__ import annotations

import sys
import threading
import time
from _thread import allocate_lock, get_ident
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures.thread import _threads_queues
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

from coherence.testing.cores import Core
from coherence.testing.errors import Ended, Killed, Stuck
from coherence.testing.frames import is_importing, line_of, outwards
from coherence.testing.moves import Access
from coherence.testing.scheduler import Actor, At, TeamRun
from message_passing.process import Time

#: How long an agent may run without a move, in seconds of real time.
PATIENCE_S = 3.0
#: How long a run with nothing to do waits for a thread that is not scheduled, in seconds, and how
#: long it pauses between two looks.
OUTSIDE_S, PAUSE_S = 1.0, 0.001
#: How long an agent may import a module, such as a framework, in seconds of real time.
IMPORT_S = 120.0
#: Of the threads that are kept from run to run.
NAME = "coherence-testing"
#: Of the run under way: there is one in a process.
CORE = Core()
WOKEN = "a thread that is not scheduled has woken an agent"


class _Gate:
    """Closed until it is opened, for one thread at a time."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lock.acquire()

    def open(self) -> None:
        try:
            self._lock.release()
        except RuntimeError:
            return  # open already

    def pass_through(self, timeout_s: float = -1) -> bool:
        return CORE.wait(self._lock, timeout_s)


class _Worker:
    """A thread that is kept from run to run."""

    def __init__(self, idle: list[_Worker]) -> None:
        self._idle, self._begin = idle, _Gate()
        self._job: Callable[[], None]
        threading.Thread(target=self._work, name=NAME, daemon=True).start()

    def start(self, job: Callable[[], None]) -> None:
        self._job = job
        self._begin.open()

    def _work(self) -> None:
        while True:
            self._begin.pass_through()
            self._job()
            del self._job  # it keeps all of its run
            self._idle.append(self)


class ThreadRun:
    """Runs the agents of a `TeamRun` in threads; the thread of the program waits for their end."""

    #: Idle threads; forgotten after a run that left one of them somewhere.
    _idle: ClassVar[list[_Worker]] = []

    def __init__(self, run: TeamRun, patience_s: float = PATIENCE_S) -> None:
        self.run, self._patience_s = run, patience_s
        self._actors: dict[int, Actor] = {}
        self._gates: dict[int, _Gate] = {}
        self._done = _Gate()
        self._ticks = 0
        #: Whether an agent has given work to a thread that is not scheduled, and which may answer.
        self.has_given_outside = False
        self._program = get_ident()
        self._outside: deque[Callable[[], object]] = deque()
        self._pause = vars(time)["sleep"]
        #: Whether the run has ended because only daemons are left, which wait.
        self._is_complete = False
        self._threads: dict[int, int] = {}

    def me(self) -> Actor | None:
        """The agent of this thread."""
        return self._actors.get(get_ident())

    # Moves of the agent of this thread.

    def step(self, access: Access, label: str) -> None:
        """Stop before a move, and go on when the search has chosen it."""
        me = self.me()
        if me is None:
            return
        self._require(me)
        self.run.stop(me, access, label)
        self._hand_on(me)
        if (until := self.run.begin(me)) is not None:
            self.block(lambda: False, until)

    def block(self, has_come: Callable[[], bool], until: Time | None, on: Any = None) -> bool:
        """Wait until `has_come`; False if the time `until` came first."""
        me = self.me()
        assert me is not None
        self._require(me)
        me.has_come, me.until, me.on, me.is_late = has_come, until, on, False
        me.at = At.WAITING
        self._hand_on(me)
        me.on = None
        self._require(me)
        return not me.is_late

    def _require(self, me: Actor) -> None:
        if self.run.is_over:
            raise Ended
        if me.is_killed:
            raise Killed

    def _hand_on(self, me: Actor) -> None:
        chosen = self._next()
        if chosen is not me:
            if chosen is not None:
                chosen.go()
            self._gates[me.index].pass_through()
        self._ticks += 1

    def _next(self) -> Actor | None:
        """The agent that goes on; None if all unwind, or none is left."""
        run = self.run
        while not run.is_over:
            run.settle()
            if run.is_over:
                break
            run.wake()
            for actor in run.actors:
                if actor.at is At.LOCAL:
                    actor.at = At.RUNNING
                    return actor
            if (chosen := run.choose()) is not None:
                return chosen
            if run.is_over:
                break
            threads = [actor for actor in run.actors if actor.carrier is None]
            if all(actor.at is At.DONE or actor.is_daemon for actor in threads):
                if all(actor.at is At.DONE for actor in threads):
                    return None
                self._is_complete = True
                run.end()
                break
            if self.has_given_outside and self._has_come_from_outside():
                continue  # work for another thread takes no virtual time
            if run.pass_time() or run.has_ended() or self._has_come_from_outside():
                continue
            run.fail(run.idle_deadlock())
        self._release_all()
        return None

    def _has_come_from_outside(self) -> bool:
        """Whether a thread that is not scheduled has done something, in a moment of real time."""
        is_loop = any(actor.is_idle_loop for actor in self.run.actors)
        may_come = self.has_given_outside or is_loop or self._others()
        until = time.monotonic() + (OUTSIDE_S if may_come else 0)
        while True:
            if self._outside:
                self._outside.popleft()()
                return True
            if any(actor.at is At.WAITING and actor.has_come() for actor in self.run.actors):
                self.run.doubts.append(WOKEN)
                return True
            if time.monotonic() >= until:
                self.has_given_outside = False
                return False
            self.pause()

    @property
    def is_outside(self) -> bool:
        """Whether this thread is neither the program's nor one that an agent has run in."""
        ident = get_ident()
        return ident != self._program and ident not in self._threads.values()

    def pause(self) -> None:
        """A moment of real time."""
        self._pause(PAUSE_S)

    def _others(self) -> bool:
        """Whether there are threads that are not scheduled, apart from those that wait for jobs."""
        known = {*self._threads.values(), self._program}
        return any(
            thread.ident not in known and thread.name != NAME and thread not in _threads_queues
            for thread in threading.enumerate()
        )

    def give_outside(self) -> None:
        """The agent of this thread gives work to one that is not scheduled, and may answer."""
        self.has_given_outside = True
        self.run.doubts.append("a thread that is not scheduled was given work")

    def from_outside(self, what: Callable[[], object]) -> None:
        """Do `what`, for a thread that is not scheduled: where no agent can make a move."""
        if self.run.is_over:
            what()
            return
        self.run.doubts.append(f"{WOKEN}: {threading.current_thread().name}")
        self._outside.append(what)

    def others_can_go_on(self) -> bool:
        """Whether a thread other than this one could make a move now."""
        me = self.me()
        return any(
            actor is not me and actor.carrier is None and actor.at in (At.READY, At.LOCAL)
            for actor in self.run.actors
        )

    def _release_all(self) -> None:
        for actor in self.run.actors:
            if actor.at is not At.DONE:
                actor.go()

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """In the block this thread is not an agent: what it waits for comes from no agent."""
        actor = self._actors.pop(get_ident(), None)
        try:
            yield
        finally:
            if actor is not None:
                self._actors[get_ident()] = actor

    # The agents' lives.

    def adopt(self, name: str, parent: Actor | None = None) -> Actor:
        """A new agent, which runs in a thread that calls `live` with it."""
        actor = self.run.add(name, parent)
        gate = self._gates[actor.index] = _Gate()
        actor.go = gate.open
        return actor

    def _start(
        self, worker: _Worker, actor: Actor, work: Callable[[], Any], go_on: Callable[[], None]
    ) -> None:
        """The first turn of an agent: its thread is woken only now."""
        actor.go = go_on
        worker.start(partial(self._live, actor, work))

    def live(self, actor: Actor, work: Callable[[], Any]) -> None:
        """Be `actor` in this thread, from its first turn to its end; call `work`."""
        self._gates[actor.index].pass_through()
        self._live(actor, work)

    def _live(self, actor: Actor, work: Callable[[], Any]) -> None:
        self._actors[get_ident()] = actor
        self._threads[actor.index] = get_ident()
        try:
            if not self.run.is_over:
                actor.result = work()
        except (Ended, Killed):
            pass
        except BaseException as error:
            if not self.run.is_over:
                actor.error = error
                self.run.fail(error)
        finally:
            if self.me() is actor:
                self._leave(actor)
                self._go_on()

    def serve(self, actor: Actor) -> None:
        """From now on this thread serves the process, in later runs too, and is not an agent."""
        self.run.has_started_service = True
        self._leave(actor)
        self._spare_worker().start(self._go_on)  # which may wait for the service

    def _leave(self, actor: Actor) -> None:
        actor.at = At.DONE
        del self._actors[get_ident()]
        self._ticks += 1

    def _spare_worker(self) -> _Worker:
        """A thread of the kit that is idle."""
        return self._idle.pop() if self._idle else _Worker(self._idle)

    def _go_on(self) -> None:
        if (chosen := self._next()) is not None:
            chosen.go()
        elif self._are_done():
            self._done.open()

    def _are_done(self) -> bool:
        return all(actor.at is At.DONE for actor in self.run.actors if actor.carrier is None)

    def main(self, work: Callable[[], Any]) -> Any:
        """Run `work`, whose threads become agents of their own; its result."""
        return self.all_of({"main": work}, is_main=True)["main"]

    def all_of(
        self, works: Mapping[str, Callable[[], Any]], *, is_main: bool = False
    ) -> dict[str, Any]:
        """Run `works` as agents of these names; their results.  Raises what has failed."""
        begun = [(self.adopt(name), work) for name, work in works.items()]
        for actor, _ in begun:
            actor.is_main = is_main
        for actor, work in begun:
            actor.go = partial(self._start, self._spare_worker(), actor, work, actor.go)
        self._done = _Gate()
        try:
            CORE.move_here()
            if (first := self._next()) is not None:
                first.go()
            self._wait()
        except BaseException:  # an interrupt of the thread of the program
            self.run.end()
            self._release_all()
            if not self._are_done() and not self._done.pass_through(self._patience_s):
                ThreadRun._idle = []
            raise
        if self.run.failure is not None:
            raise self.run.failure
        if self.run.is_over and not self._is_complete:
            raise Ended
        self._is_complete = self.run.is_over = False
        return {actor.name: actor.result for actor, _ in begun}

    def _wait(self) -> None:
        """Wait for the end of every agent, while some agent makes moves."""
        seen, since = -1, time.monotonic()
        while not self._done.pass_through(self._patience_s):
            if self._ticks != seen:
                seen, since = self._ticks, time.monotonic()
                continue
            if self._is_importing() and time.monotonic() < since + IMPORT_S:
                continue
            self.run.fail(Stuck(self._where()))
            self._release_all()
            self._done.pass_through(self._patience_s)
            ThreadRun._idle = []  # some of these threads may never come back
            return

    def _is_importing(self) -> bool:
        frames = sys._current_frames()
        return any(
            is_importing(outwards(frames.get(self._threads.get(actor.index, -1))))
            for actor in self.run.actors
            if actor.at is At.RUNNING
        )

    def _where(self) -> str:
        """Where each agent is, by its line and its state."""
        frames = sys._current_frames()
        found = []
        for actor in self.run.actors:
            frame = frames.get(self._threads.get(actor.index, -1))
            if actor.at is At.DONE or frame is None:
                continue
            line = line_of(outwards(frame))
            what = "runs" if actor.at is At.RUNNING else actor.at.name.lower()
            found.append(f"{actor.name} ({what}, {line}, after: {actor.label})")
        return f"no move for {self._patience_s:g} s: {'; '.join(found)}"

    # Waits of the program itself, outside of every agent.

    def wait_outside(self, has_come: Callable[[], bool], until: Time | None) -> bool:
        """As `block`, for the thread of the program: time passes at once."""
        run = self.run
        while True:
            run.settle()
            if has_come():
                return True
            if until is not None and run.now >= until:
                return False
            if not run.pass_time([until] if until is not None else []):
                if run.failure is not None:
                    raise run.failure
                raise run.idle_deadlock()
