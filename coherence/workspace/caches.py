"""The caches of one agent: one `CacheState` for each artifact it has touched, and their timers.

The caller holds the workspace's lock; nothing here blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec.structs import replace

from coherence.cache import DEADLINE, RETRY, VALIDITY, Cache
from coherence.contents import Limits
from coherence.directory import Home
from coherence.messages import (
    SERIAL_BITS,
    Digest,
    Inv,
    Request,
    Result,
    ToCache,
    ToHome,
    Update,
    Version,
)
from coherence.states import CacheAt, CacheState
from coherence.workspace.holdings import Holdings
from coherence.workspace.view import Held, held
from message_passing.process import (
    Address,
    CancelTimer,
    Deliver,
    Event,
    Invoke,
    Receive,
    Respond,
    Restart,
    Send,
    SetTimer,
    Step,
    Timeout,
)

if TYPE_CHECKING:
    from coherence.workspace.recorder import Recorder

READABLE = frozenset({CacheAt.S, CacheAt.E, CacheAt.M})
STABLE = READABLE | {CacheAt.I}
ASKING = frozenset({CacheAt.IM_D, CacheAt.IM_D_I, CacheAt.SM_D})
NOTHING: tuple[ToHome, ...] = ()
TIMERS = (VALIDITY, RETRY, DEADLINE)
#: For how many artifacts with evicted copies the last version given is remembered.
BASES_MAX = 10_000


Owner: TypeAlias = Callable[[], object]
"""Returns the context manager of a draft, or None without one; a weak reference is an owner."""


class Before(msgspec.Struct, frozen=True, gc=False):
    """A cache's state and armed timers before a request."""

    state: CacheState | None
    timers: tuple[tuple[tuple[str, str], float], ...]


def invalidated(state: CacheState, inv: Inv) -> CacheState | None:
    """The state of a cache after an invalidation, or None if a step must decide.

    A shortcut for the rows (I S E M, Inv) without an acknowledgement, since one write may
    invalidate hundreds of copies.  A test compares it with the table.
    """
    if inv.ack or inv.stale < state.version or state.at not in STABLE:
        return None
    killed = inv.stale if inv.stale > state.killed else state.killed
    return CacheState(
        CacheAt.I, state.version, state.content, killed, state.serial, state.epoch, state.uses
    )


def _as_version(version: Version, written: Held, before: CacheState | None) -> Held:
    """The content of a write that changed nothing, as the version that it equals."""
    copy: Held | None = before.content if before is not None else None
    if copy is not None and copy.ref.version == version and copy.digest == written.digest:
        return copy
    return held(replace(written.ref, version=version), written.content, written.handle)


