"""A draft: an artifact's next version while its writer holds the grant."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from coherence.contents import Content
from coherence.errors import InvalidContent
from coherence.refs import Ref
from coherence.workspace.effects import Grant, Operation
from coherence.workspace.view import View
from coherence.workspace.writing import Writing
from message_passing.errors import ToolkitError


class Draft:
    """An artifact's next version while it is being written.  Other agents do not see it."""

    def __init__(self, grant: Grant, awaited: Callable[[str], bool]) -> None:
        self.name = grant.artifact
        base = grant.held if isinstance(grant.held, View) else None
        #: The version it starts from, None for a new artifact.
        self.base = base.ref if base is not None else None
        self.content: Content = base.content if base is not None else ""
        #: The version that it became, once it is published.
        self.ref: Ref | None = None
        self._grant = grant
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

    def finish(self, operations: Writing, error: BaseException | None) -> Operation[None]:
        """Publish the draft, or give its grant back if there is nothing to publish."""
        if error is not None:
            with suppress(ToolkitError):  # the caller must see the error of the block
                yield from operations.abandon(self._grant)
            return
        if not self.changed:
            yield from operations.abandon(self._grant)
            return
        try:
            handle = operations.handle(self.content)
        except ToolkitError:
            yield from operations.abandon(self._grant)
            raise
        self.ref = yield from operations.publish(self._grant, self.content, handle)
