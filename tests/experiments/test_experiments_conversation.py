"""A conversation: what its context contains, and which words it refuses."""

import pytest

from coherence.simulate.experiments import prices
from coherence.simulate.experiments.billing import Prompting
from coherence.simulate.experiments.conversation import (
    Conversation,
    FalseBase,
    FalseUnchanged,
    StaleUse,
)
from coherence.simulate.experiments.edits import EditedContents, Span


@pytest.fixture
def talk() -> Conversation:
    """About one text of 1,000 tokens, of which version 2 differs by 200."""
    contents = EditedContents([1_000], [[Span((0, 100), 200), Span((50, 150), 200)]])
    return Conversation(contents, [1], prices.shipped()["claude-opus-5"], Prompting())


def change(talk: Conversation) -> None:
    talk.current[0] += 1  # as the run does


def test_what_is_kept_stays_and_what_is_shown_is_gone_after_the_call(talk):
    talk.begin(0)
    talk.show_whole([0])
    talk.use(0)
    talk.send(100)
    with pytest.raises(StaleUse):
        talk.use(0)
    talk.keep(0)
    talk.use(0)
    talk.send(100)
    talk.use(0)
    assert talk.transferred == 2 * 1_015


def test_an_edit_of_a_shown_text_is_not_a_held_version(talk):
    """The edit is in the history, but the text that it changes is gone."""
    talk.show_whole([0])
    talk.send(100)
    talk.wrote(0, 1)
    assert talk.held == {}
    talk.keep(0)
    talk.wrote(0, 1)
    assert talk.held == {0: 2}


def test_a_difference_needs_its_base(talk):
    talk.keep(0)
    change(talk)
    talk.keep(0, 1)
    assert talk.transferred == 1_015 + 215
    change(talk)
    with pytest.raises(FalseBase):
        talk.keep(0, 1)
    talk.cut()
    with pytest.raises(FalseBase):
        talk.keep(0, 2)
    talk.keep(0)


def test_unchanged_needs_the_current_version(talk):
    with pytest.raises(FalseUnchanged):
        talk.unchanged(0)
    talk.keep(0)
    talk.unchanged(0)
    change(talk)
    with pytest.raises(FalseUnchanged):
        talk.unchanged(0)


def test_a_trip_is_a_call_that_keeps_its_question(talk):
    talk.begin(0)
    talk.ask(2)
    assert talk.trips == 1
    assert talk.bill.history_tokens == 1_500 + 200 + 120
    assert talk.bill.prompt_tokens == 1_700
    assert talk.prompts == 2
    talk.cut()
    assert talk.prompts == 0


def test_a_remark_is_counted_once_in_a_call(talk):
    talk.begin(0)
    talk.remark(45)
    talk.ask(1)
    talk.remark(20)
    talk.send(100)
    assert talk.transferred == 45
    assert talk.bill.prompt_tokens == (1_700 + 45) + (1_760 + 20)
    talk.remark(45)
    assert talk.transferred == 90
