"""The script `coherence`: its commands are found by entry points, wherever it is called."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path

import pytest

SCRIPT = Path(sys.executable).with_name("coherence")
COMMANDS = {each.name: each for each in entry_points(group="coherence.commands")}


def run(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [str(SCRIPT), *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def application(tmp_path):
    """A folder with modules of an application that have names of our folders."""
    for name in ("messaging", "specs", "tests", "simulations"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text(f"OWNER = 'the application, {name}'\n")
    return tmp_path


def test_every_command_is_there():
    assert set(COMMANDS) == {"causal", "console", "guard", "simulate", "specs", "tables", "trace"}


@pytest.mark.slow
@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS), ["causal", "simulate"]])
def test_each_command_says_how_it_is_called(command, application):
    said = run(*command, "--help", folder=application)
    assert "Usage: coherence" in said or "usage: coherence" in said
    if not command:
        assert all(name in said for name in COMMANDS)


@pytest.mark.slow
def test_commands_run_beside_an_application_with_modules_of_such_names(application):
    assert "twophase" in run("specs", "list", folder=application)
    assert "GetS" in run("tables", folder=application)
    assert "planning" in run("simulate", "list", folder=application)


def test_an_application_with_a_module_named_messaging_can_use_us(application):
    (application / "app.py").write_text(
        "import messaging, coherence\n"
        "agent = coherence.Workspace().agent('a')\n"
        "agent.write('plan', messaging.OWNER)\n"
        "print(agent.read('plan').text)\n"
    )
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=application, capture_output=True, text=True, check=True
    )
    assert done.stdout == "the application, messaging\n"


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("hidden", ["message_passing", "causal"])
@pytest.mark.parametrize("kind", ["package", "folder", "module"])
def test_a_name_of_an_application_that_hides_ours_is_named(hidden, kind, tmp_path):
    if kind == "module":
        (tmp_path / f"{hidden}.py").touch()
    else:
        (tmp_path / hidden).mkdir()
    if kind == "package":
        (tmp_path / hidden / "__init__.py").touch()
    program = (
        "import coherence"
        if hidden != "causal"
        else ("from coherence.beside import unhidden\nunhidden('causal', 'bss91')")
    )
    (tmp_path / "app.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    if kind == "folder":  # without an __init__.py it hides nothing
        assert done.returncode == 0, done.stderr
        return
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: {tmp_path / hidden}")
    assert f"hides the package {hidden} of artifact-coherence (rename it, or start" in last


def test_a_command_of_ours_is_not_replaced():
    from coherence.cli import app

    ours = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert not ours & set(COMMANDS)


def called(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **env},
    )


def test_the_version_is_that_of_the_distribution():
    assert called("--version").stdout == f"coherence {version('artifact-coherence')}\n"


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["simulat"], 2, "usage: No such command 'simulat'. Did you mean 'simulate'? ("),
        (["log", "--nonsense"], 2, "usage: No such option: --nonsense (`coherence log --help`"),
        (["simulate", "run", "none"], 2, "unknown-scenario: none: "),
        (["tables", "--state", "X"], 2, "usage: Invalid value: no table has a state 'X'"),
        (["trace", "/nowhere/at/all"], 3, "no-trace: /nowhere/at/all: "),
        (["causal", "simulate", "jobs", "-p", "none"], 2, "unknown-protocol: "),
        (["specs", "check", "none"], 2, "usage: no model 'none'"),
        (["specs", "check", "--nonsense"], 2, "usage: the following arguments are required: NAME"),
        (["status", "-s", "sqlite:///none.db"], 3, "store-missing: "),
    ],
)
def test_an_error_is_one_line_with_its_code(arguments, code, said):
    done = called(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


def completed(words: str) -> list[str]:
    """What a shell offers after these words."""
    return called(
        _COHERENCE_COMPLETE="complete_bash",
        COMP_WORDS=f"coherence {words}",
        COMP_CWORD=str(words.count(" ") + 1),
    ).stdout.split()


@pytest.mark.slow
def test_a_shell_completes_commands_and_options():
    assert completed("stat") == ["status", "stats"]
    assert {"log", "simulate", "specs"} <= set(completed(""))
    assert "--refused" in completed("log --r")
    assert completed("simulate re") == ["record", "reproduce", "replay"], (
        "entry points changed: install it again"
    )


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize(
    "command", [["tables"], ["specs", "list"], ["simulate", "list"], ["--help"], ["trace", "-h"]]
)
def test_a_reader_that_ends_early_is_not_an_error(command):
    with subprocess.Popen(
        [str(SCRIPT), *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) in (0, 1)


def test_a_command_that_cannot_be_loaded_is_named(monkeypatch, capsys):
    from coherence import cli

    broken = EntryPoint("broken", "no_such_module:app", "coherence.commands")
    monkeypatch.setattr(cli, "others", lambda: {"broken": broken})
    monkeypatch.setattr(sys, "argv", ["coherence", "broken"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 3
    assert "the command 'broken' cannot be loaded" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["coherence", "--help"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "cannot be loaded" in " ".join(capsys.readouterr().out.split())
