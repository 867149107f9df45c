"""The link of the tests itself: what it calls a round trip."""

import pytest
from postgres_link import Trip

OPENING = b"\0\0\0\x09\0\3\0\0\0"


def bind(name):
    body = b"\0" + name + b"\0"
    return b"B" + (4 + len(body)).to_bytes(4, "big") + body


SENT = OPENING + b"".join(map(bind, (b"BEGIN", b"UPDATE", b"COMMIT")))


@pytest.mark.parametrize("at", range(len(SENT) + 1))
def test_a_message_that_an_answer_cuts_in_two_is_of_the_second_trip(at):
    first = Trip(1, SENT[:at])
    second = Trip(1, first.take_begun() + SENT[at:])
    assert first.statements + second.statements == ["BEGIN", "UPDATE", "COMMIT"]
    assert first.data + second.data == SENT
