"""Tells the protocol's subscribers what any process publishes.

One thread of this process waits for the store's log, whatever the number of subscribers.  A
notification only says that a resource has changed: nothing is replayed, and a client reads again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import quote

import anyio
from anyio.abc import TaskGroup
from anyio.to_thread import run_sync
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourcesListChanged, ResourceUpdated

from coherence.context.following import Changed, Following
from coherence.refs import Ref
from coherence.workspace.workspace import Workspace

#: The artifacts whose newest version is known here.
KNOWN_MAX: Final = 10_000


def uri_of(name: str) -> str:
    """The resource of an artifact."""
    return "artifact:///" + quote(name)


class Feed:
    """The changes in a workspace, for one event loop."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.bus = InMemorySubscriptionBus()
        #: Artifact -> its newest version, if it has changed since the feed began.
        self.latest: OrderedDict[str, int] = OrderedDict()
        self._moved = anyio.Event()
        #: Where tasks run that end with the feed.
        self.tasks: TaskGroup

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While the block runs, changes are heard of."""
        following = await run_sync(Following, self._workspace)
        async with anyio.create_task_group() as self.tasks:
            self.tasks.start_soon(self._follow, following)
            try:
                yield
            finally:
                following.close()
                self.tasks.cancel_scope.cancel()

    async def changed(self, refs: Collection[Ref], deadline: float) -> None:
        """Wait until one of these versions is outdated, or for the deadline of the loop's clock."""
        with anyio.move_on_at(deadline):
            while all(self.latest.get(ref.name, 0) <= ref.version for ref in refs):
                await self._moved.wait()

    async def _follow(self, following: Following) -> None:
        # A thread of its own: a process with many calls under way must still hear.
        alone = anyio.CapacityLimiter(1)
        while found := await run_sync(following.next, abandon_on_cancel=True, limiter=alone):
            await self._publish(found)

    async def _publish(self, found: Changed) -> None:
        for name, version in found.versions.items():
            self.latest[name] = version
            self.latest.move_to_end(name)
        while len(self.latest) > KNOWN_MAX:
            self.latest.popitem(last=False)
        moved, self._moved = self._moved, anyio.Event()
        moved.set()
        for name in found.versions:
            await self.bus.publish(ResourceUpdated(uri=uri_of(name)))
        if found.relists:
            await self.bus.publish(ResourcesListChanged())
