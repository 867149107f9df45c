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

from coherence.contents import Limits
from coherence.errors import (
    AgentBusy,
    AgentLeft,
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
from coherence.policy import AccessCount, Eager, InvalidPolicy, Lazy, Lease, Policy, Visibility
from coherence.refs import Ref
from coherence.stores.port import Retention
from coherence.workspace.agent import Agent
from coherence.workspace.changes import Published
from coherence.workspace.conflict import Conflict, Fenced
from coherence.workspace.draft import Draft
from coherence.workspace.recorder import Recorder
from coherence.workspace.view import Served, View
from coherence.workspace.workspace import Workspace

if _TYPE_CHECKING:
    from coherence.workspace.aio import AsyncAgent, AsyncWorkspace

__all__ = [
    "AccessCount",
    "Agent",
    "AgentBusy",
    "AgentLeft",
    "AgentSuperseded",
    "AsyncAgent",
    "AsyncWorkspace",
    "BadArgument",
    "BadRef",
    "BadUrl",
    "Conflict",
    "ContentTooLarge",
    "Draft",
    "Eager",
    "Fenced",
    "ForeignRef",
    "GrantTimeout",
    "InvalidContent",
    "InvalidName",
    "InvalidPolicy",
    "Lazy",
    "Lease",
    "Limits",
    "OutcomeUnknown",
    "PathTaken",
    "Policy",
    "Published",
    "QuotaExceeded",
    "Recorder",
    "Ref",
    "Retention",
    "Served",
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
    "UnknownArtifact",
    "UnknownVersion",
    "UsedAfterFork",
    "View",
    "Visibility",
    "Workspace",
    "WorkspaceClosed",
]


def __getattr__(name: str) -> object:
    # An event loop is not loaded for those who use none.
    if name in ("AsyncAgent", "AsyncWorkspace"):
        from coherence.workspace import aio

        return getattr(aio, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
