"""The rule by which several homes stand or fall as one."""

import pytest
from msgspec.structs import replace

from coherence.directory import Home
from coherence.joint import Joint, Part, joint
from coherence.messages import Check, GetM, Nack, PutM, Refusal
from coherence.policy import Lazy, Visibility
from coherence.states import HomeAt, HomeState, Sharer, Verdict
from message_passing.process import Receive

HOME = Home(Lazy())
STRICT = Home(Lazy(visibility=Visibility.STRICT, validity=20, grant_lease=10))
NEVER = HomeState()


def part(artifact, message, before=NEVER, home=HOME, src="ann"):
    return Part(artifact, message, before, home.step(before, Receive(src, message), 0.0))


def commit(artifact, before=NEVER, *, serial=1, base=0, **of):
    return part(artifact, PutM(serial, base, 0, "new"), before, **of)


def check(artifact, base, before=NEVER):
    return part(artifact, Check(0, base), before)


def test_what_no_home_refuses_stands():
    assert joint("ann", [commit("x"), commit("y")], [check("z", 0)]) == Joint()
    assert joint("ann", [commit("x")]).stands


def test_every_refusal_is_named():
    two = HomeState(HomeAt.I, 2, "two")
    judgement = joint("ann", [commit("x", two), commit("y")], [check("z", 1, two), check("w", 0)])
    stale = Refusal.STALE
    assert judgement.refused == {"x": Nack(1, stale, 2), "z": Nack(0, stale, 2)}
    assert not judgement.stands


@pytest.mark.parametrize("home", [HOME, STRICT])
def test_what_is_sent_again_and_was_made_stands_whatever_it_read_has_become(home):
    """Trap 3: a naive veto tells the caller that a transaction is refused which stands."""
    reader = replace(NEVER, at=HomeAt.S, sharers=(Sharer("bob", 1),))
    made = commit("x", reader, home=home).step.state
    assert made.at is (HomeAt.S_A if home is STRICT else made.at)
    again = joint("ann", [commit("x", made, home=home)], [check("z", 1)])
    assert again == Joint(again=True)
    assert again.stands


def test_one_home_that_remembers_it_is_enough():
    """The other's verdict was pushed out by later writers."""
    made = commit("x").step.state
    forgotten = replace(commit("y").step.state, verdicts=())
    assert joint("ann", [commit("x", made), commit("y", forgotten)]).stands
    assert joint("ann", [commit("y", forgotten), commit("x", made)]).stands


def test_what_was_refused_before_is_refused_again():
    refused = HomeState(verdicts=(Verdict("ann", 1, 0, Refusal.BUSY),))
    assert joint("ann", [commit("x", refused)]).refused == {"x": Nack(1, Refusal.BUSY, 0)}


def test_nothing_is_checked_for_a_transaction_that_was_made():
    def never():
        pytest.fail("a home was asked")
        yield

    made = commit("x").step.state
    assert joint("ann", [commit("x", made)], never()).again


def test_what_a_later_session_has_overtaken_does_not_stand():
    """Its home ignores it.  A transaction that stood without it would be torn."""
    later = HOME.step(NEVER, Receive("ann", GetM(9, 0)), 0.0).state
    judgement = joint("ann", [commit("x", later), commit("y")])
    assert judgement == Joint(overtaken=("x",))
    assert not judgement.stands
    later = replace(NEVER, verdicts=(Verdict("ann", 9, 1, None),))
    assert joint("ann", [commit("x", later)]).overtaken == ("x",)


def test_a_refusal_of_another_request_is_none():
    home = HomeState(HomeAt.I, 2, "two", verdicts=(Verdict("ann", 1, 2, None),))
    assert joint("bob", [part("x", PutM(1, 2, 0, "new"), home, src="bob")]) == Joint()
