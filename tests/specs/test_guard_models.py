"""Mistakes in guards and operation bodies, each refuted by the model that is kept for it."""

import ast
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

import pytest

from specs.checker import Verdict, check
from specs.checker.errors import UsageError
from specs.code_swap import Turns, replaced
from specs.models.mesi import mesi
from specs.models.mesi_clock import mesi_clock

HOME = "coherence.directory"


@contextmanager
def mistake(name: str, before: str, after: str) -> Iterator[None]:
    """A function of the home's table with one text in place of another."""
    source = inspect.getsource(getattr(import_module(HOME), name))
    assert source.count(before) == 1, f"{name} has no {before!r} any more: seed the mistake again"
    (tree,) = ast.parse(source.replace(before, after)).body
    assert isinstance(tree, ast.FunctionDef)
    with replaced(HOME, name, tree, Turns()):
        yield


STRICT = {"policy": "strict", "requests": 3, "ask": "Load Commit"}
CRASH = {
    "caches": 1,
    "requests": 3,
    "ask": "Acquire Commit",
    "lease": True,
    "network": "Unordered",
    "crashes": 1,
}
REPEATED = {"ask": "Load Commit", "network": "OrderedDuplicating", "duplicates": 1}
#: The mistake, the model, what it violates, in how many steps.
MISTAKES = {
    "an acknowledgement of any version counts": (
        ("_inv_ack", "and x.msg.version >= x.version", ""),
        STRICT,
        "strict_visibility",
        17,
    ),
    "the same, with one repeated message": (
        ("_inv_ack", "and x.msg.version >= x.version", ""),
        {"policy": "eager-strict", **REPEATED},
        "strict_visibility",
        13,
    ),
    "silent copies are given up by name": (
        (
            "_give_up_acks",
            "if sharer not in x.unacked",
            "if sharer.cache not in [silent.cache for silent in x.unacked]",
        ),
        STRICT,
        "strict_visibility",
        16,
    ),
    "a fence by ownership alone": (
        ("_put_m", "not (owns and msg.epoch == x.epoch)", "not owns"),
        CRASH,
        "fencing",
        10,
    ),
    "the oldest verdicts are kept": (
        ("_judge", "[-x.policy.memory :]", "[: x.policy.memory]"),
        {"policy": "strict", "memory": 1, "turns": True, **REPEATED},
        "no_lost_update",
        10,
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_refuted(name: str) -> None:
    (function, before, after), constants, violated, steps = MISTAKES[name]
    with mistake(function, before, after):
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
    with mistake("_arm_acks", before, after):
        result = check(mesi_clock())
    assert result.finding("strict_visibility").verdict is Verdict.VIOLATED


@pytest.mark.parametrize("wrong", [{"policy": "eager"}, {"validity": 0}])
def test_a_clock_needs_ticks_and_a_policy_that_invalidates(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="at least one tick"):
        mesi_clock(**wrong)  # type: ignore[arg-type]
