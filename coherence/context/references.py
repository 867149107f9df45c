"""References in a framework's state in place of texts: small, and without races between tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Annotated, TypeAlias

from coherence.errors import BadRef
from coherence.messages import Version
from coherence.refs import Ref
from message_passing.errors import CallerError


class RefsClash(CallerError):
    """Two tasks bound one key of the state to different artifacts.  The state is unchanged."""

    remedy = "use the artifact's name as the key, or a different key for each"


def newest_refs(state: Mapping[str, str], update: Mapping[str, str]) -> dict[str, str]:
    """Reducer: of two versions of one artifact the newer.  Raises `RefsClash`, `BadRef`."""
    made = dict(state)
    for key, given in update.items():
        ref, there = Ref.parse(str(given)), Ref.parse(made.get(key, str(given)))
        if there.name != ref.name:
            raise RefsClash(f"{key!r} is {there} and {ref}")
        made[key] = str(max(there, ref, key=lambda each: each.version))
    return made


def versions_in(state: object, name: str) -> Iterator[Version]:
    """The versions of the artifact that a framework's state holds: by their refs, or as items.

    Mappings and sequences are searched; an item is an object with a ``ref``.
    """
    due: list[object] = [state]
    seen: set[int] = set()
    while due:
        value = due.pop()
        ref = value if isinstance(value, str) else getattr(value, "ref", None)
        if isinstance(ref, str):
            if ref.startswith(name + "@"):
                with suppress(BadRef):
                    yield Ref.parse(ref).version
        elif isinstance(value, Mapping | list | tuple | set) and id(value) not in seen:
            seen.add(id(value))
            due.extend(value.values() if isinstance(value, Mapping) else value)


ArtifactRefs: TypeAlias = Annotated[dict[str, str], newest_refs]
"""The type of a state's channel: ``refs: ArtifactRefs``, with values such as ``plan.md@3``."""
