"""The wire: everything goes round, and nothing but what a codec writes comes in."""

from __future__ import annotations

from typing import Any, Union
from zlib import crc32

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from message_passing import (
    BadCodec,
    Codec,
    Damaged,
    Envelope,
    Malformed,
    Oversized,
    PeerError,
    TooLarge,
    Unencodable,
    UnknownVersion,
    Value,
)


class Data(Value, frozen=True, gc=False, tag=True):
    """Every kind of field that a message may have."""

    version: int
    text: str
    raw: bytes = b""
    ratio: float = 0.0
    holders: frozenset[str] = frozenset()
    marks: tuple[tuple[str, int], ...] = ()
    previous: str | None = None


class Ping(Value, frozen=True, gc=False, tag=True):
    """No field at all."""


class Nested(Value, frozen=True):
    """As deep as one likes."""

    inner: Nested | None = None


class Checked(Value, frozen=True, gc=False, tag=True):
    """Refuses some of its values."""

    count: int

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError("negative")


Message = Data | Ping | Nested | Checked
CODEC = Codec(Message, max_bytes=4096)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
messages = st.one_of(
    st.just(Ping()),
    st.builds(Checked, st.integers(0, 2**63)),
    st.builds(
        Data,
        version=st.integers(-(2**63), 2**64 - 1),
        text=text,
        raw=st.binary(max_size=20),
        ratio=st.floats(allow_nan=False),
        holders=st.frozensets(text, max_size=5),
        marks=st.lists(st.tuples(text, st.integers(-(2**63), 2**63)), max_size=3).map(tuple),
        previous=st.none() | text,
    ),
)
envelopes = st.builds(Envelope, text, text, st.integers(1, 2**63), messages)


def packet(body: bytes, *, magic: bytes = b"\xc1m", version: int = 1) -> bytes:
    """A packet forged with a checksum that fits."""
    return magic + bytes([version]) + crc32(body).to_bytes(4, "big") + body


def fields(**changed: Any) -> dict[str, Any]:
    """An envelope as a forger would build it."""
    message = {"type": "Checked", "count": 1}
    whole = {"type": "Envelope", "src": "a", "dst": "b", "seq": 1, "message": message}
    return whole | changed


@given(envelopes)
def test_every_envelope_goes_round(envelope: Envelope[Any]) -> None:
    assert CODEC.decode(CODEC.encode(envelope)) == envelope


def test_the_forger_can_write_what_the_codec_writes() -> None:
    # Or the refusals below would prove nothing.
    assert CODEC.decode(packet(msgspec.msgpack.encode(fields()))).message == Checked(1)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(PeerError):
        CODEC.decode(data)


@given(st.binary(max_size=200))
def test_random_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(PeerError):
        CODEC.decode(packet(body))


@given(envelopes, st.data())
def test_any_flipped_bit_is_noticed(envelope: Envelope[Any], data: st.DataObject) -> None:
    whole = bytearray(CODEC.encode(envelope))
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8
    with pytest.raises(PeerError):
        CODEC.decode(bytes(whole))


@given(envelopes, st.data())
def test_every_truncation_is_noticed(envelope: Envelope[Any], data: st.DataObject) -> None:
    whole = CODEC.encode(envelope)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(Damaged):
        CODEC.decode(whole[:cut])
    if cut > 7:
        with pytest.raises(Malformed):  # with a checksum that fits
            CODEC.decode(packet(whole[7:cut]))


@given(envelopes, st.binary(min_size=1, max_size=10))
def test_trailing_bytes_are_noticed(envelope: Envelope[Any], more: bytes) -> None:
    whole = CODEC.encode(envelope)
    with pytest.raises(Damaged):
        CODEC.decode(whole + more)
    with pytest.raises(Malformed):
        CODEC.decode(packet(whole[7:] + more))


@given(envelopes, st.data())
def test_what_a_forger_changes_is_refused_or_is_an_envelope_of_the_schema(
    envelope: Envelope[Any], data: st.DataObject
) -> None:
    body = bytearray(CODEC.encode(envelope)[7:])
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        got = CODEC.decode(packet(bytes(body)))
    except PeerError:
        return
    assert type(got.message) in (Data, Ping, Nested, Checked)
    assert CODEC.decode(CODEC.encode(got)) == got or got != got  # a forged NaN equals nothing


@pytest.mark.parametrize(
    "forged",
    [
        fields(seq=0),
        fields(seq=-1),
        fields(seq="1"),
        fields(seq=1.0),
        fields(src=7),
        fields(src=None),
        fields(extra=1),
        fields(type="Invoke"),
        fields(message=None),
        fields(message={"count": 1}),
        fields(message={"type": "Nobody"}),
        fields(message={"type": "Checked"}),
        fields(message={"type": "Checked", "count": "1"}),
        fields(message={"type": "Checked", "count": True}),
        fields(message={"type": "Checked", "count": -1}),
        fields(message={"type": "Checked", "count": 1, "more": 2}),
        fields(message={"type": "Data", "version": 1, "text": "defaults left out"}),
        [],
        None,
        {},
    ],
)
def test_a_forged_body_is_malformed(forged: Any) -> None:
    with pytest.raises(Malformed) as caught:
        CODEC.decode(packet(msgspec.msgpack.encode(forged)))
    assert caught.value.fault == "peer"


