"""Lets the calls of agents be traced, at no cost to those of a workspace without a tracer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias
from weakref import WeakMethod

Traced: TypeAlias = Callable[[Any, Any], Any]
"""Given an agent object and its operations, the operations that trace its calls."""


class Tracing:
    """What the calls of one agent are made through, and its objects, which must know of it."""

    def __init__(self) -> None:
        #: The innermost first.
        self.traced: list[Traced] = []
        self._objects: list[WeakMethod[Callable[[Traced], object]]] = []

    def begin(self, traced: Traced) -> None:
        """From now on, calls are made through `traced` too, before those that have begun."""
        self.traced.append(traced)
        for each in self._objects:
            if (change := each()) is not None:
                change(traced)

    def inform(self, change: Callable[[Traced], object]) -> None:
        """Call `change`, a method of an agent object, now if calls are traced, and later."""
        self._objects = [each for each in self._objects if each() is not None]
        self._objects.append(WeakMethod(change))
        for traced in self.traced:
            change(traced)
