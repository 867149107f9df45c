"""Finds the versions of artifacts that a conversation provably holds whole.

No claim is trusted, since messages are trimmed, summarised, masked, or loaded into another process.
So every text that is shown to a model has a seal over workspace, version and text, and counts only
while the whole text is present, and the version that it builds on.

A passage is written ``<artifact ref="plan.md@3" since="plan.md@2" chars="17" seal="...">``, then
the text and ``</artifact>``.  If the model wrote the text itself, the passage has no text: the call
has it.  A tag quoted inside a text is not parsed, since `chars` gives the text's length.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from coherence.contents import Kind, digest
from coherence.errors import BadRef
from coherence.refs import Ref
from coherence.view import Served, View

P = TypeVar("P", bound=Hashable)

#: Seals are short, for prompts, and detect accidents: they miss one in four thousand million.
SEAL_BYTES = 4

_TAG = re.compile(
    r'<artifact ref="(?P<ref>[^"]+)"(?: since="(?P<since>[^"]+)")?'
    r'(?: chars="(?P<chars>\d+)")? seal="(?P<seal>\w+)"/?>\n?'
)
_MENTION = re.compile(r'<artifact ref="(?P<ref>[^"]+)"')
_END = "\n</artifact>"


def seal(ref: Ref, since: Ref | str | None, text: str) -> str:
    """The seal on `text` as shown for `ref`, to a model that had `since` if that is given."""
    said = "\0".join((ref.workspace, str(ref), str(since or ""), text))
    return blake2b(said.encode("utf-8", "replace"), digest_size=SEAL_BYTES).hexdigest()


def passage(ref: Ref, text: str, since: Ref | None = None) -> str:
    """A passage that shows a version: `text` is the whole text, or its difference from `since`."""
    said = f'ref="{ref}"' + f' since="{since}"' * (since is not None)
    return f'<artifact {said} chars="{len(text)}" seal="{seal(ref, since, text)}">\n{text}{_END}'


def header(ref: Ref) -> str:
    """The line before a whole text whose seal stands beside it."""
    return f"[{ref}]\n"


def shown(view: View) -> str:
    """A version for a model, under a seal: the whole text, or the difference that it lacks.

    Raises `InvalidContent` if the artifact holds bytes.
    """
    text = view.changes if view.served is Served.DELTA else view.for_prompt()
    return passage(view.ref, text, view.have)


def written(ref: Ref, text: str) -> str:
    """A passage that tells a model that the text of its call has become `ref`."""
    return f'<artifact ref="{ref}" seal="{seal(ref, None, text)}"/>'


def given(arguments: str) -> list[str]:
    """The texts that a model gave to a tool, from the JSON of its call."""
    try:
        return [str(part["text"]) for part in _parts(msgspec.json.decode(arguments))]
    except (ValueError, TypeError, LookupError, AttributeError):
        return []


def given_anew(arguments: str, text: str, number: int = 0) -> str:
    """The JSON of a call with the text of that number, of those `given`, replaced by `text`."""
    decoded = msgspec.json.decode(arguments)
    _parts(decoded)[number]["text"] = text
    return msgspec.json.encode(decoded).decode()


def _parts(call: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of a call that have a text each: those of `publish_many`, or the call itself."""
    parts: list[dict[str, Any]] = call.get("artifacts", [call])
    return parts


def texts_in(arguments: Mapping[str, Any]) -> Iterator[str]:
    """The values of a call's arguments as texts, those of each artifact of `publish_many` too."""
    for value in arguments.values():
        if isinstance(value, list):
            yield from (
                str(each) for part in value if isinstance(part, dict) for each in part.values()
            )
        else:
            yield str(value)


