"""For the API reference: what griffe, which reads the source, does not see by itself.

- Docstrings as Markdown: their literal blocks become fences, their roles code.
- Comments that begin with ``#:`` are docstrings of attributes.
- The fields of a `msgspec.Struct` are the arguments of its constructor.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import Any

import griffe

_LITERAL = re.compile(r"(?P<words>[^\n]*)::\n\n(?P<block>(?:[ ]+[^\n]*\n?|\n)+)")
_ROLE = re.compile(r":\w+:`~?([^`]*)`")


def markdown(text: str) -> str:
    """A docstring whose literal blocks are fences and whose roles are code."""

    def fence(found: re.Match[str]) -> str:
        block = textwrap.dedent(found["block"]).strip("\n")
        words = found["words"].rstrip()
        language = "sh" if re.match(r"(python|coherence|pip|make) ", block) else "python"
        return f"{words + ':' if words else ''}\n\n```{language}\n{block}\n```\n\n"

    return _ROLE.sub(r"`\1`", _LITERAL.sub(fence, text))


def remark(attribute: griffe.Attribute) -> str:
    """The comment above an attribute that begins with ``#:``, or nothing."""
    lines = attribute.parent.lines_collection[attribute.filepath]
    said: list[str] = []
    for line in reversed(lines[: (attribute.lineno or 1) - 1]):
        if not line.strip().startswith("#:"):
            break
        said.insert(0, line.strip().removeprefix("#:").strip())
    return " ".join(said)


def _family(kind: griffe.Class) -> list[griffe.Class]:
    """The class and the bases that are loaded, the farthest first."""
    bases = [base for base in kind.resolved_bases if isinstance(base, griffe.Class)]
    return [each for base in bases for each in _family(base)] + [kind]


def _is_struct(kind: griffe.Class) -> bool:
    return any(
        str(base).split("[")[0] in ("Struct", "msgspec.Struct")
        for each in _family(kind)
        for base in each.bases
    )


def constructor(kind: griffe.Class) -> griffe.Function:
    """`__init__` as msgspec makes it."""
    fields: dict[str, griffe.Attribute] = {}
    by_name = False
    for each in _family(kind):
        header = "".join(each.source.partition(":\n")[:1])
        by_name = by_name or "kw_only=True" in header
        fields |= {
            name: field
            for name, field in each.attributes.items()
            if field.annotation is not None
            and not name.startswith("_")
            and "ClassVar" not in str(field.annotation)
            and "property" not in field.labels
        }
    how = (
        griffe.ParameterKind.keyword_only if by_name else griffe.ParameterKind.positional_or_keyword
    )
    parameters = [
        griffe.Parameter(name, annotation=field.annotation, kind=how, default=field.value)
        for name, field in fields.items()
    ]
    me = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
    return griffe.Function("__init__", parameters=griffe.Parameters(me, *parameters))


class Readable(griffe.Extension):
    """Completes each object as its package is loaded."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Add what is missing to everything in the package."""
        for obj in _everything(pkg):
            if (
                isinstance(obj, griffe.Attribute)
                and obj.docstring is None
                and (said := remark(obj))
            ):
                obj.docstring = griffe.Docstring(said, parent=obj)
            if obj.docstring is not None:
                obj.docstring.value = markdown(obj.docstring.value)
            if isinstance(obj, griffe.Class) and "__init__" not in obj.members and _is_struct(obj):
                obj.set_member("__init__", constructor(obj))


def _everything(obj: griffe.Object) -> Iterator[griffe.Object]:
    yield obj
    for member in list(obj.members.values()):
        if not member.is_alias:
            yield from _everything(member)
