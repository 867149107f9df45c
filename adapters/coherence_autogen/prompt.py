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

Passage: TypeAlias = tuple[int, int, str]
"""The index of a message, that of a part in it, and a text in that."""

_TAG = re.compile(
    r'<artifact ref="(?P<ref>[^"]+)"(?: since="(?P<since>[^"]+)")?'
    r'(?: chars="(?P<chars>\d+)")? seal="(?P<seal>\w+)"/?>\n?'
)
_END = "\n</artifact>"


def shown(view: View) -> str:
    """What a model is given of a version: all of it, or what it lacks."""
    text, since = view.for_prompt(), str(view.have or "")
    said = f'ref="{view.ref}"' + f' since="{since}"' * bool(since)
    seal = _seal(view.ref.workspace, str(view.ref), since, text)
    return f'<artifact {said} chars="{len(text)}" seal="{seal}">\n{text}{_END}'


def written(ref: Ref, text: str) -> str:
    """What a model is given of a version that it wrote itself: its call holds the text."""
    return f'<artifact ref="{ref}" seal="{_seal(ref.workspace, str(ref), "", text)}"/>'


def survey(
    messages: Sequence[LLMMessage], workspace: str, *, drop: bool = True
) -> tuple[dict[str, Ref], dict[Passage, str]]:
    """The newest version of each artifact that `messages` hold whole, and notes on passages.

    The notes are to stand for what is of no use, since what it builds on is not there; and with
    `drop` for what is superseded.
    """
    chains: dict[str, tuple[Passage, ...]] = {}
    whole: dict[Passage, Ref] = {}
    torn: dict[Passage, Ref] = {}
    calls: dict[str, tuple[Passage, str]] = {}
    for i, message in enumerate(messages):
        parts: Any = [message] if isinstance(message.content, str) else message.content
        for j, part in enumerate(parts):
            if isinstance(part, FunctionCall):
                calls[part.id] = (i, j, ""), _written(part.arguments)
                continue
            said, at = str(getattr(part, "content", "")), 0
            while tag := _TAG.search(said, at):
                at, ref, since = tag.end(), Ref.parse(tag["ref"]), tag["since"] or ""
                body = said[at : at + int(tag["chars"] or 0)]
                end = at + len(body)
                here = place = (i, j, tag.group() + body + _END * said.startswith(_END, end))
                if tag["chars"] is None:
                    place, body = calls.get(getattr(part, "call_id", ""), (here, ""))
                base = chains.get(since) if since else ()
                if base is None or _seal(workspace, str(ref), since, body) != tag["seal"]:
                    torn[here] = ref
                    continue
                at = end  # what it quotes is its own affair
                whole[place], chains[str(ref)] = ref, (*base, place)
    refs = sorted(map(Ref.parse, chains), key=lambda ref: ref.version)
    held = {ref.name: Ref(ref.name, ref.version, workspace) for ref in refs}
    used = {place for ref in held.values() for place in chains[str(ref)]}
    notes = {p: f"[{ref} is superseded]" for p, ref in whole.items() if drop and p not in used}
    for place, ref in torn.items():
        if ref.name not in held or held[ref.name].version < ref.version:
            notes[place] = f"[{ref} is not in this conversation: read it again]"
    return held, notes


def rewritten(messages: Sequence[LLMMessage], notes: Mapping[Passage, str]) -> list[LLMMessage]:
    """A copy of `messages` that has `notes` where they belong; the originals stay as they are."""
    made: list[Any] = list(messages)
    for (i, j, old), new in notes.items():
        made[i] = message = made[i].model_copy(deep=True)
        part = message if isinstance(message.content, str) else message.content[j]
        if isinstance(part, FunctionCall):
            part.arguments = to_json({**from_json(part.arguments), "text": new}).decode()
        else:
            part.content = part.content.replace(old, new)
    return made


def _written(arguments: str) -> str:
    try:
        return str(from_json(arguments)["text"])
    except (ValueError, TypeError, KeyError):
        return ""


def _seal(*said: str) -> str:
    return blake2b("\0".join(said).encode("utf-8", "replace"), digest_size=4).hexdigest()
