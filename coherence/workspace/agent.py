"""An agent, for threads: every call blocks until it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from threading import get_ident
from types import TracebackType
from typing import TypeVar

from coherence.contents import Content
from coherence.refs import Ref, check_name
from coherence.stores.port import Entry
from coherence.workspace.changes import Watch
from coherence.workspace.draft import Draft
from coherence.workspace.effects import Apply, Ask, AskAll, Compare, Effect, Fetch, Operation
from coherence.workspace.exchange import again
from coherence.workspace.front import Call, Front
from coherence.workspace.view import View
from coherence.workspace.writing import HOLD_S, WAIT_S
from message_passing.errors import ToolkitError

T = TypeVar("T")


class Agent(Front):
    """One agent of a workspace.  It does one thing at a time: give each thread its own agent.

    Every call raises `WorkspaceClosed`, `AgentLeft`, `AgentSuperseded`, `UsedAfterFork` or
    `AgentBusy` if it cannot be made, `InvalidName` for an invalid name, and `StoreFault` if the
    store fails.  A call that raises has changed nothing, except with `OutcomeUnknown`.
    """

    def read(self, name: str, have: Ref | str | None = None, *, version: int | None = None) -> View:
        """The current version of an artifact, or the version `version`.

        `have` is the version that is still in the model's context: the answer may then be
        *unchanged*, or only the difference.  Raises `UnknownArtifact`, `UnknownVersion`,
        `ForeignRef`, `BadRef`.
        """
        if have is None and version is None:
            try:
                if (hit := self._hit(name)) is not None:
                    return hit
            except ToolkitError:
                self._requester.require()
                raise
            except BaseException:
                again(self._exchange.settle)
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
        wait_s: float | None = WAIT_S,
    ) -> Ref:
        """Publish `content`, derived from the version that this agent last read or wrote.

        `expect` names another base version, 0 for none; with `overwrite` the current content may be
        lost.  A write that changes nothing publishes nothing and returns the current ref.  If
        another agent holds the grant, the write waits for its turn, at most `wait_s`.  Raises
        `Conflict` if the base version is not current, `GrantTimeout`, `InvalidContent`,
        `ContentTooLarge`, `QuotaExceeded`.
        """
        return self._run(self._operations.write(name, content, expect, overwrite, wait_s))

    def update(
        self,
        name: str,
        function: Callable[[str], Content],
        *,
        initial: Content = "",
        wait_s: float | None = WAIT_S,
    ) -> View:
        """Replace the content by ``function(content)``, and retry if another agent was faster.

        `function` may be called several times.  From the second call on the agent holds a grant, so
        the number of calls is bounded under any contention.  A new artifact starts from `initial`.
        Raises as `write` does, and the errors of `function`.
        """
        return self._run(self._operations.update(name, function, initial, wait_s))

    def edit(self, name: str, *, wait_s: float | None = WAIT_S, hold_s: float = HOLD_S) -> Edit:
        """An exclusive draft: ``with agent.edit("plan.md") as draft: draft.text += "..."``.

        Waits for its turn, at most `wait_s`.  Then no other agent can publish while the block runs,
        for at most `hold_s` and while this process lives.  The draft is published at the end of the
        block, unless it is unchanged or the block raised.  Raises `GrantTimeout` at the start and
        `Fenced` at the end.
        """
        return Edit(self, name, wait_s, hold_s)

    def delete(
        self,
        name: str,
        *,
        expect: Ref | str | int | None = None,
        overwrite: bool = False,
        wait_s: float | None = WAIT_S,
    ) -> Ref:
        """Delete an artifact; its history stays.  Raises as `write` does, and `UnknownArtifact`."""
        return self._run(self._operations.delete(name, expect, overwrite, wait_s))

    def rename(self, name: str, to: str) -> Ref:
        """Give an artifact another name, both steps or neither; its history stays under the old.

        Raises `Conflict` if `to` exists or either has just changed, and `UnknownArtifact`.
        """
        return self._run(self._operations.rename(name, to))

    def list(self, prefix: str = "") -> Sequence[str]:
        """The names of the artifacts that exist, sorted."""
        self._requester.require()
        return self._workspace.names(prefix)

    def history(self, name: str) -> Sequence[Entry]:
        """The kept versions, oldest first.  Raises `UnknownArtifact`."""
        self._requester.require()
        return self._workspace.history(check_name(name))

    def watch(
        self, pattern: str = "*", *, since: int | None = None, timeout_s: float | None = None
    ) -> Watch:
        """The changes to artifacts that match `pattern`, from now or from `since` on, as they come.

        Ends after `timeout_s` without a change.  If the watcher is too slow for the kept log, a
        change has `missed` set.
        """
        self._requester.require()
        return Watch(self._exchange, self._requester.require, pattern, since, timeout_s)

    def leave(self) -> None:
        """Depart: give up every copy and grant.  Leaving again is fine."""
        self._workspace.part(self._requester)

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *error: object) -> None:
        self.leave()

    # Carries out the effects of operations.

    def _run(self, operation: Operation[T]) -> T:
        call = Call(get_ident())
        try:
            try:
                self._requester.require()
                if self._turn.setdefault("call", call) is not call:
                    self._begin_within(call)
                done = self._carry_out(call, operation)
                if call.within is None:
                    del self._turn["call"]
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

    def _carry_out(self, call: Call, operation: Operation[T]) -> T:
        try:
            effect = next(operation)
            while True:
                try:
                    outcome = self._perform(call, effect)
                except BaseException as error:
                    if call.is_cut_off_by(error):
                        raise
                    effect = operation.throw(error)
                else:
                    effect = operation.send(outcome)
        except StopIteration as done:
            result: T = done.value
            return result

    def _perform(self, call: Call, effect: Effect) -> object:
        requester = self._requester
        if type(effect) is Ask:
            if effect.artifact not in call.touched:
                call.touched[effect.artifact] = self._operations.given(effect.artifact)
            answer = requester.ask(effect.artifact, effect.request)
            return answer if answer is not None else requester.wait(effect.artifact)
        if type(effect) is Fetch:
            return self._exchange.look(self._exchange.store.read, effect.artifact, effect.version)
        if type(effect) is Apply:
            call.lent = True
            try:
                made = effect.function(effect.argument)
            except BaseException as error:
                call.theirs = error
                raise
            finally:
                call.lent = False
            return made
        if type(effect) is Compare:
            return effect.words()
        if type(effect) is AskAll:
            for ask in effect.asks:
                call.touched.setdefault(ask.artifact, self._operations.given(ask.artifact))
            refused = requester.ask_all(effect.asks)
            if refused is None:
                for ask in effect.asks:
                    if requester.take(ask.artifact) is None:
                        requester.wait(ask.artifact)
            return refused
        self._note(effect)
        return None


class Edit:
    """The context manager that `Agent.edit` gives.

    It owns the draft: if it is dropped before its exit, the grant is given back.
    """

    def __init__(self, agent: Agent, name: str, wait_s: float | None, hold_s: float) -> None:
        self._agent, self._name, self._wait_s, self._hold_s = agent, name, wait_s, hold_s
        self._draft: Draft | None = None

    def __enter__(self) -> Draft:
        agent = self._agent
        try:
            grant = agent._run(agent._operations.acquire(self._name, self._wait_s, self._hold_s))
            self._draft = Draft(grant, agent._is_awaited)
            agent._own(self, self._name)
            return self._draft
        except ToolkitError:
            raise
        except BaseException:
            agent._drop(self, self._name)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        agent = self._agent
        try:
            assert self._draft is not None
            with suppress(ToolkitError) if error is not None else nullcontext():
                agent._run(self._draft.finish(agent._operations, error))
        except ToolkitError:
            raise
        except BaseException:
            agent._drop(self, self._name)
            raise
