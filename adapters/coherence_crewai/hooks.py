"""Informs a crew's agents before each model call, and checks claims before each read.

Both use only the agent's messages and the workspace, and keep no state.  A model's claim about its
messages is not trusted: they may have been summarised, a long answer moved into a file, or a task
begun with only another agent's report.  The messages themselves can be read and hashed.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any

from crewai import Crew
from crewai.hooks import InterceptionPoint, LLMCallHookContext, ToolCallHookContext
from crewai.hooks.dispatch import get_scoped_hooks, scoped_hooks

from coherence import BadArgument, Workspace
from coherence.context.before_call import called, inform, informer
from coherence.context.desk import Desk
from coherence.context.evidence import Said, given, survey
from coherence.context.frameworks import expect
from coherence.context.informing import DEFAULT, LIST_RATES, Informer, OnChange, Prompt
from coherence.context.notices import is_notice
from coherence.context.prompts import of_passages
from coherence.context.telling import Rates
from coherence_crewai.events import tell
from coherence_crewai.tools import ArtifactTool
from message_passing.errors import ToolkitError


def coherence_hooks(
    crew: Crew,
    workspace: Workspace,
    *,
    on_change: OnChange = DEFAULT,
    rates: Rates = LIST_RATES,
) -> AbstractContextManager[None]:
    """While the block runs, inform the crew's agents of changes and check their claims.

    Before each model call, an agent that was shown an older version gets a last message;
    `on_change` chooses what it says and whether it stays, and `rates` are those of ``adaptive``:
    see `coherence.context.informing`.  Before each read, the model's claim is replaced by the
    version that its messages prove.  Runs that begin outside the block, and agents without artifact
    tools of this workspace, are not affected.

    Raises `BadArgument` for other arguments, and if no agent of the crew has such tools.  Warns
    with `RuntimeWarning` if the block is never begun: a call without ``with`` does nothing.
    """
    expect(crew, Crew, "the Crew that the agents work in")
    expect(workspace, Workspace, "the Workspace of the agents' tools")
    desks = {t.desk for t in _tools(*crew.agents, *crew.tasks) if t.desk.workspace is workspace}
    if not desks:
        raise BadArgument("no agent of the crew has artifact_tools() of this workspace")
    return _Block(_hooked(desks, workspace, informer(on_change, rates)))


class _Block(AbstractContextManager[None]):
    """The block of `coherence_hooks`, which warns if it is dropped before it begins."""

    def __init__(self, hooked: AbstractContextManager[None]) -> None:
        self._hooked, self._begun = hooked, False

    def __enter__(self) -> None:
        self._begun = True
        self._hooked.__enter__()

    def __exit__(self, *why: Any) -> bool | None:
        return self._hooked.__exit__(*why)

    def __del__(self) -> None:
        if not self._begun:
            said = "coherence_hooks() does nothing without a block: with coherence_hooks(crew, ws):"
            warnings.warn(said, RuntimeWarning, stacklevel=2)


@contextmanager
def _hooked(desks: set[Desk], workspace: Workspace, informer: Informer) -> Iterator[None]:
    def ours(context: LLMCallHookContext | ToolCallHookContext) -> list[ArtifactTool]:
        return [t for t in _tools(context.agent, context.task) if t.desk in desks]

    def stay(messages: list[Any]) -> list[Any]:
        """The messages that will be in the next prompt too."""
        if informer.stays:
            return messages
        return [m for m in messages if not is_notice(str(m.get("content")))]

    def notify(context: LLMCallHookContext) -> None:
        messages, tools = context.messages, ours(context)
        messages[:] = stay(messages)
        if not tools:
            return
        with suppress(ToolkitError):  # the next tool call reports the error
            prompt = _prompt(tools[0].desk.name, messages, workspace)
            news = inform(tools[0].desk, informer, prompt, tell)
            if news.text:
                messages.append({"role": "user", "content": news.text})
            if news.stays:
                prompt = _prompt(tools[0].desk.name, messages, workspace)
            called(tools[0].desk, prompt, informer, tell)

    def verify(context: ToolCallHookContext) -> None:
        called = [tool for tool in ours(context) if tool.name == context.tool_name]
        if any("have" in tool.args_schema.model_fields for tool in called):
            context.tool_input.pop("have", None)  # even after a failure below, no claim is trusted
            messages = getattr(getattr(context.agent, "agent_executor", None), "messages", [])
            held, _ = survey(conversation(stay(messages)), workspace.identity)
            if ref := held.get(str(context.tool_input.get("name"))):
                context.tool_input["have"] = str(ref)

    hooks: dict[InterceptionPoint, list[Any]] = {p: get_scoped_hooks(p) for p in InterceptionPoint}
    hooks[InterceptionPoint.PRE_MODEL_CALL].append(notify)
    hooks[InterceptionPoint.PRE_TOOL_CALL].append(verify)
    with ExitStack() as work, scoped_hooks(hooks):
        for desk in desks:
            work.enter_context(desk.work())
        yield


def _tools(*owners: Any) -> list[ArtifactTool]:
    tools = [tool for owner in owners for tool in getattr(owner, "tools", None) or ()]
    return [tool for tool in tools if isinstance(tool, ArtifactTool)]


def _prompt(agent: str, messages: list[Any], workspace: Workspace) -> Prompt:
    key = agent, *map(str, messages[:2])
    return of_passages(key, list(conversation(messages)), workspace.identity, mentions=True)


def conversation(messages: list[Any]) -> Iterator[Said[int]]:
    """The texts of the conversation, for both forms of tool call."""
    for place, message in enumerate(messages):
        text = _text(message)
        inputs = [c["function"]["arguments"] for c in message.get("tool_calls") or ()]
        inputs += re.findall(r"Action Input:(.*?)(?=\nObservation:|\Z)", text, re.DOTALL)
        for text_given in (each for arguments in inputs for each in given(arguments)):
            yield Said(place, text_given, given=True)
        yield Said(place, text, tool=_tool(message))


def _tool(message: Any) -> str:
    """The tool whose answer a message is, in both forms of tool call."""
    named = re.findall(r"^Action: *(\w+)", _text(message), re.MULTILINE)
    return str(message.get("name") or (named[-1] if named else ""))


def _text(message: Any) -> str:
    # CrewAI quotes to the system only steps that have separate messages.
    text = message.get("content") if message["role"] != "system" else None
    return text if isinstance(text, str) else ""
