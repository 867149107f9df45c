"""Programs for a search, without threads: each agent a list of moves over variables."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

from coherence.testing.moves import Access, Move
from coherence.testing.search import Search

#: "r x": read x.  "w x": x becomes what the agent last read of it, and the agent's number.
#: "c x": "w x" if x is as the agent read it last; otherwise the agent makes two more moves.
#: "p x": wait until x is not empty.
Program = Sequence[Sequence[str]]


def access_of(op: str) -> Access:
    return ((op[2:], op[0] in "wc"),)


def run(program: Program, search: Search) -> tuple[object, list[Move]] | None:
    """The outcome of one schedule and its moves; None for an outcome if the run was cut short."""
    values: dict[str, str] = {}
    left = [list(ops) for ops in program]
    seen: list[dict[str, str]] = [{} for _ in program]
    got: list[list[str]] = [[] for _ in program]
    waiting: dict[int, str] = {}
    woken: dict[int, int] = {}
    moves: list[Move] = []
    search.begin()
    while True:
        ready = {
            agent: access_of(ops[0])
            for agent, ops in enumerate(left)
            if ops and agent not in waiting
        }
        if not ready:
            return (tuple(map(tuple, got)), tuple(sorted(values.items()))), moves
        agent = search.choose(ready, moves)
        if agent is None:
            return None, moves
        op = left[agent].pop(0)
        kind, name = op[0], op[2:]
        moves.append(Move(agent, access_of(op), woken.pop(agent, -1)))
        current = values.get(name, "")
        if kind == "r":
            seen[agent][name] = current
            got[agent].append(current)
        elif kind == "w" or (kind == "c" and seen[agent].get(name, "") == current):
            values[name] = seen[agent].get(name, "") + str(agent)
        elif kind == "c":
            left[agent][:0] = [f"r {name}", f"w {name}"]
        elif kind == "p" and not current:
            waiting[agent] = name
        for other, on in list(waiting.items()):
            if values.get(on):
                del waiting[other]
                woken[other] = len(moves) - 1


def explored(
    program: Program, search: Search, at_most: int = 200_000
) -> tuple[Counter[object], int, list[list[int]]]:
    """The outcomes, the runs cut short, and the schedules."""
    outcomes: Counter[object] = Counter()
    cut, schedules, more = 0, [], True
    while more and len(schedules) + cut < at_most:
        outcome, moves = run(program, search)
        if outcome is None:
            cut += 1
        else:
            outcomes[outcome] += 1
            schedules.append([move.agent for move in moves])
        more = search.end(moves)
    return outcomes, cut, schedules


def drawn(rng: random.Random) -> Program:
    """A random program of two or three agents."""
    agents = rng.choice((2, 2, 3))
    longest = 4 if agents == 2 else 3
    return [
        [f"{rng.choice('rrwccp')} {rng.choice('xy')}" for _ in range(rng.randint(1, longest))]
        for _ in range(agents)
    ]


Make = Callable[[], Search]
