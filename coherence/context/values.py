"""How an item of a store is an artifact: its name, its content, and what two writers both changed.

The item ``plan.md`` under ``("proj",)`` is the artifact ``proj/plan.md``.  A value ``{"text":
"..."}`` is an artifact of that very text, so that agents of other frameworks read and write it as
such; any other value is JSON, kept as bytes, so that no text is ever taken for a value.  What
people and models are to read and merge line by line is for `coherence.workspace.json`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from coherence.contents import Content
from coherence.errors import InvalidContent

# What a name of an artifact or an agent cannot hold, or not at its ends.
_ODD = re.compile(r'[^ -~]|[@\\:*?"<>|%/]|^ | $|\.$')
_UTF8 = ("utf-8", "surrogatepass")


def name_of(labels: tuple[str, ...], key: str) -> str:
    """The artifact that the item under these labels and this key is.  Two never share one."""
    return "/".join(map(quoted, (*labels, key)))


def item_of(name: str) -> tuple[tuple[str, ...], str]:
    """The labels and the key of an artifact: the other way round."""
    *labels, key = (unquote(part.rstrip("%"), *_UTF8) for part in name.split("/"))
    return tuple(labels), key


def quoted(part: str) -> str:
    """`part` as a part of a name of an artifact or agent: plain text stays as it is."""
    return _ODD.sub(lambda odd: "%" + odd[0].encode(*_UTF8).hex("%").upper(), part) or "%"


def encoded(value: Mapping[str, Any]) -> Content:
    """The content of an artifact that holds `value`.  Raises `InvalidContent`."""
    if len(value) == 1 and "text" in value and isinstance(value["text"], str):
        return value["text"]
    try:
        return _encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidContent(f"the value is no JSON: {error}") from error


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def decoded(content: Content) -> dict[str, Any]:
    """A fresh copy of the value.  Raises `InvalidContent` where the bytes are somebody else's."""
    try:
        return {"text": content} if isinstance(content, str) else _decode(content)
    except msgspec.DecodeError as error:
        raise InvalidContent(f"bytes that no store wrote: {error}") from error


def merged(base: Content, yours: Content, theirs: Content) -> Content | None:
    """The value with both changes; None where both changed one field, each in a way of its own.

    An empty `base` is no value.  Raises `InvalidContent`.
    """
    was, mine, now = (decoded(content or b"{}") for content in (base, yours, theirs))
    changed = _differing(was, mine)
    if any(now.get(f, ...) not in (was.get(f, ...), mine.get(f, ...)) for f in changed):
        return None
    kept = {f: now[f] for f in now if f not in changed}
    return encoded(kept | {f: mine[f] for f in mine if f in changed})


def _differing(was: Mapping[str, Any], now: Mapping[str, Any]) -> set[str]:
    return {f for f in {**was, **now} if now.get(f, ...) != was.get(f, ...)}
