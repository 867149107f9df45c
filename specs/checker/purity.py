"""Is a step a function of its arguments?  A sample of calls is repeated and compared.

Every verdict depends on this: a step that reads hidden state gives another graph each time, and
memoised tables would keep one arbitrary answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from specs.checker.errors import ImpureStep

T = TypeVar("T")

#: The first calls are all repeated, then one in so many.
FIRST_CALLS = 64
THEN_ONE_IN = 32


class Repeater:
    """Calls a function, and repeats a sample of the calls."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls = 0

    def __call__(self, what: str, function: Callable[..., T], *arguments: Any) -> T:
        """``function(*arguments)``; raises `ImpureStep` if a repetition gives another result."""
        self._calls += 1
        if self._calls > FIRST_CALLS and self._calls % THEN_ONE_IN:
            return function(*arguments)
        before = [repr(argument) for argument in arguments]
        first = function(*arguments)
        shown = repr(first)
        self._compare_arguments(what, before, arguments)
        again = function(*arguments)
        if first != again:
            raise ImpureStep(
                f"{what}: equal arguments gave {shown} and then {again!r}",
                remedy=_likeliest_cause(shown, repr(again)),
            )
        return first

    @staticmethod
    def _compare_arguments(what: str, before: list[str], arguments: Sequence[Any]) -> None:
        for text, argument in zip(before, arguments, strict=True):
            if repr(argument) != text:
                raise ImpureStep(
                    f"{what} changed its argument {text} into {argument!r}",
                    remedy="build a new value: a field that holds a list, dict or set is the "
                    "usual cause",
                )


def _likeliest_cause(first: str, again: str) -> str:
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
