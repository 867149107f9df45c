"""What an agent's messages prove: which version of which artifact they hold, whole.

Nobody's word is taken for it.  Messages are trimmed, buffered, shortened, loaded into another
process; so every text that is shown to a model bears a seal over workspace, version and text, and
counts only as long as all of it is there, what it builds on included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, TypeAlias

from autogen_core import FunctionCall
from autogen_core.models import LLMMessage
from pydantic_core import from_json, to_json

from coherence import Ref, View

Place: TypeAlias = tuple[int, int]
"""A part of a message: the message's index, and the part's."""

Notes: TypeAlias = Mapping[Place, tuple[str, str]]
"""What to say instead of what, and where."""

_SHOWN = re.compile(
    r'<artifact ref="(?P<ref>[^"]+)"(?: since="(?P<since>[^"]+)")? seal="(?P<seal>\w+)"'
    r"(?:/>|>\n(?P<text>.*?)\n</artifact>)",
    re.DOTALL,
)


def shown(view: View) -> str:
    """What a model is given of a version: all of it, or what it lacks."""
    text, since = view.for_prompt(), str(view.have or "")
    said = f'ref="{view.ref}"' + f' since="{since}"' * bool(since)
    seal = _seal(view.ref.workspace, str(view.ref), since, text)
    return f'<artifact {said} seal="{seal}">\n{text}\n</artifact>'


def written(ref: Ref, text: str) -> str:
    """What a model is given of a version that it wrote itself: its call holds the text."""
    return f'<artifact ref="{ref}" seal="{_seal(ref.workspace, str(ref), "", text)}"/>'


def survey(messages: Sequence[LLMMessage], workspace: str) -> tuple[dict[str, Ref], Notes, Notes]:
    """The newest version of each artifact that `messages` hold whole, and notes on all others.

    The first notes stand for texts that are superseded, the second for those that are of no use,
    since what they build on is not there.
    """
    chains: dict[str, tuple[Place, ...]] = {}
    texts: dict[Place, tuple[Ref, str]] = {}
    torn: dict[Place, tuple[Ref, str]] = {}
    calls: dict[str, tuple[Place, str]] = {}
    for i, message in enumerate(messages):
        parts: Any = [message] if isinstance(message.content, str) else message.content
        for j, part in enumerate(parts):
            if isinstance(part, FunctionCall):
                calls[part.id] = (i, j), part.arguments
                continue
            for found in _SHOWN.finditer(str(getattr(part, "content", ""))):
                ref, at, text = Ref.parse(found["ref"]), (i, j), found["text"]
                if text is None:
                    at, said = calls.get(part.call_id, ((i, j), "{}"))
                    text = str(from_json(said).get("text"))
                since = found["since"] or ""
                base = chains.get(since) if since else ()
                if base is None or _seal(workspace, str(ref), since, text) != found["seal"]:
                    torn[i, j] = ref, found.group()
                elif since != str(ref):
                    texts[at] = ref, found.group()
                    chains[str(ref)] = (*base, at)
    refs = sorted(map(Ref.parse, chains), key=lambda ref: ref.version)
    held = {ref.name: Ref(ref.name, ref.version, workspace) for ref in refs}
    used = {place for ref in held.values() for place in chains[str(ref)]}
    return (
        held,
        {p: (old, f"[{ref} is superseded]") for p, (ref, old) in texts.items() if p not in used},
        {
            place: (old, f"[{ref} is not in this conversation any more: read it again]")
            for place, (ref, old) in torn.items()
            if ref.name not in held or held[ref.name].version < ref.version
        },
    )


def rewritten(messages: Sequence[LLMMessage], notes: Notes) -> list[LLMMessage]:
    """A copy of `messages` that has `notes` where they belong; the originals stay as they are."""
    made: list[Any] = list(messages)
    for (i, j), (old, new) in notes.items():
        made[i] = message = made[i].model_copy(deep=True)
        part = message if isinstance(message.content, str) else message.content[j]
        if isinstance(part, FunctionCall):
            part.arguments = to_json({**from_json(part.arguments), "text": new}).decode()
        else:
            part.content = part.content.replace(old, new)
    return made


def _seal(*said: str) -> str:
    return blake2b("\0".join(said).encode("utf-8", "replace"), digest_size=4).hexdigest()
