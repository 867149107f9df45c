"""One call of a hook: the event of Claude Code or Codex in, its answer out.

::

    coherence-guard < event.json

A hook that fails lets the call pass: it writes one line on standard error and ends with 1, which
both clients show and do not take for a refusal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from itertools import groupby, takewhile
from typing import Any

from file_guard.guard import Agent, check, forget, report, sweep
from file_guard.places import home, real, root_of
from file_guard.rules import Call, Loss

Event = Mapping[str, Any]


def main() -> None:
    """The script `coherence-guard`."""
    import json  # noqa: TID251 - msgspec would cost a third of the whole call

    try:
        said = answer(json.load(sys.stdin.buffer), os.environ.get("CLAUDE_PROJECT_DIR", ""))
    except Exception as error:
        line = " ".join(f"{type(error).__name__}: {error}".split())
        sys.stderr.write(f"coherence guard: the call was not checked: {line}\n")
        sys.exit(1)
    if said is not None:
        sys.stdout.write(json.dumps(said))


def answer(event: Event, project: str = "") -> dict[str, Any] | None:
    """What to answer to an event; None lets the client go on.

    `project` is the folder that the client works in; by default the event's `cwd`.  Raises
    `sqlite3.Error`, `OSError`, and `KeyError` for an event without its fields.
    """
    kind, session = str(event["hook_event_name"]), str(event["session_id"])
    cwd = real(str(event.get("cwd") or project), os.getcwd())
    project = real(project or cwd, cwd)
    part = str(event.get("agent_id") or "")
    label = _label(str(event.get("agent_type") or "session"), part or session)
    call_id = str(event.get("tool_use_id") or "")
    agent = Agent(f"{session}/{part}" if part else session, label, call_id)
    if kind in ("PreCompact", "SubagentStop") or event.get("source") in ("clear", "compact"):
        forget(home(project), agent.name)
        return None
    if event.get("tool_name") == "Bash":
        told = sweep(home(project), agent) if kind == "PostToolUse" else ""
        return _output("PostToolUse", additionalContext=told) if told else None
    if kind not in ("PreToolUse", "PostToolUse"):
        return None
    denied, said = [], []
    for given, call in calls(event):
        path = real(given, cwd)
        if (root := root_of(path, project)) is None:
            continue
        name, verdict = (check if kind == "PreToolUse" else report)(root, agent, path, call)
        denied += [verdict.deny] if verdict.deny else []
        said += [verdict.tell] if verdict.tell else []
        said += [_lost(root, name, loss) for loss in verdict.losses]
    if denied:
        why = "\n\n".join(denied)
        return _output("PreToolUse", permissionDecision="deny", permissionDecisionReason=why)
    return _output("PostToolUse", additionalContext="\n\n".join(said)) if said else None


def _lost(root: str, name: str, loss: Loss) -> str:
    from coherence_guard.keeping import reference

    ref = reference(root, name, loss.digest)
    kept = "Its text is not kept: it is a secret, not text, or larger than 1 MiB."
    if ref is not None:
        kept = f"It is kept: `coherence guard restore {ref}` brings it back. Merge it back."
    return "\n".join(filter(None, (loss.text, kept, loss.difference)))


def _output(event: str, **fields: str) -> dict[str, Any]:
    return {"hookSpecificOutput": {"hookEventName": event, **fields}}


def calls(event: Event) -> Iterator[tuple[str, Call]]:
    """Each file that an event's tool touches, and what it does to it.

    The tools are those of Claude Code, and Codex's ``apply_patch``, which sends the whole patch as
    a command.
    """
    tool, given = event.get("tool_name"), _mapping(event.get("tool_input"))
    said = _mapping(event.get("tool_response"))
    path = str(given.get("file_path") or given.get("notebook_path") or "")
    found = _bytes(said.get("originalFile"))
    if tool == "apply_patch":
        yield from _patched(str(given.get("command") or ""))
    elif path and tool == "Read":
        yield (
            path,
            Call(
                "read", _bytes(_mapping(said.get("file")).get("content")), whole=_whole(given, said)
            ),
        )
    elif path and tool == "Write":
        yield path, Call("write", _bytes(given.get("content")), found=found)
    elif path and tool in ("Edit", "MultiEdit"):
        each = given.get("edits") if tool == "MultiEdit" else [given]
        edits = tuple(map(_edit, each or ()))
        exact = tuple(edit for edit in edits if edit is not None)
        kind = "edit" if exact and len(exact) == len(edits) else "patch"
        yield path, Call(kind, None, exact, found)
    elif path and tool == "NotebookEdit":
        yield path, Call("patch")


def _patched(patch: str) -> Iterator[tuple[str, Call]]:
    lines = patch.split("\n")
    for number, line in enumerate(lines):
        kind, _, path = line.partition(": ")
        if kind in _PATCHES:
            body = takewhile(lambda each: not each.startswith("*** "), lines[number + 1 :])
            runs = groupby(body, lambda each: each.startswith("+"))
            added = ["\n".join(each[1:] for each in run) for is_new, run in runs if is_new]
            content = _bytes("".join(f"{run}\n" for run in added)) if "Add" in kind else None
            news = tuple((b"", _bytes(run) or b"", False) for run in added)
            yield path, Call(_PATCHES[kind], content, () if content is not None else news)


_PATCHES = {
    "*** Add File": "write",
    "*** Update File": "patch",
    "*** Delete File": "delete",
    "*** Move to": "write",
}


def _edit(given: Event) -> tuple[bytes, bytes, bool] | None:
    old, new = _bytes(given.get("old_string")), _bytes(given.get("new_string"))
    every = str(given.get("replace_all", "")).lower() == "true"
    return None if old is None or new is None else (old, new, every)


def _whole(given: Event, said: Event) -> bool | None:
    """Whether a read has shown all lines; None if its answer does not say."""
    file = _mapping(said.get("file"))
    if said.get("type", "text") != "text":
        return False  # such as "file_unchanged", which the client says from its own memory
    if file.get("totalLines") not in (None, ""):
        first, shown, of = (int(file.get(k) or 0) for k in ("startLine", "numLines", "totalLines"))
        return first <= 1 and shown >= of and not file.get("truncatedByTokenCap")
    return False if any(given.get(each) for each in ("offset", "limit", "pages")) else None


def _mapping(value: object) -> Event:
    return value if isinstance(value, Mapping) else {}


def _bytes(text: object) -> bytes | None:
    try:
        return text.encode() if isinstance(text, str) else None
    except UnicodeEncodeError:
        return None  # half of a surrogate pair, which each tool writes in its own way


def _label(kind: str, identity: str) -> str:
    """The name of an agent in histories and messages."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in f"{kind}-{identity[:8]}")
