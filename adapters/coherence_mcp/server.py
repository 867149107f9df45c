"""An MCP server for a workspace, on the SDK's low-level server.

Nothing is remembered for a connection: subagents of one host share it, and the protocol of
2026-07-28 has no sessions.  What a model has seen comes as an argument of each call.
"""

from __future__ import annotations

from coherence_mcp.framework import FrameworkMissing  # before the SDK, which may be missing

# isort: split
import inspect
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any, Final

import anyio
import mcp_types as types
from anyio.to_thread import run_sync
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.lowlevel import Server
from mcp.server.subscriptions import ListenHandler
from mcp.shared.exceptions import MCPError
from pydantic import Field

from coherence.context.before_call import changed
from coherence.context.forms import arguments_of, given_to, schema_of
from coherence.context.frameworks import expect
from coherence.context.served import Caller, ServedCallers, ServedCalls, known, twice
from coherence.errors import BadArgument
from coherence.workspace.workspace import Workspace
from coherence_mcp.feed import Feed
from coherence_mcp.resources import Resources
from message_passing.errors import ToolkitError

__all__ = ["ArtifactServer", "FrameworkMissing", "NoIdentity"]

INSTRUCTIONS: Final = (
    "Shared artifacts, which other agents change too. Read before you write. Pass have= with the "
    "ref of a text that is still above, and you get only what changed. Pass expect= with the ref "
    "that your text derives from: a stale write is refused, and shows both changes."
)
#: By which a client of local HTTP names its agent: for coordination, not for permission.
AGENT_HEADER: Final = "x-coherence-agent"
#: Less than any client waits for the answer of a tool.
CHANGES_WAIT_S: Final = 50

Refs = Annotated[list[str], Field(description="Refs of texts that you have", max_length=200)]
Wait = Annotated[
    float, Field(ge=0, le=CHANGES_WAIT_S, description="How long to wait for the first change")
]


class NoIdentity(BadArgument):
    """A call over HTTP does not say which agent makes it."""

    remedy = "send the header X-Coherence-Agent, or start the server with --agent or --tokens"


class ArtifactServer:
    """Serves a workspace; `agent` calls where neither a token nor a header says who does.

    `tools` are further tools: functions whose name, docstring and signature become the tool.  Each
    is called in a thread, its answer is given as it is, and a `ToolkitError` becomes an error for
    the model.  With `read_only` no tool writes artifacts.  Raises `BadArgument`, `InvalidName`,
    `WorkspaceClosed`.
    """

    def __init__(
        self,
        workspace: Workspace,
        agent: str | None = None,
        *,
        tools: Iterable[Callable[..., str]] = (),
        read_only: bool = False,
    ) -> None:
        self._workspace = expect(workspace, Workspace, "an open one: Workspace('sqlite:///t.db')")
        self._callers, self._agent = ServedCallers(workspace, read_only=read_only), agent
        if agent is not None:
            self._callers[agent]  # refuses a bad name at once
        self._calling: ContextVar[Caller] = ContextVar("coherence-mcp-caller")
        calls = ServedCalls(self._calling.get)
        reads: list[Callable[..., Any]] = [*calls.reads(), self.changes_since]
        own = reads if read_only else [*reads, *calls.writes()]
        self._reads, self._more = set(_named(reads)), _named(tools)
        self._tools = _named(own) | self._more
        if len(self._tools) < len(own) + len(self._more):
            raise BadArgument("two tools have one name", remedy="rename the further one")
        self._forms = {name: arguments_of(call, strict=True) for name, call in self._tools.items()}
        self._feed = Feed(workspace)
        resources = Resources(workspace, self._feed, self._who)
        #: The SDK's server, to run on a transport.
        self.server: Server[None] = Server(
            "coherence",
            version=version("artifact-coherence"),
            title="Shared artifacts",
            instructions=INSTRUCTIONS,
            lifespan=lambda _: self._feed.running(),
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=resources.listed,
            on_list_resource_templates=resources.templates,
            on_read_resource=resources.read,
            on_subscribe_resource=resources.subscribe,
            on_unsubscribe_resource=resources.unsubscribe,
            on_subscriptions_listen=ListenHandler(self._feed.bus),
        )

    def _who(self, ctx: Any) -> Caller:
        """Raises `NoIdentity`, `InvalidName`, `WorkspaceClosed`."""
        headers = ctx.request.headers if ctx.request is not None else {}
        token = get_access_token()
        name = token.client_id if token else headers.get(AGENT_HEADER) or self._agent
        if name is None:
            raise NoIdentity("nothing says which agent calls")
        return self._callers[name]

    async def _list_tools(self, ctx: Any, params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[self._described(name) for name in self._tools])

    def _described(self, name: str) -> types.Tool:
        return types.Tool(
            name=name,
            description=inspect.getdoc(self._tools[name]),
            input_schema=schema_of(self._forms[name]),
            annotations=types.ToolAnnotations(
                read_only_hint=name in self._reads,
                # Nothing is lost by a write that an agent has not seen, nor by a repeated one.
                destructive_hint=name == "delete_artifact",
                idempotent_hint=name in self._reads,
                open_world_hint=False,
            ),
        )

    async def _call_tool(self, ctx: Any, params: Any) -> types.CallToolResult:
        if params.name not in self._tools:
            raise MCPError(types.INVALID_PARAMS, f"there is no tool {params.name!r}")
        caller: Caller | None = None
        given: dict[str, Any] = params.arguments or {}
        try:
            if params.name not in self._more:
                caller = self._who(ctx)
                self._calling.set(caller)
            arguments = given_to(self._forms[params.name], given)
            call = partial(self._tools[params.name], **arguments)
            if params.name == "changes_since":
                return _answer(await call())
            said = await run_sync(twice, call)
            news = await run_sync(caller.news, self._feed.latest) if caller else []
            return _answer("".join([said, *(f"\n[{line}]" for line in news)]))
        except ToolkitError as error:
            name = given.get("name")
            why = await run_sync(caller.refusal, error, name) if caller else str(error)
            return _answer(f"Refused ({error.code}): {why}", is_error=True)

    async def changes_since(self, refs: Refs, wait_s: Wait = 0) -> str:
        """Say which of these versions are outdated, and by whom."""
        seen = await run_sync(known, self._workspace, refs)
        deadline = anyio.current_time() + wait_s
        while True:
            lines = await run_sync(changed, self._workspace, seen)
            if lines or anyio.current_time() >= deadline:
                return "\n".join(lines.values()) or "All of them are current."
            await self._feed.changed(seen.values(), deadline)


def _named(calls: Iterable[Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    return {call.__name__: call for call in calls}


def _answer(text: str, is_error: bool = False) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=text)], is_error=is_error)
