"""Reads: the shortest answer that gives the caller the current version."""

from __future__ import annotations

from typing import TypeAlias

from coherence.contents import Kind
from coherence.errors import BadRef, ForeignRef, UnknownArtifact, UnknownVersion
from coherence.messages import Digest, Load, Loaded, Version, digest_of
from coherence.refs import VERSION_MAX, Ref, check_name
from coherence.states import CacheState
from coherence.workspace.caches import Caches
from coherence.workspace.effects import Ask, Compare, Fetch, Operation
from coherence.workspace.served import ServedDigests
from coherence.workspace.view import Served, View, as_served
from message_passing.process import Address


class Metrics:
    """Plain counters of one agent's operations."""

    __slots__ = ("conflicts", "deltas", "fulls", "hits", "same", "unchanged", "writes")

    def __init__(self) -> None:
        #: Reads answered from the cache, whole.
        self.hits = 0
        #: Reads answered by home, whole.
        self.fulls = 0
        #: Reads answered by "unchanged" and by a difference.
        self.unchanged = 0
        self.deltas = 0
        #: Versions published, writes that changed nothing, and writes refused with `Conflict`.
        self.writes = 0
        self.same = 0
        self.conflicts = 0


Given: TypeAlias = tuple[tuple[Version, Digest] | None, CacheState | None, bool]
"""The version of one artifact that the application was given: its base, or the state that implies
it; and whether the application has said that the model's context has lost it.
"""


class Reading:
    """The reads of one agent, and the versions given so far."""

    def __init__(
        self, caches: Caches, identity: str, served: ServedDigests, *, hashed: bool
    ) -> None:
        self.caches = caches
        self.identity = identity
        self.served = served
        #: Whether contents have digests: a store that cannot lose its history needs no digests.
        self._hashed = hashed
        self.metrics = Metrics()
        self._forgotten: set[str] = set()
        self._forgot_all = False
        #: Whether `forget` has been called for an artifact.
        self.forgets = False
        self._remembered: set[str] = set()

    @property
    def address(self) -> Address:
        """The agent's name."""
        return self.caches.address

    # Reads.

    def read(self, name: str, have: Ref | str | None) -> Operation[View]:
        """The current version, in the shortest form that the caller can use."""
        check_name(name)
        known = self._known(name, have)
        claimed = self._claimed(known) if known is not None else None
        sent = self.caches.sent
        view, version = self._alive(name, (yield Ask(name, Load())))
        if self._hashed:
            self.served.note(name, version, view.digest)
        if known is None or self._is_forgotten(name):
            if self.caches.sent == sent:
                self.hit(name)
                return view
            if self.forgets:
                self.remember(name)
            self.metrics.fulls += 1
            return as_served(view, Served.FULL)
        if known.version > version and not claimed:
            raise UnknownVersion(f"{known} has not been made yet, current is {view.ref}")
        if known.version == version and claimed == view.digest:
            self.metrics.unchanged += 1
            return as_served(view, Served.UNCHANGED, view.ref)
        changes = None
        if known.version < version and claimed is not None:
            changes = yield from self._changes(known, claimed, view)
        if changes is None:
            self.metrics.fulls += 1
            return as_served(view, Served.FULL)
        self.metrics.deltas += 1
        return as_served(view, Served.DELTA, known, changes)

    def hit(self, name: str) -> None:
        """Note that the whole cached copy was given."""
        self.metrics.hits += 1
        self.caches.used.add(name)
        self.caches.bases.pop(name, None)
        if self.forgets:
            self.remember(name)

    def read_version(self, name: str, version: Version) -> Operation[View]:
        """A version from the history, which becomes the base of the next write."""
        check_name(name)
        if type(version) is not int or not 1 <= version <= VERSION_MAX:
            raise UnknownVersion(f"there is no version {version!r}")
        found = yield Fetch(name, version)
        if found is None:
            current = self._version((yield Ask(name, Load())))
            if not current:
                raise UnknownArtifact(f"there is no artifact {name!r}")
            raise UnknownVersion(f"{name}@{version} is not kept; current is {name}@{current}")
        entry, content = found
        ref = Ref(name, version, self.identity, entry.handle.digest)
        if entry.handle.kind is Kind.TOMBSTONE:
            raise UnknownArtifact(f"{ref} is a deletion, by {entry.author}")
        self.caches.bases[name] = (version, entry.handle.digest)
        self._gave(name, version, entry.handle.digest)
        return View(ref, content, entry.handle, Served.FULL)

    # The versions given to the application, which an interrupted call must not change.

    def given(self, name: str) -> Given:
        """The version of `name` that the application has before a call."""
        caches = self.caches
        forgotten = self.forgets and self._is_forgotten(name)
        return caches.bases.get(name), caches.states.get(name), forgotten

    def give_back(self, name: str, given: Given) -> None:
        """The call gave the application nothing: restore the version that it had before."""
        base, state, forgotten = given
        if base is None:
            base = (state.version, digest_of(state.content)) if state is not None else (0, None)
        self.caches.bases[name] = base
        if forgotten:
            self.forget(name)

    def forget(self, name: str | None) -> None:
        """The model's context has lost what was read: the next read is full."""
        self.forgets = True
        if name is None:
            self._forgot_all = True
            self._remembered.clear()
            self._forgotten.clear()
        else:
            self._forgotten.add(check_name(name))
            self._remembered.discard(name)

    def _is_forgotten(self, name: str) -> bool:
        return name in self._forgotten or (self._forgot_all and name not in self._remembered)

    def remember(self, name: str) -> None:
        """The application was given the whole of `name` again."""
        self._forgotten.discard(name)
        if self._forgot_all:
            self._remembered.add(name)

    def _changes(self, known: Ref, claimed: bytes, view: View) -> Operation[str | None]:
        """The difference as text, if there is one that is shorter than the content."""
        if not isinstance(view.content, str):
            return None
        found = yield Fetch(known.name, known.version)
        if found is None or not isinstance(found[1], str) or found[0].handle.digest != claimed:
            return None
        changes: str = yield Compare(found[1], view.content)
        shown = as_served(view, Served.DELTA, known, changes)
        return changes if len(shown.for_prompt()) < len(view.content) else None

    def _alive(self, name: str, loaded: Loaded) -> tuple[View, Version]:
        self.caches.bases.pop(name, None)
        if isinstance(loaded.content, View):
            return loaded.content, loaded.version
        if loaded.content is not None:
            raise UnknownArtifact(f"{name!r} was deleted: {loaded.content.ref} says so")
        raise UnknownArtifact(f"there is no artifact {name!r}")

    @staticmethod
    def _version(loaded: Loaded) -> Version:
        return loaded.version

    def _gave(self, name: str, version: Version, digest: bytes) -> None:
        """The application now has that content under that number."""
        if self._hashed:
            self.served.note(name, version, digest)

    def _claimed(self, known: Ref) -> bytes | None:
        """The digest of the content that the caller claims to have, or None if it is not proved.

        A bare ref stands for the content that this process has served under its number.
        """
        if not self._hashed:
            return b""
        return known.digest or self.served.digest(known.name, known.version)

    def _known(self, name: str, have: Ref | str | None) -> Ref | None:
        if have is None:
            return None
        ref = have if isinstance(have, Ref) else Ref.parse(have)
        if ref.workspace and ref.workspace != self.identity:
            raise ForeignRef(f"{ref} is a ref of another workspace")
        if ref.name != name:
            raise BadRef(f"{ref} is not a version of {name!r}")
        return ref
