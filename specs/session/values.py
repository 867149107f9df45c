"""Values of states for a reader: their parts by name, and short texts.

A text has the names of enum members, leaves out fields at their defaults, sorts sets, and is cut at
a length.  A value without a form of its own is its `repr`, without memory addresses, so that two
runs give equal texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, NamedTuple, TypeAlias
from unicodedata import category

from specs.checker.chart import fields_of
from specs.checker.model import Action

Kind: TypeAlias = Literal["leaf", "record", "sequence", "set", "map"]

#: Characters of a text, unless the caller asks for more.
TEXT_MAX = 240
#: Values that lie deeper are "…" in a text.
DEPTH_MAX = 12

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
#: Categories of Unicode that are not seen, or that turn what is beside them around.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class Parts(NamedTuple):
    """What a value is made of.  A leaf has no items."""

    kind: Kind
    #: The name of a class; "" for Python's own.
    type: str
    items: list[tuple[str, Any]]


class Slotted(dict[str, Any]):
    """A composite state: the values of its slots by name, as a reader sees them."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """A map, as a hashable value."""

    items: frozenset[tuple[Any, Any]]


def parts_of(value: Any) -> Parts:
    """The parts of a value by name: its fields, its places, or its members in order."""
    if value is None or isinstance(value, bool | int | float | str | bytes | Enum):
        return Parts("leaf", "", [])
    if isinstance(value, Slotted):
        return Parts("record", "", list(value.items()))
    if isinstance(value, Pairs):
        pairs = sorted(value.items, key=lambda pair: _sort_key(pair[0]))
        return Parts("map", "", [(text_of(key), each) for key, each in pairs])
    if isinstance(value, frozenset | set):
        return Parts("set", "", _numbered(sorted(value, key=_sort_key)))
    if isinstance(value, Mapping):
        return Parts("map", "", [(text_of(key), each) for key, each in value.items()])
    fields = fields_of(value)
    if fields:
        own = "" if type(value) is tuple else type(value).__name__
        return Parts("record", own, list(fields.items()))
    if isinstance(value, tuple | list):
        own = "" if type(value) in (tuple, list) else type(value).__name__
        return Parts("sequence", own, _numbered(value))
    return Parts("leaf", type(value).__name__, [])


def _numbered(values: Any) -> list[tuple[str, Any]]:
    return [(str(number), each) for number, each in enumerate(values)]


def _sort_key(value: Any) -> tuple[bool, Any, str]:
    """Numbers by size, then all else by text."""
    if type(value) is int:
        return False, value, ""
    return True, 0, text_of(value)


def text_of(value: Any, length: int = TEXT_MAX) -> str:
    """The value in at most `length` characters, "…" where it was cut."""
    if length <= 0:
        return ""
    made: list[str] = []
    left = length
    for piece in _pieces(value, 0):
        made.append(piece)
        left -= len(piece)
        if left < 0:
            return "".join(made)[: length - 1] + "…"
    return "".join(made)


def _pieces(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str) and not isinstance(value, Enum):
        yield f'"{escaped(str.__str__(value))}"'
        return
    if isinstance(value, Enum):
        yield value.name
        return
    kind, own, items = parts_of(value)
    if kind == "leaf":
        yield escaped(_ADDRESS.sub("", _repr(value)))
        return
    opening, closing = {
        "record": (own + "(", ")"),
        "sequence": (own + "(", ",)" if len(items) == 1 else ")"),
        "set": ("{", "}"),
        "map": ("{", "}"),
    }[kind]
    yield opening
    if depth >= DEPTH_MAX and items:
        yield "…"
        items = []
    if kind == "record":
        items = [item for item in items if not is_default(value, *item)]
    for number, (name, each) in enumerate(items):
        if number:
            yield ", "
        if kind == "record":
            yield f"{escaped(name)}="
        elif kind == "map":
            yield f"{name}: "
        yield from _pieces(each, depth + 1)
    yield closing


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # of a class of the user
        return f"<{type(value).__name__}: its repr raised {type(error).__name__}>"


def is_default(owner: Any, name: str, value: Any) -> bool:
    """Whether a field of a record has the default that its class declares."""
    kind = type(owner)
    defaults: dict[str, Any] = getattr(kind, "_field_defaults", {})
    if not defaults and (names := getattr(kind, "__struct_fields__", ())):
        given = kind.__struct_defaults__
        defaults = dict(zip(names[len(names) - len(given) :], given, strict=True))
    elif not defaults and (fields := getattr(kind, "__dataclass_fields__", {})):
        defaults = {each.name: each.default for each in fields.values()}
    if name not in defaults:
        return False
    default = defaults[name]
    return type(default) is type(value) and bool(default == value)


def is_bare(value: Any) -> bool:
    """Whether a value says nothing by itself: None, False, zero, or empty."""
    return value is None or (
        isinstance(value, bool | int | float | str | bytes | tuple | list | frozenset | set)
        and not value
    )


def escaped(text: str) -> str:
    """The text, with escapes for characters that are unseen or turn their neighbours around."""
    if text.isprintable():
        return text
    return "".join(f"\\u{ord(each):04x}" if category(each) in _UNSEEN else each for each in text)


def label_of(action: Action) -> str:
    """An action in a line: its name, its process, and what it is about."""
    about = [escaped(action.process)] if action.process else []
    if action.kind:
        about.append(action.kind + (f" from {escaped(action.peer)}" if action.peer else ""))
    if action.subject is not None:
        about.append(subject_of(action.subject))
    return f"{escaped(action.name)}({', '.join(about)})" if about else escaped(action.name)


def subject_of(subject: Any) -> str:
    """What an action is about, in short: a text without quotes."""
    if isinstance(subject, str) and not isinstance(subject, Enum):
        return escaped(subject)[:TEXT_MAX]
    return text_of(subject)
