"""Every broken variant is caught by its shortest trace, and the sound one passes the same trace.

Shorthand as in `Bench.play`: `a>b` a sends to b, `b<a` b gets a's oldest message, `a?b` a gets b's
oldest acknowledgement, `c!a` c gets a's oldest release, `c~b` c gets b's oldest announcement, `a+`
a crashes, `b-a` b hears of it.
"""

from collections.abc import Callable
from typing import Any

import pytest

from causal import (
    Announcing,
    Bss91,
    Cykas,
    CykasRefined,
    Hybrid,
    HybridPlain,
    Mf95,
    Named,
    Rst91,
    specimens,
)
from causal.simulate.walk import Bench, Outcome
from message_passing.network import Guarantee

TRIANGLE = "a>b a>c c<a c>b b<c"

UNSAFE = [
    (specimens.Raw, Mf95, TRIANGLE),
    (specimens.Window2, Mf95, TRIANGLE),
    (specimens.NoSecrets, Cykas, TRIANGLE),
    (specimens.BooleanMode, Cykas, "a>b a>c b<a b>a b>c c<a c<b a?b c!a c>a a<c"),
    (specimens.FirstAck, Cykas, "a>b a>c a>d b<a a?b d<a d!a d>c c<d"),
    (specimens.QueuedUncounted, CykasRefined, "a>b a>c c<a c>b c>a a<c b<a a?b a>b b<a"),
    (specimens.NotPassedOn, Named, "a>b a>c c<a c>d d<c d>b b<d"),
    (specimens.ViewsKeptBack, HybridPlain, "a>b a>c a+ c<a c-a c>b b<c"),
    (specimens.ViewsKeptBack, Hybrid, "a>b a>c a+ c<a c-a c>b b<c"),
    (specimens.AcrossGaps, Announcing, "a>b a>c a>d d<a c<a d~c d>b b<d"),
    (specimens.OwnEntryRst, Rst91, TRIANGLE),
    (specimens.OwnEntryBss, Bss91, "a* c<a c* b<c"),
]

STUCK = [
    (specimens.Deaf, Cykas, "a>b a>c d>c d>b c<a b<d", Guarantee.ORDERED),
    (specimens.Forgetful, Cykas, "a>b a>c b<a a?b c!a c<a", Guarantee.UNORDERED),
    (
        specimens.cykas_scan,
        Cykas,
        "a>c a>c a>b b>c b>c b>a b<a a<b c<a c<b a?c b?c",
        Guarantee.ORDERED,
    ),
]


def played(build: Callable[..., Any], script: str, links: Guarantee) -> Outcome:
    """The script as far as this machine lets it run, then everything that is on its way."""
    bench = Bench({address: build(address, "abcd", links=links) for address in "abcd"})
    for word in script.split():
        try:
            bench.play(word)
        except LookupError:
            continue  # a sound machine has not sent what the script lets arrive
    bench.drain()
    return bench.outcome()


@pytest.mark.parametrize(("broken", "sound", "script"), UNSAFE)
def test_the_oracle_sees_it(
    broken: Callable[..., Any], sound: Callable[..., Any], script: str
) -> None:
    assert not played(broken, script, Guarantee.ORDERED).safe
    right = played(sound, script, Guarantee.ORDERED)
    assert right.safe
    assert right.complete


@pytest.mark.parametrize(("broken", "sound", "script", "links"), STUCK)
def test_it_gets_stuck(
    broken: Callable[..., Any], sound: Callable[..., Any], script: str, links: Guarantee
) -> None:
    wrong = played(broken, script, links)
    assert wrong.safe
    assert not wrong.complete
    assert played(sound, script, links).complete


def test_the_scan_reading_leaves_the_two_queued_messages_behind() -> None:
    script = STUCK[2][2]
    wrong = played(specimens.cykas_scan, script, Guarantee.ORDERED)
    assert wrong.missing == ((("a", 2), "c"), (("b", 2), "c"))


@pytest.mark.parametrize("build", [Hybrid, Announcing, HybridPlain, Named, CykasRefined])
def test_those_that_bind_secrets_to_messages_pass_the_same_script(
    build: Callable[..., Any],
) -> None:
    assert played(build, STUCK[2][2], Guarantee.ORDERED).complete


def test_two_messages_of_a_pair_need_their_chain() -> None:
    def overtaken(build: Callable[..., Any]) -> Outcome:
        bench = Bench({address: build(address, "ab") for address in "ab"})
        bench.play("a>b a>b")
        bench.arrive(1)
        bench.drain()
        return bench.outcome()

    assert not overtaken(specimens.Unchained).safe
    for build in (Hybrid, Announcing, HybridPlain, Named):
        assert overtaken(build).safe
        assert overtaken(build).complete


def test_a_secret_passed_on_is_lost_with_whoever_passed_it_on() -> None:
    # Why named secrets have no views: b gets D1 while A1, sent by a living process, is on its way.
    outcome = played(
        specimens.NamedWithViews, "a>b a>c c<a c>d d<c c+ d-c d>b b<d", Guarantee.ORDERED
    )
    assert not outcome.safe


def rounds_until_sent(build: Callable[..., Any], limit: int) -> int | None:
    """The rounds that b's one message waits while a and c keep telling b secrets in turn."""
    bench = Bench({address: build(address, "abcd", links=Guarantee.ORDERED) for address in "abcd"})
    bench.play("a>d a>b b<a b>d")
    teller, other = "a", "c"
    for count in range(limit):
        if not bench.machines["b"].held(bench.states["b"]):
            return count
        # The next secret always comes before the release of the one before.
        bench.play(f"{other}>d {other}>b b<{other} d<{teller} {teller}?d b!{teller} {teller}?b")
        teller, other = other, teller
    return None


def test_cykas_starves_and_the_others_do_not() -> None:
    # Tong, Liittschwager and Kuper, arXiv 2603.14690, in our reading: the mode is global.
    assert rounds_until_sent(Cykas, 500) is None
    for build in (CykasRefined, HybridPlain, Hybrid, Announcing):
        assert rounds_until_sent(build, 500) == 1
    assert rounds_until_sent(Named, 500) == 1
