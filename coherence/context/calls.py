"""The calls of a model that names the version that it has: read, write, edit, list.

Signatures and docstrings are the prompt: a framework makes its tools from them.  The adapter must
check the model's claim to have a version before the call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, NamedTuple

from pydantic import Field

from coherence.context.answers import replacing, shown
from coherence.context.desk import Desk
from coherence.context.evidence import seal, written
from coherence.refs import Ref
from coherence.view import Served, View

Name = Annotated[str, Field(description="The artifact's name, such as plan.md")]
Have = Annotated[str | None, Field(description="Ref of the text that you have, such as plan.md@3")]
Base = Annotated[str | None, Field(description="Ref that yours derives from; none if it is new")]
Text = Annotated[str, Field(description="The whole new text")]
Old = Annotated[str, Field(description="A passage that occurs exactly once")]
New = Annotated[str, Field(description="What replaces it")]
Prefix = Annotated[str, Field(description="How names begin")]


class Told(NamedTuple):
    """An answer in two forms, for conversations with and without data beside the text."""

    #: The text with its seal.
    sealed: str
    #: The text without the seal, for messages that carry `claim` beside the text.
    plain: str
    #: Claims ``ref`` for a context with the sealed text, and with the version ``have`` if given.
    claim: dict[str, str]


def claim(ref: Ref, have: Ref | None, text: str) -> dict[str, str]:
    """Claims `ref` for a context that holds `text`, and the version `have` if given."""
    return {"ref": str(ref), "have": str(have or ""), "seal": seal(ref, have, text)}


class Calls:
    """The calls of a model.  `desk` is called at each call, and returns the agent's desk.

    `published` is called with each published text.  Every call raises as `Agent` does.
    """

    def __init__(
        self,
        desk: Callable[[], Desk],
        published: Callable[[Ref, str], object] = lambda ref, text: None,
    ) -> None:
        self._desk, self._published = desk, published

    def __iter__(self) -> Iterator[Callable[..., Told]]:
        yield from (self.read_artifact, self.write_artifact, self.edit_artifact)
        yield self.list_artifacts

    def read_artifact(self, name: Name, have: Have = None) -> Told:
        """Read a shared artifact: its current text, or what has changed since the text you have."""
        with self._desk().agent() as agent:
            return _told(agent.read(name, have or None))

    def write_artifact(self, name: Name, text: Text, base: Base = None) -> Told:
        """Write a shared artifact.  It is refused where others have changed it since your base."""
        with self._desk().agent() as agent:
            ref = agent.write(name, text, expect=base or 0)
            self._published(ref, text)
        return Told(written(ref, text), f"[{ref} is written]", claim(ref, None, text))

    def edit_artifact(self, name: Name, old: Old, new: New, have: Have = None) -> Told:
        """Replace one passage of a shared artifact, whatever others change elsewhere in it."""
        with self._desk().agent() as agent:
            agent.read(name, have or None)  # refuses a call that could not be answered afterwards
            made = agent.update(name, replacing(name, old, new))
            self._published(made.ref, made.text)
            told = _told(agent.read(name, have or None))
        if have:
            return told
        # A context with the version before, and the call, can reconstruct this one.
        base = Ref(name, made.version - 1, made.ref.workspace)
        return Told(told.sealed, f"[{made.ref} is written]", claim(made.ref, base, new))

    def list_artifacts(self, prefix: Prefix = "") -> Told:
        """List the shared artifacts whose names begin with `prefix`."""
        with self._desk().agent() as agent:
            names = "\n".join(agent.list(prefix)) or "There is no artifact."
        return Told(names, names, {})


def _told(view: View) -> Told:
    text = view.for_prompt()
    plain = text if view.have else f"[{view.ref}]\n{text}"
    sealed = text if view.served is Served.UNCHANGED else shown(view)
    return Told(sealed, plain, claim(view.ref, view.have, plain))
