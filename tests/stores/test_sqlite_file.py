"""A store's file that is removed, replaced or linked while it is open, and what notices it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from coherence import Workspace
from coherence.errors import StoreFault, StoreLinked, StoreMissing, StoreReplaced
from coherence.stores import sqlite, sqlite_connections, sqlite_file, sqlite_transaction
from coherence.stores.sqlite import SqliteStore
from coherence.stores.sqlite_file import LOOK_S, SqliteFile


@pytest.fixture
def file(tmp_path):
    return tmp_path / "room" / "team.db"


@pytest.fixture
def ann(file):
    """An agent whose store is about to lose its file."""
    file.parent.mkdir()
    with Workspace(f"sqlite:///{file}") as workspace:
        agent = workspace.agent("ann")
        agent.write("plan.md", "one")
        agent.workspace = workspace
        yield agent


def remove(file):
    for path in file.parent.iterdir():
        path.unlink()


def remove_the_folder(file):
    shutil.rmtree(file.parent)


def rename(file):
    file.rename(file.with_name("other.db"))


def rename_the_folder(file):
    file.parent.rename(file.parent.with_name("elsewhere"))


def replace(file):
    """As ``mv backup.db team.db`` does."""
    other = file.with_name("other.db")
    with Workspace(f"sqlite:///{other}") as workspace:
        workspace.agent("eve").write("plan.md", "of another store")
    other.replace(file)


def replace_with_a_copy(file):
    copy = file.with_name("copy.db")
    shutil.copy(file, copy)
    copy.replace(file)


def remove_the_log(file):
    (file.parent / "team.db-wal").unlink()


def replace_the_log(file):
    log = file.parent / "team.db-wal"
    shutil.copy(log, file.parent / "copy")
    (file.parent / "copy").replace(log)


LOST = {
    StoreMissing: [remove, remove_the_folder, rename, rename_the_folder],
    StoreReplaced: [replace, replace_with_a_copy, remove_the_log, replace_the_log],
}
WAYS = [pytest.param(way, kind, id=way.__name__) for kind, ways in LOST.items() for way in ways]


@pytest.mark.parametrize(("way", "kind"), WAYS)
def test_it_is_noticed_before_the_next_acknowledged_write(ann, file, way, kind):
    way(file)
    for call in (
        lambda: ann.write("plan.md", "two"),
        lambda: ann.write("new.md", "one"),
        lambda: ann.read("plan.md"),
        lambda: ann.list(),
        lambda: ann.history("plan.md"),
        lambda: ann.edit("plan.md").__enter__(),
        lambda: ann.workspace.agent("bob"),
    ):
        with pytest.raises(kind) as refused:
            call()
        assert str(file.parent) in str(refused.value)
        assert "open a new one" in refused.value.remedy


@pytest.mark.parametrize(("way", "kind"), WAYS)
def test_it_is_noticed_within_a_transaction(ann, file, way, kind):
    store = ann._homes.store

    def lose():
        with store.transaction(publishes=True) as tx:
            way(file)
            tx.append("", 0, "bob", ())

    with pytest.raises(kind):
        lose()
    with pytest.raises(kind):
        store.members()


@pytest.mark.parametrize(("way", "kind"), WAYS)
def test_it_is_noticed_in_a_folder_in_which_nothing_had_happened(ann, file, way, kind, monkeypatch):
    """Then one look at the folder is enough, until something happens there."""
    monkeypatch.setattr(sqlite_file, "TICK_NS", -1)
    store = ann._homes.store
    store._connections.file.look()
    looks = []
    opened = store._connections.file
    monkeypatch.setattr(opened, "look", looked(opened.look, looks))
    for number in range(10):
        ann.write("plan.md", str(number))
    assert not looks
    times = file.parent.stat()
    way(file)
    if file.parent.exists():  # as one who puts back a whole folder does
        os.utime(file.parent, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(kind):
        ann.write("plan.md", "lost")
    assert looks


def test_a_folder_that_has_just_changed_is_no_proof(ann, file):
    """Within one tick of its clock two changes bear the same time."""
    (file.parent / "other").touch()
    store = ann._homes.store
    store._connections.file.look()
    assert store._connections.file._settled == (0, 0)


@pytest.mark.parametrize(("way", "kind"), WAYS)
def test_who_only_reads_notices_within_a_second(ann, file, way, kind, monkeypatch):
    now = [1000.0]
    for module in (sqlite, sqlite_connections, sqlite_file, sqlite_transaction):
        monkeypatch.setattr(module, "monotonic", lambda: now[0])
    store = ann._homes.store
    store._connections.file.look_at = now[0]
    assert ann.read("plan.md").text == "one"
    way(file)
    looks = []
    opened = store._connections.file
    monkeypatch.setattr(opened, "look", looked(opened.look, looks))
    for _ in range(1000):
        assert ann.read("plan.md").text == "one", "a hit, that costs no look"
    assert not looks
    now[0] += LOOK_S
    for _ in range(2):
        with pytest.raises(kind):
            ann.read("plan.md")


def looked(look, looks):
    def counted(**options):
        looks.append(options)
        look(**options)

    return counted


def test_a_log_without_its_index_is_noticed_at_the_next_look(ann, file):
    """Whoever opens the file then makes another index, and sees none of the locks of this one."""
    (file.parent / "team.db-shm").unlink()
    store = ann._homes.store
    with pytest.raises(StoreReplaced, match=r"team\.db-shm"):
        store.since(store.head())


def test_two_teams_do_not_arise(ann, file):
    remove(file)
    with Workspace(f"sqlite:///{file}") as other:
        eve = other.agent("eve")
        assert eve.list() == []
        eve.write("plan.md", "by eve")
        with pytest.raises(StoreFault):
            ann.write("plan.md", "by ann", overwrite=True)
        ann.workspace.close()
        eve.write("plan.md", "by eve again")
        assert other.check() == []
    with Workspace(f"sqlite:///{file}") as after:
        assert after.agent("bob").read("plan.md").text == "by eve again"


def test_one_that_came_back_is_opened_anew(ann, file):
    away = file.with_name("away.db")
    file.rename(away)
    with pytest.raises(StoreMissing):
        ann.write("plan.md", "two")
    away.rename(file)
    with pytest.raises(StoreMissing):
        ann.write("plan.md", "two")
    ann.workspace.close()
    with Workspace(f"sqlite:///{file}") as after:
        assert after.agent("ann").read("plan.md").text == "one"
        assert after.check() == []


LOSES_ITS_LOG = """
import sys
from pathlib import Path
from coherence import Workspace
file = Path(sys.argv[1])
workspace = Workspace(f"sqlite:///{file}")
ann = workspace.agent("ann")
ann.write("lost.md", "is in the log that goes")
file.with_name("team.db-wal").unlink()
file.with_name("team.db-shm").unlink()
print("gone", flush=True)
sys.stdin.readline()
if sys.argv[2] == "write":
    try:
        ann.write("plan.md", "by ann", overwrite=True)
    except Exception as error:
        print(type(error).__name__, flush=True)
