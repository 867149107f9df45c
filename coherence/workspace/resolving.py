"""Refused writes: the conflict that the caller gets, what may solve it, and the record of it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Any, NoReturn, TypeAlias, TypeVar

import msgspec
from msgspec.structs import replace

from coherence.conflict import Conflict, Conflicts, Fenced, StaleRead
from coherence.contents import TOMBSTONE, Content, Handle, Kind, check_content
from coherence.delta import diff
from coherence.errors import BadArgument, UnknownArtifact
from coherence.messages import Digest, Version
from coherence.refs import Ref
from coherence.runtime.session import Session
from coherence.stores.port import Cut, Entry
from coherence.stores.records import RefusedWrite
from coherence.view import Cached
from coherence.workspace.cutting import Cutting
from coherence.workspace.reading import Operation, Waits
from message_passing.errors import ToolkitError

log = logging.getLogger("coherence.workspace")

C = TypeVar("C", bound=Conflict)

Merge: TypeAlias = Callable[[Conflict], Content | None]
"""The content with both changes, or None if they exclude each other."""

Resolve: TypeAlias = Callable[[Conflict], Content]
"""The content that replaces the current one; to give up, it raises the conflict."""

AsyncResolve: TypeAlias = Callable[[Conflict], Content | Awaitable[Content]]

Solving: TypeAlias = tuple[Merge | None, Callable[[Conflict], Any] | None]
"""The functions `merge` and `resolve` of a call."""

#: How often one call asks `resolve`, before it raises the conflict.
RESOLVES = 5
#: How much of a refused write is recorded, in characters of its difference.
ATTEMPT_CHARS_MAX = 4_000


class Wanted(msgspec.Struct, frozen=True, gc=False):
    """A version that an agent wants to publish."""

    name: str
    content: Content
    handle: Handle
    #: The version that it derives from, and the digest of that version; None if only its number is
    #: known.
    base: Version
    known: Digest
    #: The newest version that the writer has seen.  A merge changes the base, and not this.
    seen: Version
    wait_s: float | None
    #: Whether the current content may be lost.
    overwrite: bool = False
    reason: str = ""
    merge: Merge | None = None
    resolve: Callable[[Conflict], Any] | None = None
    #: Whether a deleted artifact stays deleted.
    must_exist: bool = False
    #: Versions of other artifacts that must be current.
    reads: tuple[Ref, ...] = ()


class Resolving(Cutting):
    """What happens to one agent's refused writes."""

    def __init__(self, session: Session, waits: Waits) -> None:
        super().__init__(session, waits)
        self._limits = session.shared.limits

    def handle(self, content: object) -> Handle:
        """The handle of valid content.  Raises `InvalidContent` or `ContentTooLarge`."""
        return check_content(content, self._limits, hashed=self._hashed)

    def refused(self, kind: type[C], wanted: Wanted, current: Version) -> Operation[C]:
        """The conflict of a write that home has refused because `current` is not its base."""
        self.account.wrote(wanted.name, "conflicts")
        name = wanted.name
        before = yield from self._before(wanted, None)
        after = (yield from self._fetch(name, current)) if current else None
        return self._conflict(kind, wanted, current, before, after)

    def _conflict(
        self,
        kind: type[C],
        wanted: Wanted,
        current: Version,
        before: tuple[Digest, Content] | None,
        after: tuple[Entry, Content | None] | None,
    ) -> C:
        """The conflict of a write.  `before` is its base, `after` the current version."""
        name, base, known = wanted.name, wanted.base, wanted.known
        entry, theirs = after if after is not None else (None, None)
        if entry is not None:
            self._gave(name, current, entry.handle.digest)
            if entry.handle.kind is Kind.TOMBSTONE:
                theirs = None
        derived = f"{name}@{base}" if base else "nothing"
        if before is not None and known is not None and known != before[0]:
            before = None  # that number now names another content than the base of the write
            derived += " of another history"
        if issubclass(kind, Fenced):
            what = "the draft's grant ended"
        elif issubclass(kind, StaleRead):
            what = f"you read {derived}" if base else f"you found no {name}"
        else:
            what = f"the write derives from {derived}"
        author = entry.author if entry is not None else ""
        standing = f"current is {name}@{current}" if current else f"there is no artifact {name!r}"
        writes = wanted.handle.kind is not Kind.TOMBSTONE and not issubclass(kind, StaleRead)
        return kind(
            f"{what}, {standing}" + (f" by {author}" if author else ""),
            yours=wanted.content if writes else None,
            base=before[1] if before is not None else None,
            base_version=base,
            theirs=theirs,
            current=Ref(name, current, self._identity, entry.handle.digest if entry else b""),
            author=author,
            at=entry.at if entry is not None else 0.0,
        )

    def _refused_all(
        self,
        reads: Mapping[str, Ref],
        writes: Mapping[str, Wanted],
        held: Mapping[str, Cached],
        refused: Collection[str],
    ) -> Operation[Conflicts]:
        """The conflicts of what was refused together, each write recorded.

        `held` are contents of what was read, and `refused` what homes have refused.
        """
        cuts, _ = yield from self._cut([*reads, *writes], held)
        error = yield from self._conflicts(reads, writes, held, cuts, refused)
        for name, wanted in writes.items():
            self.account.wrote(name, "conflicts")
            conflict = error.conflicts.get(name)
            if conflict is None and self._limits.refusals:
                conflict = yield from self._conflict_with(wanted, held.get(name), cuts[name])
            if conflict is not None:
                yield from self._record(wanted, conflict)
        return error

    def _conflicts(
        self,
        reads: Mapping[str, Ref],
        writes: Mapping[str, Wanted],
        held: Mapping[str, Cached],
        cuts: Mapping[str, Cut],
        refused: Collection[str] = (),
    ) -> Operation[Conflicts]:
        """A conflict for each artifact among `cuts` that has moved, and for each of `refused`."""
        found: dict[str, Conflict] = {}
        for name in sorted(cuts):
            cut, read, wanted = cuts[name], reads.get(name), writes.get(name)
            if wanted is not None:
                loses = read is not None or not (wanted.overwrite or _is_fresh(wanted, cut))
                if name in refused or (loses and not _is_base(wanted, cut)):
                    found[name] = yield from self._conflict_with(wanted, held.get(name), cut)
            elif read is not None and (name in refused or not is_current(read, cut)):
                known = read.digest if read.version else None
                stale = Wanted(name, b"", TOMBSTONE, read.version, known, read.version, None)
                before = yield from self._before(stale, held.get(name))
                found[name] = self._conflict(StaleRead, stale, cut.version, before, _after(cut))
        return Conflicts(found)

    def _conflict_with(self, wanted: Wanted, held: Cached | None, cut: Cut) -> Operation[Conflict]:
        before = yield from self._before(wanted, held)
        return self._conflict(Conflict, wanted, cut.version, before, _after(cut))

    def _before(
        self, wanted: Wanted, held: Cached | None
    ) -> Operation[tuple[Digest, Content] | None]:
        """The base of `wanted`, if it is kept."""
        if held is not None and held.ref.version == wanted.base:
            return held.handle.digest, held.content
        kept = (yield from self._fetch(wanted.name, wanted.base)) if wanted.base else None
        return (kept[0].handle.digest, kept[1]) if kept is not None else None

    def merged(self, wanted: Wanted, conflict: Conflict) -> Operation[Wanted | None]:
        """`wanted` with the change of the other side, or None if `merge` has no such content."""
        if wanted.merge is None:
            return None
        content: Content | None
        if wanted.merge is Conflict.merge:
            content = yield from self._compute(conflict.merge, conflict.yours, conflict.theirs)
        else:
            content = yield from self._lend(wanted.merge, conflict)
        return None if content is None else self._upon(conflict, wanted, content)

    def resolved(self, wanted: Wanted, conflict: Conflict) -> Operation[Wanted]:
        """`wanted` with the content that `resolve` gives.  Raises `conflict` without one."""
        if wanted.must_exist and conflict.theirs is None:
            raise UnknownArtifact.deleted(wanted.name, conflict.current)
        if wanted.resolve is None:
            return (yield from self.refuse(wanted, conflict))
        try:
            content = yield from self._lend(wanted.resolve, conflict)
        except Conflict as error:
            if error is not conflict:
                raise
            return (yield from self.refuse(wanted, conflict))
        after = self._upon(conflict, wanted, content)
        return replace(after, seen=after.base)

    def _upon(self, conflict: Conflict, wanted: Wanted, content: Content) -> Wanted:
        """`content` as the version after the one that refused `wanted`."""
        current = conflict.current
        return replace(
            wanted,
            content=content,
            handle=self.handle(content),
            base=current.version,
            known=current.digest or None,
        )

    def refuse(self, wanted: Wanted, conflict: Conflict) -> Operation[NoReturn]:
        """Record the refused write if the workspace asks for it, and raise `conflict`."""
        yield from self._record(wanted, conflict)
        raise conflict

    def _record(self, wanted: Wanted, conflict: Conflict) -> Operation[None]:
        """Record a refused write if the workspace asks for it.

        A store that fails here is logged: the caller must see the conflict.
        """
        keep = self._limits.refusals
        if not keep:
            return
        attempt = yield from self._compute(
            partial(_attempt, conflict), conflict.base, conflict.yours
        )
        line = RefusedWrite(
            wanted.name,
            self.session.name,
            0.0,
            conflict.base_version,
            conflict.current.version,
            "fenced" if isinstance(conflict, Fenced) else "conflict",
            wanted.reason,
            wanted.handle.size_bytes,
            attempt,
        )
        homes = self.session.homes
        try:
            yield from self._waits.call(homes.look, homes.store.refuse, line, keep)
        except ToolkitError as error:
            log.warning("a refused write of %r was not recorded: %s", wanted.name, error)

    def _lend(self, function: Callable[..., Any], *arguments: object) -> Operation[Any]:
        """The result of a function of the application, which may make calls of this agent."""
        call = self.call
        call.lent = True
        try:
            return (yield from self._waits.value(function(*arguments)))
        except BaseException as error:
            call.theirs = error
            raise
        finally:
            call.lent = False


