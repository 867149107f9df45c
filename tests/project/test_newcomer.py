"""The README's path for each framework, from a clean clone to what the run saved.

The commands run as they stand.  So that no run of the tests downloads a gigabyte, the environment
that they make also finds the packages of the one that runs the tests, and pip has nothing left to
fetch but what builds the checkout.  With NEWCOMER=whole in the environment it fetches everything.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
from pages import ROOT, blocks

README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTION = "\n## With your framework\n"
FRAMEWORKS = {"LangGraph": "langgraph", "CrewAI": "crewai", "AutoGen": "autogen_agentchat"}
#: After the environment is made and before anything is installed into it.
MADE = ". .venv/bin/activate\n"


def paths() -> dict[str, str]:
    """The commands of each framework's path."""
    _, found, section = README.partition(SECTION)
    assert found, f"README has no section{SECTION}"
    section = section.partition("\n## ")[0]
    shown = [block.text for block in blocks(section) if block.language == "sh"]
    names = re.findall(r"^\*\*(\w+)\*\*", section, re.MULTILINE)
    return dict(zip(names, shown, strict=True))


def commands(path: str) -> list[str]:
    return [each.strip() for line in path.splitlines() for each in line.split("&&")]


def test_every_framework_has_a_path_of_five_commands_at_most():
    assert set(paths()) == set(FRAMEWORKS)
    for path in paths().values():
        assert len(commands(path)) <= 5, path
        assert MADE in path
        assert commands(path)[-1].startswith("coherence stats")


@pytest.fixture
def clone(tmp_path) -> Path:
    """A clone of the checkout's last commit, with nothing beside it."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is not a checkout")
    subprocess.run(["git", "clone", "-q", ROOT, tmp_path / "clone"], check=True)
    return tmp_path / "clone"


@pytest.mark.slow
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_newcomer_sees_what_the_run_saved(name, clone):
    path = paths()[name]
    if os.environ.get("NEWCOMER") != "whole":
        if importlib.util.find_spec(FRAMEWORKS[name]) is None:
            pytest.skip(f"{FRAMEWORKS[name]} is not installed")
        packages = sysconfig.get_path("purelib")
        borrow = f"echo '{packages}' > $(echo .venv/lib/python3.*/site-packages)/borrowed.pth\n"
        path = path.replace(MADE, MADE + borrow)
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", path],
        cwd=clone,
        env=env | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"saved \d+ %", done.stdout), "by the example"
    assert re.search(r"^total +\d+ .* \d+\.\d%", done.stdout, re.MULTILINE), "by coherence stats"
