"""One part of a partitioned search: the program of a worker process, which knows integers only.

`specs.checker.partitioned` holds the model.  It writes commands to standard input and reads one
answer each from standard output; this program ends with its input.  It imports the standard library
only, so that it starts at once.
"""

from __future__ import annotations

import gc
import marshal
import signal
import struct
import sys
import time
from collections.abc import Iterable
from typing import IO, Any

LENGTH = struct.Struct("<Q")
#: States expanded between two looks at the clock.
BATCH = 256
MULTIPLIER, PRIME = 0x9E3779B97F4A7C15, (1 << 61) - 1


def owner_of(key: int, parts: int) -> int:
    """The part that owns all states with these bits in the slots that divide the search."""
    return (key + 1) * MULTIPLIER % PRIME % parts


def send(stream: IO[bytes], what: Any) -> None:
    """Write one command or answer."""
    data = marshal.dumps(what)
    stream.write(LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read one command or answer; raises `EOFError` where the other side has ended."""
    head = stream.read(LENGTH.size)
    data = stream.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else b""
    if not data:
        raise EOFError
    return marshal.loads(data)


class Owners(dict[int, int]):
    """The owner of each key, remembered."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.parts = parts

    def __missing__(self, key: int) -> int:
        owner = self[key] = owner_of(key, self.parts)
        return owner


class TableCopy:
    """Rows by the bits of a state under a mask."""

    __slots__ = ("mask", "rows")

    def __init__(self) -> None:
        self.mask = 0
        self.rows: dict[int, Any] = {}

    def adopt(self, mask: int, is_reset: bool, rows: dict[int, Any]) -> None:
        """Take over what is new."""
        self.mask = mask
        if is_reset:
            self.rows.clear()
        self.rows.update(rows)


class Part:
    """The states that one process owns, and its copies of the tables."""

    def __init__(self, number: int, parts: int) -> None:
        self._number = number
        self._owners = Owners(parts)
        self._divides = 0
        #: Each owned state and the one that it was first reached from.
        self._parents: dict[int, int] = {}
        #: By part, new states that it owns, and what they were reached from.
        self._boxes: list[dict[int, int]] = [{} for _ in range(parts)]
        self._level: list[int] = []
        self._following: list[int] = []
        self._inside: list[int] = []
        self._outside: list[int] = []
        #: What is left of the level for the current command.
        self._todo: list[int] = []
        self._bundles: list[TableCopy] = []
        self._updates: list[TableCopy] = []
        self._panels: list[TableCopy] = []

    def own(self, states: list[int], parents: list[int], level: list[int]) -> None:
        """Begin with states that were found before the search was divided."""
        self._parents = dict(zip(states, parents, strict=True))
        self._following = level

    def feed(self, divides: int, bundles: Any, updates: Any, panels: Any) -> None:
        """Take over what is new in the tables: (number, mask, whether to forget rows, rows)."""
        self._divides = divides
        for tables, news in ((self._updates, updates), (self._panels, panels)):
            for number, *table in news:
                _at(tables, number).adopt(*table)
        for number, mask, is_reset, rows in bundles:
            entries = {
                key: (near, far, [(delta, [self._updates[n] for n in of], f) for delta, of, f in s])
                for key, (near, far, s) in rows.items()
            }
            _at(self._bundles, number).adopt(mask, is_reset, entries)

    def bundles(self, count: int) -> None:
        """So many bundles, made of the rules in another way."""
        self._bundles = [TableCopy() for _ in range(count)]

    def begin(self, boxes: Iterable[bytes]) -> tuple[list[int], int, int]:
        """Begin a level, with states that other parts found: one of its states, if there is one,
        the number of states on it, and of all known ones.
        """
        parents, level = self._parents, self._following
        for targets, sources in map(marshal.loads, boxes):
            for target, source in zip(targets, sources, strict=True):
                if target not in parents:
                    parents[target] = source
                    level.append(target)
        self._level = self._inside = level
        self._following = []
        self._todo = level
        return level[:1], len(level), len(parents)

    def sample(self, at_most: int) -> list[int]:
        """Some states of the level."""
        return self._level[:: len(self._level) // at_most + 1]

    def ask(self, panel: int, is_new: bool) -> tuple[dict[int, int], list[int]]:
        """The first state of each number except 0 on the level, and states to compute it for."""
        table, later = self._panels[panel], []
        mask, get = table.mask, table.rows.get
        first: dict[int, int] = {}
        missing: dict[int, int] = {}
        for packed in self._level if is_new else self._todo:
            number = get(packed & mask)
            if number is None:
                missing.setdefault(packed & mask, packed)
                later.append(packed)
            elif number and number not in first:
                first[number] = packed
        self._todo = later
        return first, list(missing.values())

    def bound(self, panel: int, is_new: bool) -> tuple[int, list[int]]:
        """Leave out the states for which a panel says 0: how many, and states to compute it for."""
        table, later = self._panels[panel], []
        if is_new:
            self._todo, self._inside = self._level, []
        missing: dict[int, int] = {}
        before = len(self._outside)
        for packed in self._todo:
            key = packed & table.mask
            if key in table.rows:
                (self._inside if table.rows[key] else self._outside).append(packed)
            else:
                missing.setdefault(key, packed)
                later.append(packed)
        self._todo = later
        return len(self._outside) - before, list(missing.values())

    def expand(self, is_new: bool, seconds: float) -> tuple[int, list[int], list[int], int, int]:
        """Expand for some time: transitions, dead ends, states for which a table misses a row,
        the numbers of states left to expand and of all known ones.

        States for which a table has no row are put off.  Every line of the inner loop runs millions
        of times.
        """
        deadline = time.perf_counter() + seconds
        todo = self._inside if is_new else self._todo
        parents, add = self._parents, self._following.append
        owners, divides = self._owners, self._divides
        homes = [*self._boxes]
        homes[self._number] = parents
        plan = [(table.mask, table.rows) for table in self._bundles]
        generated = at = 0
        later: list[int] = []
        dead: list[int] = []
        missing: dict[int, int] = {}
        while at < len(todo) and time.perf_counter() < deadline:
            for packed in todo[at : at + BATCH]:
                count = 0
                try:
                    for mask, entries in plan:
                        near, far, sends = entries[packed & mask]
                        count += len(near)
                        for delta in near:
                            target = packed + delta
                            if target not in parents:
                                parents[target] = packed
                                add(target)
                        if far:
                            count += len(far)
                            for delta in far:
                                target = packed + delta
                                known = homes[owners[target & divides]]
                                if target not in known:
                                    known[target] = packed
                                    if known is parents:
                                        add(target)
                        if sends:
                            count += len(sends)
                            for target, updates, is_far in sends:
                                target += packed
                                for update in updates:
                                    target += update.rows[packed & update.mask]
                                known = homes[owners[target & divides]] if is_far else parents
                                if target not in known:
                                    known[target] = packed
                                    if known is parents:
                                        add(target)
                except KeyError as error:
                    missing.setdefault(error.args[0], packed)
                    later.append(packed)
                    continue
                generated += count
                if not count:
                    dead.append(packed)
            at += BATCH
        self._todo = todo[at:] + later
        return generated, dead, list(missing.values()), len(self._todo), len(parents)

    def found(self) -> list[bytes]:
        """By part, the new states that it owns and what they were reached from, for `begin`."""
        boxes = [marshal.dumps(([*box], [*box.values()])) for box in self._boxes]
        for box in self._boxes:
            box.clear()
        return boxes

    def sources(self, states: list[int]) -> list[int]:
        """The states that some states were reached from."""
        return [self._parents[packed] for packed in states]

    def states(self) -> tuple[list[int], list[int], list[int]]:
        """All states, their parents, and those that are out of bounds."""
        return [*self._parents], [*self._parents.values()], self._outside


def _at(tables: list[TableCopy], number: int) -> TableCopy:
    while len(tables) <= number:
        tables.append(TableCopy())
    return tables[number]


def memory_mib() -> float:
    """Resident size of this process in mebibytes; 0 if the system does not report it."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * 4096 / 2**20
    except (OSError, ValueError, IndexError):
        return 0.0


def main() -> None:
    """Obey commands until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()  # integers make no cycles
    commands, answers = sys.stdin.buffer, sys.stdout.buffer
    try:
        part = Part(*receive(commands))
        while True:
            name, *arguments = receive(commands)
            send(answers, (getattr(part, name)(*arguments), memory_mib()))
    except (EOFError, BrokenPipeError):
        pass


if __name__ == "__main__":
    main()
