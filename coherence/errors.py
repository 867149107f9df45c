"""What can go wrong in a workspace, as leaves of the one tree of `messaging.errors`.

::

    CallerError
    ├── InvalidName, BadRef, InvalidContent, ContentTooLarge, QuotaExceeded, BadUrl, BadArgument
    ├── UnknownArtifact        never written, or deleted
    ├── UnknownVersion         not yet made, or no longer kept
    ├── ForeignRef             a ref of another workspace
    ├── WorkspaceClosed, AgentLeft, AgentBusy, AgentSuperseded, UsedAfterFork
    ├── GrantTimeout           the wait for an exclusive draft reached its deadline
    └── Conflict               the write was derived from a version that is no longer current
        └── Fenced             the draft's grant had ended before it was published
    EnvironmentFault
    └── StoreFault             the store refused or failed: nothing was changed
        ├── OutcomeUnknown     the store went away while it answered: the write may have been made
        ├── StoreReadOnly, StoreFull, StoreCorrupt, StoreNewer, StoreMissing
        └── StoreBusy          somebody else held the store for longer than the limit

`Conflict` and `Fenced` have a module of their own, `coherence.conflict`: they can say much more.
"""

from __future__ import annotations

from messaging.errors import CallerError, EnvironmentFault


class InvalidName(CallerError):
    """A name that cannot name an artifact or an agent."""

    code = "invalid_name"
    remedy = "use a relative path of plain parts, such as notes/plan.md"


class BadRef(CallerError):
    """A text that is no ref, or a ref that does not fit the call."""

    code = "bad_ref"
    remedy = "refs read name@version, such as plan.md@3"


class ForeignRef(CallerError):
    """A ref that another workspace handed out: its versions are not counted as ours are."""

    code = "foreign_ref"
    remedy = "read the artifact in this workspace and use the ref of what you get"


class InvalidContent(CallerError):
    """Content that is neither text nor bytes, or text that has no UTF-8 form."""

    code = "invalid_content"
    remedy = "give str without lone surrogates, or bytes"


class ContentTooLarge(CallerError):
    """Content over the workspace's size limit."""

    code = "content_too_large"
    remedy = "split the artifact, or open the workspace with larger Limits"


class QuotaExceeded(CallerError):
    """One more artifact than the workspace allows."""

    code = "quota_exceeded"
    remedy = "reuse names, or open the workspace with larger Limits"


class BadUrl(CallerError):
    """A workspace address that no store understands."""

    code = "bad_url"
    remedy = "memory://, sqlite:///folder/team.db or postgresql://user@host/database"


class BadArgument(CallerError):
    """An argument outside its range, or two that contradict each other."""

    code = "bad_argument"


class UnknownArtifact(CallerError):
    """There is no artifact of that name: it was never written, or it was deleted."""

    code = "unknown_artifact"
    remedy = "write it first; list() names those that exist"


class UnknownVersion(CallerError):
    """A version that has not been made, or is no longer kept."""

    code = "unknown_version"
    remedy = "history() lists the versions that are kept"


class WorkspaceClosed(CallerError):
    """The workspace was closed."""

    code = "workspace_closed"
    remedy = "open a new Workspace"


class AgentLeft(CallerError):
    """The agent has left its workspace."""

    code = "agent_left"
    remedy = "call workspace.agent(name) for a new one"


class AgentBusy(CallerError):
    """Another thread or task is in a call of this agent."""

    code = "agent_busy"
    remedy = "an agent does one thing at a time: give each thread or task an agent of its own"


class AgentSuperseded(CallerError):
    """Another process joined under the same name since, and is now the one that counts."""

    code = "agent_superseded"
    remedy = "give each process a name of its own, or call workspace.agent(name) again"


class UsedAfterFork(CallerError):
    """The workspace was opened before a fork and is used in the child."""

    code = "used_after_fork"
    remedy = "open a Workspace of its own in each process"


class GrantTimeout(CallerError):
    """The wait for an exclusive draft reached its deadline; the place in the queue was given up."""

    code = "grant_timeout"
    remedy = "wait longer, or write() optimistically once the holder is done"


class StoreFault(EnvironmentFault):
    """The store refused or failed.  Nothing was changed."""

    code = "store_fault"


class OutcomeUnknown(StoreFault):
    """The store went away while it answered: the change may or may not have been made."""

    code = "outcome_unknown"
    remedy = "read the artifact to see; writing it again with its ref cannot apply twice"


class StoreReadOnly(StoreFault):
    """The store cannot be written to."""

    code = "store_read_only"
    remedy = "check the permissions of the file and of its folder"


class StoreFull(StoreFault):
    """There is no room left."""

    code = "store_full"
    remedy = "free some room, or shorten what is kept with gc"


class StoreCorrupt(StoreFault):
    """What was read back is not what a store writes."""

    code = "store_corrupt"
    remedy = "restore a backup; `python -m coherence check` says what is hit"


class StoreNewer(StoreFault):
    """The store was written by a newer release."""

    code = "store_newer"
    remedy = "upgrade artifact-coherence in this environment"


class StoreMissing(StoreFault):
    """The store, or what is needed to reach it, is not there."""

    code = "store_missing"


class StoreBusy(StoreFault):
    """Somebody else held the store for longer than the limit."""

    code = "store_busy"
    remedy = "try again; if it stays so, look for a process that stopped in a transaction"
