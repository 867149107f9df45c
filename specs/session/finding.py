"""The nearest state that satisfies a condition, breadth first from one place on a path."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from specs.checker.result import Budget, OnProgress
from specs.checker.search import Watch
from specs.session.conditions import Condition
from specs.session.frame import by_name
from specs.session.session import STEPS_MAX, Session
from specs.session.tree import MISSING


class Nearest(msgspec.Struct, omit_defaults=True):
    """The outcome of a search: a path, or why the search has none to show."""

    distinct: int
    #: The whole path, by numbers of actions; empty if no state was found.
    path: list[int] = []
    #: Why the search ended early; "" if it found a state, or saw all of them.
    stopped: str = ""


def find_state(
    session: Session,
    numbers: Sequence[int],
    wanted: Condition,
    *,
    budget: Budget | None = None,
    on_progress: OnProgress | None = None,
) -> Nearest:
    """The nearest state beyond a path that satisfies `wanted`.

    The search keeps to `within`, as a check does.  Raises `NoSuchPath` and `ModelError`.
    """
    watch = Watch(budget or Budget(), on_progress)
    start = session.places(numbers)[-1].state
    model = session.model
    #: Of each state: the state before, and the number of the action.
    reached: dict[Any, tuple[Any, int]] = {start: (None, -1)}
    queue = deque([(start, len(numbers) - 1)])
    generated = depth = 0
    while queue:
        state, steps = queue.popleft()
        if steps >= STEPS_MAX or session.judge.is_outside(state):
            continue
        before = by_name(session, state)
        for number, (_, target) in enumerate(model.successors(state)):
            generated += 1
            known = target in reached
            if known and wanted.operator != "changes":
                continue
            if wanted.holds(by_name(session, target), before):
                way = [*_way(reached, state), number]
                return Nearest(len(reached), [*numbers, *way])
            if not known:
                reached[target] = (state, number)
                queue.append((target, steps + 1))
        depth = max(depth, steps)
        stopped = watch.exceeded(len(reached), generated, depth, len(queue))
        if stopped:
            return Nearest(len(reached), stopped=stopped)
    return Nearest(len(reached))


def _way(reached: dict[Any, tuple[Any, int]], state: Any) -> list[int]:
    way: list[int] = []
    while (step := reached[state])[1] >= 0:
        state, number = step
        way.append(number)
    return way[::-1]


def along(session: Session, numbers: Sequence[int], wanted: Condition) -> list[int]:
    """The steps of a path whose states satisfy `wanted`; 0 is the initial state."""
    places = session.places(numbers)
    states = [by_name(session, place.state) for place in places]
    befores: list[Any] = [MISSING, *states]
    holds: Callable[[Any, Any], bool] = wanted.holds
    return [
        step
        for step, (state, before) in enumerate(zip(states, befores, strict=False))
        if holds(state, before)
    ]
