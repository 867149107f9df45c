from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from coherence.cache import Cache
from coherence.invariants import well_formed
from coherence.messages import (
    Acquire,
    Commit,
    Committed,
    Data,
    GetM,
    Granted,
    Inv,
    Permission,
    PutAck,
)
from coherence.policy import Lazy
from coherence.states import CacheAt, CacheState, HomeState
from message_passing.process import Invoke, Receive, Respond, Send, Timeout
from specs.checker import Verdict, check
from specs.checker.errors import UsageError
from specs.models import mesi_restored as module
from specs.models.mesi_restored import BROKEN, mesi_restored


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize(
    "constants",
    [
        {"requests": 1},
        {"requests": 1, "ask": "Load Commit", "validity": True},
        pytest.param(
            {"requests": 1, "ask": "Acquire/wait Commit", "lease": True}, marks=pytest.mark.slow
        ),
    ],
)
def test_engines_agree(constants: dict[str, Any]) -> None:
    plain = check(mesi_restored(**constants), engine="reference")
    table = check(mesi_restored(**constants), engine="table")
    assert plain.verdict is table.verdict is Verdict.HOLDS
    assert (plain.distinct, plain.generated) == (table.distinct, table.generated)
    assert {"Save", "Restore"} <= table.actions


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("fault", BROKEN)
def test_a_home_that_looks_at_numbers_alone_is_caught_by_its_property(fault: str) -> None:
    result = check(mesi_restored(validity=fault == "confirmed a", broken=fault))
    violated = [f.name for f in result.findings if f.verdict is Verdict.VIOLATED]
    assert violated == [fault]
    path = result.finding(fault).path
    assert path is not None
    assert [action.name for action in path.actions].count("Restore") == 1


def test_what_is_in_doubt_is_claimed_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a driver that drops it, a cache goes on with a content that is nowhere any more."""

    def all_confirmed(agent: str, view: Any) -> bool:
        cache, home = view[agent], view["home"]
        return cache.version != home.version or cache.content == home.content

    monkeypatch.setattr(module, "_confirmed", all_confirmed)
    result = check(mesi_restored())
    assert result.finding("confirmed a").verdict is Verdict.VIOLATED


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(UsageError, match="one of"):
        mesi_restored(broken="nothing")


# A cache that knows a version to be dead, and a home that gives it all the same.


def behind(state: CacheState, version: int = 3) -> Any:
    return Receive("home", Data(state.serial, version, Permission.M, 5, 0, "three"))


def test_a_home_that_went_back_is_believed_the_second_time() -> None:
    """Or asking again would have no end: home renews what the cache refuses to take."""
    cache = Cache(Lazy())
    state = CacheState(dead_through=4, serial=7)
    asking = cache.step(state, Invoke(Acquire()), 0.0).state
    again = cache.step(asking, behind(asking), 0.0)
    assert again.commands == (Send("home", GetM(9, 0, None)),)
    granted = cache.step(again.state, behind(again.state), 0.0)
    assert Respond(Granted(3, "three", 5)) in granted.commands
    assert (granted.state.at, granted.state.dead_through) == (CacheAt.M, 2)


def test_a_version_killed_since_is_no_proof_that_home_went_back() -> None:
    cache = Cache(Lazy())
    asking = cache.step(CacheState(dead_through=2, serial=7), Invoke(Acquire()), 0.0).state
    asking = cache.step(asking, Receive("home", Inv(3, False)), 0.0).state
    again = cache.step(asking, behind(asking), 0.0).state
    assert again.again
    killed = cache.step(again, Receive("home", Inv(4, False)), 0.0).state
    assert not killed.again
    once_more = cache.step(killed, behind(killed, 4), 0.0)
    assert [type(command) for command in once_more.commands] == [Send]


def test_a_live_copy_may_be_newer_than_what_a_home_that_went_back_grants() -> None:
    """By its second answer it is believed, as where there is no copy."""
    cache = Cache(Lazy())
    live = CacheState(CacheAt.S, 5, "five", dead_through=4, serial=7)
    asking = cache.step(live, Invoke(Acquire()), 0.0).state
    assert asking.at is CacheAt.SM_D
    again = cache.step(asking, behind(asking), 0.0)
    assert (again.state.at, again.state.again) == (CacheAt.IM_D, True)
    assert again.commands == (Send("home", GetM(9, 5, "five")),)
    granted = cache.step(again.state, behind(again.state), 0.0).state
    assert (granted.at, granted.version, granted.dead_through) == (CacheAt.M, 3, 2)


def test_a_commit_of_an_older_base_may_be_acknowledged_behind_a_live_copy() -> None:
    """The draft names what it was derived from: home went back to that, the copy did not."""
    cache = Cache(Lazy())
    live = CacheState(CacheAt.S, 5, "five", dead_through=4, serial=7)
    writing = cache.step(live, Invoke(Commit("new", 3, digest="three")), 0.0).state
    assert writing.at is CacheAt.MS_A
    done = cache.step(writing, Receive("home", PutAck(8, 4, Permission.E)), 0.0)
    assert Respond(Committed(4)) in done.commands
    assert (done.state.at, done.state.version, done.state.content) == (CacheAt.I, 4, "new")


def test_asking_again_ends_with_the_request() -> None:
    asking = CacheState(CacheAt.IM_D, serial=7, asked=GetM(7, 0), again=True)
    assert well_formed(HomeState(), [asking])
    given_up = Cache(Lazy()).step(asking, Timeout("deadline"), 0.0).state
    assert not given_up.again
    assert not well_formed(HomeState(), [replace(given_up, again=True)])


def test_the_story_begins_in_no_doubt() -> None:
    known = module.RestoredGhost(module.begin(HomeState()))
    assert (known.doubtful, known.old, known.broken) == ((), (), "")
