"""Journals that earlier releases wrote are read, and their entries have the same bytes today."""

import asyncio
import base64
import os
from pathlib import Path
from typing import Any, Final

import pytest

from causal import Announcing, Hybrid, HybridPlain, Machine, PeerDown, Unicast, records
from causal.endpoint import AsyncEndpoint
from causal.journal import Began, Dealt, Down, Got, Journal, Sent, WrongJournal
from causal.messages import Ack, Data, Delivered, Release
from causal.records import DamagedJournal
from causal.recovery import recover
from causal.transports.memory import MemoryHub
from message_passing.network import Guarantee
from message_passing.process import Deliver, Event, Invoke, Receive

BEFORE: Final[list[Event[Any, Any]]] = [
    Receive("a", Data(2, 0, True, b"job")),
    Invoke(Unicast("b", b"held")),
    Invoke(Unicast("a", b"seen")),
    Receive("a", Ack(2)),
    Invoke(Unicast("c", b"note")),
    Receive("d", Data(5, 4, False, b"late")),
    Receive("b", Delivered("a", 5)),
    Receive("a", Data(3, 2, True, b"more")),
    Invoke(Unicast("d", b"eager")),
    Invoke(Unicast("a", b"again")),
]
AFTER: Final[list[Event[Any, Any]]] = [
    Receive("d", Data(4, 0, False, b"first")),
    Invoke(Unicast("b", b"last")),
    Receive("a", Release(2)),
    Invoke(PeerDown("b")),
]
ENTRIES: Final = [
    Dealt(),
    Got("d", Data(4, 0, False, b"first")),
    Sent("b", b"last"),
    Got("a", Release(2)),
    Down("b"),
]
#: In the earlier form, a record an entry: a snapshot after `BEFORE` and then `ENTRIES`.
WRITTEN: Final = {
    "hybrid": (
        "AAAAI/jMM/mVpUJlZ2FuoWOUoWGhYqFjoWTECDEyMzQ1Njc4pmh5YnJpZAAAAbe29Dvmk6ZSZXN0ZWSZqFNuYXBz"
        "aG90lJIBiKR0eXBlo093bqVwYXJ0eQGkbmVlZAKncGF5bG9hZMQEaGVsZKRwcmV2AKRzZW50wqZzZWNyZXTCpWFj"
        "a2VkwpICiKR0eXBlo093bqVwYXJ0eQCkbmVlZAKncGF5bG9hZMCkcHJldgCkc2VudMOmc2VjcmV0w6VhY2tlZMOS"
        "BIikdHlwZaNPd26lcGFydHkDpG5lZWQDp3BheWxvYWTEBWVhZ2VypHByZXYApHNlbnTCpnNlY3JldMKlYWNrZWTC"
        "kgWIpHR5cGWjT3dupXBhcnR5AKRuZWVkA6dwYXlsb2FkxAVhZ2FpbqRwcmV2AqRzZW50w6ZzZWNyZXTDpWFja2Vk"
        "wpWnQ3Vyc29ycwYBAQSSkgGDpHR5cGWkS2VwdKVwYXJ0eQCiaWQCkgKDpHR5cGWkS2VwdKVwYXJ0eQCiaWQDladD"
        "dXJzb3JzAwEAA5KZpkNvdW50cwAFAgADAJDEAJmmQ291bnRzAwAAAAAAkZakRGF0YQUEwsQEbGF0ZZDEAAEBkJOT"
        "oWECxANqb2KToWMDxARub3Rlk6FhA8QEbW9yZQAAAAfrvOuKkaVEZWFsdAAAABjRkrpjk6NHb3ShZJakRGF0YQQA"
        "wsQFZmlyc3SQAAAADv0ZqXqTpFNlbnShYsQEbGFzdAAAABILa3mnk6NHb3ShYZOnUmVsZWFzZQKQAAAACJTJwK2S"
        "pERvd26hYg=="
    ),
    "announcing": (
        "AAAAJz+/gbGVpUJlZ2FuoWOUoWGhYqFjoWTECDEyMzQ1Njc4qmFubm91bmNpbmcAAAG4ewzNJJOmUmVzdGVkmahT"
        "bmFwc2hvdJSSAYikdHlwZaNPd26lcGFydHkBpG5lZWQCp3BheWxvYWTEBGhlbGSkcHJldgCkc2VudMKmc2VjcmV0"
        "wqVhY2tlZMKSAoikdHlwZaNPd26lcGFydHkApG5lZWQCp3BheWxvYWTApHByZXYApHNlbnTDpnNlY3JldMOlYWNr"
        "ZWTDkgSIpHR5cGWjT3dupXBhcnR5A6RuZWVkA6dwYXlsb2FkxAVlYWdlcqRwcmV2AKRzZW50wqZzZWNyZXTCpWFj"
        "a2VkwpIFiKR0eXBlo093bqVwYXJ0eQCkbmVlZAOncGF5bG9hZMQFYWdhaW6kcHJldgKkc2VudMOmc2VjcmV0w6Vh"
        "Y2tlZMKVp0N1cnNvcnMGAQEEkpIBg6R0eXBlpEtlcHSlcGFydHkAomlkApICg6R0eXBlpEtlcHSlcGFydHkAomlk"
        "A5WnQ3Vyc29ycwMBAAOSmaZDb3VudHMABQIAAwCQxAEWmaZDb3VudHMDAAAAAACRlqREYXRhBQTCxARsYXRlkMQA"
        "AQGQk5OhYQLEA2pvYpOhYwPEBG5vdGWToWEDxARtb3JlAAAAB+u864qRpURlYWx0AAAAGNGSumOTo0dvdKFklqRE"
        "YXRhBADCxAVmaXJzdJAAAAAO/RmpepOkU2VudKFixARsYXN0AAAAEgtreaeTo0dvdKFhk6dSZWxlYXNlApAAAAAI"
        "lMnArZKkRG93bqFi"
    ),
}


