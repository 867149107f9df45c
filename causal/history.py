"""Happens-before as a graph, built from observed steps, to check deliveries against.

The oracle observes steps and never takes part in a protocol.  Definition (Lamport, "Time, Clocks,
and the Ordering of Events in a Distributed System", 1978, over the application's events): m1
happens before m2 if one process sent m1 before m2, or delivered m1 before it sent m2, or by a chain
of these.  Causal delivery: if m1 happens before m2 and both are addressed to r, then r delivers m1
before m2.  If r has excluded the sender of m1 from its view before it delivers m2, r may never
deliver m1, but must not deliver it later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import networkx as nx

from causal.messages import Broadcast, Unicast
from message_passing.process import Address, Event, Invoke, Step
from message_passing.turn import interpret

Name: TypeAlias = tuple[Address, int]
"""A message, by its sender and the sender's count."""


class Node(NamedTuple):
    """An event of the application: the `place`-th at `process`, a send or a delivery of `name`."""

    process: Address
    place: int
    kind: str
    name: Name

    def __str__(self) -> str:
        """The event as a line of an explanation."""
        src, id = self.name
        return f"{self.process} {self.kind} {src}{id}"


@dataclass(frozen=True)
class Breach:
    """`late` happens before `early`, yet `receiver` delivered `early` first, or twice."""

    receiver: Address
    late: Name
    early: Name
    path: tuple[Node, ...]

    def __str__(self) -> str:
        """The broken pair and the path that relates it."""
        if not self.path:
            return f"{self.receiver} delivered {self.late[0]}{self.late[1]} twice"
        return (
            f"{self.receiver} delivered {self.early[0]}{self.early[1]} before "
            f"{self.late[0]}{self.late[1]}, which caused it: "
            + ", ".join(str(node) for node in self.path)
        )


class History:
    """The happens-before graph of one run, fed step by step."""

    def __init__(self) -> None:
        self.graph: nx.DiGraph[Node] = nx.DiGraph()
        self.last: dict[Address, Node] = {}
        self.sends: dict[Name, Node] = {}
        self.addressed: dict[Name, frozenset[Address]] = {}
        self.delivered: dict[Address, list[Name]] = {}
        self.excluded: dict[Address, dict[Address, int]] = {}
        self.team: set[Address] = set()
        self.repeated: list[Breach] = []

    def observe(self, address: Address, event: Event[Any, Any], step: Step[Any]) -> None:
        """Record one step of the process at `address`."""
        self.team.add(address)
        here = self.delivered.setdefault(address, [])
        for peer in getattr(step.state, "gone", ()):
            self.excluded.setdefault(address, {}).setdefault(peer, len(here))
        effects = interpret(step.commands, {})
        if type(event) is Invoke and type(event.request) in (Unicast, Broadcast):
            (id,) = effects.answers
            dst = getattr(event.request, "dst", None)
            self.send(address, (address, id), None if dst is None else frozenset({dst}))
        for delivery in effects.deliveries:
            self.deliver(address, (delivery.src, delivery.message.id))

    def send(self, process: Address, name: Name, to: frozenset[Address] | None) -> None:
        """Record a send; `to` None means the whole team."""
        self.sends[name] = self._add(process, "sends", name)
        self.addressed[name] = frozenset(self.team) if to is None else to

    def deliver(self, process: Address, name: Name) -> None:
        """Record a delivery."""
        here = self.delivered.setdefault(process, [])
        if name in here:
            self.repeated.append(Breach(process, name, name, ()))
            return
        here.append(name)
        node = self._add(process, "delivers", name)
        if name in self.sends:
            self.graph.add_edge(self.sends[name], node)

    def breaches(self) -> list[Breach]:
        """Every pair delivered in the wrong order, and every message delivered twice."""
        past = self._pasts()
        found = list(self.repeated)
        for receiver, names in self.delivered.items():
            excluded = self.excluded.get(receiver, {})
            place = {name: index for index, name in enumerate(names)}
            for index, early in enumerate(names):
                for late in past.get(early, ()):
                    if receiver not in self.addressed[late]:
                        continue
                    never = late not in place
                    excused = never and excluded.get(late[0], index + 1) <= index
                    if not excused and (never or place[late] > index):
                        path = nx.shortest_path(self.graph, self.sends[late], self.sends[early])
                        found.append(Breach(receiver, late, early, tuple(path)))
        return found

    def missing(
        self, excused: Callable[[Address, Address], bool] = lambda src, dst: False
    ) -> list[tuple[Name, Address]]:
        """Messages that have not been delivered, by their sender and destination not excused."""
        return [
            (name, dst)
            for name, to in self.addressed.items()
            for dst in sorted(to)
            if name not in self.delivered.get(dst, ()) and not excused(name[0], dst)
        ]

    def _add(self, process: Address, kind: str, name: Name) -> Node:
        before = self.last.get(process)
        node = Node(process, before.place + 1 if before else 0, kind, name)
        self.graph.add_node(node)
        if before is not None:
            self.graph.add_edge(before, node)
        self.last[process] = node
        return node

    def _pasts(self) -> dict[Name, frozenset[Name]]:
        # The sends before each send.
        known: dict[Node, frozenset[Name]] = {}
        past: dict[Name, frozenset[Name]] = {}
        for node in nx.topological_sort(self.graph):
            before = frozenset[Name]().union(*(known[p] for p in self.graph.predecessors(node)))
            if node.kind == "sends":
                past[node.name] = before
                before |= {node.name}
            known[node] = before
        return past
