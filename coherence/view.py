"""The result of a read: one version of one artifact, and its text for the prompt."""

from __future__ import annotations

from enum import StrEnum
from operator import attrgetter
from typing import ClassVar, Final

import msgspec

from coherence.contents import Content, Handle, Kind
from coherence.errors import InvalidContent
from coherence.notes import Note
from coherence.refs import Ref
from coherence.tokens import Counter, Estimate

#: The counter of an application that has set none.
ESTIMATE: Final = Estimate()


class Served(StrEnum):
    """How a read was answered."""

    #: From this agent's cache, without a message to home.
    HIT = "hit"
    #: From home, whole.
    FULL = "full"
    #: The version that the caller has in its context is the current one.
    UNCHANGED = "unchanged"
    #: As a difference from the version that the caller has in its context.
    DELTA = "delta"


class View(msgspec.Struct, frozen=True, weakref=True, eq=False):
    """One version of one artifact.  Immutable, and shared by all agents of a process.

    `content` is always whole, even if `for_prompt` gives only a part.
    """

    counter: ClassVar[Counter] = ESTIMATE

    ref: Ref
    content: Content
    handle: Handle
    served: Served = Served.HIT
    #: The version in the caller's context, if the answer relies on it.
    have: Ref | None = None
    #: The difference from it, as text, if `served` is `DELTA`.
    changes: str = ""
    #: For the history, if this process wrote the version.  It means nothing to a reader.
    note: Note | None = None

    @property
    def text(self) -> str:
        """The whole text.  Raises `InvalidContent` if the artifact holds bytes."""
        if isinstance(self.content, str):
            return self.content
        raise InvalidContent(f"{self.ref} holds bytes", remedy="use view.content")

    @property
    def version(self) -> int:
        """The number of this version."""
        return self.ref.version

    #: Distinguishes this content from another under the same number; see `Handle`.
    digest = property(attrgetter("handle.digest"))

    @property
    def size_bytes(self) -> int:
        """The size of the whole content; text counts in UTF-8."""
        return self.handle.size_bytes

    @property
    def cost_tokens(self) -> int:
        """The tokens of `for_prompt`, by `View.counter`.  Counted on each call."""
        return self.counter.count(self.for_prompt())

    @property
    def size_tokens(self) -> int:
        """The tokens that the whole text would add.  Counted on each call."""
        return self.counter.count(self.text)

    def for_prompt(self) -> str:
        """The text for the model's context: the content, a difference, or one line.

        Raises `InvalidContent` if the artifact holds bytes.
        """
        if self.served is Served.UNCHANGED:
            return f"[{self.ref.name} is unchanged since {self.have}]"
        if self.served is Served.DELTA:
            return f"[{self.ref}: changes since {self.have}]\n{self.changes}"
        return self.text

    def __str__(self) -> str:
        return f"{self.ref} ({self.served})"


class Gone(msgspec.Struct, frozen=True, weakref=True, eq=False):
    """A version that deletes the artifact."""

    ref: Ref
    handle: Handle
    content: Content = b""
    #: See `View.note`.
    note: Note | None = None

    #: The digest of every deletion.
    digest = property(attrgetter("handle.digest"))


Cached = View | Gone
"""The content of a cache."""


def cached(ref: Ref, content: Content, handle: Handle) -> Cached:
    """The content that a cache holds for that version."""
    if handle.kind is Kind.TOMBSTONE:
        return Gone(ref, handle)
    return View(ref, content, handle)


def prompt_tokens(view: View) -> tuple[int, int]:
    """The tokens of `View.for_prompt`, and those of the whole content, by `View.counter`."""
    counter = View.counter
    plain = type(counter) is Estimate
    whole = -(-view.handle.size_bytes // 4) if plain else content_tokens(view.content)
    if view.served in (Served.UNCHANGED, Served.DELTA):
        return counter.count(view.for_prompt()), whole
    return whole, whole


def content_tokens(content: Content) -> int:
    """The tokens of `content`, by `View.counter`.  Bytes count as the text that they encode."""
    text = content if isinstance(content, str) else content.decode(errors="replace")
    return View.counter.count(text)
