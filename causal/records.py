"""The bytes of a journal: a header, then one record for each append.

======== =========================================================================
header   a record of the earlier form: `MAGIC`, the number of this form, the mark
record   the mark, the length of the body, a check of the place and the length,
         a check of the body, the body, `END`
======== =========================================================================

Checks are CRC-32.  The mark is random, and a record's check covers its offset in the file.  So a
payload cannot hold the copy of a record that would be valid where the payload stands.

Damage and a torn tail
----------------------
The header and the first record reach the path together, or not at all.  Reading stops at the first
later record that is not valid.  What starts there is a *torn tail*, left by an append that did not
finish, if both of these hold:

1. No later offset has a valid head.  An append begins only when the one before is on disk, so a
   valid head proves that everything before it was acknowledged.
2. It looks like an unfinished write: the file ends before the record does, or its last sector or a
   sector of its head holds only zeros.

A torn tail is dropped: no process has seen its effects.  Everything else is `DamagedJournal`, in
the last record too.  No byte of the mark and of `END` is one bit away from zero, so no flipped bit
makes a whole record look torn.

Two kinds of damage look like a torn tail and are taken for one: the file lost its end, or the last
record lost such a sector to zeros.  A flipped bit in a torn tail is found, or changes nothing.
In the other direction, a file system that shows old data where a write did not finish (ext4 with
`data=writeback`) makes an unfinished append look like damage.  With `sync=False` a crash of the
system may lose an append and keep a later one; that is damage, since both were acknowledged.

The earlier form
----------------
There a record is the length of one entry, the CRC-32 of its body, and the body; the file has no
header.  It is read by the same rules, as far as they apply: a length has no check, so rule 1 asks
for a whole record, and the first record may be torn as well.  A release that knows only the earlier
form takes the header of this form for a damaged record, and leaves the file as it is.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple, TypeAlias
from zlib import crc32

from message_passing.errors import CallerError, EnvironmentFault

MAGIC: Final = b"\x89causal"
FORM: Final = 2
END: Final = b"\xc3"
MARK_BYTES: Final = 4
SECTOR_BYTES: Final = 512

_PLACE: Final = Struct(">4sQI")
_HEAD: Final = Struct(">4sIII")
_OLD_HEAD: Final = Struct(">II")
#: How the first entry goes on after the count of its fields.
_BEGAN: Final = b"\xa5Began"

Bytes: TypeAlias = bytes | memoryview


class DamagedJournal(EnvironmentFault):
    """A record is damaged, and not because its write did not finish."""

    remedy = "restore the file, or join again under a new name"


class NewerJournal(CallerError):
    """The journal was written by a newer release."""

    remedy = "upgrade artifact-coherence in this environment"


class Contents(NamedTuple):
    """What a file holds: the bodies of its records, and the offset at which the last one ends.

    `mark` is empty if the file is not in today's form; each body is one entry then.
    """

    bodies: list[Bytes]
    end: int
    mark: bytes


def marked(chance: bytes) -> bytes:
    """A mark made of four random bytes, each of which has two bits set at least."""
    return bytes(byte | 0x81 for byte in chance)


def header(mark: bytes) -> bytes:
    """How the file of a journal begins."""
    body = MAGIC + bytes((FORM,)) + mark
    return _OLD_HEAD.pack(len(body), crc32(body)) + body


def record(mark: bytes, at: int, body: bytes) -> bytes:
    """The record of `body` for the offset `at`."""
    check = crc32(_PLACE.pack(mark, at, len(body)))
    return _HEAD.pack(mark, len(body), check, crc32(body, check)) + body + END


def read(data: bytes) -> Contents:
    """The contents of a file.  Raises `DamagedJournal` and `NewerJournal`."""
    if data[_OLD_HEAD.size : _OLD_HEAD.size + len(MAGIC)] != MAGIC:
        return _read_earlier(data)
    at, body = _earlier_at(data, 0)
    if body is None:
        raise DamagedJournal("its header is damaged")
    form, mark = body[len(MAGIC)], bytes(body[len(MAGIC) + 1 :])
    if form != FORM:
        raise NewerJournal(f"it has form {form}, and this release reads forms up to {FORM}")
    bodies: list[Bytes] = []
    while at < len(data):
        end, body = _record_at(data, at, mark)
        if body is None:
            if _seems_torn(data, at, end) and not _head_after(data, at, mark):
                break
            raise DamagedJournal(f"the record at {at} is damaged")
        bodies.append(body)
        at = end
    if not bodies:
        # It came with the file, so no unfinished write explains that.
        raise DamagedJournal("its first record is missing")
    return Contents(bodies, at, mark)


def _record_at(data: bytes, at: int, mark: bytes) -> tuple[int, Bytes | None]:
    """Where the record at `at` ends, 0 if its head is not valid, and the body if all is valid."""
    if at + _HEAD.size > len(data):
        return 0, None
    found, size, check, body_check = _HEAD.unpack_from(data, at)
    if found != mark or crc32(_PLACE.pack(mark, at, size)) != check:
        return 0, None
    begin = at + _HEAD.size
    end = begin + size + len(END)
    body = data[begin : begin + size]
    is_valid = crc32(body, check) == body_check and data[begin + size : end] == END
    return end, body if is_valid else None


def _head_after(data: bytes, at: int, mark: bytes) -> bool:
    """Whether a valid head stands after `at`."""
    while (at := data.find(mark, at + 1)) >= 0:
        if _record_at(data, at, mark)[0]:
            return True
    return False


def _seems_torn(data: bytes, at: int, end: int) -> bool:
    """Whether what stands from `at` on looks like one write that did not finish.

    `end` is where its record ends; 0 if its head is not valid.
    """
    if end:
        last = (len(data) - 1) // SECTOR_BYTES * SECTOR_BYTES
        return end > len(data) or (end == len(data) and _is_blank(data, max(at, last)))
    body = at + _HEAD.size
    sector = at - at % SECTOR_BYTES + SECTOR_BYTES
    return body > len(data) or _is_blank(data, at) or (sector < body and _is_blank(data, sector))


def _is_blank(data: bytes, at: int) -> bool:
    """Whether only zeros stand from `at` to the end of its sector."""
    return not any(data[at : at - at % SECTOR_BYTES + SECTOR_BYTES])


# The earlier form.


def _read_earlier(data: bytes) -> Contents:
    bodies: list[Bytes] = []
    at = 0
    while at < len(data):
        end, body = _earlier_at(data, at)
        if body is None:
            if _is_torn_earlier(data, at, end):
                break
            raise DamagedJournal(f"the record at {at} is damaged, or the file is not a journal")
        bodies.append(body)
        at = end
    return Contents(bodies, at, b"")


def _earlier_at(data: Bytes, at: int) -> tuple[int, Bytes | None]:
    """Where the record at `at` ends, 0 if that is beyond the file, and the body if it is valid."""
    begin = at + _OLD_HEAD.size
    if begin > len(data):
        return 0, None
    size, check = _OLD_HEAD.unpack_from(data, at)
    end = begin + size
    if end > len(data):
        return 0, None
    body = data[begin:end]
    return end, body if size and crc32(body) == check else None


def _is_torn_earlier(data: bytes, at: int, end: int) -> bool:
    rest = data[at:]
    if not any(rest):
        return True
    began = rest[_OLD_HEAD.size + 1 : _OLD_HEAD.size + 1 + len(_BEGAN)]
    if at == 0 and not _BEGAN.startswith(began):
        # It lost its beginning, or it never was a journal.
        return False
    body = rest[_OLD_HEAD.size :]
    if body and _OLD_HEAD.unpack_from(rest)[1] == crc32(body):
        # Only the length is wrong.
        return False
    if not _seems_torn(data, at, end or len(data) + 1):
        return False
    view = memoryview(data)
    return not any(_earlier_at(view, later)[1] for later in range(at + 1, len(data)))
