"""Coherence over every carrier: bare links break P1 in four steps, causal delivery never does."""

from __future__ import annotations

from itertools import product

import msgspec
import pytest

from coherence.cache import Cache
from coherence.directory import Home
from coherence.messages import Commit, Committed, Load
from coherence.policy import Lazy
from coherence.states import READABLE
from message_passing.netmodel import Exponential, NetworkModel
from message_passing.network import Guarantee
from message_passing.process import Receive, Respond
from message_passing.simulator import Simulator
from specs.checker import Verdict, check
from specs.checker.errors import ModelError
from specs.models.joined import CARRIERS, HOME, P1, REVIEWER, WRITER, acts_on_stale, joined
from specs.models.joined_process import Joined, Tell, silent

EARLY = "a commit returns before its invalidation is delivered"

#: Distinct states, transitions, longest shortest path: on ordered links, and on unordered ones.
ONE_WRITE = {
    "mf95": ((14, 17, 9), (16, 21, 9)),
    "cykas": ((20, 28, 10), (44, 83, 10)),
    "cykas-refined": ((20, 28, 10), (44, 83, 10)),
    "csps": ((20, 28, 10), (44, 83, 10)),
    "hybrid-plain": ((20, 28, 10), (44, 83, 10)),
    "hybrid": ((20, 28, 10), (78, 132, 11)),
    "announcing": ((102, 216, 14), (1_614, 6_026, 15)),
    "named": ((20, 28, 10), (44, 83, 10)),
    "rst91": ((8, 9, 5), (8, 9, 5)),
}
CAUSAL = list(ONE_WRITE)


def verdicts(result):
    return {f.name: f.verdict for f in result.findings}


def counts(result):
    return result.distinct, result.generated, result.depth


def test_bare_links_break_it_in_four_steps():
    result = check(joined("bare"))
    assert verdicts(result)[P1.name] is Verdict.VIOLATED
    assert [(m.action.name, m.action.process) for m in result.counterexample.moments[1:]] == [
        ("CommitLive", WRITER),
        ("PutM", HOME),
        ("PutAckE", WRITER),
        ("ReceiveData", REVIEWER),
    ]


@pytest.mark.slow(fast=10)
@pytest.mark.parametrize("links", ["Ordered", "Unordered"])
@pytest.mark.parametrize("protocol", CAUSAL)
def test_causal_delivery_keeps_it(protocol, links):
    result = check(joined(protocol, links))
    found = verdicts(result)
    assert counts(result) == ONE_WRITE[protocol][links == "Unordered"]
    # MF95 keeps it by making every commit wait, as strict visibility would.
    early = Verdict.VIOLATED if protocol == "mf95" else Verdict.HOLDS
    assert found.pop(EARLY) is early
    assert set(found.values()) == {Verdict.HOLDS}


# What is announced and overtaken makes states by the hundred thousand.
MANY = ("announcing", "Unordered")


@pytest.mark.slow(fast=6)
@pytest.mark.parametrize(
    ("protocol", "links"),
    [
        pytest.param(*case, marks=pytest.mark.slow if case == MANY else ())
        for case in product(CAUSAL, ["Ordered", "Unordered"])
    ],
)
def test_a_third_agent_may_pass_the_word_on(protocol, links):
    found = verdicts(check(joined(protocol, links, relay=True)))
    del found[EARLY]
    assert set(found.values()) == {Verdict.HOLDS}


@pytest.mark.slow(fast=2)
@pytest.mark.parametrize("protocol", [name for name in CAUSAL if name != "mf95"])
def test_two_writes_and_a_reader_who_reads_again(protocol):
    assert check(joined(protocol, writes=2, reads=1)).verdict is Verdict.HOLDS


@pytest.mark.parametrize("protocol", ["bare", "raw", "cykas-no-secrets"])
def test_carriers_that_are_not_causal_are_caught(protocol):
    assert verdicts(check(joined(protocol)))[P1.name] is Verdict.VIOLATED
    assert verdicts(check(joined(protocol, relay=True)))[P1.name] is Verdict.VIOLATED


@pytest.mark.parametrize("protocol", CAUSAL)
def test_a_home_that_answers_before_it_invalidates_is_caught_on_any_carrier(protocol):
    result = check(joined(protocol, hasty=True))
    assert verdicts(result)[P1.name] is Verdict.VIOLATED
    # Receivers that buffer acknowledge nothing; what is announced stands in line before the answer.
    steps = {"rst91": 4, "announcing": 6}
    assert len(result.counterexample) == steps.get(protocol, 5)


