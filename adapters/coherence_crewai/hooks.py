"""What a crew's agents are told before each model call, and what is checked before each read.

Both look at nothing but the agent's messages and the workspace, and remember nothing.  A model's
word is not taken for what its messages hold: they may have been summarised, a long answer put into
a file, a task begun with another's report and no more.  What is in them can be seen, and hashed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from crewai import Crew
from crewai.hooks import InterceptionPoint, LLMCallHookContext, ToolCallHookContext
from crewai.hooks.dispatch import get_scoped_hooks, scoped_hooks
from pydantic_core import from_json

from coherence import BadArgument, Ref, Workspace
from coherence_crewai.tools import ArtifactTool, seal
from messaging.errors import ToolkitError

NOTICE = "[shared artifacts]"


@contextmanager
def coherence_hooks(crew: Crew, workspace: Workspace) -> Iterator[None]:
    """While the block runs, keep the crew's agents posted and their claims honest.

    Before each model call, an agent that was shown an older version is told so by a last message,
    which is taken out again before the next.  Before each read, what the model says that it has
    gives way to what its messages prove.  Runs that begin outside of the block, and agents without
    artifact tools of this workspace, are left alone.

    Raises `BadArgument` where no agent of the crew has such tools.
    """
    desks = {t.desk for t in _tools(*crew.agents, *crew.tasks) if t.desk.workspace is workspace}
    if not desks:
        raise BadArgument("no agent of the crew has artifact_tools() of this workspace")

    def ours(context: LLMCallHookContext | ToolCallHookContext) -> list[ArtifactTool]:
        return [t for t in _tools(context.agent, context.task) if t.desk in desks]

    def notify(context: LLMCallHookContext) -> None:
        messages = context.messages
        messages[:] = [m for m in messages if not str(m.get("content")).startswith(NOTICE)]
        if ours(context) and (news := list(_news(messages, workspace))):
            messages.append({"role": "user", "content": "\n".join([NOTICE, *news])})

    def verify(context: ToolCallHookContext) -> None:
        called = [tool for tool in ours(context) if tool.name == context.tool_name]
        if any("have" in tool.args_schema.model_fields for tool in called):
            context.tool_input.pop("have", None)  # whatever fails below, no claim is believed
            name = str(context.tool_input.get("name"))
            messages = getattr(getattr(context.agent, "agent_executor", None), "messages", [])
            if version := _held(messages, workspace, name):
                context.tool_input["have"] = f"{name}@{version}"

    hooks: dict[InterceptionPoint, list[Any]] = {p: get_scoped_hooks(p) for p in InterceptionPoint}
    hooks[InterceptionPoint.PRE_MODEL_CALL].append(notify)
    hooks[InterceptionPoint.PRE_TOOL_CALL].append(verify)
    with scoped_hooks(hooks):
        yield


def _tools(*owners: Any) -> list[ArtifactTool]:
    tools = [tool for owner in owners for tool in getattr(owner, "tools", None) or ()]
    return [tool for tool in tools if isinstance(tool, ArtifactTool)]


def _news(messages: list[Any], workspace: Workspace) -> Iterator[str]:
    """A line for each artifact that has a newer version than the newest that was shown."""
    shown = re.findall(r'<artifact ref="([^"@]+)@(\d+)"', "\n".join(_texts(messages)))
    newest = dict(sorted((name, int(version)) for name, version in shown))
    for name, version in newest.items():
        with suppress(ToolkitError):
            last = workspace.history(name)[-1]
            what = "was deleted" if last.handle.kind == "tombstone" else f"is now @{last.version}"
            if last.version > version:
                yield f"{name} {what}, by {last.author}; you were last shown {name}@{version}."


def _held(messages: list[Any], workspace: Workspace, name: str) -> int:
    """The newest version that is there whole, as it was shown or as the model wrote it; 0."""
    tag = rf'<artifact ref="{re.escape(name)}@(\d+)"(?: since="(.+?)")? seal="(\w+)"'
    passage = re.compile(rf"{tag}(?: written/>|>\n(.*?)\n</artifact>)", re.DOTALL)
    wrote = list(_written(messages))
    versions = {0: ""}
    for version, since, said, body in passage.findall("\n".join(_texts(messages))):
        ref = Ref(name, int(version), workspace.identity)
        there = since in versions.values() and said in [seal(ref, since, t) for t in (body, *wrote)]
        versions.update({ref.version: str(ref)} if there else {})
    return max(versions)


def _texts(messages: list[Any]) -> list[str]:
    # What CrewAI quotes to the system is of steps that had messages of their own.
    return [t for m in messages if isinstance(t := m.get("content"), str) and m["role"] != "system"]


def _written(messages: list[Any]) -> Iterator[str]:
    """The texts given to tools, whichever of the two ways the model calls them."""
    inputs = [c["function"]["arguments"] for m in messages for c in m.get("tool_calls") or ()]
    for text in _texts(messages):
        inputs += re.findall(r"Action Input:(.*?)(?=\nObservation:|\Z)", text, re.DOTALL)
    for given in inputs:
        with suppress(ValueError, TypeError, KeyError):
            yield str(from_json(given)["text"])
