"""The hooks in settings: put in, taken out, and all else left as it was."""

import json
import re

import pytest

from coherence_guard.served import TEMPLATES
from coherence_guard.settings import CLIENTS, has_hooks, installed, uninstalled
from message_passing.errors import CallerError

THEIRS = """{
  // what the team agreed on
  "permissions": {"deny": ["Read(./.env)"]}, /* no secrets */
  "hooks": {
    "PostToolUse": [
      {
        "matcher": "Write|Edit",
        "hooks": [{"type": "command", "command": "prettier // --write \\"$FILE\\""}],
      },  // the formatter
    ],
    "Stop": []
  },
}
"""
TEXTS = {
    "empty": "",
    "object": "{}\n",
    "spread": "{\n}\n",
    "comment": "{ // nothing yet\n}\n",
    "plain": '{"model": "x"}',
    "theirs": THEIRS,
    "their event": '{"hooks": {"PreToolUse": [{"hooks": [{"type": "command", "command": "a"}]}]}}',
    "windows": '{\r\n\t"model": "x"\r\n}\r\n',
}


def loaded(text):
    """JSON with comments and last commas."""
    text = re.sub(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', r"\1", text, flags=re.DOTALL)
    return json.loads(re.sub(r",(\s*[}\]])", r"\1", text))


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", TEXTS)
def test_in_and_out_again(client, name):
    text = TEXTS[name]
    made = installed(text, client, "coherence-guard")
    hooks = loaded(made)["hooks"]
    for event, tools in CLIENTS[client][1].items():
        ours = [g for g in hooks[event] if g["hooks"][0]["command"] == "coherence-guard"]
        (group,) = ours
        assert group.get("matcher", "") == tools
        assert group["hooks"] == [{"type": "command", "command": "coherence-guard", "timeout": 10}]
    assert has_hooks(made)
    assert installed(made, client, "coherence-guard") == made
    out = uninstalled(made)
    assert not has_hooks(out)
    if name not in ("empty", "spread"):
        assert out == text
    assert loaded(out) == loaded(text or "{}")


def test_what_is_theirs_keeps_its_form():
    made = installed(THEIRS, "claude", "coherence-guard")
    place = 0
    for line in THEIRS.splitlines():
        if line.strip(" ,{}[]"):
            place = made.index(line.strip(" ,"), place)


def test_another_command_replaces_the_first():
    made = installed(
        installed("", "claude", "coherence-guard"), "claude", "/venv/bin/coherence-guard"
    )
    assert made.count("/venv/bin/coherence-guard") == made.count("coherence-guard") == 5
    served = installed(made, "claude", "coherence-guard", "coherence")
    (hook,) = loaded(served)["hooks"]["PreToolUse"][0]["hooks"]
    assert hook == {"type": "mcp_tool", "server": "coherence", "tool": "guard", "input": TEMPLATES}
    assert uninstalled(served) == "{}\n"


def test_a_group_that_a_person_has_added_to_keeps_the_rest():
    made = installed("", "codex", "coherence-guard")
    settings = json.loads(made)
    settings["hooks"]["PreToolUse"][0]["hooks"].append({"type": "command", "command": "mine"})
    out = json.loads(uninstalled(json.dumps(settings)))
    assert out == {
        "hooks": {
            "PreToolUse": [
                {"matcher": "^apply_patch$", "hooks": [{"type": "command", "command": "mine"}]}
            ]
        }
    }


@pytest.mark.parametrize(
    "text",
    ["[]", "{", "nonsense", '{"hooks": []}', '{"hooks": {"PreToolUse": {}}}', '{"hooks": 3}'],
)
def test_what_is_no_settings_is_refused(text):
    with pytest.raises(CallerError):
        installed(text, "claude", "coherence-guard")


@pytest.mark.parametrize("text", ['{"hooks": {"Stop": [3, {"hooks": 1}, {"hooks": [4]}]}}', "{}"])
def test_odd_settings_of_others_are_left(text):
    assert uninstalled(text) == text
