"""Hooks of several processes at once, and hooks that cannot do their work."""

import contextlib
import json
import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from guarding import Denied, Session

from coherence_guard import hook
from coherence_guard.keeping import settled
from file_guard.journal import Journal

EDITOR = Path(__file__).parents[1] / "shared" / "guarded_editor.py"
TEAM = ("team-a0", "team-b0", "team-c1", "team-d1")


def script(event, **options):
    """One call of the program, as a client makes it."""
    return subprocess.run(
        [sys.executable, "-m", "coherence_guard"],
        input=event if isinstance(event, str) else json.dumps(event),
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def event(project, kind, tool, name="plan.md", session="ann-0001", **given):
    given = {"file_path": str(project / name), **given}
    return {
        "session_id": session,
        "cwd": str(project),
        "hook_event_name": kind,
        "tool_name": tool,
        "tool_input": given,
    }


def test_the_program_answers_as_the_function_does(project, ann, bob):
    ann.read("plan.md")
    bob.read("plan.md")
    bob.write("plan.md", "done\n")
    done = script(event(project, "PreToolUse", "Write", content="mine\n"))
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)["hookSpecificOutput"]
    assert (said["hookEventName"], said["permissionDecision"]) == ("PreToolUse", "deny")
    done = script(event(project, "PreToolUse", "Read"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow(fast=2)
@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", '{"hook_event_name": "PreToolUse"}'])
def test_an_event_that_cannot_be_read_lets_the_call_pass(project, text):
    done = script(text, cwd=project)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"coherence guard: the call was not checked: .+\n", done.stderr)


def refused_by_the_system(project, **options):
    done = script(event(project, "PreToolUse", "Write", content="mine\n"), **options)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    return line


def test_a_broken_journal_lets_the_call_pass(project, ann):
    ann.read("plan.md")
    database = project / ".coherence" / "guard.db"
    database.write_bytes(b"not a database" * 1_000)
    assert "DatabaseError" in refused_by_the_system(project)
    assert database.read_bytes() == b"not a database" * 1_000


def test_a_journal_that_is_in_the_way_lets_the_call_pass(project):
    (project / ".coherence").write_text("a file")
    assert "FileExistsError" in refused_by_the_system(project)


def test_a_full_disk_lets_the_call_pass_and_breaks_nothing(project, ann):
    ann.read("plan.md")
    (project / "plan.md").write_bytes(os.urandom(200_000).hex().encode())

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    line = refused_by_the_system(project, preexec_fn=small_files)
    assert "disk" in line or "full" in line
    with Journal(str(project)) as journal:
        assert journal.db.execute("pragma integrity_check").fetchone() == ("ok",)
        assert journal.shown("ann-0001")
    with pytest.raises(Denied):
        ann.write("plan.md", "mine\n")


@pytest.mark.slow
def test_a_journal_that_others_hold_lets_the_call_pass(project, ann):
    ann.read("plan.md")
    with Journal(str(project)):
        assert "locked" in refused_by_the_system(project)


KILLED = """
import os, signal, sys
from coherence_guard import hook
from file_guard import journal
from guarding import Session
at = int(sys.argv[2])
def count(*_):
    global at
    at -= 1
    if at == 0:
        os.kill(os.getpid(), signal.SIGKILL)
init = journal.Journal.__init__
def traced(self, root):
    init(self, root)
    self.db.set_trace_callback(count)
journal.Journal.__init__ = traced
session = Session(sys.argv[1], "eve-0003")
session.read("plan.md")
session.write("plan.md", "eve\\n")
"""


@pytest.mark.slow
def test_a_hook_that_is_killed_leaves_nothing_half_done(project, ann):
    """At every statement of SQL, of four hooks."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(EDITOR.parent), *sys.path])}
    for at in range(1, 200, 3):
        (project / "plan.md").write_text(f"start {at}\n")
        ann.read("plan.md")
        words = [sys.executable, "-c", KILLED, str(project), str(at)]
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
        with Journal(str(project)) as journal:
            assert journal.db.execute("pragma integrity_check").fetchone() == ("ok",)
        if (project / "plan.md").read_text() == "eve\n":
            with pytest.raises(Denied, match="plan.md was changed by"):  # noqa: RUF043
                ann.write("plan.md", "ann\n")
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert at > 30


def test_a_publication_that_is_cut_off_goes_on(project, ann, monkeypatch):
    for number in range(4):
        ann.write("new.md", f"{number}\n")
    original, calls = Journal.__init__, []

    def cut(self, root):
        calls.append(root)
        if len(calls) == 5:  # published, and not noted
            raise OSError("cut off")
        original(self, root)

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "__init__", cut)
        with pytest.raises(OSError, match="cut off"), settled(str(project)):
            pass
    with settled(str(project)) as workspace, workspace.agent("reader") as reader:
        entries = workspace.history("new.md")
        texts = [reader.read("new.md", version=entry.version).text for entry in entries]
    assert texts == ["0\n", "1\n", "2\n", "3\n"]
    with sqlite3.connect(project / ".coherence/guard.db") as database:
        kept = database.execute("select version from kept where path = 'new.md' order by n")
        assert kept.fetchall() == [(1,), (2,), (3,), (4,)]
    database.close()


def lost_in_silence(project, told, count):
    """The lines that are neither in the file nor in a version that somebody was told of."""
    found = (project / "plan.md").read_text()
    refs = set(re.findall(r"coherence guard restore (\S+)`", "\n".join(told)))
    with settled(str(project)) as workspace, workspace.agent("judge") as judge:
        for ref in refs:
            name, _, version = ref.rpartition("@")
            found += judge.read(name, version=int(version)).text
    return [f"{n}.{k}" for n in TEAM for k in range(count) if f"{n}.{k}\n" not in found]


def edited_at_once(project, count):
    (project / "plan.md").write_text("".join(f"[{name}]\n" for name in TEAM))
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(EDITOR.parent), *sys.path])}
    team = [
        subprocess.Popen(
            [sys.executable, str(EDITOR), str(project), name, str(count)],
            env=env,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in TEAM
    ]
    told = [line for each in team for line in json.loads(each.communicate()[0])]
    assert [each.returncode for each in team] == [0] * len(TEAM)
    return told


@pytest.mark.slow
def test_four_processes_edit_one_file_and_nothing_is_lost_in_silence(project):
    told = edited_at_once(project, 50)
    assert lost_in_silence(project, told, 50) == []
    assert lost_in_silence(project, [], 50), "no edit was lost, so nothing was tried"


@pytest.mark.slow
def test_four_threads_edit_one_file_and_nothing_is_lost_in_silence(project):
    """As hooks that a server serves."""
    (project / "plan.md").write_text("".join(f"[{name}]\n" for name in TEAM))
    sessions = [Session(project, name, says_found=name.endswith("1")) for name in TEAM]

    def edit(session):
        for number in range(50):
            line = f"[{session.name}]\n"
            while True:
                with contextlib.suppress(AssertionError):  # another thread has truncated the file
                    session.edit("plan.md", (line, f"{line}{session.name}.{number}\n"))
                    break

    with ThreadPoolExecutor() as pool:
        list(pool.map(edit, sessions))
    assert lost_in_silence(project, [each for s in sessions for each in s.told], 50) == []


def test_two_hooks_that_check_at_once_are_told_after(project, ann, bob):
    """Each check comes before each write."""
    ann.read("plan.md")
    bob.read("plan.md")
    told = []

    def nested():
        told.append(bob.write("plan.md", "bob\n"))

    told.append(ann.write("plan.md", "ann\n", meanwhile=nested))
    assert told[0] == ""
    assert "replaced a change by session-bob-0002" in told[1]


def test_calls_of_one_agent_at_once_have_checks_of_their_own(project, ann, bob):
    ann.read("plan.md")
    bob.read("plan.md")

    def meanwhile():
        bob.write("plan.md", "bob\n")
        ann.read("plan.md")

    assert "replaced a change by session-bob" in ann.write("plan.md", "ann\n", meanwhile=meanwhile)


def test_the_hook_of_a_session_of_its_own(project):
    """The stand-in of the tests calls the same function as the program."""
    assert Session(project, "x").hook is hook.answer
