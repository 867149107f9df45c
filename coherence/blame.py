"""Which version each line of a text comes from, found from the differences between versions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from coherence.contents import Content
from coherence.delta import edits, split
from coherence.messages import Version
from message_passing.process import Value


class Origin(Value, frozen=True, gc=False):
    """A line, and the versions of which one brought it: `first` to `last`, both included.

    The two differ where versions between them are not kept.
    """

    line: str
    first: Version
    last: Version

    @property
    def known(self) -> bool:
        """Whether the version that brought the line is kept."""
        return self.first == self.last


Step: TypeAlias = tuple[Version, Content | None]
"""A version and its content; None where the artifact was deleted."""

#: Of the lines before the first version that is kept.
NOTHING: Final[list[Origin]] = []


def blame(history: Iterable[Step]) -> list[Origin]:
    """The lines of the last version of `history`, each with its origin.

    `history` holds the kept versions, oldest first.  A deletion, or content that is not text,
    has no lines.
    """
    found, seen = NOTHING, 0
    for version, content in history:
        old = [origin.line for origin in found]
        new = split(content) if isinstance(content, str) else []
        made: list[Origin] = []
        at = 0
        for edit in edits(old, new):
            made += found[at : edit.start]
            made += [Origin(line, seen + 1, version) for line in edit.lines]
            at = edit.stop
        found, seen = made + found[at:], version
    return found
