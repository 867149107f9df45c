"""The error of a refused write: the versions in between, their authors, and a merge.

Part of the tree that `coherence.errors` draws.
"""

from __future__ import annotations

from coherence.contents import Content
from coherence.delta import diff, edits, merge, overlap, split
from coherence.messages import Version
from coherence.refs import Ref
from message_passing.errors import CallerError

SHOWN_LINES_MAX = 40


class Conflict(CallerError):
    """The write was derived from a version that is no longer current.  Nothing was changed.

    `yours` is the content of the refused write, `base` the content that you had read, None if it is
    not kept; `theirs` is current now.  All three are whole contents.
    """

    remedy = "read again and redo the change, or look at merge(); overwrite=True discards theirs"

    def __init__(
        self,
        message: str,
        *,
        yours: Content | None,
        base: Content | None,
        base_version: Version,
        theirs: Content | None,
        current: Ref,
        author: str = "",
        at: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.yours = yours
        self.base = base
        self.base_version = base_version
        self.theirs = theirs
        #: The version that is current now.
        self.current = current
        #: Its author.
        self.author = author
        #: When it was written, on the store's clock.
        self.at = at

    @property
    def overlaps(self) -> bool | None:
        """Whether both changed the same or adjacent lines; None if that cannot be known."""
        texts = self._texts()
        if texts is None:
            return None
        base, yours, theirs = (split(text) for text in texts)
        return overlap(list(edits(base, yours)), list(edits(base, theirs)))

    @property
    def summary(self) -> str:
        """The base of your write, the changes since, your changes, and whether they overlap."""
        base = f"{self.current.name}@{self.base_version}"
        lines = [
            f"You wrote from {base if self.base_version else 'nothing'}; current is "
            f"{self.current}, by {self.author or 'an unknown author'}."
        ]
        texts = self._texts()
        if texts is None:
            return lines[0]
        before, yours, theirs = texts
        lines.append(f"What changed since {base}:")
        lines.append(_cut(diff(before, theirs).render(before)))
        lines.append("What you changed:")
        lines.append(_cut(diff(before, yours).render(before)))
        lines.append(
            "The two overlap: only you can say what is meant."
            if self.overlaps
            else "They touch different lines: merge() has both."
        )
        return "\n".join(lines)

    def merge(self) -> str | None:
        """A text with both changes, or None if they overlap or one is not text.

        It is never written automatically: check it, then write it with ``expect=error.current``.
        """
        texts = self._texts()
        return merge(*texts) if texts is not None else None

    def _texts(self) -> tuple[str, str, str] | None:
        base = "" if self.base_version == 0 else self.base
        if isinstance(base, str) and isinstance(self.yours, str) and isinstance(self.theirs, str):
            return base, self.yours, self.theirs
        return None


class Fenced(Conflict):
    """The grant of an exclusive draft ended before the draft was published.  Nothing was changed.

    `yours` is the draft: nothing is lost.
    """

    remedy = "your text is in error.yours: read again and redo the change, or look at merge()"


def _cut(text: str) -> str:
    lines = text.splitlines()
    if len(lines) <= SHOWN_LINES_MAX:
        return text.rstrip("\n")
    return "\n".join([*lines[:SHOWN_LINES_MAX], f"... {len(lines) - SHOWN_LINES_MAX} lines more"])
