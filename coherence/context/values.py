"""Maps an item of a store to an artifact, its name and its content; and a path to its name.

The item ``plan.md`` under ``("proj",)`` is the artifact ``proj/plan.md``.  A value ``{"text":
"..."}`` is an artifact of that text, so that agents of other frameworks can read and write it; any
other value is JSON, kept as bytes, so that a text is never taken for a value.  For JSON that people
and models read and merge line by line, see `coherence.workspace.json`.

The path ``/docs/a.md`` is the artifact ``docs/a.md``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any
from urllib.parse import unquote

import msgspec

from coherence.contents import Content
from coherence.errors import InvalidContent, InvalidName
from coherence.refs import AGENT_CHARS_MAX

# Characters that a name of an artifact or an agent cannot hold, or not at its ends.
_ODD = re.compile(r'[^ -~]|[@\\:*?"<>|%/]|^ | $|\.$')
_UTF8 = ("utf-8", "surrogatepass")


def name_of(labels: tuple[str, ...], key: str) -> str:
    """The artifact of the item under these labels and this key.  The mapping is one to one."""
    return "/".join(map(quoted, (*labels, key)))


def item_of(name: str) -> tuple[tuple[str, ...], str]:
    """The labels and the key of an artifact: the inverse of `name_of`."""
    *labels, key = (unquote(part.rstrip("%"), *_UTF8) for part in name.split("/"))
    return tuple(labels), key


def caller_name(*parts: str) -> str:
    """The name of an agent that its framework identifies by `parts`, such as name and session."""
    name = quoted(".".join(parts))
    if len(name) > AGENT_CHARS_MAX:
        short = blake2b(name.encode(), digest_size=8).hexdigest()
        name = f"{name[: AGENT_CHARS_MAX - len(short) - 1]}~{short}"
    return name


def quoted(part: str) -> str:
    """`part` as a part of a name of an artifact or agent: plain text stays unchanged."""
    return _ODD.sub(lambda odd: "%" + odd[0].encode(*_UTF8).hex("%").upper(), part) or "%"


def name_of_path(path: str) -> str:
    """The artifact of the file at `path`, which begins at the root with or without a slash.

    Raises `InvalidName` for a path that leads out of the root, or names no file.
    """
    parts = _parts(path)
    if not parts or path.endswith("/"):
        raise InvalidName(f"{path!r} names no file", remedy="a path such as /docs/a.md")
    return name_of(tuple(parts[:-1]), parts[-1])


def prefix_of_path(path: str) -> str:
    """How the names of all files in the folder `path`, and below it, begin.

    Raises `InvalidName` for a path that leads out of the root.
    """
    return "".join(name_of((), part) + "/" for part in _parts(path))


def path_of(name: str) -> str:
    """The path of an artifact, with a slash at its beginning: the inverse of `name_of_path`."""
    labels, key = item_of(name)
    return "/" + "/".join((*labels, key))


def _parts(path: str) -> list[str]:
    if not isinstance(path, str):
        raise InvalidName(f"a path is text, not {type(path).__name__}")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InvalidName(f"{path!r} leads out", remedy="a path below /, without ..")
    return parts


def text_if_utf8(data: bytes) -> str | bytes:
    """The content for an artifact that holds the bytes of a file."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def encoded(value: Mapping[str, Any]) -> Content:
    """The content of an artifact that holds `value`; a tuple is a list in it.

    Raises `InvalidContent` for a value that would not survive the round trip.
    """
    if not isinstance(value, Mapping):
        raise InvalidContent(f"an item is a dict, not {type(value).__name__}", remedy=_REMEDY)
    if len(value) == 1 and "text" in value and isinstance(value["text"], str):
        return value["text"]
    try:
        data = _encode(value)
        # The encoder converts silently: a date to text, a set to a list, NaN to null.
        if _decode(data) != value and _decode(data) != _plain(value, "the value"):
            raise InvalidContent("JSON cannot represent the value exactly", remedy=_REMEDY)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidContent(f"the value is not JSON: {error}", remedy=_REMEDY) from error
    return data


_REMEDY = "dicts with text keys, lists, text, finite numbers, booleans and None"


def _plain(value: Any, where: str) -> Any:
    """`value` with lists for tuples.  Raises `TypeError` for a value that JSON cannot hold."""
    if isinstance(value, Mapping):
        if odd := [key for key in value if not isinstance(key, str)]:
            raise TypeError(f"the key {odd[0]!r} in {where} is not text")
        return {key: _plain(each, f"{where}[{key!r}]") for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, f"{where}[{place}]") for place, each in enumerate(value)]
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{where} is a {type(value).__name__}")


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def decoded(content: Content) -> dict[str, Any]:
    """A fresh copy of the value.  Raises `InvalidContent` if another program wrote the bytes."""
    try:
        return {"text": content} if isinstance(content, str) else _decode(content)
    except msgspec.DecodeError as error:
        raise InvalidContent(f"the bytes were not written by a store: {error}") from error
