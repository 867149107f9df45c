"""Dining philosophers who hand dirty forks over (Chandy and Misra 1984).

Fork f lies between philosophers f - 1 and f.  Eating makes both forks dirty.  A philosopher gives
a dirty fork to the neighbour and cleans it first, keeps a clean one, and eats with two clean forks.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from specs.checker.model import Action, Model, always, leads_to, weak
from specs.examples.tuples import put


class Dinner(NamedTuple):
    """By fork, its holder and whether it is clean; by philosopher, its place and its hunger."""

    forks: tuple[tuple[int, bool], ...]
    at: tuple[str, ...]
    hungry: tuple[bool, ...]


def philosophers(seats: int = 5, *, polite: bool = True) -> Model[Dinner, Dinner]:
    """Philosophers at a round table.  An impolite one keeps dirty forks, and all starve."""

    def loop(s: Dinner, me: int) -> Dinner:
        left, right = me, (me + 1) % seats
        forks = s.forks
        if polite and forks[left] == (me, False):
            forks = put(forks, left, ((me - 1) % seats, True))
        elif polite and forks[right] == (me, False):
            forks = put(forks, right, (right, True))
        has_both = s.forks[left] == s.forks[right] == (me, True)
        to = ("Eat" if has_both else "Loop") if s.hungry[me] else "Think"
        return s._replace(forks=forks, at=put(s.at, me, to))

    def actions(s: Dinner) -> Iterator[tuple[Action, Dinner]]:
        for me in range(seats):
            after = loop(s, me)
            if s.at[me] == "Think":
                after = s._replace(at=put(s.at, me, "Loop"), hungry=put(s.hungry, me, True))
            elif s.at[me] == "Eat":
                forks = put(s.forks, me, (s.forks[me][0], False))
                forks = put(forks, (me + 1) % seats, (forks[(me + 1) % seats][0], False))
                after = Dinner(forks, put(s.at, me, "Loop"), put(s.hungry, me, False))
            yield Action(s.at[me], str(me)), after

    def exclusive(s: Dinner) -> bool:
        return not any(s.at[me] == s.at[(me + 1) % seats] == "Eat" for me in range(seats))

    def is_fed(me: int, s: Dinner) -> bool:
        return not s.hungry[me]

    fed = [leads_to(f"{me} eats again", lambda s: True, partial(is_fed, me)) for me in range(seats)]
    # Fork 1 begins with philosopher 0, so that the forks' owners form no circle.
    forks = tuple((0 if fork == 1 else fork, False) for fork in range(seats))
    initial = Dinner(forks, ("Loop",) * seats, (True,) * seats)
    fairness = [weak(lambda action: action.process)]
    return Model(
        "philosophers", [initial], actions, [always("exclusive", exclusive), *fed], fairness
    )
