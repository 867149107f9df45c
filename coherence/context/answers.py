"""The texts for a model: on a read, a change by another agent, a refused call.

Every text here is a prompt: it states the situation and the next action, in few words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from coherence.conflict import Conflict
from coherence.contents import Kind
from coherence.context.evidence import passage
from coherence.errors import BadArgument, UnknownArtifact
from coherence.refs import Ref
from coherence.view import Served, View
from coherence.workspace.workspace import Workspace
from message_passing.errors import ToolkitError

#: The first line of a message about changes.
NOTICE = "[shared artifacts]"
NAMES_SHOWN_MAX = 50


def shown(view: View) -> str:
    """A version for a model, under a seal: the whole text, or the difference that it lacks.

    Raises `InvalidContent` if the artifact holds bytes.
    """
    text = view.changes if view.served is Served.DELTA else view.for_prompt()
    return passage(view.ref, text, view.have)


def notice(workspace: Workspace, shown: Iterable[Ref]) -> str:
    """A last message for a model that was shown these versions; empty if none has changed.

    It does not name the current version, so a model cannot claim to have it.  Raises
    `WorkspaceClosed`, `StoreFault`.
    """
    news = list(filter(None, (_news(workspace, ref) for ref in shown)))
    return "\n".join([NOTICE, *news]) if news else ""


def _news(workspace: Workspace, ref: Ref) -> str:
    there = workspace.row(ref.name)
    if there is None or there.row.state.version <= ref.version:
        return ""
    last = workspace.history(ref.name, there.row.state.version)[-1]
    what = "deleted" if last.handle.kind is Kind.TOMBSTONE else "changed"
    return f"{ref.name} was {what} by {last.author}; you were last shown {ref}."


def replacing(name: str, old: str, new: str) -> Callable[[str], str]:
    """For `Agent.update`: replaces the passage `old`, which must occur exactly once.

    The returned function raises `BadArgument`.
    """

    def replaced(text: str) -> str:
        if (found := text.count(old)) != 1 or old == new:
            what = f"the passage occurs {found} times in {name}"
            raise BadArgument(
                what if old != new else "old and new are the same",
                remedy="read again, and give a passage that occurs exactly once",
            )
        return text.replace(old, new)

    return replaced


def refusal(error: ToolkitError, workspace: Workspace) -> str:
    """The reason for a refusal, as a text that a model can act on."""
    if isinstance(error, Conflict):
        what, _, last = error.summary.rpartition("\n")  # the last line is for programs
        how = f'both with base="{error.current}"' if error.current.version else "it without a base"
        return f"{what or last}\nNothing was written. Write {how}."
    if isinstance(error, UnknownArtifact):
        names = workspace.names()
        more = f", and {len(names) - NAMES_SHOWN_MAX} more" if len(names) > NAMES_SHOWN_MAX else ""
        return f"{error.args[0]}. There are: {names[:NAMES_SHOWN_MAX]}{more}."
    return str(error)
