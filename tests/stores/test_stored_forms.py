"""A change of what a store keeps is a change of the schema.

`data/forms-<schema>.txt` lists every struct that a row or a log line can hold, in its encoded form.
If this test fails, follow "Changing what a store keeps" in CONTRIBUTING.md.  With the raised schema
the test expects a file of the next number, which `--rewrite` makes.  A file that is there stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec import inspect

from coherence.contents import Handle
from coherence.stores import postgres_schema, schema
from coherence.stores.port import HomeRow, Post

DATA = Path(__file__).parent / "data"


def structs(kind: object, known: dict[str, inspect.StructType]) -> None:
    """Collect the structs that a value of `kind` can hold, by tag."""
    if isinstance(kind, inspect.StructType):
        if str(kind.tag) in known:
            assert known[str(kind.tag)].cls is kind.cls
            return
        known[str(kind.tag)] = kind
        for field in kind.fields:
            structs(field.type, known)
    elif isinstance(kind, inspect.UnionType):
        for each in kind.types:
            structs(each, known)
    elif isinstance(kind, inspect.VarTupleType):
        structs(kind.item_type, known)
    elif isinstance(kind, inspect.TupleType):
        for each in kind.item_types:
            structs(each, known)


def shape(kind: inspect.Type) -> str:
    """The encoded form of a type."""
    match kind:
        case inspect.StructType():
            return str(kind.tag)
        case inspect.UnionType():
            return " | ".join(sorted(map(shape, kind.types)))
        case inspect.VarTupleType():
            return f"[{shape(kind.item_type)}, ...]"
        case inspect.TupleType():
            return f"[{', '.join(map(shape, kind.item_types))}]"
        case inspect.EnumType():
            return f"one of {', '.join(sorted(str(each.value) for each in kind.cls))}"
    return type(kind).__name__.removesuffix("Type").lower()


def lines(kinds: list[object]) -> Iterator[str]:
    known: dict[str, inspect.StructType] = {}
    for kind in inspect.multi_type_info(kinds):
        structs(kind, known)
    for tag, struct in sorted(known.items()):
        yield f"{tag}, {'an array' if struct.array_like else 'a map'}"
        for field in struct.fields:
            default = "" if field.required else f" = {field.default!r}"
            yield f"    {field.encode_name}: {shape(field.type)}{default}"


def test_what_a_store_keeps_is_what_its_schema_says(rewrite):
    assert len(schema.MIGRATIONS) == postgres_schema.SCHEMA
    kept = DATA / f"forms-{postgres_schema.SCHEMA}.txt"
    now = "\n".join(lines([HomeRow, Post, Handle])) + "\n"
    if rewrite and not kept.exists():
        kept.write_text(now, encoding="utf-8")
    assert kept.exists(), "run: pytest tests/stores/test_stored_forms.py --rewrite"
    assert now == kept.read_text(encoding="utf-8"), (
        "raise SCHEMA: CONTRIBUTING.md, Changing what a store keeps"
    )


@pytest.mark.parametrize("number", range(1, postgres_schema.SCHEMA))
@pytest.mark.parametrize("kind", ["db", "sql"])
def test_a_store_of_every_older_schema_is_kept(number, kind):
    assert (DATA / f"schema-{number}.{kind}").exists(), (
        "write a store with the release before: CONTRIBUTING.md, Changing what a store keeps"
    )


class Inner(msgspec.Struct, tag=True, array_like=True):
    names: tuple[str, ...]


class Old(msgspec.Struct, tag="Kept"):
    inner: Inner
    count: int = 0


class Renamed(msgspec.Struct, tag="Kept"):
    inner: Inner
    number: int = 0


class Wider(msgspec.Struct, tag="Kept"):
    inner: Inner
    count: int | None = 0


class Longer(msgspec.Struct, tag="Kept"):
    inner: Inner
    count: int = 0
    more: bytes = b""


@pytest.mark.parametrize("changed", [Renamed, Wider, Longer])
def test_a_changed_struct_is_seen(changed):
    before = list(lines([Old]))
    assert before == [
        "Inner, an array",
        "    names: [str, ...]",
        "Kept, a map",
        "    inner: Inner",
        "    count: int = 0",
    ]
    assert list(lines([changed])) != before
