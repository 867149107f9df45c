"""A session of two agents over stdio, message by message, in each protocol.

``--rewrite`` writes what is seen: review the difference.
"""

import json
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("mcp_types", reason="mcp 2 is not installed")

from mcp_clients import SCRIPT, environment

HERE = Path(__file__).parent
PLAN = "# Plan\n\nbuild: open\nreview: open\n"
CALLS = [
    ("coder", "write_artifact", {"name": "plan.md", "text": PLAN}),
    ("planner", "read_artifact", {"name": "plan.md"}),
    ("planner", "edit_artifact", {"name": "plan.md", "old": "build: open", "new": "build: done"}),
    ("coder", "changes_since", {"refs": ["plan.md@1"], "wait_s": 50}),
    ("coder", "write_artifact", {"name": "plan.md", "text": PLAN + "ship: open\n"}),
    (
        "coder",
        "write_artifact",
        {"name": "plan.md", "text": PLAN + "ship: open\n", "expect": "plan.md@1", "merge": True},
    ),
    ("coder", "read_artifact", {"name": "plan.md", "have": "plan.md@3"}),
    ("planner", "read_artifact", {"name": "plan.md", "have": "plan.md@2"}),
    ("planner", "read_artifact", {"name": "plans.md"}),
    ("planner", "write_artifact", {"name": "plan.md", "text": "", "expected_hash": "9f2c"}),
    ("coder", "artifact_history", {"name": "plan.md"}),
    ("coder", "delete_artifact", {"name": "plan.md", "expect": "plan.md@2"}),
    ("coder", "list_artifacts", {}),
]


class Line:
    """A server over stdio, and all that goes through its pipes."""

    def __init__(self, agent, url, seen):
        self._agent, self._seen, self._number = agent, seen, 0
        command = [str(SCRIPT), url, "--agent", agent]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(command, env=environment(), text=True, **pipes)

    def ask(self, method, params):
        self._number += 1
        self.tell(method, params, {"id": self._number})
        answer = json.loads(self._process.stdout.readline())
        assert answer.pop("id") == self._number
        assert answer.pop("jsonrpc") == "2.0"
        # What depends on the release: who serves, in each answer of the newest protocol.
        result = answer.get("result", {})
        result.get("_meta", {}).pop("io.modelcontextprotocol/serverInfo", None)
        result.get("serverInfo", {}).pop("version", None)
        result.get("capabilities", {}).pop("experimental", None)
        said = json.dumps(answer, ensure_ascii=False, sort_keys=True).replace(', "_meta": {}', "")
        said = said.replace('"_meta": {}, ', "")
        self._seen.append(f"{self._agent} <- {said}")

    def tell(self, method, params, more={}):  # noqa: B006 - read only
        message = {"jsonrpc": "2.0", **more, "method": method, "params": params}
        said = {"method": method, "params": params}
        self._seen.append(f"{self._agent} -> {json.dumps(said, ensure_ascii=False)}")
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def end(self):
        self._process.communicate()
        assert self._process.returncode == 0


CLIENT = {"name": "transcript", "version": "1"}
#: How each protocol begins, and what each of its requests carries.
HANDSHAKE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": CLIENT}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}


@pytest.mark.parametrize("era", ["2025-11-25", "2026-07-28"])
def test_a_session_is_as_it_was(url, era, rewrite):
    seen, more = [], {"_meta": META} if era == "2026-07-28" else {}
    lines = {agent: Line(agent, url, seen) for agent in ("coder", "planner")}
    for line in lines.values():
        if more:
            line.ask("server/discover", more)
        else:
            line.ask("initialize", HANDSHAKE)
            line.tell("notifications/initialized", {})
    lines["coder"].ask("tools/list", more)
    for agent, tool, given in CALLS:
        lines[agent].ask("tools/call", {"name": tool, "arguments": given, **more})
    uri = "artifact:///plan.md"
    for method, params in (
        ("resources/list", {}),
        ("resources/templates/list", {}),
        ("resources/read", {"uri": uri}),
        ("resources/read", {"uri": uri + "?version=1"}),
        ("resources/read", {"uri": uri + "?version=9"}),
    ):
        lines["coder"].ask(method, params | more)
    for line in lines.values():
        line.end()
    path = HERE / f"session-{era}.txt"
    text = "\n".join(seen).replace(json.dumps(META)[1:-1], '"": ""') + "\n"
    if rewrite:
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
