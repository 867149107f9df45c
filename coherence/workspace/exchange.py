"""Carries messages between the caches of this process and the homes in a store.

What a cache sends is taken to its home in one transaction.  What homes send to caches of this
process is handed over at once; what they send to others is in the change log, and what others'
transactions sent here is fetched from it.  The tables bear messages that come late, twice or in
another order, so no lock orders hand-overs; one that was missed makes every copy lapse.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias
from weakref import ReferenceType, ref

from coherence.cache import Cache
from coherence.directory import Home
from coherence.errors import OutcomeUnknown, StoreFault
from coherence.messages import Data, Nack, PutM, ToCache, ToHome, Update, Version
from coherence.policy import Policy
from coherence.refs import Ref
from coherence.stores.port import Moved, Store
from coherence.workspace.caches import Caches
from coherence.workspace.homes import CARRIERS, HOME, Brought, Outcome, Taken, held_of, turn
from coherence.workspace.view import Held, held
from messaging.process import Address, Receive

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
#: How long one wait for other processes lasts, and how long to leave a store alone that fails.
WATCH_S = 60.0
PAUSE_S = 1.0


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
        artifacts_max: int,
        recorder: Recorder | None = None,
    ) -> None:
        self.store = store
        self._recorder = recorder
        #: Guards the caches of every agent.  Never held while the store is asked.
        self.lock = threading.Lock()
        self.agents: dict[Address, Caches] = {}
        #: The version of each artifact that this process had last: one content for all its agents.
        self.held: dict[str, ReferenceType[Held]] = {}
        #: What every agent's cache of an artifact is, and what its home is.
        self.processes = Processes(policy)
        self._artifacts_max = artifacts_max
        #: When the next timer of a home is due, on this process's monotonic clock.
        self._due: dict[str, float] = {}
        self._fetching = threading.Lock()
        self._seen = store.mark()
        self._place = store.head()
        self._ear = threading.Lock()
        self._ear_thread = 0
        self._listeners = 0
        self.closed = threading.Event()
        self._growth: list[Callable[[], None]] = []

    # To homes.

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
        except BaseException:
            self.lapse()
            raise
        if self._growth:
            for outcome in outcomes:
                if outcome.published:
                    for grown in tuple(self._growth):
                        grown()
        return replies

    def _whole(
        self, artifact: str, message: Data | Update, contents: dict[Version, Brought]
    ) -> ToCache:
        """`message`, which brings content, with what this process holds in place of the handle."""
        version = message.version
        got = contents[version]
        if type(got) is tuple:
            handle, content = got
            mine = held_of(self.held, artifact, version)
            if mine is None:
                mine = held(Ref(artifact, version, self.store.identity), content, handle)
                self.held[artifact] = ref(mine)
            got = mine
        if type(message) is Data:
            return Data(message.serial, version, message.grant, message.epoch, message.base, got)
        return Update(version, message.base, got)

    # From the change log.

    def refresh(self) -> bool:
        """Take in what other processes have done; whether there was anything."""
        store = self.store
        if store.shared and store.validates and store.mark() != self._seen:
            self.fetch()
            return True
        return False

    @property
    def fresh(self) -> bool:
        """Whether nobody else has changed the store since this process last looked."""
        return bool(self.store.mark() == self._seen)

    def fetch(self) -> None:
        """Hand over what the change log brings for caches of this process."""
        replies: dict[str, list[tuple[Address, ToHome]]] = {}
        published = False
        with self._fetching:
            more = True
            while more:
                mark = self.store.mark()
                changes = self.store.since(self._place)
                if changes.gap or changes.foreign:
                    log.info("the change log has a gap after %s: every copy lapses", self._place)
                    self.lapse()
                for change in changes.entries:
                    if change.origin == self.store.origin:
                        continue
                    published = published or change.version > 0
                    if not change.artifact:
                        self._joined(change.author)
                    for post in change.posts:
                        if post.dst in self.agents:
                            self._receive(change.artifact, post.dst, post.message, replies)
                self._place, self._seen = changes.place, mark
                more = bool(changes.entries)
        if published:
            for grown in tuple(self._growth):
                grown()
        if replies:
            try:
                self.hand_over(self.send(replies))
            except StoreFault as error:
                log.warning("replies to homes were lost: %s", error)

    def _joined(self, agent: Address) -> None:
        with self.lock:
            caches = self.agents.pop(agent, None)
            if caches is not None:
                caches.supersede()

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
            if found is not None:
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
        """Something may have been missed: every copy of this process must be confirmed by home."""
        with self.lock:
            for caches in self.agents.values():
                caches.lapse()

    # Waiting.

    def due(self, artifact: str) -> float | None:
        """When a timer of `artifact`'s home is due, as far as is known here."""
        return self._due.get(artifact)

    def on_growth(self, grown: Callable[[], None]) -> Callable[[], None]:
        """Call `grown` whenever a version was published; returns how to end that."""
        self._growth.append(grown)
        return lambda: self._growth.remove(grown)

    def listen(self) -> Callable[[], None]:
        """Fetch what other processes do as it happens, until the returned function is called."""
        if not self.store.shared:
            return lambda: None
        with self._ear:
            self._listeners += 1
            if self._listeners == 1:
                threading.Thread(target=self._listening, name="coherence-ear", daemon=True).start()
        return self._stop_listening

    def _stop_listening(self) -> None:
        with self._ear:
            self._listeners -= 1
            if not self._listeners:
                self.store.wake()

    def _listening(self) -> None:
        me = threading.get_ident()
        self._ear_thread = me
        while self._listeners and self._ear_thread == me and not self.closed.is_set():
            try:
                self.store.wait(self._place.seq, WATCH_S)
                self.fetch()
            except StoreFault as error:
                if self.closed.is_set() or not self._listeners:
                    return
                log.warning("the change log cannot be read: %s", error)
                if self.store.validates:
                    self.lapse()
                # Else no copy outlives its validity, and what is in the log by then is read there.
                self.closed.wait(PAUSE_S)

    def close(self) -> None:
        """Hear and hand over nothing any more; whoever waits for a change is woken to see it."""
        self.closed.set()
        for grown in tuple(self._growth):
            grown()
        self.store.wake()
