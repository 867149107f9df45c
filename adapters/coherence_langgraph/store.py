"""A LangGraph store whose put compares with what its task has read.

Who reads and writes is known from the running task: its node's name is the agent's, and what it has
read is remembered for as long as LangGraph keeps the task, never longer and never by namespace.
"""

from __future__ import annotations

import asyncio
import copy
import secrets
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal
from weakref import WeakKeyDictionary

from langchain_core.runnables.config import var_child_runnable_config
from langgraph.config import get_stream_writer
from langgraph.store.base import BaseStore, GetOp, Item, Op, PutOp, Result, SearchItem, SearchOp
from langgraph.store.memory import InMemoryStore

from coherence import (
    Agent,
    BadArgument,
    Conflict,
    InvalidContent,
    Ref,
    Served,
    UnknownArtifact,
    View,
    Workspace,
)
from coherence_langgraph.codec import artifact_name, decoded, encoded, item_of, merged, quoted

#: The callable that LangGraph makes for each task and drops with it: what a task is known by.
_TASK = "__pregel_read"


class CoherentItem(Item):
    """An item, and the version of the artifact that it is, such as ``proj/plan.md@3``."""

    __slots__ = ("_view",)

    def __init__(
        self, view: View, namespace: tuple[str, ...], key: str, at: Sequence[datetime]
    ) -> None:
        content = view.content
        self.value = {"text": content} if isinstance(content, str) else decoded(content)
        self.namespace, self.key, self._view = namespace, key, view
        self.created_at, self.updated_at = at

    @property
    def ref(self) -> str:
        """The version, for ``expect``, ``have`` or a channel of `ArtifactRefs`."""
        return str(self._view.ref)


class _Reader:
    """An agent, and what one task of it has read."""

    def __init__(self, agent: Agent, lock: Any, emit: Any) -> None:
        self.agent, self.lock, self.emit = agent, lock, emit
        #: Artifact -> version; 0 where there was none.
        self.bases: dict[str, int] = {}
        #: What `CoherentStore.get` last returned of an item, so that a hit costs little.
        self.shown: dict[tuple[tuple[str, ...], str], tuple[View, Sequence[datetime]]] = {}

    def tell(self, event: str, ref: Ref) -> None:
        """Emit an event, for who streams ``custom``."""
        if self.emit is not None:
            self.emit({"coherence": event, "ref": str(ref), "agent": self.agent.name})


