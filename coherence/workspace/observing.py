"""The calls of agents as observations: what each has read and written, in `Observations`.

A call that raises a typed error has changed nothing, and one whose outcome is unknown, or that was
cut off, may have taken effect.  A read that finds nothing is an observation too.  A plain cached
read may be as old as its policy's `validity`, if that is in force.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from coherence.conflict import Conflict
from coherence.contents import Kind
from coherence.errors import OutcomeUnknown, UnknownArtifact
from coherence.messages import Version
from coherence.refs import Ref
from coherence.runtime.observations import Mark, Observations, mark_in, mark_of
from coherence.view import Gone, View
from coherence.workspace.reading import Layer, Operation
from message_passing.errors import Defect, ToolkitError
from message_passing.ports import Clock

T = TypeVar("T")

Seen: TypeAlias = dict[str, tuple[Version, Mark]]

#: Calls of `Writing` -> how each is observed.
_READS: Final = ("read", "read_version")
_WRITES: Final = ("write", "update", "delete", "rename", "restore")


class Observed(Layer):
    """The operations of one agent, each observed."""

    def __init__(self, observations: Observations, agent: Any, operations: Any) -> None:
        super().__init__(operations)
        self._file, self._agent = observations, agent.name
        self._caches = operations.session.shared.caches
        #: The writes that changed nothing in calls within the call under way.
        self._same_within = 0
        #: When the block of each transaction has begun.
        self._begun: WeakKeyDictionary[Any, float] = WeakKeyDictionary()

    def __getattr__(self, name: str) -> Any:
        made = getattr(self.plain, name)
        observe = _OBSERVED.get(name)
        return made if observe is None else partial(observe, self, name, made)

    # Plain calls.

    def _read(self, name: str, made: Callable[..., Operation[View]], *given: Any) -> Operation[Any]:
        """A read of the current version, or of one from the history."""
        artifact, current = given[0], name == "read"
        more: dict[str, Any] = {"agent": self._agent} if current else {}
        if current and isinstance(artifact, str):
            # None where each read is validated.
            stale_s = self._caches.processes[artifact][0].policy.validity
            more |= {"stale_s": stale_s} if stale_s else {}
        call = self._begin(name, {}, **more)
        try:
            view = yield from made(*given)
        except UnknownArtifact:
            self._file.end(call, "ok", read=self._absent(artifact) if current else None)
            raise
        except BaseException as error:
            self._file.end(call, _outcome(error))
            raise
        seen = {view.ref.name: (view.ref.version, self._file.mark(view))}
        if current:
            self._file.end(call, "ok", read=seen)
        else:
            self._file.end(call, "ok", past=seen)
        return view

    def _absent(self, artifact: str) -> Seen | None:
        """Nothing was there: no version, or a deletion."""
        base, state, _ = self.plain.given(artifact)
        if base is not None or state is None:
            return {artifact: (base[0] if base is not None else 0, None)}
        if state.version and not isinstance(state.content, Gone):
            return None
        return {artifact: (state.version, None)}

    def _write(self, name: str, made: Callable[..., Operation[T]], *given: Any) -> Operation[T]:
        """A call that publishes a version, or two for a renaming."""
        artifact = str(getattr(given[0], "name", given[0]))
        wanted: dict[str, Mark] = {artifact: ""}
        if name == "restore":
            wanted = {artifact.rpartition("@")[0] or artifact: ""}
        elif name == "delete":
            wanted = {artifact: None}
        elif name == "rename":
            wanted = {artifact: None, str(given[1]): ""}
        elif name == "write" and given[4] is False and given[5] is None:
            wanted = {artifact: mark_of(given[1])}
        return (yield from self._written(name, wanted, made(*given)))

    def _finish(self, name: str, made: Callable[..., Operation[T]], *given: Any) -> Operation[T]:
        """The end of a draft, which publishes nothing if its block raised or changed nothing."""
        draft, error = given[0], given[2]
        if error is not None or not draft.changed:
            return (yield from made(*given))
        reads: tuple[Ref, ...] = given[6] if len(given) > 6 else ()
        wanted = {draft.name: mark_of(draft.content) if given[3] == (None, None) else ""}
        read = {ref.name: (ref.version, mark_in(ref)) for ref in reads}
        return (yield from self._written("edit", wanted, made(*given), draft, read))

    def _written(
        self,
        name: str,
        wanted: dict[str, Mark],
        operation: Operation[T],
        draft: Any = None,
        read: Seen | None = None,
    ) -> Operation[T]:
        totals, outer, self._same_within = self.plain.account.totals, self._same_within, 0
        before = totals["same"]
        call = self._begin(name, wanted, agent=self._agent)
        try:
            answer = yield from operation
        except BaseException as error:
            self._file.end(call, _outcome(error), read=_refused_by(error))
            raise
        finally:
            every = totals["same"] - before
            same, self._same_within = every > self._same_within, outer + every
        found: Any = draft.ref if draft is not None else answer
        ref: Ref = found.ref if isinstance(found, View) else found
        mark = self._file.mark(found) if isinstance(found, View) else mark_in(ref)
        seen: Seen = {ref.name: (ref.version, mark or wanted.get(ref.name, ""))}
        if same:
            self._file.end(call, "ok", read=(read or {}) | seen)
            return answer
        if wanted.get(ref.name, "") is None:
            seen = {ref.name: (ref.version, None)}
        for other in wanted.keys() - {ref.name}:  # the old name of a renaming
            seen |= self._absent(other) or {}
        self._file.end(call, "ok", read=read, written=seen)
        return answer

    def _acquire(self, name: str, made: Callable[..., Operation[T]], *given: Any) -> Operation[T]:
        """The beginning of a draft reads what is current under its grant."""
        call = self._begin("edit begins", {}, agent=self._agent)
        try:
            grant: Any = yield from made(*given)
        except BaseException as error:
            self._file.end(call, _outcome(error))
            raise
        held = self._file.mark(grant.held) if grant.held is not None else None
        self._file.end(call, "ok", read={grant.artifact: (grant.base, held)})
        return grant  # type: ignore[no-any-return]

    # Transactions.

    def _snapshot(self, name: str, made: Callable[..., Operation[T]], *given: Any) -> Operation[T]:
        call = self._begin(name, {})
        try:
            found: Any = yield from made(*given)
        except BaseException as error:
            self._file.end(call, _outcome(error))
            raise
        self._file.end(call, "ok", read=_refs(found.refs))
        return found  # type: ignore[no-any-return]

    def _check(self, name: str, made: Callable[..., Operation[T]], *given: Any) -> Operation[T]:
        """A check observes only which refs are current."""
        call = self._begin(name, {})
        try:
            stale: Any = yield from made(*given)
        except BaseException as error:
            self._file.end(call, _outcome(error))
            raise
        refs = [ref if isinstance(ref, Ref) else Ref.parse(ref) for ref in given[0]]
        current = {ref.name: ref for ref in refs if ref not in stale}
        self._file.end(call, "ok", read=_refs(current))
        return stale  # type: ignore[no-any-return]

    def _tx_begin(self, name: str, made: Callable[..., Operation[T]], *given: Any) -> Operation[T]:
        self._begun[given[0]] = self._file.now()
        return (yield from made(*given))

    def _tx_commit(self, name: str, made: Callable[..., Operation[T]], *given: Any) -> Operation[T]:
        tx = given[0]
        wanted: dict[str, Mark] = dict.fromkeys(tx.renames, "")
        for artifact, each in tx.writes.items():
            gone = each.handle.kind is Kind.TOMBSTONE
            wanted[artifact] = None if gone else mark_of(each.content)
        same = self.plain.account.totals["same"]
        call = self._begin("transaction", wanted, self._begun.pop(tx, None))
        try:
            answer = yield from made(*given)
        except BaseException as error:
            self._file.end(call, _outcome(error), read=self._tx_reads(tx))
            raise
        same = self.plain.account.totals["same"] - same
        read: Seen = self._tx_reads(tx)
        written: Seen = {}
        for artifact, ref in tx.refs.items():
            seen = (ref.version, mark_in(ref) or wanted.get(artifact, ""))
            if artifact in read and ref.version == read[artifact][0]:
                same -= 1
            else:
                written[artifact] = seen
        if same:
            # Some of what it has overwritten is as it was, and an unread base says not which.
            self._file.end(call, "info", read=read)
        else:
            self._file.end(call, "ok", read=read, written=written)
        return answer

    def _tx_end(self, name: str, made: Callable[..., Operation[T]], *given: Any) -> Operation[T]:
        tx, error = given
        call = self._begin("transaction", {}, self._begun.pop(tx, None))
        refused = error is not None or tx.refusal is not None
        self._file.end(call, "fail" if refused else "ok", read=self._tx_reads(tx))
        return (yield from made(*given))

    def _tx_reads(self, tx: Any) -> Seen:
        return {
            artifact: (
                ref.version,
                self._file.mark(tx.held[artifact]) if artifact in tx.held else mark_in(ref),
            )
            for artifact, ref in tx.reads.items()
        }

    def _begin(
        self, name: str, wanted: dict[str, Mark], begun: float | None = None, **more: Any
    ) -> str:
        return self._file.begin(f"{self._agent}.{name}", wanted, begun, **more)


def observed(path: str | os.PathLike[str], clock: Clock) -> Callable[[Any, Any], Observed]:
    """Has agents observe their calls in the file at `path`.  Raises `PathTaken`, `Unobserved`."""
    return partial(Observed, Observations(path, clock))


_OBSERVED: Final[Mapping[str, Any]] = {
    **dict.fromkeys(_READS, Observed._read),
    **dict.fromkeys(_WRITES, Observed._write),
    "acquire": Observed._acquire,
    "finish": Observed._finish,
    "snapshot": Observed._snapshot,
    "check": Observed._check,
    "tx_begin": Observed._tx_begin,
    "tx_commit": Observed._tx_commit,
    "tx_end": Observed._tx_end,
}


def _outcome(error: BaseException) -> str:
    """Whether a call that raised has changed nothing, or may have."""
    if isinstance(error, ToolkitError) and not isinstance(error, OutcomeUnknown | Defect):
        return "fail"
    return "info"


def _refused_by(error: BaseException) -> Seen | None:
    """What a refused write has read: the version that is current."""
    if not isinstance(error, Conflict):
        return None
    return {error.current.name: (error.current.version, mark_in(error.current, error.theirs))}


def _refs(refs: Mapping[str, Ref]) -> Seen:
    return {name: (ref.version, mark_in(ref)) for name, ref in refs.items()}
