"""The proofs for any number of caches, and the mistakes that they refute."""

import json
import sys

import pytest

pytest.importorskip("z3")

from coherence.states import CacheAt, HomeAt
from specs.checker.errors import UsageError
from specs.checker.result import Verdict
from specs.cli import main
from specs.symbolic import prover
from specs.symbolic.broken import mistakes
from specs.symbolic.cache import CacheProof
from specs.symbolic.engine import Effort
from specs.symbolic.home import HomeProof
from specs.symbolic.prover import USUAL, claims_of, every_action, prove
from specs.symbolic.proving import Ledger

#: Those whose refutation takes more than a second.
LONG = {
    "a fence that asks only who the owner is",
    "an acknowledgement whose version is not compared",
    "fault 'swmr'",
}
MISTAKES = [
    pytest.param(mistake, id=mistake.name, marks=[pytest.mark.slow] * (mistake.name in LONG))
    for mistake in mistakes()
]
SAFETY = {
    "swmr",
    "fencing",
    "fairness",
    "version_order",
    "no_lost_update",
    "data_value",
    "monotone_reads",
    "bounded_staleness",
    "draft_is_current",
    "well_formed",
    "timers_fit",
    "no step raises",
    "lemmas",
}

#: No execution takes them: there is no push, and a home that goes back is another proof.
UNREACHED = {"Push", "DataMBehind"}
#: What only other policies take.
UPDATES = {"UpdateBare", "UpdateLive", "UpdateUnder"}
STRICT = {"AcksExpire", "GrantExpires", "InvAck", "PutMAwaits"}
OF_OTHERS = {"lazy": STRICT | UPDATES | {"LoadRefresh"}, "strict": UPDATES | {"LoadRefresh"}}


def proved(attempt):
    assert not attempt.stopped
    rows = list(attempt.rows())
    assert {row.claim: row.verdict for row in rows if row.verdict is not Verdict.HOLDS} == {}
    return {row.claim for row in rows if row.paths}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("policy", USUAL)
def test_every_claim_is_proved(policy):
    claims = claims_of(policy)
    of_copies = {"strict_visibility"} if claims.strict else set()
    of_copies |= {"directory_agrees"} if claims.lists else set()
    attempt = prove(policy, Effort())
    assert proved(attempt) == SAFETY | of_copies
    if policy in OF_OTHERS:
        assert every_action() - attempt.ledger.actions == UNREACHED | OF_OTHERS[policy]


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize(("state", "event"), [(HomeAt.S, "PutS"), (HomeAt.I, "PutM")])
def test_some_cells_of_a_home(state, event):
    ledger = Ledger()
    assert list(HomeProof(claims_of("strict")).explore(state, event, ledger, Effort()))
    assert not any(tally.refutations or tally.unknown for tally in ledger.tallies.values())


@pytest.mark.slow
@pytest.mark.parametrize("state", [CacheAt.MS_A])
def test_some_states_of_a_cache(state):
    proof, ledger = CacheProof(claims_of("eager-strict")), Ledger()
    for at, event in proof.cells():
        if at is state:
            list(proof.explore(at, event, ledger, Effort()))
    assert ledger.paths > 20
    assert not any(tally.refutations or tally.unknown for tally in ledger.tallies.values())


def test_the_first_state_and_the_passing_of_time():
    for policy in ("strict", "eager"):
        attempt = prove(policy, Effort(), sides=())
        assert not any(t.refutations or t.unknown for t in attempt.ledger.tallies.values())


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refuted(mistake):
    found = mistake.refutation()
    assert found is not None
    assert found.claim == mistake.claim
    shown = [line.partition(":")[0] for line in found.lines]
    assert "event" in shown
    assert any(line.startswith(("home before", "home")) for line in shown)


@pytest.mark.slow
def test_a_delayed_commit_of_a_crashed_writer_is_explained():
    (mistake,) = [m for m in mistakes() if m.name == "a commit from before its writer's crash"]
    text = str(mistake.refutation())
    assert "PutM(serial=" in text
    assert "home before: at=" in text
    assert "home after: at=" in text


def test_an_unknown_claim_leaves_every_property_undetermined():
    attempt = prover.Attempt("lazy")
    attempt.ledger.tally("swmr").proved = 3
    attempt.ledger.tally("lemma: of something").unknown = 1
    assert {row.verdict for row in attempt.rows()} == {Verdict.UNDETERMINED}


def test_a_refuted_lemma_leaves_no_property_proved():
    attempt = prover.Attempt("lazy")
    attempt.ledger.tally("swmr").proved = 3
    attempt.ledger.tally("lemma: of something").refutations.append(
        prover.Refutation("lemma: of something", "home in S, PutM", ())
    )
    verdicts = {row.claim: row.verdict for row in attempt.rows()}
    assert verdicts == {"swmr": Verdict.UNDETERMINED, "lemmas": Verdict.VIOLATED}


def test_a_budget_that_ends_leaves_it_undetermined(capsys):
    assert main(["prove-any", "--policy", "lazy", "--budget-paths", "5"]) == 3
    out = capsys.readouterr().out
    assert "stopped after 5 paths" in out
    assert "UNDETERMINED  swmr" in out
    assert "PROVED" not in out


def test_json_and_one_property(capsys):
    arguments = ["--policy", "lazy", "--budget-paths", "5", "--property", "fencing", "--json"]
    assert main(["prove-any", *arguments]) == 3
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["policy"], row["claim"], row["verdict"]) == ("lazy", "fencing", "UNDETERMINED")


@pytest.mark.parametrize("wrong", [["--policy", "lzay"], ["--property", "sawmr"], ["mesi"]])
def test_a_wrong_call_says_what_there_is(wrong, capsys):
    assert main(["prove-any", *wrong]) == 2
    assert "usage: " in capsys.readouterr().err


def test_without_z3_the_command_names_the_package(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "z3", None)
    assert main(["prove-any"]) == 2
    assert "pip install z3-solver" in capsys.readouterr().err


def test_an_unknown_policy_is_refused():
    with pytest.raises(UsageError, match="eager-strict"):
        claims_of("lzay")
