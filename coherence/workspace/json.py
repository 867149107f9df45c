"""Artifacts that hold a JSON value: write one, read it, change it, and say what changed in it.

::

    from coherence.workspace import json

    agent.write("plan.json", json.encode({"steps": []}))
    before = agent.read("plan.json")
    agent.update("plan.json", json.applied(lambda plan: {**plan, "done": True}))
    after = agent.read("plan.json")
    json.decode(after)["done"]
    json.patch(before, after)  # [{"op": "add", "path": "/done", "value": True}]

They go between texts and values, so they serve threads and tasks alike.  Equal values have one
text, a line for each scalar and keys in order: what a text's difference or its merge goes by are
values then, and who writes an equal value writes an equal artifact.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, TypeAlias

import msgspec

from coherence.errors import InvalidContent
from coherence.workspace.view import View
from message_passing.errors import EnvironmentFault

Patch: TypeAlias = list[dict[str, Any]]
"""A JSON Patch (RFC 6902)."""

_encode = msgspec.json.Encoder(order="deterministic").encode


class NotJson(InvalidContent):
    """A value that JSON does not hold as it is, or a text that is no JSON."""

    remedy = "dicts with text keys, lists, text, finite numbers, booleans and None"


def encode(value: Any) -> str:
    """The text of `value`.  Raises `NotJson` for what would come back as something else."""
    try:
        data = _encode(value)
        # Much is taken for its nearest kin: a tuple for a list, NaN for null, a date for its text.
        if msgspec.json.decode(data) != value:
            raise NotJson(f"JSON does not hold this {type(value).__name__} as it is")
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise NotJson(f"{type(value).__name__} has no form in JSON: {error}") from error
    return msgspec.json.format(data.decode(), indent=2) + "\n"


def decode(source: View | str) -> Any:
    """The value that a view or a text holds.  Raises `NotJson`, `InvalidContent` for bytes."""
    text = source.text if isinstance(source, View) else source
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        name = str(source.ref) if isinstance(source, View) else "the text"
        raise NotJson(f"{name} is no JSON: {error}") from error


def applied(function: Callable[[Any], Any], initial: Any = None) -> Callable[[str], Any]:
    """For `update`: puts ``function(value)`` in the value's place; a new artifact has `initial`.

    `function` may change what it is given, and returns the value in any case; for an agent of tasks
    it may be a coroutine function.  Raises `NotJson`.
    """
    first = encode(initial)

    def apply(text: str) -> str | Awaitable[str]:
        made = function(decode(text or first))
        return _awaited(made) if isawaitable(made) else encode(made)

    return apply


def patch(old: View | str, new: View | str) -> Patch:
    """What makes `new` from `old`, value by value; the whole of it where that is shorter.

    Raises `NotJson`, and `EnvironmentFault` where jsonpatch is not installed.
    """
    try:
        import jsonpatch
    except ImportError as error:
        raise EnvironmentFault(
            "jsonpatch is not installed", remedy="pip install 'artifact-coherence[json]'"
        ) from error
    before, after = decode(old), decode(new)
    made = jsonpatch.make_patch(before, after)
    operations: Patch = made.patch
    whole: Patch = [{"op": "replace", "path": "", "value": after}]
    exact = _encode(made.apply(before)) == _encode(after)
    return operations if exact and len(_encode(operations)) < len(_encode(whole)) else whole


async def _awaited(made: Awaitable[Any]) -> str:
    return encode(await made)
