"""Is a step a function of its arguments?  A sample of calls is repeated and compared.

Every verdict depends on this: a step that reads hidden state gives another graph each time, and
memoised tables would keep one arbitrary answer.  A call is repeated at once, and some are repeated
again at the end of the search: hidden state may change slowly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from specs.checker.errors import ImpureStep

T = TypeVar("T")

#: The first calls are all repeated, then one in so many.
FIRST_CALLS = 64
THEN_ONE_IN = 32
#: Repeated calls that are remembered for the end of the search.
KEPT_MAX = 64


class Repeater:
    """Calls a function, and repeats a sample of the calls."""

    __slots__ = ("_calls", "_first_calls", "_kept", "_repeated")

    def __init__(self, first_calls: int = FIRST_CALLS) -> None:
        self._first_calls = first_calls
        self._calls = self._repeated = 0
        #: What was called with which arguments, and the result.
        self._kept: list[tuple[str, Callable[..., Any], tuple[Any, ...], Any]] = []

    def begin(self) -> None:
        """Repeat the next calls as if they were the first."""
        self._calls = 0

    def is_due(self) -> bool:
        """Count a call; whether it is one of the sample."""
        self._calls += 1
        return self._calls <= self._first_calls or not self._calls % THEN_ONE_IN

    def __call__(self, what: str, function: Callable[..., T], *arguments: Any) -> T:
        """``function(*arguments)``; raises `ImpureStep` if a repetition gives another result."""
        if not self.is_due():
            return function(*arguments)
        before = [repr(argument) for argument in arguments]
        first = function(*arguments)
        shown = repr(first)
        self._compare_arguments(what, before, arguments)
        again = function(*arguments)
        if first != again:
            raise impure(what, shown, repr(again))
        self.keep(what, function, arguments, first)
        return first

    def keep(
        self, what: str, function: Callable[..., Any], arguments: tuple[Any, ...], first: Any
    ) -> None:
        """Remember a call and its result for the end of the search."""
        if len(self._kept) < KEPT_MAX:
            self._kept.append((what, function, arguments, first))
        else:
            self._kept[self._repeated % KEPT_MAX] = what, function, arguments, first
        self._repeated += 1

    def once_more(self) -> None:
        """Repeat the calls that are remembered; raises `ImpureStep` like the first repetition."""
        for what, function, arguments, first in self._kept:
            again = function(*arguments)
            if first != again:
                raise impure(what, repr(first), repr(again))

    @staticmethod
    def _compare_arguments(what: str, before: list[str], arguments: Sequence[Any]) -> None:
        for text, argument in zip(before, arguments, strict=True):
            if repr(argument) != text:
                raise ImpureStep(
                    f"{what} changed its argument {text} into {argument!r}",
                    remedy="build a new value: a field that holds a list, dict or set is the "
                    "usual cause",
                )


def impure(what: str, first: str, again: str) -> ImpureStep:
    """The error about two results of equal arguments, which are given as text."""
    return ImpureStep(
        f"{what}: equal arguments gave {first} and then {again}",
        remedy=_likeliest_cause(first, again),
    )


def _likeliest_cause(first: str, again: str) -> str:
    if first == again and re.search(r"\bnan\b", first):
        return "it contains NaN, which equals nothing, not even itself: use another value for it"
    if first == again:
        return (
            "the two look alike but are not equal: give the class an __eq__, or use a frozen "
            "dataclass or Struct"
        )
    if " at 0x" in first:
        return "a value shows its memory address, so it has no __eq__ and no __repr__ of its own"
    if sorted(first) == sorted(again):
        return "the same parts in another order: it iterates over a set; sort it"
    return (
        "the most likely cause is state kept outside the arguments: an attribute or global that "
        "the step writes, a clock, or a random number"
    )
