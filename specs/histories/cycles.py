"""Cycles of dependencies: found by levels, named, and explained by the shortest one.

The levels are Adya's: write dependencies alone (G0), with read dependencies (G1c), with
anti-dependencies (G-single, G2-item); then with the order of real time, and last with the reads of
refused transactions.  A component in which an earlier level has explained a cycle is not explained
again.  The compiled search finds components among millions of nodes; what is left is small, and
networkx finds the shortest cycle in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from specs.histories.anomalies import G0, G1C, G2, G_SINGLE, OPACITY, REALTIME, Anomaly, Edge, Why
from specs.histories.graph import Dependencies, components, matrix
from specs.histories.history import Bools, History, Ints
from specs.histories.orders import Order
from specs.histories.witness import Found, listed, told

#: A component of more nodes than this is first cut down to one cycle, and what joins its nodes.
WHOLE_MAX = 2_000
#: How many nodes are visited at most, about, in search of the shortest cycle of a component.
VISITS_MAX = 200_000

LEVELS: Sequence[tuple[Why, bool]] = (
    (Why.WW, False),
    (Why.WR, False),
    (Why.RW, False),
    (Why.RT, False),
    (Why.RT, True),
)


def cycles(history: History, order: Order, graph: Dependencies) -> Iterator[Anomaly]:
    """One cycle of each component, the worst kinds first."""
    inside = np.zeros(graph.nodes, bool)
    for nodes in components(graph):
        inside[nodes] = True
    if not inside.any():
        return
    graph = graph.part(inside[graph.src] & inside[graph.dst])
    explained = np.zeros(graph.nodes, bool)
    for most, refused in LEVELS:
        edges: Bools = graph.why <= most
        if not refused:
            edges &= ~graph.refused[graph.src] & ~graph.refused[graph.dst]
        level = graph.part(edges)
        for part in _parts(level, components(level)):
            if not explained[part.src].any():
                explained[part.src] = True
                yield _explained(history, order, part, most, refused)


def _parts(graph: Dependencies, components: Sequence[Ints]) -> Iterator[Dependencies]:
    """The graph of each component."""
    label = np.full(graph.nodes, -1)
    for number, nodes in enumerate(components):
        label[nodes] = number
    of = label[graph.src]
    inside = np.flatnonzero((of >= 0) & (of == label[graph.dst]))
    ranked = inside[np.argsort(of[inside], kind="stable")]
    sizes = np.bincount(of[ranked], minlength=len(components))
    for rows in np.split(ranked, np.cumsum(sizes)[:-1]) if len(ranked) else ():
        yield graph.part(rows)


def _within(graph: Dependencies, nodes: Ints) -> Dependencies:
    return next(_parts(graph, (nodes,)))


def _explained(
    history: History, order: Order, part: Dependencies, most: Why, refused: bool
) -> Anomaly:
    """The shortest cycle of a component that needs an edge of this level."""
    new = part.refused[part.src] if refused else part.why == most
    if len(np.unique(part.src)) > WHOLE_MAX:
        part = _cut_down(part, int(np.flatnonzero(new)[0]))
        new = part.refused[part.src] if refused else part.why == most
    whole = _networkx(part, tuple(Why))
    cycle = None
    if most >= Why.RW:
        # A cycle with one anti-dependency returns from it over other edges alone.
        calm = _networkx(part, (Why.WW, Why.WR, Why.RT))
        cycle = _shortest(calm, _ends(part, part.why == Why.RW))
    if cycle is None:
        cycle = _shortest(whole, _ends(part, new))
    assert cycle is not None, "each edge of a component is on a cycle"
    return _told(history, order, whole, cycle, part.txns, refused)


def _ends(part: Dependencies, edges: Bools) -> list[tuple[int, int]]:
    return list(zip(part.src[edges].tolist(), part.dst[edges].tolist(), strict=True))


def _networkx(part: Dependencies, kinds: Sequence[Why]) -> Any:
    """The edges of these kinds; the first kind of an edge names it, and steps from transactions
    count.
    """
    import networkx

    found = networkx.DiGraph()
    columns = (part.src, part.dst, part.why, part.name)
    for src, dst, why, name in sorted(
        zip(*(each.tolist() for each in columns), strict=True), key=lambda edge: -edge[2]
    ):
        if why in kinds:
            found.add_edge(src, dst, why=Why(why), name=name, weight=int(src < part.txns))
    return found


def _shortest(graph: Any, starts: Sequence[tuple[int, int]]) -> list[int] | None:
    """The shortest cycle that begins with one of these edges, as its nodes."""
    import networkx

    best: list[int] | None = None
    length = 0
    for src, dst in starts[: 1 + VISITS_MAX // (1 + len(graph))]:
        if src not in graph or dst not in graph:
            continue
        try:
            size, back = networkx.single_source_dijkstra(graph, dst, src)
        except networkx.NetworkXNoPath:
            continue
        if best is None or size < length:
            best, length = [src, *back[:-1]], size
            if size <= 1:
                break
    return best


def _cut_down(part: Dependencies, start: int) -> Dependencies:
    """One cycle of a large component with the edge `start`, and what joins its nodes."""
    from scipy.sparse.csgraph import breadth_first_order

    src, dst = int(part.src[start]), int(part.dst[start])
    _, before = breadth_first_order(matrix(part), dst, return_predecessors=True)
    nodes = [src]
    while nodes[-1] != dst:
        nodes.append(int(before[nodes[-1]]))
    return _within(part, np.asarray(nodes))


def _told(
    history: History, order: Order, graph: Any, cycle: list[int], txns: int, refused: bool
) -> Anomaly:
    """The cycle with its name, and the reason of each edge; barriers and ends are left out."""
    who = [*history.ids, *order.strangers] if order.strangers else history.ids
    start = next(place for place, node in enumerate(cycle) if node < txns)
    ring = [*cycle[start:], *cycle[:start]]
    steps: list[tuple[int, int, Why, int]] = []
    at, whys = ring[0], []
    for node, after in zip(ring, [*ring[1:], ring[0]], strict=True):
        edge = graph.edges[node, after]
        whys.append((edge["why"], edge["name"]))
        if after < txns:
            # Through the end of a name: the first step says whether it was read.
            why, name = max(whys, key=lambda each: each[0])
            steps.append((at, after, why, name))
            at, whys = after, []
    kind = _named([why for _, _, why, _ in steps])
    if refused:
        kind = OPACITY + kind
    edges = [
        Edge(
            who[src],
            who[dst],
            why,
            history.names[name] if name >= 0 else "",
            _reason(history, who, src, dst, why, name),
        )
        for src, dst, why, name in steps
    ]
    parties = tuple(src for src, _, _, _ in steps)
    text = " -> ".join([*(who[src] for src in parties), who[parties[0]]])
    return told(history, Found(kind, text, parties), edges, order.strangers)


def _named(whys: Sequence[Why]) -> str:
    anti = whys.count(Why.RW)
    kind = G2 if anti > 1 else G_SINGLE if anti else G1C if Why.WR in whys else G0
    return kind + REALTIME * (Why.RT in whys)


def _reason(history: History, who: Sequence[str], src: int, dst: int, why: Why, name: int) -> str:
    first, second = who[src], who[dst]
    if why is Why.RT:
        return (
            f"{first} had returned at {history.end[src]:.6f} when {second} began,"
            f" at {history.begin[dst]:.6f}"
        )
    what = history.names[name]
    if why is Why.WW:
        return f"{second} wrote the version of {what} after that of {first}"
    if why is Why.WR:
        return f"{second} read {_as_read(history, dst, name)}, which {first} had written"
    return f"{first} read {_as_read(history, src, name)}, and {second} wrote the next version"


def _as_read(history: History, reader: int, name: int) -> str:
    """What a transaction read under that name."""
    txn, names, places, _ = history.reads.columns()
    place = int(places[(txn == reader) & (names == name)][0])
    what = history.names[name]
    if history.values == "versions":
        return f"{what}@{place}"
    return f"{what} as {listed(history.orders[name][:place])}"
