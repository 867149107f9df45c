"""A stand-in for Claude Code: its file tools on real files, with hooks before and after each."""

from __future__ import annotations

import itertools
from pathlib import Path

from coherence_guard.hook import answer

_ids = itertools.count(1)


class Denied(Exception):
    """The hook refused the call."""


class Session:
    """A session, or a subagent of one; `told` is what its model was told."""

    def __init__(self, project, name, agent="", hook=answer, says_found=False):
        self.project, self.name, self.agent, self.hook = Path(project), name, agent, hook
        #: Whether the tools say what they have found, as Claude Code's do.
        self.says_found = says_found
        self.told: list[str] = []

    def event(self, kind, tool="", given=None, said=None, **more):
        event = {"session_id": self.name, "cwd": str(self.project), "hook_event_name": kind}
        event |= {"agent_id": self.agent, "agent_type": "worker"} if self.agent else {}
        event |= {"tool_name": tool, "tool_input": given or {}, "tool_use_id": self.call}
        event |= {"tool_response": said} if said is not None else {}
        answered = self.hook(event | more)
        output = (answered or {}).get("hookSpecificOutput", {})
        assert not output or output["hookEventName"] == kind
        if output.get("permissionDecision") == "deny":
            raise Denied(output["permissionDecisionReason"])
        self.told += [output["additionalContext"]] if output else []
        return output.get("additionalContext", "")

    call = ""

    def use(self, tool, given, work):
        """What the model is told after a call: a hook, the work, which has an answer, a hook."""
        self.call = f"toolu_{next(_ids)}"
        self.event("PreToolUse", tool, given)
        call = self.call
        said = work()
        self.call = call
        return self.event("PostToolUse", tool, given, said if said is not None else {})

    def path(self, name):
        return self.project / name

    def read(self, name, **window):
        def work():
            lines = self.path(name).read_text().splitlines()
            first = window.get("offset", 1)
            shown = lines[first - 1 :][: window.get("limit", 2_000)]
            file = {"startLine": first, "numLines": len(shown), "totalLines": len(lines)}
            return {"type": "text", "file": {"content": "\n".join(shown), **file}}

        return self.use("Read", {"file_path": str(self.path(name)), **window}, work)

    def write(self, name, text, meanwhile=None):
        path = self.path(name)

        def work():
            if meanwhile:
                meanwhile()
            found = path.read_text() if path.exists() else None
            path.write_text(text)
            return {"type": "update", "originalFile": found} if self.says_found else {}

        return self.use("Write", {"file_path": str(path), "content": text}, work)

    def edit(self, name, *pairs, meanwhile=None, between=None):
        path = self.path(name)
        edits = [{"old_string": old, "new_string": new} for old, new in pairs]

        def work():
            if meanwhile:
                meanwhile()
            text = found = path.read_text()
            for old, new in pairs:
                assert old in text
                text = text.replace(old, new, 1)
            if between:
                between()
            path.write_text(text)
            return {"originalFile": found} if self.says_found else {}

        if len(edits) == 1:
            return self.use("Edit", {"file_path": str(path), **edits[0]}, work)
        return self.use("MultiEdit", {"file_path": str(path), "edits": edits}, work)

    def bash(self, work=lambda: None):
        return self.use("Bash", {"command": "..."}, lambda: work() and None)

    def patch(self, text, work=lambda: None):
        """Codex's tool for edits."""
        return self.use("apply_patch", {"command": text}, lambda: work() and None)
