"""Forked children: what they share with their parent, and must not use.

A child has the files, connections and locks of its parent, and none of the threads.  An object that
owns some of these registers a method, which is called in the child at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import MethodType
from typing import Any, cast
from weakref import WeakKeyDictionary

_OWNERS: WeakKeyDictionary[Any, Callable[[Any], None]] = WeakKeyDictionary()
_count = 0


def in_children(disown: Callable[[], None]) -> None:
    """Call the bound method `disown` in each child of this process, while its object lives.

    One method of each object: another replaces it.
    """
    method = cast("MethodType", disown)
    _OWNERS[method.__self__] = method.__func__


def count() -> int:
    """How often this process has forked since it began."""
    return _count


def _in_parent() -> None:
    global _count
    _count += 1


def _in_child() -> None:
    for owner, disown in list(_OWNERS.items()):
        disown(owner)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_parent=_in_parent, after_in_child=_in_child)
