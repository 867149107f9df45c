"""The file tools of a model, with versions behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from copy import copy
from functools import lru_cache, partial
from typing import Any, TypeAlias

import agent_framework as af

from coherence import BadArgument, Workspace
from coherence.context.desk import Desk
from coherence.context.files import Files
from coherence.context.reader import OnUnread, check_unread
from coherence.context.sight import Lines
from coherence.context.values import caller_name
from coherence.view import View
from coherence.workspace.threads import TaskThreads
from coherence_agent_framework.framework import tell
from coherence_agent_framework.store import RUNNING, CoherentFileStore, Draft

#: The conversations whose reads are remembered, those that have run last.
CALLERS_MAX = 1024

_INSTRUCTIONS = "\n- To overwrite a file that was changed since you read it, read it again first."
_READS = (af.FileAccessProvider.READ_TOOL_NAME, af.FileAccessProvider.READ_LINES_TOOL_NAME)
_CHANGES = (af.FileAccessProvider.REPLACE_TOOL_NAME, af.FileAccessProvider.REPLACE_LINES_TOOL_NAME)

Function: TypeAlias = Callable[..., Coroutine[Any, Any, Any]]
Next: TypeAlias = Callable[[], Awaitable[None]]


class CoherentFileAccess(af.FileAccessProvider):
    """A context provider with the tools of ``FileAccessProvider``, over a workspace.

    The files are artifacts whose names begin with `folder`.  A caller is an agent in a session: its
    versions have ``name.session`` as author.  With ``unread="replace"`` a write with `overwrite`
    replaces a file that its caller has not read.  `more` are the settings of
    ``FileAccessProvider``, without scopes: give each scope a folder.  `store` is for the program,
    whose writes replace any version.  Raises `BadArgument`, `InvalidName`, and as `Workspace` does.
    """

    def __init__(
        self, workspace: Workspace | str, folder: str = "", unread: OnUnread = "raise", **more: Any
    ) -> None:
        check_unread(unread, "raise")
        if {"session_scoped", "scope"} & more.keys():
            raise BadArgument("the files have no scopes", remedy="folder='...' for each scope")
        self.workspace = Workspace(workspace) if isinstance(workspace, str) else workspace
        threads = TaskThreads(blocks=True)

        def caller(name: str, how: OnUnread = unread) -> _Caller:
            files = Files(Desk(self.workspace, name), how, tell)
            return _Caller(CoherentFileStore(files, folder, threads))

        self._named = lru_cache(CALLERS_MAX)(caller)
        super().__init__(caller("program", "replace").store, **more)
        self.instructions += _INSTRUCTIONS

    def _caller(self, agent: Any, session: Any) -> _Caller:
        return self._named(caller_name(agent.name or agent.id, session.session_id))

    def forget(self, agent: af.SupportsAgentRun, session: af.AgentSession) -> None:
        """The conversation has lost what it had read.

        Only for hosts that drop messages themselves: compaction by the framework is noticed.
        """
        self._caller(agent, session).files.forget()

    async def before_run(
        self, *, context: af.SessionContext, agent: Any, session: Any, **more: Any
    ) -> None:
        """Add the tools, and what follows the model's turns."""
        caller, stock, own = self._caller(agent, session), copy(context), copy(self)
        stock.tools, stock.instructions, own.store = [], context.instructions, caller.store
        await super(CoherentFileAccess, own).before_run(
            context=stock, agent=agent, session=session, **more
        )
        context.extend_tools(self.source_id, [caller.tool(each) for each in stock.tools])
        context.extend_middleware(self.source_id, [caller.asked, caller.called])

    async def after_run(self, *, agent: Any, session: Any, **more: Any) -> None:
        """The agent leaves the workspace soon, if it does not run again."""
        self._caller(agent, session).files.desk.rest()


class _Caller:
    """One agent in one session."""

    def __init__(self, store: CoherentFileStore) -> None:
        self.store, self.files, self._turn = store, store.files, 0
        #: What the model was asked with; a compaction marks the messages that it has left out.
        self._messages: Sequence[af.Message] = ()

    def tool(self, stock: af.FunctionTool) -> af.FunctionTool:
        """The tool that the model gets for one of ``FileAccessProvider``."""
        if stock.func is None or stock.name not in _READS + _CHANGES:
            return stock
        made, how = copy(stock), self._read if stock.name in _READS else self._change
        made.func = partial(how, stock.func)
        return made

    async def _read(self, function: Function, **given: Any) -> Any:
        """The model sees what the tool reads."""
        token = RUNNING.set(views := list[View]())
        try:
            answer = await function(**given)
        finally:
            RUNNING.reset(token)
        for view in views:
            lines, first, last = None, given.get("start_line"), given.get("end_line")
            if first is not None:
                total = len(af.AgentFileStore.split_lines(view.text))
                lines = Lines(first, total if last is None else last, total)
                if not 1 <= first <= min(lines.last, total):
                    continue  # the answer is that there are no such lines
            await self.store.run(self.files.shown, view, lines, str(answer))
        return answer

    async def _change(self, function: Function, **given: Any) -> Any:
        """The tool changes the current text, whatever others change elsewhere in it."""
        answers: list[Any] = []

        def change(text: str) -> str:
            RUNNING.set(draft := Draft(text))
            try:
                answers.append(asyncio.run(function(**given)))
            finally:
                RUNNING.set(None)
            return draft.after

        try:
            await self.store.call(given["file_name"], self.files.replace, change)
        except FileNotFoundError:
            return f"File '{given['file_name']}' not found."
        except ValueError as error:
            return f"Could not change file '{given['file_name']}': {error}"
        return answers[-1]

    async def asked(self, context: af.ChatContext, call_next: Next) -> None:
        """The model is asked: it sees what its last calls have answered."""
        self._turn += 1
        await self.store.run(self.files.turn, self._turn)
        # A service that keeps the conversation is sent only what is new.
        self._messages = () if (context.options or {}).get("conversation_id") else context.messages
        await call_next()

    async def called(self, context: af.FunctionInvocationContext, call_next: Next) -> None:
        """The model calls a tool, perhaps without the answers of its earlier calls."""
        if self._messages:
            kept = {
                content.call_id
                for message in self._messages
                if not message.additional_properties.get(af.EXCLUDED_KEY)
                for content in message.contents
                if content.type == "function_result"
            }
            await self.store.run(self.files.keep, kept)
        path, call = dict(context.arguments).get("file_name"), context.metadata.get("call_id")
        if isinstance(path, str) and call:
            given = call, context.function.name == _READS[0]
            with suppress(ValueError):  # of a path that names no file, as the tool will say
                await self.store.call(path, self.files.known_from, *given)
        await call_next()
