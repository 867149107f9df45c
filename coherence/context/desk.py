"""Where one agent works: it does one thing at a time, though a framework calls its tools at once.

A desk outlasts what sits at it: an agent that has left, or was superseded by another process, joins
again with the next call.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

from coherence.errors import BadArgument
from coherence.workspace.agent import Agent
from coherence.workspace.aio import AsyncAgent, AsyncWorkspace
from coherence.workspace.workspace import Workspace

T = TypeVar("T")


class Desk:
    """For threads.

    Raises `BadArgument`, `InvalidName`, `WorkspaceClosed`: now, not when it is used.
    """

    def __init__(self, workspace: Workspace, agent: str) -> None:
        self.workspace, self.name = workspace, _joined(workspace, agent)
        #: Held during a call; a thread may hold it again.
        self.turn = threading.RLock()

    @contextmanager
    def agent(self) -> Iterator[Agent]:
        """The agent, until the block ends."""
        with self.turn:
            yield self.workspace.agent(self.name)


class AsyncDesk:
    """For tasks of one event loop.  Raises as `Desk` does."""

    def __init__(self, workspace: Workspace, agent: str) -> None:
        self._name, self.identity = _joined(workspace, agent), workspace.identity
        self._workspace, self._turn = AsyncWorkspace(workspace), asyncio.Lock()

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[AsyncAgent]:
        """The agent, until the block ends."""
        async with self._turn:
            yield await self._workspace.agent(self._name)

    async def run(self, look: Callable[..., T], *arguments: object) -> T:
        """Call ``look(workspace, ...)``, which may block, without stopping the loop."""
        return await self._workspace.run(look, self._workspace.sync, *arguments)


def _joined(workspace: object, agent: str) -> str:
    if not isinstance(workspace, Workspace):
        raise BadArgument(
            f"{workspace!r} is no workspace", remedy="open one: Workspace('sqlite:///team.db')"
        )
    return workspace.agent(agent).name
