"""An agent, for threads: every call blocks until it is done.

Each call has one beginning and one end, in `BaseAgent`.  Everything that it acquires is recorded
where `_undo` finds it: the call under way here, requests and grants in the caches, locks and
transactions by thread.  After an exception at any instruction, `_undo` restores order without
asking the store; the keeper passes on the messages that homes need.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from threading import get_ident
from types import TracebackType
from typing import Any, TypeVar
from weakref import ref

from coherence.contents import Content
from coherence.errors import AgentBusy, UnknownArtifact
from coherence.messages import Result, Version
from coherence.notes import check_reason
from coherence.refs import Ref, check_name
from coherence.runtime.account import Account
from coherence.runtime.caches import READABLE, Asked, Owner
from coherence.runtime.homes import Homes
from coherence.runtime.keeper import Grant
from coherence.runtime.session import Session
from coherence.runtime.tracing import Traced
from coherence.stores.port import Entry, Place
from coherence.view import View
from coherence.workspace.changes import Watch
from coherence.workspace.draft import Draft
from coherence.workspace.reading import Call, Operation, Waits
from coherence.workspace.resolving import Merge, Resolve, check_resolving
from coherence.workspace.snapshot import Snapshot
from coherence.workspace.transacting import Transacting, Viewing
from coherence.workspace.transaction import AgentTransaction, Attempt
from coherence.workspace.writing import HOLD_S, WAIT_S
from message_passing.errors import Defect, ToolkitError
from message_passing.interrupts import insist

T = TypeVar("T")


def history_of(homes: Homes, name: str, since: Version = 0) -> list[Entry]:
    """The kept versions from `since` on, oldest first.  Raises `UnknownArtifact`."""
    entries = homes.look(homes.store.history, check_name(name), since)
    if not entries:
        raise UnknownArtifact.named(name)
    return entries


def account_of(agent: BaseAgent) -> Account:
    """The counts of an agent, for packages that put more than the answers of reads into prompts."""
    return agent._session.account


def _is_over(call: Call) -> bool:
    """Whether the thread or task of `call` has left it: its end was cut off too."""
    if not isinstance(call.caller, int):
        return bool(call.caller is not None and call.caller.done())
    frame = sys._current_frames().get(call.caller)
    while frame is not None:
        if frame.f_locals.get("call") is call:
            return False
        frame = frame.f_back
    return True


class BaseAgent:
    """What agents for threads and agents for tasks share; they differ in how they wait."""

    def __init__(self, session: Session, waits: Waits, *, read_only: bool) -> None:
        self._session = session
        #: Whether every change is refused with `AgentReadOnly`.
        self.read_only = read_only
        self._operations = (Viewing if read_only else Transacting)(session, waits)
        self._homes, self._follower = session.homes, session.follower
        self._at_store = session.homes.at_store
        caches = session.caches
        self._states, self._bases, self._hits = caches.states, caches.bases, caches.account.hits
        self._quick, self._shared = session.shared.quick, session.shared.shared
        #: Whether `forget` has been called.
        self._forgets = False
        #: Empty, or the call under way: added and removed by one instruction each.
        self._busy: dict[str, Call] = {}
        session.tracing.inform(self._trace_calls)

    def _trace_calls(self, traced: Traced) -> None:
        """From now on, every call is made through `traced`, also that of a cached read."""
        self._operations, self._quick = traced(self, self._operations), False

    def _through(self) -> Transacting:
        """What every call is made through."""
        return self._operations

    @property
    def name(self) -> str:
        """The agent's name, which its versions carry as author."""
        return self._session.name

    def forget(self, name: str | None = None) -> None:
        """Say that the model's context has lost what was read, of one artifact or of all.

        The next read is full, with any `have`.  Does not block.
        """
        self._session.require()
        self._forgets = True
        self._operations.forget(name)

    def cached(self, name: str) -> View | None:
        """The cached copy, if it may be served at once: the rows (S E M, Load).

        They make no transition and send no message, so there is no step; a test compares this with
        the table.  If others can change the store, the store is asked first and the copy looked up
        after: the answer does not cover a copy that was looked up before.
        """
        if not self._quick:
            return None
        if self._shared and self._homes.store.mark() != self._follower.seen:
            return None
        try:
            state = self._states.get(name)
        except TypeError:
            return None
        if (
            state is not None
            and state.at in READABLE
            and type(view := state.content) is View
            and not (self._at_store and self._homes.moves(name))
            and name not in self._bases
        ):
            try:
                self._hits[name] += 1  # as `Account.hit`
            except KeyError:
                self._hits[name] = 1
            if self._forgets:
                self._operations.remember(name)
            return view
        return None

    def _is_awaited(self, name: str) -> bool:
        try:
            if self._shared:
                self._follower.refresh()
        except ToolkitError:
            raise
        except BaseException:
            insist(self._homes.settle)
            raise
        return name in self._session.caches.asked_to_finish

    # A call's beginning, and its end.

    def _drive(self, operation: Operation[T], caller: object) -> Operation[T]:
        """The result of `operation`, as one call of `caller`, a thread or a task."""
        call = Call(caller)
        operations = self._operations
        try:
            try:
                if self._session.fault is not None or self._session.caches.superseded:
                    self._session.require()
                if self._busy.setdefault("call", call) is not call:
                    self._begin_within(call)
                operations.call = call
                done = yield from operation
                if call.within is None:
                    del self._busy["call"]
                else:
                    self._end(call)
                return done
            except BaseException as error:
                if not call.is_cut_off_by(error):
                    self._end(call)
                raise
        except BaseException as error:
            self._undo(call, error)
            raise

    def _begin_within(self, call: Call) -> None:
        """Begin inside the call that is under way.  Raises `AgentBusy`."""
        holder = self._busy.setdefault("call", call)
        if holder is not call and not holder.lent and _is_over(holder):
            self._undo(holder, KeyboardInterrupt())
            holder = self._busy.setdefault("call", call)
        if holder is call:
            return
        if holder.caller != call.caller:
            raise AgentBusy(f"{self.name!r} is in a call of another thread or task")
        if not holder.lent:
            raise AgentBusy(
                f"{self.name!r} is in the middle of a call",
                remedy="make no calls from signal handlers and finalisers",
            )
        call.within = holder
        holder.lent = False

    def _end(self, call: Call) -> None:
        """End the call.  Idempotent."""
        if call.within is not None:
            call.within.lent = True
            self._operations.call = call.within
        elif self._busy.get("call") is call:
            del self._busy["call"]

    def _undo(self, call: Call, error: BaseException) -> None:
        """End a call that raised `error`; if it was cut off, settle the state that it left."""
        if not call.is_cut_off_by(error):
            return

        def settle() -> None:
            self._settle(call)
            self._end(call)

        interrupt = insist(settle)
        if interrupt is not None and isinstance(error, Exception):
            raise interrupt from error

    def _settle(self, call: Call) -> None:
        session = self._session
        session.settle()
        if call.block is not None:
            call.block.is_open = False
        for artifact, given in call.touched.items():
            self._operations.give_back(artifact, given)
            owner = session.caches.drafting.get(artifact)
            self._forsake(artifact, keep_grant=owner is not None and owner() is not None)
        session.keeper.settle()

    def _forsake(self, artifact: str, *, keep_grant: bool = False) -> None:
        """Cancel what is under way for `artifact`, and its draft unless the grant is kept."""
        session = self._session
        if not keep_grant:
            session.caches.drafting.pop(artifact, None)
            session.release(artifact)
        batch = session.forsake(artifact, keep_grant=keep_grant)
        if batch:
            session.keeper.do(lambda: session.say(batch))

    # Calls that only look.

    def _history(self, name: str) -> Sequence[Entry]:
        return history_of(self._homes, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} of {self._session.shared.identity}>"


