"""The machines against their TLA+ modules: other machines must be told from them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from specs import proofs, tlc
from specs.causal_twins import HYBRID, MF95, cykas, hybrid, hybrid_plain, mf95, twin
from specs.conform import code_graph, differences_of, read_config, spec_graph
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
