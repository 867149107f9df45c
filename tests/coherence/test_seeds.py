"""Which judge notices which of thirty seeded mistakes: a judge that goes blind is noticed.

The tests of this folder notice each.  `ROUGH` pins what the rough runs of `simulate --check` name,
and `MODELS` a small model with what it names: a property, ``deadlock``, or ``counts`` where only
the state graph differs.
"""

from typing import Any

import judges
import pytest
import seeds

from coherence.simulate import catalogue, rough
from specs.checker import Verdict, check
from specs.models.mesi import mesi
from specs.models.mesi_clock import mesi_clock

ROUGH = {
    "an epoch is used again": "InvalidRequest",
    "the next waiter gets the old epoch": "InvalidRequest",
    "the last waiter comes first": "fairness",
    "any base is current": "no_lost_update",
    "a fence by ownership alone": "fencing",
    "no fence": "fencing",
    "a repeated commit is judged again": "no_lost_update",
    "no acknowledgement is awaited": "strict_visibility",
    "a lone copy although others wait": "well_formed",
    "a dead version is taken": "well_formed",
    "any answer is taken": "Impossible",
    "any acknowledgement is taken": "version_order",
    "an invalidation of this version is late": "strict_visibility",
    "a version comes alive again": "strict_visibility",
    "a copy has no bound": "strict_visibility",
}

ONE: dict[str, Any] = {"requests": 1}
REPEATED = {"ask": "Load Commit", "network": "OrderedDuplicating", "duplicates": 1}
DROPPING = {**ONE, "network": "UnorderedDuplicating", "ask": "Load Commit Replacement"}
GIVES_UP = {
    "caches": 1,
    "requests": 3,
    "ask": "Acquire/wait Commit",
    "lease": True,
    "network": "Unordered",
}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "an epoch is used again": ("deadlock", ONE),
    "the next waiter gets the old epoch": ("counts", ONE),
    "the last waiter comes first": ("fairness", {**ONE, "caches": 3}),
    "any base is current": ("no_lost_update", ONE),
    "a fence by ownership alone": ("fencing", GIVES_UP),
    "no fence": ("fencing", GIVES_UP),
    "a repeated commit is judged again": ("no_lost_update", DROPPING),
    "the oldest verdicts are kept": (
        "no_lost_update",
        {"policy": "strict", "memory": 1, "turns": True, **REPEATED},
    ),
    "an acknowledgement of any version counts": (
        "strict_visibility",
        {"policy": "eager-strict", **REPEATED},
    ),
    "silent copies are given up by name": (
        "strict_visibility",
        {"policy": "strict", "requests": 3, "ask": "Load Commit"},
    ),
    "an invalidation names the version before": ("directory_agrees a", ONE),
    "no acknowledgement is awaited": (
        "counts",
        {**ONE, "policy": "strict", "network": "Unordered"},
    ),
    "a lone copy although others wait": ("well_formed", ONE),
    "a dead version is taken": ("well_formed a", DROPPING),
    "any answer is taken": ("no step raises", {**REPEATED, "ask": "Load Acquire"}),
    "an invalidation of this version is late": ("directory_agrees a", ONE),
    "a version comes alive again": ("counts", DROPPING),
    "a PutS has an old serial": ("counts", {"ask": "Load Replacement"}),
}


@pytest.mark.slow(fast=4)
@pytest.mark.parametrize("name", seeds.SEEDS)
def test_the_tests_notice_each(name: str) -> None:
    with seeds.seeded(name):
        assert judges.judge()


@pytest.mark.slow
@pytest.mark.parametrize("name", ROUGH)
def test_rough_runs_notice_half(name: str) -> None:
    policies = rough.policies_of([catalogue.find("planning")], ("lazy", "eager"))
    with seeds.seeded(name), pytest.raises(Exception) as error:  # noqa: PT011
        rough.play(policies)
    assert getattr(error.value, "name", type(error.value).__name__) == ROUGH[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_small_models_notice_most(name: str) -> None:
    expected, constants = MODELS[name]
    with seeds.seeded(name):
        wrong = check(mesi(**constants), engine="table")
    if expected == "deadlock":
        assert wrong.deadlock is not None
    elif expected == "counts":
        assert wrong.verdict is Verdict.HOLDS
        shipped = check(mesi(**constants), engine="table")
        assert (wrong.distinct, wrong.generated) != (shipped.distinct, shipped.generated)
    else:
        violated = [f.name for f in wrong.findings if f.verdict is Verdict.VIOLATED]
        assert violated[0] == expected


@pytest.mark.slow
def test_a_clock_notices_a_home_that_gives_up_first() -> None:
    with seeds.seeded("home waits half a validity"):
        result = check(mesi_clock())
    assert result.finding("strict_visibility").verdict is Verdict.VIOLATED
