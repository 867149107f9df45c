"""Coherence of artifacts that a team of agents shares.

::

    from coherence import Workspace

    ws = Workspace("sqlite:///team.db")
    planner, coder = ws.agent("planner"), ws.agent("coder")
    planner.write("plan.md", "# Plan")
    view = coder.read("plan.md")

The protocol is two pure tables, `coherence.cache` and `coherence.directory`; `coherence.workspace`
runs them over a store, ``python -m coherence.simulate`` over a simulated team.
"""

from __future__ import annotations

from typing import TYPE_CHECKING as _TYPE_CHECKING

from coherence import beside as _beside  # noqa: F401 - looks before all others import
from coherence.conflict import Conflict, Conflicts, Fenced, StaleRead
from coherence.contents import Limits
from coherence.errors import (
    AgentBusy,
    AgentLeft,
    AgentReadOnly,
    AgentSuperseded,
    BadArgument,
    BadRef,
    BadUrl,
    ContentTooLarge,
    ForeignRef,
    GrantTimeout,
    InvalidContent,
    InvalidName,
    OutcomeUnknown,
    PathTaken,
    QuotaExceeded,
    StoreBusy,
    StoreCorrupt,
    StoreFault,
    StoreFull,
    StoreLinked,
    StoreMissing,
    StoreNewer,
    StoreOlder,
    StoreReadOnly,
    StoreReplaced,
    UnknownArtifact,
    UnknownVersion,
    UsedAfterFork,
    WorkspaceClosed,
)
from coherence.policy import (
    AccessCount,
    Announce,
    Broadcast,
    Eager,
    InvalidPolicy,
    Lazy,
    Lease,
    Policy,
    Use,
    Visibility,
)
from coherence.refs import Ref
from coherence.runtime.recorder import Recorder
from coherence.stores.port import Entry, Member, Retention, Store, Stored
from coherence.view import Served, View
from coherence.workspace.agent import Agent, Edit
from coherence.workspace.changes import Published, Watch
from coherence.workspace.draft import Draft
from coherence.workspace.snapshot import Snapshot
from coherence.workspace.stats import Figures, Stats
from coherence.workspace.transaction import AgentTransaction, AsyncAgentTransaction
from coherence.workspace.workspace import Workspace
from message_passing.errors import CallerError, EnvironmentFault, PeerError, ToolkitError
from message_passing.public import publish as _publish
from message_passing.public import published as _published

if _TYPE_CHECKING:
    from coherence.workspace.aio import AsyncAgent, AsyncEdit
    from coherence.workspace.aio_workspace import AsyncWorkspace

__all__ = [
    "AccessCount",
    "Agent",
    "AgentBusy",
    "AgentLeft",
    "AgentReadOnly",
    "AgentSuperseded",
    "AgentTransaction",
    "Announce",
    "AsyncAgent",
    "AsyncAgentTransaction",
    "AsyncEdit",
    "AsyncWorkspace",
    "BadArgument",
    "BadRef",
    "BadUrl",
    "Broadcast",
    "CallerError",
    "Conflict",
    "Conflicts",
    "ContentTooLarge",
    "Draft",
    "Eager",
    "Edit",
    "Entry",
    "EnvironmentFault",
    "Fenced",
    "Figures",
    "ForeignRef",
    "GrantTimeout",
    "InvalidContent",
    "InvalidName",
    "InvalidPolicy",
    "Lazy",
    "Lease",
    "Limits",
    "Member",
    "OutcomeUnknown",
    "PathTaken",
    "PeerError",
    "Policy",
    "Published",
    "QuotaExceeded",
    "Recorder",
    "Ref",
    "Retention",
    "Served",
    "Snapshot",
    "StaleRead",
    "Stats",
    "Store",
    "StoreBusy",
    "StoreCorrupt",
    "StoreFault",
    "StoreFull",
    "StoreLinked",
    "StoreMissing",
    "StoreNewer",
    "StoreOlder",
    "StoreReadOnly",
    "StoreReplaced",
    "Stored",
    "ToolkitError",
    "UnknownArtifact",
    "UnknownVersion",
    "Use",
    "UsedAfterFork",
    "View",
    "Visibility",
    "Watch",
    "Workspace",
    "WorkspaceClosed",
]


_publish(__name__, __all__, globals())


def __getattr__(name: str) -> object:
    # Loaded on demand: an application without tasks does not load asyncio.
    if name in ("AsyncAgent", "AsyncEdit"):
        from coherence.workspace import aio

        return _published(__name__, getattr(aio, name))
    if name == "AsyncWorkspace":
        from coherence.workspace.aio_workspace import AsyncWorkspace

        return _published(__name__, AsyncWorkspace)
    if name == "__version__":
        from importlib.metadata import version

        return version("artifact-coherence")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
