"""Functions that the user's modules have under names of their own: ``from threading import Lock``.

What stands in for a function during a run has to stand there too.  A module that is imported during
a run gets the stand-in itself, as ``__wrapped__`` tells; it gets the function back here.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from coherence.testing.frames import is_module_of_users
from coherence.testing.instead import Replaced

Place = tuple[ModuleType, str, Any]

#: Of no other value is anything asked: it may do as it likes with that.
_KINDS = {FunctionType, BuiltinFunctionType, type}

#: How many modules there were at the last search, and what was found.
_last: tuple[int, list[Place]] = (-1, [])


def imported(replaced: Sequence[Replaced]) -> list[Replaced]:
    """The same for the names in the user's modules, where a function of a module is replaced."""
    functions = {
        vars(where)[name]: what for where, name, what in replaced if isinstance(where, ModuleType)
    }
    return [(module, name, functions[plain]) for module, name, plain in _places(functions)]


def _places(functions: Mapping[Any, Any]) -> list[Place]:
    global _last
    if _last[0] != len(sys.modules):
        modules = [each for each in list(sys.modules.values()) if is_module_of_users(each)]
        found = []
        for module in modules:
            for name, value in list(vars(module).items()):
                plain = value.__dict__.get("__wrapped__") if type(value) is FunctionType else value
                if type(plain) in _KINDS and plain in functions:
                    setattr(module, name, plain)
                    found.append((module, name, plain))
        _last = len(sys.modules), found
    return _last[1]
