"""Where the agents of one run meet: who runs, what they share, who waits for whom."""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar

from coherence.runtime.session import Session
from coherence.runtime.site import Site
from coherence.stores.port import Retention, Store
from coherence.testing.instead import instead
from coherence.testing.loops import LoopTasks
from coherence.testing.moves import EVERYTHING, Access
from coherence.testing.oracles import Thing, Waiting, World, circle, driver_of, waits_for_grants
from coherence.testing.scheduler import Actor, SideWork, TeamRun
from coherence.testing.scratch import ScratchStores, keeps_time
from coherence.testing.tasks import TaskAgents
from coherence.testing.threads import ThreadRun
from coherence.workspace.reading import Operation

ALL: Access = ((EVERYTHING, False),)


class Regrain(Exception):
    """A call waits for less than a lease, so calls in one move would hide what it can meet."""


def hear(site: Site) -> None:
    """Take in what other workspaces have done, as a thread beside a program would have by now."""
    follower = site.follower
    if site.store.shared and follower.is_needed:
        if follower.validates:
            follower.refresh()
        else:
            follower.fetch()


class Staged(SideWork):
    """A workspace on a stage."""

    site: Site

    def bury(self, session: Session) -> None:
        """The process of this agent has ended: no message leaves, and no grant is renewed."""
        raise NotImplementedError


class Stage:
    """What the agents of one run share."""

    #: That of the run under way.
    present: ClassVar[Stage | None] = None

    def __init__(self, run: TeamRun, threads: ThreadRun, grain: str, stores: ScratchStores) -> None:
        self.run, self.threads, self.grain, self._scratch = run, threads, grain, stores
        #: What a store is wrapped in before a workspace has it.
        self.wrapped: Callable[[Store], Store] = lambda store: store
        #: Whether workspaces hear of each other only where no agent can make a move.
        self.news_is_late = False
        #: The tasks that are agents: those of event loops in threads, or all in one loop.
        self.tasks: TaskAgents = (loops := LoopTasks(run, threads))
        self.loops = loops
        self.world = World()
        #: Which agent of the run made the last call of each agent of a workspace.
        self.driving: dict[str, Actor] = {}
        self.lock_waits: Callable[[], Mapping[str, Waiting]] = dict
        self.rooms: list[Staged] = []
        #: What the artifacts of each store are called, by its identity.
        self._kinds: dict[str, str] = {}
        self._program = get_ident()
        run.cycle = self._circle

    def me(self) -> Actor | None:
        """The agent that makes this call; None outside of all."""
        if self.run.is_settling:
            return None
        return self.tasks.me() or self.threads.me()

    @contextmanager
    def with_tasks(self, tasks: TaskAgents) -> Iterator[None]:
        """Until the end of the block, the agents are `tasks`."""
        before, self.tasks = self.tasks, tasks
        try:
            yield
        finally:
            self.tasks = before

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """In the block no call of the present agent is a move."""
        with self.threads.unseen(), instead(self.run, "is_settling", True):
            yield

    def doubt_order(self, what: object) -> None:
        """The user's code has used something of which the run does not know."""
        kind = what if isinstance(what, str) else f"a {type(what).__name__}"
        self.run.doubts.append(
            f"{kind}, which the program has not made in this run: its uses were not in every order"
        )

    def step(self, access: Access, label: str) -> Operation[None]:
        """Stop the present agent before a move, if there is one."""
        if self.tasks.me() is not None:
            yield from self.tasks.step(access, label).__await__()
        else:
            self.threads.step(access, label)
            yield from ()

    def touch(self, access: Access, label: str) -> None:
        """The present agent touches this: in a thread a move, in a task part of its last one.

        Where a call blocks the event loop of a thread, agents of other threads may go on.
        """
        if (actor := self.tasks.me()) is not None:
            is_alone = actor.carrier is None or not self.threads.others_can_go_on()
            self.run.touch(actor, access, label if is_alone else "")
            if is_alone:
                return
        if not self.run.is_settling:
            self.threads.step(access, label)

    def store(self, store: str | Store, retention: Retention | None = None) -> Store:
        """A store for a workspace of this run: what a URL names is the run's own."""
        if isinstance(store, str):
            store = self._scratch.open(store, retention)
        if not keeps_time(store, self.run.now):
            self.run.doubts.append(f"a {type(store).__name__} is on time of its own")
        return self.wrapped(store)

    def artifact(self, identity: str, name: Hashable) -> Thing:
        """The artifact of that name in that store."""
        kind = self._kinds.get(identity)
        if kind is None:
            kind = f"store {len(self._kinds) + 1}" if self._kinds else "artifact"
            self._kinds[identity] = kind
        return Thing(kind, name)

    def kill(self, actor: Actor) -> None:
        """The process of this agent ends: nothing that it does reaches a store."""
        actor.is_killed = True
        for room in self.rooms:
            for session in list(room.site.sessions.values()):
                if self.driving.get(session.name) is actor:
                    room.bury(session)

    def doubt(self, who: str) -> None:
        """A call that is not scheduled: in order, if it is the program's own."""
        if get_ident() != self._program and not self.run.is_settling:
            self.run.doubts.append(f"{who} has made calls in a thread that is not scheduled")

    def forget(self, actor: Actor) -> None:
        """Another process goes on as this agent."""
        self.driving = {who: other for who, other in self.driving.items() if other is not actor}

    def stall(self, actor: Actor) -> None:
        """From now on, the grants of this agent are not renewed."""
        for room in self.rooms:
            for session in room.site.sessions.values():
                if self.driving.get(session.name) is actor:
                    for artifact in list(session.caches.drafting):
                        session.keeper.release(session, artifact)

    def _circle(self, waiting: Sequence[Actor]) -> str:
        waits: dict[str, Waiting] = {}
        for room in self.rooms:
            store, sessions = room.site.store, list(room.site.sessions.values())
            found = waits_for_grants(store, sessions, self.run.now)
            for who, wait in found.items():
                holder = driver_of(self.driving, wait.holder)
                waits[driver_of(self.driving, who)] = Waiting(wait.thing, holder)
        return circle({**waits, **self.lock_waits()})
