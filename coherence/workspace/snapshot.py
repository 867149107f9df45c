"""A snapshot: several artifacts as they were at one moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar, overload

from coherence.errors import UnknownArtifact
from coherence.refs import Ref
from coherence.stores.port import Place
from coherence.view import View

D = TypeVar("D")


class Snapshot(Mapping[str, View]):
    """Several artifacts as they were at one moment, by name; those that did not exist are left out.

    ``snapshot[name]`` raises `UnknownArtifact` for such a name.
    """

    def __init__(self, views: Mapping[str, View], refs: Mapping[str, Ref], place: Place) -> None:
        self._views = views
        #: The version of each name that was asked for: the deletion of a deleted artifact, and
        #: number 0 of one that was never written.  ``check(*snapshot.refs.values())`` asks whether
        #: all of this is still so.
        self.refs = refs
        #: The moment in the store's log: ``watch(since=snapshot.place)`` misses no later change.
        self.place = place

    def __getitem__(self, name: str) -> View:
        view = self._views.get(name)
        if view is None:
            raise UnknownArtifact(f"there was no artifact {name!r}")
        return view

    def __contains__(self, name: object) -> bool:
        return name in self._views

    @overload
    def get(self, name: str, default: None = None, /) -> View | None: ...

    @overload
    def get(self, name: str, default: D, /) -> View | D: ...

    def get(self, name: str, default: object = None, /) -> object:
        """The view of `name`, or `default` if it did not exist."""
        return self._views.get(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __repr__(self) -> str:
        return f"<Snapshot of {', '.join(map(str, self.refs.values()))}>"
