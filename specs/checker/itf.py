"""Paths in the Informal Trace Format (ITF, ADR-015 of Apalache), for other tools to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from specs.checker.result import Path

#: Integers beyond this do not survive JSON readers that use floating point.
SAFE_INTEGER = (1 << 53) - 1


DESCRIPTION = "https://apalache-mc.org/docs/adr/015adr-trace.html"


def itf(path: Path, variables: Sequence[str] = ("state",)) -> bytes:
    """The path as ITF JSON.

    With several `variables` a state is a tuple with one value each, as in a `Composite`.
    """
    states = []
    for index, moment in enumerate(path.moments):
        values = moment.state if len(variables) > 1 else (moment.state,)
        action = "" if moment.action is None else str(moment.action)
        state: dict[str, Any] = {"#meta": {"index": index, "action": action}}
        state.update(zip(variables, map(itf_value, values), strict=True))
        states.append(state)
    document: dict[str, Any] = {
        "#meta": {"format": "ITF", "format-description": DESCRIPTION},
        "vars": list(variables),
        "states": states,
    }
    if path.loop is not None:
        document["loop"] = path.loop
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def itf_value(value: Any) -> Any:
    """One value.  Sets are sorted by their text, so that equal paths give equal files."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)  # of an enum member, too
    if isinstance(value, int):
        value = int(value)
        return value if abs(value) <= SAFE_INTEGER else {"#bigint": str(value)}
    if hasattr(value, "_fields"):
        return _record(value, value._fields)
    if isinstance(value, tuple | list):
        return {"#tup": [itf_value(part) for part in value]}
    if isinstance(value, frozenset | set):
        return {"#set": [itf_value(part) for part in sorted(value, key=repr)]}
    if isinstance(value, Mapping):
        return {"#map": [[itf_value(k), itf_value(v)] for k, v in value.items()]}
    for fields in ("__struct_fields__", "__dataclass_fields__"):
        if hasattr(value, fields):
            return _record(value, getattr(value, fields))
    return {"#unserializable": repr(value)}


def _record(value: Any, fields: Any) -> dict[str, Any]:
    record = {"tag": type(value).__name__}
    record.update((name, itf_value(getattr(value, name))) for name in fields)
    return record
