"""Searches and listings of a workspace's items, with the answers of LangGraph's own store; and how
a wrapped store is asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any

from langgraph.store import base
from langgraph.store.base import GetOp, ListNamespacesOp, Op, PutOp, Result, SearchOp
from langgraph.store.base.batch import AsyncBatchedBaseStore
from langgraph.store.memory import InMemoryStore

from coherence.context.items import Place
from coherence.context.mirror import Mirror, Shown
from coherence.context.values import quoted

#: The creation time of a hit, until the item replaces it.
_NEVER = datetime.fromtimestamp(0, UTC)


def found(mirror: Mirror, op: Op) -> Result:
    """The result of a search or a listing in the workspace of `mirror`."""
    if isinstance(op, SearchOp):
        under = "".join(quoted(label) + "/" for label in op.namespace_prefix)
        return mirror.ask(under, partial(_hits, op))
    return mirror.ask("", lambda items: _store_of((at, {}) for at in items).batch([op])[0])


def _hits(op: SearchOp, items: Shown) -> list[base.SearchItem]:
    """The hits of `InMemoryStore`, which would search every item each time."""
    prefix, filters = op.namespace_prefix, op.filter or {}
    plain = [(key, value) for key, value in filters.items() if not isinstance(value, dict)]
    there = (
        (at, value)
        for at, value in items.items()
        if at[0][: len(prefix)] == prefix and all(value.get(key) == want for key, want in plain)
    )
    if len(plain) < len(filters):
        return _store_of(there).batch([op])[0]  # type: ignore[return-value]
    page = islice(there, op.offset, op.offset + op.limit)
    return [base.SearchItem(*at, value, _NEVER, _NEVER) for at, value in page]


def _store_of(items: Iterable[tuple[Place, dict[str, Any]]]) -> InMemoryStore:
    store = InMemoryStore()
    store.batch([PutOp(*at, value) for at, value in items])
    return store


async def ask(inner: Any, ops: list[Any]) -> list[Any]:
    """Await `ops` on the wrapped store."""
    name, arguments, named = call_of(inner, ops)
    answer = await getattr(inner, f"a{name}")(*arguments, **named)
    return list(answer) if name == "batch" else [answer]


def call_of(inner: Any, ops: list[Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """The method for `ops` and its arguments; a batching store batches methods for single ops."""
    op = ops[0] if len(ops) == 1 and isinstance(inner, AsyncBatchedBaseStore) else None
    if isinstance(op, GetOp):
        return "get", (op.namespace, op.key), {"refresh_ttl": op.refresh_ttl}
    if isinstance(op, SearchOp):
        parts = ("filter", "limit", "offset", "query", "refresh_ttl")
        return "search", (op.namespace_prefix,), {part: getattr(op, part) for part in parts}
    if isinstance(op, ListNamespacesOp):
        given = op.match_conditions or ()
        ends: dict[str, Any] = {condition.match_type: condition.path for condition in given}
        if len(ends) == len(given):  # two of one kind: that has no method
            return "list_namespaces", (), ends | dict(zip(op._fields[1:], op[1:], strict=True))
    if isinstance(op, PutOp):
        if op.value is None:
            return "delete", (op.namespace, op.key), {}
        return "put", (op.namespace, op.key, op.value, op.index), {"ttl": op.ttl}
    return "batch", (ops,), {}
