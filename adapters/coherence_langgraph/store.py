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
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from langchain_core.runnables.config import var_child_runnable_config
from langgraph.config import get_stream_writer
from langgraph.store.base import BaseStore, GetOp, Item, Op, PutOp, Result, SearchItem, SearchOp
from langgraph.store.memory import InMemoryStore

import coherence
from coherence import Agent, Conflict, Ref, UnknownArtifact, View, Workspace
from coherence_langgraph.codec import artifact_name, decoded, encoded, item_of, merged, quoted

#: The callable that LangGraph makes for each task and drops with it: what a task is known by.
_TASK = "__pregel_read"

Place: TypeAlias = tuple[tuple[str, ...], str]


class CoherentItem(Item):
    """An item that knows which version of which artifact it is."""

    __slots__ = ("_ref",)

    def __init__(self, view: View, place: Place, at: list[datetime]) -> None:
        content, self._ref = view.content, view.ref
        self.value = {"text": content} if isinstance(content, str) else decoded(content)
        self.namespace, self.key = place
        self.created_at, self.updated_at = at

    @property
    def ref(self) -> str:
        """The version, such as ``proj/plan.md@3``: for `ArtifactRefs`, `resolve` and tools."""
        return str(self._ref)


class _Reader(NamedTuple):
    """An agent, its lock, where its events go, and the versions that one task of it has read."""

    agent: Agent
    lock: Any
    emit: Any
    bases: dict[str, int]

    def tell(self, event: str, ref: Ref) -> None:
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
    raise; ``overwrite``.  Outside a graph nothing is remembered, unless for an agent: `as_agent`.
    Raises `BadArgument`, and as `Workspace` does.
    """

    def __init__(
        self,
        over: BaseStore | Workspace | str,
        *,
        workspace: Workspace | str | None = None,
        on_conflict: Literal["raise", "merge", "overwrite"] = "raise",
    ) -> None:
        self.inner = over if isinstance(over, BaseStore) else None
        home: Any = (workspace or "memory://") if isinstance(over, BaseStore) else over
        wrong = not isinstance(home, Workspace | str) or (workspace and not self.inner)
        if wrong or on_conflict not in ("raise", "merge", "overwrite"):
            raise coherence.BadArgument("a store, or a workspace; and raise, merge or overwrite")
        self.workspace: Workspace = Workspace(home) if isinstance(home, str) else home
        # Several processes run one graph: an agent is a node of this store, not of every store.
        self._suffix = "" if home == "memory://" else "." + secrets.token_hex(3)
        # A workspace in memory goes by a clock without an epoch, every other by a wall clock.
        timeless = self.workspace.identity.startswith("memory-")
        self._epoch = time.time() - time.monotonic() if timeless else 0.0  # noqa: TID251 - shown
        self._times = lru_cache(maxsize=65_536)(self._times_of)
        if self.inner is not None:
            self.supports_ttl, self.ttl_config = self.inner.supports_ttl, self.inner.ttl_config
        self._on_conflict, self._turn = on_conflict, threading.RLock()
        self._agents: dict[str, tuple[Agent, Any]] = {}
        self._readers: WeakKeyDictionary[Any, _Reader] = WeakKeyDictionary()
        self._bound: _Reader | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.inner, name)

    def as_agent(self, name: str) -> CoherentStore:
        """The same store for one agent outside a graph, which is then one task of its own.

        Raises `InvalidName`.
        """
        twin = copy.copy(self)
        twin._bound = _Reader(*self.member(name), None, {})
        return twin

    def resolve(self, ref: str) -> CoherentItem:
        """The version that `ref` names, as it was.  A put that follows is derived from it.

        Raises `UnknownArtifact`, `UnknownVersion`, `BadRef`.
        """
        who, wanted = self._who(), Ref.parse(ref)
        with who.lock:
            view = who.agent.read(wanted.name, version=wanted.version)
            who.bases[wanted.name] = wanted.version
        return CoherentItem(view, item_of(wanted.name), self._times(wanted.name, wanted.version))

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        return self._run(self._who(), list(ops))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        # A write may have to wait its turn, which must not stop the loop.
        return await asyncio.to_thread(self._run, self._who(), list(ops))

    def get(
        self, namespace: tuple[str, ...], key: str, *, refresh_ttl: bool | None = None
    ) -> Item | None:
        if self.supports_ttl:
            return super().get(namespace, key, refresh_ttl=refresh_ttl)
        who = self._bound or self._who()
        with who.lock:
            return self._get(who, (namespace, key))

    def _run(self, who: _Reader, ops: Sequence[Op]) -> list[Result]:
        """As the stores of LangGraph do: a batch reads first, in order, and then writes."""
        with who.lock:
            results = [None if isinstance(op, PutOp) else self._look(who, op) for op in ops]
            for op in ops:
                if isinstance(op, PutOp):
                    self._put(who, op)
        return results

    def _get(self, who: _Reader, place: Place, refresh_ttl: bool = True) -> CoherentItem | None:
        name = artifact_name(*place)
        view: View | None
        try:
            view = who.agent.read(name)
            if self.supports_ttl and self._ask(GetOp(*place, refresh_ttl)) is None:
                view = None
                with suppress(Conflict):
                    who.agent.delete(name)
        except UnknownArtifact:
            view = self._adopted(who, name, GetOp(*place, refresh_ttl))
        if view is None:
            who.bases[name] = 0
            return None
        version = who.bases[name] = view.ref.version
        if who.emit is not None:
            who.tell("hit" if view.served == "hit" else "fill", view.ref)
        return CoherentItem(view, place, self._times(name, version))

    def _adopted(self, who: _Reader, name: str, op: GetOp) -> View | None:
        """What the wrapped store held before we came; not what was deleted since."""
        if self.workspace.row(name) is not None or (item := self._ask(op)) is None:
            return None
        with suppress(Conflict):  # somebody else was faster
            who.agent.write(name, encoded(item.value), expect=0)
        return who.agent.read(name)

    def _ask(self, op: Op) -> Any:
        return self.inner.batch([op])[0] if self.inner is not None else None

    def _times_of(self, name: str, version: int) -> list[datetime]:
        """When the first version that is kept was made, and this one."""
        past = [e.at for e in self.workspace.history(name) if e.version <= version]
        return [datetime.fromtimestamp(at + self._epoch, UTC) for at in (past[0], past[-1])]

    def _put(self, who: _Reader, op: PutOp) -> None:
        name = artifact_name(op.namespace, op.key)
        base = None if self._on_conflict == "overwrite" else who.bases.get(name)
        content = None if op.value is None else encoded(op.value)
        while True:
            how: Any = {"expect": base, "overwrite": base is None}
            try:
                if content is None:
                    ref = who.agent.delete(name, **how)
                else:
                    ref = who.agent.write(name, content, **how)
                break
            except UnknownArtifact:  # nothing to delete, unless what was never ours
                if self.workspace.row(name) is None:
                    self._ask(op)
                return
            except Conflict as conflict:
                who.tell("conflict", conflict.current)
                content = merged(conflict) if content and self._on_conflict == "merge" else None
                if content is None:
                    raise
                base = conflict.current.version
        who.bases[name] = ref.version if content is not None else 0
        who.tell("publish", ref)
        self.pass_on(op, content, ref)

    def pass_on(self, op: PutOp, content: str | bytes | None, ref: Ref) -> None:
        """Tell the wrapped store, unless there is a newer version, whose writer tells it."""
        with self._turn:
            row = self.workspace.row(ref.name) if self.inner is not None else None
            if row is not None and row.row.state.version == ref.version:
                self._ask(op._replace(value=None if content is None else decoded(content)))

    def _look(self, who: _Reader, op: Op) -> Result:
        if isinstance(op, GetOp):
            return self._get(who, op[:2], op.refresh_ttl)
        found: Any = (self.inner or self._mirror(who, op)).batch([op])[0]
        if isinstance(op, SearchOp):
            items = [(self._get(who, (hit.namespace, hit.key), False), hit.score) for hit in found]
            return [SearchItem(**item.dict(), score=score) for item, score in items if item]
        return found  # type: ignore[no-any-return]

    def _mirror(self, who: _Reader, op: Op) -> BaseStore:
        """What of the workspace `op` looks at, as a store that can be searched."""
        labels = op.namespace_prefix if isinstance(op, SearchOp) else ()
        mirror, unseen = InMemoryStore(), who._replace(emit=None, bases={})
        for name in self.workspace.names("".join(quoted(label) + "/" for label in labels)):
            with suppress(coherence.InvalidContent):  # bytes of somebody else: not an item
                if item := self._get(unseen, item_of(name)):
                    mirror.batch([PutOp(item.namespace, item.key, item.value)])
        return mirror

    def _who(self) -> _Reader:
        config: Any = var_child_runnable_config.get(None) or {}
        task = config.get("configurable", {}).get(_TASK)
        if self._bound is not None or task is None:
            return self._bound or _Reader(*self.member(), None, {})
        if (reader := self._readers.get(task)) is None:
            made = _Reader(*self.member(), get_stream_writer(), {})
            reader = self._readers.setdefault(task, made)
        return reader

    def member(self, name: str | None = None, up: int = 0) -> tuple[Agent, Any]:
        """An agent, and the lock to hold meanwhile.  Without a name it is whom the running code
        belongs to: by what ``create_agent`` calls it, else by the path of nodes, less the last
        `up`.
        """
        if name is None:
            metadata = (var_child_runnable_config.get(None) or {}).get("metadata", {})
            path = metadata.get("langgraph_checkpoint_ns", "").split("|")
            nodes = [node.split(":")[0] for node in path if node and not node.isdigit()]
            named = metadata.get("lc_agent_name")
            parts = [named] if named else nodes[: len(nodes) - up] or ["outside"]
            name = "/".join(map(quoted, parts)) + self._suffix
        with self._turn:
            if name not in self._agents:
                self._agents[name] = (self.workspace.agent(name), threading.RLock())
            return self._agents[name]