#: In today's form: what a journal of "c" begins with, and then `ENTRIES` in two appends.
TODAY: Final = (
    "AAAADEUIbWyJY2F1c2FsAu3h8+vt4fPrAAAAJMBB68pupuQ8kZWlQmVnYW6hY5ShYaFioWOhZMQIMTIzNDU2Nzim"
    "aHlicmlkw+3h8+sAAAAIMhqMUx1r4UqRkaVEZWFsdMPt4fPrAAAAQYsLa3J2qOMhlJOjR290oWSWpERhdGEEAMLE"
    "BWZpcnN0kJOkU2VudKFixARsYXN0k6NHb3ShYZOnUmVsZWFzZQKQkqREb3duoWLD"
)


def built(kind: type[Hybrid]) -> Hybrid:
    return kind("c", "abcd", links=Guarantee.UNORDERED_LOSSY_DUPLICATING)


def after(
    machine: Machine[Any], state: Any, events: list[Event[Any, Any]]
) -> tuple[Any, list[tuple[str, int, bytes]]]:
    """The state after the events, and what they delivered."""
    delivered = []
    for event in events:
        step = machine.step(state, event, 0.0)
        state = step.state
        delivered += [
            (c.src, c.message.id, c.message.payload) for c in step.commands if type(c) is Deliver
        ]
    return state, delivered


@pytest.mark.parametrize("kind", [Hybrid, Announcing])
def test_a_journal_of_an_earlier_release_is_recovered(tmp_path: Path, kind: type[Hybrid]) -> None:
    path, machine = tmp_path / "j", built(kind)
    path.write_bytes(base64.b64decode(WRITTEN[kind.name]))
    journal = Journal(path)
    recovered = recover(machine, journal.open())
    journal.close()
    assert recovered.incarnation == b"12345678"
    state, delivered = after(machine, machine.initial(), BEFORE + AFTER)
    assert recovered.state == state
    assert list(recovered.inbox) == delivered[1:]


@pytest.mark.parametrize("kind", [Hybrid, Announcing])
def test_its_first_append_brings_it_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Hybrid]
) -> None:
    path, data = tmp_path / "j", base64.b64decode(WRITTEN[kind.name])
    torn = data + b"\0\0\0\x09torn"
    path.write_bytes(torn)
    journal = Journal(path)
    entries = journal.open()
    with monkeypatch.context() as patched:
        # A crash before the new file takes the path leaves the earlier one as it was.
        patched.setattr(os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            journal.append([])
    assert path.read_bytes() == torn
    journal = Journal(path)
    assert journal.open() == entries
    journal.append([])
    assert path.read_bytes().startswith(records.header(path.read_bytes()[16:20]))
    journal.append([Sent("b", b"more")])
    journal.close()
    journal = Journal(path)
    assert journal.open() == [*entries, Sent("b", b"more")]
    journal.close()


def crash(*paths: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("kind", [Hybrid, Announcing])
def test_an_endpoint_goes_on_with_it(tmp_path: Path, kind: type[Hybrid]) -> None:
    path, data = tmp_path / "j", base64.b64decode(WRITTEN[kind.name])
    path.write_bytes(data)

    async def main() -> None:
        hub = MemoryHub()
        for name, machine in (("a", kind), ("c", HybridPlain)):
            journal = Journal(path)
            with pytest.raises(WrongJournal):
                await AsyncEndpoint(
                    name, "abcd", hub.transport(), journal=journal, machine=machine
                ).open()
        assert path.read_bytes() == data, "one that is refused changes nothing"
        for _ in range(2):
            journal = Journal(path)
            c = AsyncEndpoint("c", "abcd", hub.transport(), journal=journal, machine=kind)
            async with c:
                state, _ = after(c.machine, c.machine.initial(), BEFORE + AFTER)
                assert c.machine.snapshot(c.state) == c.machine.snapshot(state)
            assert records.read(path.read_bytes()).mark

    asyncio.run(main())


@pytest.mark.parametrize("kind", [Hybrid, Announcing])
def test_its_flipped_bits_are_damage(kind: type[Hybrid]) -> None:
    data = base64.b64decode(WRITTEN[kind.name])
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedJournal):
            records.read(bytes(changed))


@pytest.mark.parametrize("kind", [Hybrid, Announcing])
def test_an_entry_is_written_as_it_was(tmp_path: Path, kind: type[Hybrid]) -> None:
    journal = Journal(tmp_path / "j")
    journal.open()
    journal.append([Began("c", tuple("abcd"), b"12345678", kind.name)])
    journal.append(ENTRIES)
    journal.close()
    first, rest = records.read((tmp_path / "j").read_bytes()).bodies
    # A record has an array of entries, whose head is one byte up to fifteen.
    assert (first[0], rest[0]) == (0x91, 0x90 + len(ENTRIES))
    began, _, *entries = records.read(base64.b64decode(WRITTEN[kind.name])).bodies
    assert [first[1:], rest[1:]] == [began, b"".join(entries)]


def test_a_journal_has_the_bytes_that_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "urandom", lambda count: b"mark"[:count])
    journal = Journal(tmp_path / "j")
    journal.open()
    journal.append([Began("c", tuple("abcd"), b"12345678", "hybrid")])
    journal.append(ENTRIES[:1])
    journal.append(ENTRIES[1:])
    journal.close()
    assert (tmp_path / "j").read_bytes() == base64.b64decode(TODAY)
