"""A history in a file: a line of JSON that says where it is from, then its numbers, compressed.

The file has no text and no name of a person: paths, times, authors by number, sizes of versions,
and for each line of a file how large it is where a difference adds or removes it.  All strategies
and references cost the same on the history that is loaded.  The bytes depend on the history only.
"""

from __future__ import annotations

import bz2
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from coherence.simulate.replay.errors import HistoryNotSaved, InvalidHistory
from coherence.simulate.replay.history import (
    CODES_MAX,
    MEASURES,
    About,
    FileChange,
    History,
    Revision,
    Tracked,
    Weights,
    code,
    number,
)
from coherence.simulate.replay.matching import replaced
from message_passing.errors import CallerError

FORMAT: Final = "coherence-history"
VERSION: Final = 1

FILE_BYTES_MAX: Final = 64 * 2**20
BODY_BYTES_MAX: Final = 512 * 2**20
_HEAD_BYTES_MAX: Final = 2**16

_Edit: TypeAlias = tuple[int, int, list[int]]
"""(start, stop, lines): a positive number is that many lines that no version had before, and a
number n below zero the line -1 - n."""


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    format: str
    version: int
    history: About
    #: Of the compressed body.
    digest: str


class _File(msgspec.Struct, frozen=True, array_like=True):
    first: int
    sizes: list[int]
    #: How each version is made from the one before, or the first one from nothing.
    versions: list[list[_Edit]]
    added: list[int]
    #: What a line costs more where it is removed.
    removed_more: list[int]
    #: The files that are named from a version on, where they change.
    named: list[tuple[int, list[int]]]


class _Body(msgspec.Struct, frozen=True, array_like=True):
    files: list[_File]
    paths: list[tuple[int, bytes]]
    #: Seconds since the one before, author, changes as (file, version or -1, path or nothing).
    revisions: list[tuple[int, int, list[tuple[int, int, bytes | None]]]]


def save(history: History, path: Path) -> None:
    """Write a history, whole or not at all.  Raises `HistoryNotSaved`."""
    content = encoded(history)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise HistoryNotSaved(f"{path}: {error.strerror}") from error


def encoded(history: History) -> bytes:
    """The bytes of a file."""
    body = _Body(
        [_written(file) for file in history.files],
        sorted(history.paths.items()),
        list(_revisions(history.revisions)),
    )
    packed = bz2.compress(msgspec.msgpack.encode(body))
    digest = blake2b(packed, digest_size=16).hexdigest()
    head = _Head(format=FORMAT, version=VERSION, history=history.about, digest=digest)
    return msgspec.json.encode(head) + b"\n" + packed


