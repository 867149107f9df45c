"""Models of files and modules: by name, with constants, and what is said of wrong ones."""

import os
import sys

import pytest

from specs import sources
from specs.checker import CheckerError, Model
from specs.cli import main

LOCK = """
import enum
from typing import Literal

from specs.checker import Composite, Model, always


class Kind(enum.Enum):
    FAIR = 1
    RUDE = 2


def lock(
    threads: int = 2,
    *,
    kind: Kind = Kind.FAIR,
    at: Literal["start", "end"] = "start",
    seed: int | None = None,
    notes: list[str] = [],
) -> Model:
    def actions(state):
        for thread in range(threads):
            if state[thread] == "out" and ("in" not in state or kind is Kind.RUDE):
                yield "Enter", (*state[:thread], "in", *state[thread + 1:])
            if state[thread] == "in":
                yield "Leave", (*state[:thread], "out", *state[thread + 1:])

    name = f"lock-{threads}-{at}-{seed}"
    return Model(name, [("out",) * threads], actions, [always("one", lambda s: s.count("in") < 2)])
"""
TWO = LOCK + "\n_hidden = lock()\nsmall = lock(2)\nalso_small = small\nlarge = lock(3)\n"


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)

    def write(text, name="my_model.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return name

    yield write
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("own", "beside") or name.startswith("file_"):
            del sys.modules[name]


def test_one_model_needs_no_name(file, capsys):
    assert main(["check", file(LOCK)]) == 0
    assert "lock-2-start-None: HOLDS" in capsys.readouterr().out
    assert main(["check", "my_model.py:lock", "--threads", "3", "--kind", "RUDE"]) == 1
    assert "VIOLATED      always 'one' (counterexample: 2 steps)" in capsys.readouterr().out


def test_a_value_of_the_file(file, capsys):
    text = "from specs.examples.die_hard import die_hard\nm = die_hard()"
    assert main(["check", file(text)]) == 0
    assert "die-hard: HOLDS" in capsys.readouterr().out
    assert main(["check", "my_model.py:die_hard"]) == 0, "made elsewhere, but named"


def test_every_command_takes_a_file(file, capsys, monkeypatch):
    rude = [file(LOCK), "--kind", "RUDE"]
    assert main(["check", *rude, "--svg", "path.svg", "--itf", "path.itf", "--json"]) == 1
    assert '"verdict":"VIOLATED"' in capsys.readouterr().out
    assert {"path.svg", "path.itf"} <= set(os.listdir())
    monkeypatch.setattr("builtins.input", lambda prompt: "q")
    assert main(["explore", *rude]) == 0
    assert "Enter" in capsys.readouterr().out
    assert main(["check", *rude, "--simulate", "9"]) == 1
    assert main(["check", "my_model.py", "--simulate", "9"]) == 3


def test_walks_of_a_file_in_processes(file, capsys):
    rude = ["check", file(LOCK), "--kind", "RUDE", "--simulate", "9", "--workers", "2"]
    assert main(rude) == 1
    assert "simulation, seed 0" in capsys.readouterr().out


def test_a_module_by_its_name(file, capsys):
    file("", "own/__init__.py")
    file(LOCK, "own/lock.py")
    assert main(["check", "own.lock"]) == 0
    assert main(["check", "own.lock:lock", "--threads", "3"]) == 0
    assert "lock-3-start-None: HOLDS" in capsys.readouterr().out


def test_a_file_finds_the_modules_beside_it(file):
    file("from beside import lock\n\n\nlock_of_two = lock(2)\n", "own/model.py")
    file(LOCK, "own/beside.py")
    assert main(["check", "own/model.py"]) == 0


def test_constants_of_every_kind(file, capsys):
    name = file(LOCK)
    assert main(["check", name, "--at", "end", "--model-seed", "7", "--seed", "1"]) == 0
    assert "lock-2-end-7" in capsys.readouterr().out
    for option, value in (("--kind", "KIND"), ("--at", "noon"), ("--threads", "two")):
        with pytest.raises(SystemExit) as ended:
            main(["check", name, option, value])
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert said.startswith(f"usage: argument {option}: ")
        assert said.count("\n") == 1
    with pytest.raises(SystemExit):
        main(["check", name, "--notes", "a"])
    assert capsys.readouterr().err.startswith("usage: ")


def test_help_and_list_show_the_constants(file, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["check", file(LOCK), "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "--kind FAIR|RUDE" in shown
    assert "default FAIR" in shown
    assert "--notes" not in shown
    assert main(["list", "my_model.py"]) == 0
    assert capsys.readouterr().out == (
        "my_model.py:lock  [--threads INT] [--kind FAIR|RUDE] [--at start|end] [--model-seed INT]\n"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (TWO, "name one: my_model.py:lock, my_model.py:small, my_model.py:large"),
        ("", "my_model.py has no model (define a Model"),
        ("def make():\n    pass\n", "annotate it, or name it: my_model.py:make"),
        ("from specs.checker import Model\n1 / 0\n", "my_model.py:2: ZeroDivisionError"),
        ("x = (\n", "my_model.py:1: SyntaxError"),
        ("import no_such_module\n", "my_model.py:1: ModuleNotFoundError: No module named 'no_"),
        ("raise SystemExit(0)\n", "my_model.py:1: SystemExit: 0"),
        (
            "from specs.checker import Model\n\n\ndef f(x: list[int]) -> Model:\n    ...\n",
            "the constant 'x' of my_model.py cannot be given as an option",
        ),
        (
            "from specs.checker import Model\n\n\ndef f() -> Model:\n    return 1\n",
            "my_model.py returned a int",
        ),
    ],
)
def test_what_is_said_of_a_wrong_file(file, text, says, capsys):
    assert main(["check", file(text)]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nothing", "or FILE.py, or my.module:NAME"),
        ("none.py", "no file none.py"),
        ("my_model.py:other", "no 'other' in my_model.py (one of lock)"),
        ("my_model.py:Kind", "Kind"),
        ("no.module:lock", "no module 'no'"),
        ("specs.models.nothing", "no module 'specs.models.nothing'"),
        ("specs.checker:Verdict.x", "no model 'specs.checker:Verdict.x'"),
        ("specs.checker.check:ENGINES", "is a tuple, not a model"),
    ],
)
def test_what_is_said_of_a_wrong_name(file, name, says, capsys):
    file(LOCK)
    assert main(["check", name]) == 2
    assert says in capsys.readouterr().err


def test_a_system_is_not_yet_a_model(file, capsys):
    text = "from message_passing.network import Guarantee\nfrom specs.system import System\n"
    text += "from specs.models.teaching import Server\n"
    name = file(f"{text}ring = System({{'a': Server()}}, Guarantee.ORDERED)\n")
    assert main(["check", f"{name}:ring"]) == 2
    assert "call its method `model`" in capsys.readouterr().err


def test_an_error_shows_the_lines_of_the_file_alone(file, capsys):
    name = file(LOCK.replace('yield "Enter"', 'yield {}["Enter"]'))
    assert main(["check", name]) == 2
    said = capsys.readouterr().err
    assert said.startswith("model: actions of 'lock-2-start-None' raised KeyError")
    line = LOCK[: LOCK.index('yield "Enter"')].count("\n") + 1
    assert f'my_model.py", line {line}, in actions' in said
    assert said.endswith("KeyError: 'Enter'\n")
    assert said.count("File ") == 1


def test_an_error_of_a_walking_process_shows_them_too(file, capsys):
    name = file(LOCK.replace('yield "Leave"', 'yield {}["Leave"]'))
    assert main(["check", name, "--simulate", "9", "--workers", "2"]) == 2
    said = capsys.readouterr().err
    assert said.endswith("KeyError: 'Leave'\n")
    assert said.count("File ") == 1


def test_a_file_runs_once(file):
    name = file("from specs.examples.die_hard import die_hard\nprint('run')\nm = die_hard()\n")
    assert sources.find(name).build({}) is sources.find(name).build({})


def test_an_unresolved_annotation_still_names_a_model(file):
    text = "from __future__ import annotations\n\n\n"
    name = file(f"{text}def other() -> Nothing: ...\n\n\ndef make() -> checker.Model[int]: ...\n")
    assert sources.find(name).name == name
    with pytest.raises(CheckerError, match="returned a NoneType"):
        sources.find(name).build({})


def test_every_annotation_of_a_model_counts():
    def plain() -> Model: ...
    def of_states() -> Model[int, int]: ...
    def of_either() -> sources.AnyModel: ...
    def optional() -> Model | None: ...

    made = type(sys)("made")
    for function in (plain, of_states, of_either, optional):
        function.__module__ = "made"
        setattr(made, function.__name__, function)
    assert list(sources.models(made)) == ["plain", "of_states", "of_either"]
