"""Announced deliveries: secrets end sooner, and whatever is missing costs time only."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal import Announcing, ForgedPacket, Hybrid, PeerDown
from causal.announcing import AHEAD_MAX, closed, marked
from causal.hybrid_state import FRESH, HybridState, LinkState
from causal.messages import Delivered, Release
from causal.simulate.walk import Bench, walk
from message_passing.process import Invoke, Receive


def bench() -> Bench:
    return Bench({a: Announcing(a, "abcd") for a in "abcd"})


def held(b: Bench, address: str) -> list[str]:
    return [h.dst for h in b.machines[address].held(b.states[address])]


def test_everybody_but_its_sender_hears_of_a_delivery() -> None:
    b = bench()
    b.play("a>b b<a")
    assert [(dst, p) for _, dst, p in b.flying if type(p) is Delivered] == [
        ("c", Delivered("a", 1)),
        ("d", Delivered("a", 1)),
    ]


def test_a_secret_ends_before_its_release() -> None:
    b = bench()
    b.play("a>b a>c c<a c>b")
    assert held(b, "c") == ["b"]
    b.play("b<a")
    assert held(b, "c") == ["b"]
    b.play("c~b")
    assert held(b, "c") == []
    # The owner's release comes later and says nothing new.
    b.play("b<c a?b c!a")
    b.drain()
    assert b.outcome().safe
    assert b.outcome().complete


def test_an_announcement_that_comes_first_is_remembered() -> None:
    b = bench()
    b.play("a>b a>c b<a c~b c<a")
    assert b.machines["c"].secrets(b.states["c"]) == ()


def test_one_gap_keeps_the_secret_and_a_release_closes_it() -> None:
    b = bench()
    b.play("a>b a>c a>d d<a d>b c<a d~c")
    assert held(b, "d") == ["b"]
    b.play("b<a a?b a?c d!a")
    assert held(b, "d") == []


def test_a_message_to_oneself_leaves_a_gap_that_the_next_message_closes() -> None:
    b = bench()
    b.play("a>a a>b b<a c~b")
    assert b.states["c"].links.get(0).told == 0
    b.play("a?b a>c c<a")  # not eager: nothing older is undelivered
    assert b.states["c"].links.get(0) == LinkState(got=3, told=4)


@given(st.permutations(range(1, 9)), st.integers(1, 8))
def test_what_is_heard_in_any_order_is_the_same(ids: list[int], released: int) -> None:
    link = FRESH
    for id in ids[:4]:
        link = marked(link, id)
    link = closed(link, released)
    for id in ids:
        link = marked(link, id)
    assert (link.told, link.heard) == (9, 0)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 100)), max_size=40))
def test_nothing_counts_before_it_is_known(news: list[tuple[bool, int]]) -> None:
    link, known = FRESH, set[int]()
    for release, id in news:
        link = closed(link, id) if release else marked(link, id)
        known |= set(range(1, id)) if release else {id}
        assert all(i in known for i in range(1, link.told))
        assert not link.heard & 1
        first = link.told or 1
        assert {first + i for i in range(AHEAD_MAX) if link.heard >> i & 1} <= known


def test_what_is_remembered_is_bounded() -> None:
    link = FRESH
    for id in range(2, 10_000):
        link = marked(link, id)
    assert (link.told, link.heard.bit_length()) == (0, AHEAD_MAX)
    assert closed(link, 5_000) == LinkState(told=5_000)


def test_a_snapshot_takes_all_that_is_remembered() -> None:
    link = FRESH
    for id in range(2, AHEAD_MAX + 1, 3):
        link = marked(link, id)
    state = HybridState(links=HybridState().links.put(0, link))
    written = msgspec.json.encode(bench().machines["c"].snapshot(state))
    assert bench().machines["c"].restore(msgspec.json.decode(written)) == state


@pytest.mark.parametrize(
    "packet",
    [Delivered("b", 1), Delivered("a", 1), Delivered("z", 1), Delivered("c", 0)],
    ids=["its own", "ours", "nobody's", "before the first"],
)
def test_forged_announcements_are_refused(packet: Delivered) -> None:
    b = bench()
    with pytest.raises(ForgedPacket, match="announces"):
        b.do("a", Receive("b", packet))


def test_what_is_announced_of_the_departed_is_no_news() -> None:
    b = bench()
    b.do("c", Invoke(PeerDown("a")))
    before = b.states["c"]
    assert b.do("c", Receive("b", Delivered("a", 1))).action == "Fence"
    assert b.states["c"] == before


def test_those_who_announce_and_those_who_do_not_are_one_team() -> None:
    for seed in range(16):

        def build(me: str, team: tuple[str, ...], seed: int = seed, **options: Any) -> Hybrid:
            kind = Announcing if seed >> team.index(me) & 1 else Hybrid
            return kind(me, team, **options)

        outcome = walk(build, seed=seed, processes=4, messages=60)
        assert outcome.safe
        assert outcome.complete


def test_whoever_stops_announcing_forgets_what_was_heard() -> None:
    # Bits count from the last release, so none may outlive one that did not move them.
    b = bench()
    b.play("a>b a>c a>d c<a d~c d<a")
    assert b.states["d"].links.get(0).heard
    quiet = Hybrid("d", "abcd").step(b.states["d"], Receive("a", Release(3)), 0.0).state
    assert quiet.links.get(0) == LinkState(got=3, told=3)
