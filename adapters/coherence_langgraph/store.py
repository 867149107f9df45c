"""A LangGraph store whose put compares with what its task has read.

Who reads and writes is known from the running task: its node's name is the agent's, and what it has
read is remembered for as long as LangGraph keeps the task, never longer and never by namespace.
"""

import asyncio
import copy
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Self, TypeAlias

from langchain_core.runnables.config import var_child_runnable_config
from langgraph.store import base
from langgraph.store.base import GetOp, Op, PutOp, Result, SearchOp
from langgraph.store.memory import InMemoryStore

from coherence import BadArgument, Ref, View, Workspace
from coherence.context.desk import Desk
from coherence.context.frameworks import FrameworkMissing
from coherence.context.items import Items, Labels, PassOn, Place
from coherence.context.reader import OnConflict, Reader
from coherence.context.values import decoded, item_of, name_of

#: The callable that LangGraph makes for each task and drops with it: what a task is known by.  That
#: is no part of its interface, but the only thing that lives as long as a task does: what is public
#: are names, which would have to be kept for ever, or dropped too early.
_TASK = "__pregel_read"


class CoherentItem(base.Item):
    """An item that knows which version of which artifact it is."""

    __slots__ = ("_ref",)

    def __init__(self, view: View, place: Place, items: Items) -> None:
        self._ref, self.value = view.ref, decoded(view.content)
        self.namespace, self.key = place
        self.created_at, self.updated_at = items.dates.of(view.ref.name, view.ref.version)

    @property
    def ref(self) -> str:
        """The version, such as ``proj/plan.md@3``: for `ArtifactRefs`, `resolve` and tools."""
        return str(self._ref)


Found: TypeAlias = CoherentItem | None


class CoherentStore(base.BaseStore):
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
        over: base.BaseStore | Workspace | str,
        *,
        workspace: Workspace | str | None = None,
        on_conflict: OnConflict = "raise",
    ) -> None:
        if isinstance(over, base.BaseStore):
            self.inner: base.BaseStore | None = over
            self.supports_ttl, self.ttl_config = over.supports_ttl, over.ttl_config
            self.items = Items(workspace or "memory://", on_conflict)
        elif workspace is None:
            self.inner, self.items = None, Items(over, on_conflict)
        else:
            raise BadArgument("a store, and a workspace for it; or a workspace alone")
        self.workspace = self.items.workspace
        self._bound: Reader | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.inner, name)

    def as_agent(self, name: str) -> Self:
        """The same store for one agent outside a graph, which is then one task of its own.

        Raises `InvalidName`.
        """
        twin = copy.copy(self)
        twin._bound = Reader(Desk(self.workspace, name))
        return twin

    def resolve(self, ref: str) -> CoherentItem:
        """The version that `ref` names, as it was.  A put that follows is derived from it.

        Raises `UnknownArtifact`, `UnknownVersion`, `BadRef`.
        """
        wanted, who = Ref.parse(ref), self._bound or self._who()
        return CoherentItem(who.get_version(wanted), item_of(wanted.name), self.items)

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """As the stores of LangGraph do: a batch reads first, in order, and then writes."""
        who, ops = self._bound or self._who(), list(ops)
        with who.desk.turn:
            results = [None if isinstance(op, PutOp) else self._look(who, op) for op in ops]
            for op in ops:
                if isinstance(op, PutOp):
                    self.items.put(who, _name(*op[:2]), op.value, self._pass_on(op))
        return results

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        # A write may have to wait its turn, and the wrapped store for its disk: not in the loop.
        return await asyncio.to_thread(self.batch, list(ops))

    def get(self, namespace: Labels, key: str, *, refresh_ttl: bool | None = None) -> Found:
        return self._get(self._bound or self._who(), (namespace, key), refresh_ttl)

    async def aget(self, namespace: Labels, key: str, *, refresh_ttl: bool | None = None) -> Found:
        # A copy of the task's own is served in the loop: that waits for nobody.
        who, name = self._bound or self.items.known(_running().get(_TASK)), _name(namespace, key)
        if who is not None and not self.supports_ttl and (view := who.at_once(name)) is not None:
            return CoherentItem(view, (namespace, key), self.items)
        return await asyncio.to_thread(self.get, namespace, key, refresh_ttl=refresh_ttl)

    def _get(self, who: Reader, place: Place, refresh: bool | None = None) -> Found:
        name = _name(*place)
        view = who.get(name)
        if self.inner is not None and (view is None or self.supports_ttl):
            beside = self.inner.get(*place, refresh_ttl=refresh)
            view = self.items.settle(who, name, view, getattr(beside, "value", None))
        return CoherentItem(view, place, self.items) if view is not None else None

    def _pass_on(self, op: PutOp) -> PassOn | None:
        inner = self.inner
        return None if inner is None else lambda value: inner.batch([op._replace(value=value)])

    def published(self, ref: Ref, text: str) -> None:
        """Say that `text` was published past the store, so that a wrapped store has it too."""
        self.items.published(ref, text, self._pass_on(PutOp(*item_of(ref.name), None)))

    def _look(self, who: Reader, op: Op) -> Result:
        if isinstance(op, GetOp):
            return self._get(who, op[:2], op.refresh_ttl)
        found: Any = (self.inner or self._mirror(who, op)).batch([op])[0]
        if isinstance(op, SearchOp):
            items = [(self._get(who, (hit.namespace, hit.key), False), hit.score) for hit in found]
            return [base.SearchItem(**item.dict(), score=score) for item, score in items if item]
        return found  # type: ignore[no-any-return]

    def _mirror(self, who: Reader, op: Op) -> base.BaseStore:
        """What of the workspace `op` looks at, as a store that can be searched."""
        labels = op.namespace_prefix if isinstance(op, SearchOp) else ()
        mirror = InMemoryStore()
        mirror.batch([PutOp(*at, dict(value)) for at, value in self.items.values(who.desk, labels)])
        return mirror

    def _who(self) -> Reader:
        if (task := _running().get(_TASK)) is not None:
            return self.items.reader(task, lambda: Reader(self.desk(), run()))
        if any(key.startswith("__pregel") for key in _running()):  # else no put would compare
            raise FrameworkMissing("this langgraph does not tell its tasks apart")
        return Reader(self.desk())

    def desk(self, up: int = 0) -> Desk:
        """Where the agent works whom the running code belongs to.

        It has the name that ``create_agent`` gave it, else the path of nodes, less the last `up`.
        """
        metadata = _running("metadata")
        path = metadata.get("langgraph_checkpoint_ns", "").split("|")
        nodes = [node.split(":")[0] for node in path if node and not node.isdigit()]
        named = list(filter(None, [metadata.get("lc_agent_name")]))
        return self.items.desk_of(named or nodes[: len(nodes) - up] or ["outside"], run())


def _running(part: str = "configurable") -> dict[str, Any]:
    """What LangGraph says of the running task, nothing outside a graph."""
    return (var_child_runnable_config.get(None) or {}).get(part, {})  # type: ignore[return-value]


def run() -> Any:
    """The writer of events that LangGraph makes for each run of a graph, and drops with it."""
    return getattr(_running().get("__pregel_runtime"), "stream_writer", None)


@lru_cache(maxsize=65_536)
def _name(namespace: tuple[Any, ...], key: str) -> str:
    """The artifact that an item is.  Raises `InvalidNamespaceError`."""
    if not all(isinstance(label, str) and label and "." not in label for label in namespace):
        raise base.InvalidNamespaceError(f"labels are text without periods, not {namespace!r}")
    return name_of(namespace, key)
