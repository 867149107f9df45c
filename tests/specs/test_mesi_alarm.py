"""Others say the farewell of a cache: of one that has crashed, or by mistake of one that lives."""

from __future__ import annotations

from typing import Any

import pytest

from coherence.cache import Cache
from coherence.directory import Home
from coherence.messages import (
    Data,
    GetM,
    GetS,
    Inv,
    InvAck,
    Leave,
    Message,
    Permission,
    PutAck,
    PutM,
)
from coherence.policy import Lazy, Policy, Visibility
from coherence.runtime.caches import AgentCaches, Caches
from coherence.runtime.farewells import Fate, farewells, waited_for
from coherence.states import CacheAt, CacheState, HomeAt, HomeState
from message_passing.process import Receive, Send
from specs.checker import Verdict, check
from specs.models.mesi import HOME_ADDRESS, leaves, mesi
from specs.models.mesi_alarm import CacheThatIsTold, HomeThatTells, Notice, Said, mesi_alarm

STRICT = Policy(visibility=Visibility.STRICT, validity=1.0)


def after(state: HomeState, *messages: tuple[str, Message], policy: Policy = STRICT) -> HomeState:
    home = Home(policy)
    for src, message in messages:
        state = home.step(state, Receive(src, message), 0.0).state
    return state


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("told", [True, False])
def test_engines_agree(told: bool) -> None:
    constants: dict[str, Any] = {"requests": 1, "policy": "strict", "ask": "Load Commit"}
    plain = check(mesi_alarm(**constants, told=told), engine="reference")
    table = check(mesi_alarm(**constants, told=told), engine="table")
    assert plain.verdict is table.verdict is Verdict.HOLDS
    assert (plain.distinct, plain.generated) == (table.distinct, table.generated)
    assert {"Leave", "PutMAwaits"} - table.actions == (set() if told else {"PutMAwaits"})


def test_what_a_lookout_says_is_what_the_model_says() -> None:
    """`coherence.runtime.farewells` itself, of each state of home that a model reaches."""
    made = mesi(requests=1, policy="eager", crashes=1, farewells=True).model()
    seen, todo = set(made.initial), list(made.initial)
    homes: set[HomeState] = set()
    while todo:
        state: Any = todo.pop()
        homes.add(state[0].state)
        for _, following in made.successors(state):
            if following not in seen:
                seen.add(following)
                todo.append(following)
    said = 0
    for home in homes:
        for agent in "ab":

            def fate(name: str, session: int, dead: str = agent) -> Fate:
                return Fate.ENDED if name == dead else Fate.LIVE

            theirs, ours = farewells(home, fate), [(agent, m) for m in leaves(agent, home)]
            # The model's Leave may come at any moment; a lookout's only for those in the way.
            assert theirs == (ours if agent in waited_for(home) else [])
            said += len(theirs)
    assert said


@pytest.mark.parametrize("farewells", [True, False])
def test_a_commit_waits_for_no_acknowledgement_of_the_dead(farewells: bool) -> None:
    """Nobody asks for a grant, and no timer of home need run out."""
    result = check(
        mesi(
            requests=1,
            policy="strict",
            ask="Load Commit",
            crashes=1,
            farewells=farewells,
            live=True,
            finishes=True,
            mortal=True,
        )
    )
    answered = [result.finding(f"{agent} is answered").verdict for agent in "ab"]
    assert answered == [Verdict.HOLDS if farewells else Verdict.VIOLATED] * 2
    assert result.verdict is answered[0]


# A commit that not all have heard of, whose writer was taken for dead.

PENDING = after(
    HomeState(),
    ("bob", GetS(1, 0)),
    ("ann", PutM(1, 0, 0, "one")),
    ("ann", Leave(1)),
)