workspace.close()
"""


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("way", ["close", "write"])
def test_a_process_that_lost_its_log_leaves_the_next_one_alone(file, way):
    """It would write its own log into the file as it closes, and remove the other's."""
    file.parent.mkdir()
    with Workspace(f"sqlite:///{file}") as workspace:
        workspace.agent("eve").write("plan.md", "one")
    command = [sys.executable, "-c", LOSES_ITS_LOG, str(file), way]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as loser:
        assert loser.stdout.readline() == "gone\n"
        with Workspace(f"sqlite:///{file}") as workspace:
            workspace.agent("eve").write("plan.md", "two" * 5000, overwrite=True)
        said, _ = loser.communicate("\n", 60)
    assert loser.returncode == 0
    assert said == ("StoreReplaced\n" if way == "write" else "")
    with Workspace(f"sqlite:///{file}") as workspace:
        assert workspace.agent("eve").read("plan.md").text == "two" * 5000
        assert workspace.check() == []


# Names of the file.


@pytest.mark.parametrize("readonly", [False, True])
def test_a_second_hard_link_is_refused(ann, file, readonly):
    link = file.with_name("link.db")
    os.link(file, link)
    for name in (file, link):
        with pytest.raises(StoreLinked) as refused:
            SqliteStore(name, readonly=readonly)
        assert "2 names" in str(refused.value)
        assert "copy" in refused.value.remedy
    assert str(ann.write("plan.md", "two")) == "plan.md@2", "what is open stays open"
    link.unlink()
    SqliteStore(file, readonly=readonly).close()


def test_a_symbolic_link_is_the_file_it_leads_to(ann, file):
    link = file.parent.with_name("link.db")
    link.symlink_to(file)
    with Workspace(f"sqlite:///{link}") as workspace:
        bob = workspace.agent("bob")
        assert bob.read("plan.md").text == "one"
        bob.write("plan.md", "two")
        assert ann.read("plan.md").text == "two"
        assert workspace.identity == ann.workspace.identity
        other = file.with_name("other.db")
        SqliteStore(other).close()
        link.unlink()
        link.symlink_to(other)
        with pytest.raises(StoreReplaced):
            bob.write("plan.md", "three")
    assert ann.read("plan.md").text == "two"


def test_a_relative_path_is_that_of_the_opening(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Workspace("sqlite:///team.db") as workspace:
        ann = workspace.agent("ann")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        ann.write("plan.md", "one")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_what_is_no_file(tmp_path):
    for create in (False, True):
        for path in (tmp_path, tmp_path / "none" / "team.db"):
            with pytest.raises(StoreMissing):
                SqliteStore(path, create=create)
    with pytest.raises(StoreMissing):
        SqliteStore(tmp_path / "team.db", create=False)
    (tmp_path / "file").touch()
    with pytest.raises(StoreMissing):
        SqliteStore(tmp_path / "file" / "team.db", create=False)
    assert os.listdir(tmp_path) == ["file"]
    with closing(SqliteStore(tmp_path / "team.db")) as store:
        assert list(store.check()) == []


class Refused:
    """A connection whose switch to the log another connection has made SQLite refuse."""

    def __init__(self, db: sqlite3.Connection, times: int, code: int) -> None:
        self._db, self.times, self._code = db, times, code

    def execute(self, statement: str) -> sqlite3.Cursor:
        if "journal_mode" in statement and self.times:
            self.times -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = self._code
            raise error
        return self._db.execute(statement)


def test_one_of_two_processes_that_switch_a_new_file_at_once_tries_again(tmp_path):
    file = SqliteFile(tmp_path / "team.db", create=True, readonly=False)
    db = file.connect()
    refused = Refused(db, 2, sqlite3.SQLITE_BUSY)
    file.write_ahead(refused)
    assert refused.times == 0
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    with pytest.raises(sqlite3.OperationalError):
        file.write_ahead(Refused(db, 1, sqlite3.SQLITE_IOERR))
    file.close()
