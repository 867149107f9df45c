"""What an agent that edits real files is refused, and what it is told."""

import os
import re
import sqlite3
import subprocess

import pytest
from guarding import Denied, Session

from coherence_guard.hook import answer
from coherence_guard.keeping import restore, settled

DONE, REVIEWED = "build: done\nreview: open\n", "build: open\nreview: done\n"


def kept(told):
    """The refs that a message names."""
    return re.findall(r"coherence guard restore '?([^`']+)'?`", told)


def text_of(project, ref):
    with settled(str(project)) as workspace, workspace.agent("reader") as reader:
        name, _, version = ref.rpartition("@")
        return reader.read(name, version=int(version)).text


def test_a_stale_write_is_denied_with_author_and_difference(project, ann, bob):
    ann.read("plan.md")
    bob.read("plan.md")
    assert ann.write("plan.md", DONE) == ""
    with pytest.raises(Denied) as denied:
        bob.write("plan.md", REVIEWED)
    said = str(denied.value)
    assert said.startswith("plan.md was changed by session-ann-0001 since you read it.\n")
    assert "-build: open\n+build: done\n" in said
    assert "Read it again and write both changes as one" in said
    assert (project / "plan.md").read_text() == DONE
    bob.read("plan.md")
    assert bob.write("plan.md", "build: done\nreview: done\n") == ""
    assert bob.told == ann.told == []


def test_subagents_of_a_session_are_told_apart(project):
    one, two = (Session(project, "s", agent) for agent in ("a1", "a2"))
    one.read("plan.md")
    two.read("plan.md")
    one.write("plan.md", DONE)
    with pytest.raises(Denied, match=r"changed by worker-a1 since"):
        two.write("plan.md", REVIEWED)


def test_an_own_write_is_seen(ann):
    ann.write("new.md", "one\n")
    ann.write("new.md", "two\n")
    assert ann.told == []


def test_a_write_of_what_was_never_read_is_denied(ann, bob):
    with pytest.raises(Denied, match="you have not read it whole in your present context"):
        ann.write("plan.md", DONE)
    ann.write("plan.md", "build: open\nreview: open\n")  # changes nothing


def test_a_touch_and_a_change_back_are_no_change(project, ann, bob):
    ann.read("plan.md")
    bob.read("plan.md")
    bob.write("plan.md", DONE)
    bob.write("plan.md", "build: open\nreview: open\n")
    os.utime(project / "plan.md", (1, 1))
    assert ann.write("plan.md", REVIEWED) == ""


def test_a_part_is_not_the_whole(project, ann):
    ann.read("plan.md", offset=2)
    ann.read("plan.md", limit=1)
    with pytest.raises(Denied, match="not read it whole"):
        ann.write("plan.md", DONE)
    ann.read("plan.md", limit=2)  # all there is
    ann.write("plan.md", DONE)


@pytest.mark.parametrize("text", ["x\n" * 2_001 + "x", "y" * 2_001])
def test_a_client_that_says_no_lines_shows_two_thousand(project, ann, text):
    (project / "long.txt").write_text(text)
    ann.use("Read", {"file_path": str(project / "long.txt")}, dict)
    with pytest.raises(Denied, match="not read it whole"):
        ann.write("long.txt", "short")


def test_unchanged_as_the_client_says_is_no_reading(project, ann, bob):
    ann.read("plan.md")
    bob.read("plan.md")
    bob.write("plan.md", DONE)
    stub = {"type": "file_unchanged", "file": {"filePath": "plan.md"}}
    ann.use("Read", {"file_path": str(project / "plan.md")}, lambda: stub)
    with pytest.raises(Denied, match="changed by session-bob"):
        ann.write("plan.md", REVIEWED)


def test_a_change_during_a_read_is_not_seen(project, ann):
    given = {"file_path": str(project / "plan.md")}
    ann.use("Read", given, lambda: (project / "plan.md").write_text(DONE) and None)
    with pytest.raises(Denied, match="not read it whole"):
        ann.write("plan.md", REVIEWED)


# Edits


def test_an_edit_composes_and_its_agent_is_told_of_what_it_has_not_seen(project, ann, bob):
    ann.read("plan.md")
    bob.read("plan.md")
    ann.write("plan.md", DONE)
    told = bob.edit("plan.md", ("review: open", "review: done"))
    assert told == (
        "plan.md also holds changes that you have not seen. Read it before you write it whole."
    )
    with pytest.raises(Denied):
        bob.write("plan.md", REVIEWED)
    assert (project / "plan.md").read_text() == "build: done\nreview: done\n"


