"""The command line: what it shows, what it refuses, and that looking blocks nobody."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from coherence import Workspace
from coherence.cli import app
from coherence.stores.records import RefusedWrite


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/team.db"


@pytest.fixture
def team(url):
    with Workspace(url) as workspace:
        ann = workspace.agent("ann")
        ann.write("plan.md", "one\ntwo\n")
        ann.write("plan.md", "one\n2\n")
        ann.write("notes/raw", b"\x00\xff")
        ann.write("gone.md", "text")
        ann.delete("gone.md")
        yield workspace


def run(url, *words, code=0, env=None):
    done = CliRunner(env=env).invoke(app, [words[0], "--store", url, *words[1:]])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done


def test_status(team, url):
    with team.agent("bob").edit("plan.md") as draft:
        shown = json.loads(run(url, "status", "--json").stdout)
        assert shown["v"] == 1
        assert [agent["agent"] for agent in shown["agents"]] == ["ann", "bob"]
        plan = {each["artifact"]: each for each in shown["artifacts"]}["plan.md"]
        assert sorted(each["artifact"] for each in shown["artifacts"]) == ["notes/raw", "plan.md"]
        assert (plan["version"], plan["author"], plan["holder"]) == (2, "ann", "bob")
        assert plan["until"] > shown["now"]
        table = run(url, "status").stdout
        assert "plan.md@2" in table
        assert "bob" in table
        assert "2 artifacts, 2 agents, 1 held" in table
        assert "notes" not in run(url, "status", "plan*").stdout
        assert "notes" not in run(url, "status", "--agent", "bob").stdout
        draft.discard()


@pytest.mark.slow
def test_status_is_watched_on_a_terminal_or_in_lines(team, url):
    with team.agent("bob").edit("plan.md") as draft:
        shown = run(url, "status", "--watch", "--count", "2", env=TERMINAL).stdout
        assert shown.count("contested") >= 2
        assert "\x1b[36mbob" in shown, "a holder stands out"
        lines = run(url, "status", "--watch", "--count", "2", "--json").stdout.splitlines()
        (line,) = map(json.loads, lines)
        assert line["artifacts"][0]["artifact"] == "notes/raw"
        draft.discard()
    assert "--json" in run(url, "status", "--watch", code=2).stderr


def test_no_colours_where_they_are_not_wanted(team, url):
    with team.agent("bob").edit("plan.md") as draft:
        for env in (None, {**TERMINAL, "NO_COLOR": "1"}):
            assert "\x1b[36m" not in run(url, "status", env=env).stdout
        assert "\x1b[36m" in run(url, "status", env=TERMINAL).stdout
        draft.discard()


def test_log(team, url):
    head, *lines = run(url, "log").stdout.splitlines()
    assert head.split() == ["written", "version", "by", "bytes"]
    assert len(lines) == 5
    assert "deleted" in lines[-1]
    of_plan = run(url, "log", "plan.md").stdout.splitlines()[1:]
    assert [line.split()[2] for line in of_plan] == ["plan.md@1", "plan.md@2"]
    shown = json.loads(run(url, "log", "--json").stdout)
    assert shown["v"] == 1
    assert [each["version"] for each in shown["versions"] if each["artifact"] == "plan.md"] == [
        1,
        2,
    ]
    assert "unknown-artifact" in run(url, "log", "nothing.md", code=2).stderr


def test_log_has_filters(team, url):
    team.agent("bob").write("notes/b", "text")

    def refs(*words):
        return [line.split()[2] for line in run(url, "log", *words).stdout.splitlines()[1:]]

    assert refs("notes/*") == ["notes/raw@1", "notes/b@1"]
    assert refs("--agent", "bob") == ["notes/b@1"]
    assert refs("-n", "1") == ["notes/b@1"]
    assert len(refs("--since", "1h")) == 6
    assert refs("--until", "1h") == []
    assert refs("--since", "2020-01-01", "--until", "2020-01-02 12:00") == []
    assert "names no moment" in run(url, "log", "--since", "soon", code=2).stderr


def test_log_counts_lines(team, url):
    shown = json.loads(run(url, "log", "plan.md", "--stat", "--json").stdout)["versions"]
    assert [(each["added"], each["removed"]) for each in shown] == [(2, 0), (1, 1)]
    lines = run(url, "log", "--stat").stdout.splitlines()
    assert [line.split()[-1] for line in lines[1:3]] == ["-0", "-1"]
    assert any("notes/raw" in line and "+" not in line for line in lines), "bytes have no lines"


def test_log_tells_an_overwrite_and_a_reason(team, url):
    team._site.store._connections.writer.execute(
        "UPDATE history SET base = 0, overwrite = 1, reason = 'a new start' WHERE at = ?",
        (team.history("plan.md")[1].at,),
    )
    line = run(url, "log", "plan.md").stdout.splitlines()[-1]
    assert line.endswith("overwrote @1; a new start")
    assert "\x1b[1;31m" in run(url, "log", "plan.md", env=TERMINAL).stdout
    (_, entry) = json.loads(run(url, "log", "plan.md", "--json").stdout)["versions"]
    assert (entry["base"], entry["overwrite"], entry["reason"]) == (0, True, "a new start")


def test_refused_writes(team, url):
    assert "Limits(refusals=N)" in run(url, "log", "--refused").stdout
    attempt = "@@ -1 +1 @@\n-one\n+1\n" + "+more\n" * 20
    refused = RefusedWrite("plan.md", "bob", 0.0, 1, 2, "conflict", "too late", 9, attempt)
    team._site.store.refuse(refused, 5)
    lines = run(url, "log", "--refused").stdout.splitlines()
    assert lines[0].endswith("plan.md  bob  conflict: from @1, current @2")
    assert lines[1:5] == ["    too late", "    @@ -1 +1 @@", "    -one", "    +1"]
    assert lines[-1] == "    ... 11 more lines"
    (shown,) = json.loads(run(url, "log", "--refused", "--json").stdout)["refused"]
    assert (shown["agent"], shown["base"], shown["attempt"]) == ("bob", 1, attempt)
    assert "Limits" in run(url, "log", "notes/*", "--refused").stdout
    status = json.loads(run(url, "status", "--json").stdout)["artifacts"]
    assert [each["refused"] for each in status] == [0, 1]


def test_blame(team, url):
    head, *lines = run(url, "blame", "plan.md").stdout.splitlines()
    assert head.split() == ["version", "by", "written", "line", "text"]
    assert [(line.split()[0], line.split()[-1]) for line in lines] == [("@1", "one"), ("@2", "2")]
    shown = json.loads(run(url, "blame", "plan.md@1", "--json").stdout)
    assert (shown["artifact"], shown["version"]) == ("plan.md", 1)
    assert [each["text"] for each in shown["lines"]] == ["one\n", "two\n"]
    assert {each["author"] for each in shown["lines"]} == {"ann"}
    assert "is not text" in run(url, "blame", "notes/raw", code=2).stderr


def test_blame_says_where_retention_ends(team, url):
    run(url, "gc", "--versions", "1")
    lines = run(url, "blame", "plan.md").stdout.splitlines()
    assert lines[1].split() == ["<=@2", "1", "one"]
    assert lines[-1] == "before @2: not kept from @1 on"
    shown = json.loads(run(url, "blame", "plan.md", "--json").stdout)["lines"]
    assert {(each["known"], each["author"]) for each in shown} == {(False, None)}


def test_show(team, url):
    assert run(url, "show", "plan.md").stdout == "one\n2\n"
    assert run(url, "show", "plan.md@1").stdout == "one\ntwo\n"
    assert run(url, "show", "notes/raw").stdout_bytes == b"\x00\xff"
    for ref in ("plan.md@9", "gone.md", "nothing", "../x", "plan.md@x"):
        assert run(url, "show", ref, code=2).stdout == ""


def test_diff(team, url):
    heads, hunk = run(url, "diff", "plan.md@1").stdout.split("@@", 1)
    assert [line.split("\t")[0] for line in heads.splitlines()] == [
        "--- plan.md@1",
        "+++ plan.md@2",
    ]
    assert "ann" in heads
    assert f"@@{hunk}" == "@@ -1,2 +1,2 @@\n one\n-two\n+2\n"
    back = "@@ -2 +2 @@\n-2\n+two\n"
    for words in (("plan.md@2", "plan.md@1"), ("plan.md", "plan.md@1")):
        assert run(url, "diff", *words, "-U", "0").stdout.endswith(back)
    assert run(url, "diff", "plan.md@1", "plan.md@1").stdout == ""
    assert run(url, "diff", "plan.md@1", "--stat").stdout == "plan.md@1 to plan.md@2: +1 -1\n"
    shown = json.loads(run(url, "diff", "plan.md@2", "plan.md@1", "-U", "0", "--json").stdout)
    assert (shown["old"], shown["added"], shown["diff"]) == ("plan.md@2", 1, back)
    run(url, "diff", "plan.md@1", "notes/raw", code=2)


def test_restore(team, url):
    said = run(url, "restore", "plan.md@1", "--agent", "editor", "--reason", "two was right")
    assert said.stdout == "plan.md@3 has the content of plan.md@1.\n"
    assert run(url, "show", "plan.md").stdout == "one\ntwo\n"
    line = run(url, "log", "plan.md").stdout.splitlines()[-1]
    assert "plan.md@3" in line
    assert line.endswith("two was right")
    assert " editor " in line
    run(url, "restore", "gone.md@1")
    assert run(url, "show", "gone.md").stdout == "text"
    for ref in ("plan.md@9", "plan.md", "none.md@1"):
        run(url, "restore", ref, code=2)
    assert "store-missing" in run(f"{url}.none", "restore", "plan.md@1", code=3).stderr


def test_watch(team, url):
    shown = run(url, "watch", "plan*", "--since", "0", "--count", "2").stdout
    assert [line.split()[2] for line in shown.splitlines()] == ["plan.md@1", "plan.md@2"]


def test_watch_in_json(team, url):
    lines = run(url, "watch", "--json", "--since", "0", "--count", "5").stdout.splitlines()
    shown = [json.loads(line) for line in lines]
    assert [(each["v"], each["artifact"], each["version"]) for each in shown][:2] == [
        (1, "plan.md", 1),
        (1, "plan.md", 2),
    ]
    assert {each["author"] for each in shown} == {"ann"}
    assert [each["seq"] for each in shown] == sorted(each["seq"] for each in shown)


TERMINAL = {"FORCE_COLOR": "1", "COLUMNS": "100", "LINES": "24", "TERM": "xterm"}


def test_watch_on_a_terminal_keeps_one_table_up_to_date(team, url):
    shown = run(url, "watch", "plan*", "--since", "0", "--count", "2", env=TERMINAL).stdout
    rows = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).splitlines()
    row = [line for line in rows if "plan.md" in line][-1]
    assert row.split()[:3] == ["plan.md@2", "2", "ann"]
    assert "1 changes" not in shown, "what comes at once is drawn at once"
    assert "2 changes to 1 artifacts of plan*" in shown
    plain = run(url, "watch", "plan*", "--since", "0", "--count", "2", "--plain", env=TERMINAL)
    assert "\x1b" not in plain.stdout


def test_watch_says_that_the_log_is_cut(team, url):
    team._site.store._connections.writer.execute("DELETE FROM log WHERE seq <= 2")
    shown = run(url, "watch", "plan*", "--since", "0", "--count", "1", "--json").stdout
    assert json.loads(shown)["missed"]
    assert "no longer" in run(url, "watch", "--since", "0", "--count", "1").stderr
    assert "1 gaps" in run(url, "watch", "--since", "0", "--count", "1", env=TERMINAL).stdout


@pytest.mark.slow
def test_watch_waits_for_what_comes_and_ends_when_interrupted(team, url):
    command = [sys.executable, "-m", "coherence", "watch", "--store", url, "--json"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        # A shell's background job, as a test run may be, inherits that interrupts are ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as watching:
        while not team._site.store._connections.query("SELECT port FROM bell"):
            assert watching.poll() is None
        team.agent("ann").write("plan.md", "new")
        assert json.loads(watching.stdout.readline())["version"] == 3
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 0


def test_names_are_shown_as_they_are(team, url):
    """Of markup, too: whoever names an artifact does not write on the terminal."""
    team.agent("[b]bob").write("[red]x[/b]", "text")
    for words in (
        ("status",),
        ("log",),
        ("watch", "[[]red*", "--since", "0", "--count", "1"),
    ):
        for env in (None, TERMINAL):
            shown = run(url, *words, env=env).stdout
            assert "[red]x[/b]" in shown
            assert "[b]bob" in shown


def test_check(team, url):
    assert "3 artifacts are in order" in run(url, "check").stdout
    team._site.store._connections.writer.execute(
        "UPDATE history SET digest = x'00' WHERE kind = 'bytes'"
    )
    assert "notes/raw@1" in run(url, "check", code=1).stdout


def test_export_and_import(team, url, tmp_path):
    folder = tmp_path / "out"
    run(url, "export", str(folder))
    assert (folder / "plan.md").read_bytes() == b"one\n2\n"
    assert (folder / "notes/raw").read_bytes() == b"\x00\xff"
    assert not (folder / "gone.md").exists()
    (folder / "plan.md").write_text("three\n")
    (folder / "new.md").write_text("new\n")
    assert "2 of 3 files" in run(url, "import", str(folder)).stdout
    assert team.agent("ann").read("plan.md").text == "three\n"
    assert [entry.author for entry in team.history("plan.md")] == ["ann", "ann", "import"]
    (folder / "bad@1").write_text("a name that is none")
    (folder / "aaa").write_text("would come first")
    assert "invalid-name" in run(url, "import", str(folder), code=2).stderr
    assert "aaa" not in team.names()


def outside(tmp_path, folder):
    """A folder of somebody else's, and two links to it in the one that is exported into."""
    away = tmp_path / "outside"
    away.mkdir()
    folder.mkdir()
    for name in ("raw", "plan.md"):
        (away / name).write_text("precious")
    return away


