"""Carries messages between the caches of this process and the homes in a store.

What a cache sends is taken to its home in one transaction.  What homes send to caches of this
process is handed over at once; what they send to others is in the change log, and what others'
transactions sent here is fetched from it.  The tables bear messages that come late, twice or in
another order, so no lock orders hand-overs; one that was missed makes every copy lapse.

A cached copy may be served only if it was taken after the validation that covers it: `fresh` is
asked first, and the copy is looked up after that.  Between a commit and its hand-over no copy of
what was committed is served at all (`moving`).
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

#: How often a transaction is run again when its rows moved, or when its outcome is unknown.  A
#: request that is sent again is recognised by its serial and answered, not judged a second time.
MOVES = 100
RESENDS = 3
#: For how many artifacts their policy is remembered.
PROCESSES_MAX = 10_000
#: How long one wait for other processes lasts, and how long to leave a store alone that fails.
WATCH_S = 60.0
#: How many interrupts in a row the settling of one may meet; a safeguard, not a limit.
INTERRUPTS_MAX = 1_000
PAUSE_S = 1.0
#: How often a store that does not validate is looked at while an agent waits for an answer, and how
#: long what others do may gather after some that was of no concern here.
LOOK_S = 1.0
PACE_S = 0.005


NOTHING: Batch = {}
T = TypeVar("T")


def again(settle: Callable[[], None]) -> BaseException | None:
    """Call `settle` to its end, however often it is interrupted itself; the last interrupt."""
    interrupt: BaseException | None = None
    for _ in range(INTERRUPTS_MAX):
        try:
            settle()
            return interrupt
        except Exception:
            log.exception("a call was cut off, and what it left could not be put in order")
            return interrupt
        except BaseException as error:
            interrupt = error
    return interrupt


class Vetoed(Exception):
    """A transaction was given up on purpose, since a home refused a part of it."""

    def __init__(self, artifact: str, nack: Nack) -> None:
        super().__init__()
        self.artifact = artifact
        self.nack = nack


def veto_refusal(outcomes: Sequence[Outcome]) -> None:
    """Raises `Vetoed` where a home refused: all or nothing."""
    for outcome in outcomes:
        for post in outcome.posts:
            if isinstance(post.message, Nack):
                raise Vetoed(outcome.artifact, post.message)


Veto: TypeAlias = Callable[[Sequence[Outcome]], None]


class Processes(dict[str, tuple[Cache, Home]]):
    """The two processes of each artifact, by its policy; made when they are first asked for."""

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
    """The caches of this process, the store, and what goes between them."""

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
        #: Whether every cached read asks the store whether anything has changed.
        self.validates = validates
        self.holdings = Holdings(limits.copies_bytes)
        self._recorder = recorder
        #: Guards the caches of every agent.  Never held while the store is asked.
        self.lock = threading.RLock()
        self.agents: dict[Address, Caches] = {}
        #: The version of each artifact that this process had last: one content for all its agents.
        self.held: dict[str, ReferenceType[Held]] = {}
        #: What was given to the applications of this process.
        self.served = ServedDigests()
        #: What every agent's cache of an artifact is, and what its home is.
        self.processes = Processes(policy)
        self._artifacts_max = limits.artifacts
        #: When the next timer of a home is due, on this process's monotonic clock.
        self._due: dict[str, float] = {}
        #: Each thread that is at the store, and what it takes to homes: until all that follows
        #: from it is handed over.  What an interrupted thread has left here was not.
        self.at_store: dict[int, Batch] = {}
        self._fetching = threading.RLock()
        #: The line of this process's own that is known to be in the log.
        self._proved = store.last
        self._seen = store.mark()
        self._place = store.head()
        self._ear = threading.RLock()
        self._ear_thread: threading.Thread | None = None
        #: Whether news are fetched as they come although nobody waits for them.
        self.listens = False
        self._closed = False
        self._ended = Knock()
        #: Watcher -> what to call when a version was published, while the watcher is there.
        self._growth: dict[ReferenceType[object], Callable[[], None]] = {}
        #: Which waiting agents look whether the processes of others live.
        self.lookouts = Lookouts(self)

    # At the store.

    def enter(self, batch: Batch) -> int:
        """This thread goes to the store with `batch`; its number, for `left`.

        Raises `AgentBusy` where it is there already: a signal handler or a finaliser runs in the
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
        self.settle()  # what an interrupt has left, which was itself interrupted

    def left(self, me: int) -> None:
        """It is back, and all that follows was handed over."""
        self.at_store.pop(me, None)

    def moves(self, artifact: str) -> bool:
        """Whether a thread of this process may be changing `artifact` just now."""
        return any(artifact in batch for batch in tuple(self.at_store.values()))

    def settle(self) -> None:
        """Put in order what an interrupt of this thread has left behind.  May be done twice."""
        try:
            self.store.release()
        except Exception:
            log.exception("a call was cut off, and the store kept what it had taken")
        with self.lock:
            for caches in tuple(self.agents.values()):
                caches.finish()
        free(self._fetching, self._ear, self.lock)
        if self._recorder is not None:
            free(self._recorder.order)
        me = get_ident()
        if me in self.at_store:
            # Something may have taken effect at home, or half of it here, of which caches of this
            # process have not heard.
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
        """What `work` returns, which only asks the store.  Nothing is left where it is cut off."""
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
        """Take `batch` to its homes, all or nothing, and hand over what follows.

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
        """Let go of copies, those first that were not used for longest."""
        if self._recorder is not None:
            return  # a recorded cache forgets nothing that its trace does not say
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
        """Take `batch` to its homes, all or nothing.  What follows is for `hand_over`.

        Raises `StoreFault`, and what `veto` raises before anything takes effect.
        """
        unknown: OutcomeUnknown | None = None
        for _ in range(resends):
            try:
                return self._transact(batch, veto)
            except OutcomeUnknown as error:
                unknown = error
                # If it was carried out, what homes sent to caches of this process is lost.
                self.lapse()
            except StoreFault as error:
                if unknown is None:
                    raise
                # This attempt has changed nothing; what the one before has done is as unknown.
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
        raise StoreFault(f"the rows moved {MOVES} times", remedy="try again when less is going on")

    def _attempt(
        self, batch: Batch, veto: Veto | None, publishes: bool, taken: list[Taken] | None
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        room = (self.agents, self.held, self._artifacts_max)
        with self.store.transaction(publishes=publishes) as tx:
            if len(batch) > 1:
                # Where rows are locked, everybody locks them in one order, and before the log.
                for artifact in sorted(batch):
                    tx.load(artifact)
            for artifact, inbox in batch.items():
                home = self.processes[artifact][1]
                outcomes.append(turn(tx, home, artifact, inbox, *room, taken))
            if veto is not None:
                veto(outcomes)
        return outcomes

    def hand_over(self, outcomes: Sequence[Outcome]) -> None:
        """Give the caches what homes sent them, and carry back and forth what follows from it."""
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
        """`message`, which brings content, with what this process holds in place of the handle."""
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
        """Take in what other processes have done; whether there was anything."""
        store = self.store
        if store.shared and self.validates and store.mark() != self._seen:
            self.fetch()
            return True
        return False

    @property
    def fresh(self) -> bool:
        """Whether nobody else has changed the store since this process last looked.

        Covers the copies that are looked up after it was asked, and no others.
        """
        return bool(self.store.mark() == self._seen)

    def fetch(self) -> bool:
        """Hand over what the change log brings for caches of this process; whether it does."""
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
        """Take in what is new in the log; whether a version was published, or a message came."""
        published = concerned = renews = False
        with self._fetching:
            # Its own lines are passed over, but prove that the log is the one they were written to.
            own = self.store.last
            missing = own != self._proved and own.seq > self._place.seq
            more = True
            while more:
                # Where no read validates nobody asks whether the mark is this one.
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
        """The store has another history: nothing that this process holds says anything of it."""
        log.warning("the store has another history: all that was held is dropped")
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
                else:  # another process has the name, in the history that counts
                    self._joined(caches.address)

    def _joined(self, agent: Address) -> None:
        with self.lock:
            caches = self.agents.pop(agent, None)
            if caches is not None:
                caches.supersede()

    def _taken_for_dead(
        self, artifact: str, agent: Address, replies: dict[str, list[tuple[Address, ToHome]]]
    ) -> bool:
        """Whether that is an agent of this process, which lives.

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
                message = Update(message.version, 0, None)  # gone already: a pointer is as good
            else:
                return  # the grant or copy it brought is long over; home's lease ends it
        with self.lock:
            caches = self.agents.get(dst)
            if caches is not None:
                if contents and isinstance(message, CARRIERS):
                    message = self._whole(artifact, message, contents)
                for reply in caches.receive(artifact, Receive(HOME, message), monotonic()):
                    replies.setdefault(artifact, []).append((dst, reply))

    def lapse(self) -> None:
        """Something may have been missed: every copy of this process must be confirmed by home.

        What an agent waits for may have been missed too: a waiting agent asks again at once.
        """
        with self.lock:
            for caches in self.agents.values():
                caches.lapse()

    # Waiting.

    def due(self, artifact: str) -> float | None:
        """When a timer of `artifact`'s home is due, as far as is known here."""
        return self._due.get(artifact)

    def watch(self, watcher: object, grown: Callable[[], None]) -> None:
        """Call `grown` whenever a version was published, until `unwatch` or `watcher` is gone."""
        self._growth[ref(watcher)] = grown
        self.listen()

    def unwatch(self, watcher: object) -> None:
        """Call it no longer."""
        self._growth.pop(ref(watcher), None)
        self.hush()

    def listen(self) -> None:
        """Fetch what other processes do as it happens, for as long as something here waits."""
        if not self.store.shared:
            return
        with self._ear:
            if self._ear_thread is None:
                ear = threading.Thread(target=self._be_the_ear, name="coherence-ear", daemon=True)
                start(ear)
                self._ear_thread = ear

    def hush(self) -> None:
        """Something waits no longer: the ear looks whether anything does."""
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
                # Where no notification came, the log is read for an agent that waits for an answer:
                # the notification may be lost.  For nobody else is it read so often.
                if now - begun < look_s or now - looked_at >= WATCH_S or self._awaited:
                    looked_at = now
                    if not self.fetch() and not validates:
                        # Nothing of it was for this process: what comes next may gather.
                        self._ended.wait(PACE_S)
                    away = False
            except StoreFault as error:
                if not self._listened_for:
                    continue
                # Once for an outage.
                level = logging.DEBUG if away else logging.WARNING
                log.log(level, "the change log cannot be read: %s", error)
                away = True
                if validates:
                    self.lapse()
                # Else no copy outlives its validity, and what is in the log by then is read there.
                self._ended.wait(PAUSE_S)

    def close(self) -> None:
        """Hear and hand over nothing any more; whatever waits for a change is woken to see it."""
        self._closed = True
        self._ended()
        self._tell_growth()
        self.store.wake()


def _is_nested() -> bool:
    """Whether this thread is in a call of the exchange already, below the present one."""
    frame = sys._getframe(3)
    calls = {Exchange.carry.__code__, Exchange.fetch.__code__, Exchange.look.__code__}
    inner = True
    while frame is not None:
        if frame.f_code in calls and not inner:
            return True
        inner = False
        frame = frame.f_back  # type: ignore[assignment]
    return False
