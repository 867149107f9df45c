"""Teams that change, exhaustively: crashes told to one survivor, false alarms, leaving, joining.

Each mend has a variant without it that fails.
"""

from typing import Any

import pytest

from specs.checker import Verdict, check
from specs.models.causal import causal

WILD = "UnorderedLossyDuplicating"

Counts = tuple[int, int, int]
Case = tuple[str, int, int, str]


def changes(text: str) -> dict[str, int]:
    """`crashes=1 joins=1` as options."""
    return {kind: int(number) for kind, _, number in (word.partition("=") for word in text.split())}


#: (protocol, founders, sends, links), changes: distinct states, transitions, longest shortest path.
FAST: list[tuple[Case, str, Counts]] = [
    (("hybrid", 3, 2, "Unordered"), "crashes=1", (1_334, 2_579, 10)),
    (("hybrid", 3, 2, "Ordered"), "mistakes=1", (3_570, 8_398, 11)),
    (("hybrid", 3, 2, "Unordered"), "mistakes=1", (5_384, 14_398, 11)),
    (("hybrid", 3, 2, "Ordered"), "leaves=1", (3_071, 7_283, 12)),
    (("hybrid", 3, 2, "Unordered"), "leaves=1", (5_356, 15_242, 12)),
    (("hybrid", 2, 2, "Ordered"), "joins=1", (2_012, 5_372, 12)),
    (("hybrid", 2, 2, "Unordered"), "joins=1", (4_245, 13_652, 12)),
    (("hybrid", 2, 2, "Ordered"), "mistakes=2", (352, 618, 10)),
    (("hybrid", 3, 1, "Ordered"), "mistakes=2", (2_972, 7_281, 11)),
    (("hybrid", 3, 1, WILD), "crashes=1", (4_608, 27_355, 15)),
    (("hybrid", 2, 1, WILD), "leaves=2", (1_837, 12_335, 15)),
]
SLOW: list[tuple[Case, str, Counts]] = [
    (("hybrid", 3, 1, WILD), "mistakes=1", (19_071, 168_907, 18)),
    (("hybrid", 3, 3, "Ordered"), "crashes=1", (17_564, 35_235, 14)),
    (("hybrid", 3, 2, "Ordered"), "crashes=2", (11_980, 15_723, 13)),
    (("hybrid", 3, 3, "Unordered"), "leaves=1", (121_885, 439_013, 15)),
    (("hybrid", 3, 3, "Unordered"), "mistakes=1", (140_872, 475_805, 15)),
    (("hybrid", 3, 1, WILD), "leaves=1", (411_689, 5_288_710, 22)),
    (("hybrid", 2, 1, WILD), "joins=1", (1_888_899, 25_329_015, 23)),
    (("hybrid", 3, 2, "Ordered"), "joins=1", (217_835, 1_065_067, 17)),
    (("hybrid", 3, 2, "Unordered"), "joins=1", (465_407, 2_584_432, 17)),
    (("hybrid", 2, 1, "Ordered"), "joins=2", (812_694, 4_403_001, 20)),
    (("hybrid", 2, 2, "Ordered"), "crashes=1 joins=1", (40_798, 91_217, 15)),
    (("hybrid", 2, 2, "Unordered"), "leaves=1 joins=1", (566_352, 2_579_031, 18)),
    (("hybrid", 2, 2, "Unordered"), "mistakes=1 joins=1", (615_200, 2_621_921, 17)),
    (("hybrid", 4, 2, "Ordered"), "mistakes=1", (141_392, 550_623, 15)),
    (("hybrid", 4, 2, "Unordered"), "mistakes=1", (223_680, 973_325, 15)),
    (("hybrid", 4, 2, "Ordered"), "leaves=1", (415_462, 1_908_776, 17)),
    (("hybrid", 4, 2, "Unordered"), "leaves=1", (732_742, 3_852_380, 17)),
    (("announcing", 3, 2, "Unordered"), "leaves=1", (18_360, 62_769, 14)),
    (("announcing", 3, 2, "Unordered"), "mistakes=1", (16_548, 52_894, 14)),
    (("announcing", 2, 2, "Unordered"), "joins=1", (13_168, 50_907, 14)),
    (("cykas", 3, 2, "Unordered"), "leaves=1", (4_578, 13_072, 11)),
    (("cykas", 3, 2, "Unordered"), "mistakes=1", (4_785, 12_858, 11)),
    (("cykas", 2, 2, "Unordered"), "joins=1", (3_682, 11_984, 11)),
    (("mf95", 3, 2, "Unordered"), "leaves=1", (3_404, 9_215, 11)),
    (("mf95", 3, 2, "Unordered"), "mistakes=1", (3_862, 10_192, 10)),
    (("mf95", 2, 2, "Unordered"), "joins=1", (3_066, 9_859, 11)),
    (("csps", 3, 2, "Unordered"), "leaves=1", (5_510, 15_920, 11)),
    (("csps", 3, 2, "Unordered"), "mistakes=1", (5_522, 14_990, 11)),
    (("csps", 2, 2, "Unordered"), "joins=1", (4_577, 14_929, 11)),
    (("hybrid-plain", 3, 2, "Unordered"), "leaves=1", (5_048, 14_520, 11)),
    (("hybrid-plain", 3, 2, "Unordered"), "mistakes=1", (5_167, 13_948, 11)),
    (("hybrid-plain", 2, 2, "Unordered"), "joins=1", (4_053, 13_222, 11)),
    (("hybrid", 3, 1, "Ordered"), "crashes=1 joins=1", (923_764, 3_416_853, 19)),
    (("hybrid", 3, 1, "Unordered"), "crashes=1 joins=1", (2_414_201, 11_041_977, 19)),
]


