"""Fairness conditions: the classes of their actions, and conditions that name no action."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from difflib import get_close_matches

from specs.checker.errors import ModelError
from specs.checker.model import Action, Fairness
from specs.checker.purity import impure


def key_of(condition: Fairness, action: Action) -> Hashable | None:
    """The class in which an action is fair, or None.

    Raises `ModelError` for a function that gives no hashable value, `ImpureStep` for one that gives
    another class the second time.
    """
    try:
        key, again = condition.key(action), condition.key(action)
        hash(key)
    except Exception as error:
        raise ModelError(
            f"fairness {condition.name} raised {type(error).__name__}: {error}; of {action}",
            remedy="give a function from any action to a hashable value, or None for no class",
        ) from error
    if key != again:
        raise impure(f"fairness {condition.name}", repr(key), repr(again))
    return key


def require_actions(
    fairness: Sequence[Fairness],
    taken: Sequence[Action],
    alphabet: frozenset[str],
    *,
    is_bounded: bool,
) -> Iterator[str]:
    """Notes on the conditions under which no step of a complete search falls.

    Raises `ModelError` for a condition that can apply to no action at all: its name is neither in
    the alphabet nor the name of a step, or it is a function and each listed action was taken.  If a
    bound was met and there is no alphabet, the action may be taken beyond the bound.
    """
    names = {action.name for action in taken}
    for condition in fairness:
        if any(key_of(condition, action) is not None for action in taken):
            continue
        known = alphabet | names
        never = sorted(alphabet - names)
        may_be_taken = condition.action in alphabet or (not condition.action and never)
        if may_be_taken or (is_bounded and not alphabet):
            yield f"fairness {condition.name} applies to no step that the search took"
            continue
        near = get_close_matches(condition.action, sorted(known), n=3)
        hint = f"did you mean {' or '.join(map(repr, near))}?  " if near else ""
        raise ModelError(
            f"fairness {condition.name} names no action of the model",
            remedy=f"{hint}the actions are {', '.join(sorted(known)) or 'none'}; list one that "
            "need not be taken in the alphabet",
        )


class Classes:
    """The classes into which some fairness conditions sort actions, as bit sets."""

    def __init__(self, fairness: Sequence[Fairness], labels: Sequence[Action]) -> None:
        self._fairness = fairness
        self._numbers: dict[tuple[int, Hashable], int] = {}
        #: Of each class, whether it is strongly fair.
        self.strong: list[bool] = []
        self.of_label = [self.of(action) for action in labels]

    def of(self, action: Action) -> int:
        """The classes of an action."""
        classes = 0
        for which, condition in enumerate(self._fairness):
            key = key_of(condition, action)
            if key is not None:
                number = self._numbers.setdefault((which, key), len(self._numbers))
                if number == len(self.strong):
                    self.strong.append(condition.strong)
                classes |= 1 << number
        return classes
