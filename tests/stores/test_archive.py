"""A store that is not an archive serves a workspace, and says so where an archive is needed."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from coherence import CallerError, Workspace
from coherence.cli import app
from coherence.errors import NoArchive
from coherence.stores import opening
from coherence.stores.archive import CALLS, Archive, archive_of
from coherence.stores.backup import unpacked
from coherence.stores.conformance import BASE, verify
from coherence.stores.memory import MemoryStore
from coherence.stores.port import Store
from coherence.stores.sqlite import SqliteStore


class Plain:
    """A store with the calls of the port, and no others."""

    def __init__(self, inner=None):
        self.inner = inner or MemoryStore()

    def __getattr__(self, name):
        if name not in dir(Store) and name not in Store.__annotations__:
            raise AttributeError(name)
        return getattr(self.inner, name)


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Runs a command on a plain store that has one artifact."""
    file = tmp_path / "team.db"
    with Workspace(f"sqlite:///{file}") as workspace:
        workspace.agent("ann").write("plan.md", "one")

    def opened(url, retention=None, **options):
        return Plain(SqliteStore(file, retention, **options))

    for module in ("cli_options", "cli_upkeep"):
        monkeypatch.setattr(f"coherence.{module}.open_store", opened)

    def run(*words):
        return CliRunner().invoke(app, [*words, "--store", "plain://"])

    return run


def test_the_two_parts_of_a_store_have_no_call_in_common():
    assert set(CALLS) & set(dir(Store)) == set()
    assert set(CALLS) == {name for name in vars(Archive) if name[0] != "_"}


@pytest.mark.parametrize("kind", [MemoryStore, SqliteStore])
def test_the_stores_of_this_package_are_archives(kind, tmp_path):
    store = kind() if kind is MemoryStore else kind(tmp_path / "team.db")
    assert archive_of(store) is store
    store.close()


@pytest.mark.slow
def test_a_plain_store_keeps_the_base_promises():
    def make():
        store = Plain()
        return lambda: store

    report = verify(make)
    assert report.kept, report
    assert report.checked == tuple(BASE)
    assert "NoArchive" in verify(make, archive=True).broken["pins"]


def test_agents_work_on_a_plain_store():
    with Workspace(Plain()) as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        ann.write("plan.md", "one")
        assert bob.read("plan.md").text == "one"
        with bob.edit("plan.md") as draft:
            draft.text = "two"
        bob.rename("plan.md", "design.md")
        assert ann.list() == ["design.md"]
        assert ann.read("design.md", version=1).text == "two"
        assert [entry.version for entry in ann.history("design.md")] == [1]


@pytest.mark.parametrize(
    "call",
    [
        lambda workspace, folder: workspace.pin("plan.md@1"),
        lambda workspace, folder: workspace.gc(),
        lambda workspace, folder: workspace.check(),
        lambda workspace, folder: workspace.backup(folder / "backup.db"),
    ],
    ids=["pin", "gc", "check", "backup"],
)
def test_a_call_that_needs_an_archive_is_refused(call, tmp_path):
    with Workspace(Plain()) as workspace:
        workspace.agent("ann").write("plan.md", "one")
        with pytest.raises(
            NoArchive, match="Plain has no pin, tidy, check, refusals, tallies, dump"
        ) as refused:
            call(workspace, tmp_path)
        assert isinstance(refused.value, CallerError)
        assert "coherence.stores.archive" in refused.value.remedy
        assert workspace.agent("ann").read("plan.md").text == "one"
    assert list(tmp_path.iterdir()) == []


def test_commands_that_look_need_no_archive(commands):
    for words in (("status",), ("log",), ("show", "plan.md")):
        done = commands(*words)
        assert done.exit_code == 0, done.output
        assert "plan.md" in done.output or done.output == "one"


def test_a_command_that_needs_an_archive_is_refused(commands, tmp_path):
    for words in (("check",), ("gc",), ("backup", str(tmp_path / "backup.db"))):
        done = commands(*words)
        assert done.exit_code == 2, done.output
        assert done.stderr.startswith(
            "no-archive: Plain has no pin, tidy, check, refusals, tallies, dump"
        )
    assert not (tmp_path / "backup.db").exists()


def test_a_backup_goes_only_into_a_store_that_takes_one(tmp_path, monkeypatch):
    with Workspace(f"sqlite:///{tmp_path}/team.db") as workspace:
        workspace.agent("ann").write("plan.md", "one")
        workspace.backup(tmp_path / "backup.db")
    monkeypatch.setattr(opening, "open_store", lambda url, **options: Plain())
    with unpacked(tmp_path / "backup.db") as found, pytest.raises(NoArchive, match="put_back"):
        opening.put_back(found, "plain://")
