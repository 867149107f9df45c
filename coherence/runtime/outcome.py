"""The result of a transaction at one home, and the forms that a content takes in transit.

A cache holds a content itself, `Cached`.  A home keeps its `Handle`.  A message of home that
carries content leaves the transaction with the handle; `Outcome.contents` has the content beside
it, as `Carried`.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from coherence.contents import Content, Handle
from coherence.messages import ToCache, Version
from coherence.view import Cached
from message_passing.process import Send

HOME = "home"
"""The address of a home, as its caches use it; each artifact has its own home."""

Carried: TypeAlias = Cached | tuple[Handle, Content]
"""A content that is cached in this process, or one that the transaction has fetched."""


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The outcome of the messages to one artifact's home."""

    artifact: str
    #: Messages to caches of this process, in order.
    posts: list[Send[ToCache]]
    #: The contents of those messages.
    contents: dict[Version, Carried]
    #: The TLA+ action of the last message.
    action: str
    #: The version that was published, or 0, and its content as the writer holds it.
    published: Version
    made: Cached | None
    #: Seconds from the transaction until the home's next timer is due; None if none is armed.
    due_s: float | None
    #: There is no such home: the answer is valid for this moment only.
    absent: bool