@pytest.mark.parametrize("link", ["notes", "plan.md", "plan.md to nothing", "notes to a file"])
def test_export_follows_no_link_out_of_the_folder(team, url, tmp_path, link):
    folder = tmp_path / "out"
    away = outside(tmp_path, folder)
    name, _, what = link.partition(" to ")
    target = {"": away / name, "nothing": away / "none", "a file": away / "raw"}[what]
    if not what and name == "notes":
        target = away
    (folder / name).symlink_to(target)
    refused = run(url, "export", str(folder), code=2).stderr
    assert "path-taken" in refused
    assert f"{folder / name} is a symbolic link" in refused
    assert [path.read_text() for path in sorted(away.iterdir())] == ["precious"] * 2
    assert list(folder.iterdir()) == [folder / name], "nothing is written where one cannot be"


def test_export_writes_to_no_other_name_of_a_file(team, url, tmp_path):
    folder = tmp_path / "out"
    away = outside(tmp_path, folder)
    (folder / "plan.md").hardlink_to(away / "plan.md")
    (folder / "plan.md").chmod(0o640)
    run(url, "export", str(folder))
    assert (folder / "plan.md").read_text() == "one\n2\n"
    assert (folder / "plan.md").stat().st_mode & 0o777 == 0o640
    assert (away / "plan.md").read_text() == "precious"


