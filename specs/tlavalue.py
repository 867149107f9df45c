"""Values of TLA+ as Python values, parsed from TLC's output and printed for its input.

=====================  ==========================================================
TLA+                   here
=====================  ==========================================================
number, TRUE, string   int, bool, str
set                    frozenset
sequence, tuple        tuple
record, function       `Function`; on 1 .. n, also empty, a sequence
=====================  ==========================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from message_passing.errors import PeerError


class Unreadable(PeerError):
    """Text that is not a value in TLC's form."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function or record, as its set of (argument, value)."""

    items: frozenset[tuple[Any, Any]]

    def __repr__(self) -> str:
        return f"[{', '.join(f'{k}: {v}' for k, v in sorted(self.items, key=repr))}]"


def function(of: Mapping[Any, Any]) -> Any:
    """The function with these arguments and values; on 1 .. n it is a sequence."""
    if of.keys() == set(range(1, len(of) + 1)):
        return tuple(of[place] for place in range(1, len(of) + 1))
    return Function(frozenset(of.items()))


def printed(value: Any) -> str:
    """The TLA+ expression of a value, as a module that extends TLC may hold it; `parse` reads it.

    Strings are written as they are: they must be plain ASCII without quotes or backslashes.
    """
    match value:
        case bool():
            return "TRUE" if value else "FALSE"
        case str():
            return f'"{value}"'
        case tuple():
            return f"<< {', '.join(map(printed, value))} >>"
        case frozenset():
            return f"{{{', '.join(sorted(map(printed, value)))}}}"
        case Function(items):
            pairs = sorted((key, printed(of)) for key, of in items)
            if all(_FIELD.fullmatch(str(key)) for key, _ in pairs):
                return f"[{', '.join(f'{key} |-> {of}' for key, of in pairs)}]"
            return f"({' @@ '.join(f'{printed(key)} :> {of}' for key, of in pairs)})"
    return str(value)


#: Names of record fields: keywords of TLA+ are in capitals.
_FIELD = re.compile("[a-z][a-z_]*")
_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|-?\d+|<<|>>|\|->|:>|@@|[\[\](){},]|\w+)')


@lru_cache(maxsize=1 << 18)
def parse(text: str) -> Any:
    """The value that `text` prints.  Raises `Unreadable`."""
    tokens = list(_tokens(text))
    value, end = _value(tokens, 0)
    if end != len(tokens):
        raise Unreadable(f"more than one value in {text!r}")
    return value


def _tokens(text: str) -> Iterator[str]:
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise Unreadable(f"no value at {text[position : position + 30]!r}")
        yield match[1]
        position = match.end()


def _value(tokens: list[str], at: int) -> tuple[Any, int]:
    if at >= len(tokens):
        raise Unreadable("a value breaks off")
    token = tokens[at]
    if token == "<<":
        items, at = _list(tokens, at + 1, ">>")
        return tuple(items), at
    if token == "{":
        items, at = _list(tokens, at + 1, "}")
        return frozenset(items), at
    if token == "[":
        return _pairs(tokens, at + 1, "]", "|->", ",")
    if token == "(":
        return _pairs(tokens, at + 1, ")", ":>", "@@")
    if token.startswith('"'):
        return token[1:-1], at + 1
    if token in ("TRUE", "FALSE"):
        return token == "TRUE", at + 1
    if token.lstrip("-").isdigit():
        return int(token), at + 1
    return token, at + 1


def _list(tokens: list[str], at: int, close: str) -> tuple[list[Any], int]:
    items: list[Any] = []
    while at < len(tokens) and tokens[at] != close:
        if tokens[at] == ",":
            at += 1
        value, at = _value(tokens, at)
        items.append(value)
    return items, at + 1


def _pairs(tokens: list[str], at: int, close: str, arrow: str, separator: str) -> tuple[Any, int]:
    pairs: dict[Any, Any] = {}
    while at < len(tokens) and tokens[at] != close:
        if tokens[at] == separator:
            at += 1
        key, at = _value(tokens, at)
        if at >= len(tokens) or tokens[at] != arrow:
            raise Unreadable(f"{arrow} expected after {key!r}")
        pairs[key], at = _value(tokens, at + 1)
    return function(pairs), at + 1


_VARIABLE = re.compile(r"(?:^|\n)/\\ (\w+) = ")


def parse_state(text: str) -> dict[str, Any]:
    """The variables of a state as TLC prints it: a conjunction, or one equation alone."""
    parts = _VARIABLE.split(text if text.startswith("/\\") else f"/\\ {text}")
    return {name: parse(value) for name, value in zip(parts[1::2], parts[2::2], strict=True)}