def is_current(read: Ref, cut: Cut) -> bool:
    """Whether what was read is what the cut shows."""
    if cut.entry is None or not read.version:
        return cut.version == read.version
    same = not read.digest or cut.entry.handle.digest == read.digest
    return cut.entry.version == read.version and same


def _is_base(wanted: Wanted, cut: Cut) -> bool:
    """Whether a write may derive from what the cut shows."""
    if cut.entry is None or cut.entry.version != wanted.base:
        return cut.version == wanted.base
    return wanted.known is None or wanted.known == cut.entry.handle.digest


def _is_fresh(wanted: Wanted, cut: Cut) -> bool:
    """Whether a write that derives from nothing finds nothing: the artifact is deleted."""
    return not wanted.base and not cut.exists


def _after(cut: Cut) -> tuple[Entry, Content | None] | None:
    return (cut.entry, cut.content) if cut.entry is not None else None


def _attempt(conflict: Conflict) -> str:
    """The beginning of the change that was refused."""
    base = "" if conflict.base_version == 0 else conflict.base
    if not isinstance(base, str) or not isinstance(conflict.yours, str):
        return ""
    return diff(base, conflict.yours).render(base)[:ATTEMPT_CHARS_MAX]


def check_resolving(merge: object, resolve: object, *, overwrite: bool) -> Solving:
    """How a call solves its conflicts.  Raises `BadArgument`."""
    if type(merge) is not bool and not callable(merge):
        raise BadArgument(f"merge is {merge!r}", remedy="True, or a function of the conflict")
    if resolve is not None and not callable(resolve):
        raise BadArgument(f"resolve is {resolve!r}", remedy="a function of the conflict")
    if overwrite and (merge or resolve is not None):
        raise BadArgument(
            "overwrite=True meets no conflict", remedy="leave it out, or merge and resolve"
        )
    if merge is True:
        return Conflict.merge, resolve
    return (merge if callable(merge) else None), resolve
