"""The bytes of a journal: whole, torn, damaged; in today's form and in the earlier one."""

from __future__ import annotations

from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal.records import (
    FORM,
    MAGIC,
    SECTOR_BYTES,
    DamagedJournal,
    NewerJournal,
    header,
    marked,
    read,
    record,
)

MARK = marked(b"\x00\x10\x80\xff")
BODIES = [b"\x91%d" % number * 9 for number in range(12)]


def whole(bodies: list[bytes], mark: bytes = MARK) -> tuple[bytes, list[int]]:
    """A file of these records, and where each ends."""
    data, ends = header(mark), []
    for body in bodies:
        data += record(mark, len(data), body)
        ends.append(len(data))
    return data, ends


def earlier(bodies: list[bytes]) -> tuple[bytes, list[int]]:
    """The same in the earlier form, after the record that every journal begins with."""
    data, ends = b"", []
    for body in [msgspec.msgpack.encode(["Began", "a", ["a", "b"], b"12345678"]), *bodies]:
        data += len(body).to_bytes(4, "big") + crc32(body).to_bytes(4, "big") + body
        ends.append(len(data))
    return data, ends


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def accepted(data: bytes, expected: list[bytes], bits: range) -> list[int]:
    """The bits that may flip without `DamagedJournal`; then nothing of `expected` may change."""
    found = []
    for bit in bits:
        try:
            bodies = read(flipped(data, bit)).bodies
        except DamagedJournal:
            continue
        assert bodies == expected, bit
        found.append(bit)
    return found


def test_what_was_written_is_read() -> None:
    data, ends = whole(BODIES)
    assert read(data) == (BODIES, len(data), MARK)
    for body, end in zip(BODIES, ends, strict=True):
        assert len(header(MARK)) < end
        assert body in data[:end]
    assert read(b"") == ([], 0, b"")


def test_every_flipped_bit_is_damage() -> None:
    data, _ = whole(BODIES)
    assert accepted(data, [], range(8 * len(data))) == []


@pytest.mark.slow(fast=16)
@pytest.mark.parametrize("mark", [bytes((0x81,)) * 4, bytes((0xFF,)) * 4, MARK])
@pytest.mark.parametrize("before", range(SECTOR_BYTES - 64, SECTOR_BYTES, 3))
def test_every_flipped_bit_of_a_last_record_across_sectors_is_damage(
    before: int, mark: bytes
) -> None:
    # The parts of a record in its first and its last sector are as short as they can be.
    data, ends = whole([b"\x91" + bytes(before - 50), b"\x91" + bytes(20)], mark)
    assert ends[0] < SECTOR_BYTES
    assert accepted(data, [], range(8 * ends[0], 8 * len(data))) == []


@pytest.mark.slow
def test_every_flipped_bit_of_a_hundred_records_is_damage() -> None:
    data, _ = whole([b"\x92" + bytes([number]) * number for number in range(100)])
    assert accepted(data, [], range(8 * len(data))) == []


def test_what_an_append_left_that_did_not_finish_is_dropped() -> None:
    data, ends = whole(BODIES)
    for cut in range(ends[-2], len(data)):
        assert read(data[:cut]) == (BODIES[:-1], ends[-2], MARK)
    for cut in range(ends[0], len(data)):
        assert read(data[:cut]).bodies == BODIES[: sum(end <= cut for end in ends)]
    # The header and the first record are there with the file, or it is empty.
    for cut in range(10, ends[0]):
        with pytest.raises(DamagedJournal):
            read(data[:cut])


@pytest.mark.parametrize("size", [40, 500, 3_000])
@pytest.mark.parametrize("before", range(SECTOR_BYTES - 64, SECTOR_BYTES + 32, 4))
def test_sectors_that_were_never_written_are_a_torn_tail(before: int, size: int) -> None:
    bodies = [b"\x91" * (before - 50), b"\x91" * size]
    data, (begin, end) = whole(bodies)
    for sector in range(0, end, SECTOR_BYTES):
        # Up to here it was written.
        cut = max(sector, begin)
        assert read(data[:cut] + bytes(end - cut)).bodies == bodies[:1]
        # From here on it was written.
        assert read(data[:begin] + bytes(cut - begin) + data[cut:]).bodies[:1] == bodies[:1]


