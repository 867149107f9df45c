"""The errors of a workspace, as leaves of the tree in `message_passing.errors`.

::

    CallerError
    ├── InvalidName, BadRef, InvalidContent, ContentTooLarge, QuotaExceeded, BadUrl, BadArgument
    ├── PathTaken              the path of a new file is already in use
    ├── UnknownArtifact        never written, or deleted
    ├── UnknownVersion         not yet made, or no longer kept
    ├── ForeignRef             a ref of another workspace
    ├── NoArchive              the store lacks calls that commands and backups need
    ├── WorkspaceClosed, AgentLeft, AgentBusy, AgentSuperseded, AgentReadOnly, UsedAfterFork
    ├── GrantTimeout           the wait for an exclusive draft reached its deadline
    └── Conflict               the write was derived from a version that is no longer current
        ├── Fenced             the draft's grant had ended before it was published
        ├── Conflicts          a transaction rests on versions that are no longer current
        └── StaleRead          one of those, that was only read
    EnvironmentFault
    └── StoreFault             the store refused or failed: nothing was changed
        ├── OutcomeUnknown     the store went away while it answered: the write may have been made
        ├── StoreReadOnly, StoreFull, StoreCorrupt, StoreMissing
        ├── StoreNewer, StoreOlder
        ├── StoreReplaced, StoreLinked   the file at the path is not the one that is open
        └── StoreBusy          another process held the store for longer than the limit

`Conflict` and those below it are defined in `coherence.conflict`, since they carry more data.
"""

from __future__ import annotations

from typing import Self

from message_passing.errors import CallerError, EnvironmentFault


class InvalidName(CallerError):
    """A name that cannot name an artifact or an agent."""

    remedy = "use a relative path of plain parts, such as notes/plan.md"


class BadRef(CallerError):
    """A text that is not a ref, or a ref that does not fit the call."""

    remedy = "refs read name@version, such as plan.md@3"


class ForeignRef(CallerError):
    """A ref of another workspace, whose versions are counted separately."""

    remedy = "read the artifact in this workspace and use the ref of the view"


class InvalidContent(CallerError):
    """Content that is neither text nor bytes, or text that has no UTF-8 form."""

    remedy = "give str without lone surrogates, or bytes"


class ContentTooLarge(CallerError):
    """Content over the workspace's size limit."""

    remedy = "split the artifact, or open the workspace with larger Limits"


class QuotaExceeded(CallerError):
    """One more artifact than the workspace allows."""

    remedy = "reuse names, or open the workspace with larger Limits"


class BadUrl(CallerError):
    """A workspace address that no store understands."""

    remedy = "memory://, sqlite:///folder/team.db or postgresql://user@host/database"


class BadArgument(CallerError):
    """An argument outside its range, or two that contradict each other."""


class PathTaken(CallerError):
    """The path of a new file is already in use.  Nothing was written."""

    remedy = "move it away, or name another place"


class UnknownArtifact(CallerError):
    """There is no artifact of that name: it was never written, or it was deleted."""

    remedy = "write it first; list() names those that exist"

    @classmethod
    def named(cls, name: str) -> Self:
        """No artifact has that name."""
        return cls(f"there is no artifact {name!r}")

    @classmethod
    def deleted(cls, name: str, ref: object) -> Self:
        """The one of that name was deleted: the version `ref` says so."""
        return cls(f"{name!r} was deleted: {ref} says so")


class UnknownVersion(CallerError):
    """A version that has not been made, or is no longer kept."""

    remedy = "history() lists the versions that are kept"


class NoArchive(CallerError):
    """The store serves a workspace, but lacks calls that commands, backups or upkeep need."""

    remedy = "the store must have the calls of coherence.stores.archive.Archive"


class WorkspaceClosed(CallerError):
    """The workspace was closed."""

    remedy = "open a new Workspace"


class AgentLeft(CallerError):
    """The agent has left its workspace."""

    remedy = "call workspace.agent(name) for a new one"


class AgentBusy(CallerError):
    """Another thread or task is in a call of this agent."""

    remedy = "an agent does one thing at a time: give each thread or task its own agent"


class AgentSuperseded(CallerError):
    """Another process has joined under the same name since, and has superseded this agent."""

    remedy = "use a different name in each process, or call workspace.agent(name) again"


class AgentReadOnly(CallerError):
    """A write, a deletion, a draft or a transaction of an agent that was opened read-only."""

    remedy = "open the agent without read_only=True to change artifacts"


class UsedAfterFork(CallerError):
    """The workspace was opened before a fork and is used in the child."""

    remedy = "open a new Workspace in each process"


class GrantTimeout(CallerError):
    """The wait for an exclusive draft reached its deadline; the place in the queue was given up."""

    remedy = "wait longer, or write() optimistically once the holder is done"


class StoreFault(EnvironmentFault):
    """The store refused or failed.  Nothing was changed."""


class OutcomeUnknown(StoreFault):
    """The store went away while it answered: the change may or may not have been made."""

    remedy = "read the artifact to see; writing it again with its ref cannot apply twice"


class StoreReadOnly(StoreFault):
    """The store cannot be written to."""

    remedy = "check the permissions of the file and of its folder"


class StoreFull(StoreFault):
    """There is no space left."""

    remedy = (
        "free some room on the disk; then gc shortens what is kept, for which it needs a little"
    )


class StoreCorrupt(StoreFault):
    """The data that was read is not valid."""

    remedy = "restore a backup; `python -m coherence check` lists the damage"


class StoreNewer(StoreFault):
    """The store was written by a newer release."""

    remedy = "upgrade artifact-coherence in this environment"


class StoreOlder(StoreFault):
    """The store was written by an older release, and is not to be changed."""

    remedy = "`python -m coherence upgrade` brings it up to date, as opening it for writing does"


class StoreMissing(StoreFault):
    """The store, or what is needed to reach it, is not there."""


class StoreReplaced(StoreFault):
    """The file at the store's path, or its log, is not the one that this process has open."""

    remedy = "no other process would see its writes: close the workspace, and open a new one"


class StoreLinked(StoreFault):
    """The store's file has a second name, beside which SQLite would keep a second log."""

    remedy = "remove the other name (find -samefile), or copy the file and open the copy"


class StoreBusy(StoreFault):
    """Another process held the store for longer than the limit."""

    remedy = "try again; if it stays so, look for a process that stopped in a transaction"