class _OfTask:
    """The context manager of a draft, while its task runs."""

    __slots__ = ("_edit", "_task")

    def __init__(self, edit: Owner, task: Any) -> None:
        self._edit, self._task = edit, task

    def __call__(self) -> object | None:
        """The context manager, or None if it can no longer end the draft."""
        return None if self._task.done() else self._edit()


class BaseEdit:
    """A context manager that owns a draft: if it is dropped before its exit, the draft is over."""

    def __init__(
        self,
        agent: BaseAgent,
        name: str,
        wait_s: float | None,
        hold_s: float,
        merge: object,
        resolve: object,
        reason: str,
        reads: Iterable[Ref | str],
    ) -> None:
        self._reads = agent._operations.read_by(name, reads)
        self._of, self._name, self._wait_s, self._hold_s = agent, name, wait_s, hold_s
        self._solving = check_resolving(merge, resolve, overwrite=False)
        self._reason = check_reason(reason)
        self._grant: Grant | None = None
        self._draft: Draft | None = None

    def _acquire(self) -> Operation[Grant]:
        return self._of._operations.acquire(self._name, self._wait_s, self._hold_s)

    def _own(self, grant: Grant, task: Any = None) -> Draft:
        """Own the draft under `grant`, until `task`, which runs the block, has ended."""
        base = grant.held if isinstance(grant.held, View) else None
        self._grant, self._draft = grant, Draft(self._name, base, self._of._is_awaited)
        session = self._of._session
        # The callback is a C function: an interrupt in a Python callback would be swallowed.
        owner: Owner = ref(self, session.keeper.inbox.put)
        if task is not None:
            owner = _OfTask(owner, task)
        session.caches.drafting[self._name] = owner
        session.keeper.own(session, self._name, owner)
        return self._draft

    def _finish(self, error: BaseException | None) -> Operation[None]:
        """Publish the draft; `error` is what its block raised."""
        assert self._draft is not None
        assert self._grant is not None
        return self._of._operations.finish(
            self._draft,
            self._grant,
            error,
            self._solving,
            self._reason,
            self._wait_s,
            self._reads,
        )

    def _drop(self) -> None:
        """The beginning or the end was cut off: settle the state that it left."""
        session = self._of._session

        def settle() -> None:
            session.settle()
            owner = session.caches.drafting.get(self._name)
            there = owner() if owner is not None else None
            self._of._forsake(self._name, keep_grant=there is not None and there is not self)
            session.keeper.settle()

        insist(settle)


