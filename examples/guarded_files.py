"""Coding agents on real files, with the guard and without: what is lost, and who is told.

    python examples/guarded_files.py

A stand-in plays the client: its tools read and write files, with hooks before and after each.  It
has no rule of its own.  Claude Code's own rule, by time and within one session, refuses some of
these writes too, and is not played here.
"""

import subprocess
import tempfile
from pathlib import Path

from coherence_guard.hook import answer

START = "build: open\nreview: open\n"
BUILT, REVIEWED = START.replace("build: open", "build: done"), "build: open\nreview: done\n"


class Session:
    """A session of a coding agent, with hooks or without."""

    def __init__(self, folder, name, guarded):
        self.file, self.name, self.guarded = folder / "plan.md", name, guarded

    def hook(self, kind, tool="", **given):
        """What the model is told by the hooks of an event."""
        if not self.guarded:
            return ""
        given = {"file_path": str(self.file), **given}
        said = answer(
            {
                "session_id": self.name,
                "cwd": str(self.file.parent),
                "hook_event_name": kind,
                "tool_name": tool,
                "tool_input": given,
            }
        )
        output = (said or {}).get("hookSpecificOutput", {})
        return output.get("permissionDecisionReason") or output.get("additionalContext", "")

    def read(self):
        self.hook("PreToolUse", "Read")
        self.hook("PostToolUse", "Read")

    def write(self, text, meanwhile=lambda: None):
        """Write the whole file, as the client's tool does; `meanwhile` comes after the check."""
        if said := self.hook("PreToolUse", "Write", content=text):
            return said
        meanwhile()
        self.file.write_text(text)
        return self.hook("PostToolUse", "Write", content=text)


def git(folder, *words):
    """Run git in a folder."""
    quiet = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *quiet, *words], cwd=folder, check=True, capture_output=True)


def two_sessions(folder, ann, bob):
    """Both read, then both write the whole file."""
    ann.read()
    bob.read()
    ann.write(BUILT)
    return bob.write(REVIEWED)


def in_the_same_moment(folder, ann, bob):
    """Bob's check comes before Ann's write, and his write after it."""
    ann.read()
    bob.read()
    return bob.write(REVIEWED, meanwhile=lambda: ann.write(BUILT))


def a_restart(folder, ann, bob):
    """Bob's session starts again, and remembers the text from before."""
    bob.read()
    ann.read()
    ann.write(BUILT)
    return Session(folder, "bob-again", bob.guarded).write(REVIEWED)


def a_compaction(folder, ann, bob):
    """Bob's context is compacted, and its summary has the text from before."""
    bob.read()
    bob.hook("PreCompact")
    ann.read()
    ann.write(BUILT)
    return bob.write(REVIEWED)


def another_branch(folder, ann, bob):
    """Bob has read on one branch, and writes on the other, where Ann's change is."""
    git(folder, "init")
    git(folder, "add", "plan.md")
    git(folder, "commit", "-m", "start")
    git(folder, "checkout", "-b", "built")
    ann.read()
    ann.write(BUILT)
    git(folder, "commit", "-am", "built")
    git(folder, "checkout", "main")
    bob.read()
    git(folder, "checkout", "built")
    return bob.write(REVIEWED)


def shown(scene, guarded):
    """Where Ann's change is after a scene, and what Bob's model was told."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        (folder / "plan.md").write_text(START)
        said = scene(folder, *(Session(folder, name, guarded) for name in ("ann", "bob")))
        is_there = "build: done" in (folder / "plan.md").read_text()
    fate = "in the file" if is_there else "replaced"
    return f"{fate}; {'Bob is told: ' + said.splitlines()[0] if said else 'no one is told'}"


def main():
    """Play each scene without the guard and with it."""
    for scene in (two_sessions, in_the_same_moment, a_restart, a_compaction, another_branch):
        print(f"{scene.__name__.replace('_', ' ')}: {scene.__doc__}")
        for guarded in (False, True):
            print(
                f"  {'with' if guarded else 'without'} guard: Ann's change is",
                shown(scene, guarded),
            )


if __name__ == "__main__":
    main()
