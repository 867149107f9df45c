"""A canonical encoding of states, and digests of sets of states.

The encoding of a value depends neither on the engine nor on the process (PYTHONHASHSEED, the order
of a set), and equal values have equal encodings.  It is a tag of one letter, the length of the rest
in decimal digits, a colon, and the rest:

===  =========================================================  ==================================
tag  values                                                     the rest
===  =========================================================  ==================================
z    None                                                       nothing
n    int, bool, float, Fraction, Decimal                        numerator/denominator, inf or -inf
s    str                                                        UTF-8
b    bytes                                                      themselves
t    tuple, named tuple                                         the encodings of the parts
f    frozenset                                                  those of the members, sorted
m    a hashable mapping                                         those of (key, value) pairs, sorted
e    a member of an Enum that is neither a number nor a text    encodings of class and name
r    a dataclass or a msgspec Struct                            encodings of class and fields
===  =========================================================  ==================================

Fields that a dataclass does not compare are left out.  A class is the text "module:qualified name".
Values of other types are refused: nothing says which of their attributes make them equal.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import fields
from enum import Enum
from hashlib import blake2b
from typing import Any

from specs.checker.errors import ModelError

#: Bytes of a digest.
SIZE = 16
#: Encodings of the parts of states that are remembered; forgotten all at once beyond that.
MEMO_MAX = 1 << 18


def encode(value: Any) -> bytes:
    """The canonical encoding.  Raises `ModelError` for a value that has none."""
    tag, rest = _parts(value)
    return b"%s%d:%s" % (tag, len(rest), rest)


def _parts(value: Any) -> tuple[bytes, bytes]:
    if value is None:
        return b"z", b""
    if isinstance(value, str):
        return b"s", str.__str__(value).encode("utf-8", "surrogatepass")
    if isinstance(value, bytes):
        return b"b", value
    if hasattr(value, "as_integer_ratio"):
        return b"n", _number(value)
    if isinstance(value, tuple):
        return b"t", b"".join(map(encode, value))
    if isinstance(value, frozenset):
        return b"f", b"".join(sorted(map(encode, value)))
    if isinstance(value, Mapping):
        return b"m", b"".join(sorted(map(encode, value.items())))
    kind: Any = type(value)
    name = encode(f"{kind.__module__}:{kind.__qualname__}")
    if isinstance(value, Enum):
        return b"e", name + encode(value.name)
    if kind.__hash__ is object.__hash__:  # equal to itself alone
        raise _no_form(value)
    if hasattr(kind, "__dataclass_fields__"):
        compared = [field.name for field in fields(value) if field.compare]
    elif hasattr(kind, "__struct_fields__"):
        compared = list(kind.__struct_fields__)
    else:
        raise _no_form(value)
    return b"r", name + b"".join(encode(getattr(value, each)) for each in compared)


def _number(value: Any) -> bytes:
    try:
        return b"%d/%d" % value.as_integer_ratio()
    except OverflowError:
        return b"inf" if value > 0 else b"-inf"
    except ValueError:
        raise _no_form(value) from None


def _no_form(value: Any) -> ModelError:
    return ModelError(
        f"a state holds {value!r}, and a {type(value).__name__} has no canonical form",
        remedy="build states from numbers, texts, tuples, frozensets, enums and dataclasses",
    )


def digest(value: Any) -> str:
    """The BLAKE2b digest of the encoding, in hexadecimal digits."""
    return blake2b(encode(value), digest_size=SIZE).hexdigest()


def digest_of_set(states: Iterable[Hashable]) -> str:
    """The digest of different states in any order: the sum of their digests modulo 2**128.

    A sum of digests detects mistakes.  It does not stop a forger.
    """
    memo: dict[Any, bytes] = {}
    total = 0
    for state in states:
        if type(state) is tuple:
            if len(memo) > MEMO_MAX:
                memo.clear()
            rest = b"".join(
                [memo.get(part) or memo.setdefault(part, encode(part)) for part in state]
            )
            encoding = b"t%d:%s" % (len(rest), rest)
        else:
            encoding = encode(state)
        total += int.from_bytes(blake2b(encoding, digest_size=SIZE).digest(), "big")
    return f"{total % (1 << 8 * SIZE):0{2 * SIZE}x}"
