"""Serialises the calls of one agent, although its framework calls tools concurrently.

A desk outlives its agent.  An agent leaves when there is no work for it, see `seats`; an agent that
has left, or was superseded by another process, joins again with the next call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Self, TypeVar
from weakref import WeakSet

from coherence.context.frameworks import expect
from coherence.context.seats import Seat, seat_of, when_gone
from coherence.runtime.account import Account
from coherence.workspace.agent import Agent
from coherence.workspace.aio import AsyncAgent
from coherence.workspace.aio_workspace import AsyncWorkspace
from coherence.workspace.threads import TaskThreads
from coherence.workspace.workspace import Workspace, site_of

T = TypeVar("T")


class _Desk:
    """The common part of desks for threads and for tasks."""

    def __init__(self, workspace: Workspace, agent: str, *, read_only: bool = False) -> None:
        self.workspace = expect(workspace, Workspace, "an open one: Workspace('sqlite:///team.db')")
        self.name, self._read_only = agent, read_only
        self._seat = seat_of(workspace, agent)
        self._runs: WeakSet[object] = WeakSet()
        # Its hold on the seat, if it has one: the finaliser of the hold must not keep the desk.
        self._own: list[Seat] = []
        when_gone(self, partial(_gone, self._seat, self._own))

    def during(self, run: object) -> Self:
        """This desk; the agent stays for as long as `run` lives, unless that is None.

        `run` is an object that a framework makes for each run and drops with it.
        """
        if run is not None and run not in self._runs:
            self._runs.add(run)
            self._seat.hold_for(run)
        return self

    @property
    def account(self) -> Account | None:
        """The counts of the agent, if it is there."""
        session = site_of(self.workspace).sessions.get(self.name)
        return session.account if session is not None else None

    def rest(self) -> None:
        """There is no more work for now, except for a run or a block that continues."""
        while self._own:
            self._own.pop().let_go()

    def _stay(self) -> None:
        """Keep an agent without a run until `rest`."""
        if not self._seat.held and not self._own:
            self._own.append(self._seat)
            self._seat.hold()


def _gone(seat: Seat, own: list[Seat]) -> None:
    for held in own:
        held.let_go()
    seat.close()


class Desk(_Desk):
    """For threads.

    Raises `BadArgument`, `InvalidName`, `WorkspaceClosed` when it is made, not at the first use.
    """

    def __init__(self, workspace: Workspace, agent: str, *, read_only: bool = False) -> None:
        super().__init__(workspace, agent, read_only=read_only)
        #: Held during a call; a thread may hold it again.
        self.busy = self._seat.busy

    @contextmanager
    def work(self) -> Iterator[None]:
        """The agent stays until the block ends, and may leave after it."""
        self._seat.hold()
        try:
            yield
        finally:
            self.rest()
            self._seat.let_go()

    @contextmanager
    def agent(self) -> Iterator[Agent]:
        """The agent, until the block ends."""
        with self.busy:
            self._stay()
            self._seat.hold()
            try:
                yield self.workspace.agent(self.name, read_only=self._read_only)
            finally:
                self._seat.let_go()


class AsyncDesk(_Desk):
    """For tasks of one event loop.  Raises as `Desk` does."""

    def __init__(self, workspace: Workspace, agent: str, *, read_only: bool = False) -> None:
        super().__init__(workspace, agent, read_only=read_only)
        self.identity = workspace.identity
        self._tasks, self._busy = AsyncWorkspace(workspace), asyncio.Lock()
        self._threads = TaskThreads(blocks=site_of(workspace).store.shared)

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[AsyncAgent]:
        """The agent, until the block ends."""
        async with self._busy:
            while self._seat.leaving:  # leaving may wait for a disk
                await self._threads.run(self._seat.settle)
            self._stay()
            self._seat.hold()
            try:
                yield await self._tasks.agent(self.name, read_only=self._read_only)
            finally:
                self._seat.let_go()

    async def run(self, look: Callable[..., T], *arguments: object) -> T:
        """Call ``look(workspace, ...)``, which may block, without stopping the loop."""
        return await self._threads.run(look, self.workspace, *arguments)
