"""Artifacts that hold a JSON value: write, read, change and compare it.

::

    from coherence.workspace import json

    agent.write("plan.json", json.encode({"steps": []}))
    before = agent.read("plan.json")
    agent.update("plan.json", json.applied(lambda plan: {**plan, "done": True}))
    after = agent.read("plan.json")
    json.decode(after)["done"]
    json.patch(before, after)  # [{"op": "add", "path": "/done", "value": True}]

The functions convert between texts and values, so they serve both threads and tasks.  Equal values
have one text, with a line for each scalar and keys in order.  So differences and merges of texts
follow values, and equal values make equal artifacts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, TypeAlias

import msgspec

from coherence.errors import InvalidContent
from coherence.view import View
from message_passing.errors import EnvironmentFault

Patch: TypeAlias = list[dict[str, Any]]
"""A JSON Patch (RFC 6902)."""

_encode = msgspec.json.Encoder(order="deterministic").encode


class NotJson(InvalidContent):
    """A value that JSON cannot represent exactly, or a text that is not JSON."""

    remedy = "dicts with text keys, lists, text, finite numbers, booleans and None"


def encode(value: Any) -> str:
    """The text of `value`.  Raises `NotJson` for a value that would not survive the round trip."""
    try:
        data = _encode(value)
        # The encoder converts silently: a tuple to a list, NaN to null, a date to text.
        if msgspec.json.decode(data) != value:
            raise NotJson(f"JSON cannot represent this {type(value).__name__} exactly")
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise NotJson(f"JSON cannot represent {type(value).__name__}: {error}") from error
    return msgspec.json.format(data.decode(), indent=2) + "\n"


def decode(source: View | str) -> Any:
    """The value that a view or a text holds.  Raises `NotJson`, `InvalidContent` for bytes."""
    text = source.text if isinstance(source, View) else source
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        name = str(source.ref) if isinstance(source, View) else "the text"
        raise NotJson(f"{name} is not JSON: {error}") from error


def applied(function: Callable[[Any], Any], initial: Any = None) -> Callable[[str], Any]:
    """For `update`: replaces the value by ``function(value)``; a new artifact has `initial`.

    `function` may mutate its argument, and must return the new value; for an async agent it may be
    a coroutine function.  Raises `NotJson`.
    """
    first = encode(initial)

    def apply(text: str) -> str | Awaitable[str]:
        made = function(decode(text or first))
        return _awaited(made) if isawaitable(made) else encode(made)

    return apply


def patch(old: View | str, new: View | str) -> Patch:
    """The patch from `old` to `new`, value by value; one replacement of everything if shorter.

    Raises `NotJson`, and `EnvironmentFault` if jsonpatch is not installed.
    """
    try:
        import jsonpatch
    except ImportError as error:
        raise EnvironmentFault(
            "jsonpatch is not installed", remedy="pip install jsonpatch"
        ) from error
    before, after = decode(old), decode(new)
    made = jsonpatch.make_patch(before, after)
    operations: Patch = made.patch
    whole: Patch = [{"op": "replace", "path": "", "value": after}]
    exact = _encode(made.apply(before)) == _encode(after)
    return operations if exact and len(_encode(operations)) < len(_encode(whole)) else whole


async def _awaited(made: Awaitable[Any]) -> str:
    return encode(await made)
