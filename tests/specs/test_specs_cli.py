"""The command line as a stranger meets it."""

import json
import shlex
import subprocess
import sys

import pytest

from specs import catalogue, constants, proofs
from specs.checker import Verdict
from specs.cli import _parser, main
from specs.sources import find


def test_list(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert "    fast        1,508  VIOLATED  --rms 4 --hasty  (consistent)\n" in out
    assert "\nmesi  " in out
    assert main(["list", "twophase"]) == 0
    alone = capsys.readouterr().out
    assert alone in out
    assert "mesi" not in alone


@pytest.mark.parametrize("name", catalogue.names())
def test_the_options_that_list_shows_are_the_constants(name):
    taken = vars(_parser("").parse_args(["check", name]))
    source = find(name)
    for case in catalogue.cases(name):
        given = shlex.split(constants.as_options(case.constants))
        assert constants.parse(source, given, taken) == case.constants


def test_check_holds(capsys):
    assert main(["check", "twophase", "--rms", "3"]) == 0
    out = capsys.readouterr().out
    assert "twophase-3: HOLDS" in out
    assert "288 distinct states" in out


def test_check_violated_draws_the_path(capsys, tmp_path):
    files = {form: tmp_path / form for form in ("mermaid", "svg", "itf")}
    options = [part for form, file in files.items() for part in (f"--{form}", str(file))]
    assert main(["check", "twophase", "--rms", "4", "--hasty", *options]) == 1
    out = capsys.readouterr().out
    assert "VIOLATED      always 'consistent' (counterexample: 9 steps)" in out
    assert "TMCommit (invoke Commit)" in out
    assert files["mermaid"].read_text().startswith("sequenceDiagram")
    assert files["svg"].read_text().count("<circle") == 9
    itf = json.loads(files["itf"].read_text())
    assert itf["#meta"]["format"] == "ITF"
    assert len(itf["states"]) == 10
    assert itf["states"][0]["tm"]["state"]["prepared"] == {"#set": []}


def test_check_reduced(capsys):
    assert main(["check", "twophase", "--rms", "3", "--por"]) == 0
    out = capsys.readouterr().out
    assert "stubborn sets:" in out
    assert "1,145 of 1,145 steps were taken, 0 of 288 states left some out" in out
    assert "without the reduction 288 states" in out
    assert main(["check", "ping", "--por"]) == 2
    assert "liveness" in capsys.readouterr().err


def test_check_undetermined(capsys):
    assert main(["check", "twophase", "--rms", "5", "--budget-states", "100"]) == 3
    assert "stopped: budget of 100 states" in capsys.readouterr().out


def test_check_all_says_what_is_not_as_pinned(monkeypatch, capsys):
    cases = [case for case in catalogue.cases() if case.name in ("twophase", "ping")]
    cases = [case for case in cases if case.time == "fast"]
    monkeypatch.setattr(catalogue, "cases", lambda name=None: iter(cases))
    assert main(["check", "all"]) == 0
    assert "DIFFERS" not in capsys.readouterr().out
    cases.append(catalogue.Case("ping", {}, Verdict.HOLDS, distinct=12))
    assert main(["check", "all"]) == 1
    assert "distinct: 11, pinned 12" in capsys.readouterr().out


def test_prove_ends_with_one_table(monkeypatch, capsys):
    cases = list(catalogue.cases("ping"))
    monkeypatch.setattr(catalogue, "cases", lambda name=None: iter(cases))
    monkeypatch.setattr(proofs, "runs", lambda: ())

    def rows():
        lines = capsys.readouterr().out.splitlines()
        return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]

    assert main(["prove"]) == 0
    assert [row[:4] for row in rows()] == [
        ["check", "2", "2", "0"],
        ["tlc", "0", "0", "0"],
        ["conform", "0", "0", "0"],
    ]
    cases.append(catalogue.Case("ping", {}, Verdict.HOLDS, distinct=12))
    assert main(["prove"]) == 1
    (first, *_) = rows()
    assert first[:4] == ["check", "3", "2", "1"]
    assert first[-1] == "ping()"


def test_json(capsys):
    assert main(["check", "ping", "--no-retries", "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["verdict"] == "VIOLATED"
    assert result["findings"][1]["path"] == {
        "actions": ["Ask(client, invoke, ping)", "Drop(server, drop from client, ping)"],
        "loop": 2,
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["check", "nothing"], "no model 'nothing'"),
        (["check", "twophase", "--budget-states", "0"], "decides nothing"),
        (["check", "die-hard", "--symmetry"], "plain model"),
        (["check", "peterson", "--engine", "numba"], "plain model"),
    ],
)
def test_a_wrong_call_is_refused(arguments, says, capsys):
    assert main(arguments) == 2
    assert says in capsys.readouterr().err


def test_an_unknown_constant_is_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["check", "twophase", "--colour", "red"])
    assert stopped.value.code == 2


def test_a_reader_that_leaves_early_is_not_an_error():
    with subprocess.Popen(
        [sys.executable, "-m", "specs", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as listing:
        assert listing.stdout is not None
        assert listing.stderr is not None
        listing.stdout.close()
        assert listing.stderr.read() == b""
    assert listing.returncode == 0
