"""A history without texts: who changed which file when, and sizes of texts and of differences.

A line of a file is a *code*, a character that is equal where lines are equal, so that the
difference of any two versions is that of the shipped `coherence.delta`, and costs as many tokens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from coherence.simulate.replay.matching import replaced

DIFFERENCES_MAX: Final = 1_000_000
"""Differences that are kept; the oldest half is forgotten beyond."""

_SURROGATES: Final = 0xD800, 0x800
CODES_MAX: Final = 0x110000 - 0x800
"""Different lines that one file may have in all of its versions."""


def code(number: int) -> str:
    """The character that stands for a file's line of that number: surrogates stand for none."""
    first, count = _SURROGATES
    return chr(number if number < first else number + count)


def number(character: str) -> int:
    """The number of the line for which the character stands."""
    first, count = _SURROGATES
    at = ord(character)
    return at if at < first else at - count


class Weights:
    """The units of each line of a file."""

    __slots__ = ("_units",)

    def __init__(self, units: Iterable[int] = ()) -> None:
        self._units = array("I")
        for each in units:
            self.append(each)

    def append(self, units: int) -> None:
        """Add the next line."""
        first, count = _SURROGATES
        if len(self._units) == first:
            self._units.extend([0] * count)
        self._units.append(units)

    def total(self, lines: Iterable[str]) -> int:
        """The units of lines that are given by their codes."""
        return sum(map(self._units.__getitem__, map(ord, lines)))

    def numbered(self) -> list[int]:
        """The units of all lines, by number."""
        first, count = _SURROGATES
        return [*self._units[:first], *self._units[first + count :]]


class Measure(NamedTuple):
    """What a size is counted in: units, of which some make a token."""

    name: str
    units_per_token: int

    def tokens(self, units: int) -> int:
        """Units as tokens, rounded up."""
        return -(-units // self.units_per_token)

    def hunk(self, start: int, old: int, new: int, shift: int) -> int:
        """The units of the line before a hunk, as `coherence.delta.Delta.render` writes it."""
        sides = _range(start + 1, old), _range(start + shift + 1, new)
        if self.units_per_token > 1:
            return len(f"@@ -{sides[0]} +{sides[1]} @@\n")
        # "@@", " -", the numbers by three digits and the commas, " +", the same, " @@", newline.
        return 5 + sum(_number_tokens(side) for side in sides)


BYTES: Final = Measure("estimate: 4 bytes a token", 4)
EXACT: Final = Measure("exact: o200k_base", 1)
MEASURES: Final = {measure.name: measure for measure in (BYTES, EXACT)}


def _range(first: int, count: int) -> str:
    first -= count == 0
    return str(first) if count == 1 else f"{first},{count}"


def _number_tokens(side: str) -> int:
    numbers = side.split(",")
    return len(numbers) - 1 + sum(-(-len(digits) // 3) for digits in numbers)


class Tracked(msgspec.Struct):
    """One file, from its creation to its deletion.

    Its versions count from `first`: 1 if it was there at first, else 0, which has no text.  A
    version of size 0 at the end is its deletion.
    """

    first: int
    #: In tokens, of the versions from `first` on.
    sizes: list[int]
    #: The lines of each version; empty if there is only one, which has no differences.
    codes: list[str]
    #: The units of each line where it is added, and where it is removed.
    added: Weights
    removed: Weights
    #: The files that each version names, in the order of the lines that name them.
    named: list[tuple[int, ...]]


class FileChange(NamedTuple):
    """One file in one commit."""

    file: int
    #: The version that the commit makes; None if it only renames the file.
    version: int | None
    #: The path after the commit, or None after a deletion.
    path: bytes | None


class Revision(NamedTuple):
    """One commit that changes texts."""

    time_s: int
    #: Authors are numbered as they appear.
    author: int
    changes: tuple[FileChange, ...]


class LeftOut(msgspec.Struct, frozen=True):
    """What is in the history and not in the workload: versions, by the reason."""

    binary: int = 0
    #: Larger than `reading.TEXT_BYTES_MAX`.
    large: int = 0
    links: int = 0
    submodules: int = 0


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Where a history is from."""

    name: str
    commit: str
    #: Of that commit, ``YYYY-MM-DD``.
    date: str
    #: The command that makes the history again, from a clone in the working directory.
    command: str
    measure: str
    commits: int
    authors: int
    files: int
    versions: int
    left_out: LeftOut = LeftOut()


class History(NamedTuple):
    """The mainline of a repository, or a part of it."""

    about: About
    files: list[Tracked]
    #: The paths of the files that are there at first.
    paths: dict[int, bytes]
    revisions: list[Revision]


class HistoryContents(ABC):
    """The sizes of a history's texts, with differences of some kind.

    It is a `coherence.simulate.experiments.edits.Contents`.
    """

    _files: Sequence[Tracked]

    def text(self, artifact: int, version: int) -> int:
        """See `Contents.text`."""
        file = self._files[artifact]
        return file.sizes[version - file.first]

    def edit(self, artifact: int, version: int) -> int:
        """See `Contents.edit`."""
        if version == 1:
            return self.text(artifact, 1)
        return self.difference(artifact, version - 1, version)

    @abstractmethod
    def difference(self, artifact: int, base: int, version: int) -> int:
        """See `Contents.difference`."""


class RealContents(HistoryContents):
    """The sizes of a history; `coherence.simulate.experiments.edits.Contents`.

    Differences are computed as they are asked for.  Unlike those of the edit model they need be
    neither monotone nor subadditive: texts that were taken back are equal again.
    """

    def __init__(self, files: Sequence[Tracked], measure: Measure) -> None:
        self._files = files
        self._measure = measure
        self._known: dict[tuple[int, int, int], int] = {}

    def difference(self, artifact: int, base: int, version: int) -> int:
        """The tokens of the difference, or those of the text if that is smaller."""
        if base == version:
            return 0
        key = artifact, base, version
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= DIFFERENCES_MAX:
                for old in list(self._known)[: DIFFERENCES_MAX // 2]:
                    del self._known[old]
            found = self._known[key] = self._computed(*key)
        return found

    def _computed(self, artifact: int, base: int, version: int) -> int:
        file, measure = self._files[artifact], self._measure
        text = file.sizes[version - file.first]
        old, new = file.codes[base - file.first], file.codes[version - file.first]
        most = text * measure.units_per_token
        # A difference has at least the lines that only one side has.
        before, after = set(old), set(new)
        if file.added.total(after - before) + file.removed.total(before - after) >= most:
            return text
        units = shift = 0
        for start, stop, first, end in replaced(old, new):
            units += measure.hunk(start, stop - start, end - first, shift)
            units += file.removed.total(old[start:stop]) + file.added.total(new[first:end])
            if units >= most:
                return text
            shift += (end - first) - (stop - start)
        return min(text, measure.tokens(units))
