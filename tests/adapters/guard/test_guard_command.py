"""`coherence guard`, and the tool for the MCP server."""

import json
from inspect import signature

import pytest
from guarding import Denied, Session
from typer.testing import CliRunner

from coherence import Workspace
from coherence_guard.cli import app
from coherence_guard.keeping import artifact_of, url_of
from coherence_guard.served import TEMPLATES, guard, tools
from message_passing.errors import EnvironmentFault


def run(*words, code=0):
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done


def test_install_and_uninstall(project):
    settings = project / ".claude/settings.json"
    shown = run("install", "claude", "--folder", project, "--dry-run").stdout
    assert shown.startswith(f"--- {settings}")
    assert not settings.exists()
    run("install", "claude", "--folder", project)
    first = settings.read_text()
    assert "needs no change" in run("install", "claude", "--folder", project).stdout
    assert not settings.with_name("settings.json.bak").exists()
    settings.write_text(first.replace("{", '{"model": "x",', 1))
    settings.chmod(0o600)
    assert "settings.json.bak" in run("uninstall", "claude", "--folder", project).stdout
    assert json.loads(settings.read_text()) == {"model": "x"}
    assert settings.stat().st_mode & 0o777 == 0o600
    assert "coherence-guard" in settings.with_name("settings.json.bak").read_text()
    assert "needs no change" in run("uninstall", "codex", "--folder", project).stdout


def test_settings_elsewhere_and_by_a_link(project, tmp_path):
    real = tmp_path / "dotfiles.json"
    real.write_text("{}")
    (tmp_path / "settings.json").symlink_to(real)
    run("install", "codex", "--settings", tmp_path / "settings.json")
    assert (tmp_path / "settings.json").is_symlink()
    assert "apply_patch" in real.read_text()


def test_settings_that_are_broken_stay_so(project):
    settings = project / ".codex/hooks.json"
    settings.parent.mkdir()
    settings.write_text("{;}")
    done = run("install", "codex", "--folder", project, code=2)
    assert done.stderr.startswith("not-json: the text is not JSON")
    assert settings.read_text() == "{;}"


def test_status(project, ann, bob):
    assert "hooks for no client" in run("status", "--folder", project).stdout
    run("install", "codex", "--folder", project)
    ann.read("plan.md")
    ann.write("plan.md", "done\n")
    bob.read("plan.md")
    ann.write(".env", "A=1\n")
    shown = json.loads(run("status", "--folder", project, "--json").stdout)
    assert shown["root"] == str(project)
    assert shown["hooks"] == {"claude": False, "codex": True}
    assert [(each["agent"], each["files"]) for each in shown["agents"]] == [
        ("session-bob-0002", 1),
        ("session-ann-0001", 2),
    ] or len(shown["agents"]) == 2
    assert [(each["file"], each["by"], each["bytes"], each["text"]) for each in shown["kept"]] == [
        ("plan.md", "", 25, 1),
        ("plan.md", "session-ann-0001", 5, 1),
        (".env", "session-ann-0001", 4, 0),
    ]
    table = run("status", "--folder", project).stdout
    assert "digest only" in table
    assert "3 contents, 30 bytes of text; 2 agents." in table


def test_restore_brings_back_and_keeps(project, ann):
    first = (project / "plan.md").read_text()
    ann.read("plan.md")
    ann.write("plan.md", "ann\n")
    (project / "plan.md").write_text("an editor\n")
    (project / "plan.md").chmod(0o755)
    done = run("restore", "plan.md@1", "--folder", project)
    assert done.stdout == "The file has the content of plan.md@1; before, plan.md@3.\n"
    assert (project / "plan.md").read_text() == first
    assert (project / "plan.md").stat().st_mode & 0o777 == 0o755
    with pytest.raises(Denied, match="changed by restore"):
        ann.write("plan.md", "ann again\n")
    run("restore", "plan.md@3", "--folder", project / ".coherence")
    assert (project / "plan.md").read_text() == "an editor\n"
    (project / "plan.md").unlink()
    assert run("restore", "plan.md@2", "--folder", project).stdout.endswith("plan.md@2.\n")


@pytest.mark.parametrize(
    ("ref", "code"),
    [
        ("plan.md", "bad-ref"),
        ("none.md@1", "unknown-artifact"),
        ("plan.md@9", "unknown-version"),
        ("../elsewhere@1", "path-taken"),
        ("/etc/passwd@1", "path-taken"),
    ],
)
def test_what_cannot_be_restored(project, ann, ref, code):
    ann.read("plan.md")
    done = run("restore", ref, "--folder", project, code=2)
    assert done.stderr.startswith(code), done.stderr


def test_a_content_that_cannot_be_kept_is_not_replaced(project, ann):
    ann.read("plan.md")
    (project / "plan.md").write_bytes(b"\0\0")
    done = run("restore", "plan.md@1", "--folder", project, code=2)
    assert "holds a content that cannot be kept" in done.stderr
    assert (project / "plan.md").read_bytes() == b"\0\0"


def test_a_folder_that_no_agent_worked_in(project):
    done = run("store", "--folder", project, code=2)
    assert done.stderr.startswith("bad-argument: no agent was guarded in")
    assert not (project / ".coherence").exists()


def test_store_prints_where_the_history_is(project, ann):
    ann.read("plan.md")
    ann.edit("plan.md", ("build: open", "build: done"))
    url = run("store", "--folder", project).stdout.strip()
    assert url == url_of(str(project))
    with Workspace(url) as workspace:
        authors = [entry.author for entry in workspace.history("plan.md")]
    assert authors == ["outside", "session-ann-0001"]


def test_a_name_that_is_too_long_for_an_artifact():
    assert artifact_of("a/b.md") == "a/b.md"
    assert artifact_of("x" * 201).startswith("long/")


# Through the server


def served(event):
    """What a client makes of a hook of the type ``mcp_tool``: templates filled in."""

    def value(path):
        found = event
        for part in path[2:-1].split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return found

    given = {}
    for number, (name, template) in enumerate(TEMPLATES.items()):
        found = value(template)
        # A client may leave the template, or make it empty.
        given[name] = (template if number % 2 else "") if found is None else found
        if isinstance(found, list):
            given[name] = json.dumps(found)
        elif isinstance(found, bool | int):
            given[name] = str(found)
    said = guard(**given)
    return json.loads(said) if said else None


def test_the_tool_answers_as_the_program(project):
    ann, bob = (
        Session(project, n, "a", hook=served, says_found=True) for n in ("ann-01", "bob-02")
    )
    for each in (ann, bob):
        each.read("plan.md")
    ann.edit("plan.md", ("build: open", "build: done"), ("review: open", ""))
    with pytest.raises(Denied, match="changed by worker-a"):
        bob.write("plan.md", "mine\n")
    bob.read("plan.md", offset=2)
    with pytest.raises(Denied, match="changed by worker-a"):
        bob.write("plan.md", "mine\n")
    bob.read("plan.md")
    bob.write("plan.md", "")
    assert (ann.told, bob.told) == ([], [])
    assert ann.bash() != ""


def test_the_tool_is_one_function_of_the_workspace():
    (tool,) = tools(None)
    assert tool.__name__ == "guard"
    assert tool.__doc__
    assert list(signature(tool, eval_str=True).parameters) == list(TEMPLATES)


def test_the_tool_lets_a_call_pass_that_it_cannot_check(project):
    (project / ".coherence").write_text("")
    with pytest.raises(EnvironmentFault, match="the call was not checked"):
        guard(event="PreToolUse", session="s", cwd=str(project), tool="Read", file="plan.md")
