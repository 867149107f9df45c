"""The hooks in the settings of Claude Code and Codex, put in and taken out as text.

All that is not ours keeps its place and its form, comments too.
"""

from __future__ import annotations

from typing import Any, Final

from coherence_guard.json_text import NotJson, at, keys, put, taken
from coherence_guard.served import TEMPLATES

_EVENTS: Final = ("PreToolUse", "PostToolUse", "PreCompact", "SubagentStop", "SessionStart")
_FILES: Final = "Read|Write|Edit|MultiEdit|NotebookEdit"


#: Client -> its settings below a project, and event -> its tools; empty for one without tools.
CLIENTS: Final = {
    name: (file, dict(zip(_EVENTS, (before, after, "", "", sources), strict=True)))
    for name, file, before, after, sources in (
        ("claude", ".claude/settings.json", _FILES, f"{_FILES}|Bash", "clear|compact"),
        (
            "codex",
            ".codex/hooks.json",
            "^apply_patch$",
            "^(apply_patch|Bash)$",
            "^(clear|compact)$",
        ),
    )
}


def installed(text: str, client: str, command: str, server: str = "") -> str:
    """`text` with the hooks of a client, which run `command`, or a tool of an MCP server.

    Hooks that an earlier call has put in are replaced.  Raises `NotJson`.
    """
    text = uninstalled(text)
    hook: dict[str, Any] = {"type": "command", "command": command, "timeout": 10}
    if server:
        hook = {"type": "mcp_tool", "server": server, "tool": "guard", "input": TEMPLATES}
    for event, tools in CLIENTS[client][1].items():
        for above, key, empty in (([], "hooks", {}), (["hooks"], event, [])):
            there = at(text, [*above, key])
            if there is None:
                text = put(text, above, empty, key)
            elif not isinstance(there, type(empty)):
                raise NotJson(f"{key} is of another kind than in settings")
        group = ({"matcher": tools} if tools else {}) | {"hooks": [hook]}
        text = put(text, ["hooks", event], group)
    return text


def uninstalled(text: str) -> str:
    """`text` without our hooks, and without lists that are empty then.  Raises `NotJson`."""
    text = text if text.strip() else "{}\n"
    while (path := _first(text)) is not None:
        text = taken(text, path)
        # The hooks of a group, the groups of an event, the events.
        for inner, outer in ((path[:4], path[:3]), (path[:2], path[:2]), (path[:1], path[:1])):
            if not at(text, inner):
                text = taken(text, outer)
    return text


def has_hooks(text: str) -> bool:
    """Whether a settings file has hooks of ours.  Raises `NotJson`."""
    return _first(text if text.strip() else "{}") is not None


def _first(text: str) -> list[str | int] | None:
    """Where the first hook of ours is."""
    for event in keys(text, ["hooks"]):
        for group in keys(text, ["hooks", event]):
            for place in keys(text, path := ["hooks", event, group, "hooks"]):
                if _is_ours(at(text, [*path, place])):
                    return [*path, place]
    return None


def _is_ours(hook: Any) -> bool:
    if not isinstance(hook, dict):
        return False
    program = str(hook.get("command", "")).strip("'\"").rpartition("/")[2]
    served = hook.get("type") == "mcp_tool" and hook.get("tool") == "guard"
    return served or program == "coherence-guard"
