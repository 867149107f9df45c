"""The rule of telling: at most twice the offline choice, and no better factor is possible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherence.context.telling import Saying, Telling, limit_tokens

SIGNAL = 1.0


def episode(edits: Sequence[frozenset[int]], trip: float, header: float) -> tuple[float, float]:
    """The price of the rule, and of the offline choice, from one access to the next.

    Contents are lines, and each edit replaces a set of them: a message has the lines that changed
    since the version that it builds on.  An answer builds on what the agent was told last.
    """
    telling: Telling[str, int] = Telling()
    every: set[int] = set()
    untold: set[int] = set()
    told = online = 0.0
    for edit in edits:
        every |= edit
        untold |= edit
        step, since = len(edit) + header, len(every) + header
        told += step
        saying = telling.decide("d", step, since, trip + SIGNAL)
        if saying is Saying.CHANGE:
            online += step
            untold.clear()
        elif saying is Saying.SIGNAL:
            online += SIGNAL
    answer = len(every) + header
    if telling.is_silent("d"):
        online += trip + min(answer, len(untold) + header)
    return online, min(told, SIGNAL + trip + answer)


def ratio(edits: Sequence[frozenset[int]], trip: float, header: float) -> float:
    online, offline = episode(edits, trip, header)
    return online / offline


LINES = st.integers(0, 12)
EDITS = st.lists(st.frozensets(LINES, min_size=1, max_size=6), min_size=1, max_size=80)


@given(EDITS, st.floats(0.01, 200), st.sampled_from([0.0, 0.1, 2.0]))
def test_an_episode_costs_at_most_twice_the_offline_choice(edits, trip, header):
    assert ratio(edits, trip, header) <= 2.0 + 1e-9


def climbed(trip: float, header: float, lines: int, rng: Random, steps: int) -> float:
    """The worst ratio that hill climbing over episodes finds."""
    worst, edits = 0.0, [frozenset([0])]
    for _ in range(steps):
        tried = list(edits)
        some = frozenset(rng.sample(range(lines), rng.randint(1, lines)))
        match rng.randrange(4):
            case 0:
                tried.insert(rng.randrange(len(tried) + 1), some)
            case 1 if len(tried) > 1:
                tried.pop(rng.randrange(len(tried)))
            case 2:
                tried += tried[-rng.randint(1, len(tried)) :]
            case _:
                tried[rng.randrange(len(tried))] = some
        if len(tried) <= 300 and (found := ratio(tried, trip, header)) >= worst:
            worst, edits = found, tried
    return worst


def adversarial() -> Iterable[float]:
    rng = Random(1)
    for trip in (1.0, 10.0, 100.0):
        for header in (0.0, 0.5):
            for lines in (1, 4, 12):
                yield climbed(trip, header, lines, rng, 250)
    # One line is rewritten for ever, and read as soon as the rule is silent.
    for trip in (10, 100, 1_000):
        yield ratio([frozenset([0])] * (trip + 3), float(trip), 0.0)


def test_adversaries_reach_the_bound_and_do_not_pass_it():
    worst = max(adversarial())
    assert 1.99 <= worst <= 2.0 + 1e-9


@given(EDITS.filter(lambda edits: sum(map(len, edits)) == len(frozenset().union(*edits))))
def test_where_changes_are_disjoint_telling_is_never_in_vain(edits):
    online, offline = episode(edits, 0.5, 0.0)
    assert online == offline


def test_a_signal_is_given_once_and_an_access_begins_again():
    telling: Telling[str, str] = Telling()
    assert telling.base("plan.md", "v1") == "v1"
    assert telling.decide("plan.md", 10, 10, limit=12) is Saying.CHANGE
    assert telling.base("plan.md", "v2") == "v1"
    assert telling.decide("plan.md", 10, 10, limit=12) is Saying.CHANGE
    assert telling.decide("plan.md", 10, 10, limit=12) is Saying.SIGNAL
    assert telling.is_silent("plan.md")
    assert telling.decide("plan.md", 1, 10, limit=99) is Saying.NOTHING
    assert telling.decide("other.md", 10, 10, limit=0) is Saying.CHANGE
    telling.accessed("plan.md")
    assert telling.base("plan.md", "v4") == "v4"
    assert telling.decide("plan.md", 10, 10, limit=12) is Saying.CHANGE


def test_a_lost_context_begins_again():
    telling: Telling[str, str] = Telling()
    telling.base("plan.md", "v1")
    telling.decide("plan.md", 20, 10, limit=5)
    telling.forget()
    assert not telling.is_silent("plan.md")
    assert telling.base("plan.md", "v9") == "v9"


def test_the_limit_is_a_signal_and_a_trip_in_tokens_that_stay():
    """The price of 12 tokens that stay, of a prompt read again, and of 60 output that stay."""
    kept = 1.25 + 0.1 * 10
    limit = limit_tokens(
        cached=0.1,
        write=1.25,
        output=5,
        prompt_tokens=4_000,
        ask_tokens=60,
        signal_tokens=12,
        prompts=10,
    )
    assert limit * kept == pytest.approx(12 * kept + 0.1 * 4_000 + 5 * 60 + 60 * kept)
