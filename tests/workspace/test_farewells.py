"""What is said to a home in the name of agents that are gone, and what it makes of it."""

import pytest

from coherence import Lazy, Visibility
from coherence.directory import Home
from coherence.messages import SERIAL_BITS, GetM, GetS, Leave, PutE, PutM
from coherence.runtime.farewells import Fate, farewells, present, session_of, waited_for
from coherence.states import HomeAt
from message_passing.process import Receive

POLICY = Lazy(grant_lease=10.0)
STRICT = Lazy(grant_lease=10.0, visibility=Visibility.STRICT, validity=10.0)


def serial(session, number=1):
    return session << SERIAL_BITS | number


def after(*events, policy=POLICY):
    """The state of a home after these messages: who, and what."""
    home = Home(policy)
    state = home.initial()
    for src, message in events:
        state = home.step(state, Receive(src, message), 0.0).state
    return state


def ending(*sessions):
    """Those sessions have ended; of the others the newest one counts, and lives."""

    def fate(agent, session):
        if (agent, session) in sessions:
            return Fate.ENDED
        newest = max((s for a, s in sessions if a == agent), default=session)
        return Fate.SUPERSEDED if session < newest else Fate.LIVE

    return fate


def superseded(agent, newest):
    return lambda name, session: (
        Fate.SUPERSEDED if name == agent and session < newest else Fate.LIVE
    )


def said(state, fates, policy=POLICY):
    """The state after what is said."""
    home = Home(policy)
    for src, message in farewells(state, fates):
        state = home.step(state, Receive(src, message), 0.0).state
    return state


QUEUE = after(
    ("ann", GetM(serial(1), 0)),
    ("bob", GetM(serial(2), 0)),
    ("cyd", GetM(serial(3), 0)),
    ("dan", GetM(serial(4), 0)),
)


def test_who_is_waited_for():
    assert waited_for(QUEUE) == {
        agent: serial(n) for n, agent in enumerate(("ann", "bob", "cyd", "dan"), 1)
    }
    assert waited_for(after(("ann", GetS(serial(1), 0)))) == {}
    assert session_of(serial(77, 5)) == 77
    heard = after(("ann", GetM(serial(1), 0)), ("ann", GetS(serial(1, 9), 0)))
    assert waited_for(heard) == {"ann": serial(1, 9)}, "the newest that home has heard"


def test_nothing_is_said_for_those_that_live():
    assert farewells(QUEUE, ending()) == []
    assert farewells(after(), ending(("ann", 1))) == []


@pytest.mark.parametrize("gone", [("ann", 1), ("bob", 2), ("cyd", 3), ("dan", 4)])
def test_one_that_is_gone_is_forgotten_and_the_others_keep_their_places(gone):
    state = said(QUEUE, ending(gone))
    left = [agent for agent in ("ann", "bob", "cyd", "dan") if agent != gone[0]]
    assert [state.owner, *[waiter.cache for waiter in state.queue]] == left
    assert gone[0] not in {sharer.cache for sharer in state.sharers}
    assert state.epoch == (2 if gone[0] == "ann" else 1)


def test_all_that_are_gone_are_forgotten_at_once_and_none_is_granted():
    state = said(QUEUE, ending(("ann", 1), ("bob", 2), ("cyd", 3)))
    assert (state.owner, state.queue, state.epoch) == ("dan", (), 2)
    everybody = ending(("ann", 1), ("bob", 2), ("cyd", 3), ("dan", 4))
    assert said(QUEUE, everybody).at is HomeAt.I


def test_acknowledgements_of_those_that_are_gone_are_not_waited_for():
    state = after(
        ("bob", GetS(serial(2), 0)),
        ("cyd", GetS(serial(3), 0)),
        ("ann", PutM(serial(1), 0, 0, None)),
        policy=STRICT,
    )
    assert state.at is HomeAt.S_A
    assert set(waited_for(state)) == {"bob", "cyd"}
    state = said(state, ending(("bob", 2)), STRICT)
    assert state.at is HomeAt.S_A
    assert said(state, ending(("cyd", 3)), STRICT).at is HomeAt.E


def test_a_newer_session_keeps_what_it_has():
    """The owner was killed, started again under its name, and has read: the grant is over."""
    state = after(
        ("ann", GetM(serial(1), 0)),
        ("bob", GetM(serial(2), 0)),
        ("ann", GetS(serial(5), 0)),
    )
    assert farewells(state, superseded("ann", 5)) == [("ann", PutE(serial(1), state.epoch))]
    state = said(state, superseded("ann", 5))
    assert state.owner == "bob"
    assert [(each.cache, each.serial) for each in state.sharers] == [
        ("ann", serial(5)),
        ("bob", serial(2)),
    ]


def test_a_newer_session_keeps_its_place_in_the_queue():
    state = after(
        ("ann", GetM(serial(1), 0)), ("bob", GetM(serial(2), 0)), ("bob", GetM(serial(6), 0))
    )
    assert farewells(state, superseded("bob", 6)) == []
    assert farewells(QUEUE, superseded("bob", 6)) == [("bob", PutE(serial(2), 0))]
    left = [waiter.cache for waiter in said(QUEUE, superseded("bob", 6)).queue]
    assert left == ["cyd", "dan"]


def test_a_copy_of_a_session_that_was_superseded_is_waited_for():
    """Its process may live, and serve that copy: only its lease or an answer ends that."""
    state = after(("bob", GetS(serial(2), 0)), ("ann", PutM(serial(1), 0, 0, None)), policy=STRICT)
    assert farewells(state, superseded("bob", 6)) == []


def test_a_farewell_that_comes_late_takes_nothing():
    """The grant has gone on, or the agent has asked again, since somebody looked."""
    [farewell] = farewells(QUEUE, ending(("ann", 1)))
    assert farewell == ("ann", Leave(serial(1)))
    home = Home(POLICY)
    asked = home.step(QUEUE, Receive("ann", GetM(serial(1, 2), 0)), 0.0).state
    assert home.step(asked, Receive(*farewell), 0.0).state == asked
    [given] = farewells(QUEUE, superseded("ann", 9))
    free = home.step(QUEUE, Receive(*given), 0.0).state
    assert free.owner == "bob"
    assert home.step(free, Receive(*given), 0.0).state.owner == "bob"
    renewed = home.step(QUEUE, Receive("ann", GetM(serial(9), 0)), 0.0).state
    assert home.step(renewed, Receive(*given), 0.0).state == renewed, "the newer session owns it"


def test_what_is_shown_is_of_members_only():
    state = after(
        ("eve", GetS(serial(9), 0)), *[("ann", GetM(serial(1), 0)), ("bob", GetM(serial(2), 0))]
    )
    shown = present(state, {("bob", 2), ("ann", 7)})
    assert (shown.owner, shown.sharers) == ("", ())
    assert [waiter.cache for waiter in shown.queue] == ["bob"]
    assert present(state, {("ann", 1), ("bob", 2), ("eve", 9)}) == state
