"""Several artifacts that a model publishes as one, for `calls` and for `proven`.

What is published stands only if every base, and every version that it rests on, is current.  If
some are not, the refusal names all of them and shows what has changed, so that one more call can
have all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from pydantic import BaseModel, Field

from coherence.conflict import Conflicts
from coherence.context.events import Unwritten
from coherence.context.evidence import shown
from coherence.errors import BadArgument, BadRef, InvalidContent
from coherence.refs import Ref, check_name
from coherence.view import View
from coherence.workspace.agent import Agent
from coherence.workspace.aio import AsyncAgent
from coherence.workspace.transaction import AsyncAgentTransaction, BaseTransaction
from message_passing.errors import CallerError

#: How often a publication that is overtaken at its end looks again at what has moved.
LOOKS: Final = 4


class Piece(BaseModel):
    """One of several artifacts."""

    name: str = Field(description="The artifact's name, such as plan.md")
    text: str = Field(description="The whole new text")


class BasedPiece(Piece):
    """One of several artifacts, with the version from which the model says that it derives."""

    base: str | None = Field(None, description="Ref that yours derives from; none if it is new")


class Outdated(CallerError):
    """Some of what a publication rests on is no longer current.  Nothing was published.

    The message shows a model all that has moved.
    """

    remedy = "redo all of it on what is current, and publish it as one"

    def __init__(
        self,
        views: Mapping[str, View | None],
        rests: Mapping[str, Ref],
        moved: Sequence[Unwritten],
    ) -> None:
        #: What is current now, None for a deletion; by the name of each artifact that has moved.
        self.views = views
        self.moved = moved
        self._rests = rests
        super().__init__(self.text())

    def text(self, show: Callable[[View], str] = shown) -> str:
        """The message, which shows each current version as `show` does."""
        lines = ["Nothing was published, since others were faster:"]
        for name, view in self.views.items():
            had = self._rests[name]
            now = f"current is {view.ref}" if view is not None else "it was deleted"
            lines.append(f"{name}: you have {had if had.version else 'none'}, {now}.")
            if view is not None:
                try:
                    lines.append(show(view))
                except InvalidContent:
                    lines.append("[It holds bytes.]")
        return "\n".join(lines)


class Publication:
    """Texts to publish as one, and the versions that they rest on: their bases, and `reads`.

    The number of a base is 0 if its artifact is new.  Raises `BadArgument`, `InvalidName`.
    """

    def __init__(
        self, pieces: Iterable[Piece], bases: Mapping[str, Ref], reads: Iterable[Ref]
    ) -> None:
        self.texts: dict[str, str] = {}
        for piece in pieces:
            if check_name(piece.name) in self.texts:
                raise BadArgument(f"{piece.name!r} is there twice", remedy="give each name once")
            self.texts[piece.name] = piece.text
        if not self.texts:
            raise BadArgument("there is no artifact to publish", remedy="give one or more")
        self.rests = {ref.name: ref for ref in reads}
        self.rests |= {name: bases.get(name, Ref(name, 0)) for name in self.texts}

    def moved(self, tx: BaseTransaction) -> dict[str, Ref | None]:
        """What `tx` has read in another version, and the version in its place, None if none."""
        return {
            name: ref if ref.version else None
            for name, ref in self.rests.items()
            if not _is_same(ref, tx.reads[name])
        }

    def note(self, tx: BaseTransaction, views: Mapping[str, View | None]) -> None:
        """Note what `tx` is to write.  Raises `Outdated` if any of `views` has moved."""
        moved = {n: view for n, view in views.items() if view is not None or self.rests[n].version}
        if moved:
            unwritten = [Unwritten(tx.reads[name], self.texts.get(name)) for name in moved]
            raise Outdated(moved, self.rests, unwritten)
        for name, text in self.texts.items():
            tx.write(name, text)


def based(pieces: Iterable[BasedPiece]) -> dict[str, Ref]:
    """The bases that a model names.  Raises `BadRef`."""
    bases = {}
    for piece in pieces:
        if piece.base:
            bases[piece.name] = ref = Ref.parse(piece.base)
            if ref.name != piece.name:
                raise BadRef(f"{ref} is not a version of {piece.name!r}")
    return bases


def publish(agent: Agent, work: Publication) -> Mapping[str, Ref]:
    """The versions that `work` has become.  Raises `Outdated`, and as a transaction does."""
    for left in reversed(range(LOOKS)):
        try:
            with agent.transaction(work.rests) as tx:
                moved = work.moved(tx)
                work.note(tx, {n: tx.read(n, have, missing=None) for n, have in moved.items()})
            break
        except Conflicts:
            if not left:
                raise
    return tx.refs or {}


async def publish_task(agent: AsyncAgent, work: Publication) -> Mapping[str, Ref]:
    """See `publish`, for tasks."""
    tx: AsyncAgentTransaction
    for left in reversed(range(LOOKS)):
        try:
            async with agent.transaction(work.rests) as tx:
                moved = work.moved(tx)
                work.note(
                    tx, {n: await tx.read(n, have, missing=None) for n, have in moved.items()}
                )
            break
        except Conflicts:
            if not left:
                raise
    return tx.refs or {}


def _is_same(ref: Ref, there: Ref) -> bool:
    digests = {ref.digest, there.digest} - {b""}
    return ref.version == there.version and (len(digests) < 2 or not ref.version)
