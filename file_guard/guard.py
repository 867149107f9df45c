"""One call of a tool, checked before it and reported after it.

The file is read within the journal's transaction.  So of two hooks that report writes of one file,
the later one sees what the earlier one has recorded, whatever the order of the writes was.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from file_guard.journal import Journal
from file_guard.places import content, head, is_guarded
from file_guard.rules import Call, Verdict, after, before, digest, swept


class Agent(NamedTuple):
    """Who calls: a name that is unique, and one for messages and histories."""

    name: str
    label: str
    #: The call of a tool: one agent may make several at once.
    call: str = ""


def check(root: str, agent: Agent, path: str, call: Call) -> tuple[str, Verdict]:
    """Before a call: the file's name, and the verdict, which may deny the call."""
    with Journal(root) as journal:
        journal.meet(agent.name, agent.label, head(root))
        name, disk = journal.name(path), content(path)
        if call.kind != "read":
            journal.keep(name, disk)
        facts = journal.facts(agent.name, name, disk, agent.call)
        verdict = before(facts, call, lambda wanted: journal.text(name, wanted))
        journal.remember(facts, verdict)
        if not verdict.deny:
            journal.begin(facts, agent.call)
    return name, verdict


def report(root: str, agent: Agent, path: str, call: Call) -> tuple[str, Verdict]:
    """After a call: the file's name, and what its writer has to hear of."""
    with Journal(root) as journal:
        journal.meet(agent.name, agent.label, head(root))
        name, disk = journal.name(path), content(path)
        journal.keep(name, call.found)
        facts = journal.facts(agent.name, name, disk, agent.call)
        verdict = after(facts, call, lambda wanted: journal.text(name, wanted))
        journal.keep(name, verdict.keep, agent.label)
        journal.keep(name, disk, agent.label if verdict.wrote == digest(disk) else "")
        journal.remember(facts, verdict)
        journal.end(facts, agent.call)
    return name, verdict


def sweep(root: str, agent: Agent) -> str:
    """After a shell command: which files that the agent has seen are not as it saw them.

    Where git's HEAD has moved, what the agent saw of them is forgotten.
    """
    if not is_guarded(root):
        return ""
    with Journal(root) as journal:
        moved = journal.meet(agent.name, agent.label, head(root))
        files = [
            (path, seen, told, digest(content(os.path.join(root, path))))
            for path, seen, told in journal.shown(agent.name)
        ]
        said, late = swept(files, moved)
        for path, now in late:
            if moved:
                journal.forget(agent.name, path)
            else:
                journal.tell(agent.name, path, now)
    return said


def overview(root: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The agents that a root has seen, then the contents that are kept."""
    if not is_guarded(root):
        return [], []
    with Journal(root) as journal:
        return journal.overview()


def forget(root: str, name: str) -> None:
    """An agent's context is gone, and those of its subagents: it has seen nothing."""
    if is_guarded(root):
        with Journal(root) as journal:
            journal.forget(name)
