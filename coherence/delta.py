"""Differences between two texts: exact, guarded by the base's hash, readable in a prompt.

A `Delta` replaces ranges of lines.  It applies only to the exact text that it was made against, so
it cannot produce a text that was never written.  Edits of two deltas against one base can be merged
if they do not overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from coherence.contents import Kind, digest
from message_passing.errors import PeerError
from message_passing.process import Value

#: Beyond this many lines on a side, everything between the first and the last difference is one
#: edit: matching lines takes quadratic time at worst.
MATCHED_LINES_MAX = 4_000


class WrongBase(PeerError):
    """A delta was applied to a text that it was not made against."""

    remedy = "read the artifact in full"


class Splice(Value, frozen=True, gc=False, tag=True, array_like=True):
    """Replaces lines `start` to `stop` of the base, `stop` not included, by `lines`."""

    start: int
    stop: int
    lines: tuple[str, ...]


class Delta(Value, frozen=True, gc=False, tag=True, array_like=True):
    """How to make a text from the one whose hash is `base`: edits in order, none overlapping."""

    base: bytes
    edits: tuple[Splice, ...]

    def apply(self, text: str) -> str:
        """The new text.  Raises `WrongBase` if the delta was not made against `text`."""
        if _digest(text) != self.base:
            raise WrongBase("the text is not the delta's base")
        return _splice(split(text), self.edits)

    def render(self, text: str, context: int = 0) -> str:
        """The delta as the hunks of a unified diff; `text` is its base.

        Each hunk has up to `context` unchanged lines on either side.
        """
        lines = split(text)
        shown: list[str] = []
        shift = 0
        for hunk in _hunks(self.edits, context):
            first = max(hunk[0].start - context, 0)
            last = min(hunk[-1].stop + context, len(lines))
            grown = sum(len(edit.lines) - (edit.stop - edit.start) for edit in hunk)
            old, new = last - first, last - first + grown
            shown.append(f"@@ -{_range(first + 1, old)} +{_range(first + shift + 1, new)} @@\n")
            at = first
            for edit in hunk:
                shown.extend(_marked(" ", lines[at : edit.start]))
                shown.extend(_marked("-", lines[edit.start : edit.stop]))
                shown.extend(_marked("+", edit.lines))
                at = edit.stop
            shown.extend(_marked(" ", lines[at:last]))
            shift += grown
        return "".join(shown)

    def counts(self) -> tuple[int, int]:
        """The number of lines that are added, and of those that are removed."""
        added = sum(len(edit.lines) for edit in self.edits)
        return added, sum(edit.stop - edit.start for edit in self.edits)


def split(text: str) -> list[str]:
    """The lines of `text` with their ends; joined they give `text`."""
    parts = text.split("\n")
    last = parts.pop()
    lines = [part + "\n" for part in parts]
    return [*lines, last] if last else lines


def diff(old: str, new: str) -> Delta:
    """The delta that makes `new` from `old`."""
    return Delta(_digest(old), tuple(edits(split(old), split(new))))


def edits(old: Sequence[str], new: Sequence[str]) -> Iterator[Splice]:
    """The edits that make the lines `new` from the lines `old`."""
    head = 0
    shortest = min(len(old), len(new))
    while head < shortest and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < shortest - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    before = old[head : len(old) - tail]
    after = new[head : len(new) - tail]
    if max(len(before), len(after)) > MATCHED_LINES_MAX:
        yield Splice(head, head + len(before), tuple(after))
        return
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag != "equal":
            yield Splice(head + i, head + j, tuple(after[k:m]))


def merge(base: str, ours: str, theirs: str) -> str | None:
    """`base` with the changes of both sides, or None if they touch the same or adjacent lines.

    A change that both sides made counts once.
    """
    lines = split(base)
    mine, others = list(edits(lines, split(ours))), list(edits(lines, split(theirs)))
    if overlap(mine, others):
        return None
    every = sorted({*mine, *others}, key=lambda edit: (edit.start, edit.stop))
    return _splice(lines, every)


def keeps(base: str, told: str, text: str) -> bool:
    """Whether `text`, by a writer who had `base` and was told of `told`, keeps what was told.

    Where both changed the same or adjacent lines, every line that was told must be in the text, and
    none that was told to be gone.
    """
    merged = merge(base, told, text)
    if merged is not None:
        return merged == text
    before, after, now = (set(split(each)) for each in (base, told, text))
    return after - before <= now and not (before - after) & now


def overlap(ours: Sequence[Splice], theirs: Sequence[Splice]) -> bool:
    """Whether two sets of edits of one base touch: equal edits do not, adjacent ones do."""
    return any(
        mine != other and mine.start <= other.stop and other.start <= mine.stop
        for mine in ours
        for other in theirs
    )


def _splice(lines: Sequence[str], changes: Sequence[Splice]) -> str:
    made: list[str] = []
    at = 0
    for edit in changes:
        made.extend(lines[at : edit.start])
        made.extend(edit.lines)
        at = edit.stop
    made.extend(lines[at:])
    return "".join(made)


def _hunks(changes: Sequence[Splice], context: int) -> Iterator[list[Splice]]:
    """Runs of edits that are shown as one, since the context of one reaches that of the next."""
    hunk: list[Splice] = []
    for edit in changes:
        if hunk and edit.start - hunk[-1].stop > 2 * context:
            yield hunk
            hunk = []
        hunk.append(edit)
    if hunk:
        yield hunk


def _digest(text: str) -> bytes:
    return digest(Kind.TEXT, text.encode())


def _range(first: int, count: int) -> str:
    # As in diff, an empty range is named by the line before it.
    first -= count == 0
    return str(first) if count == 1 else f"{first},{count}"


def _marked(mark: str, lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        yield mark + line if line.endswith("\n") else f"{mark}{line}\n\\ no newline at the end\n"
