"""A framework's conversation as a `Prompt`: from sealed passages, or from claims beside texts."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from coherence.context.evidence import Evidence, Said, mentioned, survey, texts_in
from coherence.context.informing import Prompt
from coherence.context.notices import WRITES, Heard, heard, is_notice
from coherence.context.telling import Saying
from coherence.refs import Ref


class Claimed(NamedTuple):
    """A message, for a framework whose messages carry data beside the text."""

    text: str
    #: The data, if it is the answer of a tool: see `coherence.context.calls.claim`.
    claim: object = None
    #: What the call of that tool gave to it.
    given: tuple[str, ...] = ()
    tool: str = ""


def claimed(messages: Sequence[Any]) -> Iterator[Claimed]:
    """The messages of LangChain, whose answers of tools carry claims as their ``artifact``."""
    given = {call["id"]: call["args"] for m in messages for call in getattr(m, "tool_calls", ())}
    for m in messages:
        arguments = given.get(getattr(m, "tool_call_id", None), {})
        claim = getattr(m, "artifact", None)
        yield Claimed(m.text, claim, tuple(texts_in(arguments)), m.name or "")


def of_passages(
    key: Hashable, parts: Sequence[Said[Any]], workspace: str, *, mentions: bool = False
) -> Prompt:
    """A prompt whose texts have seals.  With `mentions` a torn passage counts as shown."""
    held = survey(parts, workspace)[0]
    said = [part for part in parts if not part.given]
    return Prompt(
        key=key,
        shown=mentioned(part.text for part in said) if mentions else held,
        held=held,
        heard=[each for part in said for each in heard(part.text, part.tool)],
        texts=[part.text for part in parts],
    )


def of_claims(
    key: Hashable, messages: Iterable[Claimed], workspace: str, *, first: str = ""
) -> Prompt:
    """A prompt whose seals stand beside its texts; `first` is what stands before the messages."""
    evidence, about, texts = Evidence[int](workspace), list[Heard](), [first]
    for place, (text, claim, given, tool) in enumerate(messages):
        evidence.weigh_claim(claim, place, (text, *given))
        texts.append("\n".join((text, *given)))
        claims = claim if isinstance(claim, list) else [claim]
        ours = [c for c in claims if isinstance(c, dict) and c.keys() >= {"ref", "have", "seal"}]
        for each in ours:
            is_new = each["have"] != each["ref"] and tool not in WRITES
            about.append(Heard(Ref.parse(each["ref"]), Saying.NOTHING, text if is_new else ""))
        if not ours and is_notice(text):
            evidence.weigh_passages(place, text)
            about += heard(text)
    held = evidence.held
    return Prompt(key, held, held, about, texts)