@pytest.mark.parametrize(
    ("found", "forged"),
    [
        (b"\x01\xa7message", b"\xcd\x00\x01\xa7message"),  # 1 in three bytes
        (b"\xa3seq\x01", b"\xa3seq\x01\xa3seq\x01"),  # a key twice
        (b"\xa1a", b"\xa1\xff"),  # not UTF-8
        (b"\xa1a", b"\xa3\xed\xa0\x80"),  # a lone surrogate
        (b"\xa1a", b"\xd9\x01a"),  # a short string in the long form
    ],
)
def test_a_body_in_any_but_the_one_form_is_malformed(found: bytes, forged: bytes) -> None:
    body = msgspec.msgpack.encode(fields())
    assert found in body
    longer = body.replace(found, forged, 1)
    if b"seq\x01\xa3seq" in longer:
        longer = bytes([longer[0] + 1]) + longer[1:]
    with pytest.raises(Malformed):
        CODEC.decode(packet(longer))


def test_deep_nesting_is_malformed_and_not_a_crash() -> None:
    levels = 20_000
    body = msgspec.msgpack.encode(fields(message="?"))
    nested = b"\x82\xa4type\xa6Nested\xa5inner" * levels + b"\xc0"
    deep = body.replace(b"\xa1?", nested)
    with pytest.raises(Malformed):
        Codec(Message, max_bytes=1 << 20).decode(packet(deep))


def test_a_packet_over_the_limit_is_refused_unread() -> None:
    with pytest.raises(Oversized):
        CODEC.decode(b"\0" * 4097)
    with pytest.raises(Damaged):
        CODEC.decode(b"\0" * 4096)


def test_the_limit_is_the_same_both_ways() -> None:
    envelope = Envelope("a", "b", 1, Data(1, "x" * 100))
    size = len(CODEC.encode(envelope))
    exact = Codec(Message, max_bytes=size)
    assert exact.decode(exact.encode(envelope)) == envelope
    with pytest.raises(TooLarge) as caught:
        Codec(Message, max_bytes=size - 1).encode(envelope)
    assert caught.value.fault == "caller"


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_refused_as_such(version: int) -> None:
    with pytest.raises(UnknownVersion, match=str(version)):
        CODEC.decode(packet(msgspec.msgpack.encode(fields()), version=version))


def test_another_beginning_is_no_packet() -> None:
    with pytest.raises(Damaged):
        CODEC.decode(packet(msgspec.msgpack.encode(fields()), magic=b"\xc1n"))


@pytest.mark.parametrize(
    "message",
    [
        Data(1, "\ud800"),
        Data(2**64, ""),
        Data(1, object()),  # type: ignore[arg-type]
        Envelope("a", "b", 1, Ping()),
        None,
        "text",
    ],
)
def test_what_has_no_wire_form_is_the_callers_fault(message: Any) -> None:
    with pytest.raises(Unencodable) as caught:
        CODEC.encode(Envelope("a", "b", 1, message))
    assert caught.value.fault == "caller"


def test_a_value_too_deep_to_write_is_the_callers_fault() -> None:
    value = Nested()
    for _ in range(20_000):
        value = Nested(value)
    with pytest.raises(Unencodable):
        CODEC.encode(Envelope("a", "b", 1, value))


class Bare(msgspec.Struct):
    """A struct without a tag."""


class Impostor(msgspec.Struct, tag="Data"):
    """A struct with the tag of another."""


@pytest.mark.parametrize(
    "types", [int, Data | None, Data | int, list[Data], Bare, Data | Bare, Data | Impostor, "D"]
)
def test_messages_must_be_tagged_structs(types: Any) -> None:
    with pytest.raises(BadCodec):
        Codec(types)


@pytest.mark.parametrize("max_bytes", [-1, 0, 7])
def test_a_limit_must_leave_room_for_a_packet(max_bytes: int) -> None:
    with pytest.raises(BadCodec):
        Codec(Message, max_bytes=max_bytes)


def test_one_message_type_or_a_typing_union_will_do() -> None:
    for codec in (Codec(Ping), Codec(Union[Ping, Data])):  # noqa: UP007
        envelope = Envelope("a", "b", 1, Ping())
        assert codec.decode(codec.encode(envelope)) == envelope
    with pytest.raises(Malformed):
        Codec(Ping).decode(CODEC.encode(Envelope("a", "b", 1, Checked(1))))


@given(envelopes, envelopes)
def test_different_envelopes_have_different_packets(one: Any, other: Any) -> None:
    assume(one != other)
    assert CODEC.encode(one) != CODEC.encode(other)
