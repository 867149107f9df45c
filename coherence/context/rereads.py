"""What the file tools of a framework show a model, for a middleware that stands around them.

Tools of files name no versions.  So what a run's agent has seen is read in its prompt: the answers
of its tools carry claims (`coherence.context.evidence`), and the versions that a prompt proves are
what the calls of its answer may derive from.  A file that is read again is answered by what has
changed since, and nothing is unchanged that the prompt has lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from coherence.context.evidence import seal
from coherence.context.files import Files
from coherence.context.sight import Lines
from coherence.refs import Ref
from coherence.view import Served, View
from coherence.workspace.agent import account_of

_NOTES: ContextVar[list[Noted] | None] = ContextVar("coherence-rereads", default=None)


class Noted(NamedTuple):
    """What the call of a tool has read or made."""

    ref: Ref
    #: The text that was read, which a framework may cut before it shows the text; or that the call
    #: gave.
    text: str
    #: The version that was read; None if one was made.
    view: View | None = None
    #: The window that was read; None for the whole.
    lines: Lines | None = None
    #: Whether the call gave a passage of the version that it has made.
    replaced: bool = False


@contextmanager
def noting(wanted: bool = True) -> Iterator[list[Noted]]:
    """Collects the notes of the calls in the block, unless they are not `wanted`."""
    notes: list[Noted] = []
    token = _NOTES.set(notes if wanted else None)
    try:
        yield notes
    finally:
        _NOTES.reset(token)


def note(noted: Noted) -> bool:
    """Leave a note, if the running code is in a block that collects them."""
    if (notes := _NOTES.get()) is not None:
        notes.append(noted)
    return notes is not None


class Rereads:
    """One run of an agent: its files, and what the prompts of its calls have proved."""

    def __init__(self, files: Files) -> None:
        self.files = files
        #: The last answer's tool calls -> artifact -> the version that its prompt held.
        self._proven: dict[str, Mapping[str, Ref]] = {}

    def came(self, calls: Iterable[str], held: Mapping[str, Ref]) -> None:
        """The model has made these calls of tools, from a prompt that holds these versions."""
        self._proven = dict.fromkeys(calls, held)

    def answer(
        self, call: str, noted: Noted, path: str, text: str
    ) -> tuple[str, dict[str, str] | None]:
        """What the model is shown for `text`, the answer of a call, with its claim."""
        ref, view = noted.ref, noted.view
        if view is None:
            before = Ref(ref.name, ref.version - 1) if noted.replaced else None
            return text, claim_of(ref, before, noted.text)
        if (held := self._proven.get(call, {}).get(ref.name)) is not None:
            with self.files.desk.agent() as agent:
                now = agent.read(ref.name, held)
                said = _since(now, path)
                if now.have is not None and len(said) < len(text):
                    self.files.shown(now, None, said)
                    return said, claim_of(now.ref, now.have, said)
                account_of(agent).unseen(now)
        if len(text) < len(noted.text):
            return text, None
        self.files.shown(view, noted.lines, text)
        return text, claim_of(ref, None, text, noted.lines)


def _since(view: View, path: str) -> str:
    if view.served is Served.UNCHANGED:
        return f"[{path} is unchanged: its current text is above]"
    return f"[what has changed in {path} since the text of it above]\n{view.changes}"


def claim_of(ref: Ref, have: Ref | None, text: str, lines: Lines | None = None) -> dict[str, str]:
    """Claims `ref` for a context with `text`, and with the version `have` if given.

    With `lines` the text shows this window of it.  See `Evidence.weigh_claim`.
    """
    said = {"ref": str(ref), "have": str(have or ""), "seal": seal(ref, have, text)}
    said["digest"] = ref.digest.hex()
    return said if lines is None else said | {"lines": " ".join(map(str, lines))}
