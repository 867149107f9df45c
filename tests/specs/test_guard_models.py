"""Mistakes in guards and operation bodies, each refuted by the model that is kept for it."""

import pytest

from specs.checker import Verdict, check
from specs.checker.errors import UsageError
from specs.code_swap import mistaken
from specs.models.mesi import mesi
from specs.models.mesi_clock import mesi_clock

HOME, ENTRIES = "coherence.directory", "coherence.entries"

STRICT = {"policy": "strict", "requests": 3, "ask": "Load Commit"}
#: An agent gives up its wait, is granted the next epoch all the same, and commits under the last.
GIVES_UP = {
    "caches": 1,
    "requests": 3,
    "ask": "Acquire/wait Commit",
    "lease": True,
    "network": "Unordered",
}
REPEATED = {"ask": "Load Commit", "network": "OrderedDuplicating", "duplicates": 1}
#: The mistake, the model, what it violates, in how many steps.
MISTAKES = {
    "an acknowledgement of any version counts": (
        (HOME, "_inv_ack", "and x.msg.version >= x.version", ""),
        STRICT,
        "strict_visibility",
        17,
    ),
    "the same, with one repeated message": (
        (HOME, "_inv_ack", "and x.msg.version >= x.version", ""),
        {"policy": "eager-strict", **REPEATED},
        "strict_visibility",
        13,
    ),
    "silent copies are given up by name": (
        (
            ENTRIES,
            "remaining",
            "if sharer not in gone",
            "if sharer.cache not in [silent.cache for silent in gone]",
        ),
        STRICT,
        "strict_visibility",
        16,
    ),
    "a fence by ownership alone": (
        (HOME, "_put_m", "not (owns and msg.epoch == x.epoch)", "not owns"),
        GIVES_UP,
        "fencing",
        9,
    ),
    "the oldest verdicts are kept": (
        (ENTRIES, "remembering", "[-memory:]", "[:memory]"),
        {"policy": "strict", "memory": 1, "turns": True, **REPEATED},
        "no_lost_update",
        10,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_refuted(name: str) -> None:
    mistake, constants, violated, steps = MISTAKES[name]
    with mistaken(*mistake):
        result = check(mesi(**constants))
    assert result.verdict is Verdict.VIOLATED
    assert result.counterexample is not None
    assert [f.name for f in result.findings if f.verdict is Verdict.VIOLATED] == [violated]
    assert len(result.counterexample) == steps


def test_a_memory_below_the_writers_is_not_enough_without_turns() -> None:
    """The known limit of `Policy.memory`: the model above holds because the writers take turns."""
    result = check(mesi(policy="strict", memory=1, **REPEATED))
    assert result.finding("no_lost_update").verdict is Verdict.VIOLATED


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x.now + x.policy.validity", "x.now + x.policy.validity // 2"),
        ("x.now + x.policy.validity", "x.now"),
    ],
)
def test_home_waits_as_long_as_a_copy_may_live(before: str, after: str) -> None:
    with mistaken(HOME, "_arm_acks", before, after):
        result = check(mesi_clock())
    assert result.finding("strict_visibility").verdict is Verdict.VIOLATED


@pytest.mark.parametrize("wrong", [{"policy": "eager"}, {"validity": 0}])
def test_a_clock_needs_ticks_and_a_policy_that_invalidates(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="at least one tick"):
        mesi_clock(**wrong)  # type: ignore[arg-type]
