"""An artifact that comes into being during a run: nobody has to read what does not exist."""

from __future__ import annotations

import pytest

from coherence.simulate.experiments import prices
from coherence.simulate.experiments.billing import Prompting
from coherence.simulate.experiments.edits import EditedContents, Span
from coherence.simulate.experiments.floors import References, references
from coherence.simulate.experiments.play import bare, play
from coherence.simulate.experiments.strategies import STRATEGIES
from coherence.simulate.experiments.workload import OUTSIDE, Turn, Workload

MODEL = prices.shipped()["claude-opus-5"]
PROMPTING = Prompting()


class Created(EditedContents):
    """One artifact of 1,000 tokens, which has no text before it is created."""

    def __init__(self) -> None:
        super().__init__([1_000], [[Span((0, 500), 1_000), Span((0, 10), 20)]])

    def text(self, artifact: int, version: int) -> int:
        return 1_000 if version else 0

    def edit(self, artifact: int, version: int) -> int:
        return super().edit(artifact, version + 1)

    def difference(self, artifact: int, base: int, version: int) -> int:
        return super().difference(artifact, base + 1, version + 1)


def made(*turns: Turn) -> Workload:
    return Workload(2, 1, Created(), turns, frozenset({0}))


def above(workload: Workload, name: str) -> float:
    played = play(workload, STRATEGIES[name], MODEL, PROMPTING)
    return played.bill - bare(workload, MODEL, PROMPTING).bill


CREATED = Turn(0, 0, ((0, True),), False)


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "broadcast"])
def test_the_creator_reads_nothing(name):
    workload = made(CREATED)
    assert above(workload, name) == 0
    assert references(workload, MODEL, PROMPTING) == References(0, 0, 0, 0)


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_next_reader_gets_the_text_and_the_creator_the_next_change(name):
    workload = made(
        CREATED,
        Turn(1, 1, ((0, True),), False),
        Turn(2, 0, ((0, False),), False),
    )
    assert above(workload, name) > 0
    found = references(workload, MODEL, PROMPTING)
    # The whole text to the second agent, and the difference to the first.
    assert found.transferred_tokens == 1_000 + 20 + 2 * PROMPTING.header_tokens
    assert 0 < found.floor <= found.append_only <= found.offline


def test_others_may_create_it_too():
    workload = made(Turn(0, OUTSIDE, ((0, True),), False), Turn(1, 1, ((0, False),), False))
    found = references(workload, MODEL, PROMPTING)
    assert found.transferred_tokens == 1_000 + PROMPTING.header_tokens
    assert above(workload, "lazy_delta") == pytest.approx(found.offline)
