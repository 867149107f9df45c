"""A LangGraph store that compares each put with the version that its task has read.

The running task identifies the agent: its node's name is the agent's name.  The versions that the
task has read are remembered only while LangGraph keeps the task, and never by namespace.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from typing import Any, Self, TypeAlias

from langchain_core.runnables.config import var_child_runnable_config
from langgraph.store import base
from langgraph.store.base import GetOp, Op, PutOp, Result, SearchOp
from langgraph.store.base.batch import AsyncBatchedBaseStore

from coherence import BadArgument, Conflict, Ref, View, Workspace
from coherence.contents import Content
from coherence.context.block import ItemsBlock
from coherence.context.desk import Desk
from coherence.context.frameworks import FrameworkMissing
from coherence.context.items import Items, Labels, Place, Told
from coherence.context.mirror import Mirror
from coherence.context.reader import OnConflict, OnUnread, Reader
from coherence.context.references import versions_in
from coherence.context.steps import Beside, Here, Steps, carried_out
from coherence.context.values import decoded, encoded, item_of, name_of
from coherence.messages import Version
from coherence_langgraph.searching import ask, call_of, found

#: The callable that LangGraph makes for each task and drops with it, which identifies the task.  It
#: is not public, but the only object with the lifetime of a task: the public names would have to be
#: kept for ever, or dropped too early.
_TASK = "__pregel_read"


class CoherentItem(base.Item):
    """An item that knows its artifact and version."""

    __slots__ = ("_ref",)

    def __init__(self, view: View, place: Place, items: Items) -> None:
        self._ref, self.value = view.ref, decoded(view.content)
        self.namespace, self.key = place
        self.created_at, self.updated_at = items.dates.of(view.ref.name, view.ref.version)

    @property
    def ref(self) -> str:
        """The version, such as ``proj/plan.md@3``: for `ArtifactRefs`, `resolve` and tools."""
        return str(self._ref)


#: The remedy for a put that lost.
REMEDY = (
    "get the item again and redo the change: the node's RetryPolicy(retry_on=Conflict) does so; "
    'CoherentStore(..., on_conflict="merge") keeps both if different fields or lines changed'
)

Found: TypeAlias = CoherentItem | None

_Given: TypeAlias = tuple[PutOp, str, Content | None]
"""A put, the artifact of its item, and the new content."""


class CoherentStore(base.BaseStore):
    """Any store, coherent.

    `over` is the store to wrap, which keeps its index, TTL, filters and listing; or a workspace or
    its URL, which then holds everything, for all processes that open it.  If several processes
    share the wrapped store, they must also share a `workspace`.

    A put by a task that has read the item, or its absence, is a compare-and-set.  A put by any
    other task replaces, as in any store; with ``unread="raise"`` it is refused with `Unread`,
    unless the item or its ref is in the graph's state.  `on_conflict` decides about a put that
    lost: ``raise`` `Conflict`; ``merge`` if the two changed different fields or lines, and raise
    otherwise; ``overwrite``.  Outside a graph reads are remembered only with `as_agent`.  Raises
    `BadArgument`, and as `Workspace` does.
    """

    def __init__(
        self,
        over: base.BaseStore | Workspace | str,
        *,
        workspace: Workspace | str | None = None,
        on_conflict: OnConflict = "raise",
        unread: OnUnread = "replace",
    ) -> None:
        if isinstance(over, base.BaseStore):
            self.inner: base.BaseStore | None = over
            # A store may expire items without declaring it, as AsyncSqliteStore does.
            self.supports_ttl = over.supports_ttl or bool(over.ttl_config)
            self.ttl_config = over.ttl_config
            self.items = Items(workspace or "memory://", on_conflict, unread)
            self._owned = not isinstance(workspace, Workspace)
        elif workspace is None:
            self.inner, self.items = None, Items(over, on_conflict, unread)
            self._owned = not isinstance(over, Workspace)
        else:
            raise BadArgument("a store, and a workspace for it; or a workspace alone")
        self.workspace = self.items.workspace
        self._mirror = Mirror(self.workspace)
        self._bound: Reader | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or self.inner is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # A setting that the wrapped store alone has is set there: it would not be found here.
        inner = self.__dict__.get("inner")
        ours = name[0] == "_" or name in ("items", "workspace") or hasattr(type(self), name)
        where = self if ours or not hasattr(inner, name) else inner
        object.__setattr__(where, name, value)

    def setup(self) -> Any:
        """Call the wrapped store's `setup`, if it has one; await the result if that is a coroutine.

        A workspace is set up when it is opened.
        """
        return getattr(self.inner, "setup", lambda: None)()

    def close(self) -> None:
        """Close the workspace, unless it was passed in.  A wrapped store stays open.

        Does nothing on a closed store, or on one from `as_agent`.
        """
        if self._bound is None:
            self.items.close()
            if self._owned:
                self.workspace.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.items.aside.run(self.close)

    def as_agent(self, name: str) -> Self:
        """The same store for one agent outside a graph, which counts as one task.

        Raises `InvalidName`.
        """
        twin = copy.copy(self)
        twin._bound, twin._owned = Reader(Desk(self.workspace, name)), False
        return twin

    def transaction(self) -> Together:
        """The gets and puts of a block as one: ``with store.transaction() as together: ...``.

        They are all valid at the block's end, or none is made, and `Conflicts` tells the node to
        run again.  Nodes that await take ``async with``.  See `Together`.
        """
        return Together(self)

    def resolve(self, ref: str) -> CoherentItem:
        """The version that `ref` names.  A later put derives from it.

        Raises `UnknownArtifact`, `UnknownVersion`, `BadRef`.
        """
        wanted, who = Ref.parse(ref), self._bound or self._who()
        return CoherentItem(who.get_version(wanted), item_of(wanted.name), self.items)

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """As LangGraph's stores do, reads the batch's items first, in order, and then writes."""
        who, ops = self._bound or self._who(), list(ops)
        inner: Any = self.inner  # never used if there is no wrapped store
        if isinstance(inner, AsyncBatchedBaseStore) and asyncio._get_running_loop() is not None:
            inner.batch([])  # raises if it would block its own loop, before anything is published
        return carried_out(self._steps(who, ops), who.desk, self._ask_now)

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """See `batch`; the wrapped store is awaited, in the loop."""
        who, ops = self._bound or await self._awho(), list(ops)
        inner: Any = partial(ask, self.inner)
        who.sights.enter()
        try:
            return await self.items.aside.carried_out(self._steps(who, ops), who.desk, inner)
        finally:
            who.sights.enter()

    def get(self, namespace: Labels, key: str, *, refresh_ttl: bool | None = None) -> Found:
        who, name = self._bound or self._who(), _name(namespace, key)
        view = who.get(name)
        if self.inner is not None and (view is None or self.supports_ttl):
            beside = self.inner.get(namespace, key, refresh_ttl=refresh_ttl)
            with who.desk.busy:
                view = self.items.settle(who, name, view, getattr(beside, "value", None))
        return CoherentItem(view, (namespace, key), self.items) if view is not None else None

    async def aget(self, namespace: Labels, key: str, *, refresh_ttl: bool | None = None) -> Found:
        # A cached copy of the task is served in the loop, since that cannot block.
        who, name = self._bound or self.items.known(_running().get(_TASK)), _name(namespace, key)
        if who is not None and not self.supports_ttl and (view := who.at_once(name)) is not None:
            return CoherentItem(view, (namespace, key), self.items)
        found: Any = await super().aget(namespace, key, refresh_ttl=refresh_ttl)
        return found  # type: ignore[no-any-return]

    def _steps(self, who: Reader, ops: list[Op]) -> Steps[list[Result]]:
        """The steps of a batch."""
        puts = [
            (op, _name(*op[:2]), None if op.value is None else encoded(op.value))
            for op in ops
            if isinstance(op, PutOp)
        ]
        results: list[Any] = [None] * len(ops)
        looks = {i: op for i, op in enumerate(ops) if not isinstance(op, PutOp)}
        if looks:
            names = {i: _name(*op[:2]) for i, op in looks.items() if isinstance(op, GetOp)}
            views = yield Here(lambda _: {i: who.get(name) for i, name in names.items()})
            asked = [i for i in looks if self.supports_ttl or views.get(i) is None]
            found = yield self._asking(who, [looks[i] for i in asked])
            beside = dict(zip(asked, found, strict=True))
            made = yield Here(
                lambda _: {i: self._seen(who, looks[i], views.get(i), beside.get(i)) for i in looks}
            )
            for i in looks:
                results[i] = made[i]
        if puts:
            yield from self._putting(who, puts)
        return results

    def _ask_now(self, ops: list[Any]) -> list[Any]:
        """What the wrapped store has to say to `ops`, for a caller that blocks."""
        name, arguments, named = call_of(self.inner, ops)
        answer = getattr(self.inner, name)(*arguments, **named)
        return list(answer) if name == "batch" else [answer]

    def _asking(self, who: Reader, ops: list[Any]) -> Here | Beside:
        """The step that reads `ops` from the wrapped store, or else from the workspace."""
        if self.inner is not None and ops:
            return Beside(ops)
        return Here(
            lambda _: [None if isinstance(op, GetOp) else found(self._mirror, op) for op in ops]
        )

    def _seen(self, who: Reader, op: Op, view: View | None, beside: Any) -> Result:
        """The answer to `op`, from the workspace's `view` and the wrapped store's `beside`."""
        if isinstance(op, GetOp):
            place = op[:2]
            if self.inner is not None and (view is None or self.supports_ttl):
                value = getattr(beside, "value", None)
                view = self.items.settle(who, _name(*place), view, value)
            return CoherentItem(view, place, self.items) if view is not None else None
        if not isinstance(op, SearchOp):
            return beside  # type: ignore[no-any-return]
        hits: list[base.SearchItem] = []
        for hit in beside:
            name = _name(hit.namespace, hit.key)
            view = who.get(name)
            if self.inner is not None:  # the hit shows that the wrapped store has it
                view = self.items.settle(who, name, view, hit.value)
            if view is not None:
                item = CoherentItem(view, (hit.namespace, hit.key), self.items)
                hits.append(base.SearchItem(**item.dict(), score=hit.score))
        return hits

    def _putting(self, who: Reader, puts: list[_Given]) -> Steps[None]:
        """Publish as one, then update the wrapped store with what was published."""
        told: dict[str, Told] = {}
        of = {name: op for op, name, _ in puts}  # of one item the last
        given = {name: content for _, name, content in puts}
        refused: Exception | None = None
        with self.items.under_way([] if self.inner is None else of) as raced:
            if self.items.is_strict and self.inner is not None:
                yield from self.items.taking_over(who, of, _get)
            handed = {n: self._travels(n) if self.items.is_strict else 0 for n in of}
            try:
                yield from self.items.putting(who, given, handed, told)
            except Exception as error:
                refused = error
            if self.inner is not None:
                yield from self.items.telling(
                    who.desk, told, lambda name, value: of[name]._replace(value=value), raced
                )
        if isinstance(refused, Conflict):
            refused.remedy = REMEDY
        if refused is not None:
            raise refused

    def _travels(self, name: str) -> Version:
        """The oldest version of the item that is in the state of the running task's graph."""
        read: Any = _running().get(_TASK)
        # LangGraph passes the channels to that callable as its second argument.
        channels = getattr(read, "args", ())[1:2]
        state = read(list(channels[0])) if channels else {}
        return min(versions_in(state, name), default=0)

    def published(self, ref: Ref, text: str) -> None:
        """Note that `text` was published without the store, so that a wrapped store gets it too."""
        if self.inner is not None:
            desk, told = self.desk(up=1), {ref.name: (ref.version, text)}
            with self.items.under_way(told) as raced:
                steps = self.items.telling(desk, told, _put, raced)
                carried_out(steps, desk, self._ask_now)

    async def _awho(self) -> Reader:
        if (known := self.items.known(_running().get(_TASK))) is not None:
            return known
        return await self.items.aside.at_once(self.desk(), lambda _: self._who())

    def _who(self) -> Reader:
        if (task := _running().get(_TASK)) is not None:
            return self.items.reader(task, lambda: Reader(self.desk(), run()))
        if any(key.startswith("__pregel") for key in _running()):  # or no put would compare
            raise FrameworkMissing("this langgraph release does not identify its tasks")
        return Reader(self.desk(), alone=True)

    def desk(self, up: int = 0) -> Desk:
        """The desk of the agent to which the running code belongs.

        The agent's name is from ``create_agent``, else the path of nodes without the last `up`.
        """
        metadata = _running("metadata")
        path = metadata.get("langgraph_checkpoint_ns", "").split("|")
        nodes = [node.split(":")[0] for node in path if node and not node.isdigit()]
        named = list(filter(None, [metadata.get("lc_agent_name")]))
        return self.items.desk_of(named or nodes[: len(nodes) - up] or ["outside"], run())


