"""Carries messages between the caches of this process and the homes in a store.

Messages of a cache are taken to their home in one transaction.  Messages of homes to caches of this
process are handed over at once.  Messages between processes travel through the change log.  The
tables tolerate messages that are late, duplicated or reordered, so no lock orders hand-overs; after
a missed message every copy lapses.

A cached copy may be served only if it was looked up after the validation that covers it: `fresh`
comes first, and the lookup after it.  Between a commit and its hand-over no copy of the committed
artifact is served (`moving`).
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias, TypeVar
from weakref import ReferenceType, ref

from coherence.cache import Cache
from coherence.contents import Limits
from coherence.directory import Home
from coherence.errors import AgentBusy, OutcomeUnknown, StoreFault
from coherence.messages import Data, Nack, PutM, ToCache, ToHome, Update, Version
from coherence.policy import Policy
from coherence.refs import Ref
from coherence.stores.port import Moved, Store
from coherence.workspace.caches import Caches
from coherence.workspace.holdings import Holdings
from coherence.workspace.homes import CARRIERS, HOME, Brought, Outcome, Taken, held_of, turn
from coherence.workspace.lookout import Lookouts
from coherence.workspace.served import ServedDigests
from coherence.workspace.view import Held, held
from message_passing.errors import ToolkitError
from message_passing.interrupts import Knock, free, start
from message_passing.process import Address, Receive

if TYPE_CHECKING:
    from coherence.workspace.recorder import Recorder

log = logging.getLogger("coherence.workspace")

Inbox: TypeAlias = Sequence[tuple[Address, ToHome]]
Batch: TypeAlias = Mapping[str, Inbox]
"""Messages for homes, artifact by artifact; an empty inbox only lets a due timer fire."""

#: How often a transaction is repeated if its rows moved, or its outcome is unknown.  Home
#: recognises a repeated request by its serial, and answers it without a second judgement.
MOVES = 100
RESENDS = 3
#: For how many artifacts the policy is cached.
PROCESSES_MAX = 10_000
#: How long one wait for other processes lasts, and the pause after a failure of the store.
WATCH_S = 60.0
#: How many interrupts in a row may hit the settling of one interrupt; only a safeguard.
INTERRUPTS_MAX = 1_000
PAUSE_S = 1.0
#: How often the log of a store that does not validate is read while an agent waits for an answer,
#: and how long lines may accumulate after lines that did not concern this process.
LOOK_S = 1.0
PACE_S = 0.005


NOTHING: Batch = {}
T = TypeVar("T")


def again(settle: Callable[[], None]) -> BaseException | None:
    """Call `settle` until it ends, even if it is interrupted too; return the last interrupt."""
    interrupt: BaseException | None = None
    for _ in range(INTERRUPTS_MAX):
        try:
            settle()
            return interrupt
        except Exception:
            log.exception("the state that an interrupted call left could not be settled")
            return interrupt
        except BaseException as error:
            interrupt = error
    return interrupt


class Vetoed(Exception):
    """A transaction was rolled back on purpose, since a home refused a part of it."""

    def __init__(self, artifact: str, nack: Nack) -> None:
        super().__init__()
        self.artifact = artifact
        self.nack = nack


def veto_refusal(outcomes: Sequence[Outcome]) -> None:
    """Raises `Vetoed` if a home refused: all or nothing."""
    for outcome in outcomes:
        for post in outcome.posts:
            if isinstance(post.message, Nack):
                raise Vetoed(outcome.artifact, post.message)


Veto: TypeAlias = Callable[[Sequence[Outcome]], None]


class Processes(dict[str, tuple[Cache, Home]]):
    """The two processes of each artifact, by its policy; made at the first use."""

    def __init__(self, policy: Callable[[str], Policy]) -> None:
        super().__init__()
        self._policy = policy
        self._by_policy: dict[int, tuple[Cache, Home]] = {}

    def __missing__(self, artifact: str) -> tuple[Cache, Home]:
        if len(self) >= PROCESSES_MAX:
            self.clear()
        policy = self._policy(artifact)
        pair = self._by_policy.get(id(policy))
        if pair is None:
            pair = self._by_policy[id(policy)] = (Cache(policy, HOME), Home(policy))
        self[artifact] = pair
        return pair


class Exchange:
    """The caches of this process, the store, and the messages between them."""

    def __init__(
        self,
        store: Store,
        policy: Callable[[str], Policy],
        limits: Limits,
        recorder: Recorder | None = None,
        *,
        validates: bool,
    ) -> None:
        self.store = store
        #: Whether every cached read asks the store for changes.
        self.validates = validates
        self.holdings = Holdings(limits.copies_bytes)
        self._recorder = recorder
        #: Guards the caches of every agent.  Never held during a call to the store.
        self.lock = threading.RLock()
        self.agents: dict[Address, Caches] = {}
        #: The last version of each artifact in this process: one content for all its agents.
        self.held: dict[str, ReferenceType[Held]] = {}
        #: The contents given to the applications of this process.
        self.served = ServedDigests()
        #: The two automata, cache and home, of each artifact.
        self.processes = Processes(policy)
        self._artifacts_max = limits.artifacts
        #: When the next timer of a home is due, on this process's monotonic clock.
        self._due: dict[str, float] = {}
        #: Each thread that is at the store, and its batch for homes, until everything that follows
        #: is handed over.  An entry of an interrupted thread was not handed over.
        self.at_store: dict[int, Batch] = {}
        self._fetching = threading.RLock()
        #: The last line of this process that is known to be in the log.
        self._proved = store.last
        self._seen = store.mark()
        self._place = store.head()
        self._ear = threading.RLock()
        self._ear_thread: threading.Thread | None = None
        #: Whether the log is followed even while no agent waits.
        self.listens = False
        self._closed = False
        self._ended = Knock()
        #: Watcher -> its callback for a published version, while the watcher is alive.
        self._growth: dict[ReferenceType[object], Callable[[], None]] = {}
        #: Chooses the waiting agents that check whether other processes live.
        self.lookouts = Lookouts(self)

    # At the store.

    def enter(self, batch: Batch) -> int:
        """This thread goes to the store with `batch`; returns its number, for `left`.

        Raises `AgentBusy` if it is there already: a signal handler or a finaliser runs in the
        middle of a call.
        """
        me = get_ident()
        if me in self.at_store or self.lock._is_owned():  # type: ignore[attr-defined]
            self._check_left()
        self.at_store[me] = batch
        return me

    def _check_left(self) -> None:
        if _is_nested():
            raise AgentBusy(
                "this thread is in the middle of another call",
                remedy="make no calls from signal handlers and finalisers",
            )
        self.settle()  # state that an interrupted settling left

    def left(self, me: int) -> None:
        """The thread is back, and every message that follows was handed over."""
        self.at_store.pop(me, None)

    def moves(self, artifact: str) -> bool:
        """Whether a thread of this process may be changing `artifact` now."""
        return any(artifact in batch for batch in tuple(self.at_store.values()))

    def settle(self) -> None:
        """Settle the state that an interrupt of this thread has left.  Idempotent."""
        try:
            self.store.release()
        except Exception:
            log.exception("the store could not release the resources of an interrupted call")
        with self.lock:
            for caches in tuple(self.agents.values()):
                caches.finish()
        free(self._fetching, self._ear, self.lock)
        if self._recorder is not None:
            free(self._recorder.order)
        me = get_ident()
        if me in self.at_store:
            # A request may have taken effect at home, or partly here, without the knowledge of the
            # caches of this process.
            self.lapse()
            self._recount()
            self.left(me)

    def _recount(self) -> None:
        with self.lock:
            self.holdings.recount(
                (artifact, state.content)
                for caches in self.agents.values()
                for artifact, state in caches.states.items()
            )

    def look(self, work: Callable[..., T], *arguments: object) -> T:
        """The result of `work`, which only reads the store.  An interrupt leaves nothing behind."""
        me = get_ident()
        entered = False
        try:
            self.enter(NOTHING)
            entered = True
            found = work(*arguments)
            self.left(me)
            return found
        except BaseException as error:
            if not isinstance(error, ToolkitError):
                again(self.settle)
            elif entered:
                self.left(me)
            raise

    # To homes.

    def carry(
        self, batch: Batch, veto: Veto | None = None, *, resends: int = RESENDS
    ) -> list[Outcome]:
        """Take `batch` to its homes, all or nothing, and hand over the messages that follow.

        Raises as `send` does.
        """
        me = get_ident()
        if me in self.at_store or self.lock._is_owned():  # type: ignore[attr-defined]
            self._check_left()
        self.at_store[me] = batch
        try:
            outcomes = self.send(batch, veto, resends=resends)
            self.hand_over(outcomes)
        except (ToolkitError, Vetoed):
            self.left(me)
            raise
        if self.holdings.bytes > self.holdings.limit_bytes:
            self._let_go()
        self.at_store.pop(me, None)
        return outcomes

    def _let_go(self) -> None:
        """Evict copies, the least recently used first."""
        if self._recorder is not None:
            return  # a recorded cache may forget nothing outside its trace
        with self.lock:
            agents = tuple(self.agents.values())
            for artifact in self.holdings.surplus():
                if [caches for caches in agents if not caches.evict(artifact)]:
                    self.holdings.keep(artifact)
                else:
                    self.held.pop(artifact, None)
                    self._due.pop(artifact, None)

    def send(
        self, batch: Batch, veto: Veto | None = None, *, resends: int = RESENDS
    ) -> list[Outcome]:
        """Take `batch` to its homes, all or nothing.  Pass the outcomes to `hand_over`.

        Raises `StoreFault`, and the error of `veto` before anything takes effect.
        """
        unknown: OutcomeUnknown | None = None
        for _ in range(resends):
            try:
                return self._transact(batch, veto)
            except OutcomeUnknown as error:
                unknown = error
                # If it took effect, the messages of homes to caches of this process are lost.
                self.lapse()
            except StoreFault as error:
                if unknown is None:
                    raise
                # This attempt has changed nothing; the effect of the one before stays unknown.
                raise unknown from error
        assert unknown is not None
        raise unknown

    def _transact(self, batch: Batch, veto: Veto | None) -> list[Outcome]:
        publishes = False
        for inbox in batch.values():
            for _, message in inbox:
                if type(message) is PutM:
                    publishes = True
        recorder = self._recorder
        for _ in range(MOVES):
            try:
                if recorder is None:
                    return self._attempt(batch, veto, publishes, None)
                taken: list[Taken] = []
                with recorder.order:
                    outcomes = self._attempt(batch, veto, publishes, taken)
                    recorder.took_effect(batch, taken)
                return outcomes
            except Moved:
                continue
        raise StoreFault(f"the rows moved {MOVES} times", remedy="try again under less load")

    def _attempt(
        self, batch: Batch, veto: Veto | None, publishes: bool, taken: list[Taken] | None
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        room = (self.agents, self.held, self._artifacts_max)
        with self.store.transaction(publishes=publishes) as tx:
            if len(batch) > 1:
                # A store that locks rows needs one order for all processes, with the log last.
                for artifact in sorted(batch):
                    tx.load(artifact)
            for artifact, inbox in batch.items():
                home = self.processes[artifact][1]
                outcomes.append(turn(tx, home, artifact, inbox, *room, taken))
            if veto is not None:
                veto(outcomes)
        return outcomes

    def hand_over(self, outcomes: Sequence[Outcome]) -> None:
        """Hand the messages of homes to the caches, and carry the messages that follow."""
        while True:
            replies = self._deliver(outcomes)
            if not replies:
                return
            try:
                outcomes = self.send(replies)
            except StoreFault as error:
                # A lost acknowledgement costs a writer time, until this copy's lease is over.
                log.warning("replies to homes were lost: %s", error)
                return

    def _deliver(self, outcomes: Sequence[Outcome]) -> dict[str, list[tuple[Address, ToHome]]]:
        replies: dict[str, list[tuple[Address, ToHome]]] = {}
        try:
            with self.lock:
                now = monotonic()
                for outcome in outcomes:
                    artifact = outcome.artifact
                    if outcome.due_s is not None:
                        self._due[artifact] = now + outcome.due_s
                    elif self._due:
                        self._due.pop(artifact, None)
                    if outcome.made is not None:
                        self.held[artifact] = ref(outcome.made)
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
        except ToolkitError:
            self.lapse()
            raise
        if self._growth and any(outcome.published for outcome in outcomes):
            self._tell_growth()
        return replies

    def _tell_growth(self) -> None:
        for watcher, grown in tuple(self._growth.items()):
            if watcher() is None:
                self._growth.pop(watcher, None)
            else:
                grown()

    def _whole(
        self, artifact: str, message: Data | Update, contents: dict[Version, Brought]
    ) -> ToCache:
        """`message`, with the content that this process holds in place of the handle."""
        version = message.version
        got = contents[version]
        if type(got) is tuple:
            handle, content = got
            mine = held_of(self.held, artifact, version, handle)
            if mine is None:
                ref_ = Ref(artifact, version, self.store.identity, handle.digest)
                mine = held(ref_, content, handle)
                self.held[artifact] = ref(mine)
            got = mine
        if type(message) is Data:
            return Data(message.serial, version, message.grant, message.epoch, message.base, got)
        return Update(version, message.base, got)

    # From the change log.

    def refresh(self) -> bool:
        """Take in the changes of other processes; return whether there were any."""
        store = self.store
        if store.shared and self.validates and store.mark() != self._seen:
            self.fetch()
            return True
        return False

    @property
    def fresh(self) -> bool:
        """Whether the store is unchanged by other processes since this process last read it.

        Covers only copies that are looked up after the call.
        """
        return bool(self.store.mark() == self._seen)

    def fetch(self) -> bool:
        """Hand over the log's messages to caches of this process; whether there were any."""
        replies: dict[str, list[tuple[Address, ToHome]]] = {}
        me = self.enter(NOTHING)
        try:
            published, concerned = self._fetch(replies)
            if published and self._growth:
                concerned = True
                self._tell_growth()
            if replies:
                try:
                    self.hand_over(self.send(replies))
                except StoreFault as error:
                    log.warning("replies to homes were lost: %s", error)
        except ToolkitError:
            self.left(me)
            raise
        self.left(me)
        return concerned

    def _fetch(self, replies: dict[str, list[tuple[Address, ToHome]]]) -> tuple[bool, bool]:
        """Take in new lines of the log; whether a version was published, or a message came."""
        published = concerned = renews = False
        with self._fetching:
            # Its own lines are skipped, but prove that the log is the one they were written to.
            own = self.store.last
            missing = own != self._proved and own.seq > self._place.seq
            more = True
            while more:
                # Without validation the mark is never compared.
                mark = self.store.mark() if self.validates else self._seen
                changes = self.store.since(self._place)
                if changes.foreign:
                    missing = False
                    self._begin_again()
                elif changes.gap:
                    log.info("the change log has a gap: every copy lapses")
                    missing = False
                    self.lapse()
                for change in changes.entries:
                    if change.origin == self.store.origin:
                        missing = missing and (change.seq, change.number) != own[:2]
                        continue
                    published = published or change.version > 0
                    if not change.artifact:
                        self._joined(change.author)
                    elif not (change.version or change.posts):
                        renews |= self._taken_for_dead(change.artifact, change.author, replies)
                    for post in change.posts:
                        if post.dst in self.agents:
                            concerned = True
                            self._receive(change.artifact, post.dst, post.message, replies)
                self._place, self._seen = changes.place, mark
                more = changes.more and bool(changes.entries)
            if missing:
                self._begin_again()
            self._proved = own
        if renews:
            self.store.renew()
        return published, concerned or renews

    def _begin_again(self) -> None:
        """The store has another history: drop everything that this process holds."""
        log.warning("the store has another history: every copy is dropped")
        self.served.begin_again()
        with self.lock:
            self.held.clear()
            self._due.clear()
            agents = list(self.agents.values())
            for caches in agents:
                caches.begin_again()
        members = {member.agent: member for member in self.store.members()}
        for caches in agents:
            member = members.get(caches.address)
            if member is None or member.origin != self.store.origin:
                session = self.store.join(caches.address, beyond=caches.session)
                if session:
                    caches.rejoin(session)
                else:  # another process has the name in the present history
                    self._joined(caches.address)

    def _joined(self, agent: Address) -> None:
        with self.lock:
            caches = self.agents.pop(agent, None)
            if caches is not None:
                caches.supersede()

    def _taken_for_dead(
        self, artifact: str, agent: Address, replies: dict[str, list[tuple[Address, ToHome]]]
    ) -> bool:
        """Whether the line buries an agent of this process, which lives.

        Home has forgotten its copy, its grant and its request: the copy must be confirmed, the
        request made again, and a commit under the grant will be refused.
        """
        with self.lock:
            caches = self.agents.get(agent)
            if caches is None:
                return False
            for message in caches.start_over(artifact):
                replies.setdefault(artifact, []).append((agent, message))
            return True

    def _receive(
        self,
        artifact: str,
        dst: Address,
        message: ToCache,
        replies: dict[str, list[tuple[Address, ToHome]]],
    ) -> None:
        contents: dict[Version, Brought] = {}
        if isinstance(message, CARRIERS) and message.content is not None:
            found = self.store.read(artifact, message.version)
            if found is not None and found[0].handle == message.content:
                contents[message.version] = (found[0].handle, found[1])
            elif type(message) is Update:
                message = Update(message.version, 0, None)  # no longer kept: send a pointer
            else:
                return  # its grant or copy has long ended by home's lease
        with self.lock:
            caches = self.agents.get(dst)
            if caches is not None:
                if contents and isinstance(message, CARRIERS):
                    message = self._whole(artifact, message, contents)
                for reply in caches.receive(artifact, Receive(HOME, message), monotonic()):
                    replies.setdefault(artifact, []).append((dst, reply))

    def lapse(self) -> None:
        """A message may have been missed: home must confirm every copy of this process.

        An awaited answer may have been missed too: a waiting agent asks again at once.
        """
        with self.lock:
            for caches in self.agents.values():
                caches.lapse()

    # Waiting.

    def due(self, artifact: str) -> float | None:
        """When the next known timer of `artifact`'s home is due."""
        return self._due.get(artifact)

    def watch(self, watcher: object, grown: Callable[[], None]) -> None:
        """Call `grown` after each published version, until `unwatch` or while `watcher` lives."""
        self._growth[ref(watcher)] = grown
        self.listen()

    def unwatch(self, watcher: object) -> None:
        """Stop calling its callback."""
        self._growth.pop(ref(watcher), None)
        self.hush()

    def listen(self) -> None:
        """Follow the changes of other processes while an agent or a watcher waits."""
        if not self.store.shared:
            return
        with self._ear:
            if self._ear_thread is None:
                ear = threading.Thread(target=self._be_the_ear, name="coherence-ear", daemon=True)
                start(ear)
                self._ear_thread = ear

    def hush(self) -> None:
        """An agent or a watcher stopped waiting: the ear checks whether another still waits."""
        if self.store.shared and not self._listened_for:
            self.store.wake()

    @property
    def _listened_for(self) -> bool:
        if self._closed:
            return False
        if self.listens or any(watcher() is not None for watcher in tuple(self._growth)):
            return True
        return self._awaited

    @property
    def _awaited(self) -> bool:
        """Whether an agent waits for an answer."""
        return any(caches.waiters for caches in tuple(self.agents.values()))

    def _goes_on(self) -> bool:
        """Whether this thread is the ear and is needed; if not, the next wait starts another."""
        with self._ear:
            if self._ear_thread is not threading.current_thread():
                return False
            if not self._listened_for:
                self._ear_thread = None
            return self._ear_thread is not None

    def _be_the_ear(self) -> None:
        try:
            self._listening()
        finally:
            with self._ear:
                if self._ear_thread is threading.current_thread():
                    self._ear_thread = None

    def _listening(self) -> None:
        validates = self.validates
        look_s, looked_at = WATCH_S if validates else LOOK_S, monotonic()
        away = False
        while self._goes_on():
            try:
                begun = monotonic()
                self.store.wait(self._place.seq, look_s)
                now = monotonic()
                # Without a notification, the log is read only for an agent that waits for an
                # answer: the notification may be lost.
                if now - begun < look_s or now - looked_at >= WATCH_S or self._awaited:
                    looked_at = now
                    if not self.fetch() and not validates:
                        # No line concerned this process: the next ones may accumulate.
                        self._ended.wait(PACE_S)
                    away = False
            except StoreFault as error:
                if not self._listened_for:
                    continue
                # One warning for each outage.
                level = logging.DEBUG if away else logging.WARNING
                log.log(level, "the change log cannot be read: %s", error)
                away = True
                if validates:
                    self.lapse()
                # Otherwise no copy outlives its validity, and the log is read then.
                self._ended.wait(PAUSE_S)

    def close(self) -> None:
        """Stop following the log; wake every watcher so that it notices."""
        self._closed = True
        self._ended()
        self._tell_growth()
        self.store.wake()


def _is_nested() -> bool:
    """Whether this thread is already in an outer call of the exchange."""
    frame = sys._getframe(3)
    calls = {Exchange.carry.__code__, Exchange.fetch.__code__, Exchange.look.__code__}
    inner = True
    while frame is not None:
        if frame.f_code in calls and not inner:
            return True
        inner = False
        frame = frame.f_back  # type: ignore[assignment]
    return False
