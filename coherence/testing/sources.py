"""Every schedule up to the order of moves that commute: source sets and sleep sets.  Pure.

The algorithm is the first of Abdulla, Aronis, Jonsson and Sagonas, "Optimal dynamic partial order
reduction", POPL 2014.  The moves of a run are ordered by the happens-before relation: moves of one
agent, moves that do not commute, a move and the agent that it woke, and the passing of time with
everything.  Two moves that do not commute and are next to each other in that order are a race; the
search reverses each race once.

Moves never block: an agent that has to wait has made its request, and goes on when another move
wakes it.  So every agent that is ready stays ready until its move.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from coherence.testing.moves import NOBODY, Access, Move, are_same, commute
from coherence.testing.search import Diverged, first_of


class _Node:
    """The choices at one place of the run under way."""

    __slots__ = ("at", "backtrack", "chosen", "done", "ready", "sleep")

    def __init__(
        self, at: int, ready: Mapping[int, Access], sleep: dict[int, Access], chosen: int
    ) -> None:
        #: How many moves came before.
        self.at = at
        self.ready, self.chosen = dict(ready), chosen
        #: Agents whose move here leads only to what was shown already, with that move.
        self.sleep = sleep
        self.backtrack, self.done = {chosen}, set[int]()


class Sources:
    """One schedule of each class of schedules that differ only in the order of commuting moves."""

    def __init__(self) -> None:
        self._stack: list[_Node] = []
        self._depth, self._last = 0, NOBODY
        self.is_complete = False

    def begin(self) -> None:
        """See `Search.begin`."""
        self._depth, self._last = 0, NOBODY

    def choose(self, ready: Mapping[int, Access], moves: Sequence[Move]) -> int | None:
        """See `Search.choose`."""
        if self._depth < len(self._stack):
            node = self._stack[self._depth]
            if not are_same(node.ready, ready):
                raise Diverged(self._depth, node.ready, ready)
        else:
            sleep = self._sleeping(ready, moves)
            awake = {agent: access for agent, access in ready.items() if agent not in sleep}
            if not awake:
                return None
            chosen = self._last if awake.get(self._last) else first_of(awake)
            node = _Node(len(moves), ready, sleep, chosen)
            self._stack.append(node)
        self._depth, self._last = self._depth + 1, node.chosen
        return node.chosen

    def _sleeping(self, ready: Mapping[int, Access], moves: Sequence[Move]) -> dict[int, Access]:
        """The agents that still sleep: their moves commute with all since the last place."""
        if not self._stack:
            return {}
        above = self._stack[-1]
        since = moves[above.at :]
        return {
            agent: access
            for agent, access in above.sleep.items()
            if agent in ready
            and agent != above.chosen
            and all(commute(access, move.access) for move in since)
        }

    def end(self, moves: Sequence[Move]) -> bool:
        """See `Search.end`."""
        self._reverse_races(moves)
        while self._stack:
            node = self._stack[-1]
            node.done.add(node.chosen)
            # A move may have touched more than it was expected to.
            was_made = node.at < len(moves)
            node.sleep[node.chosen] = moves[node.at].access if was_made else node.ready[node.chosen]
            left = [
                agent
                for agent in node.ready
                if agent in node.backtrack and agent not in node.done and agent not in node.sleep
            ]
            if left:
                node.chosen = left[0]
                return True
            self._stack.pop()
        self.is_complete = True
        return False

    # Races.

    def _reverse_races(self, moves: Sequence[Move]) -> None:
        """For each race, have another agent go first where its first move was chosen."""
        order = _Order()
        nodes: list[int] = []
        chosen = 0
        for at, move in enumerate(moves):
            nodes.append(chosen)
            chosen += move.agent != NOBODY
            for earlier in order.add(at, move, moves):
                self._reverse(earlier, at, moves, order, nodes)

    def _reverse(
        self, first: int, second: int, moves: Sequence[Move], order: _Order, nodes: Sequence[int]
    ) -> None:
        node = self._stack[nodes[first]]
        initials = order.initials(first, second, moves)
        if node.backtrack.isdisjoint(initials):
            agent = moves[second].agent
            wanted = agent if agent in initials else initials[0]
            node.backtrack.update((wanted,) if wanted in node.ready else node.ready)


class _Order:
    """The happens-before relation of the moves of one run, as sets of moves in bit masks."""

    def __init__(self) -> None:
        #: The moves that happen before each move.
        self._before: list[int] = []
        #: Those that do whatever the accesses are: of the same agent, of who woke it, before time.
        self._given: list[int] = []
        self._last_of: dict[int, int] = {}
        self._passed = 0

    def add(self, at: int, move: Move, moves: Sequence[Move]) -> Iterable[int]:
        """Add the move; return the earlier moves that it races with, the latest first."""
        before = self._before
        if move.agent == NOBODY:
            everything = (1 << at) - 1
            before.append(everything)
            self._given.append(everything)
            self._passed = everything | 1 << at
            return ()
        given = self._passed
        if (last := self._last_of.get(move.agent)) is not None:
            given |= before[last] | 1 << last
        if move.woken_by >= 0:
            given |= before[move.woken_by] | 1 << move.woken_by
        mask, races = given, []
        for i in range(at - 1, -1, -1):
            if not mask >> i & 1 and not commute(moves[i].access, move.access):
                races.append(i)
                mask |= before[i] | 1 << i
        before.append(mask)
        self._given.append(given)
        self._last_of[move.agent] = at
        return races

    def initials(self, first: int, second: int, moves: Sequence[Move]) -> list[int]:
        """The agents that can begin what leads to `second` and does not depend on `first`."""
        between = [
            at
            for at in range(first + 1, second)
            if moves[at].agent != NOBODY and not self._before[at] >> first & 1
        ]
        found: list[int] = []
        seen, those = set[int](), 0
        for at in (*between, second):
            agent = moves[at].agent
            before = self._before[at] if at != second else self._without(between, second, moves)
            if agent not in seen and not before & those:
                found.append(agent)
            seen.add(agent)
            those |= 1 << at
        return found

    def _without(self, between: Sequence[int], second: int, moves: Sequence[Move]) -> int:
        """What of `between` happens before `second`, leaving out the race to be reversed."""
        mask = self._given[second]
        for at in reversed(between):
            if not mask >> at & 1 and not commute(moves[at].access, moves[second].access):
                mask |= self._before[at] | 1 << at
        return mask
