"""A linearisable memory that its processes call (Lamport, "Specifying Systems", 2002, section 5.3).

It takes a request, does it at one moment of its choice, and answers.  `write_through_cache`
refines it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple, TypeAlias

from specs.checker.model import Action, Model
from specs.examples.tuples import put

#: What a process sends: an address and the value to write there, or None to read.
Request: TypeAlias = tuple[int, str | None]


class Memory(NamedTuple):
    """The last word at the interface, the contents, and by process its stage and its buffer."""

    interface: tuple[int, Request | str | None]
    contents: tuple[str, ...]
    stage: tuple[str, ...]
    buffer: tuple[Request | str | None, ...]


def requests(addresses: int, values: int) -> list[Request]:
    """All reads, then all writes."""
    words = [None, *(f"v{i}" for i in range(1, values + 1))]
    return [(address, word) for word in words for address in range(addresses)]


def memory(processes: int = 2, addresses: int = 1, values: int = 2) -> Model[Memory, Memory]:
    """The memory alone."""

    def actions(s: Memory) -> Iterator[tuple[Action, Memory]]:
        for p in range(processes):
            match s.stage[p], s.buffer[p]:
                case "ready", _:
                    for asked in requests(addresses, values):
                        stage, buffer = put(s.stage, p, "busy"), put(s.buffer, p, asked)
                        yield Action("Req", str(p)), Memory((p, asked), s.contents, stage, buffer)
                case "busy", (int(at), word):
                    done = s._replace(stage=put(s.stage, p, "done"))
                    if word is None:
                        done = done._replace(buffer=put(s.buffer, p, s.contents[at]))
                    else:
                        contents = put(s.contents, at, word)
                        done = done._replace(contents=contents, buffer=put(s.buffer, p, None))
                    yield Action("Do", str(p)), done
                case "done", answer:
                    ready = put(s.stage, p, "ready")
                    yield Action("Rsp", str(p)), s._replace(interface=(p, answer), stage=ready)

    words = [f"v{i}" for i in range(1, values + 1)]
    idle = (("ready",) * processes, (None,) * processes)
    initial = [Memory((0, None), held, *idle) for held in product(words, repeat=addresses)]
    return Model("memory", initial, actions)
