"""Verdicts where a bound of the model was met.  `Model` says what each verdict then claims."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from specs.checker.composite import Composite
from specs.checker.fairness import key_of
from specs.checker.model import Action, Fairness, Model
from specs.checker.result import Finding, Path, Verdict
from specs.checker.search import Exploration


def is_bounded(model: Model[Any, Any] | Composite[Any], found: Exploration) -> bool:
    """Whether a search met a bound of its model.

    A reduced search may not meet every state in which the limit leaves a step out, so that a limit
    counts as met.
    """
    if found.beyond:
        return True
    return model.limit is not None and (model.limit.was_met() or found.partial)


def notes_on_bounds(
    model: Model[Any, Any] | Composite[Any], found: Exploration, findings: Sequence[Finding]
) -> Iterator[str]:
    """The bounds that were met, and the properties that they leave open."""
    if not is_bounded(model, found):
        return
    met = []
    if found.beyond:
        met.append(f"{found.beyond:,} states outside `within` were not expanded")
    if model.limit is not None and (model.limit.was_met() or found.partial):
        met.append(f"steps beyond {model.limit.name} were not taken")
    yield f"bounded: {' and '.join(met)}; HOLDS says nothing of what follows there"
    left_open = [f.name for f in findings if found.complete and f.verdict is Verdict.UNDETERMINED]
    if left_open:
        names = ", ".join(map(repr, left_open))
        yield f"the bound was met, and leaves open: {names}; raise the bound, or claim less"


def verdict_of_lasso(model: Model[Any, Any], path: Path | None) -> Verdict:
    """The verdict on a liveness property for which a complete search has found `path`."""
    if path is None:
        return Verdict.HOLDS
    return Verdict.VIOLATED if is_proof(model, path) else Verdict.UNDETERMINED


def is_proof(model: Model[Any, Any], path: Path) -> bool:
    """Whether a lasso stays within the bounds, and is fair with the steps left out enabled."""
    if path.loop is None:
        return False
    if model.limit is None:
        return True
    loop = path.moments[path.loop :]
    taken = [
        after.action
        for before, after in pairwise(loop)
        if after.action is not None and after.state != before.state
    ]
    enabled = [[*_enabled(model, moment.state)] for moment in loop]
    return all(_is_kept(condition, enabled, taken) for condition in model.fairness)


def left_out_of(model: Model[Any, Any], found: Exploration, states: int) -> list[list[Action]]:
    """The steps that the limit leaves out in each state of a search."""
    assert model.limit is not None
    return [list(model.limit.left_out(found.state(number))) for number in range(states)]


def _enabled(model: Model[Any, Any], state: Any) -> Iterator[Action]:
    assert model.limit is not None
    yield from (action for action, target in model.successors(state) if target != state)
    yield from model.limit.left_out(state)


def _is_kept(
    condition: Fairness, enabled: Sequence[Sequence[Action]], taken: Sequence[Action]
) -> bool:
    """Whether a loop neglects no class of a fairness condition."""
    on = [_classes(condition, actions) for actions in enabled]
    owed = set().union(*on) if condition.strong else set.intersection(*on)
    return owed <= _classes(condition, taken)


def _classes(condition: Fairness, actions: Sequence[Action]) -> set[Hashable]:
    return {key_of(condition, action) for action in actions} - {None}
