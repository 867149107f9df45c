"""One run of a program under one schedule: whose move comes next, and when time passes.

One agent runs at a time.  It stops before each of its moves; the search then chooses among all
agents that have stopped so.  Everything between two moves is local and needs no choice.  Time is
virtual, and passes only where no agent can make a move: to the next deadline of a wait, or the next
renewal of a lease.

`TeamRun` knows no threads and no event loop: `coherence.testing.threads` and
`coherence.testing.tasks` let agents go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Any, NamedTuple

from coherence.testing.errors import Deadlock, Ended, Killed, Nondeterminism
from coherence.testing.moves import EVERYTHING, NOBODY, Access, Move
from coherence.testing.search import Diverged, Search
from message_passing.process import Time

#: When every run begins, on its clock.
BEGINNING: Time = 1_000.0
#: How many moves a run may make before it is cut off: a loop may be without end.
MOVES_MAX = 1_000


class At(Enum):
    """What an agent does."""

    #: It has stopped before a move.
    READY = auto()
    #: It can go on without a choice.
    LOCAL = auto()
    RUNNING = auto()
    WAITING = auto()
    DONE = auto()


class _Waiting(NamedTuple):
    """That an agent waits, as an object that others touch when they wake it."""

    agent: int


class Actor:
    """One of the agents that a run schedules: a thread or a task."""

    def __init__(self, index: int, name: str, parent: Actor | None = None) -> None:
        self.index, self.name, self.parent = index, name, parent
        self.at = At.LOCAL
        #: Of the move that it has stopped before, or of the last one.
        self.access: Access = ()
        self.label = "start"
        self.woken_by = -1
        self.moves = 0
        #: What it waits for: whether it has come, until when, and a lock if it is one.
        self.has_come: Callable[[], bool] = bool
        self.until: Time | None = None
        self.on: Any = None
        self.is_late = False
        self.is_killed = False
        #: Whether it is a whole framework, whose threads are agents of their own.
        self.is_main = False
        #: Whether the run ends without it.
        self.is_daemon = False
        self.result: Any = None
        self.error: BaseException | None = None
        #: For a task of an event loop in a thread: the agent of that thread.
        self.carrier: Actor | None = None
        #: Whether it is a thread whose event loop has nothing to do: a task of it can go on.
        self.is_idle_loop = False
        #: Lets it go on.
        self.go: Callable[[], None] = lambda: None

    @property
    def is_ready(self) -> bool:
        """Whether it has stopped before a move that it could make now."""
        carrier = self.carrier
        return self.at is At.READY and (carrier is None or carrier.is_idle_loop)

    @property
    def blamed(self) -> Actor:
        """The agent that did what this one did: the outermost that started it, below a main."""
        actor = self
        while actor.parent is not None and not actor.parent.is_main:
            actor = actor.parent
        return actor


class ChartLine:
    """One line of the chart of a run."""

    __slots__ = ("actor", "at", "label", "outcome")

    def __init__(self, actor: int, label: str, at: Time, outcome: str = "") -> None:
        self.actor, self.label, self.at, self.outcome = actor, label, at, outcome


class SideWork:
    """What has work beside the agents, such as a keeper that renews leases."""

    def settle(self) -> bool:
        """Do the work that is due; whether a store was asked."""
        return False

    @property
    def due(self) -> Time | None:
        """When there is work next; None if never."""
        return None


class TeamRun:
    """One run, under the schedule that `search` chooses."""

    def __init__(self, search: Search) -> None:
        self._search = search
        #: Called when an agent begins a move: it may kill the agent, or say until when it stalls.
        self.struck: Callable[[Actor], Time | None] = lambda _: None
        self.now: Time = BEGINNING
        self.actors: list[Actor] = []
        self.moves: list[Move] = []
        self.lines: list[ChartLine] = []
        #: Whether agents wait for what no access tells, as tasks do: each move then touches its
        #: agent, and a move that wakes an agent changes it.
        self.sees_wakes = False
        self.beside: list[SideWork] = []
        #: Called after each move, with no agent running: raises what is wrong.
        self.watched: list[Callable[[], object]] = []
        #: Describes the agents that wait for each other, if they do.
        self.cycle: Callable[[Sequence[Actor]], str] = lambda _: ""
        self.finds_deadlocks = True
        #: Every agent unwinds.
        self.is_over = False
        #: The schedule shows nothing new, or is too long.
        self.is_cut_short = False
        self.is_too_long = False
        self.failure: BaseException | None = None
        #: Why the run may differ when it is repeated.
        self.doubts: list[str] = []
        #: Whether a thread was started that serves the process, in later runs too.
        self.has_started_service = False
        #: Whether work beside the agents is done now: no call is a move.
        self.is_settling = False

    def clock(self) -> Time:
        """The time of this run."""
        return self.now

    def add(self, name: str, parent: Actor | None = None) -> Actor:
        """A new agent, which can go on."""
        taken = {actor.name for actor in self.actors}
        unique, number = name, 1
        while unique in taken:
            number += 1
            unique = f"{name}/{number}"
        actor = Actor(len(self.actors), unique, parent)
        actor.woken_by = len(self.moves) - 1
        self.actors.append(actor)
        return actor

    def name_below(self, parent: Actor, word: str) -> str:
        """A name for an agent that `parent` has started: short, and the same in each run."""
        if parent.is_main:
            number = sum(other.parent is parent for other in self.actors) + 1
            return f"{word}{number}"
        first = parent.blamed
        number = sum(other.blamed is first for other in self.actors)
        return f"{first.name}.{number}"

    # Choices.

    def stop(self, actor: Actor, access: Access, label: str) -> None:
        """The agent has stopped before a move."""
        actor.access, actor.label, actor.at = access, label, At.READY
        if actor.woken_by < 0 and self.moves and self.moves[-1].agent != actor.index:
            actor.woken_by = len(self.moves) - 1
            if self.sees_wakes:
                self._touch(((_Waiting(actor.index), True),))

    def begin(self, actor: Actor) -> Time | None:
        """The agent begins the move that it has stopped before; until when it stalls before it."""
        if self.is_over:
            raise Ended
        actor.moves += 1
        until = self.struck(actor)
        if actor.is_killed:
            raise Killed
        return until

    def choose(self) -> Actor | None:
        """The agent whose move comes next, or None if none is ready, or the run is over."""
        ready = {actor.index: actor.access for actor in self.actors if actor.is_ready}
        if not ready:
            return None
        if len(self.moves) >= MOVES_MAX:
            self.is_too_long = self.is_cut_short = True
            self.end()
            return None
        try:
            chosen = self._search.choose(ready, self.moves)
        except Diverged as error:
            self.fail(Nondeterminism(self._difference(error)))
            return None
        except Exception as error:
            self.fail(error)
            return None
        if chosen is None:
            self.is_cut_short = True
            self.end()
            return None
        actor = self.actors[chosen]
        agent: Access = ((_Waiting(chosen), False),) if self.sees_wakes else ()
        self.moves.append(Move(chosen, (*actor.access, *agent), actor.woken_by))
        self.lines.append(ChartLine(chosen, actor.label, self.now))
        actor.woken_by, actor.at = -1, At.RUNNING
        return actor

    def touch(self, actor: Actor, access: Access, label: str = "") -> None:
        """The agent touches this now, as part of the move that it goes on from."""
        self._touch(access)
        if label:
            self.lines.append(ChartLine(actor.index, label, self.now))

    def _touch(self, access: Access) -> None:
        if self.moves and self.moves[-1].agent != NOBODY:
            last = self.moves[-1]
            self.moves[-1] = last._replace(access=tuple(dict.fromkeys((*last.access, *access))))

    def said(self, outcome: str) -> None:
        """What has become of the last move."""
        if self.lines and not self.is_over:
            self.lines[-1].outcome = outcome

    def later(self, actor: Actor, label: str) -> None:
        """What has come of an earlier move, on a line of its own."""
        if not self.is_over:
            self.lines.append(ChartLine(actor.index, label, self.now))

    def _difference(self, error: Diverged) -> str:
        def shown(ready: Mapping[int, Access]) -> str:
            return ", ".join(
                f"{self.actors[agent].name} {_shown(access)}"
                if agent < len(self.actors)
                else f"an agent that is not there {_shown(access)}"
                for agent, access in ready.items()
            )

        next_moves = ", ".join(f"{self.actors[a].name}: {self.actors[a].label}" for a in error.now)
        return (
            f"before move {error.at + 1} of a schedule that was played before, the agents were at: "
            f"{shown(error.before)}; now they are at: {shown(error.now)}, next {next_moves}"
        )

    # Between choices.

    def settle(self) -> None:
        """Do what is due beside the agents, and check what is watched."""
        if self.is_settling:
            return
        self.is_settling = True
        try:
            asked = [each.settle() for each in self.beside]
            if any(asked):
                self._note_passing("beside the agents")
            for check in self.watched:
                check()
        except Exception as error:
            self.fail(error)
        finally:
            self.is_settling = False

    def wake(self) -> None:
        """Agents whose wait is over can go on."""
        for actor in self.actors:
            if actor.at is At.WAITING and actor.has_come():
                actor.at, actor.woken_by = At.LOCAL, len(self.moves) - 1
                if self.sees_wakes:
                    self._touch(((_Waiting(actor.index), True),))

    def pass_time(self, others: Sequence[Time] = ()) -> bool:
        """Let time pass to what comes first: a deadline, work beside, `others`; or False.

        A deadlock ends the run.
        """
        waiting = [actor for actor in self.actors if actor.at is At.WAITING]
        if self.finds_deadlocks and (words := self.cycle(waiting)):
            self.fail(Deadlock(words))
            return False
        dues = [actor.until for actor in waiting if actor.until is not None]
        dues += [due for each in self.beside if (due := each.due) is not None]
        dues += others
        if not dues:
            return False
        if len(self.moves) >= MOVES_MAX:
            self.is_too_long = self.is_cut_short = True
            self.end()
            return False
        self.now = max(self.now, min(dues))
        self._note_passing("time passes")
        self.settle()
        for actor in waiting:
            is_due = actor.until is not None and actor.until <= self.now
            if is_due and actor.at is At.WAITING and not actor.has_come():
                actor.is_late, actor.at = True, At.LOCAL
                actor.woken_by = len(self.moves) - 1
        return True

    def _note_passing(self, label: str) -> None:
        if self.is_over:
            return
        self.moves.append(Move(NOBODY, ((EVERYTHING, True),)))
        self.lines.append(ChartLine(NOBODY, label, self.now))

    # Ends.

    def fail(self, error: BaseException) -> None:
        """The run has failed: every agent unwinds."""
        if self.failure is None and not self.is_over:
            self.failure = error
        self.end()

    def has_ended(self) -> bool:
        """As `is_over`, which other calls change."""
        return self.is_over

    def end(self) -> None:
        """Every agent unwinds, all at once: one may wait for others while it unwinds."""
        self.is_over = True

    def idle_deadlock(self) -> Deadlock:
        """No agent can make a move, and nothing will happen."""
        waits = [
            f"{actor.name} waits{f' for {actor.on}' if actor.on is not None else ''}"
            f" (after: {actor.label})"
            for actor in self.actors
            if actor.at is At.WAITING
        ]
        return Deadlock(f"nothing will ever happen: {'; '.join(waits) or 'every agent waits'}")


def _shown(access: Access) -> str:
    touched = ", ".join(
        f"{'write' if writes else 'read'} {name}"
        for name, writes in access
        if getattr(name, "is_told", True)
    )
    return f"({touched or 'nothing shared'})"
