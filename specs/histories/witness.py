"""Anomalies as found, by the numbers of their transactions, and as told, with names and times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import isfinite
from typing import NamedTuple

from message_passing.chart import Arrow, mermaid, text
from specs.histories.anomalies import Anomaly, Edge, Party, Why
from specs.histories.history import INFO, WORDS, History

#: How many anomalies of one kind are kept.
KEPT = 20
#: How many tokens of a content a text shows.
SHOWN = 4


class Found(NamedTuple):
    """An anomaly with the numbers of its transactions."""

    kind: str
    text: str
    txns: tuple[int, ...] = ()


class Findings:
    """Anomalies by kind: all are counted, and the first `KEPT` of each kind are kept."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.kept: list[Found] = []

    def add(self, kind: str, tell: Callable[[], tuple[str, tuple[int, ...]]]) -> None:
        """Count one; `tell` is called for its text and its transactions if it is kept."""
        self.counts[kind] += 1
        if self.counts[kind] <= KEPT:
            self.kept.append(Found(kind, *tell()))


def listed(tokens: Sequence[str]) -> str:
    """The last tokens of a content."""
    shown = ", ".join(tokens[-SHOWN:])
    return f"[... {shown}]" if len(tokens) > SHOWN else f"[{shown}]"


def party(history: History, txn: int, strangers: Sequence[str] = ()) -> Party:
    """What a reader of a witness wants to know of a transaction.

    `strangers` stand for unknown writers, and are numbered after those of the history.
    """
    known = len(history.ids)
    if txn >= known:
        return Party(strangers[txn - known], "", "", WORDS[INFO], None, None)
    begin, end = history.begin[txn], history.end[txn]
    return Party(
        history.ids[txn],
        history.where(txn),
        history.call.get(txn, ""),
        WORDS[history.outcome[txn]],
        begin if isfinite(begin) else None,
        end if isfinite(end) else None,
    )


def told(
    history: History, found: Found, edges: Sequence[Edge] = (), strangers: Sequence[str] = ()
) -> Anomaly:
    """The anomaly, with its transactions."""
    parties = tuple(party(history, txn, strangers) for txn in dict.fromkeys(found.txns))
    return Anomaly(found.kind, found.text, parties, tuple(edges))


def lines(anomaly: Anomaly) -> list[str]:
    """The anomaly for a person: a sentence, its transactions, and the reason of each edge."""
    rows = [f"{anomaly.kind} ({anomaly.title})", f"  {anomaly.text}"]
    rows += [f"    {edge.first} before {edge.second}: {edge.reason}" for edge in anomaly.edges]
    rows += [f"    {_described(each)}" for each in anomaly.parties]
    return rows


def _described(each: Party) -> str:
    what = f"{each.id} ({each.call})" if each.call else each.id
    when = " to ".join("?" if at is None else f"{at:.6f}" for at in (each.begin, each.end))
    where = f", {each.where}" if each.where else ""
    return f"{what}: {each.outcome}, {when}{where}"


def arrows(anomaly: Anomaly) -> list[Arrow]:
    """A cycle as a sequence chart: one lifeline for each transaction, one arrow for each edge.

    An edge is drawn where its second transaction returns, and the order of real time where it
    begins.
    """
    times = [at for each in anomaly.parties for at in (each.begin, each.end) if at is not None]
    first, last = min(times, default=0.0), max(times, default=0.0)
    begin = {each.id: first if each.begin is None else each.begin for each in anomaly.parties}
    end = {each.id: last if each.end is None else each.end for each in anomaly.parties}
    drawn = []
    for each in anomaly.parties:
        drawn.append((begin[each.id], 0, Arrow(0.0, each.id, each.id, "begins")))
        drawn.append((end[each.id], 2, Arrow(0.0, each.id, each.id, each.outcome)))
    for edge in anomaly.edges:
        at = begin[edge.second] if edge.why is Why.RT else end[edge.second]
        label = f"{edge.why.name.lower()} {edge.name}".rstrip()
        drawn.append((at, 1, Arrow(0.0, edge.first, edge.second, label)))
    drawn.sort(key=lambda each: each[:2])
    return [arrow._replace(time=at - first) for at, _, arrow in drawn]


def chart(anomaly: Anomaly, width: int = 100) -> str:
    """The cycle as text, at most `width` columns wide; "" without one."""
    return text(arrows(anomaly), width=width) if anomaly.edges else ""


def diagram(anomaly: Anomaly) -> str:
    """The cycle as the source of a Mermaid diagram; "" without one."""
    return mermaid(arrows(anomaly)) if anomaly.edges else ""
