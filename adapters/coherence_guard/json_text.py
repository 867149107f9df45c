"""JSON that a person has written, edited as text: what is not changed keeps its form.

Comments and a comma after the last item are allowed.  A path is the keys and places that lead to a
value from the outermost object.
"""

from __future__ import annotations

import json  # noqa: TID251 - says where in the text a value ends
import re
from typing import Any, NamedTuple

from message_passing.errors import CallerError

Path = list[str] | list[str | int]

_STRING = r'"(?:\\.|[^"\\])*"'
_COMMENT = re.compile(rf"{_STRING}|//[^\n]*|/\*.*?\*/", re.DOTALL)
_LAST_COMMA = re.compile(rf"{_STRING}|,(?=\s*[}}\]])")
_decode = json.JSONDecoder().raw_decode


class NotJson(CallerError):
    """A text is not an object of JSON."""

    remedy = "mend the file, or name another one"


def at(text: str, path: Path) -> Any:
    """The value at a path; None if it does not exist."""
    value = json.loads(_blank(text))
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def keys(text: str, path: Path) -> list[Any]:
    """The keys of the object, or places of the list, at a path; none of another value."""
    value = at(text, path)
    if isinstance(value, list):
        return list(range(len(value)))
    return list(value) if isinstance(value, dict) else []


def put(text: str, path: Path, value: Any, key: str = "") -> str:
    """`text` with one more item at the end of the list or object at a path."""
    item = (f"{json.dumps(key)}: " if key else "") + json.dumps(value, indent=2)
    start, items = _items(text, path)
    pad = "\n" + "  " * (len(path) + 1)
    line = pad + item.replace("\n", pad)
    if items:
        at = items[-1].end
        return f"{text[:at]},{line}{text[at:]}"
    close = "\n" + "  " * len(path) if text[start + 1] in "}]" else ""
    return text[: start + 1] + line + close + text[start + 1 :]


def taken(text: str, path: Path) -> str:
    """`text` without the item at a path."""
    start, items = _items(text, path[:-1])
    place = next(n for n, item in enumerate(items) if item.key == path[-1])
    begin, end = start + 1, items[place].end
    if place:
        begin = items[place - 1].end
    elif len(items) > 1:
        begin, end = items[0].begin, items[1].begin
    elif text[end:].lstrip()[0] in "}]":
        end += len(text[end:]) - len(text[end:].lstrip())
    return text[:begin] + text[end:]


class _Item(NamedTuple):
    key: str | int
    begin: int
    value_at: int
    end: int


def _items(text: str, path: Path) -> tuple[int, list[_Item]]:
    """Where a list or object begins, and its items."""
    blank = _blank(text)
    start = blank.index("{")
    items = _items_of(blank, start)
    for step in path:
        start = next(item.value_at for item in items if item.key == step)
        items = _items_of(blank, start)
    return start, items


def _items_of(blank: str, start: int) -> list[_Item]:
    found: list[_Item] = []
    at = _next(blank, start + 1)
    while blank[at] not in "}]":
        begin, key = at, len(found)
        if blank[start] == "{":
            key, at = _decode(blank, at)
            at = _next(blank, at)
        found.append(_Item(key, begin, at, _decode(blank, at)[1]))
        at = _next(blank, found[-1].end)
    return found


def _next(blank: str, at: int) -> int:
    while blank[at] in " \t\r\n,:":
        at += 1
    return at


def _blank(text: str) -> str:
    """`text` as strict JSON of the same length: comments and last commas are spaces."""

    def spaces(found: re.Match[str]) -> str:
        return found[0] if found[0][0] == '"' else re.sub(r"\S", " ", found[0])

    blank = _LAST_COMMA.sub(spaces, _COMMENT.sub(spaces, text))
    try:
        if isinstance(json.loads(blank), dict):
            return blank
    except ValueError as error:
        raise NotJson(f"the text is not JSON: {error}") from error
    raise NotJson("the text is not an object of JSON")
