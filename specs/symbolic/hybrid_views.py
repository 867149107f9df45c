"""The terms that the claims about the hybrid speak of: an execution's history, a process's state.

Processes are numbers, and so are places in the team: the list of names is one to one.  `ME` is the
process that takes the step; it stands for any.  A message is a pair, its sender and its sender's
count.

The *history* are functions that one execution fixes.  `dst`, `need` and `carried` of a message are
defined by the step in which the application sends it.  `got` and `out` of other processes are what
they are at the moment of the step; both only grow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import z3

from causal.hybrid_state import HybridState, Kept, LinkState, OwnEntry
from causal.messages import Data
from causal.repeat import NEVER
from specs.symbolic.engine import Execution
from specs.symbolic.values import Number, Truth, term

_I, _B = z3.IntSort(), z3.BoolSort()

#: The process that takes the step.
ME = z3.Int("me")
#: (sender, id) -> the destination; how many secrets its sender had acquired before it was sent.
dst = z3.Function("dst", _I, _I, _I)
need = z3.Function("need", _I, _I, _I)
#: (sender, id, w, j) -> whether the message j of w happened before the message.
carried = z3.Function("carried", _I, _I, _I, _I, _B)
#: (process, source) -> the last id that it has delivered from there.
got_at = z3.Function("got_at", _I, _I, _I)
#: (process, destination) -> the last id that it has put on the wire to it.
out_at = z3.Function("out_at", _I, _I, _I)
#: process -> the id of the next message of its application.
next_at = z3.Function("next_at", _I, _I)
#: (w, j) -> whether the message j of w happened before the next message of ME, and how many secrets
#: ME had acquired before it was delivered the first message that came with the knowledge.
_knows = z3.Function("knows", _I, _I, _B)
_since = z3.Function("since", _I, _I, _I)


def grown(formula: Any) -> Any:
    """`formula` after other processes have delivered, sent and accepted more."""
    changes = []
    for function in (got_at, out_at, next_at):
        of = [z3.Var(n, _I) for n in range(function.arity())]
        more = z3.Function(f"more_{function}", *[_I] * (len(of) + 1))(*of)
        changes.append((function, z3.If(more > function(*of), more, function(*of))))
    return z3.substitute_funs(formula, *changes)


Of = Callable[[Any, Any], Any]


def bit(value: Any) -> Any:
    """The term of a truth value."""
    return z3.BoolVal(value) if isinstance(value, bool) else term(value)


@dataclass(frozen=True, eq=False)
class Table:
    """Stands for a `Window`: a map from counts to records of one kind, of any size.

    The laws of `get`, `put`, `drop` and `first` are those of the window, which the tests compare.
    """

    path: Execution
    kind: Any
    present: Any
    fields: dict[str, Any]
    #: Called with each key at which the code looks, and with what holds of every key.
    meet: Callable[[Any], None]
    every: Callable[[Callable[[Any], Any]], None]
    #: The field that repeats the key.
    key: str = ""

    @property
    def root(self) -> Any:
        """None if there is no entry."""
        return None if self.path.decide(self.present == z3.K(_I, z3.BoolVal(False))) else self

    def has(self, key: Any) -> Any:
        """The term of "there is an entry at `key`"."""
        return z3.Select(self.present, term(key))

    def of(self, name: str, key: Any) -> Any:
        """The term of a field of the entry at `key`."""
        return z3.Select(self.fields[name], term(key))

    def at(self, key: Any) -> Any:
        """The record at `key`, which is present."""
        found: dict[str, Any] = (
            {} if self.kind is not Data and self.kind is not OwnEntry else {"payload": None}
        )
        for name, array in self.fields.items():
            value = z3.Select(array, term(key))
            found[name] = (Truth if array.range() == _B else Number)(self.path, value)
        if self.key:
            found[self.key] = Number(self.path, term(key))
        return self.kind(**found)

    def get(self, key: Any) -> Any:
        self.meet(term(key))
        return self.at(key) if self.path.decide(self.has(key)) else None

    def put(self, key: Any, value: Any) -> Table:
        fields = {
            name: z3.Store(array, term(key), bit(getattr(value, name)))
            for name, array in self.fields.items()
        }
        return self._with(z3.Store(self.present, term(key), True), fields)

    def drop(self, key: Any) -> Table:
        return self._with(z3.Store(self.present, term(key), False), self.fields)

    def first(self, start: Any, stop: Any) -> Any:
        path, low, high = self.path, term(start), term(stop)
        if path.decide(path.fresh("none", _B)):
            self.every(lambda k: z3.Not(z3.And(self.has(k), low <= k, k < high)))
            return None
        found = path.fresh("found")
        path.assume(self.has(found), low <= found, found < high)
        self.meet(found)
        self.every(lambda k: z3.Not(z3.And(self.has(k), low <= k, k < found)))
        return Number(path, found), self.at(found)

    def havoc(self, name: str) -> Table:
        """A table of which nothing is known."""
        path = self.path
        fields = {f: path.fresh(f"{name}_{f}", array.sort()) for f, array in self.fields.items()}
        return self._with(path.fresh(f"{name}_present", self.present.sort()), fields)

    def same(self, other: Table, key: Any) -> Any:
        """Whether both have the same at `key`."""
        fields = [self.of(f, key) == other.of(f, key) for f in self.fields]
        return z3.And(self.has(key) == other.has(key), z3.Implies(self.has(key), z3.And(fields)))

    def empty(self) -> Table:
        """A table without entries."""
        return self._with(z3.K(_I, z3.BoolVal(False)), self.fields)

    def _with(self, present: Any, fields: dict[str, Any]) -> Table:
        return replace(self, present=present, fields=fields)


def _ignored(_: Any) -> None:
    """No law of a table of filed packets is about keys that are not looked at."""


_COUNTS = ("out", "acked", "let", "got", "told")


@dataclass(frozen=True, eq=False)
class Links:
    """Stands for the window of links.  A peer without a link has one of zeros, as in the code."""

    path: Execution
    counts: dict[str, Any]
    #: peer -> prev -> whether a packet is filed, its id, and whether it is eager.
    filed: dict[str, Any]

    def of(self, name: str, peer: Any) -> Any:
        """The term of a count."""
        return z3.Select(self.counts[name], term(peer))

    def filing(self, peer: Any) -> Table:
        """The packets of a peer that came before their turn, by `prev`."""
        present, id, eager = (z3.Select(self.filed[f], term(peer)) for f in ("has", "id", "eager"))
        fields = {"id": id, "eager": eager}
        return Table(self.path, Data, present, fields, _ignored, _ignored, "prev")

    def empty(self) -> Links:
        """Links over which nothing has passed."""
        counts = {name: z3.K(_I, z3.IntVal(0)) for name in self.counts}
        filed = {**self.filed, "has": z3.K(_I, z3.K(_I, z3.BoolVal(False)))}
        return Links(self.path, counts, filed)

    def get(self, peer: Any) -> LinkState:
        counts = {name: Number(self.path, self.of(name, peer)) for name in _COUNTS}
        files = Number(self.path, self.path.fresh("files"))
        return LinkState(**counts, filed=self.filing(peer), files=files, repeat=NEVER)  # type: ignore[arg-type]

    def put(self, peer: Any, link: LinkState) -> Links:
        place, filed = term(peer), link.filed
        counts = {n: z3.Store(a, place, term(getattr(link, n))) for n, a in self.counts.items()}
        parts = {"has": filed.present, **filed.fields}  # type: ignore[attr-defined]
        packets = {name: z3.Store(a, place, parts[name]) for name, a in self.filed.items()}
        return Links(self.path, counts, packets)


@dataclass(frozen=True, eq=False)
class ProcessView:
    """The terms of a `HybridState` of ME, and what ME knows."""

    own: Table
    next: Any
    first: Any
    party: Any
    second: Any
    kept: Table
    kept_next: Any
    kept_first: Any
    kept_party: Any
    kept_second: Any
    links: Links
    waiting: Any
    ahead: Any
    knows: Of
    since: Of

    def delivered(self, w: Any, j: Any) -> Any:
        """Whether the message j of w is delivered; one to its own sender is so when it is sent."""
        to = dst(w, j)
        got = z3.If(to == ME, self.links.of("got", w), got_at(to, w))
        return z3.Or(to == w, j <= got)

    def count(self, w: Any) -> Any:
        """The id of the next message of a process."""
        return z3.If(w == ME, self.next, next_at(w))

    def older(self, party: Any) -> Any:
        """The oldest own message that is open and not to `party`."""
        return z3.If(party == self.party, self.second, self.first)

    def kept_older(self, party: Any) -> Any:
        """The oldest secret that is live and not of `party`."""
        return z3.If(party == self.kept_party, self.kept_second, self.kept_first)


def state_of(found: HybridState, knows: Of = _knows, since: Of = _since) -> ProcessView:
    """The terms of a state."""
    own, kept, links = cast("tuple[Any, Any, Any]", (found.own, found.kept, found.links))
    return ProcessView(
        own.window,
        term(own.next),
        term(own.first),
        term(own.party),
        term(own.second),
        kept.window,
        term(kept.next),
        term(kept.first),
        term(kept.party),
        term(kept.second),
        links,
        term(found.waiting),
        term(found.ahead),
        knows,
        since,
    )


def arrays(of: str, ints: tuple[str, ...], flags: tuple[str, ...] = (), outer: bool = False) -> Any:
    """Arrays with these names, from numbers; `outer` adds another dimension."""
    found = {}
    for name in (*ints, *flags):
        sort = z3.ArraySort(_I, _B if name in flags else _I)
        found[name] = z3.Const(f"{of}_{name}", z3.ArraySort(_I, sort) if outer else sort)
    return found


def tables(path: Execution, own: Any, kept: Any, peers: Any) -> tuple[Table, Table, Links]:
    """Own messages, secrets and links of which nothing is known, each with its keys."""
    of_own = arrays("own", ("party", "need", "prev"), ("has", "sent", "secret", "acked"))
    of_kept = arrays("kept", ("party", "id"), ("has",))
    filed = arrays("filed", ("id",), ("has", "eager"), outer=True)
    return (
        Table(path, OwnEntry, of_own.pop("has"), of_own, own.meet, own.every),
        Table(path, Kept, of_kept.pop("has"), of_kept, kept.meet, kept.every),
        Links(path, arrays("link", _COUNTS), filed),
    )
