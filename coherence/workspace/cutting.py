"""Cuts: several artifacts as of one moment, in one call to the store.

A cut asks no cache and makes no copy, and no home learns of it: it leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from coherence.contents import Handle, Kind
from coherence.errors import BadArgument, ForeignRef, UnknownVersion
from coherence.messages import Digest, Version
from coherence.refs import Ref, check_name
from coherence.stores.port import Cut, Entry, Place
from coherence.view import Cached, Served, View, cached
from coherence.workspace.reading import Operation, Reading
from coherence.workspace.snapshot import Snapshot

#: How many contents, and of what size together, one call to the store fetches for a prefix.
PAGE_NAMES = 256
PAGE_BYTES = 16 << 20


class Cutting(Reading):
    """The reads of one agent that concern several artifacts at once."""

    def snapshot(
        self,
        names: Collection[str] | None,
        prefix: str | None,
        have: Iterable[Ref | str] | Mapping[str, Ref],
    ) -> Operation[Snapshot]:
        """These artifacts, or those whose names begin with `prefix`, as of one moment."""
        if (names is None) == (prefix is None):
            raise BadArgument("a snapshot is of names or of a prefix", remedy="give one of the two")
        claims = self._claims(have)
        if prefix is not None:
            cuts, place = yield from self._listed(prefix)
        else:
            cuts, place = yield from self._cut(check_names(names))
        refs = {name: self._ref(name, cut) for name, cut in cuts.items()}
        views = {}
        for name, cut in cuts.items():
            if _exists(cut):
                views[name] = yield from self._served_as(self._cached(name, cut), claims.get(name))
        for name, ref in refs.items():
            self.call.touched.setdefault(name, self.given(name))
            self._given_in_cut(ref, cuts[name])
        for name, view in views.items():
            self.account.read(view)
            if self.forgets:
                self.remember(name)
        return Snapshot(views, refs, place)

    def check(self, refs: Iterable[Ref | str]) -> Operation[tuple[Ref, ...]]:
        """Those of `refs` that are not current, as of one moment."""
        claims = []
        for ref in refs:
            known = self._own(ref)
            claims.append((known, self._claimed(known) if known.version else None))
        homes = self.session.homes
        names = {ref.name for ref, _ in claims}
        rows = yield from self._waits.call(homes.look, homes.store.rows, names)

        def current(ref: Ref, claimed: bytes | None) -> bool:
            stored = rows.get(ref.name)
            version = stored.row.state.version if stored is not None else 0
            if version != ref.version:
                return False
            return not claimed or stored is None or stored.row.state.content.digest == claimed

        return tuple(ref for ref, claimed in claims if not current(ref, claimed))

    # Steps.

    def _cut(
        self, names: Collection[str], held: Mapping[str, Cached] | None = None
    ) -> Operation[tuple[dict[str, Cut], Place]]:
        """These artifacts as of one moment, each with its content if it exists.

        Contents that this process holds, or that are in `held`, do not travel.
        """
        homes = self.session.homes
        here: dict[str, Cached] = {}
        if self._hashed:  # otherwise the store hands out the contents themselves
            here = self._held(names)
            here.update(held or {})
        have = {name: (there.ref.version, there.handle.digest) for name, there in here.items()}
        cuts: dict[str, Cut]
        cuts, place = yield from self._waits.call(homes.look, homes.store.cut, names, have)
        for name, there in here.items():
            cut = cuts.get(name)
            if cut is not None and cut.content is None and cut.exists:
                cuts[name] = Cut(cut.stored, cut.entry, there.content)
        return cuts, place

    def _held(self, names: Iterable[str]) -> dict[str, Cached]:
        """The newest versions of these artifacts that this process holds."""
        contents = self.session.shared.caches.contents
        found = {}
        for name in names:
            reference = contents.get(name)
            there = reference() if reference is not None else None
            if there is not None:
                found[name] = there
        return found

    def _listed(self, prefix: str) -> Operation[tuple[dict[str, Cut], Place]]:
        """The artifacts whose names begin with `prefix`, as of one moment.

        Their versions are of one moment.  The contents are fetched after, each by its version.
        """
        if not isinstance(prefix, str):
            raise BadArgument(f"prefix is {prefix!r}", remedy="give the beginning of names")
        homes = self.session.homes
        listed: dict[str, Entry]
        listed, place = yield from self._waits.call(homes.look, homes.store.listing, prefix)
        found: dict[str, Cut] = {}
        for page in _pages(listed):
            cuts, _ = yield from self._cut(page)
            for name in page:
                entry, cut = listed[name], cuts[name]
                if cut.entry is None or not _is_same(cut.entry, entry):
                    cut = yield from self._as_listed(name, entry, cut)
                found[name] = cut
        return found, place

    def _as_listed(self, name: str, entry: Entry, cut: Cut) -> Operation[Cut]:
        """The version that was listed, of an artifact that has moved since."""
        kept = yield from self._fetch(name, entry.version)
        if kept is None or not _is_same(kept[0], entry):
            raise UnknownVersion(
                f"{name}@{entry.version} was replaced during the snapshot, and is not kept",
                remedy="take the snapshot again, or keep more versions",
            )
        return Cut(cut.stored, entry, kept[1])

    def _ref(self, name: str, cut: Cut) -> Ref:
        """The version of a cut; its number is 0 if the artifact was never written."""
        if cut.entry is None:
            return Ref(name, 0, self._identity)
        return Ref(name, cut.entry.version, self._identity, cut.entry.handle.digest)

    def _cached(self, name: str, cut: Cut) -> Cached:
        """The content of a cut of an artifact that was written."""
        assert cut.entry is not None
        return cached(self._ref(name, cut), cut.content, cut.entry.handle)  # type: ignore[arg-type]

    def _served_as(self, there: Cached, claim: tuple[Ref, bytes | None] | None) -> Operation[View]:
        """What exists, in the shortest form for a caller that has `claim`."""
        assert isinstance(there, View)
        if claim is None or not claim[0].version or self._is_forgotten(there.ref.name):
            return replace(there, served=Served.FULL)
        return (yield from self._since(*claim, there))

    def _given_in_cut(self, ref: Ref, cut: Cut) -> None:
        """The application has that version now: its next write derives from it."""
        name = ref.name
        self._caches.bases[name] = base_of(ref, cut.entry.handle if cut.entry else None)
        if cut.entry is not None:
            self._gave(name, ref.version, ref.digest)

    def _claims(
        self, have: Iterable[Ref | str] | Mapping[str, Ref]
    ) -> dict[str, tuple[Ref, bytes | None]]:
        """The versions that the caller has, by name, each with the digest that proves it."""
        given: Iterable[Any] = have.values() if isinstance(have, Mapping) else have
        if isinstance(have, str):
            raise BadArgument(f"have is {have!r}", remedy="give a list of refs")
        claims = {}
        for each in given:
            ref = self._own(each)
            claims[ref.name] = ref, self._claimed(ref) if ref.version else None
        return claims

    def _own(self, given: Ref | str) -> Ref:
        """A ref of this workspace.  Raises `BadRef` or `ForeignRef`."""
        ref = given if isinstance(given, Ref) else Ref.parse(given)
        if ref.workspace and ref.workspace != self._identity:
            raise ForeignRef(f"{ref} is a ref of another workspace")
        return ref


def _exists(cut: Cut) -> bool:
    """Whether the version of the cut is not a deletion; its row may have moved since."""
    return cut.entry is not None and cut.entry.handle.kind is not Kind.TOMBSTONE


def base_of(ref: Ref, handle: Handle | None) -> tuple[Version, Digest]:
    """That version as the base of a write."""
    return ref.version, handle.digest if handle is not None else None


def check_names(names: object) -> list[str]:
    """`names`, if they may name artifacts.  Raises `InvalidName` and `BadArgument`."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise BadArgument(f"names is {names!r}", remedy="give a list of names")
    return [check_name(name) for name in names]


def _is_same(entry: Entry, other: Entry) -> bool:
    return entry.version == other.version and entry.handle == other.handle


def _pages(listed: Mapping[str, Entry]) -> Iterable[list[str]]:
    page: list[str] = []
    size = 0
    for name, entry in listed.items():
        if page and (len(page) == PAGE_NAMES or size + entry.handle.size_bytes > PAGE_BYTES):
            yield page
            page, size = [], 0
        page.append(name)
        size += entry.handle.size_bytes
    if page:
        yield page
