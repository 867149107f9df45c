"""What a read returns: one version of one artifact, and what of it belongs in the prompt."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec

from coherence.contents import Content, Handle, Kind
from coherence.errors import InvalidContent
from coherence.refs import Ref
from coherence.tokens import Counter, Estimate


class Served(StrEnum):
    """How a read was answered."""

    #: From this agent's cache, without asking home.
    HIT = "hit"
    #: From home, whole.
    FULL = "full"
    #: The version that the caller has in its context is the current one.
    UNCHANGED = "unchanged"
    #: As a difference to the version that the caller has in its context.
    DELTA = "delta"


class View(msgspec.Struct, frozen=True, weakref=True, eq=False):
    """One version of one artifact.  Immutable, and shared by all agents of a process.

    `content` is always whole, however little of it `for_prompt` puts into the prompt.
    """

    counter: ClassVar[Counter] = Estimate()

    ref: Ref
    content: Content
    handle: Handle
    served: Served = Served.HIT
    #: The version that the caller said is in its context, where the answer leans on it.
    have: Ref | None = None
    #: The difference to it, in words, where `served` is `DELTA`.
    changes: str = ""

    @property
    def text(self) -> str:
        """The whole text.  Raises `InvalidContent` where the artifact holds bytes."""
        if isinstance(self.content, str):
            return self.content
        raise InvalidContent(f"{self.ref} holds bytes", remedy="use view.content")

    @property
    def version(self) -> int:
        """The version of the artifact that this is."""
        return self.ref.version

    @property
    def digest(self) -> bytes:
        """What tells this content from another that bears the same version; see `Handle`."""
        return self.handle.digest

    @property
    def size_bytes(self) -> int:
        """The size of the whole content; text counts in UTF-8."""
        return self.handle.size_bytes

    @property
    def cost_tokens(self) -> int:
        """What `for_prompt` adds to a context, by `View.counter`.  Counted when asked."""
        return self.counter.count(self.for_prompt())

    @property
    def size_tokens(self) -> int:
        """What the whole text would add.  Counted when asked."""
        return self.counter.count(self.text)

    def for_prompt(self) -> str:
        """What belongs in the model's context: the text, a difference to what it has, or a line.

        Raises `InvalidContent` where the artifact holds bytes.
        """
        if self.served is Served.UNCHANGED:
            return f"[{self.ref.name} is unchanged since {self.have}]"
        if self.served is Served.DELTA:
            return f"[{self.ref}: changes since {self.have}]\n{self.changes}"
        return self.text

    def __str__(self) -> str:
        return f"{self.ref} ({self.served})"


class Gone(msgspec.Struct, frozen=True, weakref=True, eq=False):
    """A version that says that the artifact is deleted."""

    ref: Ref
    handle: Handle
    content: Content = b""

    @property
    def digest(self) -> bytes:
        """That of every deletion."""
        return self.handle.digest


Held = View | Gone
"""What a cache holds as content."""


def as_served(view: View, served: Served, have: Ref | None = None, changes: str = "") -> View:
    """`view` with how it was served."""
    return View(view.ref, view.content, view.handle, served, have, changes)


def held(ref: Ref, content: Content, handle: Handle) -> Held:
    """What a cache holds of that version."""
    if handle.kind is Kind.TOMBSTONE:
        return Gone(ref, handle)
    return View(ref, content, handle)