def test_an_edit_unread_is_the_tools_own_affair(ann):
    assert ann.edit("plan.md", ("open", "done"), ("open", "done")) == ""
    with pytest.raises(Denied, match="not read it whole"):
        ann.write("plan.md", DONE)


@pytest.mark.parametrize(
    "pairs", [[("build: open", "build: done")], [("open", "1"), ("open", "2")]]
)
def test_an_edit_of_what_was_seen_leaves_it_seen(project, ann, pairs):
    ann.read("plan.md")
    ann.edit("plan.md", *pairs)
    assert ann.write("plan.md", REVIEWED) == ""


def test_an_edit_of_a_notebook(project, ann, bob):
    (project / "n.ipynb").write_text("{}")
    given = {"notebook_path": str(project / "n.ipynb"), "new_source": "1", "cell_id": "c"}
    assert ann.use("NotebookEdit", given, lambda: None) == ""

    def meanwhile():
        bob.use("NotebookEdit", given, lambda: (project / "n.ipynb").write_text("[1]") and None)
        (project / "n.ipynb").write_text("[2]")

    told = ann.use("NotebookEdit", given, meanwhile)
    assert told.startswith("session-bob-0002 changed n.ipynb at the same time.")
    assert text_of(project, *kept(told)) == "[1]"


# What slips through between check and write


@pytest.mark.parametrize("says_found", [False, True])
def test_a_write_between_check_and_write_is_kept_and_told(project, ann, bob, says_found):
    bob.says_found = says_found
    ann.read("plan.md")
    bob.read("plan.md")
    told = bob.write("plan.md", REVIEWED, meanwhile=lambda: ann.write("plan.md", DONE))
    first, second, *rest = told.split("\n")
    assert first == (
        "Your write of plan.md replaced a change by session-ann-0001 that you had not seen."
    )
    assert (
        second == "It is kept: `coherence guard restore plan.md@2` brings it back. Merge it back."
    )
    assert rest == ["@@ -1,2 +1,2 @@", "-build: open", "+build: done", " review: open"]
    assert text_of(project, "plan.md@2") == DONE


def test_of_a_program_without_hooks_the_tool_must_say_what_it_found(project, bob):
    bob.read("plan.md")
    slip = lambda: (project / "plan.md").write_text(DONE)  # noqa: E731
    assert bob.write("plan.md", REVIEWED, meanwhile=slip) == ""
    bob.says_found = True
    told = bob.write("plan.md", "build: open\nreview: half\n", meanwhile=slip)
    assert "replaced a change by a program without hooks (an editor, git, a formatter)" in told
    assert text_of(project, *kept(told)) == DONE


def test_whose_report_comes_last_is_told(project, ann, bob):
    """Ann writes first, and her hook runs after Bob's."""
    ann.read("plan.md")
    bob.read("plan.md")
    given = {"file_path": str(project / "plan.md"), "content": DONE}
    bob.call = "b1"
    bob.event("PreToolUse", "Write", {**given, "content": REVIEWED})

    def both():
        (project / "plan.md").write_text(DONE)
        (project / "plan.md").write_text(REVIEWED)
        bob.event("PostToolUse", "Write", {**given, "content": REVIEWED}, {})

    told = ann.use("Write", given, both)
    assert told.startswith(
        "plan.md is no longer as you wrote it: session-bob-0002 has changed it since."
    )
    assert text_of(project, *kept(told)) == DONE
    with pytest.raises(Denied, match="changed by session-bob"):
        ann.write("plan.md", "mine")


def test_a_lost_edit_is_told(project, ann, bob):
    ann.read("plan.md")
    bob.read("plan.md")
    told = bob.edit(
        "plan.md",
        ("review: open", "review: done"),
        between=lambda: ann.edit("plan.md", ("build: open", "build: done")),
    )
    assert "replaced a change by session-ann-0001" in told
    assert text_of(project, *kept(told)) == DONE


def test_a_formatter_after_a_write_is_shown_and_then_seen(project, ann):
    def formatted():
        (project / "code.py").write_text("x = 1\n")

    ann.use(
        "Write", {"file_path": str(project / "code.py"), "content": "x=1\n"}, lambda: formatted()
    )
    (told,) = ann.told
    assert told.startswith("code.py is no longer as you wrote it: a program without hooks")
    assert "-x=1\n+x = 1" in told
    assert ann.write("code.py", "x = 2\n") == ""


