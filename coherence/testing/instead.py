"""Replaces attributes for the time of a block."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import starmap
from typing import Any, TypeAlias

Replaced: TypeAlias = tuple[Any, str, Any]
"""An object or a module, the name of an attribute, and its value in the block."""


def instead(where: Any, name: str, what: Any) -> AbstractContextManager[None]:
    """Until the end of the block, ``where.name`` is `what`."""
    return all_instead([(where, name, what)])


@contextmanager
def all_instead(replaced: Sequence[Replaced]) -> Iterator[None]:
    """Until the end of the block, each of these attributes has that value."""
    # Each `deque` is one call into C, which an interrupt cannot divide.
    put_back = starmap(setattr, [(where, name, vars(where)[name]) for where, name, _ in replaced])
    try:
        deque(starmap(setattr, replaced), maxlen=0)
        yield
    finally:
        deque(put_back, maxlen=0)