def test_export_of_names_that_cannot_be_files_together(team, url, tmp_path):
    team.agent("ann").write("plan.md/more.md", "text")
    folder = tmp_path / "out"
    refused = run(url, "export", str(folder), code=2).stderr
    assert "'plan.md'" in refused
    assert "'plan.md/more.md'" in refused
    assert not folder.exists()
    assert "1 artifacts" in run(url, "export", str(folder), "--pattern", "plan.md/*").stdout
    # A folder is in the way of a file as a file is of a folder.
    refused = run(url, "export", str(folder), "--pattern", "plan.md", code=2).stderr
    assert f"{folder / 'plan.md'} is a folder" in refused


def test_export_stops_before_it_has_begun_where_a_content_is_damaged(team, url, tmp_path):
    team._site.store._connections.writer.execute(
        "UPDATE history SET digest = x'00' WHERE kind = 'bytes'"
    )
    folder = tmp_path / "out"
    run(url, "export", str(folder), code=3)
    assert list(folder.iterdir()) == []


def test_export_into_what_is_no_folder(team, url, tmp_path):
    (tmp_path / "file").write_text("text")
    assert "environment" in run(url, "export", str(tmp_path / "file"), code=3).stderr
    assert "environment" in run(url, "export", str(tmp_path / "file/x"), code=3).stderr


