"""The texts for a model: on a read, a refused call.

Every text here is a prompt: it states the situation and the next action, in few words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from coherence.conflict import Conflict, Conflicts, changes
from coherence.context.desk import Desk
from coherence.context.events import Tell, was_read
from coherence.context.evidence import shown
from coherence.context.many import Outdated
from coherence.context.reader import Unread
from coherence.context.sight import Lines, Windows
from coherence.delta import split
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


def window(view: View, offset: int, limit: int | None) -> tuple[str, Lines]:
    """The lines of `view` after the first `offset`, at most `limit`, under a line that says which.

    That line has no version, which a model that saw a part could name as the base of a whole text.
    Raises `BadArgument`, and `InvalidContent` if the artifact holds bytes.
    """
    lines = split(view.text)
    total = len(lines)
    if type(offset) is not int or not 0 <= offset <= max(total - 1, 0):
        raise BadArgument(f"offset is {offset!r}", remedy=f"{view.ref.name} has {total} lines")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise BadArgument(f"limit is {limit!r}", remedy="1 or more lines, or none for all")
    part = lines[offset:] if limit is None else lines[offset : offset + limit]
    seen = Lines(offset + 1, offset + len(part), total)
    which = f"lines {seen.first} to {seen.last} of {total}, not the whole"
    return f"[{view.ref.name}: {which}]\n{''.join(part)}", seen


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


def refusal(error: ToolkitError, desk: Desk, name: object, base: str = "base") -> str:
    """The reason for a refusal, as a text that a model can act on.

    Its tokens count as those of the agent at `desk`, for a text about the artifact `name`.  `base`
    is the argument of the model's call that names the version from which a write derives.
    """
    why = _refusal(error, desk.workspace, base)
    if isinstance(error, Outdated):
        name = next(iter(error.views))
    if (account := desk.account) is not None:
        account.told(str(name), why)
    return why


def _refusal(error: ToolkitError, workspace: Workspace, base: str) -> str:
    if isinstance(error, Conflicts):
        now = ", ".join(str(ref) for ref in error.refs.values())
        return f"{error.summary}\nNothing was published. Redo all of it on what is current: {now}."
    if isinstance(error, Conflict):
        what, _, last = error.summary.rpartition("\n")  # the last line is for programs
        how = f'Nothing was written. Write both with {base}="{error.current}".'
        if error.theirs is None:
            how = f"Nothing was written. Write it without {base}."
        elif error.yours is None:
            how = f'Nothing was deleted. If it is still to go, {base}="{error.current}".'
        return f"{what or last}\n{how}"
    if isinstance(error, UnknownArtifact):
        names = workspace.names()
        more = f", and {len(names) - NAMES_SHOWN_MAX} more" if len(names) > NAMES_SHOWN_MAX else ""
        return f"{error.args[0]}. There are: {names[:NAMES_SHOWN_MAX]}{more}."
    return str(error)


def file_refusal(error: ToolkitError, desk: Desk, path: str, seen: Windows | None) -> str:
    """The reason for a refusal to a caller of file tools; `seen` is what it has seen of `path`."""
    if isinstance(error, Unread):
        how = "you have not read it"
        if seen is not None:
            how = f"you have seen only {seen}"
            if seen.version != error.current.version:
                how += ", of an earlier version"
        return (
            f"{path} was not written: it exists, last changed by {error.author}, and {how}. "
            "Read the whole file first, or replace only a passage."
        )
    if isinstance(error, Conflict):
        return _file_conflict(error, desk, path)
    if isinstance(error, UnknownArtifact):
        return f"There is no file {path}."
    return str(error)


def _file_conflict(conflict: Conflict, desk: Desk, path: str) -> str:
    yours, theirs = conflict.yours, conflict.theirs
    base = conflict.base if conflict.base_version else ""
    by = " and ".join(_authors(conflict, desk)) or "an unknown author"
    why = f"{by} {'deleted' if theirs is None else 'changed'} it after you saw it"
    if not conflict.base_version:
        why = f"it exists now, made by {by}"
    said = [f"{path} was not {'deleted' if yours is None else 'written'}: {why}."]
    if isinstance(base, str) and isinstance(theirs, str):
        said += [f"What {by} {'changed' if base else 'wrote'}:", changes(base, theirs)]
    if isinstance(base, str) and isinstance(yours, str):
        said += [f"What you tried to {'change' if base else 'write'}:", changes(base, yours)]
    if yours is None:
        said.append("Read it again, and delete it only if that is still right.")
    elif theirs is None:
        said.append("Read it again: it is gone. Then write it if it is still needed.")
    else:
        how = ", or replace only your passages" if conflict.overlaps is False else ""
        said.append(f"Read it again, then write both changes as one{how}.")
    return "\n".join(said)


def _authors(conflict: Conflict, desk: Desk) -> Iterable[str]:
    """The authors of the versions since the base, the first one first."""
    try:
        since = desk.workspace.history(conflict.current.name, conflict.base_version + 1)
    except ToolkitError:
        since = []
    found = dict.fromkeys("you" if each.author == desk.name else each.author for each in since)
    return found or ([conflict.author] if conflict.author else [])
