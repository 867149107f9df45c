"""A draft: an artifact's next version while its writer holds the grant."""

from __future__ import annotations

from collections.abc import Callable

from coherence.contents import Content
from coherence.errors import InvalidContent
from coherence.refs import Ref
from coherence.view import View


class Draft:
    """An artifact's next version while it is being written.  Other agents do not see it."""

    def __init__(self, name: str, base: View | None, awaited: Callable[[str], bool]) -> None:
        self.name = name
        #: The version it starts from, None for a new artifact.
        self.base = base.ref if base is not None else None
        self.content: Content = base.content if base is not None else ""
        #: The version that it became, once it is published.
        self.ref: Ref | None = None
        self._start = self.content
        self._discarded = False
        self._awaited = awaited

    @property
    def awaited(self) -> bool:
        """Whether another agent waits for its turn: a request to finish, not an obligation."""
        return self._awaited(self.name)

    @property
    def text(self) -> str:
        """The text so far; assign to change it.  Raises `InvalidContent` for bytes."""
        if isinstance(self.content, str):
            return self.content
        raise InvalidContent(f"{self.name!r} holds bytes", remedy="use draft.content")

    @text.setter
    def text(self, text: str) -> None:
        self.content = text

    def discard(self) -> None:
        """Publish nothing at the end of the block."""
        self._discarded = True

    @property
    def changed(self) -> bool:
        """Whether the content differs from the start."""
        same = type(self.content) is type(self._start) and self.content == self._start
        return not (self._discarded or (same and self.base is not None))
