"""The order of the versions of each name, as contents testify it.

Every transaction appends a token of its own, so the longest content of a name lists its writers in
their order, and every other content must be a beginning of it (Elle, section 4.2: traceability and
recoverability).  A write that no read shows comes after the longest content.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from specs.histories.anomalies import DUPLICATE, FORK, G1A, G1B, LOST, PARTIAL, UNWRITTEN
from specs.histories.history import FAIL, INFO, OK, Bools, History, Ints, ints
from specs.histories.witness import Findings, listed

#: Room for places beside the number of a name.
BITS = 32
PLACE = (1 << BITS) - 1


@dataclass(slots=True)
class Order:
    """The versions of all names in their order, and who read which.

    `code` is ascending: the name above `BITS`, the place below.  `took` are the transactions that
    took effect, and `refused` those of which only reads count.
    """

    code: Ints
    txn: Ints
    read_txn: Ints
    read_code: Ints
    #: Writes that took effect and that no read shows: transactions and names.
    pending: tuple[Ints, Ints]
    took: Bools
    refused: Bools
    found: Findings = field(default_factory=Findings)
    #: Transactions that stand for unknown writers; their numbers follow those of the history.
    strangers: tuple[str, ...] = ()

    def next_of(self, code: Ints) -> Ints:
        """The row of the first version of the same name after `code`, or -1."""
        if not len(self.code):
            return np.full(len(code), -1)
        rows = np.searchsorted(self.code, code, side="right")
        there = self.code[np.minimum(rows, len(self.code) - 1)]
        same = (rows < len(self.code)) & (there >> BITS == code >> BITS)
        return np.where(same, rows, -1)

    def row_of(self, code: Ints) -> Ints:
        """The row of the version `code`, or -1."""
        if not len(self.code):
            return np.full(len(code), -1)
        rows = np.minimum(np.searchsorted(self.code, code), len(self.code) - 1)
        return np.where(self.code[rows] == code, rows, -1)


def codes(name: Ints, place: Ints) -> Ints:
    """Names and places as single numbers."""
    return (name << BITS) | place


def testified(history: History) -> Order:
    """The order that contents testify, and the anomalies in it."""
    found = Findings()
    outcome = ints(history.outcome)
    reads = _Reads(history)
    txn, name, place = _installed(history, reads, outcome, found)
    write_txn, write_name, _, _ = history.writes.columns()

    took = outcome == OK
    took[txn[outcome[txn] == INFO]] = True
    for _, _, tokens in history.forks:  # both branches were seen
        for token in tokens:
            writer = history.writers.get(token)
            if writer is not None and outcome[writer] == INFO:
                took[writer] = True

    written = (write_txn << BITS) | write_name
    absent = took[write_txn] & ~np.isin(written, (txn << BITS) | name)
    order = Order(
        codes(name, place),
        txn,
        reads.txn,
        codes(reads.name, reads.place),
        (write_txn[absent], write_name[absent]),
        took,
        (outcome != OK) & ~took,
        found,
    )
    _forks(history, reads, found)
    _intermediate(history, reads, found)
    _missing(history, order, reads, found)
    return order


class _Reads:
    """The reads of a history, found by name and place."""

    def __init__(self, history: History) -> None:
        self.txn, self.name, self.place, _ = history.reads.columns()
        self.begin, self.end = np.asarray(history.begin), np.asarray(history.end)

    def showing(self, name: int, place: int) -> Ints:
        """The transactions that read that place of that name, the first to return first."""
        found = self.txn[(self.name == name) & (self.place >= place)]
        ranked: Ints = found[np.argsort(self.end[found], kind="stable")]
        return ranked


def _installed(
    history: History, reads: _Reads, outcome: Ints, found: Findings
) -> tuple[Ints, Ints, Ints]:
    """Transactions, names and places of all tokens that were read and are right."""
    writers, names, ids = history.writers, history.names, history.ids
    flat = [writers.get(token, -1) for order in history.orders for token in order]
    lengths = ints([len(order) for order in history.orders])
    txn, name = ints(flat), np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(txn)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + 1
    write_txn, write_name, _, _ = history.writes.columns()
    theirs = np.isin((txn << BITS) | name, (write_txn << BITS) | write_name)

    def unwritten(number: int, at: int) -> tuple[str, tuple[int, ...]]:
        token, readers = history.orders[number][at - 1], reads.showing(number, at).tolist()
        text = (
            f"{ids[readers[0]]} read {token!r} in {names[number]}, which no transaction wrote to it"
        )
        return text, tuple(readers[:1])

    def aborted(number: int, at: int) -> tuple[str, tuple[int, ...]]:
        writer, readers = writers[history.orders[number][at - 1]], reads.showing(number, at)
        text = f"{ids[writer]} was refused, and {ids[readers[0]]} read its write to {names[number]}"
        return text, (writer, int(readers[0]))

    def twice(number: int, token: str) -> tuple[str, tuple[int, ...]]:
        parties = (writers[token],) if token in writers else ()
        return f"{names[number]} holds {token!r} twice", parties

    wrong = ~theirs
    refused = theirs & (outcome[np.maximum(txn, 0)] == FAIL)
    for row in np.flatnonzero(wrong).tolist():
        found.add(UNWRITTEN, partial(unwritten, int(name[row]), int(place[row])))
    for row in np.flatnonzero(refused).tolist():
        found.add(G1A, partial(aborted, int(name[row]), int(place[row])))
    for number, order in enumerate(history.orders):
        if len(set(order)) < len(order):
            for token, times in Counter(order).items():
                if times > 1:
                    found.add(DUPLICATE, partial(twice, number, token))
    good = ~(wrong | refused)
    return txn[good], name[good], place[good]


def _forks(history: History, reads: _Reads, found: Findings) -> None:
    """Contents that contradict the longest one."""

    def fork(txn: int, name: int, seen: list[str]) -> tuple[str, tuple[int, ...]]:
        longest = history.orders[name]
        pairs = enumerate(zip(seen, longest, strict=False))
        same = next((at for at, (one, other) in pairs if one != other), 0)
        other = int(reads.showing(name, same + 1)[0])
        text = (
            f"{history.ids[txn]} read {history.names[name]} as {listed(seen)}, and"
            f" {history.ids[other]} as {listed(longest)}: they differ from place {same + 1} on"
        )
        return text, (txn, other)

    for each in history.forks:
        found.add(FORK, partial(fork, *each))


def _intermediate(history: History, reads: _Reads, found: Findings) -> None:
    """Reads that end with a token after which its writer appended another one."""
    if not history.inner:
        return

    def intermediate(writer: int, reader: int, name: str) -> tuple[str, tuple[int, ...]]:
        one, other = history.ids[writer], history.ids[reader]
        return f"{other} read {name} before {one} had appended all to it", (writer, reader)

    columns = (reads.txn.tolist(), reads.name.tolist(), reads.place.tolist())
    for reader, number, count in zip(*columns, strict=True):
        order = history.orders[number]
        if count and (number, order[count - 1]) in history.inner:
            writer = history.writers[order[count - 1]]
            if writer != reader:
                found.add(G1B, partial(intermediate, writer, reader, history.names[number]))


def _missing(history: History, order: Order, reads: _Reads, found: Findings) -> None:
    """Writes that took effect, and that a later read lacks."""
    txn, name = order.pending
    if not len(txn):
        return
    clock, outcome = history.clock_of(), ints(history.outcome)
    latest = _latest(reads, clock)
    clocks = int(clock.max()) + 1
    forked = {number for _, number, _ in history.forks}
    ids, begin, end = history.ids, reads.begin, reads.end

    def lost(writer: int, name: str, after: int) -> tuple[str, tuple[int, ...]]:
        text = f"{ids[writer]} was told that its write to {name} stands; {ids[after]}, which began"
        return f"{text} later, read {name} without it", (writer, after)

    def part(writer: int, name: str, seen: int, after: int) -> tuple[str, tuple[int, ...]]:
        text = f"{ids[seen]} saw a write of {ids[writer]}; {ids[after]}, which began later, read"
        return f"{text} {name} without its write to it", (writer, seen, after)

    for writer, number in zip(txn.tolist(), name.tolist(), strict=True):
        after = latest.get(number * clocks + int(clock[writer]), -1)
        if number in forked or after < 0:
            continue
        what = history.names[number]
        if outcome[writer] == OK and begin[after] > end[writer]:
            found.add(LOST, partial(lost, writer, what, after))
        elif outcome[writer] == INFO:
            seen = _first_to_show(order, reads, writer)
            if seen >= 0 and clock[seen] == clock[after] and begin[after] > end[seen]:
                found.add(PARTIAL, partial(part, writer, what, seen, after))


def _latest(reads: _Reads, clock: Ints) -> dict[int, int]:
    """For each name and clock the reader that began last."""
    ranked = np.argsort(reads.begin[reads.txn], kind="stable")
    txn = reads.txn[ranked]
    keys = reads.name[ranked] * (int(clock.max()) + 1) + clock[txn]
    return dict(zip(keys.tolist(), txn.tolist(), strict=True))


def _first_to_show(order: Order, reads: _Reads, writer: int) -> int:
    """The reader that saw a write of `writer` and returned first, or -1."""
    every = [
        reads.showing(code >> BITS, code & PLACE)
        for code in order.code[order.txn == writer].tolist()
    ]
    readers = [int(each[0]) for each in every if len(each)]
    return min(readers, key=lambda reader: float(reads.end[reader]), default=-1)
