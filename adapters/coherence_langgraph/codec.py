"""How an item of a store is an artifact: its name, its content, and what two writers both changed.

``(("proj",), "plan.md")`` is the artifact ``proj/plan.md``.  A value ``{"text": "..."}`` is an
artifact of that very text, so that agents of other frameworks read and write it as such; any other
value is JSON, kept as bytes.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import msgspec
from langgraph.store.base import InvalidNamespaceError

from coherence import Conflict, InvalidContent

# What a name of an artifact or an agent cannot hold, or not at its ends.
_ODD = re.compile(r'[^ -~]|[@\\:*?"<>|%/]|^ | $|\.$')


@lru_cache(maxsize=65_536)
def artifact_name(namespace: tuple[Any, ...], key: str) -> str:
    """The artifact that the item is.  Raises `InvalidNamespaceError`; two items never share one."""
    if not all(isinstance(label, str) and label and "." not in label for label in namespace):
        raise InvalidNamespaceError(f"labels are text without periods, not {namespace!r}")
    return "/".join(map(quoted, (*namespace, key)))


def quoted(part: str) -> str:
    """`part` as a part of a name of an artifact or agent: plain text stays as it is."""
    return _ODD.sub(lambda odd: "%" + odd[0].encode(*_UTF8).hex("%").upper(), part) or "%"


def item_of(name: str) -> tuple[tuple[str, ...], str]:
    """The namespace and key of an artifact: the other way round."""
    *labels, key = (unquote(part.rstrip("%"), *_UTF8) for part in name.split("/"))
    return tuple(labels), key


_UTF8 = ("utf-8", "surrogatepass")


def encoded(value: Mapping[str, Any]) -> str | bytes:
    """The content of an artifact that holds `value`.  Raises `InvalidContent`."""
    if value.keys() == {"text"} and isinstance(value["text"], str):
        return value["text"]
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidContent(f"the value is no JSON: {error}") from error


_decode = msgspec.json.Decoder(dict[str, Any]).decode


def decoded(content: str | bytes) -> dict[str, Any]:
    """A fresh copy of the value.  Raises `InvalidContent` where the bytes are somebody else's."""
    try:
        return {"text": content} if isinstance(content, str) else _decode(content)
    except msgspec.DecodeError as error:
        raise InvalidContent(f"bytes that no store wrote: {error}") from error


def merged(conflict: Conflict) -> str | bytes | None:
    """A content with both changes; None where both changed one field, or the same lines."""
    base, yours, theirs = conflict.base, conflict.yours, conflict.theirs
    if isinstance(yours, str) or isinstance(theirs, str) or not (yours and theirs):
        return conflict.merge()
    if base is None and conflict.base_version:
        return None
    was, mine, now = (decoded(content or b"{}") for content in (base, yours, theirs))
    changed = {f for f in {**was, **mine} if mine.get(f, ...) != was.get(f, ...)}
    if any(now.get(f, ...) not in (was.get(f, ...), mine.get(f, ...)) for f in changed):
        return None
    kept = {f: now[f] for f in now if f not in changed}
    return encoded(kept | {f: mine[f] for f in mine if f in changed})