class Agent(BaseAgent):
    """One agent of a workspace.  It does one thing at a time: give each thread its own agent.

    Every call raises `WorkspaceClosed`, `AgentLeft`, `AgentSuperseded`, `UsedAfterFork` or
    `AgentBusy` if it cannot be made, `InvalidName` for an invalid name, and `StoreFault` if the
    store fails.  Calls that change artifacts, `edit` and transactions raise `AgentReadOnly` if the
    agent was opened read-only.  A call that raises has changed nothing, except with
    `OutcomeUnknown`.
    """

    def __init__(self, session: Session, *, read_only: bool = False) -> None:
        super().__init__(session, Blocking(), read_only=read_only)

    def read(self, name: str, have: Ref | str | None = None, *, version: int | None = None) -> View:
        """The current version of an artifact, or the version `version`.

        `have` is the version that is still in the model's context: the answer may then be
        *unchanged*, or only the difference.  Raises `UnknownArtifact`, `UnknownVersion`,
        `ForeignRef`, `BadRef`.
        """
        if have is None and version is None:
            try:
                if (hit := self.cached(name)) is not None:
                    return hit
            except ToolkitError:
                self._session.require()
                raise
            except BaseException:
                insist(self._homes.settle)
                raise
        if version is not None:
            return self._run(self._operations.read_version(name, version))
        return self._run(self._operations.read(name, have))

    def write(
        self,
        name: str,
        content: Content,
        *,
        expect: Ref | str | int | None = None,
        overwrite: bool = False,
        merge: bool | Merge = False,
        resolve: Resolve | None = None,
        reason: str = "",
        wait_s: float | None = WAIT_S,
    ) -> Ref:
        """Publish `content`, derived from the version that this agent last read or wrote.

        `expect` names another base version, 0 for none; with `overwrite` the current content may be
        lost.  A write that changes nothing publishes nothing and returns the current ref.  If
        another agent holds the grant, the write waits for its turn, each time at most `wait_s`.

        If the base is not current, the write is a conflict.  With `merge` a text that changed other
        lines than the current version is merged and published; a function of the conflict merges
        other contents, and returns None where it cannot.  Then ``resolve(conflict)`` gives the
        content that is derived from the current version, at most five times; the agent may make
        other calls meanwhile.  Neither can be combined with `overwrite`.  The history keeps
        `reason`, one line of at most 200 characters.

        Raises `Conflict` if neither solves it, `GrantTimeout`, `InvalidContent`,
        `ContentTooLarge`, `QuotaExceeded`, `BadArgument`, and the errors of `resolve` and `merge`.
        """
        return self._run(
            self._operations.write(name, content, expect, overwrite, merge, resolve, reason, wait_s)
        )

    def update(
        self,
        name: str,
        function: Callable[[str], Content],
        *,
        initial: Content = "",
        must_exist: bool = False,
        resolve: Resolve | None = None,
        reason: str = "",
        wait_s: float | None = WAIT_S,
    ) -> View:
        """Replace the content by ``function(content)``, and retry if another agent was faster.

        `function` may be called several times.  From the second call on the agent holds a grant, so
        the number of calls is bounded under any contention.  A new artifact starts from `initial`;
        with `must_exist` it raises `UnknownArtifact` and creates nothing.

        With `resolve`, for a `function` that takes long, `function` is called once and without a
        grant, and conflicts are solved as in `write`.  Raises as `write` does, and the errors of
        `function`.
        """
        return self._run(
            self._operations.update(name, function, initial, must_exist, resolve, reason, wait_s)
        )

    def snapshot(
        self,
        names: Collection[str] | None = None,
        *,
        prefix: str | None = None,
        have: Iterable[Ref | str] | Mapping[str, Ref] = (),
    ) -> Snapshot:
        """Several artifacts as they were at one moment: ``snap = agent.snapshot(["plan", "api"])``.

        Reads `names`, or all that exist and begin with `prefix`; their contents are those of that
        moment.  `have` are versions that are still in the model's context, as in `read`.  The
        agent's next writes derive from what it was given.  Raises `UnknownVersion` if a version
        under `prefix` was replaced meanwhile and is not kept, `BadArgument`, `BadRef`,
        `ForeignRef`.
        """
        return self._run(self._operations.snapshot(names, prefix, have))

    def check(self, *refs: Ref | str) -> tuple[Ref, ...]:
        """Those of `refs` that are not current, as of one moment; empty if all are.

        A ref with number 0, as in `Snapshot.refs`, is current while the artifact was never written.
        Raises `BadRef`, `ForeignRef`.
        """
        return self._run(self._operations.check(refs))

    def transaction(
        self,
        reads: Collection[str] = (),
        *,
        reason: str = "",
        wait_s: float | None = WAIT_S,
    ) -> AgentTransaction:
        """Reads and writes that take effect at one moment: ``with agent.transaction() as tx: ...``.

        What the block has written through `tx` is published at its end, all of it or nothing, and
        only if everything that it has read is still current.  Nothing is held while it runs.  If it
        raises, or writes nothing, nothing happens.  `reads` are read at its beginning, in one call
        to the store.  The end waits at most `wait_s` for grants of other agents.

        Raises `Conflicts`, at a read or at the end, `GrantTimeout`, `OutcomeUnknown`, and as
        `write` does.
        """
        return self._transaction(reads, reason, wait_s)[1]

    def transact(
        self,
        function: Callable[[AgentTransaction], T],
        *,
        reason: str = "",
        wait_s: float | None = WAIT_S,
    ) -> T:
        """The result of ``function(tx)``, called again where its transaction is refused.

        `function` is called at most four times.  From the second call on the agent holds the grants
        of all names that it has read or written so far, so no other agent can change those: their
        writers wait as long as the call takes.  Raises as `transaction` does, and the errors of
        `function`.
        """

        def begin() -> tuple[Attempt, AgentTransaction]:
            return self._transaction((), reason, wait_s)

        operations = self._operations
        result: T = self._run(operations.transact(function, begin, self._through, wait_s))
        return result

    def _transaction(
        self, reads: Collection[str], reason: str, wait_s: float | None
    ) -> tuple[Attempt, AgentTransaction]:
        attempt = Attempt(reason, wait_s)
        return attempt, AgentTransaction(self._through, self._run, attempt, reads)

    def edit(
        self,
        name: str,
        *,
        reads: Iterable[Ref | str] = (),
        merge: bool | Merge = False,
        resolve: Resolve | None = None,
        reason: str = "",
        wait_s: float | None = WAIT_S,
        hold_s: float = HOLD_S,
    ) -> Edit:
        """An exclusive draft: ``with agent.edit("plan.md") as draft: draft.text += "..."``.

        Waits for its turn, at most `wait_s`.  Then no other agent can publish while the block runs,
        for at most `hold_s` and while this process lives.  The draft is published at the end of the
        block, unless it is unchanged or the block raised.  If its grant has ended by then, `merge`
        and `resolve` solve that as in `write`.  With `reads`, versions of other artifacts, it is
        published only if they are current then.  Raises `GrantTimeout` at the start; `Fenced` and
        `Conflicts` at the end.
        """
        return Edit(self, name, wait_s, hold_s, merge, resolve, reason, reads)

    def delete(
        self,
        name: str,
        *,
        expect: Ref | str | int | None = None,
        overwrite: bool = False,
        reason: str = "",
        wait_s: float | None = WAIT_S,
    ) -> Ref:
        """Delete an artifact; its history stays.  Raises as `write` does, and `UnknownArtifact`."""
        return self._run(self._operations.delete(name, expect, overwrite, reason, wait_s))

    def restore(self, ref: Ref | str, *, reason: str = "", wait_s: float | None = WAIT_S) -> Ref:
        """Publish the content of the earlier version `ref` again, such as ``plan.md@3``.

        The new version derives from the one that is current when the call begins, deleted or not,
        so nothing that is published meanwhile is lost.  Its reason in the history is "restored from
        @3", and `reason` after it.  If the current content is the same, its ref is the answer.
        Raises `Conflict` if another agent publishes during the call, `UnknownVersion`,
        `UnknownArtifact` for a deletion, and as `write` does.
        """
        return self._run(self._operations.restore(ref, reason, wait_s))

    def rename(self, name: str, to: str, *, reason: str = "") -> Ref:
        """Give an artifact another name, both steps or neither; its history stays under the old.

        Raises `Conflict` if `to` exists or either has just changed, and `UnknownArtifact`.
        """
        return self._run(self._operations.rename(name, to, reason))

    def list(self, prefix: str = "") -> Sequence[str]:
        """The names of the artifacts that exist, sorted."""
        self._session.require()
        return self._homes.look(self._homes.store.names, prefix)

    def history(self, name: str) -> Sequence[Entry]:
        """The kept versions, oldest first.  Raises `UnknownArtifact`."""
        self._session.require()
        return self._history(name)

    def watch(
        self,
        pattern: str = "*",
        *,
        since: Place | int | None = None,
        timeout_s: float | None = None,
    ) -> Watch:
        """The changes to artifacts that match `pattern`, from now or from `since` on, as they come.

        Ends after `timeout_s` without a change.  If the watcher is too slow for the kept log, a
        change has `missed` set.
        """
        self._session.require()
        return Watch(self._homes, self._follower, self._session.require, pattern, since, timeout_s)

    def leave(self) -> None:
        """Depart: give up every copy and grant.  Leaving again is fine."""
        self._session.leave()

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *error: object) -> None:
        self.leave()

    def _run(self, operation: Operation[T]) -> T:
        try:
            next(self._drive(operation, get_ident()))
        except StopIteration as done:
            result: T = done.value
            return result
        raise Defect("an operation for a thread has yielded")


class Edit(BaseEdit):
    """The context manager that `Agent.edit` gives."""

    def __init__(self, agent: Agent, *arguments: Any) -> None:
        super().__init__(agent, *arguments)
        self._agent = agent

    def __enter__(self) -> Draft:
        try:
            return self._own(self._agent._run(self._acquire()))
        except ToolkitError:
            raise
        except BaseException:
            self._drop()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with suppress(ToolkitError) if error is not None else nullcontext():
                self._agent._run(self._finish(error))
        except ToolkitError:
            raise
        except BaseException:
            self._drop()
            raise


class Blocking:
    """Waits for a thread: each step blocks it."""

    may_block = True

    def call(self, work: Callable[..., T], *arguments: object) -> Operation[T]:
        """See `Waits.call`."""
        yield from ()
        return work(*arguments)

    def compute(self, work: Callable[[], T]) -> Operation[T]:
        """See `Waits.compute`."""
        yield from ()
        return work()

    def answer(self, session: Session, asked: Asked) -> Operation[Result]:
        """See `Waits.answer`."""
        yield from ()
        return session.wait(asked)

    def value(self, made: Any) -> Operation[Any]:
        """See `Waits.value`."""
        yield from ()
        return made
