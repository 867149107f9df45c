"""Why named secrets have no views: the specimen that has them, and what it takes to catch it.

A secret that was passed on protects a message of its first owner, and ends with the process that
passed it on.  So it takes four processes: a, which sends to b and to c; c, which passes on to d
what it must not tell b, and crashes; d, which hears of the crash and tells b.  If a's message to b
is still in transit, b learns of it too early.  The crash and its news must both fall between two
deliveries, so random runs seldom meet the case.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from causal.messages import PeerDown, Unicast
from specs.checker import Verdict, check
from specs.checker.composite import Change, Composite, Rule
from specs.models.causal import causal

SENDS = {("a", "b"), ("a", "c"), ("c", "d"), ("d", "b")}


def narrowed(protocol: str, crashes: int = 1, *, told: str = "d") -> Composite[Any]:
    """Four processes and these sends alone; only c may crash, and only these are told."""
    whole = causal(protocol, 4, 4, crashes=crashes)

    def wanted(change: Change) -> bool:
        action = change.action
        if action.kind == "crash":
            return action.process == "c"
        request = action.subject if action.kind == "invoke" else None
        if type(request) is PeerDown:
            return action.process in told
        return type(request) is not Unicast or (action.process, request.dst) in SENDS

    def limited(rule: Rule) -> Rule:
        def possible(values: Sequence[Any]) -> Iterator[Change]:
            yield from filter(wanted, rule(values))

        return possible

    return replace(whole, rules=[limited(rule) for rule in whole.rules])


def assert_caught(model: Composite[Any]) -> None:
    result = check(model)
    assert result.verdict is Verdict.VIOLATED
    assert [finding.name for finding in result.findings if finding.path] == ["causal delivery"]
    path = result.counterexample
    assert path is not None
    # Four sends, the crash, its news, c's and d's messages, d's notice to b, d's message.
    assert len(path) == 10
    steps = [(action.kind, action.process, type(action.subject)) for action in path.actions]
    assert [step[:2] for step in steps if step[0] == "crash"] == [("crash", "c")]
    assert [step[2] for step in steps].count(PeerDown) == 1
    assert steps[-1][:2] == ("deliver", "b")


@pytest.mark.slow
def test_a_secret_that_was_passed_on_ends_with_the_process_that_passed_it_on() -> None:
    assert_caught(narrowed("named-with-views"))


def test_without_the_crash_nothing_is_wrong() -> None:
    assert check(narrowed("named-with-views", crashes=0)).verdict is Verdict.HOLDS


@pytest.mark.slow
@pytest.mark.parametrize(
    "protocol",
    ["mf95", *(pytest.param(name, marks=pytest.mark.slow) for name in ("cykas-refined", "hybrid"))],
)
def test_where_secrets_are_not_passed_on_the_crash_is_harmless(protocol: str) -> None:
    assert check(narrowed(protocol)).verdict is Verdict.HOLDS


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_three_processes_do_not_show_it() -> None:
    assert check(causal("named-with-views", 3, 4, crashes=1)).verdict is Verdict.HOLDS


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_is_no_shorter_if_others_are_told() -> None:
    assert_caught(narrowed("named-with-views", told="abd"))
