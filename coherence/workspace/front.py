"""What an agent for threads and one for tasks have in common.

Each call has one beginning and one end.  What it takes on its way lies where `_undo` finds it: the
agent's turn here, requests and grants in the caches, locks and transactions with the thread that
took them.  Whatever cuts a call off, and wherever, `_undo` puts things in order without asking the
store; what homes must hear of it, the keeper passes on.
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

    #: The call of the same caller that this one is made within: by an `update`'s function.
    within: Call | None = None
    #: Whether a function of the application's runs, which may make calls of its own.
    lent = False
    #: What that function raised.
    theirs: BaseException | None = None

    def __init__(self, caller: Any) -> None:
        #: The thread or the task that makes it.
        self.caller = caller
        #: The artifacts that it asked for, and what the application had of them before.
        self.touched: dict[str, Given] = {}

    def is_cut_off_by(self, error: BaseException) -> bool:
        """Whether it ends somewhere in the middle.

        An error of ours, or of the application's function, comes through with nothing left behind.
        """
        return not (isinstance(error, ToolkitError) or error is self.theirs)

    @property
    def is_over(self) -> bool:
        """Whether its thread or task is not in it any more: its end was cut off too."""
        if not isinstance(self.caller, int):
            return bool(self.caller is not None and self.caller.done())
        frame = sys._current_frames().get(self.caller)
        while frame is not None:
            if frame.f_locals.get("call") is self:
                return False
            frame = frame.f_back
        return True


class OfTask:
    """What will leave a draft, for as long as its task runs."""

    __slots__ = ("_edit", "_task")

    def __init__(self, edit: Owner, task: asyncio.Task[Any]) -> None:
        self._edit, self._task = edit, task

    def __call__(self) -> object | None:
        """The context manager, or None where it will never leave the draft."""
        return None if self._task.done() else self._edit()


class Front:
    """One agent as its application sees it; the two kinds differ in how they wait."""

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
        #: Empty, or the call that is under way: put and taken by one instruction each.
        self._turn: dict[str, Call] = {}

    @property
    def name(self) -> str:
        """Under which others know this agent's work."""
        return self._requester.caches.address

    def forget(self, name: str | None = None) -> None:
        """Say that what was read is no longer in the model's context, of one artifact or of all.

        The next read is full, whatever `have` it names.  Does not block.
        """
        self._requester.require()
        self._operations.forget(name)

    def _hit(self, name: str) -> View | None:
        """The cached copy, where it may be served as it is: the rows (S E M, Load).

        They make no transition and send no message, so nothing is stepped; a test holds this
        against the table.  Where others can change the store, it is asked whether they did, before
        the copy is looked up: the answer covers no copy that was taken before.
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
        """The turn is another call's: begin as a part of that call.  Raises `AgentBusy`."""
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
        """The call is over.  May be done twice."""
        if call.within is not None:
            call.within.lent = True
        elif self._turn.get("call") is call:
            del self._turn["call"]

    def _undo(self, call: Call, error: BaseException) -> None:
        """End a call that raised `error`; where that has cut it off, put in order what it left."""
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
        """Give up what is under way for `artifact`, and its draft unless the grant is kept."""
        if not keep_grant:
            self._requester.caches.drafting.pop(artifact, None)
            self._workspace.let_go(self._requester, artifact)
        batch = self._requester.forsake(artifact, keep_grant=keep_grant)
        if batch:
            self._workspace.keeper.do(lambda: self._requester.say(batch))

    def _own(self, edit: object, artifact: str, task: asyncio.Task[Any] | None = None) -> None:
        """`edit` will leave the draft of `artifact`; where it is dropped, the draft is over.

        So it is where `task`, which is in its block, has ended.
        """
        keeper = self._workspace.keeper
        # No code of ours runs when it is dropped: an interrupt there would be swallowed.
        owner: Owner = ref(edit, keeper.inbox.put)
        if task is not None:
            owner = OfTask(owner, task)
        self._requester.caches.drafting[artifact] = owner
        keeper.own(self._requester, artifact, owner)

    def _drop(self, edit: object, artifact: str) -> None:
        """The beginning or the end of `edit` was cut off: put in order what it left."""

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