def test_no_protocol_reads_what_is_recorded_for_the_property():
    """With every `past` falsified on the way, the same messages go and the same results come."""
    assert transcript(falsify=False) == transcript(falsify=True)


def transcript(*, falsify):
    seen = []

    class Watched(Joined):
        def step(self, state, event, now):
            if falsify:
                state = blind(state)
                if type(event) is Receive:
                    event = Receive(event.src, blind(event.message))
            step = super().step(state, event, now)
            seen.extend((self.machine.me, blind(command)) for command in step.commands)
            return step

    team, policy = (HOME, WRITER, REVIEWER), Lazy()
    sim = Simulator(
        {
            name: Watched(
                Home(policy, version=1) if name == HOME else Cache(policy, HOME),
                CARRIERS["hybrid"](name, team),
            )
            for name in team
        },
        network=NetworkModel(latency=1.0),
    )
    sim.invoke(WRITER, Load(), at=0.0)
    sim.invoke(REVIEWER, Load(), at=5.0)
    sim.invoke(WRITER, Commit("2", base=1), at=10.0)
    sim.invoke(WRITER, Tell(REVIEWER, "review"), at=10.5)
    sim.run()
    assert (WRITER, Respond(Committed(2))) in seen
    return seen


def blind(value):
    """`value` with 99 for every `past` in it."""
    if not isinstance(value, msgspec.Struct):
        return value
    fields = {name: blind(getattr(value, name)) for name in value.__struct_fields__}
    return type(value)(**{**fields, "past": 99} if "past" in fields else fields)


WILD = NetworkModel(
    guarantee=Guarantee.UNORDERED_LOSSY_DUPLICATING,
    latency=Exponential(1.0),
    loss_probability=0.2,
    duplicate_probability=0.2,
)


def test_walks_on_bad_links_find_a_carrier_that_is_not_causal():
    assert any(Walk("cykas-no-secrets", WILD, seed).stale for seed in range(25))


@pytest.mark.slow(fast=2)
@pytest.mark.parametrize("protocol", ["mf95", "cykas", "csps", "hybrid"])
def test_it_holds_where_links_lose_repeat_and_reorder_and_a_reader_restarts(protocol):
    early = 0
    for seed in range(25):
        run = Walk(protocol, WILD, seed)
        assert not run.stale
        assert run.versions == [2, 3, 4]
        assert run.words == 3
        early += run.early
    # All of it happened: commits returned while a dead copy was still marked valid.
    assert (early == 0) == (protocol == "mf95")


class Walk:
    """Three writes, a word about each, a reader who reads again and crashes once."""

    def __init__(self, protocol, network, seed):
        self.versions, self.words, self.stale, self.early = [], 0, False, 0
        team, policy = (HOME, WRITER, REVIEWER), Lazy()
        self.sim = Simulator(
            {
                name: Joined(
                    Home(policy, version=1) if name == HOME else Cache(policy, HOME),
                    CARRIERS[protocol](name, team, links=network.guarantee, resend_after=3.0),
                    then=tell if name == WRITER else silent,
                )
                for name in team
            },
            network=network,
            seed=seed,
            on_respond=self.responded,
            on_deliver=self.delivered,
            observers=[self.judge],
        )
        self.sim.invoke(WRITER, Load())
        self.sim.invoke(REVIEWER, Load())
        self.sim.run()
        self.sim.invoke(WRITER, Commit(None, base=1))
        self.sim.run(until=self.sim.now + 1.0 + seed / 10)
        self.sim.crash(REVIEWER)
        self.sim.run(until=self.sim.now + 5.0)
        self.sim.restart(REVIEWER)
        self.sim.run()

    def responded(self, address, result):
        if type(result) is Committed:
            reader = self.sim.states[REVIEWER].role
            self.early += reader.at in READABLE and reader.version < result.version
            self.versions.append(result.version)
            if result.version < 4:
                self.sim.invoke(WRITER, Commit(None, base=result.version), at=self.sim.now)

    def delivered(self, address, src, letter):
        self.words += 1
        self.sim.invoke(REVIEWER, Load(), at=self.sim.now)

    def judge(self, view, address, event, step):
        self.stale = self.stale or acts_on_stale(step)


def tell(heard):
    return [Tell(REVIEWER, "review")] if type(heard) is Committed else []


def test_a_carrier_that_cannot_address_one_agent_is_refused():
    with pytest.raises(ModelError, match="no protocol 'bss91'"):
        joined("bss91")
