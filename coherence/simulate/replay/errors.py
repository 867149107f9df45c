"""Errors of a replay: leaves of the one error tree.

::

    CallerError
    ├── NoRepository       a folder that is not a git repository
    ├── UnknownRevision    a name that no commit has
    ├── UnknownPath        a path that no commit of the history touches
    ├── EmptyHistory       no commit changes a text, in the repository or in the time asked for
    ├── ShallowHistory     a clone without its older commits
    ├── PartialClone       a clone without its older texts
    ├── OneAuthor          ``--by author`` on a history of one author
    ├── InvalidHistory     a file that is not a saved history, or is damaged
    └── InvalidTrace       files that are not a recorded run
    EnvironmentFault
    ├── GitMissing         git is not installed
    ├── GitFailed          git refused, for a reason of its own
    └── HistoryNotSaved    the file cannot be written
"""

from __future__ import annotations

from message_passing.errors import CallerError, EnvironmentFault


class NoRepository(CallerError):
    """The folder is not a git repository."""

    remedy = "name the folder of a clone, with or without a working tree"


class UnknownRevision(CallerError):
    """No commit has this name."""


class UnknownPath(CallerError):
    """No commit of the history touches this path."""


class EmptyHistory(CallerError):
    """No commit changes a text."""


class ShallowHistory(CallerError):
    """The clone does not have the older commits, so that first versions would look like edits."""

    remedy = "git fetch --unshallow"


class PartialClone(CallerError):
    """The clone does not have all texts, and a replay asks no server for them."""

    remedy = "clone without --filter"


class OneAuthor(CallerError):
    """All changes are of one author, so that there is no team of authors."""

    remedy = "use --by burst or --by window"


class InvalidHistory(CallerError):
    """The file is not a saved history, is damaged, or is of another version of the format."""


class InvalidTrace(CallerError):
    """The files are not a recorded run, or contradict each other."""


class GitMissing(EnvironmentFault):
    """The program git is not installed."""

    remedy = "install git, or replay a saved history"


class GitFailed(EnvironmentFault):
    """Git refused to read the repository."""


class HistoryNotSaved(EnvironmentFault):
    """The file cannot be written; what was there before is unchanged."""
