"""Replaces attributes and items for the time of a block."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import starmap
from operator import call, setitem
from typing import Any, NamedTuple, TypeAlias


class Container(NamedTuple):
    """A dictionary or a list, as the place of a value."""

    many: Any


class Slots(NamedTuple):
    """An object with slots, as the place of a value: the keys are the members of its class."""

    of: Any


Replaced: TypeAlias = tuple[Any, Any, Any]
"""A place, or an object; a key, or the name of an attribute; its value in the block."""


def put(where: Any, key: Any, what: Any) -> None:
    """Have `what` there."""
    call(*_putting(where, key, what))


def instead(where: Any, name: str, what: Any) -> AbstractContextManager[None]:
    """Until the end of the block, ``where.name`` is `what`."""
    return all_instead([(where, name, what)])


@contextmanager
def all_instead(replaced: Sequence[Replaced]) -> Iterator[None]:
    """Until the end of the block, each of these attributes and items has that value."""
    # Each `deque` is one call into C, which an interrupt cannot divide.
    puts = starmap(call, [_putting(*each) for each in replaced])
    put_back = starmap(call, [_putting_back(where, key) for where, key, _ in replaced])
    try:
        deque(puts, maxlen=0)
        yield
    finally:
        deque(put_back, maxlen=0)


def _putting(where: Any, key: Any, what: Any) -> tuple[Any, ...]:
    """A call that has `what` there: a function and its arguments."""
    if type(where) is Container:
        return setitem, where.many, key, what
    if type(where) is Slots:
        return key.__set__, where.of, what
    return setattr, where, key, what


def _putting_back(where: Any, key: Any) -> tuple[Any, ...]:
    """A call that cannot fail, and has there what is there now."""
    if type(where) is Slots:
        return key.__set__, where.of, key.__get__(where.of)
    if type(where) is not Container:
        value = vars(where)[key] if hasattr(where, "__dict__") else getattr(where, key)
        return setattr, where, key, value
    many = where.many
    if not isinstance(many, dict):  # in the block it may become shorter
        return setitem, many, slice(None), list(many)
    return (setitem, many, key, many[key]) if key in many else (many.pop, key, None)
