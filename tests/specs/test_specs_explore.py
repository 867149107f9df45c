"""Exploring, in the terminal and as a page, and walking at random from the command line."""

import json
import re

import pytest

from specs.checker import check
from specs.cli import main
from specs.examples.die_hard import die_hard
from specs.explore import explore, page
from specs.models.twophase import twophase


def test_a_walk_in_the_terminal():
    said = []
    answers = iter(["2", "6", "b", "nonsense", "99", "c", "q"])
    path = explore(die_hard(), lambda prompt: next(answers), said.append)
    assert [a.name for a in path.actions] == ["FillBig"]
    text = "\n".join(said)
    assert "(0, 5)" in text
    assert "6 BigToSmall" in text
    assert "initially: (0, 0)" in text


def test_the_end_of_input_ends_it(monkeypatch, capsys):
    def no_more(prompt):
        raise EOFError

    monkeypatch.setattr("builtins.input", no_more)
    assert main(["explore", "twophase"]) == 0
    assert "RMPrepare(rm1, invoke, Prepared)" in capsys.readouterr().out


def test_a_page_holds_the_whole_graph():
    html, whole = page(twophase(2))
    assert whole
    states = json.loads(re.search(r"const states = (.*);\n", html)[1])
    assert len(states) == check(twophase(2)).distinct
    assert all(0 <= edge[1] < len(states) for state in states for edge in state[1])
    assert "http" not in html


def test_a_page_says_where_it_ends(tmp_path, capsys):
    file = tmp_path / "page.html"
    assert main(["explore", "twophase", "--rms", "3", "--html", str(file), "--states", "20"]) == 0
    assert "the first 20 states: --states N" in capsys.readouterr().out
    assert "of the first ${states.length}" in file.read_text()
    states = json.loads(re.search(r"const states = (.*);\n", file.read_text())[1])
    assert len(states) == 20
    assert any(edge[1] == -1 for state in states for edge in state[1])


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
