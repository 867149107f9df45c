"""A tuple as a function from places to values, which TLA+ changes by EXCEPT."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def put(values: tuple[T, ...], place: int, value: T) -> tuple[T, ...]:
    """`values` with another value at `place`: ``[values EXCEPT ![place] = value]``."""
    return (*values[:place], value, *values[place + 1 :])
