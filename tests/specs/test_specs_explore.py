"""Exploring in the terminal, and walking at random from the command line."""

from dataclasses import replace

import pytest

from specs.checker import always
from specs.cli import main
from specs.examples.die_hard import die_hard
from specs.explore import explore
from specs.models.twophase import twophase


def walk(model, *answers):
    said, given = [], iter(answers)
    return explore(model, lambda prompt: next(given), said.append), "\n".join(said)


def test_a_walk_in_the_terminal():
    path, text = walk(die_hard(), "2", "6", "b", "nonsense", "99", "c", "q")
    assert [a.name for a in path.actions] == ["FillBig"]
    assert "(0, 5)" in text
    assert "6 BigToSmall" in text
    assert "initially: (0, 0)" in text


def test_what_a_step_changes_is_told_to_the_leaf():
    _, text = walk(twophase(2), "1", "q")
    assert "RMPrepare(rm1, invoke, Prepared)" in text
    assert 'rm1.state: "working" → "prepared"' in text
    assert 'rm1->tm.0: added "Prepared"' in text
    assert "tm->rm1" not in text, "an empty channel says nothing"


def test_a_violation_is_told_one_step_ahead_and_where_it_is():
    broken = replace(die_hard(), properties=[always("little", lambda jugs: jugs[1] < 5)])
    _, text = walk(broken, "2", "b", "b", "q")
    assert "2 FillBig  → violates little" in text
    assert "VIOLATED 'little'" in text
    assert text.count("step 0") == 3, "back stops at the start"


def test_the_end_of_input_ends_it(monkeypatch, capsys):
    def no_more(prompt):
        raise EOFError

    monkeypatch.setattr("builtins.input", no_more)
    assert main(["explore", "twophase"]) == 0
    assert "RMPrepare(rm1, invoke, Prepared)" in capsys.readouterr().out


@pytest.mark.slow
def test_random_walks_from_the_command_line(capsys):
    arguments = ["check", "twophase", "--rms", "4", "--simulate", "20"]
    assert main(arguments) == 3
    assert "random walks prove nothing" in capsys.readouterr().out
    hasty = [*arguments[:-1], "3000", "--hasty", "--seed", "1", "--workers", "2"]
    assert main(hasty) == 1
    assert "simulation, seed 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("twophase --simulate 0", "0 walks"),
        ("twophase --simulate 9 --por", "beside --por"),
        ("twophase --simulate 9 --engine table --symmetry", "beside --symmetry, --engine"),
        ("all --simulate 9", "beside all"),
    ],
)
def test_what_means_nothing_for_walks_is_refused(arguments, named, capsys):
    assert main(["check", *arguments.split()]) == 2
    assert named in capsys.readouterr().err
