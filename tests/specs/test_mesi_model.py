from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from coherence.invariants import NAMES, begin, observe
from coherence.policy import Lazy, Policy
from message_passing.network import Guarantee
from specs import proofs, system, tlc
from specs.checker import Verdict, check
from specs.checker.errors import UsageError
from specs.conform import read_config
from specs.models import mesi as model
from specs.models import mesi_ghost
from specs.models.mesi import ALL, POLICIES, mesi, policy_of
from specs.models.mesi_broken import FAULTS
from specs.twins import mesi_model

SMALL: list[dict[str, Any]] = [
    {"requests": 1, "ask": " ".join(ALL)},
    {"requests": 1, "policy": "strict", "lease": True},
    {"requests": 1, "policy": "eager-strict", "crashes": 1},
    {"requests": 1, "network": "UnorderedDuplicating", "ask": "Load Commit"},
]


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("constants", SMALL)
def test_engines_agree(constants: dict[str, Any]) -> None:
    plain = check(mesi(**constants), engine="reference")
    table = check(mesi(**constants), engine="table")
    assert plain.verdict is table.verdict is Verdict.HOLDS
    assert (plain.distinct, plain.generated, plain.depth) == (
        table.distinct,
        table.generated,
        table.depth,
    )
    assert plain.actions == table.actions


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("constants", SMALL)
def test_symmetry_loses_no_state(constants: dict[str, Any]) -> None:
    whole = check(mesi(**constants))
    orbits = check(mesi(**constants, symmetric=True), symmetry=True)
    assert orbits.verdict is Verdict.HOLDS
    assert whole.distinct / 2 <= orbits.distinct < whole.distinct


@pytest.mark.parametrize("policy", [Lazy(), policy_of("strict", lease=True)])
def test_the_short_memory_judges_as_the_long_one(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With everything remembered there are more states, and the same protocol states."""

    def remember_all(_: Policy, __: bool, ghost: Any, address: str, event: Any, step: Any) -> Any:
        return observe(ghost, address, event, step, policy)

    def build() -> Any:
        agents = model.agents_of(2)
        ask = partial(model.requests_of, kinds=("Load", "Acquire", "Commit"), times=1)
        return model.protocol(
            policy,
            Guarantee.ORDERED,
            agents,
            {agent: system.Requests(partial(_requests, ask, agent)) for agent in agents},
        )

    def protocol_states() -> tuple[Verdict, set[Any]]:
        made = build()
        seen, todo = set(made.initial), list(made.initial)
        plain = made.model()
        while todo:
            for _, state in plain.successors(todo.pop()):
                if state not in seen:
                    seen.add(state)
                    todo.append(state)
        return check(made).verdict, {state[:-1] for state in seen}

    short = protocol_states()
    monkeypatch.setattr(model, "witness", None)
    monkeypatch.setattr(model, "remember", remember_all)
    assert protocol_states() == short
    assert short[0] is Verdict.HOLDS


def _requests(ask: Any, agent: str, state: Any, made: int) -> Any:
    return ask(agent, state=state, made=made)


@pytest.mark.slow
def test_strict_needs_the_clock_assumption(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(mesi(policy="strict")).verdict is Verdict.HOLDS
    monkeypatch.setattr(model, "home_gives_up_last", lambda view, address, timer: True)
    result = check(mesi(policy="strict"))
    assert result.finding("strict_visibility").verdict is Verdict.VIOLATED


def test_every_property_has_a_fault() -> None:
    named = {fault.removesuffix(" a") for fault in FAULTS}
    shape = {"no step raises", "well_formed", "draft_is_current", "directory_agrees", "timers_fit"}
    shape |= {"owner_agrees", "deadlock"}
    assert shape | set(NAMES) <= named


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_fault_changes_the_table_that_it_names(fault: str) -> None:
    tables = FAULTS[fault].tables()
    assert set(tables) == {f"{FAULTS[fault].side}_table"}


def test_every_policy_can_be_named() -> None:
    for name in POLICIES:
        assert check(mesi(requests=1, policy=name, ask="Load Commit")).verdict is Verdict.HOLDS


def test_bad_names_are_refused_with_the_good_ones() -> None:
    with pytest.raises(UsageError, match="one of"):
        mesi(broken="nothing")
    for constants in ({"policy": "lax"}, {"network": "Pigeon"}, {"ask": "Sing"}):
        with pytest.raises(UsageError, match="one of"):
            check(mesi(**constants))


def test_the_ghost_starts_where_home_does() -> None:
    assert mesi_ghost.NOBODY.owner == begin(model.Home(Lazy()).initial()).owner


@pytest.mark.slow
def test_every_action_is_in_some_compared_graph() -> None:
    taken: set[str] = set()
    for run in proofs.runs():
        if run.module == "MCMesi" and run.edges is not None:
            constants = read_config(tlc.TLA / f"{run.config}.cfg")
            # Where channels are short, a full one is an end like any other: TLC does not mind.
            ends = replace(mesi_model(constants), terminal=lambda view: True)
            taken |= check(ends, engine="table").actions
    assert taken >= model.ACTIONS
