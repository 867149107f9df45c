"""What a policy may say, what it may not, and that the short way to a hit is the table's."""

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from play import PushSmall, Team

from coherence.cache import Cache
from coherence.directory import Home
from coherence.messages import GetS, Load, PutM, Update
from coherence.policy import (
    AccessCount,
    Broadcast,
    Eager,
    InvalidPolicy,
    Lazy,
    Lease,
    Policy,
    Use,
    Visibility,
)
from coherence.states import CacheAt, CacheState
from coherence.table import Stalled
from message_passing.errors import CallerError
from message_passing.process import Invoke, Receive, Respond, Send


@pytest.mark.parametrize("name", ["validity", "grant_lease", "retry_after"])
@pytest.mark.parametrize("value", [0, -1, nan, "5"])
def test_a_duration_is_positive(name, value):
    if (name, value) == ("validity", 0):
        assert Policy(validity=0).validity == 0  # a copy that is never served unconfirmed
        return
    with pytest.raises(InvalidPolicy, match=name):
        Policy(**{name: value})
    assert getattr(Policy(**{name: inf}), name) == inf


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        (Policy, {"visibility": "strict", "validity": 5}, "visibility is 'strict'"),
        (Policy, {"delta_window": -1}, "delta_window is -1"),
        (Policy, {"memory": 0}, "memory is 0"),
        (Lease, {}, "a lease without a length"),
        (Lease, {"validity": 0}, "a lease without a length"),
        (AccessCount, {"max_accesses": 0}, "max_accesses is 0"),
        (Broadcast, {"period": 0}, "push_every is 0"),
        (Broadcast, {"visibility": Visibility.STRICT, "validity": 5}, "periodic push"),
    ],
)
def test_what_contradicts_itself_is_refused(kind, settings, said):
    with pytest.raises(InvalidPolicy, match=said) as caught:
        kind(**settings)
    assert isinstance(caught.value, CallerError)
    assert caught.value.remedy


def test_a_home_needs_a_bound_for_readers_that_vanish():
    """A policy may leave it open: a workspace has a default, a home of one's own has none."""
    with pytest.raises(InvalidPolicy, match="strict visibility without a validity") as caught:
        Home(Lazy(visibility=Visibility.STRICT))
    assert "validity" in caught.value.remedy
    Home(Lazy(visibility=Visibility.STRICT, validity=5))


def test_a_policy_of_ones_own():
    home = Home(PushSmall(validity=10), version=1, content="one")
    state = home.initial()
    told = []
    for src, message in (
        ("bob", GetS(1, 0)),
        ("ann", PutM(1, 1, 0, "short")),
        ("ann", PutM(2, 2, 0, "a long one indeed")),
    ):
        step = home.step(state, Receive(src, message), 0)
        state = step.state
        sends = [command for command in step.commands if isinstance(command, Send)]
        told += [type(send.message).__name__ for send in sends if send.dst == "bob"]
    assert told == ["Data", "Update", "Inv"]
    # What was awaited of the update is not awaited of the invalidation after it.
    assert state.unacked == ()


def test_a_delta_is_offered_within_the_window_only():
    home = Home(Lazy(delta_window=1), version=3, content="three")
    bases = []
    for have, held in (1, "one"), (2, "two"), (3, "three"):
        (answer,) = home.step(home.initial(), Receive("ann", GetS(1, have, held)), 0).commands
        bases.append((answer.message.base, answer.message.content))
    assert bases == [(0, "three"), (2, "three"), (3, None)]


def test_an_update_says_what_a_delta_may_assume():
    home = Home(Eager(), version=1, content="one")
    state = home.step(home.initial(), Receive("bob", GetS(1, 0)), 0).state
    commands = home.step(state, Receive("ann", PutM(1, 1, 0, "two")), 0).commands
    assert Send("bob", Update(2, 1, "two")) in commands


@given(
    st.builds(
        CacheState,
        at=st.sampled_from(CacheAt),
        version=st.integers(1, 9),
        content=st.text(max_size=3),
        dead_through=st.just(0),
        uses=st.integers(0, 4),
        asked=st.just(GetS(1, 0)),
    ),
    st.sampled_from([Lazy(), Eager(validity=5), AccessCount(max_accesses=2)]),
)
def test_the_short_way_to_a_hit_is_what_the_table_does(state, policy):
    cache = Cache(policy)
    short = cache.hit(state)
    try:
        step = cache.step(state, Invoke(Load()), 0)
    except Stalled:
        assert short is None
        return
    unchanged = step.state == state and step.commands == (Respond(short),)
    assert (short is not None) == (unchanged and policy.use(state) is Use.FREE)


def test_a_hit_that_is_counted_takes_the_table():
    state = CacheState(CacheAt.S, 1, "one", 0, uses=0)
    assert Cache(AccessCount(max_accesses=2)).hit(state) is None
    assert Cache(Lazy()).hit(state) is not None


def test_a_team_is_told_of_a_command_that_does_not_exist():
    with pytest.raises(ValueError, match="no such command"):
        Team()("dance")
