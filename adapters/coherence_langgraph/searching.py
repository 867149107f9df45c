"""Searches and listings of a workspace's items, with the answers of LangGraph's own store."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any

from langgraph.store import base
from langgraph.store.base import Op, PutOp, Result, SearchOp
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