def test_line_ends_of_the_tool_are_no_change(project, ann):
    given = {"file_path": str(project / "dos.txt"), "content": "a\nb\n"}
    ann.use("Write", given, lambda: (project / "dos.txt").write_bytes(b"a\r\nb\r\n") and None)
    assert ann.told == []


def test_a_deleted_file_is_brought_back_only_knowingly(project, ann):
    ann.read("plan.md")
    (project / "plan.md").unlink()
    with pytest.raises(Denied, match=r"plan\.md was deleted since you read it"):
        ann.write("plan.md", DONE)
    assert ann.write("plan.md", DONE) == ""


def test_two_agents_make_one_new_file(project, ann, bob):
    told = ann.write("new.md", "ann\n", meanwhile=lambda: bob.write("new.md", "bob\n"))
    assert "replaced a change by session-bob-0002" in told
    assert text_of(project, *kept(told)) == "bob\n"


# Programs without hooks


def test_after_a_shell_command_changed_files_are_told_once(project, ann):
    ann.read("plan.md")
    assert ann.bash() == ""
    told = ann.bash(lambda: (project / "plan.md").write_text(DONE))
    assert told == "Changed on disk since you read them: plan.md. Read before you write."
    assert ann.bash() == ""
    with pytest.raises(Denied, match="a program without hooks"):
        ann.write("plan.md", REVIEWED)


@pytest.mark.slow
def test_a_checkout_of_many_files_is_one_line_and_forgotten(project, git, ann):
    for number in range(300):
        (project / f"{number:03}.txt").write_text("old\n")
    git("add", "-A")
    git("commit", "-m", "old")
    git("checkout", "-b", "new")
    for number in range(300):
        (project / f"{number:03}.txt").write_text("new\n")
    git("commit", "-am", "new")
    for number in range(300):
        ann.read(f"{number:03}.txt")
    ann.read("plan.md")
    told = ann.bash(lambda: git("checkout", "main"))
    assert told.startswith(
        "Changed on disk since you read them (git's HEAD has moved): 000.txt, 001.txt,"
    )
    assert told.endswith("019.txt and 280 more. Read before you write.")
    assert "\n" not in told
    with pytest.raises(Denied, match=r"000\.txt exists, and you have not read it whole"):
        ann.write("000.txt", "mine\n")
    assert ann.write("plan.md", DONE) == ""  # the same on both branches


def test_a_commit_forgets_nothing(project, git, ann):
    ann.read("plan.md")
    ann.write("plan.md", DONE)
    assert ann.bash(lambda: git("commit", "-am", "done")) == ""
    assert ann.write("plan.md", REVIEWED) == ""


# A context that is gone


def test_compaction_forgets_a_session_and_its_subagents(project, ann):
    part = Session(project, ann.name, "a1")
    for each in (ann, part):
        each.read("plan.md")
    ann.event("PreCompact", trigger="auto")
    for each in (ann, part):
        with pytest.raises(Denied, match="not read it whole in your present context"):
            each.write("plan.md", DONE)


def test_the_end_of_a_subagent_forgets_it_alone(project, ann):
    part = Session(project, ann.name, "a1")
    for each in (ann, part):
        each.read("plan.md")
    part.event("SubagentStop")
    with pytest.raises(Denied):
        part.write("plan.md", DONE)
    ann.write("plan.md", DONE)


@pytest.mark.parametrize(("source", "forgets"), [("clear", 1), ("compact", 1), ("resume", 0)])
def test_a_session_that_goes_on(ann, source, forgets):
    ann.read("plan.md")
    ann.event("SessionStart", source=source)
    if forgets:
        with pytest.raises(Denied):
            ann.write("plan.md", DONE)
    else:
        ann.write("plan.md", DONE)


def test_a_restarted_session_has_seen_nothing(project, ann, bob):
    ann.read("plan.md")
    bob.read("plan.md")
    bob.write("plan.md", DONE)
    with pytest.raises(Denied, match="not read it whole"):
        Session(project, "another").write("plan.md", REVIEWED)


# Which file, and whose


def test_a_symbolic_link_is_its_target(project, ann, bob):
    (project / "link.md").symlink_to("plan.md")
    ann.read("link.md")
    bob.read("plan.md")
    bob.write("plan.md", DONE)
    with pytest.raises(Denied, match=r"plan\.md was changed by session-bob"):
        ann.write("link.md", REVIEWED)


