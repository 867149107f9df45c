"""Artifacts as resources of the protocol, and the subscriptions of its earlier versions."""

from __future__ import annotations

import base64
import mimetypes
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import anyio
import mcp_types as types
from anyio.to_thread import run_sync
from mcp.server.subscriptions import ResourceUpdated
from mcp.shared.exceptions import MCPError

from coherence.context.served import Caller
from coherence.errors import BadArgument
from coherence.workspace.workspace import Workspace, site_of
from coherence_mcp.feed import Feed, uri_of
from message_passing.errors import ToolkitError

#: The resources in one answer of a list.
PAGE: Final = 1_000
#: An earlier version never changes.
VERSION_TTL_MS: Final = 86_400_000
#: The subscriptions of connections of earlier protocols, of whose end a server is not told.
SUBSCRIPTIONS_MAX: Final = 1_024


class Resources:
    """The handlers of resources.  `who` is called with the context of a request."""

    def __init__(self, workspace: Workspace, feed: Feed, who: Callable[[Any], Caller]) -> None:
        self._workspace, self._feed, self._who = workspace, feed, who
        self._subscribed: OrderedDict[tuple[str, str], anyio.CancelScope] = OrderedDict()

    async def listed(self, ctx: Any, params: Any) -> types.ListResourcesResult:
        """Every artifact, with its current ref."""
        found, cursor = await run_sync(self._page, (params and params.cursor) or "")
        return types.ListResourcesResult(resources=found, next_cursor=cursor)

    def _page(self, after: str) -> tuple[list[types.Resource], str | None]:
        names = [name for name in self._workspace.names() if name > after]
        site = site_of(self._workspace)
        rows = site.look(site.store.rows, names[:PAGE])
        found = [
            types.Resource(name=name, **_facts(uri_of(name), name, row.row.state.version))
            for name, row in sorted(rows.items())
        ]
        return found, names[PAGE - 1] if len(names) > PAGE else None

    async def templates(self, ctx: Any, params: Any) -> types.ListResourceTemplatesResult:
        """The form of every resource."""
        artifact = types.ResourceTemplate(
            uri_template="artifact:///{+name}{?version}",
            name="artifact",
            description="The current version, or an earlier one, which never changes",
        )
        return types.ListResourceTemplatesResult(resource_templates=[artifact])

    async def read(self, ctx: Any, params: Any) -> types.ReadResourceResult:
        """A version.  Raises `MCPError`."""
        uri = str(params.uri)
        try:
            name, number = _parsed(uri)
            view = await run_sync(self._who(ctx).view, name, number)
        except ToolkitError as error:
            raise MCPError(types.INVALID_PARAMS, f"{error.code}: {error}") from error
        more = _facts(uri, name, view.version)
        content: types.TextResourceContents | types.BlobResourceContents
        if isinstance(view.content, str):
            content = types.TextResourceContents(text=view.content, **more)
        else:
            blob = base64.b64encode(view.content).decode()
            content = types.BlobResourceContents(blob=blob, **more)
        if number is None:
            return types.ReadResourceResult(contents=[content])
        return types.ReadResourceResult(contents=[content], ttl_ms=VERSION_TTL_MS)

    async def subscribe(self, ctx: Any, params: Any) -> types.EmptyResult:
        """Tell this connection of each change from now on."""
        await self.unsubscribe(ctx, params)
        self._subscribed[_key(ctx, params)] = scope = anyio.CancelScope()
        if len(self._subscribed) > SUBSCRIPTIONS_MAX:
            self._subscribed.popitem(last=False)[1].cancel()
        await self._feed.tasks.start(self._tell, ctx.session, str(params.uri), scope)
        return types.EmptyResult()

    async def unsubscribe(self, ctx: Any, params: Any) -> types.EmptyResult:
        """Tell it no longer."""
        if (scope := self._subscribed.pop(_key(ctx, params), None)) is not None:
            scope.cancel()
        return types.EmptyResult()

    async def _tell(
        self, session: Any, uri: str, scope: anyio.CancelScope, *, task_status: Any
    ) -> None:
        """Tell one subscriber; while it is slow, changes become one notification."""
        due = anyio.Event()

        def note(event: object) -> None:
            if isinstance(event, ResourceUpdated) and event.uri == uri:
                due.set()

        stop = self._feed.bus.subscribe(note)
        try:
            with scope:
                task_status.started()
                while True:
                    await due.wait()
                    due = anyio.Event()
                    await session.send_resource_updated(uri)
        finally:
            stop()


def _key(ctx: Any, params: Any) -> tuple[str, str]:
    """A connection and a resource; a process that speaks stdio has one connection."""
    headers = ctx.request.headers if ctx.request is not None else {}
    return headers.get("mcp-session-id", ""), str(params.uri)


def _parsed(uri: str) -> tuple[str, int | None]:
    """The artifact and the version that a resource names.  Raises `BadArgument`."""
    parts = urlsplit(uri)
    number = parse_qs(parts.query).get("version", [""])[-1]
    if parts.scheme != "artifact" or parts.netloc or (number and not number.isdecimal()):
        raise BadArgument(f"{uri!r} is not an artifact", remedy="artifact:///plan.md?version=3")
    return unquote(parts.path.removeprefix("/")), int(number) if number else None


def _facts(uri: str, name: str, version: int) -> dict[str, Any]:
    """What a list and a read say about a version."""
    mime = mimetypes.guess_type(name)[0] or "text/plain"
    return {"uri": uri, "mime_type": mime, "_meta": {"coherence/ref": f"{name}@{version}"}}
