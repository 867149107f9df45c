"""The script `coherence`: its commands are found by entry points, wherever it is called."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
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
    assert set(COMMANDS) == {"causal", "simulate", "specs", "tables", "trace"}


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS), ["causal", "simulate"]])
def test_each_command_says_how_it_is_called(command, application):
    said = run(*command, "--help", folder=application)
    assert "Usage: coherence" in said or "usage: coherence" in said
    if not command:
        assert all(name in said for name in COMMANDS)


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


def test_a_command_of_ours_is_not_replaced():
    from coherence.cli import app

    ours = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert not ours & set(COMMANDS)
