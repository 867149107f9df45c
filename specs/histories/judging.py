"""The judge: whether a history of observations is strictly serializable.

As in Elle (Alvaro and Kingsbury, VLDB 2020), the order of versions makes the dependencies of the
transactions known, so the question is whether they have a cycle, which takes time linear in the
observations.  An accepted history has an order of its transactions that explains every read, that
agrees with real time, and in which each transaction takes effect as a whole; the reads of refused
transactions fit into that order, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from specs.histories.anomalies import Anomaly
from specs.histories.cycles import cycles
from specs.histories.graph import graph_of
from specs.histories.history import WORDS, History, OnBytes, ints, read
from specs.histories.orders import testified
from specs.histories.versions import reported
from specs.histories.witness import KEPT, told


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the judge has found; `counts` has the number of anomalies of each kind.

    `anomalies` are those that are kept, at most `KEPT` of each kind.
    """

    values: str
    outcomes: dict[str, int]
    #: How many transactions took effect; of those of unknown outcome, the ones that were seen.
    took_effect: int
    edges: dict[str, int]
    counts: dict[str, int]
    anomalies: tuple[Anomaly, ...]

    @property
    def accepted(self) -> bool:
        """Whether the history has no anomaly."""
        return not self.counts


def judge(history: History, on_stage: Callable[[str], object] = str) -> Ruling:
    """Judge a history; `on_stage` is told what comes next."""
    on_stage("the order of versions")
    order = reported(history) if history.values == "versions" else testified(history)
    on_stage("dependencies and real time")
    graph = graph_of(history, order)
    on_stage("cycles")
    counts = order.found.counts
    kept = [told(history, found) for found in order.found.kept]
    for anomaly in cycles(history, order, graph):
        counts[anomaly.kind] += 1
        if counts[anomaly.kind] <= KEPT:
            kept.append(anomaly)
    ends = np.bincount(ints(history.outcome), minlength=len(WORDS))
    return Ruling(
        history.values,
        {word: int(ends[number]) for number, word in WORDS.items()},
        int(order.took[: len(history.ids)].sum()),
        graph.counts(),
        dict(counts),
        tuple(kept),
    )


def judge_files(paths: Iterable[Path], on_bytes: OnBytes | None = None) -> Ruling:
    """Judge the files of all clients.  Raises `NoHistory`, `BadHistory`."""
    return judge(read(paths, on_bytes))