@pytest.mark.parametrize("kind", ["today", "earlier"])
def test_what_is_lost_before_a_whole_record_is_damage(kind: str) -> None:
    data, ends = (whole if kind == "today" else earlier)([*BODIES, b"\x91" * 2_000, b"\x91last"])
    for begin in ends[:-1]:
        for end in range(begin + 4, ends[-2] + 1, 7):
            with pytest.raises(DamagedJournal):
                read(data[:begin] + bytes(end - begin) + data[end:])


@pytest.mark.parametrize("zeros", [0, 7, 600])
def test_damage_before_a_torn_tail_is_found(zeros: int) -> None:
    data, ends = whole([*BODIES, b"\x91" * 40])
    for cut in (ends[-2] + 1, ends[-2] + 17, ends[-1] - 1):
        torn = data[:cut] + bytes(zeros)
        if not zeros:
            assert accepted(torn, BODIES, range(8 * ends[-2])) == []
            # A flip in the tail is found, or the tail is dropped all the same.
            accepted(torn, BODIES, range(8 * ends[-2], 8 * cut))
    assert accepted(data[: ends[-2]] + bytes(zeros), BODIES, range(8 * ends[-2])) == []


def test_a_payload_that_holds_a_journal_hides_no_torn_tail() -> None:
    inner, _ = whole(BODIES)
    old, _ = earlier(BODIES)
    data, ends = whole([b"\x91", b"\x91" + inner + inner[20:] + MARK * 20 + old])
    for cut in range(ends[0], len(data)):
        assert read(data[:cut]).bodies == [b"\x91"]


def test_a_record_is_valid_at_its_place_only() -> None:
    data, ends = whole([b"\x91aaa"] * 6)
    each = ends[1] - ends[0]
    for changed in (
        data[: ends[1]] + data[ends[2] :],
        data[: ends[1]] + data[ends[0] :],
        data[: ends[1]] + data[ends[3] : ends[4]],
    ):
        assert (len(changed) - ends[0]) % each == 0
        with pytest.raises(DamagedJournal):
            read(changed)


@given(st.binary(max_size=80), st.binary(max_size=80), st.integers(0, 3))
def test_no_noise_is_read_as_more_than_was_written(noise: bytes, body: bytes, keep: int) -> None:
    bodies = [body] * 4
    data, ends = whole(bodies)
    for least, changed in ((keep + 1, data[: ends[keep]]), (keep, data[: ends[keep] - 3])):
        try:
            found = read(changed + noise).bodies
        except DamagedJournal:
            continue
        assert found == bodies[: len(found)]
        assert len(found) >= least


def test_a_newer_form_says_so() -> None:
    body = MAGIC + bytes((FORM + 1,)) + MARK + b"more"
    head = len(body).to_bytes(4, "big") + crc32(body).to_bytes(4, "big")
    with pytest.raises(NewerJournal, match="form 3") as raised:
        read(head + body + b"anything")
    assert "upgrade" in str(raised.value)


# The earlier form.


def test_the_earlier_form_is_read() -> None:
    data, ends = earlier(BODIES)
    found = read(data)
    assert (found.bodies[1:], found.end, found.mark) == (BODIES, len(data), b"")
    for cut in range(1, len(data)):
        assert len(read(data[:cut]).bodies) == sum(end <= cut for end in ends)
    assert read(bytes(4096)) == ([], 0, b"")


def test_every_flipped_bit_of_the_earlier_form_is_damage() -> None:
    data, _ = earlier(BODIES)
    assert accepted(data, [], range(8 * len(data))) == []


def test_a_release_that_knows_the_earlier_form_only_refuses_this_one() -> None:
    # There a first record that claims to be longer than the file was torn, and was cut off.
    data = header(MARK)
    size = int.from_bytes(data[:4], "big")
    assert 8 + size == len(data)
    assert crc32(data[8:]).to_bytes(4, "big") == data[4:8]
    assert not isinstance(msgspec.msgpack.decode(data[8:9] + b"\xc0" * 18), list)


@pytest.mark.parametrize("data", [b"some text of a user", b"\x00\x00\x01" * 9, b"\x01" * 600])
def test_a_file_of_another_kind_is_not_taken_for_a_torn_journal(data: bytes) -> None:
    with pytest.raises(DamagedJournal):
        read(data)
