"""Conditions on states: a field, an operator and a value.  Data only: nothing is evaluated.

A field names the way to a value, ``a.state.version``: fields of records, keys of maps, places of
sequences.  ``*`` stands for any one of them, ``**`` for any number; a name with dots is in double
quotes.  A condition is true if one of the values that the field names satisfies it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, TypeAlias, get_args

from specs.checker.errors import UsageError
from specs.session.tree import MISSING
from specs.session.values import parts_of, text_of

Operator: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">=", "contains", "changes"]
OPERATORS: tuple[Operator, ...] = get_args(Operator)

_NAME = re.compile(r'"([^"]*)"|([^."]+)')
#: Parts of a field, characters of a value, and values of a state that one condition looks at.
PARTS_MAX, VALUE_MAX, LOOKS_MAX = 32, 10_000, 100_000


@dataclass(frozen=True, slots=True)
class Condition:
    """What a state should satisfy; see `condition`."""

    field: tuple[str, ...]
    operator: Operator
    value: str = ""

    def __str__(self) -> str:
        field = ".".join(f'"{name}"' if "." in name else name for name in self.field)
        return f"{field} {self.operator} {self.value}".rstrip()

    def holds(self, state: Any, before: Any = MISSING) -> bool:
        """Whether a state, which was reached from the state before, satisfies it."""
        if self.operator == "changes":
            if before is MISSING:
                return False
            return [*named(state, self.field)] != [*named(before, self.field)]
        return any(self._fits(value) for value in named(state, self.field))

    def _fits(self, value: Any) -> bool:
        match self.operator:
            case "=":
                return _equals(value, self.value)
            case "!=":
                return not _equals(value, self.value)
            case "contains":
                return _contains(value, self.value)
        number = _number(self.value)
        if number is None or isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return {
            "<": value < number,
            "<=": value <= number,
            ">": value > number,
            ">=": value >= number,
        }[self.operator]


def condition(field: str, operator: str, value: str = "") -> Condition:
    """The condition; raises `UsageError` if it has no meaning.

    A value is compared as a number where both are numbers, otherwise as text: the name of an enum
    member, the characters of a string, or the short text of any other value.
    """
    if operator not in OPERATORS:
        raise UsageError(
            f"no operator {operator[:40]!r}", remedy="one of " + ", ".join(map(str, OPERATORS))
        )
    if len(value) > VALUE_MAX or len(field) > VALUE_MAX:
        raise UsageError("a condition of more than 10,000 characters", remedy="a shorter one")
    if operator in ("<", "<=", ">", ">=") and _number(value) is None:
        raise UsageError(f"{value[:40]!r} is not a number", remedy=f"a number after {operator}")
    return Condition(_parsed(field), operator, value)


def _parsed(field: str) -> tuple[str, ...]:
    names: list[str] = []
    at = 0
    while True:
        found = _NAME.match(field, at)
        if found is None:
            break
        names.append(found[2] if found[1] is None else found[1])
        at = found.end()
        if at == len(field):
            if len(names) > PARTS_MAX:
                raise UsageError(f"a field of {len(names)} parts", remedy="`**` skips parts")
            return tuple(names)
        if field[at] != ".":
            break
        at += 1
    raise UsageError(
        f"{field[:80]!r} names no field",
        remedy='names with dots between them, such as a.state.version, *.version or **."x.y"',
    )


def named(state: Any, field: Sequence[str]) -> Iterator[Any]:
    """The values that a field names in a state; of a large state the first ones."""
    # No recursion: `**` goes as deep as the state is.
    left = LOOKS_MAX
    open_ends: list[tuple[Any, int]] = [(state, 0)]
    while open_ends and left:
        left -= 1
        value, at = open_ends.pop()
        if at == len(field):
            yield value
            continue
        items = parts_of(value).items
        name = field[at]
        if name == "**":
            further = [(each, at) for _, each in items]
            open_ends += [*reversed(further), (value, at + 1)]
        else:
            open_ends += [
                (each, at + 1)
                for key, each in reversed(items)
                if name == "*" or name == key or f'"{name}"' == key
            ]


def _number(text: str) -> int | float | None:
    for form in (int, float):
        try:
            return form(text)
        except ValueError:
            continue
    return None


def _equals(value: Any, text: str) -> bool:
    if isinstance(value, bool) or value is None:
        return text == str(value)
    if isinstance(value, int | float) and not isinstance(value, Enum):
        return value == _number(text)
    if isinstance(value, str) and not isinstance(value, Enum) and str.__str__(value) == text:
        return True
    return text_of(value, VALUE_MAX) == text


def _contains(value: Any, text: str) -> bool:
    if isinstance(value, str) and not isinstance(value, Enum):
        return text in value
    kind, _, items = parts_of(value)
    if kind in ("sequence", "set"):
        return any(_equals(each, text) for _, each in items)
    if kind == "map":
        return any(key in (text, f'"{text}"') for key, _ in items)
    return False
