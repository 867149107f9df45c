"""Histories of a simulated store with concurrent clients: a right one, and wrong ones by name.

The clients read some names, think, and append their token to some of them; the store compares at
the commit what they read.  Each weakness leaves out one thing, so its histories have an anomaly of
known kind.  One seed gives one history.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from enum import Enum
from heapq import heappop, heappush
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import msgspec

Line: TypeAlias = dict[str, Any]

#: Names change with every so many transactions, so that no content grows without end.
PERIOD = 200
NAMES = 8


class Weakness(Enum):
    """What the store does wrong."""

    NONE = "none"
    #: Reads are not compared at the commit, written names are: write skew.
    READS_UNCHECKED = "reads unchecked"
    #: Nothing is compared, and the token is appended to what is there.
    UNCHECKED = "unchecked"
    #: Nothing is compared, and the content becomes what was read and the token: lost updates.
    BLIND = "blind"
    #: The writes of one transaction become visible one after another.
    TORN = "torn"
    #: A refused transaction leaves its first write behind.
    DIRTY = "dirty"
    #: Transactions that only read see an earlier state.
    STALE = "stale"
    #: Reads are made one after another, and compared only at a commit.
    SPLIT = "split"


class _Client:
    """One client, and the transaction that it is in."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.id = ""
        self.names: list[str] = []
        self.written: list[str] = []
        self.seen: dict[str, list[str]] = {}
        self.outcome = "ok"


class Simulation:
    """A store, and its clients.

    `killed` is the share of transactions whose client is killed and replaced.
    """

    def __init__(
        self,
        seed: int,
        transactions: int,
        *,
        clients: int = 6,
        names: int = NAMES,
        killed: float = 0.0,
        weakness: Weakness = Weakness.NONE,
    ) -> None:
        self._rng = Random(seed)
        self._left = transactions
        self._per_period = names
        self._killed, self._weakness = killed, weakness
        self._store: dict[str, list[str]] = {}
        self._older: dict[str, list[str]] = {}
        self._events: list[tuple[float, int, _Client, str]] = []
        self._count = self._clients = 0
        for _ in range(clients):
            self._push(self._rng.random(), self._client(), "begin")

    def lines(self) -> Iterator[tuple[int, Line]]:
        """The lines of all clients in the order of time, each with the number of its client.

        At the end one more client reads everything.
        """
        now = 0.0
        while self._events:
            now, _, client, phase = heappop(self._events)
            line = getattr(self, f"_{phase}")(now, client)
            if line is not None:
                yield client.number, line
        reader = self._client()
        names = sorted(self._store)
        for start in range(0, len(names), 100):
            now += 1.0
            token = f"final-{start}"
            seen = {name: self._store[name] for name in names[start : start + 100]}
            yield reader.number, {"type": "invoke", "t": now, "i": token}
            yield reader.number, {"type": "ok", "t": now + 0.5, "i": token, "r": seen}

    def _client(self) -> _Client:
        self._clients += 1
        return _Client(self._clients)

    def _push(self, at: float, client: _Client, phase: str) -> None:
        self._count += 1
        heappush(self._events, (at, self._count, client, phase))

    def _begin(self, now: float, client: _Client) -> Line | None:
        if not self._left:
            return None
        self._left -= 1
        rng = self._rng
        period = self._left // PERIOD
        count = rng.randrange(2, 4)
        client.names = [f"g{period}-{n}" for n in rng.sample(range(self._per_period), count)]
        client.written = client.names[: rng.randrange(3)]
        client.id, client.seen = f"p{client.number}-{self._left}", {}
        self._push(now + rng.random(), client, "read")
        return {"type": "invoke", "t": now, "i": client.id, "w": client.written}

    def _read(self, now: float, client: _Client) -> None:
        weakness, rng = self._weakness, self._rng
        store = self._store
        if weakness is Weakness.STALE and not client.written:
            store = self._older
        left = [name for name in client.names if name not in client.seen]
        if weakness is Weakness.SPLIT:
            left = left[:1]
        for name in left:
            client.seen[name] = store.get(name, [])
        more = len(client.seen) < len(client.names)
        self._push(now + rng.random(), client, "read" if more else "commit")

    def _commit(self, now: float, client: _Client) -> None:
        weakness, rng, store = self._weakness, self._rng, self._store
        compared = client.names
        if weakness is Weakness.READS_UNCHECKED:
            compared = client.written
        elif weakness in (Weakness.UNCHECKED, Weakness.BLIND):
            compared = []
        stands = not client.written or all(
            store.get(name, []) is client.seen[name] or store.get(name, []) == client.seen[name]
            for name in compared
        )
        client.outcome = "ok" if stands else "fail"
        written = client.written if stands else []
        if weakness is Weakness.DIRTY and not stands:
            written = client.written[:1]
        dead = rng.random() < self._killed
        if dead and rng.random() < 0.5:
            written = []  # the commit did not reach the store
        if weakness is Weakness.TORN and len(written) > 1:
            written = written[:1]
            if not dead:
                self._push(now + 2 * rng.random(), client, "rest")
        elif not dead:
            self._push(now + rng.random(), client, "return")
        if weakness is Weakness.STALE and rng.random() < 0.1:
            self._older = dict(store)
        for name in written:
            self._append(name, client)
        if dead:
            self._push(now + 1.0, self._client(), "begin")

    def _append(self, name: str, client: _Client) -> None:
        base = client.seen if self._weakness is Weakness.BLIND else self._store
        self._store[name] = [*base.get(name, []), client.id]

    def _rest(self, now: float, client: _Client) -> None:
        for name in client.written[1:]:
            self._append(name, client)
        self._push(now + self._rng.random(), client, "return")

    def _return(self, now: float, client: _Client) -> Line:
        self._push(now + self._rng.random(), client, "begin")
        line = {"type": client.outcome, "t": now, "i": client.id, "r": client.seen}
        return {**line, "w": client.written}


def write(folder: Path, lines: Iterable[tuple[int, Line]]) -> list[Path]:
    """Write the lines to a file for each client, and return the files."""
    paths: dict[int, Path] = {}
    encode = msgspec.json.Encoder().encode
    with ExitStack() as stack:
        files: dict[int, Any] = {}
        for number, line in lines:
            if number not in files:
                paths[number] = folder / f"p{number}.ndjson"
                files[number] = stack.enter_context(paths[number].open("wb"))
            files[number].write(encode(line) + b"\n")
    return list(paths.values())