class CoherentStore(BaseStore):
    """Any store, coherent.

    `over` is the store to wrap, which keeps its index, TTL, filters and listing; or a workspace or
    its URL, which then holds everything, for all processes that open it.  A wrapped store that
    several processes share needs a `workspace` that they share.

    A put by a task that has read the item, or read that there is none, is a compare-and-set; one by
    a task that has not replaces, as in any store.  `on_conflict` says what becomes of a put that
    lost: ``raise`` `Conflict`; ``merge`` where the two changed different fields or lines, and else
    raise; ``overwrite``.  Outside a graph each thread and each asyncio task counts as a task, and
    `as_agent` gives it a name.  Raises `BadArgument`, and as `Workspace` does.
    """

    def __init__(
        self,
        over: BaseStore | Workspace | str,
        *,
        workspace: Workspace | str | None = None,
        on_conflict: Literal["raise", "merge", "overwrite"] = "raise",
        agent: str = "outside",
    ) -> None:
        if on_conflict not in ("raise", "merge", "overwrite"):
            raise BadArgument(f"on_conflict is {on_conflict!r}", remedy="raise, merge or overwrite")
        self._wraps = isinstance(over, BaseStore)
        known = isinstance(over, BaseStore | Workspace | str)
        if not known or (workspace is not None and not self._wraps):
            raise BadArgument("over is a store, a workspace, or its URL; workspace is for a store")
        home = (workspace or "memory://") if isinstance(over, BaseStore) else over
        self._owns = isinstance(home, str)
        self.workspace: Workspace = Workspace(home) if isinstance(home, str) else home
        self.inner: BaseStore = over if isinstance(over, BaseStore) else InMemoryStore()
        self.supports_ttl, self.ttl_config = self.inner.supports_ttl, self.inner.ttl_config
        self._inline = isinstance(self.inner, InMemoryStore) and home == "memory://"
        # Several processes run one graph: an agent is a node of this store, not of every store.
        self._suffix = "" if home == "memory://" else "." + secrets.token_hex(3)
        self._on_conflict, self._outside = on_conflict, quoted(agent) + self._suffix
        self._making, self._order = threading.Lock(), threading.RLock()
        self._agents: dict[str, tuple[Agent, Any]] = {}
        self._readers: WeakKeyDictionary[Any, _Reader] = WeakKeyDictionary()
        self._bound: _Reader | None = None
        self._seen = [0]  # how far the mirror has followed the log; one for all bound twins

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.inner, name)

    def as_agent(self, name: str) -> CoherentStore:
        """The same store for one agent outside a graph, which is then one task of its own.

        Raises `InvalidName`.
        """
        twin = copy.copy(self)
        twin._bound = _Reader(*self._agent(name), None)
        return twin

    def resolve(self, ref: str) -> CoherentItem:
        """The version that `ref` names, as it was.  A put that follows is derived from it.

        Raises `UnknownArtifact`, `UnknownVersion`, `BadRef`.
        """
        who, wanted = self._who(), Ref.parse(ref)
        with who.lock:
            view = who.agent.read(wanted.name, version=wanted.version)
        who.bases[wanted.name] = wanted.version
        who.shown.clear()
        return CoherentItem(view, *item_of(wanted.name), self._times(view.ref))

    def close(self) -> None:
        """Close the workspace, where it was opened here.  A call that follows is refused."""
        if self._owns:
            self.workspace.close()

    # As the stores of LangGraph do: a batch reads first, in order, and then writes, in order.

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        return self._run(self._who(), list(ops))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        who, ops = self._who(), list(ops)
        # What cannot wait for anybody stays in the loop; a write may have to wait its turn.
        quick = self._inline and all(isinstance(op, GetOp) for op in ops)
        if quick and who.lock.acquire(blocking=False):
            try:
                return self._run(who, ops)
            finally:
                who.lock.release()
        return await asyncio.to_thread(self._run, who, ops)

    def get(
        self, namespace: tuple[str, ...], key: str, *, refresh_ttl: bool | None = None
    ) -> Item | None:
        who = self._bound or self._who()
        shown = who.shown.get((namespace, key))
        if shown is not None:
            view, at = shown
            with who.lock, suppress(UnknownArtifact):
                if who.agent.read(view.ref.name) is view:
                    if who.emit is not None:
                        who.tell("hit", view.ref)
                    return CoherentItem(view, namespace, key, at)
        return super().get(namespace, key, refresh_ttl=refresh_ttl)

    def _run(self, who: _Reader, ops: Sequence[Op]) -> list[Result]:
        results: list[Result] = [None] * len(ops)
        writes: list[PutOp] = []
        with who.lock:
            for i, op in enumerate(ops):
                if isinstance(op, GetOp):
                    results[i] = self._get(who, op)
                elif isinstance(op, PutOp):
                    writes.append(op)
                else:
                    results[i] = self._look(who, op)
            for op in writes:
                self._put(who, op)
        return results

    def _get(self, who: _Reader, op: GetOp) -> CoherentItem | None:
        name = artifact_name(op.namespace, op.key)
        view: View | None = None
        try:
            view = who.agent.read(name)
            if self.supports_ttl and self.inner.batch([op])[0] is None:
                who.agent.delete(name)
                view = None
        except UnknownArtifact:
            view = self._adopted(who, name, op) if self._wraps else None
        if view is None:
            who.bases[name] = 0
            return None
        who.bases[name] = view.ref.version
        who.tell("hit" if view.served is Served.HIT else "fill", view.ref)
        at = self._times(view.ref)
        if not self.supports_ttl:
            who.shown[op.namespace, op.key] = view, at
        return CoherentItem(view, op.namespace, op.key, at)

    def _adopted(self, who: _Reader, name: str, op: GetOp) -> View | None:
        """What the wrapped store held before we came; not what was deleted since."""
        item = self.inner.batch([op])[0] if self.workspace.row(name) is None else None
        if not isinstance(item, Item):
            return None
        with suppress(Conflict):  # somebody else was faster
            who.agent.write(name, encoded(item.value), expect=0)
        return who.agent.read(name)

    def _times(self, ref: Ref) -> list[datetime]:
        """When the first version that is kept was made, and this one."""
        kept = self.workspace.history(ref.name)
        past = [entry.at for entry in kept if entry.version <= ref.version]
        # A workspace in memory goes by a clock without an epoch, every other by a wall clock.
        timeless = self.workspace.identity.startswith("memory-")
        epoch = time.time() - time.monotonic() if timeless else 0.0  # noqa: TID251 - to show it
        return [datetime.fromtimestamp(at + epoch, UTC) for at in (past[0], past[-1])]

    def _put(self, who: _Reader, op: PutOp) -> None:
        name = artifact_name(op.namespace, op.key)
        base = who.bases.get(name)
        replace = base is None or self._on_conflict == "overwrite"
        content = None if op.value is None else encoded(op.value)
        while True:
            expect = None if replace else base
            try:
                if content is None:
                    ref = who.agent.delete(name, expect=expect, overwrite=replace)
                else:
                    ref = who.agent.write(name, content, expect=expect, overwrite=replace)
                break
            except UnknownArtifact:  # nothing to delete
                if self._wraps and self.workspace.row(name) is None:
                    self.inner.batch([op])
                return
            except Conflict as conflict:
                who.tell("conflict", conflict.current)
                merging = content is not None and self._on_conflict == "merge"
                content = merged(conflict) if merging else None
                if content is None:
                    raise
                base = conflict.current.version
        who.bases[name] = ref.version if content is not None else 0
        who.tell("publish", ref)
        self.pass_on(op, content, ref)

    def pass_on(self, op: PutOp, content: str | bytes | None, ref: Ref) -> None:
        """Tell the wrapped store, unless there is a newer version, whose writer tells it."""
        if self._wraps:
            with self._order:
                row = self.workspace.row(ref.name)
                if row is not None and row.row.state.version == ref.version:
                    value = None if content is None else decoded(content)
                    self.inner.batch([op._replace(value=value)])

    def _look(self, who: _Reader, op: Op) -> Result:
        if not self._wraps:
            self._catch_up()
        found: Any = self.inner.batch([op])[0]
        if isinstance(op, SearchOp):
            for i, hit in enumerate(found):
                item = self._get(who, GetOp(hit.namespace, hit.key))
                found[i] = item and SearchItem(**item.dict(), score=hit.score)
            return [item for item in found if item is not None]
        return found  # type: ignore[no-any-return]

    def _catch_up(self) -> None:
        """Bring what the workspace holds into the mirror that is searched."""
        with self._order:
            agent, _ = self._agent("mirror" + self._suffix)
            names: set[str] = set()
            with agent.watch(since=self._seen[0], timeout_s=0) as news:
                for change in news:
                    self._seen[0] = change.seq
                    missed = self.workspace.names(deleted=True) if change.missed else ()
                    names.update(missed, (change.ref.name,))
            for name in names:
                with suppress(InvalidContent):  # bytes of somebody else: not an item
                    try:
                        value = decoded(agent.read(name).content)
                    except UnknownArtifact:
                        value = None
                    self.inner.batch([PutOp(*item_of(name), value)])

    # Who asks.

    def _who(self) -> _Reader:
        if self._bound is not None:
            return self._bound
        config: Any = var_child_runnable_config.get(None) or {}
        task = config.get("configurable", {}).get(_TASK)
        reader = self._readers.get(task or _outside())
        if reader is None:
            name = self._name(config["metadata"]) if task else self._outside
            reader = _Reader(*self._agent(name), get_stream_writer() if task else None)
            reader = self._readers.setdefault(task or _outside(), reader)
        return reader

    def member(self, agent: str | None = None) -> tuple[Agent, Any]:
        """The agent that tools and middleware act for, and the lock to hold meanwhile."""
        config: Any = var_child_runnable_config.get(None) or {}
        if agent is None and _TASK in config.get("configurable", {}):
            agent = self._name(config["metadata"], up=1)
        return self._agent(agent or self._outside)

    def _name(self, metadata: Mapping[str, Any], up: int = 0) -> str:
        """What ``create_agent`` calls it, else the path of nodes, without the last `up`."""
        path = metadata["langgraph_checkpoint_ns"].split("|")
        nodes = [node.split(":")[0] for node in path if not node.isdigit()]
        named = metadata.get("lc_agent_name")
        parts = [named] if named else nodes[: len(nodes) - up] or ["agent"]
        return "/".join(map(quoted, parts)) + self._suffix

    def _agent(self, name: str) -> tuple[Agent, Any]:
        with self._making:
            if name not in self._agents:
                self._agents[name] = (self.workspace.agent(name), threading.RLock())
            return self._agents[name]


def _outside() -> Any:
    try:
        return asyncio.current_task() or threading.current_thread()
    except RuntimeError:
        return threading.current_thread()
