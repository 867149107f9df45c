"""The kinds of machine that are loaded: those of this package and of the application.

A class of machines with a `name` of its own is modelled and simulated under this name once its
module is imported: the commands `specs` and `causal` have an option ``--import MODULE``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from causal.machine import Machine

HINT: Final = "or import the module that defines it; a command does with --import MODULE"
"""What to do about an unknown name, after the known ones."""


def kinds() -> Iterator[type[Machine[Any]]]:
    """Every class of machines whose module is loaded and that has a name of its own."""
    waiting: list[type[Machine[Any]]] = Machine.__subclasses__()
    while waiting:
        kind = waiting.pop()
        if "name" in vars(kind):
            yield kind
        waiting += kind.__subclasses__()


def kind_of(name: str) -> type[Machine[Any]] | None:
    """The kind of machine of that name, or None if there is not exactly one."""
    found = {kind for kind in kinds() if kind.name == name}
    return found.pop() if len(found) == 1 else None
