"""Machines against the oracle: random walks, adversarial scripts, one script for all."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from soaking import times

from causal import (
    Announcing,
    Bss91,
    Csps,
    Cykas,
    CykasRefined,
    Hybrid,
    HybridPlain,
    Mf95,
    Named,
    Rst91,
    specimens,
)
from causal.machine import RESEND
from causal.simulate.walk import Bench, Outcome, walk
from message_passing.network import Guarantee
from message_passing.process import Timeout

SENDER_SIDE = [Mf95, Cykas, CykasRefined, Csps, HybridPlain, Hybrid, Announcing, Named]
WITH_VIEWS = [Mf95, Cykas, CykasRefined, Csps, HybridPlain, Hybrid, Announcing]
WILD = Guarantee.UNORDERED_LOSSY_DUPLICATING

Build = Callable[..., Any]


def assert_all_well(outcome: Outcome) -> None:
    assert [str(breach) for breach in outcome.breaches] == []
    assert outcome.missing == ()
    assert outcome.stuck == ()
    assert outcome.split == ()


@pytest.mark.slow(fast=5)
@pytest.mark.parametrize("build", [*SENDER_SIDE, Rst91])
@pytest.mark.parametrize("links", [Guarantee.ORDERED, Guarantee.UNORDERED])
def test_walks_on_reliable_links(build: Build, links: Guarantee) -> None:
    for seed in range(20):
        assert_all_well(walk(build, seed=seed, processes=2 + seed % 5, links=links))


@pytest.mark.parametrize("links", [Guarantee.ORDERED, Guarantee.UNORDERED])
def test_walks_of_broadcasts(links: Guarantee) -> None:
    for seed in range(20):
        assert_all_well(walk(Bss91, seed=seed, broadcast=True, links=links))


@pytest.mark.slow(fast=7)
@pytest.mark.parametrize("build", SENDER_SIDE)
@pytest.mark.parametrize("links", [g for g in Guarantee if g.lossy or g.duplicating])
def test_walks_on_links_that_lose_and_repeat(build: Build, links: Guarantee) -> None:
    for seed in range(6):
        assert_all_well(walk(build, seed=seed, links=links, loss=0.2, duplication=0.2))


@pytest.mark.slow(fast=7)
@pytest.mark.parametrize("build", WITH_VIEWS)
@pytest.mark.parametrize("links", [Guarantee.ORDERED, Guarantee.UNORDERED, WILD])
def test_walks_with_crashes(build: Build, links: Guarantee) -> None:
    for seed in range(10):
        outcome = walk(build, seed=seed, links=links, loss=0.2, duplication=0.2, crashes=2)
        assert_all_well(outcome)


CHANGES: list[dict[str, int]] = [
    {"leaves": 2},
    {"joins": 2},
    {"mistakes": 2},
    {"crashes": 1, "leaves": 1, "joins": 2, "mistakes": 1},
]


def change_well(build: Build, links: Guarantee, walks: int) -> None:
    for seed in range(walks):
        for changes in CHANGES:
            assert_all_well(
                walk(build, seed=seed, links=links, loss=0.2, duplication=0.2, **changes)
            )


@pytest.mark.slow(fast=7)
@pytest.mark.parametrize("build", WITH_VIEWS)
@pytest.mark.parametrize("links", [Guarantee.ORDERED, Guarantee.UNORDERED, WILD])
def test_walks_of_teams_that_change(build: Build, links: Guarantee) -> None:
    change_well(build, links, walks=2)


@pytest.mark.slow
@pytest.mark.parametrize("build", WITH_VIEWS)
@pytest.mark.parametrize("links", [Guarantee.ORDERED, Guarantee.UNORDERED, WILD])
def test_hundreds_of_walks_of_teams_that_change(build: Build, links: Guarantee) -> None:
    change_well(build, links, walks=times(15))


@pytest.mark.parametrize(
    ("build", "changes"),
    [
        (specimens.Hushed, {"crashes": 2}),
        (specimens.Silent, {"mistakes": 2}),
        (specimens.Hasty, {"leaves": 2}),
    ],
)
def test_walks_find_what_changes_break(build: Build, changes: dict[str, int]) -> None:
    assert any(
        not walk(build, seed=seed, links=Guarantee.ORDERED, limit=2_000, **changes).complete
        for seed in range(20)
    )


@pytest.mark.slow
@pytest.mark.parametrize("build", SENDER_SIDE)
def test_hundreds_of_wild_walks(build: Build) -> None:
    for seed in range(times(330)):
        outcome = walk(
            build, seed=seed, processes=5, messages=40, links=WILD, loss=0.2, duplication=0.2
        )
        assert_all_well(outcome)


@pytest.mark.slow
@pytest.mark.parametrize("build", WITH_VIEWS)
def test_hundreds_of_wild_walks_with_crashes(build: Build) -> None:
    for seed in range(times(330)):
        outcome = walk(build, seed=seed, links=WILD, loss=0.2, duplication=0.2, crashes=2)
        assert_all_well(outcome)


@pytest.mark.parametrize(
    "build", [specimens.Raw, specimens.NoSecrets, specimens.QueuedUncounted, specimens.OwnEntryRst]
)
def test_walks_find_what_is_broken(build: Build) -> None:
    assert any(
        not walk(build, seed=seed, processes=3, messages=30, links=Guarantee.ORDERED).safe
        for seed in range(60)
    )


def test_one_seed_is_one_walk() -> None:
    runs = {walk(Hybrid, seed=7, links=WILD, loss=0.2, duplication=0.2) for _ in range(3)}
    assert len(runs) == 1


class Adversary(RuleBasedStateMachine):
    """Hypothesis chooses what happens; at the end everything arrives and all must be well."""

    build: Build = Hybrid
    links = WILD
    crashes = 1

    def __init__(self) -> None:
        super().__init__()
        build, links = type(self).build, self.links
        self.bench = Bench({a: build(a, "abcd", links=links) for a in "abcd"})
        self.changes = 2 * bool(self.crashes)
        if self.changes:
            for newcomer in "ef":
                self.bench.add(newcomer, build(newcomer, "abcd", links=links, joining=True))

    def living(self) -> list[str]:
        return [a for a in self.bench.members() if not self.bench.view(a).leaving]

    @precondition(lambda self: self.living())
    @rule(src=st.integers(0, 5), dst=st.integers(0, 5))
    def send(self, src: int, dst: int) -> None:
        living = self.living()
        source, target = living[src % len(living)], "abcdef"[dst]
        if self.bench.sees(source, target):
            self.bench.send(source, target)

    @precondition(lambda self: self.changes and self.living())
    @rule(src=st.integers(0, 5), dst=st.integers(0, 5), kind=st.sampled_from("-@/"))
    def change(self, src: int, dst: int, kind: str) -> None:
        living, peer = self.living(), "abcdef"[dst]
        here = living[src % len(living)]
        if kind == "/":
            self.bench.play(f"{here}/")
        elif here == peer or peer in self.bench.view(here).gone:
            return
        elif (kind == "@") is not self.bench.sees(here, peer):
            self.bench.play(f"{here}{kind}{peer}")
        self.changes -= 1

    def pick(self, index: int) -> int:
        index %= len(self.bench.flying)
        if self.links.ordered:
            pair = self.bench.flying[index][:2]
            return next(i for i, p in enumerate(self.bench.flying) if p[:2] == pair)
        return index

    @precondition(lambda self: self.bench.flying)
    @rule(index=st.integers(0, 30))
    def arrive(self, index: int) -> None:
        self.bench.arrive(self.pick(index))

    @precondition(lambda self: self.bench.flying and self.links.lossy)
    @rule(index=st.integers(0, 30))
    def lose(self, index: int) -> None:
        self.bench.flying.pop(self.pick(index))

    @precondition(lambda self: self.bench.flying and self.links.duplicating)
    @rule(index=st.integers(0, 30))
    def repeat(self, index: int) -> None:
        picked = self.pick(index)
        self.bench.flying.insert(picked, self.bench.flying[picked])

    @precondition(lambda self: self.bench.timers)
    @rule(index=st.integers(0, 3))
    def ring(self, index: int) -> None:
        timers = sorted(self.bench.timers)
        self.fire(timers[index % len(timers)])

    def fire(self, address: str) -> None:
        self.bench.timers.discard(address)
        self.bench.do(address, Timeout(RESEND))

    @precondition(lambda self: len(self.bench.crashed) < self.crashes)
    @rule(who=st.sampled_from("abcd"))
    def crash(self, who: str) -> None:
        self.bench.crash(who)

    @precondition(lambda self: self.bench.unheard())
    @rule(index=st.integers(0, 5))
    def hear(self, index: int) -> None:
        """One survivor is told; the protocol tells the others."""
        peer = self.bench.unheard()[0]
        hearing = [a for a in self.bench.members() if self.bench.sees(a, peer)]
        self.bench.play(f"{hearing[index % len(hearing)]}-{peer}")

    @precondition(lambda self: not self.living())
    @rule()
    def rest(self) -> None:
        """Hypothesis needs a step also where every process has left or crashed."""

    def teardown(self) -> None:
        self.bench.drain()
        for _ in range(100):
            # Also later: the one survivor that was told may learn that it is excluded itself.
            while self.bench.unheard():
                self.hear(0)
                self.bench.drain()
            for address in sorted(self.bench.timers):
                self.fire(address)
            self.bench.drain()
        assert_all_well(self.bench.outcome())


def adversary(builder: Build, guarantee: Guarantee, deaths: int) -> Any:
    """A test case in which Hypothesis plays the network against one machine."""

    class Case(Adversary):
        build = builder
        links = guarantee
        crashes = deaths

    Case.TestCase.settings = settings(
        max_examples=12,
        stateful_step_count=60,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    return Case.TestCase


TestHybridWild = adversary(Hybrid, WILD, 2)
TestHybridOrdered = adversary(Hybrid, Guarantee.ORDERED, 1)
TestAnnouncingWild = adversary(Announcing, WILD, 2)
TestHybridUnordered = adversary(Hybrid, Guarantee.UNORDERED, 1)
TestCykasWild = adversary(Cykas, WILD, 1)
TestRefinedWild = adversary(CykasRefined, WILD, 1)
TestCspsWild = adversary(Csps, WILD, 1)
TestMf95Wild = adversary(Mf95, WILD, 1)
TestNamedWild = adversary(Named, WILD, 0)


def test_a_crash_is_not_told_from_or_to_an_excluded_process() -> None:
    bench = Bench({a: Mf95(a, "abcd", links=WILD) for a in "abcd"})
    bench.crash("a")
    bench.play("b-c d-c c-a")
    assert bench.unheard() == ["a"]  # c knows, but b and d have excluded c
    bench.play("b-a")
    assert bench.unheard() == []  # b tells d
    bench = Bench({a: Mf95(a, "abcd", links=WILD) for a in "abcd"})
    bench.crash("a")
    bench.play("c-b c-a d-b d-a")
    assert bench.unheard() == ["a"]  # b sees a, and c and d have excluded b


@settings(max_examples=30)
@given(
    st.lists(
        st.one_of(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), st.integers(0, 30)),
        max_size=80,
    )
)
def test_one_script_for_all(script: list[Any]) -> None:
    """Each machine gets the same sends; what is on its way differs, so the network's picks do."""
    told = []
    for build in (*SENDER_SIDE, Rst91):
        bench = Bench({address: build(address, "abcd") for address in "abcd"})
        for event in script:
            if isinstance(event, tuple):
                bench.send(*event)
            elif bench.flying:
                bench.arrive(event % len(bench.flying))
        bench.drain()
        assert_all_well(bench.outcome())
        told.append({a: sorted(names) for a, names in bench.history.delivered.items() if names})
    assert all(other == told[0] for other in told)
