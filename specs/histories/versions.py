"""The order of versions as the store reports it, and what observations must then agree on.

A version has one writer and one content, so two acknowledged writes of one version are a lost
update, and two digests under one version an altered content.  A version between two that were
observed, and that no client acknowledges, was made by a client that was killed, or by one that
is not observed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from specs.histories.anomalies import ALTERED, BACK, FORK, G1A, UNWRITTEN
from specs.histories.history import FAIL, INFO, OK, UNKNOWN, Bools, History, Ints, ints
from specs.histories.orders import BITS, PLACE, Order, codes
from specs.histories.witness import Findings


def reported(history: History) -> Order:
    """The order that the store reports, and the anomalies in it."""
    found = Findings()
    outcome = ints(history.outcome)
    write_txn, write_name, write_place, write_digest = history.writes.columns()
    claims = np.flatnonzero((outcome[write_txn] == OK) & (write_place > 0))
    ranked = claims[np.argsort(codes(write_name[claims], write_place[claims]), kind="stable")]
    code, txn = codes(write_name[ranked], write_place[ranked]), write_txn[ranked]
    digest = write_digest[ranked]
    again = np.flatnonzero(code[1:] == code[:-1]) + 1
    for row in again.tolist():
        found.add(FORK, partial(_both, history, int(code[row]), int(txn[row - 1]), int(txn[row])))
    first = np.ones(len(code), bool)
    first[again] = False
    code, txn, digest = code[first], txn[first], digest[first]

    read_txn, read_name, read_place, read_digest = history.reads.columns()
    past_txn, past_name, past_place, past_digest = history.past.columns()
    seen = _Seen(
        np.concatenate([read_txn, past_txn]),
        codes(np.concatenate([read_name, past_name]), np.concatenate([read_place, past_place])),
        np.concatenate([read_digest, past_digest]),
    )
    _altered(history, code, txn, digest, seen, found)
    made = _Unclaimed(history, outcome, code, seen, found)
    code, txn = np.concatenate([code, made.code]), np.concatenate([txn, made.txn])
    ranked = np.argsort(code, kind="stable")
    outcome = np.concatenate([outcome, np.full(len(made.strangers), INFO)])
    took = outcome == OK
    took[txn] = True
    _went_back(history, outcome, found)
    nobody = np.zeros(0, np.int64)
    return Order(
        code[ranked],
        txn[ranked],
        read_txn,
        codes(read_name, read_place),
        (nobody, nobody),
        took,
        (outcome != OK) & ~took,
        found,
        tuple(made.strangers),
    )


class _Seen:
    """Versions that were read, the history's too, and their digests."""

    def __init__(self, txn: Ints, code: Ints, digest: Ints) -> None:
        there = (code & PLACE) > 0
        self.txn, self.code, self.digest = txn[there], code[there], digest[there]


def _ref(history: History, code: int) -> str:
    return f"{history.names[code >> BITS]}@{code & PLACE}"


def _both(history: History, code: int, one: int, other: int) -> tuple[str, tuple[int, ...]]:
    who = f"{history.ids[one]} and {history.ids[other]}"
    return f"{who} were both told that they made {_ref(history, code)}", (one, other)


def _altered(
    history: History, code: Ints, txn: Ints, digest: Ints, seen: _Seen, found: Findings
) -> None:
    """Versions under which several contents were seen."""
    every = np.concatenate([code, seen.code])
    digests = np.concatenate([digest, seen.digest])
    who = np.concatenate([txn, seen.txn])
    known = digests != UNKNOWN
    every, digests, who = every[known], digests[known], who[known]
    ranked = np.argsort(every, kind="stable")  # a writer comes first
    every, digests, who = every[ranked], digests[ranked], who[ranked]
    if not len(every):
        return

    def altered(version: int, one: int, other: int) -> tuple[str, tuple[int, ...]]:
        text = f"{history.ids[one]} and {history.ids[other]} know {_ref(history, version)}"
        return f"{text} with different contents", (one, other)

    starts = np.r_[True, every[1:] != every[:-1]]
    heads = np.maximum.accumulate(np.where(starts, np.arange(len(every)), 0))
    differ = np.flatnonzero(digests != digests[heads])
    _, first = np.unique(every[differ], return_index=True)
    for row in differ[first].tolist():
        one, other = int(who[heads[row]]), int(who[row])
        found.add(ALTERED, partial(altered, int(every[row]), one, other))


