"""A forked child cannot use a workspace of its parent: connections and locks are the parent's."""

from __future__ import annotations

from typing import Any

from coherence.errors import UsedAfterFork
from coherence.stores.port import Store

#: Objects that a child process must neither use nor finalise.
_OF_PARENT: list[Any] = []


def keep(*parts: object) -> None:
    """Prevent the finalisers of `parts` in this child process."""
    _OF_PARENT.append(parts)


class StoreOfParent:
    """Replaces the store in a child process: every call raises `UsedAfterFork`."""

    def __init__(self, store: Store, fault: UsedAfterFork) -> None:
        self.identity, self.shared, self.validates = store.identity, store.shared, store.validates
        self._fault = fault

    def __getattr__(self, name: str) -> object:
        raise self._fault.with_traceback(None)
