"""Lets an agent that an adapter created leave, once there is no work for it.

A desk holds its agent's seat during each piece of work: a run, a block, one call.  When the last
hold ends, the agent stays for `LINGER_S`, so that a following run can use its copies.  Then a
background thread makes it leave: the caller need not wait for the leave message, and the garbage
collector, which may notice the end, must not wait for a lock or a disk.  The same name joins again
with the next call.

At the end of the process all agents leave at once, within `FAREWELL_S`.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Final, TypeAlias
from weakref import WeakValueDictionary, finalize, ref

from coherence.refs import check_agent
from coherence.workspace.workspace import Workspace, agent_in_use, site_of
from message_passing.interrupts import Knock, start

#: How long an agent stays without work.
LINGER_S = 2.0
#: How long the end of a process may wait for leave messages.
FAREWELL_S: Final = 1.0

Work: TypeAlias = Callable[[], object]

log = logging.getLogger("coherence.context")


class Seat:
    """The shared state of all desks of one agent in one workspace."""

    def __init__(self, workspace: Workspace, agent: str) -> None:
        self.workspace, self.name = workspace, agent
        self._site = site_of(workspace)
        #: Held during a call; a thread may hold it again.
        self.busy = threading.RLock()
        self._counting, self._moving = threading.Lock(), threading.Lock()
        self._holders = 0
        self._idle_since = 0.0
        #: Whether a desk created the agent: the application's own agent is left alone.
        self._ours = False
        #: The application's agent object, known to be in use.
        self._agent: Callable[[], object] = lambda: None
        #: Whether the agent is leaving right now.
        self.leaving = False

    @property
    def held(self) -> bool:
        """Whether there is work for the agent."""
        return self._holders > 0

    def hold(self) -> None:
        """Keep the agent until `let_go`.  Waits while it is leaving."""
        _thread.start()
        while True:
            with self._counting:
                if not self.leaving:
                    if not self._holders and not self._ours:
                        there = self._site.sessions.get(self.name)
                        self._ours = there is None or there.fault is not None
                    self._holders += 1
                    return
            self.settle()

    def hold_for(self, owner: object) -> None:
        """Hold the seat for as long as `owner` lives."""
        self.hold()
        when_gone(owner, self.let_go)

    def let_go(self) -> None:
        """End a `hold`."""
        with self._counting:
            self._holders -= 1
            if not self._holders:
                self._idle_since = monotonic()
                _thread.do(self._leave_if_idle, LINGER_S)

    def settle(self) -> None:
        """Wait while the agent is leaving."""
        with self._moving:
            pass

    def close(self) -> None:
        """Make the agent leave, unless there is work for it."""
        self._leave(lambda: self._unused)

    def end(self) -> None:
        """Make the agent leave even if there is work: the process ends."""
        self._leave(lambda: True)

    def _leave_if_idle(self) -> None:
        self._leave(lambda: self._unused and monotonic() >= self._idle_since + LINGER_S)

    @property
    def _unused(self) -> bool:
        """Whether neither a desk nor the application uses the agent."""
        agent = agent_in_use(self.workspace, self.name)
        if agent is not None and agent is not self._agent():
            self._agent = ref(agent)
            when_gone(agent, self.close)
        return agent is None and not self._holders

    def _leave(self, may: Callable[[], bool]) -> None:
        with self._moving:
            with self._counting:
                self.leaving = self._ours and may()
            if self.leaving:
                try:
                    there = self._site.sessions.get(self.name)
                    if there is not None:
                        there.leave()
                finally:
                    with self._counting:
                        self._ours = self.leaving = False


_SEATS: WeakValueDictionary[tuple[int, str], Seat] = WeakValueDictionary()
_making = threading.Lock()


def seat_of(workspace: Workspace, agent: str) -> Seat:
    """The seat of that agent.  Raises `InvalidName`, `WorkspaceClosed`."""
    site_of(workspace).require()
    key = id(workspace), check_agent(agent)  # a seat keeps its workspace, and so the number
    with _making:
        there = _SEATS.get(key)
        if there is None:
            there = _SEATS[key] = Seat(workspace, agent)
        return there


def when_gone(owner: object, work: Work) -> None:
    """Do `work` after `owner` is finalised.  It must not keep the owner alive."""
    # The collector may call this anywhere, even in a thread that holds locks of this module.
    finalize(owner, _thread.do, work).atexit = False


class _Thread:
    """Does deferred work in one thread, one item after the other."""

    def __init__(self) -> None:
        self._starting = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget the thread, which does not exist in a child process."""
        self._due: SimpleQueue[tuple[float, int, Work]] = SimpleQueue()
        self._number = count()
        self._runs = False

    def start(self) -> None:
        """Start the thread.  `do` must not, since the collector may call it."""
        if not self._runs:
            with self._starting:
                if not self._runs:
                    start(
                        threading.Thread(target=self._run, name="coherence-farewell", daemon=True)
                    )
                    self._runs = True

    def do(self, work: Work, after_s: float = 0.0) -> None:
        """Do `work` after `after_s`.  May be called at any moment, also by the collector.

        If no seat was ever held, there is no work.
        """
        if self._runs:
            self._due.put((monotonic() + after_s, next(self._number), work))

    def wait(self, timeout_s: float) -> bool:
        """Whether all work that is due now is done within that time."""
        done = Knock()
        self.do(done)
        return not self._runs or done.wait(timeout_s)

    def _run(self) -> None:
        later: list[tuple[float, int, Work]] = []
        while True:
            try:
                wait_s = max(0.0, later[0][0] - monotonic()) if later else None
                heappush(later, self._due.get(timeout=wait_s))
            except Empty:
                try:
                    heappop(later)[2]()
                except Exception as error:
                    log.warning("an agent left without a leave message: %s", error)


_thread = _Thread()


def said(timeout_s: float) -> bool:
    """Whether every leave message that is due now is sent within that time."""
    return _thread.wait(timeout_s)


def _all_leave() -> None:
    for there in list(_SEATS.values()):
        _thread.do(there.end)
    said(FAREWELL_S)


atexit.register(_all_leave)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_thread.reset)
