"""What an agent for threads and one for tasks have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coherence.workspace.caches import READABLE
from coherence.workspace.effects import Effect, Hold, LetGo
from coherence.workspace.requester import Requester
from coherence.workspace.view import View
from coherence.workspace.writing import Writing

if TYPE_CHECKING:
    from coherence.workspace.workspace import Workspace


class Front:
    """One agent as its application sees it; the two kinds differ in how they wait."""

    def __init__(self, workspace: Workspace, requester: Requester, operations: Writing) -> None:
        self._workspace = workspace
        self._requester = requester
        self._operations = operations
        self._exchange = requester.exchange
        self._states = requester.caches.states
        self._quick = workspace.quick
        self._shared = workspace.shared

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
        against the table.  Where others can change the store, it is asked whether they did.
        """
        if not self._quick:
            return None
        try:
            state = self._states.get(name)
        except TypeError:
            return None
        if (
            state is not None
            and state.at in READABLE
            and type(state.content) is View
            and (not self._shared or self._exchange.fresh)
        ):
            self._operations.hit(name)
            view: View = state.content
            return view
        return None

    def _is_awaited(self, name: str) -> bool:
        if self._shared:
            self._exchange.refresh()
        return name in self._requester.caches.asked_to_finish

    def _note(self, effect: Effect) -> None:
        if type(effect) is Hold:
            self._workspace.hold(self._requester, effect)
        elif type(effect) is LetGo:
            self._workspace.let_go(self._requester, effect.artifact)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} of {self._workspace.identity}>"