def whole(path: Path, bytes_max: int, refusal: type[CallerError]) -> bytes:
    """The content of a file.  Raises `refusal` if it cannot be read, or is larger than that."""
    try:
        with path.open("rb") as stream:
            content = stream.read(bytes_max + 1)
    except FileNotFoundError:
        raise refusal(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise refusal(f"{path}: cannot be read: {reason}") from None
    if len(content) > bytes_max:
        raise refusal(f"{path}: larger than {bytes_max:,} bytes")
    return content


def load(path: Path) -> History:
    """Read a file.  Raises `InvalidHistory`."""
    content = whole(path, FILE_BYTES_MAX, InvalidHistory)
    try:
        return decoded(content)
    except InvalidHistory as error:
        raise InvalidHistory(f"{path}: {error.args[0]}", remedy=error.remedy) from None


def decoded(content: bytes) -> History:
    """The history of a file's bytes.  Raises `InvalidHistory`."""
    first, found, packed = content[:_HEAD_BYTES_MAX].partition(b"\n")
    try:
        head = msgspec.json.decode(first if found else b"", type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidHistory(
            "not a saved history", remedy="a clone is replayed with --git, a recording with --trace"
        ) from None
    packed = content[len(first) + 1 :]
    if head.format != FORMAT or head.version != VERSION:
        raise InvalidHistory(
            f"{head.format} {head.version}, and this release reads {FORMAT} {VERSION}",
            remedy=f"make it again: {head.history.command}",
        )
    if blake2b(packed, digest_size=16).hexdigest() != head.digest:
        raise InvalidHistory("damaged", remedy=f"make it again: {head.history.command}")
    try:
        decompressor = bz2.BZ2Decompressor()
        unpacked = decompressor.decompress(packed, BODY_BYTES_MAX)
        if not decompressor.eof:
            raise InvalidHistory("too large, or cut off")
        body = msgspec.msgpack.decode(unpacked, type=_Body)
        return _read(head.history, body)
    except (OSError, msgspec.DecodeError, ValueError, LookupError, OverflowError) as error:
        raise InvalidHistory(f"contradicts itself: {error}") from None


def _written(file: Tracked) -> _File:
    named = [
        (version, list(names))
        for version, (before, names) in enumerate(
            zip([(), *file.named], file.named, strict=False), file.first
        )
        if names != before
    ]
    if len(file.sizes) == 1:
        return _File(file.first, file.sizes, [], [], [], named)
    added = file.added.numbered()
    more = [b - a for a, b in zip(added, file.removed.numbered(), strict=True)]
    versions, known, before = [], 0, ""
    for codes in file.codes:
        made: list[_Edit] = []
        for start, stop, first, end in replaced(before, codes):
            lines, known = _packed(codes[first:end], known)
            made.append((start, stop, lines))
        versions.append(made)
        before = codes
    return _File(file.first, file.sizes, versions, added, more, named)


def _packed(lines: Iterable[str], known: int) -> tuple[list[int], int]:
    packed: list[int] = []
    for line in map(number, lines):
        if line < known:
            packed.append(-1 - line)
        else:  # lines are numbered as they appear
            known += 1
            if packed and packed[-1] > 0:
                packed[-1] += 1
            else:
                packed.append(1)
    return packed, known


def _revisions(
    revisions: Iterable[Revision],
) -> Iterator[tuple[int, int, list[tuple[int, int, bytes | None]]]]:
    last = 0
    for revision in revisions:
        changes = [
            (change.file, -1 if change.version is None else change.version, change.path)
            for change in revision.changes
        ]
        yield revision.time_s - last, revision.author, changes
        last = revision.time_s


def _read(about: About, body: _Body) -> History:
    if about.measure not in MEASURES:
        raise InvalidHistory(f"counted by {about.measure!r}, which this release does not know")
    files = [_unpacked(file, len(body.files)) for file in body.files]
    for file, _ in body.paths:
        _within(file, len(files))
    revisions, last = [], 0
    made = [file.first for file in files]
    for since, author, changes in body.revisions:
        last += since
        for file, version, _ in changes:
            _within(file, len(files))
            if version >= 0:
                made[file] += 1
                if version != made[file]:
                    raise InvalidHistory(f"file {file}: version {version} is out of order")
        _within(author, about.authors)
        revisions.append(
            Revision(
                last,
                author,
                tuple(FileChange(file, v if v >= 0 else None, path) for file, v, path in changes),
            )
        )
    for tracked, count in zip(files, made, strict=True):
        if count - tracked.first + 1 != len(tracked.sizes):
            raise InvalidHistory("a version that no commit makes")
    return History(about, files, dict(body.paths), revisions)


def _unpacked(packed: _File, files: int) -> Tracked:
    if packed.first not in (0, 1) or not packed.sizes:
        raise InvalidHistory("a file without versions")
    count = len(packed.sizes)
    named: list[tuple[int, ...]] = [()] * count
    for version, numbers in packed.named:
        for other in numbers:
            _within(other, files)
        at = version - packed.first
        _within(at, count)
        named[at:] = [tuple(numbers)] * (count - at)
    removed = [added + more for added, more in zip(packed.added, packed.removed_more, strict=True)]
    codes, known, before = [], 0, ""
    for made in packed.versions:
        parts, at = [], 0
        for start, stop, lines in made:
            if not at <= start <= stop <= len(before):
                raise InvalidHistory("an edit outside its text")
            added, known = _lines(lines, known, len(packed.added))
            parts += [before[at:start], added]
            at = stop
        before = "".join([*parts, before[at:]])
        codes.append(before)
    if len(codes) not in (0 if count == 1 else count, count) or known != len(packed.added):
        raise InvalidHistory("versions without lines")
    sizes = packed.sizes
    if min(sizes) < 0:
        raise InvalidHistory("a size below zero")
    return Tracked(packed.first, sizes, codes, Weights(packed.added), Weights(removed), named)


def _lines(packed: Sequence[int], known: int, count: int) -> tuple[str, int]:
    lines: list[str] = []
    for item in packed:
        if item > 0:
            _within(known + item - 1, min(count, CODES_MAX))
            lines += map(code, range(known, known + item))
            known += item
        else:
            _within(-1 - item, known)
            lines.append(code(-1 - item))
    return "".join(lines), known


def _within(index: int, count: int) -> None:
    if not 0 <= index < count:
        raise InvalidHistory(f"number {index} of {count}")
