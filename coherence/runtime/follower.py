"""Takes in what other processes have done: the lines of the store's log.

If the store validates, a mark says at no cost whether the log has grown since this process read it
last.  Otherwise a thread follows the log while an agent or a watcher waits.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Container
from functools import partial
from weakref import ref

from coherence.errors import StoreFault
from coherence.messages import CARRIERS, ToCache, Update
from coherence.runtime.caches import Caches, Replies
from coherence.runtime.homes import Homes
from coherence.runtime.outcome import Carried
from coherence.runtime.served import ServedDigests
from coherence.stores.port import Change, Changes
from message_passing.background import Background, Worker
from message_passing.errors import ToolkitError
from message_passing.interrupts import Knock, insist
from message_passing.ports import Clock
from message_passing.process import Address, Time

log = logging.getLogger("coherence.workspace")

#: How long one wait for other processes lasts, and the pause after a failure of the store.
WATCH_S = 60.0
PAUSE_S = 1.0
#: How often the log of a store that does not validate is read while an agent waits for an answer,
#: and how long lines may accumulate after lines that did not concern this process.
LOOK_S = 1.0
PACE_S = 0.005


class Follower(Worker):
    """Follows the log of one store for the caches of this process."""

    name = "coherence-follower"

    def __init__(
        self,
        homes: Homes,
        caches: Caches,
        served: ServedDigests,
        *,
        validates: bool,
        clock: Clock,
        background: Background,
    ) -> None:
        #: Whether every cached read asks the store for changes.
        self.validates = validates
        #: Whether the log is followed even while no agent waits.
        self.always = False
        self._homes, self._caches, self._served = homes, caches, served
        self._clock, self._background = clock, background
        store = homes.store
        #: The last line of this process that is known to be in the log.
        self._proved = store.last
        #: The store's mark when this process has last read the log.
        self.seen = store.mark()
        self._place = store.head()
        self._fetching = threading.RLock()
        homes.locks.append(self._fetching)
        self._closed = False
        self._ended = Knock()
        #: When the log was last read, and whether the store has failed since.
        self._looked_at: Time = clock()
        self._away = False

    # From the log.

    def refresh(self) -> bool:
        """Take in the changes of other processes; return whether there were any."""
        store = self._homes.store
        if store.shared and self.validates and store.mark() != self.seen:
            self.fetch()
            return True
        return False

    def fetch(self) -> bool:
        """Hand over the log's messages to caches of this process; whether there were any."""
        return self._homes.look(self._fetch)

    def _fetch(self) -> bool:
        replies: Replies = {}
        published, concerned = self._take_in(replies)
        if published and self._caches.watchers:
            concerned = True
            self._caches.tell_watchers()
        if replies:
            try:
                self._homes.hand_over(self._homes.send(replies))
            except StoreFault as error:
                log.warning("replies to homes were lost: %s", error)
        return concerned

    def _take_in(self, replies: Replies) -> tuple[bool, bool]:
        """Take in new lines of the log; whether a version was published, or a message came."""
        published = concerned = renews = False
        store = self._homes.store
        with self._fetching:
            # Its own lines are skipped, but prove that the log is the one they were written to.
            own = store.last
            missing = own != self._proved and own.seq > self._place.seq
            more = True
            while more:
                # Without validation the mark is never compared.
                mark = store.mark() if self.validates else self.seen
                changes = store.since(self._place)
                self._supersede(_joined(changes, store.origin), unseen=changes.gap)
                if changes.foreign:
                    missing = False
                    self._begin_again()
                elif changes.gap:
                    log.info("the change log has a gap: every copy lapses")
                    missing = False
                    self._caches.lapse()
                for change in changes.entries:
                    if change.origin == store.origin:
                        missing = missing and (change.seq, change.number) != own[:2]
                        continue
                    published = published or change.version > 0
                    if change.artifact and not (change.version or change.posts):
                        renews |= self._taken_for_dead(change, replies)
                    for post in change.posts:
                        if post.dst in self._caches.agents:
                            concerned = True
                            self._receive(change.artifact, post.dst, post.message, replies)
                self._place, self.seen = changes.place, mark
                more = changes.more and bool(changes.entries)
            if missing:
                self._begin_again()
            self._proved = own
        if renews:
            store.renew()
        return published, concerned or renews

    def _begin_again(self) -> None:
        """The store has another history: drop everything that this process holds."""
        log.warning("the store has another history: every copy is dropped")
        store = self._homes.store
        self._served.begin_again()
        agents = self._caches.begin_again()
        members = {member.agent: member for member in store.members()}
        for caches in agents:
            member = members.get(caches.address)
            if member is None or member.session != caches.session:
                session = store.join(caches.address, beyond=caches.session)
                if session:
                    caches.rejoin(session)
                else:  # another process has the name in the present history
                    self._caches.supersede(caches)

    def check_joined(self, name: Address) -> None:
        """Supersede the agent of that name if another process has joined since it joined.

        For an agent that has just been added to this process: the line of the other process may
        have been read before.
        """
        if self._homes.store.shared:
            with self._fetching:
                self._supersede((name,), unseen=False)

    def _supersede(self, joined: Container[Address], *, unseen: bool) -> None:
        """Supersede the agents of this process whose names other processes have now.

        They are sought among the names `joined` of the log, or if lines are `unseen`, among all.  A
        line may be older than the session of this process, so the members decide.
        """
        agents = [
            caches
            for caches in tuple(self._caches.agents.values())
            if unseen or caches.address in joined
        ]
        if not agents:
            return
        store = self._homes.store
        members = store.sessions([caches.address for caches in agents])
        ours = {member.agent: member.origin == store.origin for member in members}
        for caches in agents:
            # A name without a member: an agent that had joined since has left, or, if the log does
            # not name one, the membership of this agent has run out.
            if not ours.get(caches.address, caches.address not in joined):
                self._caches.supersede(caches)

    def _taken_for_dead(self, change: Change, replies: Replies) -> bool:
        """Whether the line buries an agent of this process, which lives.

        Home has forgotten its copy, its grant and its request: the copy must be confirmed, the
        request made again, and a commit under the grant will be refused.
        """
        with self._caches.lock:
            caches = self._caches.agents.get(change.author)
            if caches is None:
                return False
            for message in caches.start_over(change.artifact):
                replies.setdefault(change.artifact, []).append((change.author, message))
            return True

    def _receive(self, artifact: str, dst: Address, message: ToCache, replies: Replies) -> None:
        carried: Carried | None = None
        if isinstance(message, CARRIERS) and message.content is not None:
            found = self._homes.store.read(artifact, message.version)
            if found is not None and found[0].handle == message.content:
                carried = (found[0].handle, found[1])
            elif type(message) is Update:
                message = Update(message.version, 0, None)  # no longer kept: send a pointer
            else:
                return  # its grant or copy has long ended by home's lease
        for reply in self._caches.hand_over(artifact, dst, message, carried):
            replies.setdefault(artifact, []).append((dst, reply))

    # Waiting for other processes.

    def watch(self, watcher: object, grown: Callable[[], None]) -> None:
        """Call `grown` after each published version, until `unwatch` or while `watcher` lives."""
        self._caches.watchers[ref(watcher)] = grown
        self.listen()

    def unwatch(self, watcher: object) -> None:
        """Stop calling its callback."""
        self._caches.watchers.pop(ref(watcher), None)
        self.hush()

    def listen(self) -> None:
        """Follow the log while an agent or a watcher waits."""
        if self._homes.store.shared:
            self._guarded(partial(self._background.need, self))

    def hush(self) -> None:
        """A wait is over: check whether another agent or watcher still waits."""
        store = self._homes.store
        if store.shared and not self.is_needed:
            self._guarded(store.wake)

    def _guarded(self, work: Callable[[], None]) -> None:
        """Call `work`, which may hold locks when it is interrupted."""
        try:
            work()
        except ToolkitError:
            raise
        except BaseException:
            insist(self._homes.settle)
            raise

    @property
    def is_needed(self) -> bool:
        """Whether an agent or a watcher waits."""
        if self._closed:
            return False
        if self.always or any(watcher() is not None for watcher in tuple(self._caches.watchers)):
            return True
        return self._is_awaited

    @property
    def _is_awaited(self) -> bool:
        """Whether an agent waits for an answer."""
        return any(
            asked.wake is not None
            for caches in tuple(self._caches.agents.values())
            for asked in tuple(caches.asked.values())
        )

    def work(self) -> None:
        """Wait for the log to grow, or for a while, and take in what is new."""
        look_s = WATCH_S if self.validates else LOOK_S
        try:
            begun = self._clock()
            self._homes.store.wait(self._place.seq, look_s)
            now = self._clock()
            # Without a notification, the log is read only for an agent that waits for an answer:
            # the notification may be lost.
            if now - begun < look_s or now - self._looked_at >= WATCH_S or self._is_awaited:
                self._looked_at = now
                if not self.fetch() and not self.validates:
                    # No line concerned this process: the next ones may accumulate.
                    self._ended.wait(PACE_S)
                self._away = False
        except StoreFault as error:
            if not self.is_needed:
                return
            # One warning for each outage.
            level = logging.DEBUG if self._away else logging.WARNING
            log.log(level, "the change log cannot be read: %s", error)
            self._away = True
            if self.validates:
                self._caches.lapse()
            # Otherwise no copy outlives its validity, and the log is read then.
            self._ended.wait(PAUSE_S)

    def close(self) -> None:
        """Stop following the log; wake every watcher so that it notices."""
        self._closed = True
        self._ended()
        self._caches.tell_watchers()
        self._homes.store.wake()


def _joined(changes: Changes, origin: int) -> set[Address]:
    """The names under which other workspaces than `origin` have joined."""
    return {
        change.author
        for change in changes.entries
        if not change.artifact and change.origin != origin
    }
