"""Journals that earlier releases wrote are read, and today's journals have the same bytes."""

import base64
from pathlib import Path
from typing import Any, Final

import pytest

from causal import Announcing, Hybrid, Machine, PeerDown, Unicast
from causal.journal import Dealt, Down, Got, Journal, Sent
from causal.messages import Ack, Data, Delivered, Release
from causal.recovery import recover
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
#: Written before machines made their own snapshots: a snapshot after `BEFORE` and then `ENTRIES`.
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
