"""A workspace: a store, and the agents of this process that share its artifacts."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakValueDictionary

from msgspec.structs import replace

from coherence.contents import Limits
from coherence.errors import (
    AgentLeft,
    BadArgument,
    StoreFault,
    UnknownArtifact,
    UsedAfterFork,
    WorkspaceClosed,
)
from coherence.messages import Version
from coherence.policy import Lazy, Policy, Visibility
from coherence.refs import Ref, check_agent, check_name
from coherence.stores.opening import open_store
from coherence.stores.port import Entry, Member, Retention, Store, Stored
from coherence.workspace import forks
from coherence.workspace.agreement import agree
from coherence.workspace.caches import Caches
from coherence.workspace.effects import Hold
from coherence.workspace.exchange import Exchange, again
from coherence.workspace.keeper import Keeper
from coherence.workspace.reading import Metrics
from coherence.workspace.requester import Requester
from coherence.workspace.writing import Writing
from message_passing.errors import ToolkitError
from message_passing.interrupts import free

if TYPE_CHECKING:
    from coherence.workspace.agent import Agent
    from coherence.workspace.recorder import Recorder

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


class Workspace:
    """Artifacts that agents share.

    `url` is ``memory://``, ``sqlite:///path``, ``postgresql://...``, or a store.  `policy` is for
    every artifact, `policies` for those that match a pattern such as ``"notes/*"``: the first match
    counts.  All workspaces on one store should name the same policies, and one that differs logs a
    warning; under any policies, no update is lost and no grant is broken.  `recorder` records the
    steps of caches and homes.

    Raises `BadUrl`, `StoreFault`.
    """

    def __init__(
        self,
        url: str | Store = "memory://",
        *,
        policy: Policy | None = None,
        policies: Mapping[str, Policy] | None = None,
        limits: Limits | None = None,
        retention: Retention | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        for given in (policy, *(policies or {}).values()):
            if given is not None and not isinstance(given, Policy):
                raise BadArgument(f"{given!r} is not a policy", remedy="such as coherence.Lazy()")
            if given is not None and recorder is not None:
                recorder.check_policy(given)
        self.limits = limits or Limits()
        self._store = open_store(url, retention or Retention()) if isinstance(url, str) else url
        self._recorder = recorder
        #: Whether every cached read is validated: it is cheap, or a policy asks for it.
        self._validates = self._store.validates or any(
            given is not None and given.validity == 0
            for given in (policy, *(policies or {}).values())
        )
        try:
            self._policy = self._complete(policy or Lazy())
            self._policies = {glob: self._complete(p) for glob, p in (policies or {}).items()}
            self._exchange = Exchange(
                self._store, self.policy_of, self.limits, recorder, validates=self._validates
            )
        except BaseException:
            if isinstance(url, str):  # the caller closes a store that was passed in
                self._store.close()
            raise
        self.keeper = Keeper()
        self._agents: dict[str, tuple[Requester, Writing]] = {}
        self._fronts: WeakValueDictionary[str, Agent] = WeakValueDictionary()
        self._departed = dict.fromkeys((*Metrics.__slots__, "messages"), 0)
        self._joining = threading.RLock()
        self._fault: ToolkitError | None = None
        self._closed = False
        #: Whether the policies were compared with those of other workspaces.
        self._agreed = False
        forks.tell(self)

    @property
    def identity(self) -> str:
        """The identity of the store, which refs carry."""
        return self._store.identity

    def agent(self, name: str) -> Agent:
        """The agent of that name in this process, which joins at the first call.

        An agent does one thing at a time: give each thread its own.  Raises `InvalidName`.
        """
        from coherence.workspace.agent import Agent

        def find() -> Agent:
            requester, operations = self.join(name)
            with self._joining:
                front = self._fronts.get(name)
                if front is None or front._requester is not requester:
                    front = self._fronts[name] = Agent(self, requester, operations)
                return front

        return self._guarded(find)

    def join(self, name: str) -> tuple[Requester, Writing]:
        """The parts of an agent of that name, for either kind; joins at the first call."""
        check_agent(name)
        if self._recorder is not None:
            self._recorder.check_agent(name)
        return self._guarded(lambda: self._look(self._join, name))

    def _join(self, name: str) -> tuple[Requester, Writing]:
        with self._joining:
            self._require()
            there = self._agents.get(name)
            if there is not None and there[0].fault is None:
                return there
            session = self._store.join(name)
            exchange = self._exchange
            caches = Caches(name, session, exchange.processes, self._recorder, exchange.holdings)
            requester = Requester(self._exchange, caches)
            hashed = self._store.hashes or self._recorder is not None
            served = self._exchange.served
            operations = Writing(caches, self.limits, self.identity, served, hashed=hashed)
            with self._exchange.lock:
                self._exchange.agents[name] = caches
            self._agents[name] = (requester, operations)
            if not self._agreed:
                agree(self._store, {**self._policies, "*": self._policy})
                self._agreed = True
            if not self._validates:
                # No read asks for changes, so the log must be followed.
                self._exchange.listens = True
                self._exchange.listen()
            return requester, operations

    def part(self, requester: Requester) -> None:
        """The agent leaves."""
        if requester.parted:
            return
        try:
            self._part(requester)
        except ToolkitError:
            raise
        except BaseException:
            again(partial(self._settle, requester))
            raise

    def _part(self, requester: Requester) -> None:
        caches = requester.caches
        try:
            requester.leave()
            self._look(self._store.leave, caches.address, caches.session)
        except StoreFault as error:
            # Without a leave message the agent is forgotten at the next write or with its lease.
            log.warning("%r left without a leave message: %s", caches.address, error)
        requester.fault = requester.fault or AgentLeft(f"{caches.address!r} has left")
        with self._exchange.lock:
            if self._exchange.agents.get(caches.address) is caches:
                del self._exchange.agents[caches.address]
            caches.clear()
            for waiter in tuple(caches.waiters.values()):
                waiter()
        with self._joining:
            there = self._agents.get(caches.address)
            if there is not None and there[0] is requester:
                del self._agents[caches.address]
                _add(self._departed, *there)
                self._fronts.pop(caches.address, None)
        requester.parted = True

    def _settle(self, requester: Requester) -> None:
        """Settle the state that an interrupt of this thread has left."""
        free(requester._asking, self._joining)
        self._exchange.settle()

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
    def quick(self) -> bool:
        """Whether every cached copy may be served without its policy and without the recorder."""
        return (
            self._recorder is None
            and self._validates
            and all(
                policy.validity is None and not policy.counts_uses
                for policy in (self._policy, *self._policies.values())
            )
        )

    @property
    def shared(self) -> bool:
        """Whether other processes can change the store."""
        return self._store.shared

    def hold(self, requester: Requester, hold: Hold) -> None:
        """Renew a grant's lease from now on."""
        lease_s = self.policy_of(hold.grant.artifact).grant_lease
        assert lease_s is not None
        self.keeper.hold(requester, hold.grant, lease_s, hold.hold_s)

    def let_go(self, requester: Requester, artifact: str) -> None:
        """Stop renewing the lease of the grant."""
        self.keeper.let_go(requester, artifact)

    # Calls that only read.

    def _look(self, work: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """The result of `work`; an interrupt leaves nothing behind."""
        self._require()
        return self._exchange.look(partial(work, *arguments, **options))

    def _guarded(self, work: Callable[[], T]) -> T:
        """The result of `work`, which may hold locks of the workspace when it is interrupted."""
        try:
            return work()
        except ToolkitError:
            raise
        except BaseException:
            again(partial(free, self._joining))
            again(self._exchange.settle)
            raise

    def names(self, prefix: str = "", *, deleted: bool = False) -> list[str]:
        """Every artifact whose name begins with `prefix`; with `deleted`, also deleted ones."""
        return self._look(self._store.names, prefix, deleted=deleted)

    def history(self, name: str, since: Version = 0) -> list[Entry]:
        """The kept versions from `since` on, oldest first.  Raises `UnknownArtifact`."""
        entries = self._look(self._store.history, check_name(name), since)
        if not entries:
            raise UnknownArtifact(f"there is no artifact {name!r}")
        return entries

    def row(self, name: str) -> Stored | None:
        """The directory's row of `name`, with copies, grant and waiting agents."""
        return self._look(self._store.row, check_name(name))

    def members(self) -> list[Member]:
        """The agents of all processes that have joined and not left."""
        return self._look(self._store.members)

    def metrics(self) -> dict[str, int]:
        """Counters of this process, over all its agents, past and present; they only grow.

        Reads by their form (`hits`, `fulls`, `unchanged`, `deltas`), versions published
        (`writes`), writes refused (`conflicts`), and `messages` to homes.
        """
        totals = dict(self._departed)
        for requester, operations in list(self._agents.values()):
            _add(totals, requester, operations)
        return totals

    def pin(self, ref: Ref | str, pinned: bool = True) -> bool:
        """Exempt that version from the retention rule; False if it is not kept."""
        ref = ref if isinstance(ref, Ref) else Ref.parse(ref)
        return self._look(self._store.pin, ref.name, ref.version, pinned)

    def gc(self) -> int:
        """Apply the retention rule everywhere; return the number of versions removed."""
        return self._look(self._store.tidy)

    def check(self) -> list[str]:
        """The damage in the store, as sentences."""
        return self._look(lambda: list(self._store.check()))

    def backup(
        self,
        path: str | os.PathLike[str],
        *,
        force: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Write everything in the store, as of one moment, to a SQLite file, all or nothing.

        Other agents are not blocked.  The file is a store: ``sqlite:///backup.db`` opens it.
        `progress` is called with the parts done and their total.  Raises `PathTaken` if the file
        exists, unless `force` is given.
        """
        from coherence.stores.backup import back_up

        self._look(back_up, self._store, os.fspath(path), force=force, progress=progress)

    def close(self) -> None:
        """Every agent of this process leaves, and the store is closed.  Idempotent.

        A second call completes a close that was cut off.  Other processes treat an agent that had
        not left by then as crashed.
        """
        if self._closed or isinstance(self._fault, UsedAfterFork):
            return
        try:
            if self._fault is None:
                for requester, _ in list(self._agents.values()):
                    self.part(requester)
        finally:
            self._fault = WorkspaceClosed("the workspace is closed")
            self.keeper.settle()
            self.keeper.close()
            self._exchange.close()
            self._store.close()
        self._closed = True

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _require(self) -> None:
        if self._fault is not None:
            raise self._fault.with_traceback(None)

    def _disown(self) -> None:
        """This is a child process: connections and locks are the parent's."""
        fault = UsedAfterFork("the workspace belongs to the parent process")
        self._fault = fault
        for requester, _ in self._agents.values():
            requester.fault = fault
            requester.caches.states.clear()
            requester._asking = threading.RLock()
        self._joining = threading.RLock()
        forks.keep(self._store, self._exchange, self.keeper)
        # A caller must not wait for a lock that a thread of the parent holds.
        self._store = self._exchange.store = cast("Store", forks.StoreOfParent(self._store, fault))


def _add(totals: dict[str, int], requester: Requester, operations: Writing) -> None:
    for name in Metrics.__slots__:
        totals[name] += getattr(operations.metrics, name)
    totals["messages"] += requester.caches.sent
