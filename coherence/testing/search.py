"""Which schedule comes next: searches that run a program again and again.

Pure: no threads and no clock.  A search is asked for a choice wherever several agents can make a
move, and is told the moves at the end of each run.  A run that repeats the choices of an earlier
one must meet the same agents with the same accesses; otherwise the program is not deterministic,
and no search over it proves anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from coherence.testing.moves import Access, Move, are_same


class Diverged(Exception):
    """A run that repeats the choices of another met other moves."""

    def __init__(self, at: int, before: Mapping[int, Access], now: Mapping[int, Access]) -> None:
        super().__init__(at, before, now)
        self.at, self.before, self.now = at, before, now


class Search(Protocol):
    """Chooses schedules, one after another."""

    @property
    def is_complete(self) -> bool:
        """Whether the schedules so far show everything that any schedule can show."""
        ...

    def begin(self) -> None:
        """A run begins."""
        ...

    def choose(self, ready: Mapping[int, Access], moves: Sequence[Move]) -> int | None:
        """The agent whose move comes after `moves`; None if this schedule shows nothing new.

        Raises `Diverged`.
        """
        ...

    def end(self, moves: Sequence[Move]) -> bool:
        """The run has ended, with these moves; whether there is another schedule."""
        ...


def first_of(ready: Mapping[int, Access]) -> int:
    """The first agent that touches something, or else the first."""
    return next((agent for agent, access in ready.items() if access), next(iter(ready)))


class _Choice:
    """A choice in a bounded search."""

    __slots__ = ("agent", "cost", "ready")

    def __init__(self, agent: int, ready: Mapping[int, Access], cost: int) -> None:
        #: `cost` counts the preemptions up to here.
        self.agent, self.ready, self.cost = agent, ready, cost


class Bounded:
    """Schedules with no preemption, then with one, and so on up to `bound`; None for all.

    A preemption is a choice of another agent while the last one could go on.  Each schedule comes
    once, and the first that fails has the fewest preemptions of all that fail.
    """

    def __init__(self, bound: int | None = None) -> None:
        self._bound = bound
        self._levels: list[list[tuple[_Choice, ...]]] = [[()]]
        self._followed: tuple[_Choice, ...] = ()
        self._path: list[_Choice] = []
        #: Whether schedules beyond the bound were left out.
        self.has_left_out = False

    @property
    def is_complete(self) -> bool:
        """See `Search.is_complete`."""
        return not self.has_left_out and self.is_through

    @property
    def is_through(self) -> bool:
        """Whether every schedule within the bound was played."""
        return not any(self._levels)

    def begin(self) -> None:
        """See `Search.begin`."""
        self._followed = next(level for level in self._levels if level).pop()
        self._path = []

    def choose(self, ready: Mapping[int, Access], moves: Sequence[Move]) -> int:
        """See `Search.choose`."""
        at = len(self._path)
        if at < len(self._followed):
            choice = self._followed[at]
            if not are_same(choice.ready, ready):
                raise Diverged(at, choice.ready, ready)
        else:
            choice = self._go_on(ready)
        self._path.append(choice)
        return choice.agent

    def _go_on(self, ready: Mapping[int, Access]) -> _Choice:
        """The next choice costs nothing; every other one is kept for a later run."""
        last = self._path[-1] if self._path else None
        cost = last.cost if last is not None else 0
        # An agent that thinks lets others go on.
        stays = last is not None and bool(ready.get(last.agent))
        agent = last.agent if last is not None and stays else first_of(ready)
        for other in ready:
            if other != agent:
                self._keep(_Choice(other, ready, cost + stays))
        return _Choice(agent, ready, cost)

    def _keep(self, choice: _Choice) -> None:
        if self._bound is not None and choice.cost > self._bound:
            self.has_left_out = True
            return
        while len(self._levels) <= choice.cost:
            self._levels.append([])
        self._levels[choice.cost].append((*self._path, choice))

    def end(self, moves: Sequence[Move]) -> bool:
        """See `Search.end`."""
        return any(self._levels)


class Follow:
    """One schedule: the agents of `schedule` in turn, then whichever was last as long as it can.

    `choose` calls `missing` where the wanted agent cannot go; it may raise.
    """

    is_complete = False

    def __init__(
        self,
        schedule: Sequence[str],
        name_of: Callable[[int], str],
        missing: Callable[[int, str], None] | None = None,
    ) -> None:
        self._schedule, self._name_of, self._missing = schedule, name_of, missing
        self._at, self._last = 0, -1

    def begin(self) -> None:
        """See `Search.begin`."""
        self._at, self._last = 0, -1

    def choose(self, ready: Mapping[int, Access], moves: Sequence[Move]) -> int:
        """See `Search.choose`."""
        wanted = self._schedule[self._at] if self._at < len(self._schedule) else None
        found = next((agent for agent in ready if self._name_of(agent) == wanted), None)
        if found is None:
            if wanted is not None and self._missing is not None:
                self._missing(self._at, wanted)
            found = self._last if self._last in ready else next(iter(ready))
        self._at, self._last = self._at + 1, found
        return found

    def end(self, moves: Sequence[Move]) -> bool:
        """See `Search.end`."""
        return False


class Serial:
    """The agents one after the other, in the given order of their numbers."""

    is_complete = False

    def __init__(self, order: Sequence[int]) -> None:
        self._rank = {agent: rank for rank, agent in enumerate(order)}
        self._last = -1

    def begin(self) -> None:
        """See `Search.begin`."""
        self._last = -1

    def choose(self, ready: Mapping[int, Access], moves: Sequence[Move]) -> int:
        """See `Search.choose`."""
        if self._last not in ready:
            self._last = min(ready, key=lambda agent: (self._rank.get(agent, len(ready)), agent))
        return self._last

    def end(self, moves: Sequence[Move]) -> bool:
        """See `Search.end`."""
        return False