class _Unclaimed:
    """The versions that no acknowledged write made, and who made them.

    A transaction of unknown outcome made a version if it is the only one that can have: it was to
    write that content to that name, and the content is under no other such version.  Otherwise a
    transaction is added that stands for the unknown writer, at an unknown time.
    """

    def __init__(
        self, history: History, outcome: Ints, code: Ints, seen: _Seen, found: Findings
    ) -> None:
        self._history = history
        #: The transactions that stand for unknown writers, numbered after those of the history.
        self.strangers: list[str] = []
        read = ~np.isin(seen.code, code)
        self._digests: dict[int, int] = {}
        self._readers: dict[int, int] = {}
        columns = (seen.code[read], seen.digest[read], seen.txn[read])
        for version, digest, txn in zip(*(each.tolist() for each in columns), strict=True):
            if self._digests.get(version, UNKNOWN) == UNKNOWN:
                self._digests[version] = digest
            self._readers.setdefault(version, txn)
        txn_, name, _, digest_ = history.writes.columns()
        self._maybe: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._failed: dict[tuple[int, int], int] = {}
        for row in np.flatnonzero(outcome[txn_] != OK).tolist():
            who, what, content = int(txn_[row]), int(name[row]), int(digest_[row])
            if outcome[who] == INFO:
                self._maybe[what][content].append(who)
            elif outcome[who] == FAIL and content != UNKNOWN:
                self._failed[what, content] = who
        pairs = list(self._attributed(_first_of(code), found))
        self.code, self.txn = ints([pair[0] for pair in pairs]), ints([pair[1] for pair in pairs])

    def _attributed(self, first: dict[int, int], found: Findings) -> Iterator[tuple[int, int]]:
        by_content: dict[tuple[int, int], list[int]] = defaultdict(list)
        for version, digest in self._digests.items():
            by_content[version >> BITS, digest].append(version)
        for (name, digest), versions in by_content.items():
            sure = self._maybe[name].get(digest, []) if name in self._maybe else []
            for version in versions:
                if digest != UNKNOWN and len(sure) == 1 and len(versions) == 1:
                    yield version, sure[0]
                    continue
                if not sure and not self._maybe.get(name, {}).get(UNKNOWN):
                    self._nobody(version, first.get(name), digest, found)
                yield version, self._stranger(version)

    def _nobody(self, version: int, first: int | None, digest: int, found: Findings) -> None:
        """What is wrong with a version that no observed client can have made."""
        history, reader = self._history, self._readers[version]
        refused = self._failed.get((version >> BITS, digest))
        ref, who = _ref(history, version), history.ids[reader]
        if refused is not None:
            text = f"{history.ids[refused]} was refused, and {who} read its content as {ref}"
            found.add(G1A, lambda: (text, (refused, reader)))
        elif first is not None and version > first:
            text = f"{who} read {ref}, which no observed client wrote; is every client observed?"
            found.add(UNWRITTEN, lambda: (text, (reader,)))

    def _stranger(self, version: int) -> int:
        """A transaction that stands for the unknown writer of `version`."""
        self.strangers.append(f"the writer of {_ref(self._history, version)}")
        return len(self._history.ids) + len(self.strangers) - 1


def _first_of(code: Ints) -> dict[int, int]:
    """For each name, the first version that an observed client made; `code` is ascending."""
    names, rows = np.unique(code >> BITS, return_index=True)
    return dict(zip(names.tolist(), code[rows].tolist(), strict=True))


def _went_back(history: History, outcome: Ints, found: Findings) -> None:
    """Agents whose reads and writes of one name go back in its versions."""
    columns = [rows.columns() for rows in (history.reads, history.writes)]
    txn = np.concatenate([each[0] for each in columns])
    name = np.concatenate([each[1] for each in columns])
    place = np.concatenate([each[2] for each in columns])
    agent, end = ints(history.agent), np.asarray(history.end)
    mine: Bools = (agent[txn] >= 0) & (outcome[txn] == OK) & (place >= 0)
    txn, name, place = txn[mine], name[mine], place[mine]
    if not len(txn):
        return

    def back(one: int, before: int, other: int, after: int, name: str) -> tuple[str, Any]:
        text = f"{history.ids[one]} knew {name}@{before}, and then the same agent was given"
        return f"{text} {name}@{after} in {history.ids[other]}", (one, other)

    # Calls within a call end first.
    ranked = np.lexsort((place, end[txn], name, agent[txn]))
    txn, name, place = txn[ranked], name[ranked], place[ranked]
    same = (agent[txn[1:]] == agent[txn[:-1]]) & (name[1:] == name[:-1])
    for row in np.flatnonzero(same & (place[1:] < place[:-1])).tolist():
        one, other = (int(txn[row]), int(place[row])), (int(txn[row + 1]), int(place[row + 1]))
        found.add(BACK, partial(back, *one, *other, history.names[name[row]]))
