"""The error of a refused write: the versions in between, their authors, and a merge.

Part of the tree that `coherence.errors` draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from coherence.contents import Content
from coherence.delta import diff, edits, merge, overlap, split
from coherence.errors import BadArgument
from coherence.messages import Version
from coherence.refs import Ref
from message_passing.errors import CallerError

SHOWN_LINES_MAX = 40
#: The default and the least limit of `Conflict.for_prompt`, in characters.
PROMPT_CHARS = 12_000
PROMPT_CHARS_MIN = 1_000


class Conflict(CallerError):
    """The write was derived from a version that is no longer current.  Nothing was changed.

    `yours` is the content of the refused write, None for a deletion.  `base` is the content that
    you had read, None if it is not kept.  `theirs` is the current content, None if the artifact is
    deleted or does not exist.  All three are whole contents.
    """

    remedy = "read again and redo the change, or look at merge(); overwrite=True discards theirs"

    def __init__(
        self,
        message: str,
        *,
        yours: Content | None,
        base: Content | None,
        base_version: Version,
        theirs: Content | None,
        current: Ref,
        author: str = "",
        at: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.yours = yours
        self.base = base
        self.base_version = base_version
        self.theirs = theirs
        #: The version that is current now; its number is 0 if the artifact was never written.
        self.current = current
        #: Its author.
        self.author = author
        #: When it was written, on the store's clock.
        self.at = at

    @property
    def overlaps(self) -> bool | None:
        """Whether both changed the same or adjacent lines; None if that cannot be known."""
        texts = self._texts()
        if texts is None:
            return None
        base, yours, theirs = (split(text) for text in texts)
        return overlap(list(edits(base, yours)), list(edits(base, theirs)))

    @property
    def summary(self) -> str:
        """The base of your write, the changes since, your changes, and whether they overlap."""
        base = f"{self.current.name}@{self.base_version}" if self.base_version else ""
        did = "You deleted" if self.yours is None else "You wrote from"
        lines = [f"{did} {base or 'nothing'}; {self._standing()}."]
        texts = self._texts()
        if texts is None:
            return lines[0]
        before, yours, theirs = texts
        lines.append(f"What changed since {base}:" if base else f"What {self.current} holds:")
        lines.append(changes(before, theirs))
        lines.append("What you changed:" if base else "What you wrote:")
        lines.append(changes(before, yours))
        lines.append(
            "The two overlap: only you can say what is meant."
            if self.overlaps
            else "They touch different lines: merge() has both."
        )
        return "\n".join(lines)

    def merge(self) -> str | None:
        """A text with both changes, or None if they overlap or one is not text.

        Only a call with ``merge=True`` writes it by itself: check it, then write it with
        ``expect=error.current``.
        """
        texts = self._texts()
        return merge(*texts) if texts is not None else None

    def for_prompt(self, limit: int = PROMPT_CHARS) -> str:
        """The text for a model that is to resolve the conflict: the situation, and what to answer.

        It has the current version and its author, the changes of both sides, and the merge if there
        is one.  It has at most `limit` characters: long parts are cut, and the text says so.
        Raises `BadArgument` if `limit` is below 1,000.
        """
        _check_limit(limit)
        name = self.current.name
        did = "draft" if isinstance(self, Fenced) else "write"
        if self.yours is None:
            did = "deletion"
        base = f"version {self.base_version}" if self.base_version else "no version"
        opening = (
            f"Your {did} of {name} was refused, and nothing was changed. "
            f"It derives from {base}; {self._standing(short=True)}."
        )
        texts = self._texts()
        parts = self._parts()
        if texts is None:
            closing = self._answer_without_texts()
        else:
            merged = merge(*texts)
            closing = (
                "Answer with the whole text that the artifact is to have, and nothing else. "
                + (
                    "<merged> has both changes: answer with it, or mend it where they contradict."
                    if merged is not None
                    else "Both sides touch the same lines: redo your change in the current version "
                    "without losing the other one."
                )
            )
        return _prompt(opening, parts, closing, limit)

    def _opening(self) -> str:
        """As a line about one of several conflicts."""
        base = f"version {self.base_version}" if self.base_version else "no version"
        did = "deletion" if self.yours is None else "write"
        name = self.current.name
        return f"{name}, your {did} of which derives from {base}: {self._standing(short=True)}"

    def _parts(self) -> list[tuple[str, str]]:
        """The parts of a prompt, each with its tag."""
        texts = self._texts()
        return self._whole_parts() if texts is None else self._text_parts(*texts, merge(*texts))

    def _text_parts(
        self, base: str, yours: str, theirs: str, merged: str | None
    ) -> list[tuple[str, str]]:
        """The parts of a prompt, each with its tag: enough to write every line of an answer."""
        number = self.current.version
        if not self.base_version:
            return [(f'current version="{number}"', theirs), ("yours", yours)]
        since = f'from="{self.base_version}"'
        changes = [
            (f'their_changes {since} to="{number}"', diff(base, theirs).render(base).rstrip("\n")),
            (f"your_changes {since}", diff(base, yours).render(base).rstrip("\n")),
        ]
        if merged is not None:
            return [*changes, ("merged", merged)]
        return [(f'current version="{number}"', theirs), *changes]

    def _whole_parts(self) -> list[tuple[str, str]]:
        """The parts of a prompt where no differences can be shown."""
        parts = []
        if self.theirs is not None:
            parts.append((f'current version="{self.current.version}"', _shown(self.theirs)))
        if self.yours is not None:
            parts.append(("yours", _shown(self.yours)))
        return parts

    def _answer_without_texts(self) -> str:
        if self.yours is None:
            return "Answer whether the artifact is still to be deleted."
        if isinstance(self.yours, bytes) or isinstance(self.theirs, bytes):
            return "They cannot be compared here. Answer which of the two is to be kept, and why."
        if self.theirs is None:
            return "If your text is still needed, answer with the whole of it, and nothing else."
        return (
            "The version from which yours derives is not kept. Answer with the whole text that the "
            "artifact is to have, and nothing else."
        )

    def _standing(self, *, short: bool = False) -> str:
        """What is current now, and by which author."""
        current, by = self.current, self.author or "an unknown author"
        if not current.version:
            return "the artifact does not exist"
        which = f"version {current.version}" if short else str(current)
        return f"current is {which}, {'a deletion ' * (self.theirs is None)}by {by}"

    def _texts(self) -> tuple[str, str, str] | None:
        base = "" if self.base_version == 0 else self.base
        if isinstance(base, str) and isinstance(self.yours, str) and isinstance(self.theirs, str):
            return base, self.yours, self.theirs
        return None


class Fenced(Conflict):
    """The grant of an exclusive draft ended before the draft was published.  Nothing was changed.

    `yours` is the draft: nothing is lost.
    """

    remedy = "your text is in error.yours: read again and redo the change, or look at merge()"


class StaleRead(Conflict):
    """A version that was read, and not written, is no longer current.  Part of `Conflicts`.

    `yours` is None, and `base` is what was read.
    """

    remedy = "read it again, and redo what follows from it"

    @property
    def overlaps(self) -> bool | None:
        """None: nothing was written."""
        return None

    @property
    def summary(self) -> str:
        """The version that you read, the current one, and the changes in between."""
        name, base = self.current.name, self.base_version
        read = f"You read {name}@{base}" if base else f"You found no {name}"
        lines = [f"{read}, {self._standing()}."]
        if isinstance(self.base, str) and isinstance(self.theirs, str):
            lines += ["What changed since:", changes(self.base, self.theirs)]
        return "\n".join(lines)

    def merge(self) -> str | None:
        """None: there are not two changes."""
        return None

    def for_prompt(self, limit: int = PROMPT_CHARS) -> str:
        """See `Conflict.for_prompt`."""
        _check_limit(limit)
        return _prompt(f"{self._opening()}.", self._parts(), _REDO, limit)

    def _opening(self) -> str:
        base = f"as version {self.base_version}" if self.base_version else "as missing"
        return f"{self.current.name}, which you read {base}: {self._standing(short=True)}"

    def _parts(self) -> list[tuple[str, str]]:
        number, base = self.current.version, self.base
        if isinstance(base, str) and isinstance(self.theirs, str):
            since = f'from="{self.base_version}" to="{number}"'
            return [(f"their_changes {since}", diff(base, self.theirs).render(base).rstrip("\n"))]
        return self._whole_parts()


class Conflicts(Conflict):
    """A transaction was refused, since versions that it rests on are no longer current.

    Nothing was changed.  `conflicts` has one for each artifact that has moved, by name: a
    `StaleRead` for one that was only read.  The attributes of a single conflict are those of the
    first.
    """

    remedy = "redo the transaction on what is current: transact() does so"

    def __init__(self, conflicts: Mapping[str, Conflict]) -> None:
        first = next(iter(conflicts.values()))
        what = "; ".join(str(conflict.args[0]) for conflict in conflicts.values())
        super().__init__(
            f"the transaction is refused: {what}",
            yours=first.yours,
            base=first.base,
            base_version=first.base_version,
            theirs=first.theirs,
            current=first.current,
            author=first.author,
            at=first.at,
        )
        self.conflicts = conflicts

    @property
    def refs(self) -> dict[str, Ref]:
        """The current version of each, for `have=` and `expect=`; the number may be 0."""
        return {name: conflict.current for name, conflict in self.conflicts.items()}

    @property
    def overlaps(self) -> bool | None:
        """As that of the only conflict; None if there are several."""
        only = self._only()
        return only.overlaps if only is not None else None

    @property
    def summary(self) -> str:
        """The summaries of all."""
        return "\n".join(conflict.summary for conflict in self.conflicts.values())

    def merge(self) -> str | None:
        """As that of the only conflict; None if there are several."""
        only = self._only()
        return only.merge() if only is not None else None

    def for_prompt(self, limit: int = PROMPT_CHARS) -> str:
        """The text for a model that is to redo the work: what has moved, and how.

        See `Conflict.for_prompt`.
        """
        _check_limit(limit)
        opening, parts = "Your transaction was refused, and nothing was changed.", []
        for name, conflict in self.conflicts.items():
            opening += f"\n{conflict._opening()}."
            for tag, body in conflict._parts():
                kind, _, more = tag.partition(" ")
                parts.append((f'{kind} of="{name}" {more}'.rstrip(), body))
        return _prompt(_within(opening, limit // 2), parts, _REDO, limit)

    def _only(self) -> Conflict | None:
        return next(iter(self.conflicts.values())) if len(self.conflicts) == 1 else None


def _check_limit(limit: int) -> None:
    if type(limit) is not int or limit < PROMPT_CHARS_MIN:
        raise BadArgument(
            f"limit is {limit!r}", remedy=f"give {PROMPT_CHARS_MIN} characters or more"
        )


def _prompt(opening: str, parts: Sequence[tuple[str, str]], closing: str, limit: int) -> str:
    """The text of at most `limit` characters; `parts` are tags with their bodies."""
    room = limit - len(opening) - len(closing) - len(_CUT) - 2
    room -= sum(2 * len(tag) + len("<>\n\n</>\n") for tag, _ in parts)
    bodies = _fitted([body for _, body in parts], room)
    shown = [opening]
    for (tag, whole), body in zip(parts, bodies, strict=True):
        shown.append(f"<{tag}>\n{body}\n</{tag.partition(' ')[0]}>")
        if body != whole and not closing.startswith(_CUT):
            closing = _CUT + closing
    return "\n".join([*shown, closing])


def changes(before: str, after: str) -> str:
    """The difference between two texts, in at most `SHOWN_LINES_MAX` lines and one more."""
    text = diff(before, after).render(before)
    lines = text.splitlines()
    if len(lines) <= SHOWN_LINES_MAX:
        return text.rstrip("\n")
    return "\n".join([*lines[:SHOWN_LINES_MAX], f"... {len(lines) - SHOWN_LINES_MAX} lines more"])


_REDO = "Redo your work on what is current now."
_CUT = "Some of this is cut: read the artifact before you answer. "


def _shown(content: Content) -> str:
    if isinstance(content, str):
        return content
    return f"[{len(content)} bytes that are not text]"


def _fitted(bodies: Sequence[str], room: int) -> list[str]:
    """The texts within `room` characters: short ones whole, long ones cut to equal shares."""
    made = list(bodies)
    shortest_first = sorted(range(len(made)), key=lambda place: len(made[place]))
    for done, place in enumerate(shortest_first):
        made[place] = _within(made[place], room // (len(made) - done))
        room -= len(made[place])
    return made


def _within(text: str, chars: int) -> str:
    """The beginning of `text` in at most `chars` characters, with a note of the rest."""
    if len(text) <= chars:
        return text
    note = f"[... {len(text)} characters in all]"
    kept = text[: max(0, chars - len(note) - 1)]
    kept = kept[: kept.rfind("\n") + 1] or kept + "\n"
    return (kept + note)[: max(0, chars)]
