"""A forked child cannot use a workspace of its parent: connections and locks are the parent's."""

from __future__ import annotations

import os
from typing import Any, Protocol
from weakref import WeakSet

from coherence.errors import UsedAfterFork
from coherence.stores.port import Store


class Disowned(Protocol):
    """An object that is told that it is now in a child process."""

    def _disown(self) -> None: ...


_OPEN: WeakSet[Any] = WeakSet()
#: Objects that a child process must neither use nor finalise.
_OF_PARENT: list[Any] = []


def tell(workspace: Disowned) -> None:
    """Call its `_disown` in each child process of this one."""
    _OPEN.add(workspace)


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


def _after_fork() -> None:
    for workspace in list(_OPEN):
        workspace._disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
