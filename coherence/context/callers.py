"""The callers of one adapter's file tools, each with what it has seen; and the form of their calls.

A caller is a conversation, however its framework names it: a session, a thread, a subagent's task.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable, Sequence
from contextvars import copy_context
from functools import partial, wraps
from hashlib import blake2b
from threading import Lock
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from coherence.context.desk import Desk
from coherence.context.files import Files
from coherence.context.reader import OnUnread, check_unread
from coherence.context.values import quoted
from coherence.errors import BadArgument
from coherence.workspace.threads import TaskThreads
from coherence.workspace.workspace import Workspace
from message_passing.errors import ToolkitError

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")

#: The callers whose reads are remembered.
CALLERS_MAX = 1024


class Callers(Generic[C]):
    """What `made` makes of the files of each caller, for the newest `most` callers.

    One that was left out has seen nothing.  Raises `BadArgument`.
    """

    def __init__(
        self,
        workspace: Workspace,
        unread: OnUnread,
        made: Callable[[Files], C],
        most: int = CALLERS_MAX,
    ) -> None:
        check_unread(unread, "raise")
        if most < 1:
            raise BadArgument(f"cannot keep {most} callers", remedy="1 or more")
        self._workspace, self._unread, self._made, self._most = workspace, unread, made, most
        self._callers: OrderedDict[Hashable, tuple[C, object]] = OrderedDict()
        self._busy = Lock()

    def of(self, key: Hashable, name: str, known: Sequence[str] | None, kept: object = None) -> C:
        """The caller under `key`.  A new one is the agent `name`, with a mark that tells it apart.

        The mark is made from the texts `known`, so it is the same after a restart; for None it is
        random; without texts the name has no mark.  `kept` stays in memory for as long as the
        caller does.  Raises as `Desk` does.
        """
        with self._busy:
            if key not in self._callers:
                files = Files(Desk(self._workspace, _agent(name, known)), self._unread)
                self._callers[key] = self._made(files), kept
                if len(self._callers) > self._most:
                    self._callers.popitem(last=False)
            self._callers.move_to_end(key)
            return self._callers[key][0]


def _agent(name: str, known: Sequence[str] | None) -> str:
    parts = [secrets.token_hex(8)] if known is None else known
    mark = blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=4).hexdigest()
    return quoted(name)[:80] + f".{mark}" * bool(parts)


class Holder:
    """An object of an adapter over a workspace, which it closes if it has opened it.

    Raises as `Workspace` does.
    """

    def __init__(self, over: Workspace | str) -> None:
        super().__init__()
        self._owned = not isinstance(over, Workspace)
        self.workspace = over if isinstance(over, Workspace) else Workspace(over)
        self._threads = TaskThreads(blocks=True)

    def close(self) -> None:
        """Close the workspace, unless it was passed in."""
        self._threads.close()
        if self._owned:
            self.workspace.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    async def aside(self, call: Callable[..., R], *given: object) -> R:
        """Call `call`, which may block, on behalf of the task that asks."""
        return await self._threads.run(copy_context().run, call, *given)

    def why(self, error: ToolkitError, path: str) -> str:
        """The text of a refusal."""
        return str(error)


def answering(
    result: Callable[..., R], begins: str = ""
) -> Callable[[Callable[Concatenate[Any, P], R]], Callable[Concatenate[Any, P], R]]:
    """For calls of a `Holder` whose errors are in their results, beside the first argument.

    An error becomes ``result(error=text)``, where the text begins as given.
    """

    def decorated(call: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
        @wraps(call)
        def answered(self: Any, /, *given: P.args, **named: P.kwargs) -> R:
            try:
                return call(self, *given, **named)
            except ToolkitError as error:
                path = (*given, *named.values())[0]
                return result(error=begins + self.why(error, str(path)))

        return answered

    return decorated


def awaited(
    call: Callable[Concatenate[Any, P], R],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """A call of a `Holder`, for a task of an event loop."""

    @wraps(call)
    async def twin(self: Any, /, *given: P.args, **named: P.kwargs) -> R:
        found: R = await self.aside(partial(call, self, *given, **named))
        return found

    return twin
