"""The contents of artifacts, and the small handle that stands for one in the protocol.

Directories and messages carry a `Handle`; the text itself is stored once and moves once.  Content
that cannot be stored and hashed never becomes a handle, so it cannot reach a step.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import blake2b
from typing import TypeAlias

from coherence.errors import BadArgument, ContentTooLarge, InvalidContent
from message_passing.process import Value

Content: TypeAlias = str | bytes

DIGEST_BYTES = 16


class Kind(StrEnum):
    """The kind of an artifact's content."""

    TEXT = "text"
    BYTES = "bytes"
    #: The artifact is deleted as of this version.
    TOMBSTONE = "tombstone"


class Handle(Value, frozen=True, gc=False, tag=True, array_like=True):
    """Stands for content: its kind, size and hash.  Its `len` is the size in bytes."""

    kind: Kind
    size_bytes: int
    #: blake2b of kind and bytes; empty if the store keeps the object that was written.  An empty
    #: digest proves nothing: compare the contents themselves.
    digest: bytes

    def __len__(self) -> int:
        return self.size_bytes


def digest(kind: Kind, data: bytes) -> bytes:
    """The hash in a handle of `data`."""
    return blake2b(data, digest_size=DIGEST_BYTES, person=kind.encode()).digest()


TOMBSTONE = Handle(Kind.TOMBSTONE, 0, digest(Kind.TOMBSTONE, b""))


class Limits(Value, frozen=True, gc=False):
    """The limits of a workspace.  Raises `BadArgument` if one is out of its range."""

    content_bytes: int = 16 << 20
    artifacts: int = 100_000
    #: The sum of what one transaction writes.
    transaction_bytes: int = 64 << 20
    #: The total size of the copies of one workspace.  An evicted copy is read again from home.
    copies_bytes: int = 64 << 20
    #: How many refused writes of the store are kept, the newest; with 0 none is recorded.
    refusals: int = 0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value, least = getattr(self, name), 0 if name == "refusals" else 1
            if type(value) is not int or value < least:
                raise BadArgument(
                    f"{name} is {value!r}", remedy=f"give a whole number, {least} or more"
                )


def check_content(content: object, limits: Limits, *, hashed: bool = True) -> Handle:
    """The handle of `content`.  Raises `InvalidContent` or `ContentTooLarge`."""
    if isinstance(content, str):
        # UTF-8 never has fewer bytes than characters: text that is too long is refused before a
        # copy.
        if len(content) > limits.content_bytes:
            raise _too_large(f"{len(content)} characters", limits)
        if not hashed and content.isascii():
            return Handle(Kind.TEXT, len(content), b"")
        kind = Kind.TEXT
        try:
            data = content.encode()
        except UnicodeEncodeError as error:
            where = f"character {error.start} is a lone surrogate"
            raise InvalidContent(f"the text has no UTF-8 form: {where}") from error
    elif isinstance(content, bytes):
        kind, data = Kind.BYTES, content
    else:
        raise InvalidContent(f"content is {type(content).__name__}, neither str nor bytes")
    if len(data) > limits.content_bytes:
        raise _too_large(f"{len(data)} bytes", limits)
    return Handle(kind, len(data), digest(kind, data) if hashed else b"")


def restore(handle: Handle, data: bytes) -> Content:
    """The content that `data` holds.  Raises `ValueError` if it does not match the handle."""
    if len(data) != handle.size_bytes or digest(handle.kind, data) != handle.digest:
        raise ValueError("the bytes are not those of the handle")
    return data.decode() if handle.kind is Kind.TEXT else data


def _too_large(size: str, limits: Limits) -> ContentTooLarge:
    return ContentTooLarge(f"{size}, the limit is {limits.content_bytes} bytes")