class Caches:
    """Every cache of one agent.  `session` makes its serials larger than all earlier ones."""

    __slots__ = (
        "_adopting",
        "_first",
        "_holdings",
        "_processes",
        "_recorder",
        "address",
        "answers",
        "asked_to_finish",
        "bases",
        "drafting",
        "missed",
        "sent",
        "session",
        "states",
        "superseded",
        "timers",
        "waiters",
    )

    def __init__(
        self,
        address: Address,
        session: int,
        processes: Mapping[str, tuple[Cache, Home]],
        recorder: Recorder | None = None,
        holdings: Holdings | None = None,
    ) -> None:
        self.address = address
        self.session = session
        self._holdings = holdings or Holdings(Limits().copies_bytes)
        self._processes = processes
        self._recorder = recorder
        self._first = CacheState(serial=session << SERIAL_BITS)
        #: The step that is being adopted.
        self._adopting: tuple[str, CacheState | None, Step[CacheState]] | None = None
        self.states: dict[str, CacheState] = {}
        #: (artifact, timer) -> deadline, on this process's monotonic clock.
        self.timers: dict[tuple[str, str], float] = {}
        #: Answers that have come and were not taken yet.
        self.answers: dict[str, Result] = {}
        #: Callbacks for agents that wait for an answer.
        self.waiters: dict[str, Callable[[], None]] = {}
        #: Another process has joined under this name since.
        self.superseded = False
        #: Messages sent to homes.
        self.sent = 0
        #: The version given to the application last, if it is not the cached one.
        self.bases: dict[str, tuple[Version, Digest]] = {}
        #: Artifacts for whose grant another agent waits while this agent holds it.
        self.asked_to_finish: set[str] = set()
        #: Artifacts that this agent drafts, and the context manager of each draft, or None while
        #: the drafting call is under way.
        self.drafting: dict[str, Owner | None] = {}
        #: Artifacts whose awaited answer may have been missed: the agent asks again.
        self.missed: set[str] = set()

    @property
    def used(self) -> set[str]:
        """The set in which to note that a copy of an artifact was used."""
        return self._holdings.used

    def state(self, artifact: str) -> CacheState:
        """The state of the cache of `artifact`."""
        return self.states.get(artifact, self._first)

    def base(self, artifact: str) -> Version:
        """The version of `artifact` that this agent was last given, or 0."""
        base = self.bases.get(artifact)
        return self.state(artifact).version if base is None else base[0]

    def derived(self, artifact: str) -> tuple[Version, Digest]:
        """That version with the digest of its content, or None if only its number is known."""
        base = self.bases.get(artifact)
        if base is not None:
            return base
        state = self.states.get(artifact)
        if state is None or state.content is None:
            return 0, None
        return state.version, state.content.handle.digest

    def invoke(self, artifact: str, request: Request) -> Sequence[ToHome]:
        """Ask the cache; return its messages to home.  `answers` gets the answer, now or later.

        Raises `Stalled` if a request is under way.
        """
        now = monotonic()
        sent = self._overdue(artifact, now) if self.timers else NOTHING
        more = self._step(artifact, Invoke(request), now)
        return [*sent, *more] if sent else more

    def receive(self, artifact: str, received: Receive[ToCache], now: float) -> Sequence[ToHome]:
        """Hand a message of home to the cache; return its replies."""
        message = received.message
        if type(message) is Inv and not self.timers and self._recorder is None:
            state = self.states.get(artifact, self._first)
            dead = invalidated(state, message)
            if dead is not None:
                if artifact in self.states:  # an evicted copy needs no invalidation
                    self.states[artifact] = dead
                return NOTHING
        sent = self._overdue(artifact, now) if self.timers else NOTHING
        if type(message) is Update and artifact not in self.bases:
            # It may replace the version given to the application by one that it has not seen.
            self.keep_base(artifact)
        more = self._step(artifact, received, now)
        return [*sent, *more] if sent else more

    def doubt(self, artifact: str) -> None:
        """Mark a copy that may be stale: home must confirm it before it is served."""
        self.timers.pop((artifact, VALIDITY), None)
        self._step(artifact, Timeout(VALIDITY), monotonic())

    def overdue(self, artifact: str) -> Sequence[ToHome]:
        """Step the timers of `artifact` that are due."""
        return self._overdue(artifact, monotonic()) if self.timers else NOTHING

    def deadline(self, artifact: str) -> float | None:
        """When the wait for a grant ends."""
        return self.timers.get((artifact, DEADLINE))

    def lapse(self) -> None:
        """A message of home was missed: no copy is served before home has confirmed it."""
        for artifact in self.states:
            self.doubt(artifact)
        for artifact, waiter in tuple(self.waiters.items()):
            self.missed.add(artifact)
            waiter()

    def begin_again(self) -> None:
        """The store has another history, to which no cached content or version number belongs.

        The versions given to the application stay known, with their digests: a write that derives
        from a version of the lost history is refused.
        """
        for artifact in self.states:
            self.keep_base(artifact)
        self.lapse()
        for artifact, state in list(self.states.items()):
            if state.at in STABLE:
                self._put(artifact, CacheState(serial=state.serial, epoch=state.epoch))
            else:  # the answer confirms a version by its digest
                self._put(artifact, replace(state, killed=-1))

    def rejoin(self, session: int) -> None:
        """Continue under the agent's new session in the store's present history."""
        self.session = session
        self._first = CacheState(serial=session << SERIAL_BITS)
        for artifact, state in self.states.items():
            if state.serial < self._first.serial and state.at in STABLE:
                self.states[artifact] = replace(state, serial=self._first.serial)

    def keep_base(self, artifact: str) -> None:
        """Remember the version that the application was given, even if the copy is dropped."""
        self.bases[artifact] = self.derived(artifact)

    def forsake(self, artifact: str, *, keep_grant: bool) -> Sequence[ToHome]:
        """Drop the request under way and a waiting answer; return the leave message for home.

        With `keep_grant` the grant of a live draft stays.
        """
        self.waiters.pop(artifact, None)
        self.answers.pop(artifact, None)
        self.missed.discard(artifact)
        state = self.states.get(artifact)
        if state is None:
            return NOTHING
        if state.at in STABLE and keep_grant:
            return NOTHING
        # In any state, since the messages of its last step may not have left.  A leave message
        # names a serial, so it may come late: it does not affect a later request, as the return of
        # a grant would.
        return self.restart(artifact)

    def remember(self, artifact: str) -> Before:
        """The state that `revert` restores."""
        state = self.states.get(artifact)
        if not self.timers:
            return Before(state, ())
        keys = [(artifact, name) for name in TIMERS]
        armed = tuple((key, self.timers[key]) for key in keys if key in self.timers)
        return Before(state, armed)

    def revert(self, artifact: str, left: CacheState, before: Before) -> None:
        """Take back a request that did not reach home; `left` is the cache's state after it.

        The request does not prolong the copy: its bound counts from the last request that reached
        home.  If a message has arrived since, the cache starts again, as after a crash.
        """
        if self.states.get(artifact) is left:
            if self._recorder is not None:
                self._recorder.take_back(artifact, self.address)
            for name in TIMERS:
                self.timers.pop((artifact, name), None)
            self.timers.update(before.timers)
            if before.state is None:
                self._drop(artifact)
            else:
                self._put(artifact, before.state)
        else:
            self.abort(artifact)

    def unknown(self, artifact: str) -> None:
        """There is no home of that name: keep nothing, since no home would send invalidations."""
        if self._recorder is not None:
            self._recorder.forget(artifact, self.address)
        self._drop(artifact)

    def evict(self, artifact: str) -> bool:
        """Drop the cache of `artifact`; False if a request is under way there.

        Home is not told: its messages for the copy are ignored.  Later requests continue the count,
        so that no serial is given twice.
        """
        state = self.states.get(artifact)
        if state is None:
            return True
        if state.at not in STABLE or state.epoch or artifact in self.waiters:
            return False
        self.keep_base(artifact)
        if len(self.bases) > BASES_MAX:
            self._forget_bases()
        if state.serial > self._first.serial:
            self._first = CacheState(serial=state.serial)
        self._drop(artifact)
        return True

    def _forget_bases(self) -> None:
        """Forget the oldest bases of evicted copies: a write then needs a read before it."""
        over = len(self.bases) - BASES_MAX // 2
        for artifact in [name for name in self.bases if name not in self.states][:over]:
            del self.bases[artifact]

    def clear(self) -> None:
        """Drop every cache."""
        for artifact in list(self.states):
            self._drop(artifact)
        self.timers.clear()

    def _put(self, artifact: str, state: CacheState) -> None:
        """The one place where a state is stored."""
        old = self.states.get(artifact)
        self.states[artifact] = state
        if old is None:
            self._holdings.add(artifact, state.content)
        elif old.content is not state.content:
            self._holdings.change(artifact, old.content, state.content)

    def _drop(self, artifact: str) -> None:
        """The one place where a state is dropped, with its timers."""
        old = self.states.pop(artifact, None)
        if old is not None:
            self._holdings.remove(artifact, old.content)
        if self.timers:
            for name in TIMERS:
                self.timers.pop((artifact, name), None)

    def supersede(self) -> None:
        """Another process has this name now: homes send invalidations to it, and not here."""
        self.superseded = True
        self.clear()
        for waiter in self.waiters.values():
            waiter()

    def abort(self, artifact: str) -> None:
        """Drop the request under way."""
        if self.state(artifact).at not in STABLE:
            self.restart(artifact)

    def again(self, artifact: str) -> Sequence[ToHome]:
        """Repeat the request for an awaited grant: the request or its answer may be lost."""
        if self.state(artifact).at not in ASKING:
            return NOTHING
        return self._step(artifact, Timeout(RETRY), monotonic())

    def start_over(self, artifact: str) -> Sequence[ToHome]:
        """Home has forgotten this agent: repeat its request, and confirm copies before serving."""
        if artifact not in self.states:
            return NOTHING
        self.doubt(artifact)
        if self.state(artifact).at in STABLE:
            return NOTHING
        return self._step(artifact, Timeout(RETRY), monotonic())

    def quit(self, artifact: str) -> Sequence[ToHome]:
        """Stop waiting for a grant; return the messages for home."""
        if self.state(artifact).at not in ASKING:
            return NOTHING
        self.timers.pop((artifact, DEADLINE), None)
        return self._step(artifact, Timeout(DEADLINE), monotonic())

    def restart(self, artifact: str) -> Sequence[ToHome]:
        """Drop a request whose answer may never come; return the leave message for home."""
        self.keep_base(artifact)
        for name in TIMERS:
            self.timers.pop((artifact, name), None)
        cache, _ = self._processes[artifact]
        self._put(artifact, cache.durable(self.state(artifact)))
        return self._step(artifact, Restart(), monotonic())

    def _overdue(self, artifact: str, now: float) -> Sequence[ToHome]:
        sent: list[ToHome] = []
        timers = self.timers
        armed = ((timers.get((artifact, name)), name) for name in TIMERS)
        for _, name in sorted((at, name) for at, name in armed if at is not None and at <= now):
            if timers.pop((artifact, name), None) is not None:
                sent += self._step(artifact, Timeout(name), now)
        return sent

    def _step(self, artifact: str, event: Event[Any, Any], now: float) -> Sequence[ToHome]:
        states = self.states
        cache = self._processes[artifact][0]
        before = states.get(artifact)
        step = cache.step(before or self._first, event, now)
        after = step.state
        written = after.content
        if written is not None and written.ref.version != after.version:
            after = replace(after, content=_as_version(after.version, written, before))
            step = Step(after, step.commands, step.action)
        self._adopting = (artifact, before, step)
        if before is not None and before.content is after.content:
            states[artifact] = after
        else:
            self._put(artifact, after)
        if self._recorder is not None:
            self._recorder.cache_step(artifact, self.address, self.session, now, event, step)
        commands = step.commands
        if not commands:
            return NOTHING
        sent: Sequence[ToHome]
        if len(commands) == 1 and type(commands[0]) is Send:  # the first step of a miss or a write
            self.sent += 1
            sent = (commands[0].message,)
        else:
            sent = self._carry_out(artifact, step)
        self._adopting = None
        return sent

    def finish(self) -> None:
        """Finish adopting a step that an interrupt cut off.  Its messages are lost."""
        if self._adopting is not None:
            artifact, before, step = self._adopting
            now = self.states.get(artifact)
            if now is before or now is step.state:  # otherwise a later step has come in between
                self._put(artifact, step.state)
                self._carry_out(artifact, step)
            self._adopting = None

    def _carry_out(self, artifact: str, step: Step[CacheState]) -> Sequence[ToHome]:
        """Carry out the step's commands, each of which is idempotent; return its messages."""
        sent: list[ToHome] = []
        for command in step.commands:
            if type(command) is Send:
                sent.append(command.message)
            elif type(command) is Respond:
                self.answers[artifact] = command.result
                waiter = self.waiters.get(artifact)
                if waiter is not None:
                    waiter()
            elif type(command) is SetTimer:
                self.timers[artifact, command.name] = command.at
            elif type(command) is CancelTimer:
                self.timers.pop((artifact, command.name), None)
            elif type(command) is Deliver:
                self.asked_to_finish.add(artifact)
        self.sent += len(sent)
        return sent
