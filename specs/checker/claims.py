"""Claims on steps, and claims in temporal logic.

A step that changes nothing satisfies every claim on steps: stuttering is always allowed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from specs.checker.errors import PropertyError, UsageError
from specs.checker.formula import Formula, parse
from specs.checker.model import GOOD, Action, Property, StepRule

V = TypeVar("V")
W = TypeVar("W")


def every_step(
    name: str, allowed: Callable[..., bool], *, of: Callable[[V], Any] | None = None
) -> Property[V]:
    """Every step is allowed, or leaves `of` unchanged: ``[][A]_v``.

    `allowed` takes the views before and after the step, or (before, action, after).  `of` gives the
    value that the claim is about; without it that is the whole state.  The property holds vacuously
    if no step changes that value.
    """
    rule = AllowedSteps(allowed, of, reads_action=_takes_action(allowed))
    return Property("every_step", name, _anything, steps=rule)


def _anything(view: Any) -> bool:
    return True


def _takes_action(allowed: Callable[..., bool]) -> bool:
    """Whether a claim on steps takes three arguments; raises `UsageError` unless two or three."""
    if not callable(allowed):
        raise UsageError(f"{allowed!r} cannot judge a step", remedy="give a function")
    parameters = inspect.signature(allowed).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    wanted = sum(each.kind in positional and each.default is each.empty for each in parameters)
    if wanted in (2, 3):
        return wanted == 3
    raise UsageError(
        f"a claim on steps with {wanted} arguments: not (before, after), (before, action, after)",
        remedy="bind further arguments with functools.partial, or give them defaults",
    )


@dataclass(frozen=True, slots=True)
class AllowedSteps:
    """The rule of `every_step`."""

    allowed: Callable[..., bool]
    of: Callable[[Any], Any] | None
    reads_action: bool

    def allows(self, before: Any, action: Action, after: Any) -> bool | None:
        """See `StepRule`."""
        if self.of is not None and self.of(before) == self.of(after):
            return None
        states = (before, action, after) if self.reads_action else (before, after)
        answer = self.allowed(*states)
        if answer is True or answer is False:
            return answer
        raise TypeError(f"the answer is {answer!r}, neither True nor False")

    def reason(self, before: Any, action: Action, after: Any) -> str:
        """See `StepRule`."""
        if self.of is None:
            return ""
        return f"{action} takes {self.of(before)!r} to {self.of(after)!r}"

    def reason_at_start(self, view: Any) -> str:
        """See `StepRule`."""
        return ""

    def through(self, see: Callable[[Any], Any], of: Callable[[Any], Any] | None) -> StepRule:
        """See `StepRule`."""
        allowed = self.allowed

        def of_views(before: Any, *rest: Any) -> bool:
            *action, after = rest
            return allowed(see(before), *action, see(after))

        return AllowedSteps(of_views, of, self.reads_action)


def infinitely_often(name: str, predicate: Callable[[V], bool]) -> Property[V]:
    """Every fair behaviour satisfies `predicate` again and again: ``[]<>P``."""
    return Property("infinitely_often", name, predicate, formula=_INFINITELY_OFTEN)


def eventually_always(name: str, predicate: Callable[[V], bool]) -> Property[V]:
    """Every fair behaviour satisfies `predicate` from some state on: ``<>[]P``."""
    return Property("eventually_always", name, predicate, formula=_EVENTUALLY_ALWAYS)


_INFINITELY_OFTEN = Formula("[]", (Formula("<>", (GOOD,)),))
_EVENTUALLY_ALWAYS = Formula("<>", (Formula("[]", (GOOD,)),))


def temporal(name: str, formula: str, **atoms: Callable[[V], bool]) -> Property[V]:
    r"""Every fair behaviour satisfies a formula of temporal logic over `atoms`.

    ::

        temporal("served", "asks => <>(served /\ []calm)", asks=..., served=..., calm=...)

    `specs.checker.formula` has the operators.  The formula speaks of the initial state: begin it
    with ``[]`` to speak of all.  ``[](p => ...)`` and ``p ~> ...`` hold vacuously if no reachable
    state satisfies p, and ``p => ...`` if no initial state does.

    Raises `PropertyError` for a formula that cannot be read, and for an atom that it does not use.
    """
    parsed = parse(formula, tuple(atoms))
    unused = set(atoms) - set(parsed.atoms())
    if unused:
        raise PropertyError(
            f"property {name!r} does not use {', '.join(sorted(unused))}",
            remedy="name every atom in the formula, or leave it out",
        )
    for each, predicate in atoms.items():
        if not callable(predicate):
            raise PropertyError(f"atom {each!r} of property {name!r} is not a predicate")
    return Property("temporal", name, _anything, formula=parsed, atoms=tuple(atoms.items()))
