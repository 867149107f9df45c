"""The machines against their TLA+ modules: other machines must be told from them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from specs import proofs, tlc
from specs.causal_twins import HYBRID, MF95, cykas, hybrid, hybrid_plain, mf95, twin
from specs.conform import code_graph, compare, differences_of, read_config, spec_graph
from specs.tlavalue import Function

CONSTANTS = {"Processes": frozenset("abc"), "Sends": 2, "Guarantee": "Ordered"}


def test_states_that_a_twin_takes_for_one_must_do_the_same() -> None:
    def forgetful(*args: Any) -> Any:
        known = dict(HYBRID.variables(*args))
        # Without it, a message and its release look alike to whoever acknowledged both.
        known["secrets"] = ()
        known["net"] = ()
        return known

    assert not code_graph(HYBRID, CONSTANTS).uneven
    graph = code_graph(replace(HYBRID, variables=forgetful), CONSTANTS)
    assert graph.uneven
    assert "one in spec, not the same in code" in next(differences_of(graph, graph))


def test_history_is_what_the_models_keep() -> None:
    graph = code_graph(MF95, CONSTANTS)
    sent = dict(zip(graph.names, graph.states[1], strict=True))
    assert sent["past"] == Function(
        frozenset({("a", frozenset({("a", 1, "b")})), ("b", frozenset()), ("c", frozenset())})
    )
    assert sent["pending"] == Function(frozenset({(("a", 1, "b"), frozenset())}))


#: A configuration, who claims to be its module, and what it does first that the module does not.
CLAIMS = [
    ("MCMf95", "mf95", mf95, ""),
    ("MCMf95", "mf95-window-2", mf95, "Send"),
    ("MCMf95", "cykas", mf95, "Send"),
    ("MCCykas", "cykas", cykas, ""),
    ("MCCykas", "cykas-no-secrets", cykas, "ReceiveData"),
    ("MCCykas", "cykas-scan", cykas, "Send"),
    ("MCCykasUnordered", "cykas-forgetful", cykas, "ReceiveData"),
    ("MCHybridUnordered", "hybrid", hybrid, ""),
    ("MCHybridUnordered", "hybrid-plain", hybrid_plain, ""),
    ("MCHybridUnordered", "csps", hybrid_plain, "Send"),
    ("MCHybridUnordered", "hybrid-unchained", hybrid_plain, "Send"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("config", "protocol", "of", "action"), CLAIMS)
def test_only_the_machine_itself_has_the_graph(
    config: str, protocol: str, of: Any, action: str
) -> None:
    claimant = twin(proofs.run_of(config).module, protocol, of)
    try:
        spec = spec_graph(claimant, config)
    except tlc.NoTlc as error:
        pytest.skip(str(error))
    constants = read_config(tlc.TLA / f"{config}.cfg")
    found = list(differences_of(spec, code_graph(claimant, constants)))
    assert [d.split(": ")[1] for d in found[:1]] == ([action] if action else []), found


#: A configuration, and a rule of its module made another.
RULES = [
    ("MCMf95", "MayGo(unacknowledged) == unacknowledged = {}", "MayGo(unacknowledged) == TRUE"),
    ("MCCykas", r"~e.acked \/ (e.eager /\ ~e.released)", "~e.acked"),
    ("MCCykas", r"\A e \in Unacknowledged(f) : e.dst # m.dst", "TRUE"),
    ("MCCykasUnordered", r"x[1] = s /\ x[2] <= m.id", r"x[1] = s /\ x[2] = m.id"),
    ("MCCykasUnordered", r"IF m.id > got[p][s] THEN {<<s, m.id>>} ELSE {}", "{}"),
    ("MCHybrid", r"\E s \in m.deps : s[1] # m.dst", "m.deps # {}"),
    ("MCHybrid", r"x.id < m.id /\ x.dst # m.dst", "x.id < m.id"),
    ("MCHybridUnordered", "IF m.id > got[p][s] THEN Max({@, m.id}) ELSE @", "@"),
    # It takes four messages to pass one in the queue.
    ("MCHybridMedium", r"x.dst = m.dst /\ x.id <= m.id", "x.id <= m.id"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("config", "rule", "other"), RULES)
def test_every_rule_of_a_module_can_be_told(
    tmp_path: Path, config: str, rule: str, other: str
) -> None:
    run = proofs.run_of(config)
    folder = Path(shutil.copytree(tlc.TLA, tmp_path / "tla"))
    module, settings = folder / f"{run.module[2:]}.tla", folder / f"{config}.cfg"
    assert rule in module.read_text()
    module.write_text(module.read_text().replace(rule, other))
    # What is wrong might be found before the graph is complete.
    lines = settings.read_text().splitlines()
    settings.write_text("\n".join(x for x in lines if not x.startswith(("INVAR", "PROPER"))))
    assert run.twin is not None
    try:
        assert not compare(run.twin, config, folder=folder).equal
    except tlc.NoTlc as error:
        pytest.skip(str(error))
