"""Counts of what agents have read and written, from the calls to the store.

Counts are taken from the agents' accounts in the background, once a second while the process asks
the store, and as an agent leaves.  They travel in the transaction of the process's next write, or
in one of their own: as an agent leaves, and after a minute without a write.

Nothing is counted twice.  If a transaction failed, its counts travel with the next one; if its
outcome is unknown, they are dropped.  Counts that a killed process had not sent are lost.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from coherence.errors import OutcomeUnknown
from coherence.runtime.account import Account, Event
from coherence.runtime.caches import AgentCaches, Caches
from coherence.runtime.token_counts import TokenCounts
from coherence.stores.records import COUNTS, Tally
from coherence.view import Served, View
from message_passing.errors import ToolkitError
from message_passing.process import Address

#: How often counts are collected, in seconds.
EVERY_S: Final = 1.0
#: How long collected counts wait for a write, in seconds.
WAIT_S: Final = 60.0
#: How many rows one write carries, and one transaction of their own.
ROWS_A_WRITE: Final = 32
ROWS_AT_ONCE: Final = 1_000
#: Beyond so many rows, an agent's further artifacts are counted as one without a name.
ROWS_MAX: Final = 10_000

Send: TypeAlias = Callable[[Sequence[Tally]], object]

log = logging.getLogger("coherence.workspace")

#: How a read was answered, or what became of a write -> its place in a row.
_FIELD: Final[dict[str, int]] = {
    how: COUNTS.index(name)
    for how, name in {
        Served.HIT: "hits",
        Served.FULL: "full",
        Served.UNCHANGED: "unchanged",
        Served.DELTA: "delta",
        "writes": "writes",
        "same": "same",
        "conflicts": "conflicts",
    }.items()
}
_SERVED, _REFETCH = COUNTS.index("served_tokens"), COUNTS.index("refetch_tokens")
_EXACT = COUNTS.index("exact")


class Accounts:
    """The counts of one process for one store."""

    def __init__(self, caches: Caches) -> None:
        self._caches, self._clock = caches, caches.clock
        #: By name: an interrupted join or leave may keep one, until that name joins again.
        self._open: dict[Address, AgentCaches] = {}
        self._counts = TokenCounts(caches.clock)
        #: Agent and artifact -> the counts that were collected and not sent, as in `COUNTS`.
        self.rows: dict[tuple[Address, str], list[int]] = {}
        #: Guards the rows; and their making, which may take a while.
        self._lock, self._collecting = threading.RLock(), threading.RLock()
        self.locks = [self._lock, self._collecting]
        #: The counters of agents that have left.
        self._departed = dict(Account("").totals)
        #: The tokens of all reads, and of their refetches.
        self._served = self._refetch = 0
        #: Whether writes carry the rows: not after one of them has failed.
        self.carries = True
        #: When counts are collected next, and since when the oldest row waits.
        self.due_at = self._clock() + EVERY_S
        self._waits_since = self._clock()
        #: Has work done in the background.
        self.later: Callable[[Callable[[], object]], object] = lambda work: None
        self.send: Send = lambda rows: None

    def open(self, caches: AgentCaches) -> None:
        """An agent has joined."""
        self._open[caches.address] = caches
        caches.account.collect = self.begin

    def close(self, caches: AgentCaches) -> None:
        """An agent has left: its counts are collected for the last time.  Idempotent."""
        self.collect()
        with self._lock:
            if self._open.get(caches.address) is caches:
                del self._open[caches.address]
                for name, number in caches.account.metrics().items():
                    self._departed[name] += number

    def disown(self) -> None:
        """This is a child process: the parent sends these counts, and may hold the locks."""
        self._lock, self._collecting = threading.RLock(), threading.RLock()
        self._open, self.rows = {}, {}

    def metrics(self) -> dict[str, int]:
        """The counters of all agents, past and present."""
        with self._lock, self._caches.lock:
            found = dict(self._departed)
            for caches in tuple(self._open.values()):
                for name, number in caches.account.metrics().items():
                    found[name] += number
            return found

    def tokens(self) -> dict[str, int]:
        """The tokens that reads have served, and that refetches would have cost, until now."""
        self.collect()
        return {"served_tokens": self._served, "refetch_tokens": self._refetch}

    # Collecting.

    def begin(self) -> None:
        """Have the counts collected in the background."""
        self.due_at = self._clock() + EVERY_S
        self.later(self._work)

    def _work(self) -> None:
        self.collect()
        if self.rows and (not self.carries or self._clock() - self._waits_since > WAIT_S):
            self.flush()
            self.carries = True

    def collect(self) -> None:
        """Take the counts of all agents into rows."""
        with self._collecting:
            self._counts.begin()
            for caches in tuple(self._open.values()):
                account = caches.account
                with self._caches.lock:
                    for artifact in tuple(account.hits):
                        if caches.took_hits(artifact):
                            self._caches.holdings.used.add(artifact)
                account.held_bytes = 0
                for _ in range(len(account.events)):
                    self._add(account.agent, account.events.popleft())

    def _add(self, agent: Address, event: Event) -> None:
        what, how, times = event
        if isinstance(what, View):
            whole, exact = self._counts.whole(what)
            served = whole
            if how in (Served.UNCHANGED, Served.DELTA):
                served, as_exact = self._counts.shown(what)
                exact = exact and as_exact
            self._served += times * served
            self._refetch += times * whole
            with self._lock:
                row = self._row(agent, what.ref.name)
                row[_FIELD[how]] += times
                row[_SERVED] += times * served
                row[_REFETCH] += times * whole
                row[_EXACT] += times * exact
        elif times:
            with self._lock:
                self._row(agent, what)[_FIELD[how]] += times
        else:
            served, _ = self._counts.text(how)
            self._served += served
            with self._lock:
                self._row(agent, what)[_SERVED] += served

    def _row(self, agent: Address, artifact: str) -> list[int]:
        rows = self.rows
        if not rows:
            self._waits_since = self._clock()
        row = rows.get((agent, artifact))
        if row is None:
            if len(rows) >= ROWS_MAX:
                artifact = ""
            row = rows.setdefault((agent, artifact), [0] * len(COUNTS))
        return row

    # Sending.

    def take(self, most: int = ROWS_A_WRITE) -> list[Tally]:
        """Rows to be sent, without a day, which the store adds."""
        with self._lock:
            taken = [(key, self.rows.pop(key)) for key in list(self.rows)[:most]]
        # A read that was taken back may have been sent before.
        return [Tally("", *key, *(max(0, count) for count in row)) for key, row in taken]

    def put_back(self, rows: Sequence[Tally]) -> None:
        """The rows were certainly not kept by the store."""
        with self._lock:
            for tally in rows:
                row = self._row(tally.agent, tally.artifact)
                for at, name in enumerate(COUNTS):
                    row[at] += getattr(tally, name)

    def send_all(self) -> None:
        """Collect the counts, and send them.  Raises `StoreFault`."""
        self.collect()
        self.flush()

    def flush(self) -> None:
        """Send every collected row in transactions of their own.  Raises `StoreFault`."""
        while rows := self.take(ROWS_AT_ONCE):
            try:
                self.send(rows)
            except OutcomeUnknown:
                raise
            except ToolkitError:
                self.put_back(rows)
                raise
