"""The bill: worked by hand, prompt by prompt."""

import pytest

from coherence.simulate.experiments.billing import Bill, Prompting
from coherence.simulate.experiments.prices import parse

TEXT = """
[marked]
cached = 0.1
write = 1.25
output = 5
minimum_tokens = 100
match = "breakpoints"
breakpoints = 2
look_back_blocks = 3
source = "test"
[one-mark]
cached = 0.1
write = 1.25
output = 5
match = "breakpoints"
breakpoints = 1
look_back_blocks = 3
source = "test"
[steps]
cached = 0.1
write = 1
output = 5
match = "steps"
step_tokens = 50
source = "test"
[tiers]
cached = 0.5
write = 1
output = 2
match = "steps"
above_tokens = 250
above_factor = 3
lifetime_s = 60
source = "test"
"""
PRICES = parse(TEXT, "text")


def bill(name: str, **changes: object) -> Bill:
    return Bill(PRICES[name], Prompting(**{"system_tokens": 120, "summary_tokens": 30} | changes))


def cost_of(made: Bill, output: int = 0, tail: int = 0) -> float:
    before = made.cost
    made.send(output, tail)
    return made.cost - before


def test_a_prefix_is_written_once_and_read_afterwards():
    made = bill("marked")
    assert cost_of(made, output=10) == pytest.approx(120 * 1.25 + 10 * 5)
    made.append(40)
    assert cost_of(made) == pytest.approx(120 * 0.1 + (10 + 40) * 1.25)
    assert cost_of(made) == pytest.approx(170 * 0.1)
    assert made.prompt_tokens == 120 + 170 + 170
    assert made.above_minimum


def test_a_tail_behind_a_mark_is_input_and_not_kept():
    made = bill("marked")
    assert cost_of(made, tail=40) == pytest.approx(120 * 1.25 + 40)
    assert cost_of(made) == pytest.approx(120 * 0.1)


def test_a_tail_without_a_mark_before_it_spoils_what_is_written():
    made = bill("marked", marks=False)
    assert cost_of(made, tail=40) == pytest.approx(160 * 1.25)
    assert cost_of(made) == pytest.approx(120 * 1.25)  # the first prefix ended behind the tail
    assert cost_of(made, tail=40) == pytest.approx(120 * 0.1 + 40 * 1.25)
    assert cost_of(made) == pytest.approx(120 * 0.1)  # this one is still found


def test_in_steps_a_tail_is_a_write_and_a_prefix_is_found_in_whole_steps():
    made = bill("steps")
    assert cost_of(made, tail=40) == pytest.approx(160)
    made.append(10)
    assert cost_of(made) == pytest.approx(100 * 0.1 + 30)
    assert cost_of(made) == pytest.approx(100 * 0.1 + 30)


def test_below_the_minimum_nothing_is_cached():
    made = bill("marked", system_tokens=60)
    assert cost_of(made, output=60) == 60 + 300
    assert not made.above_minimum
    assert cost_of(made) == pytest.approx(120 * 1.25)
    assert cost_of(made) == pytest.approx(120 * 0.1)


def test_the_last_mark_must_be_within_the_look_back():
    found, lost, two = bill("one-mark"), bill("one-mark"), bill("marked")
    for made, blocks in ((found, 2), (lost, 3), (two, 3)):
        made.send(0)  # its output is a block
        for _ in range(blocks):
            made.append(10)
    assert cost_of(found) == pytest.approx(120 * 0.1 + 20 * 1.25)
    assert cost_of(lost) == pytest.approx(150 * 1.25)
    assert cost_of(two) == pytest.approx(120 * 0.1 + 30 * 1.25)  # the other mark is there


def test_a_longer_prompt_costs_more_altogether():
    made = bill("tiers")
    assert cost_of(made, output=10, tail=130) == 250 + 20
    assert made.in_one_tier
    assert cost_of(made, tail=121) == pytest.approx(3 * (120 * 0.5 + 131))
    assert not made.in_one_tier


def test_an_unused_prefix_expires():
    made = bill("tiers", step_s=10.0)
    for step, cost in ((0, 120), (6, 60), (13, 120), (14, 60)):
        made.pass_time(step)
        assert cost_of(made) == cost


def test_a_cut_keeps_the_system_prompt_in_the_cache():
    made = bill("marked")
    made.append(500)
    made.send(0)
    made.cut()
    assert made.history_tokens == 150
    assert cost_of(made) == pytest.approx(120 * 0.1 + 30 * 1.25)


def test_a_prefix_below_the_minimum_is_not_found_after_a_cut():
    made = bill("marked", system_tokens=60, summary_tokens=50)
    made.append(200)
    made.send(0)
    made.cut()
    assert cost_of(made) == pytest.approx(110 * 1.25)


def test_a_rewritten_history_is_found_up_to_the_change():
    made = bill("steps")
    made.append(380)
    made.send(0)
    made.rewrite(330, 700)
    assert made.history_tokens == 700
    assert cost_of(made) == pytest.approx(300 * 0.1 + 400)
