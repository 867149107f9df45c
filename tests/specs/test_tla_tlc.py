from __future__ import annotations

from pathlib import Path

import pytest

from specs import proofs, tlc
from specs.checker.errors import UsageError
from specs.conform import Twin, code_graph, compare, differences_of, read_config, spec_graph
from specs.models import mesi
from specs.models.mesi_broken import faulty
from specs.twins import MESI, mesi_policy

try:
    tlc.find_java()
    tlc.find_jar()
except tlc.NoTlc as error:
    pytest.skip(str(error), allow_module_level=True)


def param(run: proofs.Run, slow: bool) -> object:
    return pytest.param(run, id=run.config, marks=[pytest.mark.slow] if slow else [])


# Every TLC starts a Java of its own: one is waited for.  A comparison judges what TLC says as well.
RUNS = [param(run, True) for run in proofs.runs() if run.edges is None]
COMPARED = [param(run, run.config != "MCMesi") for run in proofs.runs() if run.edges is not None]


@pytest.mark.parametrize("run", RUNS)
def test_tlc_says_what_is_pinned(run: proofs.Run) -> None:
    assert run.differences(tlc.run(run.module, run.config)) == []


@pytest.mark.slow
@pytest.mark.parametrize("run", COMPARED)
def test_both_graphs_are_equal_edge_by_edge(run: proofs.Run) -> None:
    assert run.twin is not None
    found = compare(run.twin, run.config)
    assert run.departs(found) == []
    assert run.distinct is not None


def test_every_configuration_is_pinned() -> None:
    assert {run.config for run in proofs.runs()} == {path.stem for path in tlc.TLA.glob("*.cfg")}


def faulty_twin(fault: str) -> Twin:
    """Mesi.tla beside tables in which a cell is wrong."""

    def model(constants):  # type: ignore[no-untyped-def]
        agents = sorted(constants["Agents"])
        kinds = sorted(constants["Asks"])

        def ask(agent):  # type: ignore[no-untyped-def]
            return lambda state, made: mesi.requests_of(
                agent, kinds, constants["Times"], state, made
            )

        return mesi.protocol(
            mesi_policy(constants),
            mesi.Guarantee(constants["Guarantee"]),
            agents,
            {agent: mesi.Requests(ask(agent)) for agent in agents},
            watched=False,
            **faulty(fault),
        )

    return Twin(MESI.module, model, MESI.variables, MESI.renamed)


@pytest.mark.slow
def test_one_wrong_cell_is_found_and_named() -> None:
    spec = spec_graph(MESI, "MCMesi")
    constants = read_config(tlc.TLA / "MCMesi.cfg")
    assert not list(differences_of(spec, code_graph(MESI, constants)))
    for fault, action in {
        "no_lost_update": "PutMStale",
        "swmr": "PutMBusy",
        "version_order": "",
        "deadlock": "GetMWaits",
        "no step raises": "Raise",
        "well_formed": "GetSOfE",
    }.items():
        found = list(differences_of(spec, code_graph(faulty_twin(fault), constants)))
        if action:
            assert any(action in difference for difference in found), fault
        else:
            # The answer of a request is no part of any state: only the ghost can tell.
            assert not found


def test_an_unknown_configuration_is_refused() -> None:
    with pytest.raises(UsageError, match="one of MC"):
        proofs.run_of("MCNothing")
    with pytest.raises(tlc.TlaError, match="no file"):
        tlc.run("MCMesi", "MCNothing")


@pytest.mark.slow
def test_a_parse_error_is_shown_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "Bad.tla").write_text("---- MODULE Bad ----\nVARIABLE x\nInit == x = = 1\n====\n")
    (tmp_path / "Bad.cfg").write_text("INIT Init\nNEXT Init\n")
    with pytest.raises(tlc.TlaError, match=r"line 3"):
        tlc.run("Bad", "Bad", folder=tmp_path)


@pytest.mark.slow
def test_a_deadlock_is_found_only_where_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "Ends.tla").write_text(
        "---- MODULE Ends ----\nEXTENDS Naturals\nVARIABLE x\nInit == x = 0\n"
        "Next == x < 2 /\\ x' = x + 1\n====\n"
    )
    (tmp_path / "Ends.cfg").write_text("INIT Init\nNEXT Next\n")
    assert tlc.run("Ends", "Ends", folder=tmp_path).holds
    assert tlc.run("Ends", "Ends", folder=tmp_path, deadlock=True).violated == "deadlock"
