"""The arguments of a model's call, made from its signature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from coherence.errors import BadArgument


def arguments_of(call: Callable[..., object], *, strict: bool = False) -> type[BaseModel]:
    """The arguments of a call, as a type; with `strict` it refuses others."""
    taken = signature(call, eval_str=True).parameters.values()
    fields: Any = {
        p.name: (p.annotation, ... if p.default is p.empty else p.default) for p in taken
    }
    extra = ConfigDict(extra="forbid") if strict else None
    return create_model(call.__name__, __config__=extra, **fields)


def given_to(form: type[BaseModel], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by name, each with its type.  Raises `BadArgument`, which names the wrong."""
    try:
        return dict(form(**arguments))
    except ValidationError as error:
        wrong = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise BadArgument("; ".join(wrong), remedy="mend them, and call again") from error


def schema_of(form: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema, without titles, which repeat names, and without nulls: prompts have it."""
    schema: dict[str, Any] = _short(form.model_json_schema())
    return schema


def _short(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_short(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        key: _short(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str)) and not (key == "default" and not value)
    }
    kinds = kept.get("anyOf", ())
    if len(kinds) == 2 and kinds[1] == {"type": "null"}:
        del kept["anyOf"]
        kept |= kinds[0]
    return kept
