"""The byte form of rows, messages and old versions in a store's file or database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from coherence.contents import Content, Handle, Kind, restore
from coherence.errors import StoreCorrupt
from coherence.messages import CARRIERS
from coherence.refs import VERSION_MAX
from coherence.stores.port import Cut, Entry, Held, HomeRow, Post, Stored

_encode = msgspec.msgpack.Encoder().encode
#: A row as bytes.
pack_row: Final[Callable[[HomeRow], bytes]] = _encode
#: The messages of a line as bytes; a line without messages has no bytes.
pack_posts: Final[Callable[[tuple[Post, ...]], bytes]] = _encode
_decode_row = msgspec.msgpack.Decoder(HomeRow).decode
_decode_posts = msgspec.msgpack.Decoder(tuple[Post, ...]).decode
_decode_splice = msgspec.msgpack.Decoder(tuple[int, int, bytes]).decode

#: Older contents shorter than this are kept whole.
SPLICED_BYTES_MIN: Final = 512
#: A difference must be smaller than the content by this much to be stored.
WORTH: Final = 0.5


def unpack_row(data: bytes) -> HomeRow:
    """The row in `data`.  Raises `StoreCorrupt`."""
    try:
        row = _decode_row(data)
        content = row.state.content
        if content is None:
            if row.state.version:
                raise ValueError("a version without a content")
            return row
        return HomeRow(replace(row.state, content=_handle(content)), row.timers)
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise StoreCorrupt(f"a row is damaged: {error}") from error


def unpack_posts(data: bytes) -> tuple[Post, ...]:
    """The messages in `data`.  Raises `StoreCorrupt`."""
    if not data:
        return ()
    try:
        return tuple(_whole(post) for post in _decode_posts(data))
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise StoreCorrupt(f"a line of the change log is damaged: {error}") from error


def is_storable(text: str) -> bool:
    """Whether every store can hold `text`, as with every valid name."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def pack_names(names: Iterable[str]) -> str:
    """Those of `names` that a store can hold, as an array in JSON, for one statement."""
    return msgspec.json.encode([name for name in names if is_storable(name)]).decode()


def pack_asked(names: Iterable[str], have: Mapping[str, Held]) -> str:
    """As `pack_names`, each name with the version and the digest in hexadecimal that `have` has."""
    asked = []
    for name in names:
        version, proof = have.get(name, (0, b""))
        known = 0 < version <= VERSION_MAX and type(proof) is bytes
        asked.append((name, version, proof.hex()) if known else (name, 0, ""))
    return msgspec.json.encode([each for each in asked if is_storable(each[0])]).decode()


def cut_of(name: str, stored: Stored, kept: tuple[Entry, Content | None] | None) -> Cut:
    """The cut of a row and its current version, without the content if that is held.

    Raises `StoreCorrupt` unless the version is that of the row.
    """
    state = stored.row.state
    if not state.version:
        return Cut(stored)
    if kept is None or (kept[0].version, kept[0].handle) != (state.version, state.content):
        raise StoreCorrupt(f"{name}@{state.version} is current, and not in the history")
    return Cut(stored, kept[0], kept[1] if stored.row.exists else None)


def to_bytes(content: Content) -> bytes:
    """Content in its stored form."""
    return content.encode() if isinstance(content, str) else content


def stored_form(content: Content, previous: Content | None) -> tuple[bytes, bytes | None]:
    """A new version as bytes, and the version before it as a difference from them.

    The difference is None if the version before is not given, or stays whole.
    """
    body = to_bytes(content)
    if previous is None or type(previous) is not type(content):
        return body, None
    old = to_bytes(previous)
    return body, splice(old, body) if len(old) >= SPLICED_BYTES_MIN else None


def restored(handle: Handle, chain: Iterable[tuple[int, bool, bytes]], name: object) -> Content:
    """The content of `handle`, from its version and those after it, up to the first whole one.

    `chain` gives number, `whole` and body of each; a body that is not whole is a difference from
    the next.  Raises `StoreCorrupt` for a hole in the chain, or if the hash does not match.
    """
    differences: list[bytes] = []
    expected: int | None = None
    for number, whole, body in chain:
        if expected is not None and number != expected:
            break
        if whole:
            for difference in reversed(differences):
                body = unsplice(difference, body)
            try:
                return restore(handle, body)
            except ValueError as error:
                raise StoreCorrupt(f"{name} is damaged: {error}") from error
        differences.append(body)
        expected = number + 1
    raise StoreCorrupt(f"{name} is a difference to a version that is missing")


def splice(old: bytes, new: bytes) -> bytes | None:
    """`old` as a difference from `new`: the part between their common ends.  None if too long.

    Exact, and fast at any size; `unsplice` is the inverse.
    """
    head = _common(old, new)
    rest = min(len(old), len(new)) - head
    tail = _common(old[len(old) - rest :][::-1], new[len(new) - rest :][::-1]) if rest else 0
    middle = old[head : len(old) - tail]
    if len(middle) + 32 > WORTH * len(old):
        return None
    return _encode((head, tail, middle))


def unsplice(data: bytes, new: bytes) -> bytes:
    """The old content, from `new` and the difference.  Raises `StoreCorrupt`."""
    try:
        head, tail, middle = _decode_splice(data)
    except msgspec.MsgspecError as error:
        raise StoreCorrupt(f"an old version is damaged: {error}") from error
    return new[:head] + middle + new[len(new) - tail :]


def _common(a: bytes, b: bytes) -> int:
    """How many bytes `a` and `b` share at the start, by bisection, so that memcmp compares."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _whole(post: Post) -> Post:
    message = post.message
    if isinstance(message, CARRIERS) and message.content is not None:
        return Post(post.dst, replace(message, content=_handle(message.content)))
    return post


def _handle(plain: Any) -> Handle:
    tag, kind, size_bytes, digest = plain
    if tag != "Handle" or type(size_bytes) is not int or type(digest) is not bytes:
        raise ValueError("no handle where one should be")
    return Handle(Kind(kind), size_bytes, digest)
