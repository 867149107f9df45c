"""The dependencies of transactions as arrays, and their strongly connected components.

Nodes are transactions, the *ends* of names, which stand between the last version that was read and
the writes that no read shows, and *barriers* of real time: one before each begin that follows a
return.  So the edges are linear in the observations, although a transaction precedes all that begin
after its return.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from specs.histories.anomalies import Why
from specs.histories.history import INFO, Bools, Floats, History, Ints, ints
from specs.histories.orders import BITS, Order


@dataclass(slots=True)
class Dependencies:
    """Edges from `src` to `dst`; `name` is that of a dependency, or -1."""

    nodes: int
    #: How many of the nodes, the first, are transactions.
    txns: int
    src: Ints
    dst: Ints
    why: Ints
    name: Ints
    #: Of the nodes: whether a node is a transaction of which only reads count.
    refused: Bools

    def part(self, edges: Bools | Ints) -> Dependencies:
        """The graph with these edges alone."""
        src, dst, why = self.src[edges], self.dst[edges], self.why[edges]
        return Dependencies(self.nodes, self.txns, src, dst, why, self.name[edges], self.refused)

    def counts(self) -> dict[str, int]:
        """The number of edges of each kind."""
        found = np.bincount(self.why, minlength=len(Why))
        return {why.name.lower(): int(found[why]) for why in Why}


def graph_of(history: History, order: Order) -> Dependencies:
    """Which transactions come before which, and why."""
    txns = len(history.ids) + len(order.strangers)
    parts: list[tuple[Ints, Ints, Ints, Ints]] = []

    def add(src: Ints, dst: Ints, why: Why, name: Ints | None = None) -> None:
        if name is None:
            name = np.full(len(src), -1)
        differ = src != dst
        src, dst, name = src[differ], dst[differ], name[differ]
        parts.append((src, dst, np.full(len(src), why), name))

    name_of = order.code >> BITS
    follows = np.flatnonzero(name_of[1:] == name_of[:-1])
    add(order.txn[follows], order.txn[follows + 1], Why.WW, name_of[follows])
    counts = order.took | order.refused
    reads = counts[order.read_txn]
    readers, read = order.read_txn[reads], order.read_code[reads]
    name = read >> BITS
    rows = order.row_of(read)
    add(order.txn[rows[rows >= 0]], readers[rows >= 0], Why.WR, name[rows >= 0])
    rows = order.next_of(read)
    add(readers[rows >= 0], order.txn[rows[rows >= 0]], Why.RW, name[rows >= 0])
    free = txns
    if len(order.pending[0]):
        newest = rows < 0
        free = _pending(history, order, readers[newest], name[newest], add, free)
    more = len(order.strangers)
    begin = np.concatenate([history.begin, np.full(more, -np.inf)])
    end = np.concatenate([history.end, np.full(more, np.inf)])
    end[: len(history.ids)][_open_ended(history, order)] = np.inf
    clock = np.concatenate([history.clock_of(), np.zeros(more, np.int64)])
    for number in range(int(clock.max()) + 1):
        src, dst, free = _real_time(np.flatnonzero((clock == number) & counts), begin, end, free)
        add(src, dst, Why.RT)
    src, dst, why, name = (np.concatenate(column) for column in zip(*parts, strict=True))
    refused = np.zeros(free, bool)
    refused[:txns] = order.refused
    return Dependencies(free, txns, src, dst, why, name, refused)


def _pending(history: History, order: Order, readers: Ints, read: Ints, add: Any, free: int) -> int:
    """Edges to the writes that no read shows, through the end of each name.

    An end precedes these writes, and follows the last version and its readers.  Those of its
    readers that write the same name would precede themselves, so their edges are direct ones: of
    the first to all other writers, and of the others to the first.
    """
    writers, names = order.pending
    named, at = np.unique(names, return_inverse=True)
    add(free + at, writers, Why.WW, names)
    node = np.full(len(history.names), -1)
    node[named] = free + np.arange(len(named))

    last_of = order.code >> BITS
    last = np.flatnonzero(np.r_[last_of[1:] != last_of[:-1], True][: len(last_of)])
    last = last[node[last_of[last]] >= 0]
    add(order.txn[last], node[last_of[last]], Why.WW, last_of[last])

    there = node[read] >= 0
    readers, read = readers[there], read[there]
    both = np.isin((readers << BITS) | read, (writers << BITS) | names)
    add(readers[~both], node[read[~both]], Why.RW, read[~both])
    readers, read = readers[both], read[both]
    shared, heads = np.unique(read, return_index=True)
    first = np.full(len(history.names), -1)
    first[shared] = readers[heads]
    add(readers, first[read], Why.RW, read)
    mine = first[names] >= 0
    add(first[names[mine]], writers[mine], Why.RW, names[mine])
    return free + len(named)


def _open_ended(history: History, order: Order) -> Bools:
    """Transactions of unknown outcome that took effect, perhaps after their call had ended."""
    unknown: Bools = ints(history.outcome) == INFO
    return unknown & order.took[: len(history.ids)]


def _real_time(txn: Ints, begin: Floats, end: Floats, free: int) -> tuple[Ints, Ints, int]:
    """Edges by which each of `txn` precedes those that begin after its end, through barriers."""
    returned = txn[np.isfinite(end[txn])]
    returned = returned[np.argsort(end[returned], kind="stable")]
    # The last return before each begin; a barrier is needed only where a begin follows it.
    last = np.searchsorted(end[returned], begin[txn], side="left") - 1
    after = last >= 0
    used, barrier = np.unique(last[after], return_inverse=True)
    before = np.searchsorted(used, np.arange(len(returned)))
    kept = before < len(used)
    chain = free + np.arange(len(used))
    src = np.concatenate([returned[kept], chain[:-1], free + barrier])
    dst = np.concatenate([free + before[kept], chain[1:], txn[after]])
    return src, dst, free + len(used)


def components(graph: Dependencies) -> list[Ints]:
    """The strongly connected components of several nodes, each ascending."""
    from scipy.sparse.csgraph import connected_components

    if not len(graph.src):
        return []
    _, labels = connected_components(matrix(graph), directed=True, connection="strong")
    sizes = np.bincount(labels)
    inside = np.flatnonzero(sizes[labels] > 1)
    ranked = inside[np.argsort(labels[inside], kind="stable")]
    return np.split(ranked, np.cumsum(sizes[sizes > 1])[:-1]) if len(ranked) else []


def matrix(graph: Dependencies) -> Any:
    """The edges as a sparse matrix."""
    from scipy.sparse import csr_array

    ones = np.ones(len(graph.src), bool)
    return csr_array((ones, (graph.src, graph.dst)), shape=(graph.nodes, graph.nodes))
