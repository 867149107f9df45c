"""A workspace: a store, and the agents of this process that share what is in it."""

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

#: How long a grant lives unless renewed, in seconds, where the policy does not say.  Each that was
#: killed in the queue costs as much where nobody can tell that it was: the usual wait of a minute
#: should outlast a few.
GRANT_LEASE_S = 15.0
#: How long a copy may be served unconfirmed, in seconds, where a store cannot validate every hit
#: and the policy does not say.
VALIDITY_S = 5.0
#: How long a holder of a copy may take to acknowledge what was pushed to it.
PUSH_VALIDITY_S = 60.0

log = logging.getLogger("coherence.workspace")

T = TypeVar("T")


class Workspace:
    """Artifacts that agents share.

    `url` is ``memory://``, ``sqlite:///path``, ``postgresql://...``, or a store.  `policy` is for
    every artifact, `policies` for those that match a pattern such as ``"notes/*"``: the first match
    counts.  All who open one store should name the same policies, and the log says who does not;
    whatever they name, no update is lost and no grant is broken.  `recorder` writes down what
    caches and homes do.

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
                raise BadArgument(f"{given!r} is no policy", remedy="such as coherence.Lazy()")
            if given is not None and recorder is not None:
                recorder.check_policy(given)
        self.limits = limits or Limits()
        self._store = open_store(url, retention or Retention()) if isinstance(url, str) else url
        self._recorder = recorder
        #: Whether every cached read is validated: since that is cheap, or a policy asks for it.
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
            if isinstance(url, str):  # a store that was given is its giver's to close
                self._store.close()
            raise
        self.keeper = Keeper()
        self._agents: dict[str, tuple[Requester, Writing]] = {}
        self._fronts: WeakValueDictionary[str, Agent] = WeakValueDictionary()
        self._departed = dict.fromkeys((*Metrics.__slots__, "messages"), 0)
        self._joining = threading.RLock()
        self._fault: ToolkitError | None = None
        self._closed = False
        #: Whether it was asked what policies others name.
        self._agreed = False
        forks.tell(self)

    @property
    def identity(self) -> str:
        """Names the store: what refs are refs of."""
        return self._store.identity

    def agent(self, name: str) -> Agent:
        """The agent of that name in this process; joins where it has not.

        An agent does one thing at a time: each thread has its own.  Raises `InvalidName`.
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
        """What an agent of that name is made of, for either kind; joins where it has not."""
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
                # No read looks whether there is news: it has to come by itself.
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
            # An agent that says no farewell is forgotten all the same, at the next write or with
            # its lease.
            log.warning("%r left without a farewell: %s", caches.address, error)
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
        """Put in order what an interrupt of this thread has left behind."""
        free(requester._asking, self._joining)
        self._exchange.settle()

    def policy_of(self, artifact: str) -> Policy:
        """The policy that is in force for `artifact`."""
        for glob, policy in self._policies.items():
            if fnmatchcase(artifact, glob):
                return policy
        return self._policy

    def _complete(self, policy: Policy) -> Policy:
        """`policy` with the bounds it leaves open, and without those that this store makes idle.

        Where every hit is validated no copy is ever stale, so a strict commit need not wait.
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
        """Whether every copy that is there may be served without asking its policy, or telling."""
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
        """Renew it no longer."""
        self.keeper.let_go(requester, artifact)

    # Calls that only look.

    def _look(self, work: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """What `work` returns, with nothing left behind where an interrupt cuts it off."""
        self._require()
        return self._exchange.look(partial(work, *arguments, **options))

    def _guarded(self, work: Callable[[], T]) -> T:
        """What `work` returns, which may hold locks of the workspace where it is cut off."""
        try:
            return work()
        except ToolkitError:
            raise
        except BaseException:
            again(partial(free, self._joining))
            again(self._exchange.settle)
            raise

    def names(self, prefix: str = "", *, deleted: bool = False) -> list[str]:
        """Every artifact whose name begins with `prefix`; with `deleted`, those that once were."""
        return self._look(self._store.names, prefix, deleted=deleted)

    def history(self, name: str, since: Version = 0) -> list[Entry]:
        """The versions from `since` on that are kept, oldest first.  Raises `UnknownArtifact`."""
        entries = self._look(self._store.history, check_name(name), since)
        if not entries:
            raise UnknownArtifact(f"there is no artifact {name!r}")
        return entries

    def row(self, name: str) -> Stored | None:
        """The directory's row of `name`: who holds what, who waits."""
        return self._look(self._store.row, check_name(name))

    def members(self) -> list[Member]:
        """The agents that have joined, of whatever process, and have not left."""
        return self._look(self._store.members)

    def metrics(self) -> dict[str, int]:
        """Counters of this process, over every agent it ever had; they only grow.

        Reads by how they were served (`hits`, `fulls`, `unchanged`, `deltas`), versions published
        (`writes`), writes refused (`conflicts`), and `messages` to homes.
        """
        totals = dict(self._departed)
        for requester, operations in list(self._agents.values()):
            _add(totals, requester, operations)
        return totals

    def pin(self, ref: Ref | str, pinned: bool = True) -> bool:
        """Keep that version whatever the retention rule says; False where it is not there."""
        ref = ref if isinstance(ref, Ref) else Ref.parse(ref)
        return self._look(self._store.pin, ref.name, ref.version, pinned)

    def gc(self) -> int:
        """Apply the retention rule everywhere; the number of versions let go."""
        return self._look(self._store.tidy)

    def check(self) -> list[str]:
        """What is damaged in the store, in words."""
        return self._look(lambda: list(self._store.check()))

    def backup(
        self,
        path: str | os.PathLike[str],
        *,
        force: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Write all that the store holds, of one moment, to a SQLite file that is there at the end.

        Nobody is held up.  The file is a store: ``sqlite:///backup.db`` opens it.  `progress` is
        told how many parts are done, and of how many.  Raises `PathTaken` where there is a file,
        unless `force` says to replace it.
        """
        from coherence.stores.backup import back_up

        self._look(back_up, self._store, os.fspath(path), force=force, progress=progress)

    def close(self) -> None:
        """Every agent of this process leaves, and the store is let go.  Closing again is fine.

        One that was cut off is carried on by closing again.  An agent that had not left by then is
        found gone by others, as after a crash.
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
        # Whatever asks for it does not wait for a lock that a thread of the parent's holds.
        self._store = self._exchange.store = cast("Store", forks.StoreOfParent(self._store, fault))


def _add(totals: dict[str, int], requester: Requester, operations: Writing) -> None:
    for name in Metrics.__slots__:
        totals[name] += getattr(operations.metrics, name)
    totals["messages"] += requester.caches.sent
