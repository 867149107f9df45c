"""Test functions as plain functions: run again and again in one process, without a collection.

For judges of mutants, which put hundreds of changes before the same tests.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import product
from types import ModuleType
from typing import Any

import pytest

Call = tuple[str, Callable[..., Any], Mapping[str, Any]]


@cache
def calls(module: ModuleType) -> tuple[Call, ...]:
    """Every test of `module` whose arguments are all parametrized: name, function, arguments.

    Left out are tests with fixtures, tests that Hypothesis draws, and slow tests.
    """
    return tuple(
        (f"{module.__name__}::{name}", function, arguments)
        for name, function in vars(module).items()
        if name.startswith("test_") and inspect.isfunction(function)
        if not hasattr(function, "hypothesis")
        for arguments in _arguments(function)
        if arguments.keys() == inspect.signature(function).parameters.keys()
    )


def _arguments(function: Callable[..., Any]) -> Iterator[Mapping[str, Any]]:
    marks = getattr(function, "pytestmark", [])
    if any(mark.name in ("slow", "skip", "skipif") for mark in marks):
        return
    choices = []
    for mark in marks:
        if mark.name == "parametrize":
            names, values = mark.args[:2]
            named = names.split(",") if isinstance(names, str) else names
            choices.append([_named([n.strip() for n in named], value) for value in values])
    for chosen in product(*choices):
        yield {name: value for part in chosen for name, value in part.items()}


def _named(names: list[str], value: Any) -> Mapping[str, Any]:
    values = value.values if isinstance(value, type(pytest.param())) else value
    if len(names) == 1 and values is value:
        values = (value,)
    return dict(zip(names, values, strict=True))


def failed(module: ModuleType) -> str:
    """The first of the `calls` of `module` that fails, or ""."""
    for name, function, arguments in calls(module):
        try:
            function(**arguments)
        except (Exception, pytest.fail.Exception):
            return name
    return ""