def test_home_owes_the_answer_to_a_writer_that_asks_again() -> None:
    assert (PENDING.at, PENDING.writer) == (HomeAt.S_A, "")
    home = Home(STRICT)
    asked = home.step(PENDING, Receive("ann", PutM(1, 0, 0, "one")), 0.0)
    assert (asked.action, asked.commands) == ("PutMAwaits", ())
    twice = home.step(asked.state, Receive("ann", PutM(1, 0, 0, "one")), 0.0)
    assert (twice.state, twice.commands) == (asked.state, ())
    heard = home.step(asked.state, Receive("bob", InvAck(1)), 0.0)
    assert Send("ann", PutAck(1, 1, Permission.E)) in heard.commands
    assert [sharer.cache for sharer in heard.state.sharers] == ["ann"]


def test_home_answers_at_once_when_all_have_heard() -> None:
    heard = after(PENDING, ("bob", InvAck(1)))
    again = Home(STRICT).step(heard, Receive("ann", PutM(1, 0, 0, "one")), 0.0)
    assert (again.action, again.commands) == (
        "PutMAgain",
        (Send("ann", PutAck(1, 1, Permission.S)),),
    )


def test_a_refusal_is_repeated_at_once() -> None:
    refused = after(PENDING, ("cyd", PutM(1, 0, 0, "two")))
    again = Home(STRICT).step(refused, Receive("cyd", PutM(1, 0, 0, "two")), 0.0)
    assert again.action == "PutMAgain"


# The notice.


def test_the_notice_follows_what_home_had_sent() -> None:
    home = HomeThatTells(Lazy())
    state = after(HomeState(), ("ann", GetM(1, 0)), ("bob", GetM(1, 0)), policy=Lazy())
    step = home.step(state, Receive("ann", Said(1)), 0.0)
    plain = Home(Lazy()).step(state, Receive("ann", Leave(1)), 0.0)
    assert step.state == plain.state
    assert step.commands == (*plain.commands, Send("ann", Notice()))
    assert home.step(state, Receive("ann", Leave(1)), 0.0) == plain


@pytest.mark.parametrize("at", CacheAt)
def test_a_cache_that_is_told_does_what_the_driver_does(at: CacheAt) -> None:
    asked: Any = None
    if at.startswith("IS_D"):
        asked = GetS(3, 2)
    elif at in (CacheAt.IM_D, CacheAt.IM_D_I, CacheAt.SM_D):
        asked = GetM(3, 2)
    elif at.endswith(("_A", "_A_I")):
        asked = PutM(3, 2, 0, None)
    state = CacheState(at, 2, None, 1, serial=3, asked=asked)
    policy = Lazy()
    caches = AgentCaches("ann", 0, Caches({"plan": (Cache(policy), Home(policy))}))
    caches.states["plan"] = state
    sent = caches.start_over("plan")
    step = CacheThatIsTold(policy).step(state, Receive(HOME_ADDRESS, Notice()), 0.0)
    assert step.state == caches.states["plan"]
    assert [c.message for c in step.commands if isinstance(c, Send)] == list(sent)
    assert CacheThatIsTold(policy).step(state, Receive("home", Inv(0, False)), 0.0) == Cache(
        policy
    ).step(state, Receive("home", Inv(0, False)), 0.0)


def test_a_grant_that_comes_after_the_notice_is_fenced() -> None:
    """What was on its way when home ended it is taken, and refused when it is used."""
    state = after(HomeState(), ("ann", GetM(1, 0)), ("ann", Leave(1)), ("bob", GetM(1, 0)))
    asking = CacheState(CacheAt.IM_D, serial=1, asked=GetM(1, 0))
    late = CacheThatIsTold(STRICT).step(
        asking, Receive("home", Data(1, 0, Permission.M, 1, 0, None)), 0.0
    )
    assert (late.state.at, late.state.epoch) == (CacheAt.M, 1)
    refused = Home(STRICT).step(state, Receive("ann", PutM(2, 0, 1, "hers")), 0.0)
    assert refused.action == "PutMFenced"
