"""The calls of a model that names the version that it has: read, write, edit, publish, list.

Signatures and docstrings are the prompt: a framework makes its tools from them.  The adapter must
check the model's claim to have a version before the call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, NamedTuple

from pydantic import Field

from coherence.conflict import Conflict
from coherence.context.answers import beside, replacing, window
from coherence.context.desk import Desk
from coherence.context.events import Event, Tell, was_published, was_read, was_refused, was_shown
from coherence.context.evidence import header, seal, shown, written
from coherence.context.many import BasedPiece, Outdated, Publication, based, publish
from coherence.context.reader import harmless
from coherence.refs import Ref
from coherence.view import Served, View
from coherence.workspace.agent import Agent, account_of

Name = Annotated[str, Field(description="The artifact's name, such as plan.md")]
Have = Annotated[str | None, Field(description="Ref of the text that you have, such as plan.md@3")]
Offset = Annotated[int, Field(description="How many lines to skip, of a long text")]
Limit = Annotated[int | None, Field(description="How many lines at most; none for all")]
Base = Annotated[str | None, Field(description="Ref that yours derives from; none if it is new")]
Text = Annotated[str, Field(description="The whole new text")]
Old = Annotated[str, Field(description="A passage that occurs exactly once")]
New = Annotated[str, Field(description="What replaces it")]
Pieces = Annotated[list[BasedPiece], Field(description="The artifacts, each with its whole text")]
Reads = Annotated[
    list[str] | None, Field(description="Refs of what they rest on beside, such as plan.md@3")
]
Prefix = Annotated[str, Field(description="How names begin")]


class Told(NamedTuple):
    """An answer in two forms, for conversations with and without data beside the text."""

    #: The text with its seal.
    sealed: str
    #: The text without the seal, for messages that carry `claim` beside the text.
    plain: str
    #: Claims ``ref`` for a context with the sealed text, and with the version ``have`` if given;
    #: for several texts a list of claims.
    claim: dict[str, str] | list[dict[str, str]]


def claim(ref: Ref, have: Ref | None, text: str) -> dict[str, str]:
    """Claims `ref` for a context that holds `text`, and the version `have` if given."""
    return {"ref": str(ref), "have": str(have or ""), "seal": seal(ref, have, text)}


class Calls:
    """The calls of a model.  `desk` is called at each call, and returns the agent's desk.

    `published` is called with each published text.  The adapter shows the sealed text of answers,
    or else the plain one.  `tell` returns where the events of a call go.  Every call raises as
    `Agent` does.
    """

    def __init__(
        self,
        desk: Callable[[], Desk],
        published: Callable[[Ref, str], object] = lambda ref, text: None,
        sealed: bool = True,
        tell: Callable[[], Tell | None] = lambda: None,
    ) -> None:
        self.desk = desk
        self._published, self._sealed, self._tell = published, sealed, tell

    def __iter__(self) -> Iterator[Callable[..., Told]]:
        yield from (self.read_artifact, self.write_artifact, self.edit_artifact)
        yield from (self.publish_many, self.list_artifacts)

    def read_artifact(
        self, name: Name, have: Have = None, offset: Offset = 0, limit: Limit = None
    ) -> Told:
        """Read a shared artifact: its current text, or what has changed since the text you have."""
        with self.desk().agent() as agent:
            if not offset and limit is None:
                return self._shown(agent, agent.read(name, have or None))
            view = agent.read(name)
            part, lines = window(view, offset, limit)
            if lines.are_whole:
                return self._shown(agent, view)
            account_of(agent).unseen(view)
            account_of(agent).told(name, part)
            self._event(was_shown, view, part, agent.name)
            return Told(part, part, {})

    def write_artifact(self, name: Name, text: Text, base: Base = None) -> Told:
        """Write a shared artifact.  It is refused where others have changed it since your base."""
        with self.desk().agent() as agent:
            try:
                ref = agent.write(name, text, expect=base or 0, merge=harmless)
            except Conflict as conflict:
                self._event(was_refused, conflict, agent.name)
                raise
            self._published(ref, text)
            self._event(was_published, ref, text, agent.name)
            told = Told(written(ref, text), f"[{ref} is written]", claim(ref, None, text))
            account_of(agent).told(name, self._text(told))
        return told

    def edit_artifact(self, name: Name, old: Old, new: New, have: Have = None) -> Told:
        """Replace one passage of a shared artifact, whatever others change elsewhere in it."""
        with self.desk().agent() as agent:
            # Refuses a call that could not be answered afterwards; no model sees the answer.
            account_of(agent).unseen(agent.read(name, have or None))
            made = agent.update(name, replacing(name, old, new))
            self._published(made.ref, made.text)
            self._event(was_published, made.ref, made.text, agent.name)
            view = agent.read(name, have or None)
            if have:
                return self._shown(agent, view)
            # A context with the version before, and the call, can reconstruct this one.
            base = Ref(name, made.version - 1, made.ref.workspace)
            claims = claim(made.ref, base, new)
            if self._sealed:
                return self._shown(agent, view)._replace(claim=claims)
            account_of(agent).unseen(view)
            account_of(agent).told(name, said := f"[{made.ref} is written]")
        return Told(_told(view).sealed, said, claims)

    def publish_many(self, artifacts: Pieces, reads: Reads = None) -> Told:
        """Write several artifacts as one: all or none. Refused if others changed a base or read."""
        rests = [Ref.parse(ref) for ref in reads or ()]
        work = Publication(artifacts, based(artifacts), rests)
        with self.desk().agent() as agent:
            try:
                refs = publish(agent, work)
            except Outdated as error:
                for unwritten in error.moved:
                    self._event(was_refused, unwritten, agent.name)
                for view in filter(None, error.views.values()):
                    account_of(agent).unseen(view)
                    self._event(was_read, view, agent.name)
                raise
            for name, ref in refs.items():
                self._published(ref, work.texts[name])
                self._event(was_published, ref, work.texts[name], agent.name)
            made = [(ref, work.texts[name]) for name, ref in refs.items()]
            told = Told(
                "\n".join(written(ref, text) for ref, text in made),
                f"[{', '.join(str(ref) for ref, _ in made)} are written]",
                [claim(ref, None, text) for ref, text in made],
            )
            account_of(agent).told(made[0][0].name, self._text(told))
        return told

    def list_artifacts(self, prefix: Prefix = "") -> Told:
        """List the shared artifacts whose names begin with `prefix`."""
        with self.desk().agent() as agent:
            names = "\n".join(agent.list(prefix)) or "There is no artifact."
        return Told(names, names, {})

    def _shown(self, agent: Agent, view: View) -> Told:
        told = _told(view)
        account_of(agent).told(view.ref.name, beside(view, self._text(told)))
        self._event(was_read, view, agent.name)
        return told

    def _text(self, told: Told) -> str:
        return told.sealed if self._sealed else told.plain

    def _event(self, event: Callable[..., Event], *what: object) -> None:
        if (tell := self._tell()) is not None:
            tell(event(*what))


def _told(view: View) -> Told:
    text = view.for_prompt()
    plain = text if view.have else f"{header(view.ref)}{text}"
    sealed = text if view.served is Served.UNCHANGED else shown(view)
    return Told(sealed, plain, claim(view.ref, view.have, plain))
