"""A member's state beside the machine: what is said, held, ready, given up, saved and loaded."""

import json

import pytest

from causal import UnknownPeer
from causal.member import Member

TEAM = ["ann", "bob", "cyd"]


def members():
    return {name: Member(name, TEAM) for name in TEAM}


def say(member):
    with member.saying() as clock:
        return clock


def taken(member):
    said = list(member.ready)
    member.ready.clear()
    return said


def test_what_comes_early_is_held_until_what_caused_it_has_come():
    ann, bob, cyd = members().values()
    question = say(ann)
    assert taken(ann) == [], "what it says itself it need not hear"
    bob.hear("ann", question, "question")
    answer = say(bob)
    early = cyd.hear("bob", answer, "answer")
    assert cyd.is_held(early)
    assert not cyd.knows(answer)
    assert taken(cyd) == []
    cyd.hear("ann", question, "question")
    assert taken(cyd) == ["question", "answer"]
    assert cyd.knows(answer)
    assert cyd.held == ()


def test_what_was_not_sent_is_taken_back():
    ann, bob, _ = members().values()
    with pytest.raises(OSError, match="no way"), ann.saying():
        raise OSError("no way out")
    assert ann.clock == (0, 0, 0)
    saying = ann.saying()
    saying.__enter__()
    ann.hear("bob", say(bob), "meanwhile")  # somebody may know of it by now
    assert not saying.__exit__(OSError, OSError("no way out"), None)
    assert ann.clock == (1, 1, 0)


def test_what_is_given_up_never_becomes_ready_nor_does_what_it_caused():
    ann, bob, _ = members().values()
    clocks = [say(ann) for _ in range(3)]
    second = bob.hear("ann", clocks[1], "second")
    bob.give_up(second)
    assert not bob.is_held(second)
    bob.hear("ann", clocks[2], "third")
    bob.hear("ann", clocks[0], "first")
    assert taken(bob) == ["first"]
    assert [packet.payload for packet in bob.held] == ["third"]


def test_a_saved_state_is_plain_and_goes_on():
    ann, bob, _ = members().values()
    clocks = [say(ann) for _ in range(3)]
    bob.hear("ann", clocks[2], "third")
    bob.hear("ann", clocks[0], "first")
    again = Member("bob", TEAM)
    again.load(json.loads(json.dumps(bob.save(str.upper))), str.lower)
    assert taken(again) == ["first"]
    again.hear("ann", clocks[1], "second")
    assert taken(again) == ["second", "third"]


def test_who_loads_anothers_state_repeats_no_count():
    ann, bob, _ = members().values()
    say(ann)
    ann.load(bob.save(str), str)
    assert say(ann) == (2, 0, 0)


def test_a_stranger_is_no_member():
    with pytest.raises(UnknownPeer):
        Member("eve", TEAM)