def test_a_project_by_another_path_is_the_same(project, tmp_path, ann):
    (tmp_path / "alias").symlink_to(project)
    other = Session(tmp_path / "alias", "other")
    ann.read("plan.md")
    other.read("plan.md")
    other.write("plan.md", DONE)
    with pytest.raises(Denied, match="changed by session-other"):
        ann.write("plan.md", REVIEWED)


def test_worktrees_are_apart(project, git, ann):
    git("worktree", "add", ".trees/side", "-b", "side")
    side = Session(project / ".trees" / "side", "side")
    ann.read("plan.md")
    side.read("plan.md")
    side.write("plan.md", DONE)
    assert ann.write("plan.md", REVIEWED) == ""
    assert (project / ".trees/side/.coherence/guard.db").exists()
    ann.read(".trees/side/plan.md")
    side.write("plan.md", "more\n")
    with pytest.raises(Denied, match=r"^plan\.md was changed by session-side"):
        ann.write(".trees/side/plan.md", REVIEWED)
    head = side.bash(lambda: git("commit", "-am", "x", folder=side.project))
    assert head == ""


def test_a_session_in_a_folder_of_the_repository_shares_its_journal(project, git, ann):
    (project / "src").mkdir()
    inner = Session(project / "src", "inner")
    inner.write("a.py", "1\n")
    ann.read("src/a.py")
    inner.write("a.py", "2\n")
    with pytest.raises(Denied, match=r"src/a\.py was changed by session-inner"):
        ann.write("src/a.py", "3\n")


def test_without_git_a_session_in_a_folder_below_shares_the_journal(project, ann):
    (project / "src").mkdir()
    ann.write("src/a.py", "1\n")
    inner = Session(project / "src", "inner")
    inner.read("a.py")
    ann.write("src/a.py", "2\n")
    with pytest.raises(Denied, match=r"src/a\.py was changed by session-ann"):
        inner.write("a.py", "3\n")


def test_files_elsewhere_are_left_alone(project, tmp_path, ann):
    (tmp_path / "elsewhere.txt").write_text("x")
    (project / ".coherence").mkdir()
    ann.write("../elsewhere.txt", "y")
    ann.write(".coherence/mine", "z")
    os.mkfifo(project / "pipe")
    ann.use("Write", {"file_path": str(project / "pipe"), "content": ""}, dict)
    assert not (project / ".coherence" / "guard.db").exists()


def test_names_that_differ_in_case_are_one_where_the_disk_says_so(project, ann, bob):
    os.makedirs(project / ".coherence")
    (project / ".COHERENCE").symlink_to(".coherence")  # as a disk would show that folds case
    (project / "PLAN.md").symlink_to("plan.md")
    ann.read("plan.md")
    bob.read("plan.md")
    bob.write("plan.md", DONE)
    (project / "PLAN.md").unlink()
    (project / "PLAN.md").write_text(DONE)
    with pytest.raises(Denied, match="changed by session-bob"):
        ann.write("PLAN.md", REVIEWED)


def test_odd_names_are_kept_and_restored(project, ann, bob):
    name = "a b/änd'@%.md"
    (project / "a b").mkdir()
    told = ann.write(name, "ann\n", meanwhile=lambda: bob.write(name, "bob\n"))
    assert "replaced a change" in told
    restore(str(project), f"{name}@1")
    assert (project / name).read_text() == "bob\n"


# Contents that are not kept


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        (".env", b"TOKEN=1\n", b"TOKEN=2\n"),
        ("conf/.env.local", b"TOKEN=1\n", b"TOKEN=2\n"),
        ("server.pem", b"key 1\n", b"key 2\n"),
        ("mine/x.txt", b"private 1\n", b"private 2\n"),
        ("picture.png", b"\x89PNG\0one", b"\x89PNG\0two"),
        ("latin.txt", b"\xe41", b"\xe42"),
        ("large.txt", b"x" * (1 << 20) + b"1", b"x" * (1 << 20) + b"2"),
    ],
)
def test_of_secrets_of_large_files_and_of_bytes_only_the_digest_is_known(
    project, ann, bob, name, first, second
):
    (project / ".coherence").mkdir()
    (project / ".coherence/secrets").write_text("mine\n")
    path = project / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(first)
    seen = {"content": first.decode("latin-1"), "startLine": 1, "numLines": 1, "totalLines": 1}
    ann.use("Read", {"file_path": str(path)}, lambda: {"type": "text", "file": seen})
    bob.bash(lambda: path.write_bytes(second))
    with pytest.raises(Denied) as denied:
        ann.write(name, "mine")
    assert "was changed by" in str(denied.value)
    assert "@@" not in str(denied.value)
    database = sqlite3.connect(project / ".coherence/guard.db")
    assert database.execute("select count(data) from kept").fetchone() == (0,)
    assert database.execute("select count(*) from kept").fetchone()[0] >= 2
    database.close()


