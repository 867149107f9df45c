"""One value, one sequence of bytes, in every run and on every machine: for digests and traces.

msgspec's own deterministic order cannot sort a set of structs, and sorts a set of sets by a partial
order.  Here the elements of every set are ordered by their own canonical bytes.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from message_passing.errors import CallerError

_encode = msgspec.msgpack.Encoder().encode
_ATOMS = frozenset({str, int, float, bool, bytes, type(None)})


class Unencodable(CallerError):
    """A value has a part without a wire form, such as a lone surrogate or a huge integer."""

    remedy = "use text that is valid Unicode, integers of 64 bits, and the types of the schema"


def plain(value: Any) -> Any:
    """`value` in lists, dicts and scalars, sets sorted; structs carry their tag as `type`."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if isinstance(value, msgspec.Struct):
        config = value.__struct_config__
        tagged = {} if config.tag is None else {config.tag_field or "type": config.tag}
        names = value.__struct_fields__
        return tagged | {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, tuple | list):
        return [plain(element) for element in value]
    if isinstance(value, frozenset | set):
        return sorted((plain(element) for element in value), key=_encode)
    if isinstance(value, dict):
        pairs = [[plain(key), plain(item)] for key, item in value.items()]
        return sorted(pairs, key=_encode)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return value  # an enum, a date, a decimal: msgspec encodes or refuses it


def canonical(value: Any) -> bytes:
    """The canonical msgpack bytes of `value`.  Raises `Unencodable`."""
    try:
        return _encode(plain(value))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Unencodable(f"no canonical form for {type(value).__name__}: {error}") from error


def digest(value: Any) -> str:
    """Sixteen hexadecimal digits: blake2b of the canonical bytes, cut to eight bytes."""
    return blake2b(canonical(value), digest_size=8).hexdigest()
