"""The common part of agents for threads and agents for tasks.

Each call has one beginning and one end.  Everything that it acquires is recorded where `_undo`
finds it: the agent's turn here, requests and grants in the caches, locks and transactions by
thread.  After an exception at any instruction, `_undo` restores order without asking the store; the
keeper passes on the messages that homes need.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any
from weakref import ref

from coherence.errors import AgentBusy
from coherence.workspace.caches import READABLE, Owner
from coherence.workspace.effects import Effect, Hold, LetGo
from coherence.workspace.exchange import again
from coherence.workspace.reading import Given
from coherence.workspace.requester import Requester
from coherence.workspace.view import View
from coherence.workspace.writing import Writing
from message_passing.errors import ToolkitError
from message_passing.interrupts import free

if TYPE_CHECKING:
    import asyncio

    from coherence.workspace.workspace import Workspace


class Call:
    """One call of an agent, from its beginning to its end."""

    #: The enclosing call of the same caller, if the function of an `update` makes this one.
    within: Call | None = None
    #: Whether a function of the application runs, which may make calls too.
    lent = False
    #: The error of that function.
    theirs: BaseException | None = None

    def __init__(self, caller: Any) -> None:
        #: The thread or the task that makes it.
        self.caller = caller
        #: The artifacts that it asked for, and the versions the application had before.
        self.touched: dict[str, Given] = {}

    def is_cut_off_by(self, error: BaseException) -> bool:
        """Whether `error` ends the call in the middle.

        A typed error, or one of the application's function, leaves nothing behind.
        """
        return not (isinstance(error, ToolkitError) or error is self.theirs)

    @property
    def is_over(self) -> bool:
        """Whether its thread or task has left it: its end was cut off too."""
        if not isinstance(self.caller, int):
            return bool(self.caller is not None and self.caller.done())
        frame = sys._current_frames().get(self.caller)
        while frame is not None:
            if frame.f_locals.get("call") is self:
                return False
            frame = frame.f_back
        return True


class OfTask:
    """The context manager of a draft, while its task runs."""

    __slots__ = ("_edit", "_task")

    def __init__(self, edit: Owner, task: asyncio.Task[Any]) -> None:
        self._edit, self._task = edit, task

    def __call__(self) -> object | None:
        """The context manager, or None if it can no longer end the draft."""
        return None if self._task.done() else self._edit()


class Front:
    """The public calls of one agent; the two kinds differ in how they wait."""

    def __init__(self, workspace: Workspace, requester: Requester, operations: Writing) -> None:
        self._workspace = workspace
        self._requester = requester
        self._operations = operations
        self._exchange = requester.exchange
        self._states = requester.caches.states
        self._bases = requester.caches.bases
        self._used = requester.caches.used
        self._quick = workspace.quick
        self._shared = workspace.shared
        #: Empty, or the call under way: added and removed by one instruction each.
        self._turn: dict[str, Call] = {}

    @property
    def name(self) -> str:
        """The agent's name, which its versions carry as author."""
        return self._requester.caches.address

    def forget(self, name: str | None = None) -> None:
        """Say that the model's context has lost what was read, of one artifact or of all.

        The next read is full, with any `have`.  Does not block.
        """
        self._requester.require()
        self._operations.forget(name)

    def _hit(self, name: str) -> View | None:
        """The cached copy, if it may be served at once: the rows (S E M, Load).

        They make no transition and send no message, so there is no step; a test compares this with
        the table.  If others can change the store, the store is asked first and the copy looked up
        after: the answer does not cover a copy that was looked up before.
        """
        if not self._quick:
            return None
        exchange = self._exchange
        if self._shared and not exchange.fresh:
            return None
        try:
            state = self._states.get(name)
        except TypeError:
            return None
        if (
            state is not None
            and state.at in READABLE
            and type(state.content) is View
            and not (exchange.at_store and exchange.moves(name))
            and name not in self._bases
        ):
            operations = self._operations
            operations.metrics.hits += 1
            self._used.add(name)
            if operations.forgets:
                operations.remember(name)
            view: View = state.content
            return view
        return None

    def _is_awaited(self, name: str) -> bool:
        try:
            if self._shared:
                self._exchange.refresh()
        except ToolkitError:
            raise
        except BaseException:
            again(self._exchange.settle)
            raise
        return name in self._requester.caches.asked_to_finish

    def _note(self, effect: Effect) -> None:
        if type(effect) is Hold:
            self._workspace.hold(self._requester, effect)
        elif type(effect) is LetGo:
            self._workspace.let_go(self._requester, effect.artifact)

    # A call's beginning, and its end.

    def _begin_within(self, call: Call) -> None:
        """Begin inside the call that has the turn.  Raises `AgentBusy`."""
        holder = self._turn.setdefault("call", call)
        if holder is not call and not holder.lent and holder.is_over:
            self._undo(holder, KeyboardInterrupt())
            holder = self._turn.setdefault("call", call)
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
        elif self._turn.get("call") is call:
            del self._turn["call"]

    def _undo(self, call: Call, error: BaseException) -> None:
        """End a call that raised `error`; if it was cut off, settle the state that it left."""
        if not call.is_cut_off_by(error):
            return

        def settle() -> None:
            self._settle(call)
            self._end(call)

        interrupt = again(settle)
        if interrupt is not None and isinstance(error, Exception):
            raise interrupt from error

    def _settle(self, call: Call) -> None:
        free(self._requester._asking)
        self._exchange.settle()
        for artifact, given in call.touched.items():
            self._operations.give_back(artifact, given)
            owner = self._requester.caches.drafting.get(artifact)
            self._forsake(artifact, keep_grant=owner is not None and owner() is not None)
        self._workspace.keeper.settle()

    def _forsake(self, artifact: str, *, keep_grant: bool = False) -> None:
        """Cancel what is under way for `artifact`, and its draft unless the grant is kept."""
        if not keep_grant:
            self._requester.caches.drafting.pop(artifact, None)
            self._workspace.let_go(self._requester, artifact)
        batch = self._requester.forsake(artifact, keep_grant=keep_grant)
        if batch:
            self._workspace.keeper.do(lambda: self._requester.say(batch))

    def _own(self, edit: object, artifact: str, task: asyncio.Task[Any] | None = None) -> None:
        """`edit` owns the draft of `artifact`: if it is dropped, the draft is over.

        The draft is also over when `task`, which runs its block, has ended.
        """
        keeper = self._workspace.keeper
        # The callback is a C function: an interrupt in a Python callback would be swallowed.
        owner: Owner = ref(edit, keeper.inbox.put)
        if task is not None:
            owner = OfTask(owner, task)
        self._requester.caches.drafting[artifact] = owner
        keeper.own(self._requester, artifact, owner)

    def _drop(self, edit: object, artifact: str) -> None:
        """The beginning or the end of `edit` was cut off: settle the state that it left."""

        def settle() -> None:
            free(self._requester._asking)
            self._exchange.settle()
            owner = self._requester.caches.drafting.get(artifact)
            there = owner() if owner is not None else None
            self._forsake(artifact, keep_grant=there is not None and there is not edit)
            self._workspace.keeper.settle()

        again(settle)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} of {self._workspace.identity}>"
