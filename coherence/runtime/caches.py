"""The caches of this process: for each agent, one `CacheState` for each artifact it has touched.

`Caches` hands the messages of homes to them; `AgentCaches` steps the caches of one agent.  The
caller of `AgentCaches` holds the lock of `Caches`; nothing here blocks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any, TypeAlias
from weakref import ReferenceType, ref

import msgspec
from msgspec.structs import replace

from coherence.cache import DEADLINE, RETRY, VALIDITY, Cache
from coherence.contents import Handle, Limits
from coherence.directory import Home
from coherence.errors import AgentBusy
from coherence.messages import (
    CARRIERS,
    SERIAL_BITS,
    Carrier,
    Data,
    Digest,
    Inv,
    Request,
    Result,
    ToCache,
    ToHome,
    Update,
    Version,
)
from coherence.refs import Ref
from coherence.runtime.account import Account
from coherence.runtime.holdings import Holdings
from coherence.runtime.outcome import HOME, Carried, Outcome
from coherence.runtime.trace import Trace
from coherence.states import CacheAt, CacheState
from coherence.table import Stalled
from coherence.view import Cached, cached
from message_passing.ports import Clock
from message_passing.process import Address, Event, Invoke, Receive, Restart, Step, Time, Timeout
from message_passing.turn import due, interpret

READABLE = frozenset({CacheAt.S, CacheAt.E, CacheAt.M})
STABLE = READABLE | {CacheAt.I}
ASKING = frozenset({CacheAt.IM_D, CacheAt.IM_D_I, CacheAt.SM_D})
NOTHING: tuple[ToHome, ...] = ()
#: For how many artifacts with evicted copies the last version given is remembered.
BASES_MAX = 10_000

Replies: TypeAlias = dict[str, list[tuple[Address, ToHome]]]
"""Messages of caches for homes, artifact by artifact."""

Owner: TypeAlias = Callable[[], object]
"""Returns the context manager of a draft, or None without one; a weak reference is an owner."""


class Asked(msgspec.Struct, eq=False):
    """A request of one agent, until its answer has come."""

    artifact: str
    #: The cache's state and armed timers before the request.
    before: CacheState | None
    armed: dict[str, Time] | None
    #: Its state after the request, and its messages to home.
    left: CacheState | None = None
    sent: Sequence[ToHome] = NOTHING
    #: When the wait for a grant ends; the timer is armed once home has been asked.
    wait_until: Time | None = None
    answer: Result | None = None
    #: Wakes the agent, if it waits.
    wake: Callable[[], None] | None = None
    #: Whether the answer may have come and been lost: the agent asks again.
    missed: bool = False
    #: When a waiting agent repeats the request; None if it does not.
    again_at: Time | None = None


def invalidated(state: CacheState, inv: Inv) -> CacheState | None:
    """The state of a cache after an invalidation, or None if a step must decide.

    A shortcut for the rows (I S E M, Inv) without an acknowledgement, since one write may
    invalidate hundreds of copies.  A test compares it with the table.
    """
    if inv.ack or inv.stale < state.version or state.at not in STABLE:
        return None
    dead = inv.stale if inv.stale > state.dead_through else state.dead_through
    return CacheState(
        CacheAt.I, state.version, state.content, dead, state.serial, state.epoch, state.uses
    )


def find(
    contents: Mapping[str, ReferenceType[Cached]],
    artifact: str,
    version: Version,
    handle: Handle | None,
) -> Cached | None:
    """That version, if this process holds it with the same number and the same content."""
    found = contents.get(artifact)
    there = found() if found is not None else None
    if there is not None and there.ref.version == version and there.handle == handle:
        return there
    return None


def _as_version(version: Version, written: Cached, before: CacheState | None) -> Cached:
    """The content of a write that changed nothing, as the version that it equals."""
    copy: Cached | None = before.content if before is not None else None
    if copy is not None and copy.ref.version == version and copy.handle == written.handle:
        return copy
    return cached(replace(written.ref, version=version), written.content, written.handle)


class Caches:
    """The caches of every agent of this process, the contents that they share, and their memory."""

    def __init__(
        self,
        processes: Mapping[str, tuple[Cache, Home]],
        *,
        identity: str = "",
        limit_bytes: int = Limits().copies_bytes,
        trace: Trace | None = None,
        clock: Clock = monotonic,
    ) -> None:
        #: Guards the caches of every agent.  Never held during a call to the store.
        self.lock = threading.RLock()
        self.processes = processes
        self.clock = clock
        self.trace = trace
        self.agents: dict[Address, AgentCaches] = {}
        #: The last version of each artifact in this process: one content for all its agents.
        self.contents: dict[str, ReferenceType[Cached]] = {}
        self.holdings = Holdings(limit_bytes)
        #: When the next timer of a home is due.
        self.due: dict[str, Time] = {}
        #: Watcher -> its callback for a published version, while the watcher is alive.
        self.watchers: dict[ReferenceType[object], Callable[[], None]] = {}
        self._identity = identity

    def deliver(self, outcomes: Sequence[Outcome]) -> Replies:
        """Hand the messages of homes to the caches; return their replies to homes."""
        replies: Replies = {}
        with self.lock:
            now = self.clock()
            for outcome in outcomes:
                artifact = outcome.artifact
                if outcome.due_s is not None:
                    self.due[artifact] = now + outcome.due_s
                elif self.due:
                    self.due.pop(artifact, None)
                if outcome.made is not None:
                    self.contents[artifact] = ref(outcome.made)
                sent: ToCache | None = None
                for post in outcome.posts:
                    caches = self.agents.get(post.dst)
                    if caches is None:
                        continue
                    if post.message is not sent:  # one invalidation goes to many
                        sent = whole = post.message
                        if isinstance(sent, CARRIERS) and sent.content is not None:
                            whole = self._whole(artifact, sent, outcome.contents)
                        received: Receive[ToCache] = Receive(HOME, whole)
                    for reply in caches.receive(artifact, received, now):
                        replies.setdefault(artifact, []).append((post.dst, reply))
        if self.watchers and any(outcome.published for outcome in outcomes):
            self.tell_watchers()
        return replies

    def hand_over(
        self, artifact: str, dst: Address, message: ToCache, carried: Carried | None
    ) -> Sequence[ToHome]:
        """Hand one message that came through the log to its cache; return the replies."""
        with self.lock:
            caches = self.agents.get(dst)
            if caches is None:
                return NOTHING
            if carried is not None and isinstance(message, CARRIERS):
                message = self._whole(artifact, message, {message.version: carried})
            return caches.receive(artifact, Receive(HOME, message), self.clock())

    def _whole(
        self, artifact: str, message: Carrier, contents: Mapping[Version, Carried]
    ) -> ToCache:
        """`message`, with the content that this process holds in place of the handle."""
        version = message.version
        got = contents[version]
        if type(got) is tuple:
            handle, content = got
            mine = find(self.contents, artifact, version, handle)
            if mine is None:
                mine = cached(
                    Ref(artifact, version, self._identity, handle.digest), content, handle
                )
                self.contents[artifact] = ref(mine)
            got = mine
        if type(message) is Data:
            return Data(message.serial, version, message.grant, message.epoch, message.base, got)
        return Update(version, message.base, got)

    def tell_watchers(self) -> None:
        """A version was published: call every watcher that is still alive."""
        for watcher, grown in tuple(self.watchers.items()):
            if watcher() is None:
                self.watchers.pop(watcher, None)
            else:
                grown()

    def lapse(self) -> None:
        """A message may have been missed: home must confirm every copy of this process.

        An awaited answer may have been missed too: a waiting agent asks again at once.
        """
        with self.lock:
            for caches in self.agents.values():
                caches.lapse()

    def supersede(self, caches: AgentCaches) -> None:
        """Another process has joined under the name of that agent."""
        with self.lock:
            if self.agents.get(caches.address) is caches:
                del self.agents[caches.address]
            caches.supersede()

    def begin_again(self) -> list[AgentCaches]:
        """The store has another history: drop everything; return the caches of every agent."""
        with self.lock:
            self.contents.clear()
            self.due.clear()
            agents = list(self.agents.values())
            for caches in agents:
                caches.begin_again()
            return agents

    def make_room(self) -> None:
        """Evict copies, the least recently used first, while they use more than the limit."""
        if self.holdings.bytes <= self.holdings.limit_bytes or self.trace is not None:
            return  # a recorded cache may forget nothing outside its trace
        with self.lock:
            agents = tuple(self.agents.values())

            def was_read(artifact: str) -> bool:
                # Not `any`, which stops early: the hits of every agent are taken.
                return sum(caches.took_hits(artifact) for caches in agents) > 0

            for artifact in self.holdings.surplus(was_read):
                if [caches for caches in agents if not caches.evict(artifact)]:
                    self.holdings.keep(artifact)
                else:
                    self.contents.pop(artifact, None)
                    self.due.pop(artifact, None)

    def finish(self) -> None:
        """Finish adopting every step that an interrupt cut off."""
        with self.lock:
            for caches in tuple(self.agents.values()):
                caches.finish()

    def recount(self) -> None:
        """Count the memory again: an interrupt may have cut a change off."""
        with self.lock:
            self.holdings.recount(
                (artifact, state.content)
                for caches in self.agents.values()
                for artifact, state in caches.states.items()
            )


class AgentCaches:
    """Every cache of one agent.  `session` makes its serials larger than all earlier ones."""

    __slots__ = (
        "_adopting",
        "_clock",
        "_first",
        "_hits",
        "_holdings",
        "_processes",
        "_trace",
        "account",
        "address",
        "asked",
        "asked_to_finish",
        "bases",
        "drafting",
        "sent",
        "session",
        "states",
        "superseded",
        "timers",
    )

    def __init__(self, address: Address, session: int, of: Caches) -> None:
        self.address = address
        self.session = session
        #: What this agent has read and written.
        self.account = Account(address)
        self._hits = self.account.hits
        self._holdings, self._processes = of.holdings, of.processes
        self._clock, self._trace = of.clock, of.trace
        self._first = CacheState(serial=session << SERIAL_BITS)
        #: The step that is being adopted, which an interrupt may cut off.
        self._adopting: tuple[str, CacheState | None, Step[CacheState]] | None = None
        self.states: dict[str, CacheState] = {}
        #: The deadlines of the armed timers, by artifact and name.
        self.timers: dict[str, dict[str, Time]] = {}
        #: The requests without an answer.
        self.asked: dict[str, Asked] = {}
        #: Another process has joined under this name since.
        self.superseded = False
        #: How many messages were sent to homes.
        self.sent = 0
        #: The version given to the application last, if it is not the cached one.
        self.bases: dict[str, tuple[Version, Digest]] = {}
        #: Artifacts for whose grant another agent waits while this agent holds it.
        self.asked_to_finish: set[str] = set()
        #: Artifacts that this agent drafts, and the context manager of each draft, or None while
        #: the drafting call is under way.
        self.drafting: dict[str, Owner | None] = {}

    def took_hits(self, artifact: str) -> bool:
        """Whether this agent has read its copy since the last time that its hits were taken."""
        if artifact not in self._hits:
            return False
        self.account.take_hits(artifact, self.state(artifact).content)
        return True

    def state(self, artifact: str) -> CacheState:
        """The state of the cache of `artifact`."""
        return self.states.get(artifact, self._first)

    def derived(self, artifact: str) -> tuple[Version, Digest]:
        """The version that this agent was last given, or 0, with the digest of its content.

        The digest is None if only the number is known.
        """
        base = self.bases.get(artifact)
        if base is not None:
            return base
        state = self.states.get(artifact)
        if state is None or state.content is None:
            return 0, None
        return state.version, state.content.handle.digest

    def ask(self, artifact: str, request: Request, *, doubtful: bool = False) -> Asked:
        """Ask the cache; the answer is in what this returns, now or later.

        A `doubtful` copy must be confirmed before it is served.  Raises `AgentBusy` if a request is
        under way.
        """
        armed = self.timers.get(artifact) if self.timers else None
        asked = Asked(artifact, self.states.get(artifact), dict(armed) if armed else None)
        if doubtful:
            self.doubt(artifact)
        earlier = self.asked.get(artifact)
        self.asked[artifact] = asked
        try:
            asked.sent = self.invoke(artifact, request)
        except Stalled as error:
            if earlier is not None:
                self.asked[artifact] = earlier
            raise AgentBusy(f"{self.address!r} has asked for {artifact!r}") from error
        asked.left = self.states[artifact]
        if asked.sent and self.timers:
            asked.wait_until = self._take_deadline(artifact)
        return asked

    def invoke(self, artifact: str, request: Request) -> Sequence[ToHome]:
        """Step a request; return the messages for home.  Raises `Stalled`."""
        now = self._clock()
        sent = self._overdue(artifact, now) if self.timers else NOTHING
        more = self._step(artifact, Invoke(request), now)
        return [*sent, *more] if sent else more

    def receive(self, artifact: str, received: Receive[ToCache], now: Time) -> Sequence[ToHome]:
        """Hand a message of home to the cache; return its replies."""
        message = received.message
        if type(message) is Inv and not self.timers and self._trace is None:
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

    def waits(self, artifact: str) -> bool:
        """Whether this agent waits for an answer there."""
        asked = self.asked.get(artifact)
        return asked is not None and asked.wake is not None

    def _take_deadline(self, artifact: str) -> Time | None:
        """Disarm the timer of the wait for a grant; return its deadline."""
        armed = self.timers.get(artifact)
        at = armed.pop(DEADLINE, None) if armed else None
        if at is not None and not armed:
            del self.timers[artifact]
        return at

    def arm_deadline(self, artifact: str, at: Time) -> None:
        """Arm that timer, if the agent still asks for the grant."""
        if self.state(artifact).at in ASKING:
            self.timers.setdefault(artifact, {})[DEADLINE] = at

    def doubt(self, artifact: str) -> None:
        """Mark a copy that may be stale: home must confirm it before it is served."""
        self._disarm(artifact, VALIDITY)
        self._step(artifact, Timeout(VALIDITY), self._clock())

    def overdue(self, artifact: str) -> Sequence[ToHome]:
        """Step the timers of `artifact` that are due."""
        return self._overdue(artifact, self._clock()) if self.timers else NOTHING

    def deadline(self, artifact: str) -> Time | None:
        """When the wait for a grant ends."""
        armed = self.timers.get(artifact)
        return armed.get(DEADLINE) if armed else None

    def lapse(self) -> None:
        """A message of home was missed: no copy is served before home has confirmed it."""
        for artifact in self.states:
            self.doubt(artifact)
        for asked in tuple(self.asked.values()):
            if asked.wake is not None:
                asked.missed = True
                asked.wake()

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
                self._put(artifact, replace(state, dead_through=-1))

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
        self.asked.pop(artifact, None)
        state = self.states.get(artifact)
        if state is None:
            return NOTHING
        if state.at in STABLE and keep_grant:
            return NOTHING
        # In any state, since the messages of its last step may not have left.  A leave message
        # names a serial, so it may come late: it does not affect a later request.
        return self.restart(artifact)

    def take_back(self, asked: Asked) -> None:
        """Take back a request that did not reach home.

        The request does not prolong the copy: its bound counts from the last request that reached
        home.  If a message has arrived since, the cache starts again, as after a crash.
        """
        artifact = asked.artifact
        if self.states.get(artifact) is not asked.left:
            self.abort(artifact)
            return
        if self._trace is not None:
            self._trace.take_back(artifact, self.address)
        self.timers.pop(artifact, None)
        if asked.armed:
            self.timers[artifact] = asked.armed
        if asked.before is None:
            self._drop(artifact)
        else:
            self._put(artifact, asked.before)

    def unknown(self, artifact: str) -> None:
        """There is no home of that name: keep nothing, since no home would send invalidations."""
        if self._trace is not None:
            self._trace.forget(artifact, self.address)
        self._drop(artifact)

    def evict(self, artifact: str) -> bool:
        """Drop the cache of `artifact`; False if a request is under way there.

        Home is not told: its messages for the copy are ignored.  Later requests continue the count,
        so that no serial is given twice.
        """
        state = self.states.get(artifact)
        if state is None:
            return True
        if state.at not in STABLE or state.epoch or self.waits(artifact):
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
            if artifact in self._hits:
                self.account.take_hits(artifact, old.content)
            self._holdings.change(artifact, old.content, state.content)

    def _drop(self, artifact: str) -> None:
        """The one place where a state is dropped, with its timers."""
        old = self.states.pop(artifact, None)
        if old is not None:
            if artifact in self._hits:
                self.account.take_hits(artifact, old.content)
            self._holdings.remove(artifact, old.content)
        if self.timers:
            self.timers.pop(artifact, None)

    def supersede(self) -> None:
        """Another process has this name now: homes send invalidations to it, and not here."""
        self.superseded = True
        self.clear()
        self.wake_all()

    def wake_all(self) -> None:
        """Wake this agent wherever it waits, so that it notices that it has ended."""
        for asked in tuple(self.asked.values()):
            if asked.wake is not None:
                asked.wake()

    def abort(self, artifact: str) -> None:
        """Drop the request under way."""
        if self.state(artifact).at not in STABLE:
            self.restart(artifact)

    def retry(self, artifact: str) -> Sequence[ToHome]:
        """Repeat the request for an awaited grant: the request or its answer may be lost."""
        if self.state(artifact).at not in ASKING:
            return NOTHING
        return self._step(artifact, Timeout(RETRY), self._clock())

    def start_over(self, artifact: str) -> Sequence[ToHome]:
        """Home has forgotten this agent: repeat its request, and confirm copies before serving."""
        if artifact not in self.states:
            return NOTHING
        self.doubt(artifact)
        if self.state(artifact).at in STABLE:
            return NOTHING
        return self._step(artifact, Timeout(RETRY), self._clock())

    def cancel_wait(self, artifact: str) -> Sequence[ToHome]:
        """Stop waiting for a grant; return the messages for home."""
        if self.state(artifact).at not in ASKING:
            return NOTHING
        self._disarm(artifact, DEADLINE)
        return self._step(artifact, Timeout(DEADLINE), self._clock())

    def restart(self, artifact: str) -> Sequence[ToHome]:
        """Drop a request whose answer may never come; return the leave message for home."""
        self.keep_base(artifact)
        self.timers.pop(artifact, None)
        cache, _ = self._processes[artifact]
        self._put(artifact, cache.durable(self.state(artifact)))
        return self._step(artifact, Restart(), self._clock())

    def _disarm(self, artifact: str, timer: str) -> None:
        armed = self.timers.get(artifact)
        if armed:
            armed.pop(timer, None)

    def _overdue(self, artifact: str, now: Time) -> Sequence[ToHome]:
        sent: list[ToHome] = []
        for timeout in due(self.timers.get(artifact, {}), now):
            sent += self._step(artifact, timeout, now)
        return sent

    def _step(self, artifact: str, event: Event[Any, Any], now: Time) -> Sequence[ToHome]:
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
        if self._trace is not None:
            self._trace.cache_step(artifact, self.address, self.session, now, event, step)
        sent = self._carry_out(artifact, step) if step.commands else NOTHING
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
        """Carry out the step's commands, which may be done again; return its messages."""
        armed = self.timers.get(artifact) if self.timers else None
        if armed is None:
            armed = {}
        effects = interpret(step.commands, armed)
        if armed:
            self.timers[artifact] = armed
        elif self.timers:
            self.timers.pop(artifact, None)
        if effects.answers:
            asked = self.asked.get(artifact)
            if asked is not None:
                asked.answer = effects.answers[0]
                if asked.wake is not None:
                    asked.wake()
                self.asked.pop(artifact, None)
        if effects.deliveries:
            self.asked_to_finish.add(artifact)
        sends = effects.sends
        if not sends:
            return NOTHING
        self.sent += len(sends)
        if len(sends) == 1:
            return (sends[0].message,)
        return [send.message for send in sends]
