"""The strategies: small runs worked by hand, and what none of them may ever do."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coherence.simulate import catalogue
from coherence.simulate.experiments import prices
from coherence.simulate.experiments.billing import Prompting
from coherence.simulate.experiments.conversation import (
    Conversation,
    FalseBase,
    FalseUnchanged,
    StaleUse,
)
from coherence.simulate.experiments.floors import references
from coherence.simulate.experiments.play import bare, play
from coherence.simulate.experiments.strategies import STRATEGIES, Speaker, Strategy
from coherence.simulate.experiments.workload import of_scenario
from coherence.tokens import SIGNAL_TOKENS

PRICES = prices.shipped()["claude-opus-5"]
NO_CACHE = prices.shipped()["none"]
PROMPTING = Prompting()

READ, WRITE = False, True
#: Agent 0 reads two artifacts; agent 1 writes the first twice, in between two calls of agent 0.
ACTIONS = [
    *[(0, 0, 0, READ), (1, 0, 1, READ), (1, 1, 0, WRITE), (2, 0, 1, READ)],
    *[(2, 1, 0, WRITE), (3, 0, 0, READ), (4, 0, 0, READ)],
]
TEXTS = 1_015, 415
"""The two texts, with headers."""
FIRST, SECOND, BOTH = 215, 315, 415
"""The differences from 1 to 2, from 2 to 3 and from 1 to 3, with headers."""
# Agent 1's own need is one text: its second write builds on its first.
OWN = 1_015

TRANSFERRED = {
    "broadcast": 7 * (1_015 + 415),
    "refetch": 3 * 1_015 + 2 * 415 + 2 * 1_015,
    "inject": 3 * 1_015 + 2 * 415 + 2 * 1_015,
    "conditional_get": 1_015 + 415 + 12 + 1_015 + 12 + OWN + 12,
    "slot_tail": 1_015 + 4 * (1_015 + 415) + 2 * OWN,
    "slot_prefix": 1_015 + 415 + 2 * 1_015 + 2 * OWN,
    "eager": 1_015 + 415 + 2 * 1_015 + OWN,
    "push_on_change": 1_015 + 415 + 2 * 1_015 + OWN,
    "lazy": 1_015 + 415 + 12 + 1_015 + OWN,
    "lazy_delta": 1_015 + 415 + 12 + BOTH + OWN,
    "ask_delta": 1_015 + 415 + 12 + BOTH + 12 + OWN + 12,
    "shipped": 1_015 + 415 + 2 * 45 + BOTH + OWN,
    "shipped_unmarked": 1_015 + 415 + 2 * 45 + BOTH + OWN,
    "push_delta": 1_015 + 415 + FIRST + SECOND + OWN,
    "adaptive": 1_015 + 415 + FIRST + SECOND + OWN,
}
TRIPS = {
    **dict.fromkeys(("broadcast", "inject", "slot_tail", "slot_prefix"), 0),
    **dict.fromkeys(("refetch", "conditional_get", "ask_delta"), 7),
    **dict.fromkeys(("lazy", "lazy_delta", "shipped", "shipped_unmarked"), 4),
    **dict.fromkeys(("eager", "push_on_change", "push_delta", "adaptive"), 3),
}


@pytest.fixture
def by_hand(make_workload):
    return make_workload(ACTIONS, (1_000, 400), [[(0, 100), (50, 200)], []])


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_small_run_worked_by_hand(name, by_hand):
    costs = play(by_hand, STRATEGIES[name], PRICES, PROMPTING)
    assert costs.transferred_tokens == TRANSFERRED[name]
    assert costs.trips == TRIPS[name]


def test_the_bill_of_a_trip(make_workload):
    """A call of 1,700 tokens asks with 60; then one of 1,760 and the text answers with 100."""
    workload = make_workload([(0, 0, 0, READ)], (1_000,), [[]], agents=1)
    costs = play(workload, STRATEGIES["refetch"], PRICES, PROMPTING)
    asking = 1_700 * 1.25 + 60 * 5
    answering = 1_700 * 0.10 + (60 + 1_015) * 1.25 + 100 * 5
    assert costs.bill == pytest.approx(asking + answering)
    assert costs.prompt_tokens == 1_700 + 1_760 + 1_015
    assert bare(workload, PRICES, PROMPTING).bill == pytest.approx(1_700 * 1.25 + 500)


def rewritten(make_workload, rounds: int):
    """Agent 1 rewrites one place 20 times, and agent 0 reads the text only then; `rounds` times."""
    actions = [(0, 0, 0, READ), (0, 0, 1, READ)]
    for step in range(2, 40 * rounds + 2, 2):
        actions += [(step, 0, 1, READ), (step, 1, 0, WRITE)]
        if step % 40 == 0:
            actions.append((step + 1, 0, 0, READ))
    return make_workload(actions, (1_000, 10), [[(0, 100)] * (20 * rounds), []])


#: What each agent must be told in any case, and what is told after a round of 20 changes.
AT_FIRST, CHANGE = 1_015 + 25 + 1_015, 215


def told(workload) -> float:
    """How many differences `adaptive` sends, where it sends one signal a round."""
    costs = play(workload, STRATEGIES["adaptive"], PRICES, PROMPTING)
    return costs.transferred_tokens - AT_FIRST


def test_adaptive_tells_until_a_trip_was_in_vain_then_signals_once(make_workload):
    once = told(rewritten(make_workload, 1)) - SIGNAL_TOKENS
    changes, rest = divmod(once, CHANGE)
    assert rest == 0
    assert 2 <= changes <= 5  # the answer is one of them


def test_adaptive_begins_again_after_an_access(make_workload):
    once = told(rewritten(make_workload, 1)) - SIGNAL_TOKENS
    twice = told(rewritten(make_workload, 2)) - 2 * SIGNAL_TOKENS
    assert twice % CHANGE == 0
    assert 2 * CHANGE <= twice - once <= once


def test_adaptive_begins_again_after_a_cut(make_workload):
    """The access behind the cut is a whole text, and what was told before it does not count."""
    actions = [(0, 0, 0, READ), (0, 0, 1, READ)]
    for step in range(1, 21):
        actions += [(step, 0, 1, READ), (step, 1, 0, WRITE)]
    actions += [(21, 0, 0, READ), (22, 1, 0, WRITE), (23, 0, 1, READ)]
    turns = [False] * 41 + [True, False, False]
    workload = make_workload(actions, (1_000, 10), [[(0, 100)] * 21, []], cuts=turns)
    assert workload.turns[-3].is_cut
    costs = play(workload, STRATEGIES["adaptive"], PRICES, PROMPTING)
    changes, rest = divmod(costs.transferred_tokens - AT_FIRST - SIGNAL_TOKENS - 1_015 - 25, CHANGE)
    assert (changes >= 2, rest) == (True, 0)


def test_a_notice_names_what_is_still_outdated(make_workload):
    """In the call that asks it has two lines, in the call with the answer one; none after a cut."""
    actions = [(0, 0, 0, READ), (0, 0, 1, READ), (1, 1, 0, WRITE), (1, 1, 1, WRITE)]
    actions += [(2, 0, 0, READ), (3, 0, 2, READ)]
    texts = (1_000, 1_000, 10)
    edits = [[(0, 100)], [(0, 100)], []]
    for is_cut in (False, True):
        workload = make_workload(actions, texts, edits, cuts=[False, False, False, is_cut])
        found = play(workload, STRATEGIES["shipped"], PRICES, PROMPTING)
        silent = play(workload, STRATEGIES["ask_delta"], PRICES, PROMPTING)
        notices = 70 + 45 + (0 if is_cut else 2 * 45)
        assert found.prompt_tokens == silent.prompt_tokens + notices
        assert found.transferred_tokens == silent.transferred_tokens + 70 + (0 if is_cut else 45)


def test_a_strategy_that_forgets_nothing_is_caught(make_workload):
    """After a cut the text is gone, whatever the strategy remembers."""

    class Remembering(Speaker):
        def __init__(self, conversation: Conversation) -> None:
            super().__init__(conversation)
            self.known: dict[int, int] = {}

        def answer(self, artifact: int) -> None:
            base = self.known.get(artifact)
            if base == self.talk.current[artifact]:
                self.talk.unchanged(artifact)
            else:
                self.talk.keep(artifact, base)

        def after(self, accesses):
            for artifact, _ in accesses:
                self.known[artifact] = self.talk.current[artifact]

    strategy = Strategy("remembering", "", Remembering)
    actions = [(0, 0, 0, READ), (1, 1, 0, WRITE), (2, 0, 0, READ)]
    cut = [False, False, True]
    workload = make_workload(actions, (9,), [[(0, 3)]], cuts=cut)
    with pytest.raises(FalseBase):
        play(workload, strategy, PRICES, PROMPTING)
    workload = make_workload([actions[0], actions[2]], (9,), [[]], cuts=cut[1:])
    with pytest.raises(FalseUnchanged):
        play(workload, strategy, PRICES, PROMPTING)


def test_a_strategy_that_says_nothing_is_caught(make_workload):
    class Silent(Speaker):
        def asks(self, artifact: int) -> bool:
            return artifact not in self.talk.held

        def answer(self, artifact: int) -> None:
            self.talk.keep(artifact)

    actions = [(0, 0, 0, READ), (1, 1, 0, WRITE), (2, 0, 0, READ)]
    with pytest.raises(StaleUse):
        play(
            make_workload(actions, (9,), [[(0, 3)]]),
            Strategy("silent", "", Silent),
            PRICES,
            PROMPTING,
        )


#: They show something once behind the history, which the append-only floor does not.
SHOWING = {"slot_tail", "shipped", "shipped_unmarked"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data())
def test_no_strategy_says_anything_false_or_undercuts_its_floor(workloads, data):
    workload = data.draw(workloads())
    for model in (PRICES, NO_CACHE):
        least = references(workload, model, PROMPTING)
        nothing = bare(workload, model, PROMPTING).bill
        assert 0 <= least.floor <= least.append_only + 1e-6
        for name in set(STRATEGIES) - {"slot_prefix"}:
            costs = play(workload, STRATEGIES[name], model, PROMPTING)
            above = costs.bill - nothing
            assert costs.transferred_tokens >= least.transferred_tokens
            assert above >= least.floor * (1 - 1e-9)
            assert above >= least.append_only * (1 - 1e-9) or name in SHOWING
        play(workload, STRATEGIES["slot_prefix"], model, PROMPTING)


@pytest.mark.slow(fast=5)
@pytest.mark.parametrize("name", STRATEGIES)
def test_cuts_and_long_runs_are_played_without_a_false_word(name):
    for scenario in ("read-heavy", "write-heavy"):
        workload = of_scenario(catalogue.find(scenario), 5, cuts=0.1)
        costs = play(workload, STRATEGIES[name], PRICES, PROMPTING)
        assert costs.is_linear
        assert costs.transferred_tokens > 0


def test_an_unmarked_notice_costs_hits_at_breakpoints_only(make_workload):
    workload = of_scenario(catalogue.find("churn"), 5)
    marked, unmarked = STRATEGIES["shipped"], STRATEGIES["shipped_unmarked"]
    steps = prices.shipped()["gpt-5-5"]
    assert play(workload, marked, steps, PROMPTING) == play(workload, unmarked, steps, PROMPTING)
    good = play(workload, marked, PRICES, PROMPTING)
    bad = play(workload, unmarked, PRICES, PROMPTING)
    assert bad.bill > 1.05 * good.bill
    assert bad.prompt_tokens == good.prompt_tokens


def test_a_slot_in_the_prefix_rewrites_from_the_first_change(make_workload):
    """With two marks beside the system's and the history's, two slots can stay before a change."""
    actions = [(0, 0, a, READ) for a in range(4)] + [(1, 1, 2, WRITE), (2, 0, 0, READ)]
    workload = make_workload(actions, (1_000,) * 4, [[], [], [(0, 5)], []])
    marked = play(workload, STRATEGIES["slot_prefix"], PRICES, PROMPTING)
    steps = PRICES.model_copy(
        update={"match": "steps", "breakpoints": 0, "look_back_blocks": 0, "write": 1.25}
    )
    assert marked == play(workload, STRATEGIES["slot_prefix"], steps, PROMPTING)
    actions[4] = (1, 1, 3, WRITE)
    later = make_workload(actions, (1_000,) * 4, [[], [], [], [(0, 5)]])
    at_marks = play(later, STRATEGIES["slot_prefix"], PRICES, PROMPTING).bill
    anywhere = play(later, STRATEGIES["slot_prefix"], steps, PROMPTING).bill
    assert at_marks - anywhere == pytest.approx(1_015 * (1.25 - 0.10))


@pytest.mark.parametrize("name", ["slot_prefix", "slot_tail"])
def test_after_a_cut_the_slots_are_still_there(name, make_workload):
    actions = [(0, 0, 0, READ), (1, 0, 1, READ), (2, 0, 1, READ)]
    workload = make_workload(actions, (100, 200), [[], []], cuts=[False, False, True])
    costs = play(workload, STRATEGIES[name], PRICES, PROMPTING)
    both = 115 + 215
    assert (
        costs.transferred_tokens == {"slot_prefix": both + both, "slot_tail": 115 + 2 * both}[name]
    )
