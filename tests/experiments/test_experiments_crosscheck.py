"""The cost model against an independent one: one agent that uses one text in every turn.

The rows are savings against appending the text in every turn: S turns, a text of D tokens, h other
tokens a turn, and a chance V that the text has changed since the last turn; a system prompt of
1,500 tokens, a cached read at 0.10 and a write at 1.25.  That model used 100 to 200 seeds.
"""

from random import Random

import pytest

from coherence.simulate.experiments import prices
from coherence.simulate.experiments.billing import Prompting
from coherence.simulate.experiments.edits import EditedContents, drawn
from coherence.simulate.experiments.play import play
from coherence.simulate.experiments.prices import PriceModel
from coherence.simulate.experiments.strategies import STRATEGIES
from coherence.simulate.experiments.workload import OUTSIDE, Turn, Workload

SHIPPED = prices.shipped()
MARKED = SHIPPED["claude-opus-5"]
#: The same prices where all that is not read is written, a tail included.
STEPS = MARKED.model_copy(update={"match": "steps", "breakpoints": 0, "look_back_blocks": 0})
SEEDS = 30


def saved(shape: tuple[int, int, int, float], name: str, model: PriceModel) -> float:
    """The saving in percent."""
    turns, size, other, chance = shape
    prompting = Prompting(new_tokens=other, output_tokens=0, header_tokens=0)
    bills = {name: 0.0, "inject": 0.0}
    for seed in range(SEEDS):
        rng = Random(f"{seed}/{shape}")
        calls, edits = [], 0
        for step in range(turns):
            if step and rng.random() < chance:
                calls.append(Turn(step, OUTSIDE, ((0, True),), False))
                edits += 1
            calls.append(Turn(step, 0, ((0, False),), False))
        contents = EditedContents([size], [drawn(size, edits, rng)])
        workload = Workload(1, 1, contents, calls)
        for played in bills:
            bills[played] += play(workload, STRATEGIES[played], model, prompting).bill
    return 100 * (1 - bills[name] / bills["inject"])


ROWS = {
    (20, 4_000, 300, 0.05): (80, 39, 80),
    (20, 4_000, 300, 0.25): (64, 39, 63),
    (20, 4_000, 300, 0.50): (45, 39, 42),
    (60, 2_000, 800, 0.25): (5, 49, 50),
    (60, 2_000, 800, 0.50): (-57, 49, 33),
    (60, 500, 800, 0.25): (-89, 26, 26),
    (20, 16_000, 300, 0.50): (62, 42, 45),
}


@pytest.mark.parametrize("shape", ROWS, ids=str)
def test_slots_and_texts_on_change_agree_within_three_points(shape):
    prefix, tail, append = ROWS[shape]
    assert saved(shape, "push_on_change", MARKED) == pytest.approx(append, abs=3)
    assert saved(shape, "slot_prefix", MARKED) == pytest.approx(prefix, abs=3)
    assert saved(shape, "slot_tail", STEPS) == pytest.approx(tail, abs=1)


def test_behind_a_mark_a_slot_at_the_tail_saves_more():
    assert saved((20, 4_000, 300, 0.25), "slot_tail", MARKED) == pytest.approx(50, abs=1)


def test_without_a_cache_the_slots_win():
    shape = (20, 4_000, 300, 0.25)
    found = [saved(shape, name, SHIPPED["none"]) for name in ("slot_prefix", "slot_tail")]
    assert found == [pytest.approx(81, abs=1)] * 2
    assert saved(shape, "push_on_change", SHIPPED["none"]) == pytest.approx(61, abs=3)
