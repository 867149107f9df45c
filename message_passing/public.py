"""The public path of a class: tracebacks and `help` name the package that is imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TypeVar

import msgspec

T = TypeVar("T")


def publish(package: str, names: Iterable[str], namespace: Mapping[str, object]) -> None:
    """Have the listed classes of `package` name it as their module."""
    for name in names:
        if name in namespace:
            published(package, namespace[name])


def published(package: str, value: T) -> T:
    """`value`; if it is a class of a module within `package`, `package` is its module from now on.

    Structs keep their module: msgspec resolves their annotations by it.
    """
    if (
        isinstance(value, type)
        and value.__module__.startswith(f"{package}.")
        and not issubclass(value, msgspec.Struct | tuple | Enum)
        and not getattr(value, "_is_protocol", False)
    ):
        value.__module__ = package
    return value