def test_messages_name_commands(team, url):
    assert "`status` lists" in run(url, "show", "none.md", code=2).stderr
    assert "`log NAME` lists" in run(url, "show", "plan.md@9", code=2).stderr
    assert "diff plan.md@1" in run(url, "diff", "plan.md", code=2).stderr
    for bad in ("sqlite://ex.db", "ex.db"):
        assert "did you mean sqlite:///ex.db?" in run(bad, "status", code=2).stderr
    said = run("foo://joe:secret@host/db", "status", code=2).stderr
    assert "secret" not in said
    assert "--store" in said


def test_gc(team, url):
    assert "2 versions removed" in run(url, "gc", "--versions", "1").stdout
    assert [entry.version for entry in team.history("plan.md")] == [2]


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["status", "--watch", "--count", "3", "--json"],
        ["log", "--stat"],
        ["log", "--refused"],
        ["show", "plan.md"],
        ["diff", "plan.md@1"],
        ["blame", "plan.md"],
        ["check"],
    ],
)
def test_looking_neither_waits_for_a_writer_nor_holds_one_up(team, url, command, snapshot):
    before = snapshot(team)
    with team._site.store.transaction(publishes=False) as tx:
        tx.load("plan.md")
        run(url, *command)
    assert snapshot(team) == before


