"""A transaction: what it has read, and what it will write at the end of its block."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import nullcontext, suppress
from enum import Enum
from types import TracebackType
from typing import Any, Final, TypeAlias, TypeVar, overload

import msgspec

from coherence.conflict import Conflicts
from coherence.contents import Content, Kind
from coherence.refs import Ref
from coherence.runtime.keeper import Grant
from coherence.view import Cached, View
from coherence.workspace.resolving import Wanted
from message_passing.errors import ToolkitError

D = TypeVar("D")

Operations: TypeAlias = Callable[[], Any]
"""Returns the operations of an agent."""


class Missing(Enum):
    """What a read does about an artifact that does not exist."""

    RAISES = "raises UnknownArtifact"


class Attempt(msgspec.Struct, eq=False, weakref=True):
    """One attempt at a transaction.  Nothing of it is in the store before its commit."""

    reason: str
    wait_s: float | None
    #: What it has read, as of its last cut; number 0 if there was nothing.
    reads: dict[str, Ref] = {}
    #: The contents of those that were written.
    held: dict[str, Cached] = {}
    #: What it will write.
    writes: dict[str, Wanted] = {}
    #: New name -> the name under which its content is to be found.
    renames: dict[str, str] = {}
    #: Deletions of what was not read: they are read before the commit.
    unseen: set[str] = set()
    grants: dict[str, Grant] = {}
    is_open: bool = False
    #: The task that runs its block.
    task: Any = None
    #: Why it is refused.
    refusal: Conflicts | None = None
    #: The versions that it has published.
    refs: dict[str, Ref] | None = None

    @property
    def name(self) -> str:
        """The names that it writes, as one text."""
        return ", ".join(sorted({*self.writes, *self.renames}))

    @property
    def is_under_way(self) -> bool:
        """Whether its block has begun and not ended."""
        return self.is_open and not (self.task is not None and self.task.done())

    def change(self) -> bool:
        """Whether it has something to write."""
        return bool(self.writes or self.renames)


class BaseTransaction:
    """What transactions for threads and for tasks share."""

    def __init__(self, operations: Operations, attempt: Attempt) -> None:
        self._operations, self._attempt = operations, attempt

    @property
    def reads(self) -> Mapping[str, Ref]:
        """What it has read so far; the number is 0 if there was nothing."""
        return self._attempt.reads

    @property
    def writes(self) -> Mapping[str, Content | None]:
        """The contents that it will write, None for a deletion.  Some renamed ones come later."""
        return {
            name: None if wanted.handle.kind is Kind.TOMBSTONE else wanted.content
            for name, wanted in self._attempt.writes.items()
        }

    @property
    def refs(self) -> Mapping[str, Ref] | None:
        """The versions that it has published, deletions too; None before its block has ended."""
        return self._attempt.refs

    def write(
        self,
        name: str,
        content: Content,
        *,
        expect: Ref | str | int | None = None,
        overwrite: bool = False,
        reason: str = "",
    ) -> None:
        """Write `content` at the end of the block, derived from what this transaction has read.

        If it has not read `name`, the content derives from nothing, so an existing artifact is a
        conflict, unless `expect` names the base, or `overwrite` allows its loss.  A second write of
        a name replaces the first.  Raises `InvalidContent`, `ContentTooLarge`, `BadArgument`.
        """
        self._operations().tx_write(self._attempt, name, content, expect, overwrite, reason)

    def delete(
        self,
        name: str,
        *,
        expect: Ref | str | int | None = None,
        overwrite: bool = False,
        reason: str = "",
    ) -> None:
        """Delete an artifact at the end of the block; one that was not read is read then.

        Raises `UnknownArtifact`, here or at the end.
        """
        self._operations().tx_delete(self._attempt, name, expect, overwrite, reason)

    def rename(self, name: str, to: str, *, reason: str = "") -> None:
        """Give an artifact another name at the end of the block; see `delete`."""
        self._operations().tx_rename(self._attempt, name, to, reason)

    def _ending(self, error: BaseException | None) -> Any:
        """The operation that ends the block."""
        operations, attempt = self._operations(), self._attempt
        if error is None and attempt.change():
            return operations.tx_commit(attempt)
        return operations.tx_end(attempt, error)


class AgentTransaction(BaseTransaction):
    """A transaction of an agent for threads; see `Agent.transaction`."""

    def __init__(
        self,
        operations: Operations,
        run: Callable[[Any], Any],
        attempt: Attempt,
        names: Collection[str] = (),
    ) -> None:
        super().__init__(operations, attempt)
        self._run, self._names = run, names

    @overload
    def read(self, name: str, have: Ref | str | None = None) -> View: ...

    @overload
    def read(self, name: str, have: Ref | str | None = None, *, missing: D) -> View | D: ...

    def read(
        self, name: str, have: Ref | str | None = None, *, missing: Any = Missing.RAISES
    ) -> Any:
        """The version that is current together with everything that was read before.

        A second read of a name gives the same version.  `missing` is returned if there is no such
        artifact; that is a read like any other.  Raises `Conflicts` if something that was read
        before has moved since, and as `Agent.read` does.
        """
        return self._run(self._operations().tx_read(self._attempt, name, have, missing))

    def __enter__(self) -> AgentTransaction:
        try:
            self._run(self._operations().tx_begin(self._attempt, self._names))
        except BaseException:
            self._attempt.is_open = False
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with suppress(ToolkitError) if error is not None else nullcontext():
                self._run(self._ending(error))
        finally:
            self._attempt.is_open = False


class AsyncAgentTransaction(BaseTransaction):
    """A transaction of an agent for tasks: its reads are awaited; see `AsyncAgent.transaction`."""

    def __init__(
        self,
        operations: Operations,
        run: Callable[[Any], Awaitable[Any]],
        attempt: Attempt,
        task: Callable[[], Any],
        names: Collection[str] = (),
    ) -> None:
        super().__init__(operations, attempt)
        self._run, self._task, self._names = run, task, names

    @overload
    async def read(self, name: str, have: Ref | str | None = None) -> View: ...

    @overload
    async def read(self, name: str, have: Ref | str | None = None, *, missing: D) -> View | D: ...

    async def read(
        self, name: str, have: Ref | str | None = None, *, missing: Any = Missing.RAISES
    ) -> Any:
        """See `AgentTransaction.read`."""
        return await self._run(self._operations().tx_read(self._attempt, name, have, missing))

    async def __aenter__(self) -> AsyncAgentTransaction:
        self._attempt.task = self._task()
        try:
            await self._run(self._operations().tx_begin(self._attempt, self._names))
        except BaseException:
            self._attempt.is_open = False
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with suppress(ToolkitError) if error is not None else nullcontext():
                await self._run(self._ending(error))
        finally:
            self._attempt.is_open = False


#: How many artifacts one transaction reads and writes at most.
NAMES_MAX: Final = 64
