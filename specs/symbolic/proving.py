"""Claims as templates: built once, and said of each path's states by substitution."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import z3

from specs.symbolic.engine import Execution, Proof

Changes: TypeAlias = Sequence[tuple[Any, Any]]


class Renaming:
    """Terms and what takes their places, all at once: `z3.substitute`, its checks made once."""

    def __init__(self, *changes: tuple[Any, Any]) -> None:
        self.changes = changes
        count = len(changes)
        self._old, self._new = (z3.Ast * count)(), (z3.Ast * count)()
        for n, (old, new) in enumerate(changes):
            assert old.sort() == new.sort(), (old, new)
            self._old[n], self._new[n] = old.as_ast(), new.as_ast()

    def __call__(self, formula: Any) -> Any:
        """`formula` with its terms replaced."""
        found = z3.Z3_substitute(
            formula.ctx.ref(), formula.as_ast(), len(self.changes), self._old, self._new
        )
        return z3.BoolRef(found, formula.ctx)


@dataclass(frozen=True)
class Refutation:
    """One execution of a step that a claim does not allow."""

    claim: str
    #: Side, state and event.
    where: str
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"{self.claim}: {self.where}", *(f"  {line}" for line in self.lines)])


@dataclass
class Tally:
    """How often a claim was proved, refuted or left open, and the seconds spent on it."""

    proved: int = 0
    unknown: int = 0
    seconds: float = 0.0
    refutations: list[Refutation] = field(default_factory=list)


@dataclass
class Ledger:
    """The tallies of all claims, by name."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    paths: int = 0
    #: Actions of the tables that some execution takes: a proof of the others says nothing.
    actions: set[str] = field(default_factory=set)

    def take(self, path: Execution, action: str) -> None:
        """Note the action of a path that the assumptions allow."""
        if action not in self.actions and path.is_satisfied():
            self.actions.add(action)

    def tally(self, name: str) -> Tally:
        """That of the claim `name`."""
        return self.tallies.setdefault(name, Tally())

    def judge(
        self,
        path: Execution,
        where: str,
        claims: Iterable[tuple[str, Any]],
        told: Callable[[z3.ModelRef], Iterator[str]],
        preferred: Any = None,
    ) -> None:
        """Prove each claim on `path`.  `told` renders a model as lines; see `Execution.prove`."""
        self.paths += 1
        grouped = together(claims)
        started = time.process_time()
        if (
            path.prove(z3.And([part for parts in grouped.values() for part in parts]))[0]
            is Proof.PROVED
        ):
            spent = (time.process_time() - started) / len(grouped)
            for name in grouped:
                self.tally(name).proved += 1
                self.tally(name).seconds += spent
            return
        for name, parts in grouped.items():
            started = time.process_time()
            found, model = path.prove(z3.And(parts), preferred)
            tally = self.tally(name)
            tally.seconds += time.process_time() - started
            if found is Proof.PROVED:
                tally.proved += 1
            elif found is Proof.UNKNOWN:
                tally.unknown += 1
            else:
                assert model is not None
                tally.refutations.append(Refutation(name, where, tuple(told(model))))


def together(claims: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    """The claims by name."""
    grouped: dict[str, list[Any]] = {}
    for name, claim in claims:
        grouped.setdefault(name, []).append(claim)
    return grouped


def preserved(
    claims: Iterable[tuple[str, Any]], after: Renaming, *, assumed: bool
) -> Iterator[tuple[str, Any]]:
    """What must be shown for `claims` to hold after a step: less what is as it was before.

    With `assumed` a claim is known to hold before; else only an implication is claimed.
    """
    for name, before in claims:
        later = after(before)
        if not later.eq(before):
            yield name, later if assumed else z3.Implies(before, later)
