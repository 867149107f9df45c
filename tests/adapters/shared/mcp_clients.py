"""Clients of `coherence-mcp`, for its tests: of this process, over stdio, and over HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from coherence import Workspace
from coherence_mcp.server import ArtifactServer

SCRIPT = Path(sys.executable).with_name("coherence-mcp")
#: The protocol of 2026-07-28, and the last one before it.
ERAS = ("2026-07-28", "legacy")


def run(test: Callable[..., Awaitable[None]], *given: object) -> None:
    """Run a test that is a coroutine."""

    async def within() -> None:
        with anyio.fail_after(60):
            await test(*given)

    anyio.run(within)


@asynccontextmanager
async def client_of(workspace: Workspace, agent: str = "a", era: str = ERAS[0], **given: Any):
    """A client of a server in this process; `message_handler` is the client's."""
    handler = given.pop("message_handler", None)
    server = ArtifactServer(workspace, agent, **given).server
    async with Client(server, mode=era, message_handler=handler) as client:
        yield client


def environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("COHERENCE")}


def over_stdio(url: str, *options: str, era: str = ERAS[0], **env: str) -> Client:
    """A client of a server in a process of its own."""
    given = StdioServerParameters(
        command=str(SCRIPT), args=[url, *options], env=environment() | env
    )
    # A transport, since the first releases of mcp 2 do not take the parameters.
    return Client(stdio_client(given), mode=era)


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


@contextmanager
def http_server(url: str, *options: str) -> Iterator[str]:
    """The address of a server of HTTP in a process of its own."""
    port = free_port()
    process = subprocess.Popen(
        [str(SCRIPT), url, "--http", str(port), *options],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if "serving" in line:
                break
        else:
            raise AssertionError(f"it ended with {process.wait()}")
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.communicate()


async def told(client: Any, tool: str, **given: Any) -> str:
    """The answer of a tool that does what it is asked."""
    answer = await client.call_tool(tool, given)
    assert not answer.is_error, answer.content[0].text
    assert answer.structured_content is None
    (part,) = answer.content
    return str(part.text)


async def refused(client: Any, tool: str, **given: Any) -> str:
    """The answer of a tool that refuses."""
    answer = await client.call_tool(tool, given)
    (part,) = answer.content
    assert answer.is_error, part.text
    assert answer.structured_content is None
    return str(part.text)
