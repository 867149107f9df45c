"""How an item of a store is an artifact: its name, its content, and what two writers both changed.

``(("proj",), "plan.md")`` is the artifact ``proj/plan.md``.  A value ``{"text": "..."}`` is an
artifact of that very text, so that agents of other frameworks read and write it as such; any other
value is JSON, kept as bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from unicodedata import is_normalized
from urllib.parse import quote, unquote

import msgspec
from langgraph.store.base import GetOp, validate_op_namespace

from coherence import Conflict, InvalidContent

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_NONE = object()

# What an artifact's name cannot hold, and what only a name of plain ASCII is sure to hold.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff@\\:*?"<>|%/]')
_ODD = re.compile(r'[^!-~]|[@\\:*?"<>|%/]')


@lru_cache(maxsize=65_536)
def artifact_name(namespace: tuple[str, ...], key: str) -> str:
    """The artifact that the item is.  Raises `InvalidNamespaceError`; two items never share one."""
    validate_op_namespace(GetOp(namespace, key))
    return "/".join([*map(quoted, namespace), quoted(key)])


def quoted(part: str) -> str:
    """`part` as a part of a name of an artifact or agent: what may stand there stays as it is."""
    plain = part == part.strip() and is_normalized("NFC", part)
    made = (_UNSAFE if plain else _ODD).sub(_escaped, part)
    return made[:-1] + "%2E" if made.endswith(".") else made or "%"


def item_of(name: str) -> tuple[tuple[str, ...], str]:
    """The namespace and key of an artifact: the other way round."""
    *labels, key = (unquote(part.rstrip("%"), errors="surrogatepass") for part in name.split("/"))
    return tuple(labels), key


def _escaped(found: re.Match[str]) -> str:
    return quote(found.group(), safe="", errors="surrogatepass")


def encoded(value: Mapping[str, Any]) -> str | bytes:
    """The content of an artifact that holds `value`.  Raises `InvalidContent`."""
    text = value.get("text")
    if len(value) == 1 and type(text) is str:
        return text
    try:
        return _encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidContent(f"the value is no JSON: {error}") from error


def decoded(content: str | bytes) -> dict[str, Any]:
    """A fresh copy of the value.  Raises `InvalidContent` where the bytes are somebody else's."""
    if isinstance(content, str):
        return {"text": content}
    try:
        return _decode(content)
    except msgspec.DecodeError as error:
        raise InvalidContent(
            f"the artifact holds bytes that no store wrote: {error}",
            remedy="read it through the workspace",
        ) from error


def merged(conflict: Conflict) -> str | bytes | None:
    """A content with both changes; None where both changed one field, or the same lines."""
    base, yours, theirs = conflict.base, conflict.yours, conflict.theirs
    if not (isinstance(yours, bytes) and isinstance(theirs, bytes) and yours and theirs):
        return conflict.merge()
    if not isinstance(base, bytes) and conflict.base_version:
        return None
    was, mine, now = (decoded(content) if content else {} for content in (base, yours, theirs))
    for field in {**was, **mine}:
        before, after = was.get(field, _NONE), mine.get(field, _NONE)
        if after == before or after == now.get(field, _NONE):
            continue
        if now.get(field, _NONE) != before:
            return None
        now.pop(field, None)
        if after is not _NONE:
            now[field] = after
    return encoded(now)
