"""What docs/adapters/mcp.md tells to write into files starts servers that share a store."""

import json
import subprocess
import sys
import tomllib

import pytest

pytest.importorskip("mcp_types", reason="mcp 2 is not installed")

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp_clients import SCRIPT, environment, run, told
from pages import ROOT, blocks

PAGE = ROOT / "docs" / "adapters" / "mcp.md"
BLOCKS = list(blocks(PAGE.read_text(encoding="utf-8")))


def servers():
    """How each client is told to start the server: by the file of its configuration."""
    claude, vscode = (json.loads(block.text) for block in BLOCKS if block.language == "json")
    (codex,) = (tomllib.loads(block.text) for block in BLOCKS if block.language == "toml")
    yield claude["mcpServers"]["coherence"]
    yield vscode["servers"]["coherence"]
    yield codex["mcp_servers"]["coherence"]


def test_each_configuration_starts_a_server_and_two_share_a_store(tmp_path):
    (tmp_path / ".coherence").mkdir()

    async def test():
        for number, given in enumerate(servers()):
            assert given["command"] == SCRIPT.name
            start = StdioServerParameters(
                command=str(SCRIPT),
                args=given["args"],
                env=environment() | given.get("env", {}),
                cwd=tmp_path,
            )
            name = f"plan-{number}.md"
            async with Client(stdio_client(start)) as one, Client(stdio_client(start)) as two:
                await told(one, "write_artifact", name=name, text="build: open\n")
                done = {"old": "open", "new": "done"}
                await told(two, "edit_artifact", name=name, **done)
                assert "build: done" in await told(one, "read_artifact", name=name)

    run(test)


def test_the_command_for_claude_code_names_what_is_installed():
    (block,) = (block for block in BLOCKS if "claude mcp add" in block.text)
    _, _, server = block.text.partition(" -- ")
    assert server.split()[0] == SCRIPT.name
    assert len(block.text.splitlines()) == 3


def test_the_program_of_the_page_runs(tmp_path):
    (program,) = (block.text for block in BLOCKS if block.language == "python")
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("There is no artifact.\n", 0), done.stderr
