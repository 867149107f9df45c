"""Writes: how an operation composes requests so that no work is lost.

It adds no rule to the protocol: home decides whether a write stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import msgspec
from msgspec.structs import replace

from coherence.conflict import Conflict, Fenced
from coherence.contents import TOMBSTONE, Content, Handle, Kind, check_content
from coherence.errors import BadArgument, GrantTimeout, StoreFault
from coherence.messages import (
    Abandon,
    Acquire,
    Commit,
    Committed,
    Digest,
    Epoch,
    Granted,
    Loaded,
    Refusal,
    Refused,
    Request,
    Version,
    digest_of,
)
from coherence.refs import VERSION_MAX, Ref, check_name
from coherence.runtime.homes import Vetoed, veto_refusal
from coherence.runtime.keeper import Grant
from coherence.runtime.session import Session
from coherence.view import Cached, Gone, View
from coherence.workspace.draft import Draft
from coherence.workspace.reading import LOAD, Operation, Reading, Waits
from message_passing.errors import ToolkitError

#: How long a call waits for its turn by default, in seconds.
WAIT_S = 60.0
#: How often an operation retries after commits of other agents, before it asks for the grant, under
#: which no other agent can commit.
ATTEMPTS = 3
#: How long a draft's lease is renewed by default, in seconds.
HOLD_S = 900.0


class _Wanted(msgspec.Struct, frozen=True, gc=False):
    """A version that an agent wants to publish."""

    name: str
    content: Content
    handle: Handle
    #: The version that it derives from, and the digest of that version; None if only its number is
    #: known.
    base: Version
    known: Digest
    #: Whether the current content may be lost.
    overwrite: bool
    wait_s: float | None


class Writing(Reading):
    """The writes of one agent."""

    def __init__(self, session: Session, waits: Waits) -> None:
        super().__init__(session, waits)
        self._limits = session.shared.limits

    # Writes.

    def write(
        self,
        name: str,
        content: Content,
        expect: Ref | str | int | None,
        overwrite: bool,
        wait_s: float | None,
    ) -> Operation[Ref]:
        """Publish `content` as the version after its base.

        If it equals its base, and the base is current, the base's ref is the answer.
        """
        caches = self._caches
        if type(name) is not str or name not in caches.states:  # that name was checked before
            check_name(name)
        if name in caches.drafting:
            yield from self._free(name)
        handle = self.handle(content)
        if overwrite and expect is not None:
            raise BadArgument("overwrite=True expects nothing", remedy="give one of the two")
        base, known = self._derived(name, expect)
        wait_s = check_wait(wait_s)
        wanted = _Wanted(name, content, handle, base, known, overwrite, wait_s)
        return (yield from self._publish(wanted))

    def delete(
        self, name: str, expect: Ref | str | int | None, overwrite: bool, wait_s: float | None
    ) -> Operation[Ref]:
        """Publish a version that deletes the artifact."""
        yield from self._free(name)
        if overwrite and expect is not None:
            raise BadArgument("overwrite=True expects nothing", remedy="give one of the two")
        base, known = self._derived(name, expect)
        if not base or overwrite:
            view, current = self._existing(name, (yield from self._look(name)))
            if overwrite:
                base, known = current, view.digest
        wait_s = check_wait(wait_s)
        wanted = _Wanted(name, b"", TOMBSTONE, base, known, overwrite, wait_s)
        return (yield from self._publish(wanted))

    def rename(self, name: str, to: str) -> Operation[Ref]:
        """Publish the current content under a new name and delete the old one, in one step."""
        yield from self._free(name)
        yield from self._free(to)
        if name == to:
            raise BadArgument(f"{name!r} is its name already")
        view, version = self._existing(name, (yield from self._look(name)))
        there = (yield from self._look(to)).content
        if isinstance(there, View):
            raise Conflict(
                f"{there.ref} is there already",
                yours=view.content,
                base=None,
                base_version=0,
                theirs=there.content,
                current=there.ref,
            )
        base = there.ref.version if there is not None else 0
        new = View(Ref(to, base + 1, self._identity, view.digest), view.content, view.handle)
        gone = Gone(Ref(name, version + 1, self._identity), TOMBSTONE)
        commits = (
            (name, Commit(gone, version, digest=view.digest)),
            (to, Commit(new, base, digest=digest_of(there))),
        )
        veto = yield from self._ask_all(commits)
        if veto is not None:
            hit = veto.artifact
            derived, known = (version, view.digest) if hit == name else (base, digest_of(there))
            yield from self._conflict(hit, view.content, derived, known, veto.nack.version)
        for changed in (name, to):
            self._caches.bases.pop(changed, None)
        self.metrics.writes += 2
        return new.ref

    def update(
        self, name: str, function: Callable[[Any], Any], initial: Content, wait_s: float | None
    ) -> Operation[View]:
        """Apply `function` to the current content until a commit of its result stands.

        The second attempt is made under a grant, in order of asking.
        """
        yield from self._free(name)
        wait_s = check_wait(wait_s)
        self.handle(initial)
        loaded: Loaded = yield from self._ask(name, LOAD)
        made: View = yield from self._apply(name, function, initial, loaded)
        known = digest_of(loaded.content)
        commit = Commit(made, loaded.version, digest=known)
        result = yield from self._ask(name, commit)
        if self._count(name, made, loaded.version, result):
            return self._as_committed(made, result)
        for _ in range(ATTEMPTS):
            grant = yield from self.acquire(name, wait_s)
            try:
                made = yield from self._apply(name, function, initial, grant)
            except BaseException as error:
                if not self.call.is_cut_off_by(error):  # otherwise the call's end gives it back
                    yield from self.abandon(grant)
                raise
            result = yield from self._commit(made, grant)
            if isinstance(result, Committed):
                return self._as_committed(made, result)
        return (yield from self._fenced(name, made.content, grant, result.version))

    def _apply(
        self, name: str, function: Callable[[Any], Any], initial: Content, of: Loaded | Grant
    ) -> Operation[View]:
        held = of.content if isinstance(of, Loaded) else of.held
        version = of.version if isinstance(of, Loaded) else of.base
        current = held.content if isinstance(held, View) else initial
        call = self.call
        call.lent = True
        try:
            content = yield from self._waits.value(function(current))
        except BaseException as error:
            call.theirs = error
            raise
        finally:
            call.lent = False
        handle = self.handle(content)
        return View(Ref(name, version + 1, self._identity, handle.digest), content, handle)

    def _publish(self, wanted: _Wanted) -> Operation[Ref]:
        name = wanted.name
        for _ in range(ATTEMPTS):
            base = wanted.base
            made = self._made(name, wanted.content, wanted.handle, base)
            result = yield from self._ask(name, Commit(made, base, digest=wanted.known))
            if self._count(name, made, base, result):
                return self._ref(made, result)
            if result.reason is Refusal.BUSY:
                break
            if wanted.overwrite or (not base and (yield from self._is_gone(name, result.version))):
                wanted = replace(wanted, base=result.version, known=None)
            else:
                yield from self._conflict(name, wanted.content, base, wanted.known, result.version)
        return (yield from self._publish_in_turn(wanted))

    def _publish_in_turn(self, wanted: _Wanted) -> Operation[Ref]:
        """Another agent holds the grant: wait for it, then compare with the current version."""
        name, base, known = wanted.name, wanted.base, wanted.known
        grant = yield from self.acquire(name, wanted.wait_s, keep_base=True)
        fresh = not base and not isinstance(grant.held, View)
        moved = grant.base != base or (known is not None and known != digest_of(grant.held))
        if moved and not wanted.overwrite and not fresh:
            yield from self.abandon(grant)
            yield from self._conflict(name, wanted.content, base, known, grant.base)
        return (yield from self.publish(grant, wanted.content, wanted.handle))

    def _is_gone(self, name: str, version: Version) -> Operation[bool]:
        """Whether that version is a deletion, so that the artifact can be created again."""
        found = yield from self._fetch(name, version)
        return found is not None and found[0].handle.kind is Kind.TOMBSTONE

    def _ask_all(self, requests: Sequence[tuple[str, Request]]) -> Operation[Vetoed | None]:
        """Make several commits in one transaction, or none; return what home refused, or None."""
        for name, _ in requests:
            self.call.touched.setdefault(name, self.given(name))
        try:
            every = yield from self._waits.call(self.session.ask_all, requests, veto_refusal)
        except Vetoed as veto:
            return veto
        for asked in every:
            if asked.answer is None:
                yield from self._waits.answer(self.session, asked)
        return None

    # Grants.

    def acquire(
        self,
        name: str,
        wait_s: float | None,
        hold_s: float = HOLD_S,
        *,
        keep_base: bool = False,
    ) -> Operation[Grant]:
        """Wait for the exclusive grant.  Raises `GrantTimeout` at the deadline."""
        yield from self._free(name)
        wait_s = check_wait(wait_s)
        base = self._caches.derived(name)
        self._caches.asked_to_finish.discard(name)
        result: Granted | Refused = yield from self._ask(name, Acquire(wait_s))
        if isinstance(result, Refused):
            raise GrantTimeout(f"{name!r} did not become free within {wait_s} s")
        if keep_base:
            self._caches.bases[name] = base
        else:
            self._caches.bases.pop(name, None)
        grant = Grant(name, result.epoch, result.version, result.content)
        if isinstance(grant.held, View):
            self._gave(name, grant.base, grant.held.digest)
        self._caches.drafting[name] = None
        self.session.hold(grant, hold_s)
        return grant

    def publish(self, grant: Grant, content: Content, handle: Handle) -> Operation[Ref]:
        """Publish under a grant, which ends with it.  Raises `Fenced` if it had already ended."""
        made = self._made(grant.artifact, content, handle, grant.base)
        result = yield from self._commit(made, grant)
        if isinstance(result, Committed):
            return self._ref(made, result)
        return (yield from self._fenced(grant.artifact, content, grant, result.version))

    def _commit(self, made: Cached, grant: Grant) -> Operation[Committed | Refused]:
        self._caches.drafting.pop(grant.artifact, None)
        self._caches.asked_to_finish.discard(grant.artifact)
        self.session.release(grant.artifact)
        commit = Commit(made, grant.base, grant.epoch, digest_of(grant.held))
        try:
            result: Committed | Refused = yield from self._ask(grant.artifact, commit)
        except StoreFault:
            yield from self.abandon(grant)
            raise
        self._count(grant.artifact, made, grant.base, result)
        return result

    def abandon(self, grant: Grant) -> Operation[None]:
        """Give a grant back.  If the store is unreachable, the lease ends it."""
        yield from self._end_draft(grant.artifact, grant.epoch)

    def _end_draft(self, name: str, epoch: Epoch) -> Operation[None]:
        self._caches.drafting.pop(name, None)
        self._caches.asked_to_finish.discard(name)
        self.session.release(name)
        if epoch:
            with suppress(StoreFault):
                yield from self._ask(name, Abandon(epoch))

    def finish(self, draft: Draft, grant: Grant, error: BaseException | None) -> Operation[None]:
        """Publish a draft, or give its grant back if there is nothing to publish.

        `error` is what the draft's block raised.
        """
        if error is not None:
            with suppress(ToolkitError):  # the caller must see the error of the block
                yield from self.abandon(grant)
            return
        if not draft.changed:
            yield from self.abandon(grant)
            return
        try:
            handle = self.handle(draft.content)
        except ToolkitError:
            yield from self.abandon(grant)
            raise
        draft.ref = yield from self.publish(grant, draft.content, handle)

    # Checks and errors.

    def handle(self, content: object) -> Handle:
        """The handle of valid content.  Raises `InvalidContent` or `ContentTooLarge`."""
        return check_content(content, self._limits, hashed=self._hashed)

    def _made(self, name: str, content: Content, handle: Handle, base: Version) -> Cached:
        ref = Ref(name, base + 1, self._identity, handle.digest)
        return Gone(ref, handle) if handle.kind is Kind.TOMBSTONE else View(ref, content, handle)

    @staticmethod
    def _ref(made: Cached, result: Committed) -> Ref:
        """The ref of `made` after its commit: that of its base if it changed nothing."""
        return replace(made.ref, version=result.version)

    def _as_committed(self, made: View, result: Committed) -> View:
        if made.version == result.version:
            return made
        return View(self._ref(made, result), made.content, made.handle)

    def _free(self, name: str) -> Operation[None]:
        """Raises `BadArgument` if this agent drafts `name`; ends a draft that was dropped."""
        if check_name(name) not in self._caches.drafting:
            return
        owner = self._caches.drafting[name]
        if owner is None or owner() is not None:
            raise BadArgument(
                f"this agent is drafting {name!r}", remedy="change the draft, and leave it first"
            )
        epoch = self._caches.state(name).epoch
        yield from self._end_draft(name, epoch)

    def _count(self, name: str, made: Cached, base: Version, result: Committed | Refused) -> bool:
        """Whether the commit stands; the agent's next write then derives from it."""
        if isinstance(result, Refused):
            return False
        self._caches.bases.pop(name, None)
        if self._hashed:
            self._served.note(name, result.version, made.handle.digest)
        if result.version == base:
            self.metrics.same += 1
        else:
            self.metrics.writes += 1
        return True

    def _derived(self, name: str, expect: Ref | str | int | None) -> tuple[Version, Digest]:
        """The base of a write with its digest, or None if only its number is known."""
        if expect is None:
            return self._caches.derived(name)
        if type(expect) is int:
            if not 0 <= expect < VERSION_MAX:
                raise BadArgument(
                    f"expect is {expect}", remedy="a version, or 0 for a new artifact"
                )
            return expect, self._served.digest(name, expect) if self._hashed else None
        if isinstance(expect, Ref) or type(expect) is str:
            ref = self._known(name, expect)
            assert ref is not None
            return ref.version, (self._claimed(ref) if self._hashed else None)
        raise BadArgument(f"expect is {expect!r}", remedy="a ref, or 0 for a new artifact")

    def _conflict(
        self, name: str, content: Content, base: Version, known: Digest, current: Version
    ) -> Operation[NoReturn]:
        raise (yield from self._refusal(Conflict, name, content, base, known, current))

    def _fenced(
        self, name: str, content: Content, grant: Grant, current: Version
    ) -> Operation[NoReturn]:
        known = digest_of(grant.held)
        raise (yield from self._refusal(Fenced, name, content, grant.base, known, current))

    def _refusal(
        self,
        kind: type[Conflict],
        name: str,
        content: Content,
        base: Version,
        known: Digest,
        current: Version,
    ) -> Operation[Conflict]:
        self.metrics.conflicts += 1
        before = (yield from self._fetch(name, base)) if base else None
        after = (yield from self._fetch(name, current)) if current else None
        entry, theirs = after if after is not None else (None, None)
        if entry is not None:
            self._gave(name, current, entry.handle.digest)
        derived = f"{name}@{base}" if base else "nothing"
        if before is not None and known is not None and known != before[0].handle.digest:
            before = None  # that number now names another content than the base of the write
            derived += " of another history"
        what = "the draft's grant ended" if kind is Fenced else f"the write derives from {derived}"
        author = entry.author if entry is not None else ""
        return kind(
            f"{what}, current is {name}@{current}" + (f" by {author}" if author else ""),
            yours=content,
            base=before[1] if before is not None else None,
            base_version=base,
            theirs=theirs,
            current=Ref(name, current, self._identity, entry.handle.digest if entry else b""),
            author=author,
            at=entry.at if entry is not None else 0.0,
        )


def check_wait(wait_s: float | None) -> float | None:
    """`wait_s`, if it is a valid time to wait.  Raises `BadArgument`."""
    if wait_s is None or (type(wait_s) in (int, float) and 0 <= wait_s < 1e9):
        return wait_s
    raise BadArgument(f"wait_s is {wait_s!r}", remedy="seconds, or None to wait without end")
