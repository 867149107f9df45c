"""Writes: how an operation composes requests so that no work is lost.

It adds no rule to the protocol: home decides whether a write stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from coherence.conflict import Conflict, Conflicts, Fenced
from coherence.contents import TOMBSTONE, Content, Handle, Kind
from coherence.errors import BadArgument, GrantTimeout, StoreFault, UnknownVersion
from coherence.joint import Joint
from coherence.messages import (
    Abandon,
    Acquire,
    Check,
    Commit,
    Committed,
    Digest,
    Epoch,
    Granted,
    Loaded,
    Refusal,
    Refused,
    Version,
    digest_of,
)
from coherence.notes import Note, check_reason
from coherence.refs import VERSION_MAX, Ref, check_name
from coherence.runtime.homes import Reads, Refusals
from coherence.runtime.keeper import Grant
from coherence.runtime.session import Session
from coherence.view import Cached, Gone, View
from coherence.workspace.draft import Draft
from coherence.workspace.reading import LOAD, Block, Operation, Waits
from coherence.workspace.resolving import RESOLVES, Resolving, Solving, Wanted, check_resolving
from message_passing.errors import ToolkitError

#: How long a call waits for its turn by default, in seconds.
WAIT_S = 60.0
#: How often an operation retries after commits of other agents, before it asks for the grant, under
#: which no other agent can commit.
ATTEMPTS = 3
#: How long a draft's lease is renewed by default, in seconds.
HOLD_S = 900.0


class Writing(Resolving):
    """The writes of one agent."""

    def __init__(self, session: Session, waits: Waits) -> None:
        super().__init__(session, waits)
        #: The transaction whose block has begun last, while it is referenced.
        self._block: Callable[[], Block | None] | None = None

    # Writes.

    def write(
        self,
        name: str,
        content: Content,
        expect: Ref | str | int | None,
        overwrite: bool,
        merge: object,
        resolve: object,
        reason: str,
        wait_s: float | None,
    ) -> Operation[Ref]:
        """Publish `content` as the version after its base.

        If it equals its base, and the base is current, the base's ref is the answer.
        """
        caches = self._caches
        if self._block is not None:
            self._outside()
        if type(name) is not str or name not in caches.states:  # that name was checked before
            check_name(name)
        if name in caches.drafting:
            yield from self._free(name)
        handle = self.handle(content)
        base, known = self._derived(name, expect, overwrite)
        wait_s = check_wait(wait_s)
        if reason != "":
            check_reason(reason)
        wanted = Wanted(name, content, handle, base, known, base, wait_s, overwrite, reason)
        if merge is not False or resolve is not None:
            merge, resolve = check_resolving(merge, resolve, overwrite=overwrite)
            wanted = replace(wanted, merge=merge, resolve=resolve)
        done = yield from self._attempt(wanted)
        if isinstance(done, Conflict):
            done = yield from self._solve(wanted, done)
        return done.ref

    def delete(
        self,
        name: str,
        expect: Ref | str | int | None,
        overwrite: bool,
        reason: str,
        wait_s: float | None,
    ) -> Operation[Ref]:
        """Publish a version that deletes the artifact."""
        self._outside()
        yield from self._free(name)
        base, known = self._derived(name, expect, overwrite)
        seen, wait_s, reason = base, check_wait(wait_s), check_reason(reason)
        if not base or overwrite:
            view, current = self._existing(name, (yield from self._look(name)))
            if overwrite:
                base, known = current, view.digest
        wanted = Wanted(name, b"", TOMBSTONE, base, known, seen, wait_s, overwrite, reason)
        return (yield from self._publish(wanted)).ref

    def restore(self, of: Ref | str, reason: str, wait_s: float | None) -> Operation[Ref]:
        """Publish the content of an earlier version as the version after the current one."""
        self._outside()
        ref = of if isinstance(of, Ref) else Ref.parse(of)
        name = ref.name
        self._known(name, ref)
        yield from self._free(name)
        wait_s, reason = check_wait(wait_s), check_reason(reason)
        reason = check_reason(f"restored from @{ref.version}" + (f": {reason}" * bool(reason)))
        entry, content = yield from self._kept(name, ref.version)
        if self._hashed and ref.digest and ref.digest != entry.handle.digest:
            raise UnknownVersion(f"{ref} belongs to another history")
        handle = self.handle(content)
        loaded = yield from self._look(name)
        base, known = loaded.version, digest_of(loaded.content)
        wanted = Wanted(name, content, handle, base, known, base, wait_s, reason=reason)
        return (yield from self._publish(wanted)).ref

    def rename(self, name: str, to: str, reason: str) -> Operation[Ref]:
        """Publish the current content under a new name and delete the old one, in one step."""
        self._outside()
        reason = check_reason(reason)
        yield from self._free(name)
        yield from self._free(to)
        if name == to:
            raise BadArgument(f"{name!r} is its name already")
        view, version = self._existing(name, (yield from self._look(name)))
        there = (yield from self._look(to)).content
        base = there.ref.version if there is not None else 0
        handle, known = view.handle, digest_of(there)
        new = Wanted(to, view.content, handle, base, known, base, None, reason=reason)
        old = Wanted(name, b"", TOMBSTONE, version, view.digest, version, None, reason=reason)
        if isinstance(there, View):
            lost = replace(new, base=0, known=None)
            return (yield from self.refuse(lost, (yield from self.refused(Conflict, lost, base))))
        made, gone = self._made(new, base), self._made(old, version)
        commits = (
            (name, Commit(gone, version, digest=view.digest)),
            (to, Commit(made, base, digest=known)),
        )
        done = yield from self._ask_all(commits, {})
        if isinstance(done, Joint):
            moved = replace(old, content=view.content, handle=handle)
            lost = moved if name in done.refused else new
            current = done.refused[lost.name].version
            return (
                yield from self.refuse(lost, (yield from self.refused(Conflict, lost, current)))
            )
        for changed in (name, to):
            self._caches.bases.pop(changed, None)
            self.account.wrote(changed)
        return made.ref

    def update(
        self,
        name: str,
        function: Callable[[Any], Any],
        initial: Content,
        must_exist: bool,
        resolve: object,
        reason: str,
        wait_s: float | None,
    ) -> Operation[View]:
        """Apply `function` to the current content until a commit of its result stands.

        The second attempt is made under a grant, in order of asking, unless there is `resolve`.
        """
        self._outside()
        yield from self._free(name)
        wait_s, reason = check_wait(wait_s), check_reason(reason)
        _, solve = check_resolving(False, resolve, overwrite=False)
        if must_exist and initial != "":
            raise BadArgument("must_exist=True starts from no content", remedy="leave out initial")
        self.handle(initial)
        loaded: Loaded = yield from self._ask(name, LOAD)
        if must_exist:
            self._existing(name, loaded)
        content = loaded.content.content if isinstance(loaded.content, View) else initial
        base, known = loaded.version, digest_of(loaded.content)
        content = yield from self._lend(function, content)
        handle = self.handle(content)
        wanted = Wanted(name, content, handle, base, known, base, wait_s, reason=reason)
        if solve is not None:
            wanted = replace(wanted, resolve=solve, must_exist=must_exist)
            return self._as_view((yield from self._publish(wanted)))
        made = self._made(wanted, base)
        result = yield from self._ask(name, Commit(made, base, digest=known))
        if self._count(name, made, base, result):
            return self._as_view(self._committed(made, result))
        for _ in range(ATTEMPTS):
            grant = yield from self.acquire(name, wait_s)
            try:
                if must_exist:
                    self._existing(name, Loaded(grant.base, grant.held))
                content = grant.held.content if isinstance(grant.held, View) else initial
                content = yield from self._lend(function, content)
                wanted = self._under(grant, content, self.handle(content), reason)
            except BaseException as error:
                if not self.call.is_cut_off_by(error):  # otherwise the call's end gives it back
                    yield from self.abandon(grant)
                raise
            done = yield from self.publish(grant, wanted)
            if not isinstance(done, Conflict):
                return self._as_view(done)
            fenced = done
        return (yield from self.refuse(wanted, fenced))

    def _publish(self, wanted: Wanted) -> Operation[Cached]:
        """The version that is published in the end.  Raises the `Conflict` that nothing solves."""
        done = yield from self._attempt(wanted)
        if isinstance(done, Conflict):
            return (yield from self._solve(wanted, done))
        return done

    def _solve(self, wanted: Wanted, lost: Conflict) -> Operation[Cached]:
        """Publish what `merge` and `resolve` make of the refused `wanted`, in that order."""
        for _ in range(RESOLVES):
            merged = (yield from self.merged(wanted, lost)) if isinstance(lost, Fenced) else None
            wanted = merged or (yield from self.resolved(wanted, lost))
            done = yield from self._attempt(wanted)
            if not isinstance(done, Conflict):
                return done
            lost = done
        return (yield from self.refuse(wanted, lost))

    def _attempt(self, wanted: Wanted) -> Operation[Cached | Conflict]:
        """The published version, or the conflict that `merge` does not solve.

        After some optimistic commits it merges under a grant, where no other agent can commit.
        """
        name, trying = wanted.name, wanted
        for _ in range(ATTEMPTS):
            base = trying.base
            made = self._made(trying, base)
            commit = Commit(made, base, digest=trying.known)
            ask = self._put(name, commit, trying) if trying.reads else self._ask(name, commit)
            result: Any = yield from ask
            if self._count(name, made, base, result):
                return self._committed(made, result)
            if result.reason is Refusal.BUSY:
                break
            if wanted.overwrite or (not base and (yield from self._is_gone(name, result.version))):
                trying = replace(trying, base=result.version, known=None)
            else:
                conflict = yield from self.refused(Conflict, wanted, result.version)
                merged = yield from self.merged(wanted, conflict)
                if merged is None:
                    return conflict
                trying = merged
        return (yield from self._attempt_in_turn(wanted, trying))

    def _attempt_in_turn(self, wanted: Wanted, trying: Wanted) -> Operation[Cached | Conflict]:
        """Wait for the grant, then compare with the current version."""
        name, base, known = wanted.name, trying.base, trying.known
        grant = yield from self.acquire(name, wanted.wait_s, keep_base=True)
        fresh = not base and not isinstance(grant.held, View)
        moved = grant.base != base or (known is not None and known != digest_of(grant.held))
        if moved and not wanted.overwrite and not fresh:
            try:
                conflict = yield from self.refused(Conflict, wanted, grant.base)
                merged = yield from self.merged(wanted, conflict)
            except BaseException as error:
                if not self.call.is_cut_off_by(error):
                    yield from self.abandon(grant)
                raise
            if merged is None:
                yield from self.abandon(grant)
                return conflict
            trying = merged
        return (yield from self.publish(grant, trying, wanted))

    def _is_gone(self, name: str, version: Version) -> Operation[bool]:
        """Whether that version is a deletion, so that the artifact can be created again."""
        found = yield from self._fetch(name, version)
        return found is not None and found[0].handle.kind is Kind.TOMBSTONE

    def _ask_all(
        self, commits: Sequence[tuple[str, Commit]], reads: Reads
    ) -> Operation[list[Committed] | Joint]:
        """Make commits in one transaction if all of `reads` are current.

        The answer of each, or why homes refuse all.
        """
        for name, _ in commits:
            self.call.touched.setdefault(name, self.given(name))
        try:
            every = yield from self._waits.call(self.session.ask_all, commits, reads)
        except Refusals as refusals:
            return refusals.judgement
        answers: list[Committed] = []
        for asked, (_, commit) in zip(every, commits, strict=True):
            answer = asked.answer or (yield from self._waits.answer(self.session, asked))
            if not isinstance(answer, Committed):
                # Made when it was sent the first time, which this home has forgotten since.
                same = commit.digest and digest_of(commit.content) == commit.digest
                answer = Committed(commit.base + (not same))
            answers.append(answer)
        return answers

    def _put(self, name: str, commit: Commit, wanted: Wanted) -> Operation[Committed | Refused]:
        """Make a commit that stands only if `wanted.reads` are current.

        Raises `Conflicts` if they are not.
        """
        reads = {ref.name: ref for ref in wanted.reads}
        done = yield from self._ask_all(((name, commit),), checks_of(reads))
        if not isinstance(done, Joint):
            return done[0]
        if name in done.refused and len(done.refused) == 1:
            nack = done.refused[name]
            return Refused(nack.reason, nack.version)
        raise (yield from self._refused_all(reads, {name: wanted}, {}, done.refused))

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
        self._outside()
        return (yield from self._grant(name, wait_s, hold_s, keep_base=keep_base))

    def _grant(
        self,
        name: str,
        wait_s: float | None,
        hold_s: float = HOLD_S,
        *,
        keep_base: bool = False,
    ) -> Operation[Grant]:
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

    def publish(
        self, grant: Grant, trying: Wanted, wanted: Wanted | None = None
    ) -> Operation[Cached | Fenced]:
        """The version published under a grant, which ends with it, or `Fenced` if it had ended.

        `trying` is what has become of `wanted`, the version that the caller knows.
        """
        made = self._made(trying, grant.base)
        result = yield from self._commit(made, grant, trying)
        if isinstance(result, Committed):
            return self._committed(made, result)
        return (yield from self.refused(Fenced, wanted or trying, result.version))

    def _under(self, grant: Grant, content: Content, handle: Handle, reason: str) -> Wanted:
        """`content` as the version after the one that the holder of `grant` has seen."""
        base, known = grant.base, digest_of(grant.held)
        return Wanted(grant.artifact, content, handle, base, known, base, WAIT_S, reason=reason)

    def _commit(self, made: Cached, grant: Grant, wanted: Wanted) -> Operation[Committed | Refused]:
        self._release(grant.artifact)
        commit = Commit(made, grant.base, grant.epoch, digest_of(grant.held))
        name = grant.artifact
        ask = self._put(name, commit, wanted) if wanted.reads else self._ask(name, commit)
        try:
            result: Committed | Refused = yield from ask
        except (StoreFault, Conflicts):
            yield from self.abandon(grant)
            raise
        self._count(grant.artifact, made, grant.base, result)
        return result

    def _release(self, name: str) -> None:
        """The draft is over: its grant is not renewed any more."""
        self._caches.drafting.pop(name, None)
        self._caches.asked_to_finish.discard(name)
        self.session.release(name)

    def abandon(self, grant: Grant) -> Operation[None]:
        """Give a grant back.  If the store is unreachable, the lease ends it."""
        yield from self._end_draft(grant.artifact, grant.epoch)

    def _end_draft(self, name: str, epoch: Epoch) -> Operation[None]:
        self._release(name)
        if epoch:
            with suppress(StoreFault):
                yield from self._ask(name, Abandon(epoch))

    def finish(
        self,
        draft: Draft,
        grant: Grant,
        error: BaseException | None,
        solving: Solving,
        reason: str,
        wait_s: float | None,
        reads: tuple[Ref, ...] = (),
    ) -> Operation[None]:
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
            wanted = self._under(grant, draft.content, self.handle(draft.content), reason)
        except ToolkitError:
            yield from self.abandon(grant)
            raise
        merge, resolve = solving
        wanted = replace(wanted, wait_s=wait_s, merge=merge, resolve=resolve, reads=reads)
        done = yield from self.publish(grant, wanted)
        if isinstance(done, Conflict):
            done = yield from self._solve(wanted, done)
        draft.ref = done.ref

    # Checks and errors.

    def read_by(self, name: str, reads: Iterable[Ref | str]) -> tuple[Ref, ...]:
        """The versions of other artifacts that a draft of `name` rests on, each with its digest."""
        if isinstance(reads, str):
            raise BadArgument(f"reads is {reads!r}", remedy="give a list of refs")
        found = {}
        for given in reads:
            ref = self._own(given)
            if ref.name == name:
                raise BadArgument(f"{ref} is read by a draft of it", remedy="leave it out of reads")
            claimed = self._claimed(ref) if ref.version else None
            found[ref.name] = replace(ref, digest=claimed or b"")
        return tuple(found.values())

    def _made(self, wanted: Wanted, base: Version) -> Cached:
        handle = wanted.handle
        ref = Ref(wanted.name, base + 1, self._identity, handle.digest)
        note = None
        if wanted.seen != base or wanted.overwrite or wanted.reason:
            note = Note(wanted.seen, wanted.overwrite, wanted.reason)
        if handle.kind is Kind.TOMBSTONE:
            return Gone(ref, handle, note=note)
        if note is None:
            return View(ref, wanted.content, handle)
        return View(ref, wanted.content, handle, note=note)

    @staticmethod
    def _committed(made: Cached, result: Committed) -> Cached:
        """`made` after its commit: its base if it changed nothing."""
        if made.ref.version == result.version:
            return made
        return replace(made, ref=replace(made.ref, version=result.version))

    @staticmethod
    def _as_view(made: Cached) -> View:
        assert isinstance(made, View)
        return made

    def _outside(self) -> None:
        """Called before every change.

        Raises `BadArgument` within the block of a transaction of this agent.
        """
        block = self._block() if self._block is not None else None
        if block is None or not block.is_under_way:
            self._block = None
            return
        raise BadArgument(
            "a transaction of this agent is under way",
            remedy="make the change through the transaction, or after its block",
        )

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
        self.account.wrote(name, "same" if result.version == base else "writes")
        return True

    def _derived(
        self, name: str, expect: Ref | str | int | None, overwrite: bool
    ) -> tuple[Version, Digest]:
        """The base of a write with its digest, or None if only its number is known."""
        if expect is None:
            return self._caches.derived(name)
        if overwrite:
            raise BadArgument("overwrite=True expects nothing", remedy="give one of the two")
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


def checks_of(reads: Mapping[str, Ref]) -> Reads:
    """What asks homes whether these versions are current."""
    return {
        name: Check(0, ref.version, ref.digest or None if ref.version else None)
        for name, ref in reads.items()
    }


def check_wait(wait_s: float | None) -> float | None:
    """`wait_s`, if it is a valid time to wait.  Raises `BadArgument`."""
    if wait_s is None or (type(wait_s) in (int, float) and 0 <= wait_s < 1e9):
        return wait_s
    raise BadArgument(f"wait_s is {wait_s!r}", remedy="seconds, or None to wait without end")
