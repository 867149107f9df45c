"""When an agent that an adapter brought in leaves: once nobody has work for it any more.

A desk holds its agent's seat for whoever it works for: a run, a block, one call.  When the last of
them lets go, the agent stays for `LINGER_S`, so that a run that follows goes on with its copies.
Then it leaves, by a thread of its own: what has ended does not wait for a farewell, and the
garbage collector, which may be what notices the end, must not wait for a lock or a disk.  The same
name joins again with the next call.

At the end of the process all leave at once, and nobody waits for longer than `FAREWELL_S`.
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
from coherence.workspace.workspace import Workspace
from message_passing.interrupts import Knock, start

#: How long an agent stays that nobody has work for.
LINGER_S = 2.0
#: How long the end of a process may wait for farewells.
FAREWELL_S: Final = 1.0

Work: TypeAlias = Callable[[], object]

log = logging.getLogger("coherence.context")


class Seat:
    """What all desks of one agent in one workspace share."""

    def __init__(self, workspace: Workspace, agent: str) -> None:
        self.workspace, self.name = workspace, agent
        #: Held during a call; a thread may hold it again.
        self.turn = threading.RLock()
        self._counting, self._moving = threading.Lock(), threading.Lock()
        self._holders = 0
        self._idle_since = 0.0
        #: Whether a desk brought the agent in: one that was there before is left alone.
        self._ours = False
        #: The agent as the application has it, which is known to be waited for.
        self._front: Callable[[], object] = lambda: None
        #: Whether the agent is leaving right now.
        self.leaving = False

    @property
    def held(self) -> bool:
        """Whether there is work for the agent."""
        return self._holders > 0

    def hold(self) -> None:
        """The agent stays until `let_go`.  Waits while it is leaving."""
        _thread.start()
        while True:
            with self._counting:
                if not self.leaving:
                    if not self._holders and not self._ours:
                        there = self.workspace._agents.get(self.name)
                        self._ours = there is None or there[0].fault is not None
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
        """The agent leaves, unless there is work for it."""
        self._leave(lambda: self._unused)

    def end(self) -> None:
        """The agent leaves, whatever there is to do: the process ends."""
        self._leave(lambda: True)

    def _leave_if_idle(self) -> None:
        self._leave(lambda: self._unused and monotonic() >= self._idle_since + LINGER_S)

    @property
    def _unused(self) -> bool:
        """Whether neither a desk nor the application itself has any use for the agent."""
        front = self.workspace._fronts.get(self.name)
        if front is not None and front is not self._front():
            self._front = ref(front)
            when_gone(front, self.close)
        return front is None and not self._holders

    def _leave(self, may: Callable[[], bool]) -> None:
        with self._moving:
            with self._counting:
                self.leaving = self._ours and may()
            if self.leaving:
                try:
                    there = self.workspace._agents.get(self.name)
                    if there is not None:
                        self.workspace.part(there[0])
                finally:
                    with self._counting:
                        self._ours = self.leaving = False


_SEATS: WeakValueDictionary[tuple[int, str], Seat] = WeakValueDictionary()
_making = threading.Lock()


def seat_of(workspace: Workspace, agent: str) -> Seat:
    """The seat of that agent.  Raises `InvalidName`, `WorkspaceClosed`."""
    workspace._require()
    key = id(workspace), check_agent(agent)  # a seat keeps its workspace, and so the number
    with _making:
        there = _SEATS.get(key)
        if there is None:
            there = _SEATS[key] = Seat(workspace, agent)
        return there


def when_gone(owner: object, work: Work) -> None:
    """Do `work` when `owner` is no more.  It must not keep the owner."""
    # The collector may find that out anywhere, in a thread that has our locks too.
    finalize(owner, _thread.do, work).atexit = False


class _Thread:
    """Does what cannot be done where it comes up, one after the other."""

    def __init__(self) -> None:
        self._starting = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """There is no such thread: a child process has none."""
        self._due: SimpleQueue[tuple[float, int, Work]] = SimpleQueue()
        self._number = count()
        self._runs = False

    def start(self) -> None:
        """Be there.  Not by `do`: the collector must not start a thread."""
        if not self._runs:
            with self._starting:
                if not self._runs:
                    start(
                        threading.Thread(target=self._run, name="coherence-farewell", daemon=True)
                    )
                    self._runs = True

    def do(self, work: Work, after_s: float = 0.0) -> None:
        """Do `work` then.  May be called at any moment, also by the collector.

        Where no seat was ever held, nobody has a farewell to say.
        """
        if self._runs:
            self._due.put((monotonic() + after_s, next(self._number), work))

    def wait(self, timeout_s: float) -> bool:
        """Whether all that is due now is done within that time."""
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
                    log.warning("an agent left without a farewell: %s", error)


_thread = _Thread()


def said(timeout_s: float) -> bool:
    """Whether every farewell that is due now is said within that time."""
    return _thread.wait(timeout_s)


def _all_leave() -> None:
    for there in list(_SEATS.values()):
        _thread.do(there.end)
    said(FAREWELL_S)


atexit.register(_all_leave)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_thread.reset)