class Evidence(Generic[P]):
    """Checks claims about a conversation, in its order; `P` is a place in the conversation.

    A version is held if it was shown whole, or as a difference from a held version.  A claim that
    fails does not affect others.  A ref to a version that was shown whole carries the digest of its
    text, so it means that content even if its number now names another.
    """

    def __init__(self, workspace: str) -> None:
        self._workspace = workspace
        self._chains: dict[str, tuple[P, ...]] = {}
        #: The digest of each version that is held as one text.
        self._digests: dict[str, bytes] = {}
        #: The windows of each version: their first and last lines, and their places.
        self._windows: dict[str, list[tuple[int, int, P]]] = {}

    def weigh_claim(self, claim: object, place: P, texts: Collection[object]) -> None:
        """Check a claim beside the texts of one place: see `coherence.context.calls.claim`.

        A claim may have a ``digest`` of the artifact's content, where a tool shows it with more
        around it; and the ``lines`` of a window: the first, the last, and how many there are.  A
        list has several claims.  Any other value is ignored.
        """
        if isinstance(claim, list):
            for each in claim:
                self.weigh_claim(each, place, texts)
        if isinstance(claim, dict) and claim.keys() >= {"ref", "have", "seal"}:
            said = [(place, str(text)) for text in texts]
            ref = Ref.parse(claim["ref"])
            if "lines" in claim:
                self._weigh_window(ref, claim, said)
                return
            found = self.weigh(ref, claim["have"], claim["seal"], said)
            if found is not None and "digest" in claim:
                self._digests[str(ref)] = bytes.fromhex(claim["digest"])
            elif found is not None and not claim["have"]:
                self._digests[str(ref)] = _digest(found[1].removeprefix(header(ref)))

    def _weigh_window(self, ref: Ref, claim: Mapping[str, str], texts: list[tuple[P, str]]) -> None:
        """Check the claim of a window; windows that leave no line out are the whole."""
        found = self._proof(ref, "", claim["seal"], texts)
        if found is None:
            return
        first, last, total = map(int, claim["lines"].split())
        windows = self._windows.setdefault(str(ref), [])
        windows.append((first, last, found[0]))
        end = 0
        for first, last, _ in sorted(windows, key=lambda window: window[:2]):
            if first <= end + 1:
                end = max(end, last)
        if end >= total:
            self._chains[str(ref)] = tuple(place for _, _, place in windows)
            self._digests[str(ref)] = bytes.fromhex(claim["digest"])

    def weigh_passages(self, place: P, text: str) -> None:
        """Check the passages in the text of one place."""
        end = 0
        for tag in tags(text):
            # Tags quoted inside the text of a passage that holds are skipped.
            if tag.body is not None and tag.start >= end:
                found = self.weigh(tag.ref, tag.since, tag.seal, [(place, tag.body)])
                end = tag.start + len(tag.passage) if found else end

    def weigh(
        self, ref: Ref, since: str, sealed: str, texts: Iterable[tuple[P, str]]
    ) -> tuple[P, str] | None:
        """The one of `texts` that proves `ref`, on top of `since`; or None."""
        base = self._chains.get(since) if since else ()
        if base is None or (found := self._proof(ref, since, sealed, texts)) is None:
            return None
        self._chains[str(ref)] = (*base, found[0])
        self._digests[str(ref)] = b"" if since else _digest(found[1])
        return found

    def _proof(
        self, ref: Ref, since: str, sealed: str, texts: Iterable[tuple[P, str]]
    ) -> tuple[P, str] | None:
        """The one of `texts` that has the seal."""
        ours = Ref(ref.name, ref.version, self._workspace)
        return next((said for said in texts if seal(ours, since, said[1]) == sealed), None)

    @property
    def held(self) -> dict[str, Ref]:
        """Artifact -> the newest version that is held."""
        refs = sorted(map(Ref.parse, self._chains), key=lambda ref: ref.version)
        return {
            ref.name: Ref(ref.name, ref.version, self._workspace, self._digests[str(ref)])
            for ref in refs
        }

    @property
    def needed(self) -> set[P]:
        """The places from which the held versions are reconstructed."""
        return {place for ref in self.held.values() for place in self._chains[str(ref)]}


class Tag(NamedTuple):
    """The tag of a passage, and what follows it in its text."""

    ref: Ref
    #: The version that the passage builds on; empty if it is whole.
    since: str
    seal: str
    #: The text of the passage; None if the model wrote the text itself.
    body: str | None
    #: The whole passage, as far as it is there.
    passage: str
    #: Where the passage begins.
    start: int


def tags(text: str) -> Iterator[Tag]:
    """Every tag in `text`, also one that is quoted inside the text of another."""
    for found in _TAG.finditer(text):
        if (ref := _ref(found["ref"])) is not None:
            at, chars = found.end(), found["chars"]
            body = text[at : at + int(chars or 0)]
            end = at + len(body)
            passage = found.group() + body + _END * text.startswith(_END, end)
            said = None if chars is None else body
            yield Tag(ref, found["since"] or "", found["seal"], said, passage, found.start())


class Said(NamedTuple, Generic[P]):
    """A text of a conversation and its place; `given` if a model gave it to a tool."""

    place: P
    text: str
    given: bool = False
    #: The tool whose answer the text is, if it is one.
    tool: str = ""


Passage = tuple[P, str]
"""A place and a passage in its text; an empty passage stands for the whole text."""


def survey(
    conversation: Iterable[Said[P]], workspace: str, *, drop: bool = True
) -> tuple[dict[str, Ref], Mapping[Passage[P], str]]:
    """The newest version of each artifact that a conversation holds whole, and notes on passages.

    A note replaces a passage that is useless because its base is missing; with `drop`, also one
    that is superseded.  Replacing passages by their notes does not change the held versions.
    """
    evidence = Evidence[tuple[P, str]](workspace)
    whole: dict[Passage[P], Ref] = {}
    torn: dict[Passage[P], Ref] = {}
    own: list[tuple[Passage[P], str]] = []
    for place, text, is_given, _ in conversation:
        if is_given:
            own.append(((place, ""), text))
            continue
        end = 0
        for tag in tags(text):
            if tag.start < end:  # quoted inside the text of a passage that holds
                continue
            here = (place, tag.passage)
            texts = [(here, tag.body)] if tag.body is not None else reversed(own)
            found = evidence.weigh(tag.ref, tag.since, tag.seal, texts)
            if found is None:
                torn[here] = tag.ref
                continue
            end = tag.start + len(tag.passage)
            whole[found[0]] = tag.ref
    held, needed = evidence.held, evidence.needed
    notes = {p: f"[{ref} is superseded]" for p, ref in whole.items() if drop and p not in needed}
    for where, ref in torn.items():
        if ref.name not in held or held[ref.name].version < ref.version:
            notes[where] = f"[{ref} is not in this conversation: read it again]"
    return held, notes


def mentioned(texts: Iterable[str]) -> dict[str, Ref]:
    """Artifact -> the newest version that a passage in `texts` names, whole or not."""
    found = [ref for text in texts for tag in _MENTION.finditer(text) if (ref := _ref(tag["ref"]))]
    return {ref.name: ref for ref in sorted(found, key=lambda ref: ref.version)}


def _digest(text: str) -> bytes:
    return digest(Kind.TEXT, text.encode("utf-8", "replace"))


def _ref(text: str) -> Ref | None:
    try:
        return Ref.parse(text)
    except BadRef:
        return None
