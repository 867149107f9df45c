"""A write-through cache (Lamport, "Specifying Systems", 2002, section 5.6), which refines `memory`.

A write updates every cache that holds the address, and queues for the memory.  A read that misses
queues too, and finds the contents as the writes before it leave them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from specs.checker.model import Action, Model, always
from specs.checker.refinement import refines
from specs.examples.memory import Memory, Request, memory, requests
from specs.examples.tuples import put


class Caches(NamedTuple):
    """The fields of `Memory`, with a stage "waiting"; by process its copies; and the queue."""

    interface: tuple[int, Any]
    contents: tuple[str, ...]
    stage: tuple[str, ...]
    buffer: tuple[Any, ...]
    copies: tuple[tuple[str | None, ...], ...]
    queue: tuple[tuple[int, Request], ...] = ()


def written(s: Caches) -> tuple[str, ...]:
    """The contents after all queued writes."""
    late = {at: word for _, (at, word) in s.queue if word is not None}
    return tuple(late.get(at, word) for at, word in enumerate(s.contents))


def write_through_cache(
    processes: int = 2, addresses: int = 1, values: int = 2, queue: int = 1, *, snoops: bool = True
) -> Model[Caches, Caches]:
    """Caches before a memory with a queue of limited length.  Without `snoops` copies go stale."""

    def of_process(s: Caches, p: int) -> Iterator[tuple[str, Caches]]:
        def to(stage: str, buffer: Any, **changes: Any) -> Caches:
            stages, buffers = put(s.stage, p, stage), put(s.buffer, p, buffer)
            return s._replace(stage=stages, buffer=buffers, **changes)

        stage, buffer = s.stage[p], s.buffer[p]
        if stage == "ready":
            for asked in requests(addresses, values):
                yield "Req", to("busy", asked, interface=(p, asked))
        elif stage == "done":
            yield "Rsp", to("ready", buffer, interface=(p, buffer))
        else:
            (at, word), queued = buffer, (*s.queue, (p, buffer))
            if word is None and s.copies[p][at] is not None:
                yield "DoRd", to("done", s.copies[p][at])
            elif stage == "busy" and len(s.queue) < queue:
                if word is None:
                    yield "RdMiss", to("waiting", buffer, queue=queued)
                else:
                    yield "DoWr", to("done", None, queue=queued, copies=spread(s, p, at, word))
        for at in range(addresses):
            if stage != "waiting" or at != buffer[0]:
                yield "Evict", s._replace(copies=put(s.copies, p, put(s.copies[p], at, None)))

    def spread(s: Caches, writer: int, at: int, word: str) -> tuple[tuple[str | None, ...], ...]:
        return tuple(
            put(held, at, word) if p == writer or (snoops and held[at] is not None) else held
            for p, held in enumerate(s.copies)
        )

    def actions(s: Caches) -> Iterator[tuple[Action, Caches]]:
        yield from ((Action(n, str(p)), to) for p in range(processes) for n, to in of_process(s, p))
        for p, (at, word) in s.queue[:1]:
            after = s._replace(queue=s.queue[1:])
            if word is None:
                copies = put(s.copies, p, put(s.copies[p], at, written(s)[at]))
                yield Action("MemQRd"), after._replace(copies=copies)
            else:
                yield Action("MemQWr"), after._replace(contents=put(s.contents, at, word))

    def coherent(s: Caches) -> bool:
        return all(len({held[at] for held in s.copies} - {None}) <= 1 for at in range(addresses))

    def abstract(s: Caches) -> Memory:
        stage = tuple("busy" if stage == "waiting" else stage for stage in s.stage)
        return Memory(s.interface, written(s), stage, s.buffer)

    below = memory(processes, addresses, values)
    initial = [Caches(*start, ((None,) * addresses,) * processes) for start in below.initial]
    claims = [always("coherent", coherent), refines("memory", below, abstract)]
    return Model("write-through-cache", initial, actions, claims)
