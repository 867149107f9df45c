"""The same path with the fewest context switches: easier to read, and just as short.

The steps of each process keep their order; only how they are interleaved changes.  The search is
over interleavings, by Dijkstra with the number of switches as the cost, and gives up if there are
too many: then the path stays unchanged.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from specs.checker.model import Action, Model
from specs.checker.result import Moment, Path
from specs.checker.search import truth

#: Interleavings searched before giving up.
NODES_MAX = 3_000


def fewest_switches(model: Model[Any, Any], path: Path, accept: Callable[[Any], bool]) -> Path:
    """A path of the same steps whose last state `accept` accepts.

    No step begins outside `within`, as in the search.  Only the way into the loop of a lasso is
    changed, and it must lead to the same state.
    """
    if path.loop is not None:
        way = Path(path.moments[: path.loop + 1])
        target = way.last
        better = fewest_switches(model, way, lambda state: bool(state == target))
        return Path(better.moments + path.moments[path.loop + 1 :], path.loop)
    if path.switches < 2:
        return path
    by_process: dict[str, list[Action]] = {}
    for action in path.actions:
        by_process.setdefault(action.process, []).append(action)
    names = list(by_process)
    start = path.moments[0].state
    nothing_done = (0,) * len(names)
    tie = 0
    heap: list[tuple[int, int, int, Any, int, tuple[int, ...], Any]] = [
        (0, len(path), tie, start, -1, nothing_done, None)
    ]
    seen: set[tuple[Any, int, tuple[int, ...]]] = set()
    while heap and len(seen) < NODES_MAX:
        cost, left, _, state, last, done, trail = heapq.heappop(heap)
        if (state, last, done) in seen:
            continue
        seen.add((state, last, done))
        if not left:
            if accept(state):
                return Path((Moment(None, start), *_unrolled(trail)))
            continue
        if model.within is not None and not truth(model.within, model.seen(state), "`within`"):
            continue
        following = model.successors(state)
        for which, name in enumerate(names):
            if done[which] == len(by_process[name]):
                continue
            wanted = by_process[name][done[which]]
            then = (*done[:which], done[which] + 1, *done[which + 1 :])
            switches = cost + (last >= 0 and which != last)
            for action, target in following:
                if action[:5] == wanted[:5]:
                    tie += 1
                    link = (Moment(action, target), trail)
                    heapq.heappush(heap, (switches, left - 1, tie, target, which, then, link))
    return path


def _unrolled(trail: Any) -> list[Moment]:
    moments = []
    while trail is not None:
        moment, trail = trail
        moments.append(moment)
    moments.reverse()
    return moments
