"""The guard as a tool of the MCP server, for hooks of the type ``mcp_tool``: no process a call."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any

import msgspec

from coherence_guard.hook import answer
from message_passing.errors import EnvironmentFault

#: Argument of `guard` = where a hook's event has its value.
_FIELDS_TEXT = """
event=hook_event_name session=session_id agent=agent_id agent_type=agent_type cwd=cwd
source=source tool=tool_name call=tool_use_id file=tool_input.file_path
notebook=tool_input.notebook_path content=tool_input.content old=tool_input.old_string
new=tool_input.new_string every=tool_input.replace_all edits=tool_input.edits
command=tool_input.command offset=tool_input.offset limit=tool_input.limit
found=tool_response.originalFile answered=tool_response.type text=tool_response.file.content
first=tool_response.file.startLine shown=tool_response.file.numLines
total=tool_response.file.totalLines
"""
_FIELDS = dict(each.split("=") for each in _FIELDS_TEXT.split())
#: The `input` of a hook of the type ``mcp_tool``.
TEMPLATES = {name: f"${{{path}}}" for name, path in _FIELDS.items()}


def tools(workspace: object) -> list[Callable[..., str]]:
    """The entry point of the group ``coherence_mcp.tools``; a root has a store of its own."""
    return [guard]


def guard(**given: Any) -> str:
    """For hooks of coding agents, which call it around each use of a file tool; not for models.

    Raises `EnvironmentFault` if the call was not checked, which lets it pass.
    """
    event: dict[str, Any] = {}
    for name, value in given.items():
        *above, last = _FIELDS[name].split(".")
        # A client leaves the template of a field that the event has not, or makes it empty.
        if value != TEMPLATES[name] and (value != "" or name in ("content", "old", "new")):
            inner = event
            for part in above:
                inner = inner.setdefault(part, {})
            is_json = name == "edits" and isinstance(value, str)
            inner[last] = msgspec.json.decode(value) if is_json else value
    try:
        said = answer(event)
    except Exception as error:
        raise EnvironmentFault(f"the call was not checked: {error!r}") from error
    return "" if said is None else msgspec.json.encode(said).decode()


guard.__signature__ = Signature(  # type: ignore[attr-defined]
    [Parameter(n, Parameter.KEYWORD_ONLY, default="", annotation=Any) for n in _FIELDS],
    return_annotation=str,
)
