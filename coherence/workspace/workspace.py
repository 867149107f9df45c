"""A workspace: a store, and the agents of this process that share its artifacts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from time import monotonic
from weakref import WeakValueDictionary

from coherence.contents import Limits
from coherence.errors import BadArgument
from coherence.messages import Version
from coherence.policy import Policy
from coherence.refs import Ref, check_name
from coherence.runtime.recorder import Recorder
from coherence.runtime.session import Session
from coherence.runtime.site import Site, check_policies
from coherence.stores.archive import archive_of
from coherence.stores.opening import open_store
from coherence.stores.port import Entry, Member, Place, Retention, Store, Stored
from coherence.workspace.agent import Agent, history_of
from coherence.workspace.changes import Watch
from coherence.workspace.stats import Stats, check_day
from message_passing.background import Background, Threads
from message_passing.ports import Clock


class Workspace:
    """Artifacts that agents share.

    `url` is ``memory://``, ``sqlite:///path``, ``postgresql://...``, or a store that no other
    workspace has.  `policy` is for every artifact, `policies` for those that match a pattern such
    as ``"notes/*"``: the first match counts.  All workspaces on one store should name the same
    policies, and one that differs logs a warning; under any policies, no update is lost and no
    grant is broken.  `recorder` records the steps of caches and homes.  `observe` names a folder,
    or a new file that ends in ``.ndjson``, for what the agents of this process observe:
    ``python -m specs histories`` judges it.  Tests that own time pass a `clock` in seconds, and a
    `background` that does the work of renewing leases and following the log.

    Raises `BadUrl`, `BadArgument`, `StoreFault`, `PathTaken`, `Unobserved`.
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
        observe: str | os.PathLike[str] | None = None,
        clock: Clock = monotonic,
        background: Background | None = None,
    ) -> None:
        policies = policies or {}
        check_policies((policy, *policies.values()), recorder)
        self.limits = limits or Limits()
        if isinstance(url, str):
            store = open_store(url, retention or Retention(), clock=clock)
        else:
            store = url
        observing = None
        try:
            if observe is not None:
                from coherence.workspace.observing import observed

                observing = observed(observe, clock)
            self._site = Site(
                store,
                policy=policy,
                policies=policies,
                limits=self.limits,
                trace=recorder,
                clock=clock,
                background=background or Threads(),
            )
        except BaseException:
            if isinstance(url, str):  # the caller closes a store that was passed in
                store.close()
            raise
        if observing is not None:
            self._site.trace_calls(observing)
        self._agents: WeakValueDictionary[Session, Agent] = WeakValueDictionary()
        #: Those that were opened read-only.
        self._readers: WeakValueDictionary[Session, Agent] = WeakValueDictionary()

    @property
    def identity(self) -> str:
        """The identity of the store, which refs carry."""
        return self._site.store.identity

    def agent(self, name: str, *, read_only: bool = False) -> Agent:
        """The agent of that name in this process, which joins at the first call.

        An agent does one thing at a time: give each thread its own.  With `read_only` all that
        would change an artifact raises `AgentReadOnly`: this is a property of the returned object,
        for code that is not to write.  Raises `InvalidName`, `BadArgument`.
        """
        known = self._readers if check_flag(read_only) else self._agents
        return self._site.agent(name, known, partial(Agent, read_only=read_only))

    def names(self, prefix: str = "", *, deleted: bool = False) -> list[str]:
        """Every artifact whose name begins with `prefix`; with `deleted`, also deleted ones."""
        return self._site.look(self._site.store.names, prefix, deleted=deleted)

    def history(self, name: str, since: Version = 0) -> list[Entry]:
        """The kept versions from `since` on, oldest first.  Raises `UnknownArtifact`."""
        self._site.require()
        return history_of(self._site.homes, name, since)

    def watch(
        self,
        pattern: str = "*",
        *,
        since: Place | int | None = None,
        timeout_s: float | None = None,
    ) -> Watch:
        """The changes to artifacts that match `pattern`; see `Agent.watch`.  No agent joins."""
        site = self._site
        site.require()
        return Watch(site.homes, site.follower, site.require, pattern, since, timeout_s)

    def row(self, name: str) -> Stored | None:
        """The directory's row of `name`, with copies, grant and waiting agents."""
        return self._site.look(self._site.store.row, check_name(name))

    def members(self) -> list[Member]:
        """The agents of all processes that have joined and not left."""
        return self._site.look(self._site.store.members)

    def metrics(self) -> dict[str, int]:
        """Counters of this process, over all its agents, past and present; they only grow.

        Reads by their form (`hits`, `fulls`, `unchanged`, `deltas`), versions published
        (`writes`), writes refused (`conflicts`), and `messages` to homes.
        """
        return self._site.metrics()

    def stats(self, since: date | str = "") -> Stats:
        """The reads and writes of agents of all processes since a day, and the tokens saved.

        First sends the counts of this process.  Those that other processes have not sent yet are
        missing, and so are those that a killed process had not sent.  Raises `BadArgument`,
        `StoreFault`.
        """
        first = check_day(since)
        self._site.send_counts()
        return Stats(tuple(self._site.look(archive_of(self._site.store).tallies, first)))

    def pin(self, ref: Ref | str, pinned: bool = True) -> bool:
        """Exempt that version from the retention rule; False if it is not kept."""
        ref = ref if isinstance(ref, Ref) else Ref.parse(ref)
        return self._site.look(archive_of(self._site.store).pin, ref.name, ref.version, pinned)

    def gc(self) -> int:
        """Apply the retention rule everywhere; return the number of versions removed."""
        return self._site.look(archive_of(self._site.store).tidy)

    def check(self) -> list[str]:
        """The damage in the store, as sentences."""
        return self._site.look(lambda: list(archive_of(self._site.store).check()))

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

        store = self._site.store
        self._site.look(back_up, store, os.fspath(path), force=force, progress=progress)

    def close(self) -> None:
        """Every agent of this process leaves, and the store is closed.  Idempotent.

        A second call completes a close that was cut off.  Other processes treat an agent that had
        not left by then as crashed.
        """
        self._site.close()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def check_flag(read_only: object) -> bool:
    """`read_only`, if it is a bool.  Raises `BadArgument`."""
    if isinstance(read_only, bool):
        return read_only
    raise BadArgument(f"read_only is {read_only!r}", remedy="give True or False")


def site_of(workspace: Workspace) -> Site:
    """What a workspace is made of, for packages that build on it."""
    return workspace._site


def agent_in_use(workspace: Workspace, name: str) -> Agent | None:
    """The agent object of that name, if the application still has one."""
    session = workspace._site.sessions.get(name)
    if session is None:
        return None
    return workspace._agents.get(session) or workspace._readers.get(session)