class Together(ItemsBlock, base.BaseStore):
    """The store within the block of `CoherentStore.transaction`.

    What is got is the state of one moment, and a get raises `Conflicts` if something got before has
    moved.  Puts are published at the end of the block.  A put without a get replaces.  A search is
    refused, and a get of what the block has put: `BadArgument`.  `on_conflict` does not apply.  The
    author is an agent of the block, ``planner+1``.
    """

    def __init__(self, store: CoherentStore) -> None:
        ask = None if store.inner is None else store._ask_now
        super().__init__(store.items, store.desk(), run(), store._travels, ask)
        self._store = store

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        return [self._done(op) for op in ops]

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        return await self._store.items.aside.run(self.batch, list(ops))

    def _done(self, op: Op) -> Result:
        if not isinstance(op, GetOp | PutOp):
            raise BadArgument("a search cannot be part of a transaction", remedy="search before it")
        name = _name(*op[:2])
        if self._store.inner is not None and name not in self.puts:
            outside = self._store.items.desk_of(["outside"]).name
            self._store.as_agent(outside).get(*op[:2])  # takes over what only that store has
        if isinstance(op, PutOp):
            self.note(name, None if op.value is None else encoded(op.value), op)
            return None
        view = self.look(name)
        return CoherentItem(view, op[:2], self._store.items) if view is not None else None


def _get(name: str) -> GetOp:
    return GetOp(*item_of(name), refresh_ttl=False)


def _put(name: str, value: Mapping[str, Any] | None) -> PutOp:
    return PutOp(*item_of(name), None if value is None else dict(value))


def _running(part: str = "configurable") -> dict[str, Any]:
    """LangGraph's configuration of the running task, empty outside a graph."""
    return (var_child_runnable_config.get(None) or {}).get(part, {})  # type: ignore[return-value]


def run() -> Any:
    """The writer of events that LangGraph makes for each run of a graph, and drops with it."""
    return getattr(_running().get("__pregel_runtime"), "stream_writer", None)


@lru_cache(maxsize=65_536)
def _name(namespace: tuple[Any, ...], key: str) -> str:
    """The artifact of an item.  Raises `InvalidNamespaceError`."""
    if not all(isinstance(label, str) and label and "." not in label for label in namespace):
        raise base.InvalidNamespaceError(f"labels are text without periods, not {namespace!r}")
    return name_of(namespace, key)
