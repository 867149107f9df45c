"""Replaces an attribute for the time of a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def instead(where: Any, name: str, what: Any) -> Iterator[None]:
    """Until the end of the block, ``where.name`` is `what`."""
    before = vars(where)[name]
    setattr(where, name, what)
    try:
        yield
    finally:
        setattr(where, name, before)