def test_a_store_that_is_not_there(tmp_path):
    url = f"sqlite:///{tmp_path}/none.db"
    for command in ("status", "log", "check", "gc", "watch"):
        refused = run(url, command, code=3).stderr
        assert "store-missing" in refused
        assert "--store or COHERENCE_STORE" in refused
    assert not (tmp_path / "none.db").exists()
    assert "bad-url" in run("memory://", "status", code=2).stderr


def test_as_a_module(team, url):
    done = subprocess.run(
        [sys.executable, "-m", "coherence", "show", "plan.md", "--store", url],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "one\n2\n"


def test_backup(team, url, tmp_path):
    file = tmp_path / "backup.db"
    assert f"sqlite:///{file}" in run(url, "backup", str(file)).stdout
    assert "path-taken" in run(url, "backup", str(file), code=2).stderr
    assert run(f"sqlite:///{file}", "log").stdout == run(url, "log").stdout
    team.agent("ann").write("plan.md", "since then")
    run(url, "backup", str(tmp_path / "other.db"))
    assert run(url, "backup", str(file), "--force").exit_code == 0
    assert "store-missing" in run(url, "backup", str(tmp_path / "no" / "x.db"), code=3).stderr
    assert "plan.md@3" in run(f"sqlite:///{file}", "log").stdout
    assert "store-missing" in run(f"{url}.none", "backup", str(tmp_path / "x.db"), code=3).stderr


def test_backup_is_put_back_only_by_who_says_so(team, url, tmp_path):
    file = tmp_path / "backup.db"
    run(url, "backup", str(file))
    team.agent("ann").write("plan.md", "since then")
    refused = run(url, "backup", "--restore", str(file), code=2)
    assert "--yes" in refused.stderr
    assert "2 artifacts in 5 versions, made " in refused.stdout
    assert "is lost" in refused.stdout
    assert run(url, "show", "plan.md").stdout == "since then"
    run(url, "backup", "--restore", str(file), "--yes")
    assert run(url, "show", "plan.md").stdout == "one\n2\n"
    assert "3 artifacts are in order" in run(url, "check").stdout
    assert team.agent("ann").read("plan.md").text == "one\n2\n"
    new = f"sqlite:///{tmp_path}/new.db"
    run(new, "backup", str(file), "--restore", "--yes")
    assert run(new, "log").stdout == run(url, "log").stdout
    run(url, "backup", "--restore", str(tmp_path / "none.db"), "--yes", code=3)
    assert "bad-url" in run("memory://", "backup", "--restore", str(file), "--yes", code=2).stderr


def test_backup_asks_on_a_terminal(team, url, tmp_path):
    file = tmp_path / "backup.db"
    run(url, "backup", str(file))
    team.agent("ann").write("plan.md", "since then")
    words = ["backup", "--store", url, "--restore", str(file)]
    for answer, text in (("n\n", "since then"), ("y\n", "one\n2\n")):
        done = CliRunner(env=TERMINAL).invoke(app, words, input=answer)
        assert "Put it back?" in done.output
        assert run(url, "show", "plan.md").stdout == text