def test_a_loss_that_is_not_kept_says_so(project, ann, bob):
    told = ann.write(".env", "A=1\n", meanwhile=lambda: bob.write(".env", "B=1\n"))
    assert "replaced a change by session-bob-0002" in told
    assert "Its text is not kept: it is a secret, not text, or larger than 1 MiB." in told
    assert "B=1" not in told


def test_the_folder_is_its_owners_and_git_ignores_it(project, git, ann):
    ann.read("plan.md")
    assert (project / ".coherence").stat().st_mode & 0o777 == 0o700
    done = subprocess.run(
        ["git", "status", "--short"], cwd=project, capture_output=True, check=True
    )
    assert done.stdout == b""


def test_what_is_older_than_seven_days_goes(project, ann, bob):
    ann.read("plan.md")
    database = sqlite3.connect(project / ".coherence/guard.db")
    for table in ("seen", "kept", "agents"):
        database.execute(f"update {table} set at = at - 8 * 86400")
    database.commit()
    bob.read("plan.md")  # a new agent is met
    assert database.execute("select agent from seen").fetchall() == [("bob-0002",)]
    assert database.execute("select id from agents").fetchall() == [("bob-0002",)]
    database.close()


# Codex


def test_a_patch_of_codex(project, ann, bob):
    """Paths are relative to the event's folder, and the patch is the command."""
    ann.read("plan.md")
    update = (
        "*** Begin Patch\n*** Update File: plan.md\n@@\n-build: open\n+build: done\n*** End Patch"
    )
    bob.patch(update, lambda: (project / "plan.md").write_text(DONE))
    with pytest.raises(Denied, match="changed by session-bob"):
        ann.write("plan.md", REVIEWED)
    add = "*** Begin Patch\n*** Add File: plan.md\n+mine\n*** End Patch"
    with pytest.raises(Denied, match=r"plan\.md exists, and you have not read it whole"):
        bob.patch(add)
    several = "*** Begin Patch\n*** Add File: a.md\n+a\n*** Add File: plan.md\n+x\n*** End Patch\n"
    with pytest.raises(Denied, match=r"plan\.md exists"):
        bob.patch(several)
    fresh = "*** Begin Patch\n*** Add File: docs/new.md\n+one\n+two\n*** End Patch"
    (project / "docs").mkdir()
    assert bob.patch(fresh, lambda: (project / "docs/new.md").write_text("one\ntwo\n")) == ""


def test_a_file_that_codex_deletes_is_kept(project, ann, bob):
    bob.patch("*** Delete File: plan.md", lambda: (project / "plan.md").unlink())
    restore(str(project), "plan.md@1")
    assert (project / "plan.md").read_text() == "build: open\nreview: open\n"
    ann.read("plan.md")
    bob.patch("*** Update File: plan.md", lambda: (project / "plan.md").write_text(DONE))
    with pytest.raises(Denied, match="changed by session-bob"):
        ann.patch("*** Delete File: plan.md")


def test_a_file_that_codex_moves_over_another(project, bob):
    (project / "other.md").write_text("other\n")
    with pytest.raises(Denied, match=r"other\.md exists"):
        bob.patch("*** Update File: plan.md\n*** Move to: other.md\n@@\n-a\n+b")


def test_events_that_are_not_ours(project, ann):
    assert answer({"hook_event_name": "Stop", "session_id": "s", "cwd": str(project)}) is None
    assert ann.event("PreToolUse", "Glob", {"pattern": "*"}) == ""
    assert ann.event("PreToolUse", "Write", {}) == ""
    assert ann.event("PostToolUse", "Edit", {"file_path": "plan.md", "edits": 3}, "text") == ""
    assert not (project / ".git").exists()


def test_a_hook_needs_no_engine():
    code = "import coherence_guard.hook, sys; print({'coherence', 'msgspec'} & set(sys.modules))"
    done = subprocess.run(
        [os.sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
