"""The script `coherence-mcp`: serves a workspace over stdio or HTTP."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterable
from hashlib import blake2b
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from coherence.errors import BadArgument
from coherence.refs import check_agent
from coherence.workspace.workspace import Workspace
from message_passing.commands import one_command
from message_passing.console import complain, reported

TOKEN_CHARS_MIN: Final = 16
_MAKE: Final = "give each token once, of 16 characters or more: `openssl rand -hex 16` makes one"
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
#: A text as JSON may take several times its size.
BODY_BYTES_MAX: Final = 64 << 20

Store = Annotated[
    str, typer.Argument(envvar="COHERENCE_STORE", help="sqlite:///FILE or postgresql://...")
]
Agent = Annotated[
    str, typer.Option(envvar="COHERENCE_AGENT", help="The agent that calls; USER-PID.")
]
Http = Annotated[str, typer.Option(metavar="[HOST:]PORT", help="Serve HTTP at /mcp, not stdio.")]
Tokens = Annotated[str, typer.Option(metavar="FILE", help="For HTTP; each line: AGENT TOKEN.")]
More = Annotated[list[str], typer.Option("--with", metavar="NAME", help="Further tools: guard.")]


def serve(
    store: Store,
    agent: Agent = "",
    http: Http = "",
    tokens: Tokens = "",
    more: More = [],  # noqa: B006 - typer copies it
    read_only: Annotated[bool, typer.Option("--read-only", help="No tool writes.")] = False,
) -> None:
    """Serve shared artifacts to clients of the Model Context Protocol.

    Over stdio a client starts one process for itself, and any number of processes share one store.
    Over HTTP a call is made by the agent of its token, or of its header X-Coherence-Agent.
    """
    with reported():
        import anyio

        from coherence_mcp.server import ArtifactServer

        if tokens and not http:
            raise BadArgument("--tokens is for HTTP", remedy="add --http, or leave it out")
        host, port = _address(http) if http else ("", 0)
        known = _tokens(Path(tokens)) if tokens else {}
        if http and not known and host not in LOOPBACK:
            raise BadArgument(
                f"{host} is reached by other machines, and nothing checks who calls",
                remedy="give --tokens FILE, or serve 127.0.0.1",
            )
        if store.startswith("memory:"):
            complain("memory:// is not shared: its artifacts end with this process")
        name = agent or (None if http else f"{getpass.getuser()}-{os.getpid()}")
        with Workspace(store) as workspace:
            tools = _further(workspace, more)
            server = ArtifactServer(workspace, name, tools=tools, read_only=read_only).server
            if http:
                _serve_http(server, host, port, known)
            else:
                anyio.run(_serve_stdio, server)


app = one_command(
    serve,
    "coherence-mcp sqlite:///team.db --agent coder",
    "coherence-mcp sqlite:///team.db --http 8000",
    "coherence-mcp postgresql://team@db/team --http 0.0.0.0:8000 --tokens tokens.txt",
)


async def _serve_stdio(server: Any) -> None:
    from mcp.server.stdio import stdio_server

    async with stdio_server() as (reads, writes):
        await server.run(reads, writes, server.create_initialization_options())


def _serve_http(server: Any, host: str, port: int, tokens: dict[bytes, str]) -> None:
    import uvicorn
    from mcp.server.auth.settings import AuthSettings
    from pydantic import AnyHttpUrl

    more: dict[str, Any] = {}
    if tokens:
        # Tokens are given by hand, so nothing issues them: the settings ask for an address.
        here = AnyHttpUrl(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        more["auth"] = AuthSettings(issuer_url=here, resource_server_url=None)
        more["token_verifier"] = _Tokens(tokens)
    asgi = server.streamable_http_app(host=host, max_request_body_size=BODY_BYTES_MAX, **more)
    complain(f"serving http://{host}:{port}/mcp")
    uvicorn.run(asgi, host=host, port=port, log_level="warning")


class _Tokens:
    """Knows the agent of a token, by the token's digest: no token shows in a dump."""

    def __init__(self, agents: dict[bytes, str]) -> None:
        self._agents = agents

    async def verify_token(self, token: str) -> Any:
        """See `mcp.server.auth.provider.TokenVerifier`."""
        from mcp.server.auth.provider import AccessToken

        agent = self._agents.get(_digest(token))
        return AccessToken(token=token, client_id=agent, scopes=[]) if agent else None


def _digest(token: str) -> bytes:
    return blake2b(token.encode("utf-8", "replace")).digest()


def _tokens(path: Path) -> dict[bytes, str]:
    """The digest of each token -> its agent.  Raises `BadArgument`, `InvalidName`, `OSError`."""
    found: dict[bytes, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        agent, _, token = line.strip().rpartition(" ")
        if line.strip() and not line.startswith("#"):
            if not agent or len(token) < TOKEN_CHARS_MIN or _digest(token) in found:
                raise BadArgument(f"line {number} of {path} is not: AGENT TOKEN", remedy=_MAKE)
            found[_digest(token)] = check_agent(agent.strip())
    return found


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise BadArgument(f"--http {text!r} is not an address", remedy="such as 127.0.0.1:8000")
    return host.strip("[]") or LOOPBACK[0], int(port)


def _further(workspace: Workspace, names: list[str]) -> Iterable[Callable[..., str]]:
    """The tools of other packages: each name is an entry point, a function of the workspace.

    What cannot be loaded is named, and left out.  Raises `BadArgument` for an unknown name.
    """
    there = {each.name: each for each in entry_points(group="coherence_mcp.tools")}
    if unknown := sorted({*names} - {*there}):
        raise BadArgument(f"there are no further tools {unknown}", remedy=f"of {sorted(there)}")
    for name in names:
        try:
            yield from there[name].load()(workspace)
        except Exception as error:
            complain(f"the tools of {name} ({there[name].value}) are left out: {error}")
