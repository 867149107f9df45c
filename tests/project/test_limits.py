"""docs/limits.md tells each limit as the code has it, and leaves out none that a caller can set."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from pkgutil import resolve_name

import pytest
from msgspec import structs

from causal import AsyncEndpoint
from causal.transports.stream import StreamTransport
from coherence import Limits, Retention

PAGE = Path(__file__).parents[2] / "docs" / "limits.md"
UNITS = {
    "": 1,
    "characters": 1,
    "lines": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "s": 1,
    "min": 60,
    "day": 86_400,
}


def rows() -> list[tuple[str, str]]:
    """The value and the place of each limit, as the page has them."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    return [(row[1], row[-1].strip("`")) for row in cells if row[-1].startswith("`")]


def told(text: str) -> float | None:
    """The number that a value on the page stands for."""
    if text == "none":
        return None
    if text == "2^63 - 1":
        return 2**63 - 1
    number, unit = re.fullmatch(r"([\d,]+) ?(\w*)", text).groups()
    return int(number.replace(",", "")) * UNITS[unit]


def found(place: str) -> object:
    """The value at a place: a constant, the default of a field, or that of an argument."""
    dotted, _, argument = place.rstrip(")").partition("(")
    holder, _, last = dotted.rpartition(".")
    if argument:
        return inspect.signature(resolve_name(dotted)).parameters[argument].default
    value = resolve_name(holder)
    if isinstance(value, type):
        return next(field.default for field in structs.fields(value) if field.name == last)
    return getattr(value, last)


@pytest.mark.parametrize(("value", "place"), rows())
def test_a_limit_is_what_the_code_has(value, place):
    assert told(value) == found(place)


SETTABLE: set[object] = {
    *(f"coherence.contents.Limits.{name}" for name in Limits.__struct_fields__),
    *(f"coherence.stores.port.Retention.{name}" for name in Retention.__struct_fields__),
    *(
        (kind, name)
        for kind in (AsyncEndpoint, StreamTransport)
        for name in inspect.signature(kind).parameters
        if name.endswith("_max")
    ),
}


def test_every_limit_that_a_caller_can_set_is_on_the_page():
    documented: set[object] = set()
    for _, place in rows():
        dotted, _, argument = place.rstrip(")").partition("(")
        documented.add((resolve_name(dotted), argument) if argument else place)
    assert SETTABLE - documented == set()
