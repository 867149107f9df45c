"""Without mcp 2 the command says what to install."""

from importlib import import_module
from importlib.util import find_spec

import pytest

from coherence.context.frameworks import FrameworkMissing
from coherence_mcp.command import app

pytestmark = pytest.mark.skipif(find_spec("mcp_types") is not None, reason="mcp 2 is installed")
REMEDY = "pip install 'mcp>=2.0,<3'"


def test_the_command_says_what_to_install(capsys):
    with pytest.raises(SystemExit) as ended:
        app(["memory://"])
    assert ended.value.code == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("framework-missing: mcp ")
    assert said.err.endswith(f"({REMEDY})\n")


def test_the_server_says_what_to_install():
    with pytest.raises(FrameworkMissing) as missing:
        import_module("coherence_mcp.server")
    assert missing.value.remedy == REMEDY


def test_help_needs_nothing(capsys):
    with pytest.raises(SystemExit) as ended:
        app(["--help"])
    assert ended.value.code == 0
    assert "--read-only" in capsys.readouterr().out