def holds(case: Case, told: str, counts: Counts) -> None:
    result = check(causal(*case, **changes(told)))  # type: ignore[arg-type]
    assert result.verdict is Verdict.HOLDS
    assert result.vacuous == ()
    assert (result.distinct, result.generated, result.depth) == counts


@pytest.mark.slow(fast=2)
@pytest.mark.parametrize(("case", "told", "counts"), FAST, ids=str)
def test_a_team_that_changes(case: Case, told: str, counts: Counts) -> None:
    holds(case, told, counts)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "told", "counts"), SLOW, ids=str)
def test_a_team_that_changes_elsewhere(case: Case, told: str, counts: Counts) -> None:
    holds(case, told, counts)


@pytest.mark.slow(fast=2)
@pytest.mark.parametrize(
    ("specimen", "processes", "sends", "links", "told", "broken", "steps"),
    [
        # The news reaches one survivor, and no packet of the application spreads it.
        ("hybrid-hushed", 3, 3, "Ordered", "crashes=1", "members agree", 2),
        ("hybrid-silent", 3, 1, "Ordered", "mistakes=1", "members agree", 2),
        ("hybrid-hasty", 3, 2, "Ordered", "leaves=1", "causal delivery", 2),
        ("hybrid-views-kept-back", 3, 3, "Unordered", "crashes=1", "causal delivery", 7),
        # A newcomer's message overtakes the news of it.
        ("hybrid-views-kept-back", 2, 2, "Unordered", "joins=1", "no step raises", 4),
    ],
)
def test_each_mend_is_needed(
    specimen: str, processes: int, sends: int, links: str, told: str, broken: str, steps: int
) -> None:
    options: Any = changes(told)
    result = check(causal(specimen, processes, sends, links, **options))
    assert result.verdict is Verdict.VIOLATED
    assert [f.name for f in result.findings if f.path] == [broken]
    assert result.counterexample is not None
    assert len(result.counterexample) == steps


@pytest.mark.parametrize(
    ("case", "told", "distinct"),
    [
        (("hybrid", 3, 2, "Ordered"), "leaves=1", 3_071),
        (("hybrid", 2, 1, WILD), "leaves=1", 505),
        (("hybrid", 2, 1, WILD), "mistakes=1", 147),
    ],
    ids=str,
)
def test_what_must_happen_happens(case: Case, told: str, distinct: int) -> None:
    result = check(causal(*case, live=True, **changes(told)))  # type: ignore[arg-type]
    assert (result.verdict, result.distinct) == (Verdict.HOLDS, distinct)


def test_without_an_answer_an_excluded_process_waits_for_ever() -> None:
    result = check(causal("hybrid-silent", 2, 1, WILD, mistakes=1, live=True))
    assert result.verdict is Verdict.VIOLATED
    assert [f.name for f in result.findings if f.path] == ["a learns"]
