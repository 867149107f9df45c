"""Adapters of frameworks that cannot be installed beside CrewAI, in an environment of their own."""

import subprocess
import sys
from pathlib import Path

import pytest
from own_environment import TIMEOUT_S, own_environment, run_tests_apart

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BLOCKS = HERE.parent / "project" / "test_blocks.py"
#: The blocks of a page that imports its framework.
OPENAI = f"{BLOCKS}::test_a_reader_can_paste_every_block[docs/adapters/openai-agents.md-slow]"
#: As pyproject.toml has it, without the packages whose types are left out there.
MYPY = """
[mypy]
strict = True
mypy_path = adapters
enable_error_code = ignore-without-code, redundant-expr, truthy-bool
[mypy-jsonpatch.*,networkx.*,opentelemetry.*]
ignore_missing_imports = True
"""


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize(("adapter", "more"), [("mcp", ()), ("openai_agents", (OPENAI,))])
def test_an_adapter_works_apart(adapter, more):
    assert "skipped" not in run_tests_apart(HERE / adapter, *more)


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S)
def test_the_types_of_mcp_2_fit(tmp_path):
    settings = tmp_path / "mypy.ini"
    settings.write_text(MYPY, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--config-file", settings, "-p", "coherence_mcp"]
    command += ["--python-executable", own_environment(), "--cache-dir", tmp_path / "cache"]
    done = subprocess.run(
        list(map(str, command)), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
