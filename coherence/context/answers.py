"""The texts for a model: on a read, a refused call.

Every text here is a prompt: it states the situation and the next action, in few words.
"""

from __future__ import annotations

from collections.abc import Callable

from coherence.conflict import Conflict, Conflicts
from coherence.context.desk import Desk
from coherence.context.events import Tell, was_read
from coherence.context.evidence import shown
from coherence.context.many import Outdated
from coherence.errors import BadArgument, UnknownArtifact
from coherence.view import View
from coherence.workspace.agent import BaseAgent, account_of
from coherence.workspace.workspace import Workspace
from message_passing.errors import ToolkitError

NAMES_SHOWN_MAX = 50


def beside(view: View, text: str) -> str:
    """What `text`, which shows `view` to a model, adds to the answer of the read."""
    said = view.for_prompt()
    return text.replace(said if said in text else view.changes, "", 1)


def told(agent: BaseAgent, view: View, tell: Tell) -> str:
    """As `shown`, for a text that becomes part of a prompt: it is counted, and `tell` is told."""
    text = shown(view)
    account_of(agent).told(view.ref.name, beside(view, text))
    tell(was_read(view, agent.name))
    return text


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


def refusal(error: ToolkitError, desk: Desk, name: object) -> str:
    """The reason for a refusal, as a text that a model can act on.

    Its tokens count as those of the agent at `desk`, for a text about the artifact `name`.
    """
    why = _refusal(error, desk.workspace)
    if isinstance(error, Outdated):
        name = next(iter(error.views))
    if (account := desk.account) is not None:
        account.told(str(name), why)
    return why


def _refusal(error: ToolkitError, workspace: Workspace) -> str:
    if isinstance(error, Conflicts):
        now = ", ".join(str(ref) for ref in error.refs.values())
        return f"{error.summary}\nNothing was published. Redo all of it on what is current: {now}."
    if isinstance(error, Conflict):
        what, _, last = error.summary.rpartition("\n")  # the last line is for programs
        how = f'both with base="{error.current}"' if error.current.version else "it without a base"
        return f"{what or last}\nNothing was written. Write {how}."
    if isinstance(error, UnknownArtifact):
        names = workspace.names()
        more = f", and {len(names) - NAMES_SHOWN_MAX} more" if len(names) > NAMES_SHOWN_MAX else ""
        return f"{error.args[0]}. There are: {names[:NAMES_SHOWN_MAX]}{more}."
    return str(error)
