"""This process's side of one store: its homes, the caches of its agents, and their sessions."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, TypeVar, cast
from weakref import WeakValueDictionary

from msgspec.structs import replace

from coherence.contents import Limits
from coherence.errors import BadArgument, UsedAfterFork, WorkspaceClosed
from coherence.policy import Lazy, Policy, Visibility
from coherence.refs import check_agent
from coherence.runtime import forks
from coherence.runtime.agreement import agree
from coherence.runtime.caches import Caches
from coherence.runtime.follower import Follower
from coherence.runtime.homes import Homes
from coherence.runtime.keeper import Keeper
from coherence.runtime.lookout import Lookouts
from coherence.runtime.processes import Processes
from coherence.runtime.served import ServedDigests
from coherence.runtime.session import Session, Shared
from coherence.runtime.trace import Trace
from coherence.runtime.tracing import Traced
from coherence.stores.port import Store
from message_passing.background import Background
from message_passing.errors import ToolkitError
from message_passing.forks import in_children
from message_passing.interrupts import free, insist
from message_passing.ports import Clock

#: How long a grant lives unless renewed, in seconds, if the policy does not say.  A killed agent in
#: the queue blocks it for as long if its death cannot be detected, so the default wait of a minute
#: covers several leases.
GRANT_LEASE_S = 15.0
#: How long a copy may be served unconfirmed, in seconds, if the store cannot validate every hit and
#: the policy does not say.
VALIDITY_S = 5.0
#: How long the holder of a copy may take to acknowledge a push.
PUSH_VALIDITY_S = 60.0

log = logging.getLogger("coherence.workspace")

T = TypeVar("T")


A = TypeVar("A")


class Site:
    """Everything of one workspace in this process.  `clock` and `background` are its only time.

    The store is closed with it.  Raises `BadArgument` if another site has the store.
    """

    def __init__(
        self,
        store: Store,
        *,
        policy: Policy | None,
        policies: Mapping[str, Policy],
        limits: Limits,
        trace: Trace | None,
        clock: Clock,
        background: Background,
    ) -> None:
        self.store = store
        self._trace = trace
        named = (policy or Lazy(), *policies.values())
        #: Whether every cached read is validated: it is cheap, or a policy asks for it.
        self._validates = store.validates or any(given.validity == 0 for given in named)
        self._policy = self._complete(policy or Lazy())
        self._policies = {glob: self._complete(given) for glob, given in policies.items()}
        caches = Caches(
            Processes(self.policy_of),
            identity=store.identity,
            limit_bytes=limits.copies_bytes,
            trace=trace,
            clock=clock,
        )
        served = ServedDigests()
        homes = Homes(store, caches, artifacts_max=limits.artifacts)
        homes.locks += background.locks
        if trace is not None:
            homes.locks.append(trace.order)
        follower = Follower(
            homes,
            caches,
            served,
            validates=self._validates,
            clock=clock,
            background=background,
        )
        self.homes, self.follower, self.keeper = homes, follower, Keeper(background, clock)
        homes.accounts.later = self.keeper.do
        homes.accounts.send = lambda rows: homes.look(homes.store.tally, rows)
        self._shared = Shared(
            identity=store.identity,
            limits=limits,
            hashed=store.hashes or trace is not None,
            quick=self._is_quick,
            shared=store.shared,
            homes=homes,
            caches=caches,
            follower=follower,
            lookouts=Lookouts(homes, caches, follower),
            keeper=self.keeper,
            served=served,
            ended=self._ended,
        )
        #: The agents of this process, by name.
        self.sessions: dict[str, Session] = {}
        #: What the calls of agents are made through, the innermost first.
        self._traced: list[Traced] = []
        #: How many messages the agents that have left sent to homes.
        self._sent = 0
        self._joining = threading.RLock()
        homes.locks.append(self._joining)
        self.fault: ToolkitError | None = None
        self._closed = False
        #: Whether the policies were compared with those of other workspaces.
        self._agreed = False
        other = _SITES.get(id(store))
        if other is not None and other.fault is None:
            raise BadArgument(
                "the store belongs to another workspace",
                remedy="give each workspace a store, or a URL, of its own",
            )
        _SITES[id(store)] = self
        in_children(self._disown)

    # Agents.

    def join(self, name: str) -> Session:
        """The session of the agent of that name, which joins at the first call."""
        check_agent(name)
        if self._trace is not None:
            self._trace.check_agent(name)
        session = self.guarded(partial(self.look, self._join, name))
        if not self._validates:
            # No read asks for changes, so the log must be followed.  Not under the locks above: an
            # interrupt makes `listen` release them.
            self.follower.always = True
            self.follower.listen()
        return session

    def agent(
        self, name: str, known: MutableMapping[Session, A], make: Callable[[Session], A]
    ) -> A:
        """The agent object of that name among `known`, by session, or a new one."""

        def find() -> A:
            session = self.join(name)
            with self._joining:
                agent = known.get(session)
                if agent is None:
                    agent = known[session] = make(session)
                return agent

        return self.guarded(find)

    def _join(self, name: str) -> Session:
        with self._joining:
            self.require()
            there = self.sessions.get(name)
            if there is not None and there.fault is None:
                return there
            if there is not None:
                self._ended(there)
            session = Session(name, self.store.join(name), self._shared)
            with self._shared.caches.lock:
                self._shared.caches.agents[name] = session.caches
            self.follower.check_joined(name)
            for traced in self._traced:
                session.tracing.begin(traced)
            self.sessions[name] = session
            if not self._agreed:
                agree(self.store, {**self._policies, "*": self._policy})
                self._agreed = True
            return session

    def _ended(self, session: Session) -> None:
        with self._joining:
            if self.sessions.get(session.name) is session:
                self.homes.accounts.close(session.caches)
                del self.sessions[session.name]
                self._sent += session.caches.sent

    def metrics(self) -> dict[str, int]:
        """The counters of all agents, past and present."""
        totals = self.guarded(self.homes.accounts.metrics)
        sent = sum(session.caches.sent for session in list(self.sessions.values()))
        return {**totals, "messages": self._sent + sent}

    def send_counts(self) -> None:
        """Send what was counted in this process.  Raises `StoreFault`."""
        self.require()
        self.guarded(self.homes.accounts.send_all)

    def trace_calls(self, traced: Traced) -> None:
        """From now on, agents of this process make their calls through `traced` too."""
        with self._joining:
            self._traced.append(traced)
            for session in self.sessions.values():
                session.tracing.begin(traced)

    # Policies.

    def policy_of(self, artifact: str) -> Policy:
        """The policy that is in force for `artifact`."""
        for glob, policy in self._policies.items():
            if fnmatchcase(artifact, glob):
                return policy
        return self._policy

    def _complete(self, policy: Policy) -> Policy:
        """`policy` with its open bounds filled in, and without those that this store does not need.

        If every hit is validated, no copy is ever stale, so a strict commit need not wait.
        """
        changed: dict[str, Any] = {}
        if policy.grant_lease is None:
            changed["grant_lease"] = GRANT_LEASE_S
        if self._validates:
            changed["visibility"] = Visibility.LAZY
            if policy.pushes:
                changed["validity"] = policy.validity or PUSH_VALIDITY_S
            elif not policy.is_lease:
                changed["validity"] = None
        elif policy.validity is None:
            changed["validity"] = VALIDITY_S
        return replace(policy, **changed)

    @property
    def _is_quick(self) -> bool:
        return (
            self._trace is None
            and self._validates
            and all(
                policy.validity is None and not policy.counts_uses
                for policy in (self._policy, *self._policies.values())
            )
        )

    # Calls.

    def require(self) -> None:
        """Raise the error that makes this workspace unusable."""
        if self.fault is not None:
            raise self.fault.with_traceback(None)

    def look(self, work: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """The result of `work` at the store; an interrupt leaves nothing behind."""
        self.require()
        return self.homes.look(partial(work, *arguments, **options))

    def guarded(self, work: Callable[[], T]) -> T:
        """The result of `work`, which may hold locks of this site when it is interrupted."""
        try:
            return work()
        except ToolkitError:
            raise
        except BaseException:
            insist(partial(free, self._joining))
            insist(self.homes.settle)
            raise

    def close(self) -> None:
        """Every agent of this process leaves, and the store is closed.  Idempotent.

        A second call completes a close that was cut off.
        """
        if self._closed or isinstance(self.fault, UsedAfterFork):
            return
        try:
            if self.fault is None:
                for session in list(self.sessions.values()):
                    session.leave()
        finally:
            self.fault = WorkspaceClosed("the workspace is closed")
            self.keeper.settle()
            self.keeper.close()
            self.follower.close()
            self.store.close()
        self._closed = True

    def _disown(self) -> None:
        """This is a child process: connections and locks are the parent's."""
        self.fault = fault = UsedAfterFork("the workspace belongs to the parent process")
        for session in self.sessions.values():
            session.fault = fault
            session.caches.states.clear()
            session.asking, session.leaving = threading.RLock(), threading.RLock()
        self._joining = threading.RLock()
        self.homes.accounts.disown()
        forks.keep(self.store, self.homes, self.follower, self.keeper, self._shared)
        # A caller must not wait for a lock that a thread of the parent holds.
        self.store = self.homes.store = cast("Store", forks.StoreOfParent(self.store, fault))


#: The sites of this process, by the `id` of the store that each keeps.  A site skips the lines that
#: its store object wrote, so two sites on one object would not read of each other's commits.
_SITES: WeakValueDictionary[int, Site] = WeakValueDictionary()


def check_policies(policies: Iterable[Policy | None], trace: Trace | None) -> None:
    """Raises `BadArgument` for what is not a policy, and the error of `trace`."""
    for given in policies:
        if given is None:
            continue
        if not isinstance(given, Policy):
            raise BadArgument(f"{given!r} is not a policy", remedy="such as coherence.Lazy()")
        if trace is not None:
            trace.check_policy(given)
