"""Readers and writers of one resource, served in the order in which they asked."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from specs.checker.model import Action, Model, always, leads_to, weak


class Resource(NamedTuple):
    """The actors at the resource, and the queue of requests."""

    readers: frozenset[int] = frozenset()
    writers: frozenset[int] = frozenset()
    waiting: tuple[tuple[str, int], ...] = ()


def readers_writers(
    actors: int = 3, *, patient: bool = True, ends: bool = True
) -> Model[Resource, Resource]:
    """`actors` that ask to read and to write, at most once each at a time.

    An impatient writer does not wait for readers.  Without `ends` an activity may go on for ever.
    """

    def actions(s: Resource) -> Iterator[tuple[Action, Resource]]:
        for actor in range(actors):
            for kind, name in (("read", "TryRead"), ("write", "TryWrite")):
                if (kind, actor) not in s.waiting:
                    queue = (*s.waiting, (kind, actor))
                    yield Action(name, str(actor)), s._replace(waiting=queue)
        if s.waiting and not s.writers:
            (kind, actor), *rest = s.waiting
            served = s._replace(waiting=tuple(rest))
            if kind == "read":
                yield Action("Serve"), served._replace(readers=s.readers | {actor})
            elif not (patient and s.readers):
                yield Action("Serve"), served._replace(writers=frozenset({actor}))
        for actor in sorted(s.readers):
            yield Action("Stop"), s._replace(readers=s.readers - {actor})
        for actor in sorted(s.writers - s.readers):
            yield Action("Stop"), s._replace(writers=s.writers - {actor})

    def safe(s: Resource) -> bool:
        return len(s.writers) <= (0 if s.readers else 1)

    def takes_part(role: str, actor: int, wanted: bool, s: Resource) -> bool:
        return (actor in getattr(s, role)) is wanted

    live = [
        leads_to(
            f"{actor} again and again {'among' if wanted else 'off'} {role}",
            lambda s: True,
            partial(takes_part, role, actor, wanted),
        )
        for actor in range(actors)
        for role in ("readers", "writers")
        for wanted in (True, False)
    ]
    fairness = [weak("TryRead", each="process"), weak("TryWrite", each="process"), weak("Serve")]
    fairness += [weak("Stop")] if ends else []
    return Model("readers-writers", [Resource()], actions, [always("safe", safe), *live], fairness)
