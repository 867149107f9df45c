"""The schema of a SQLite file: older ones are brought up to date, all others are told apart."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from coherence import Lazy, Workspace
from coherence.cli import app
from coherence.contents import TOMBSTONE
from coherence.errors import StoreCorrupt, StoreMissing, StoreNewer, StoreOlder
from coherence.stores import schema
from coherence.stores.port import Place
from coherence.stores.schema import APPLICATION_ID, MIGRATIONS
from coherence.stores.sqlite import SqliteStore

DATA = Path(__file__).with_name("data")
#: When each file was written, by its store's clock.
WRITTEN_S = 1795824970.0
WRITTEN_2_S = 1795913039.0
#: The sizes of the versions of plan.md in the file of schema 2.
SIZES = (630, 634, 639, 646, 6)


def numbered(start):
    return "".join(f"line {start if i == 3 else i}\n" for i in range(100))


@pytest.fixture
def old(tmp_path):
    """A copy of the file that release wrote: of schema 1, in use when its processes were killed."""
    shutil.copy(DATA / "schema-1.db", tmp_path / "team.db")
    return tmp_path / "team.db"


def opened(file, **settings):
    return SqliteStore(file, clock=lambda: WRITTEN_S, **settings)


def test_a_file_of_schema_1_is_read_whole(old):
    with closing(opened(old)) as store:
        assert list(store.check()) == []
        kept = {
            (name, entry.version): (entry, store.read(name, entry.version)[1])
            for name in store.names(deleted=True)
            for entry in store.history(name)
        }
        assert {key: len(content) for key, (_, content) in kept.items()} == {
            **{("plan.md", version): 797 for version in range(1, 6)},
            ("notes/old.md", 1): 9,
            ("notes/old.md", 2): 0,
            ("code.bin", 1): 1024,
            ("code.bin", 2): 700,
            ("held.md", 1): 3,
        }
        texts = [kept["plan.md", version][1].splitlines() for version in range(1, 6)]
        assert len({tuple(text) for text in texts}) == 5, "differences to each other"
        assert kept["notes/old.md", 1][1] == "gone soon"
        assert kept["code.bin", 1][1] == bytes(range(256)) * 4
        assert [key for key, (entry, _) in kept.items() if entry.pinned] == [("plan.md", 2)]
        assert {entry.author for entry, _ in kept.values()} == {"ann", "bob"}
        assert store.names() == ["code.bin", "held.md", "plan.md"]
        assert [(member.agent, member.session) for member in store.members()] == [
            ("ann", 1),
            ("bob", 2),
        ]
        held = store.row("held.md").row
        assert (held.state.owner, held.state.epoch) == ("ann", 1)
        assert [waiter.cache for waiter in held.state.queue] == ["bob"]
        assert dict(held.timers)["grant"] > WRITTEN_S
        changes = store.since(Place(0))
        assert [change.seq for change in changes.entries] == list(range(1, 16))
        assert len({change.number for change in changes.entries}) == 15
        assert changes.place.generation


def test_a_file_of_schema_2_is_read_whole(tmp_path):
    """Its two processes were killed: ann held a grant for which bob waited."""
    file = shutil.copy(DATA / "schema-2.db", tmp_path / "team.db")
    before = lines_of(file)
    with closing(SqliteStore(file, clock=lambda: WRITTEN_2_S)) as store:
        assert list(store.check()) == []
        assert store.identity == "31987e046074fbf1"
        history = {name: store.history(name) for name in store.names(deleted=True)}
        kept = {
            (name, entry.version): store.read(name, entry.version)[1]
            for name, entries in history.items()
            for entry in entries
        }
        assert {key: len(content) for key, content in kept.items()} == {
            **{("plan.md", number): size for number, size in enumerate(SIZES, start=1)},
            ("code.bin", 1): 1024,
            ("code.bin", 2): 800,
            ("notes/ü.md", 1): 6,
            ("notes/old.md", 1): 9,
            ("notes/old.md", 2): 0,
            ("again.md", 1): 3,
            ("again.md", 2): 0,
            ("again.md", 3): 3,
            ("held.md", 1): 3,
        }
        assert {
            (entry.base, entry.overwrite, entry.reason)
            for entries in history.values()
            for entry in entries
        } == {(0, False, "")}, "not recorded then"
        assert store.refusals() == store.tallies() == []
        assert [member.agent for member in store.members()] == ["ann", "bob", "cat"]
        held = store.row("held.md").row
        assert (held.state.owner, [waiter.cache for waiter in held.state.queue]) == ("ann", ["bob"])
        assert store.agree("other") == "'*' invalidates, grants for 3600.0"
        lines = store.since(Place(0)).entries
        assert [(line.seq, line.number, line.origin) for line in lines] == before
        assert store.since(Place(3, lines[2].number)).entries == lines[3:]


def lines_of(file):
    """The lines of the log, before the migration."""
    with closing(sqlite3.connect(file)) as db:
        return db.execute("SELECT seq, number, origin FROM log ORDER BY seq").fetchall()


@pytest.mark.parametrize("kept", sorted(DATA.glob("schema-*.db")), ids=lambda path: path.stem)
def test_a_file_of_every_older_schema_is_read_and_written(kept, tmp_path):
    file = shutil.copy(kept, tmp_path / "team.db")
    with Workspace(opened(file)) as workspace:
        assert workspace.check() == []
        agent = workspace.agent("eve")
        for name in workspace.names():
            view = agent.read(name)
            entries = workspace.history(name)
            assert view.version == entries[-1].version
            for entry in entries:
                if entry.handle != TOMBSTONE:
                    agent.read(name, version=entry.version)
        assert str(agent.write("new.md", "text")) == "new.md@1"
        assert workspace.check() == []
    assert stamp(file) == len(MIGRATIONS)


def test_work_goes_on_in_a_file_of_schema_1(old):
    now = WRITTEN_S
    store = SqliteStore(old, clock=lambda: now)
    with Workspace(store, policy=Lazy(grant_lease=5.0)) as workspace:
        eve = workspace.agent("eve")
        assert str(eve.update("plan.md", lambda text: text + "more\n").ref) == "plan.md@6"
        assert str(eve.write("notes/old.md", "back")) == "notes/old.md@3"
        ann = workspace.agent("ann")
        ann.read("held.md")
        assert workspace.row("held.md").row.state.owner == "ann"
        now += 5.0  # the lease that ann's process held, then bob has it, who waits
        eve.read("held.md")
        assert workspace.row("held.md").row.state.owner == "bob"
        now += 5.0  # and his
        with ann.edit("held.md") as draft:
            draft.text += "\ntwo"
        assert [entry.author for entry in workspace.history("held.md")] == ["ann", "ann"]
        assert workspace.check() == []


def test_a_struct_is_changed_by_a_function(old, monkeypatch):
    """How CONTRIBUTING says that a changed struct migrates: each row by hand, all or nothing."""

    def rename_author(db):
        for key, data in db.execute("SELECT id, home FROM artifact").fetchall():
            row = msgspec.msgpack.decode(data)
            row[1]["owner"] = row[1]["owner"].upper()
            db.execute(
                "UPDATE artifact SET home = ? WHERE id = ?", (msgspec.msgpack.encode(row), key)
            )

    def fail(db):
        rename_author(db)
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", (*MIGRATIONS, fail))
        with pytest.raises(ZeroDivisionError):
            opened(old)
    assert stamp(old) == 1, "all steps are one transaction"
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, rename_author))
    with closing(opened(old)) as store:
        assert store.row("held.md").row.state.owner == "ANN"
        assert list(store.check()) == []
    assert stamp(old) == len(MIGRATIONS) + 1


def stamp(file, to=None, application=None):
    """What the file's header says, after writing it anew."""
    with closing(sqlite3.connect(file)) as db:
        if to is not None:
            db.execute(f"PRAGMA user_version = {to}")
        if application is not None:
            db.execute(f"PRAGMA application_id = {application}")
        return db.execute("PRAGMA user_version").fetchone()[0]


@pytest.fixture
def file(tmp_path):
    """A file of this release, closed."""
    with Workspace(f"sqlite:///{tmp_path}/new.db") as workspace:
        workspace.agent("ann").write("plan.md", "one")
    return tmp_path / "new.db"


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize(
    ("header", "refused"),
    [
        ({"to": len(MIGRATIONS) + 1}, StoreNewer),
        ({"to": 2**31 - 1}, StoreNewer),
        ({"to": 0}, StoreCorrupt),
        ({"to": -1}, StoreCorrupt),
        ({"to": -(2**31)}, StoreCorrupt),
        ({"application": 0}, StoreCorrupt),
        ({"application": 7}, StoreCorrupt),
        ({"to": 0, "application": 0}, StoreCorrupt),
    ],
)
def test_a_stamp_that_is_not_of_this_release(file, header, refused, readonly):
    stamp(file, **header)
    before = file.read_bytes()
    with pytest.raises(refused):
        SqliteStore(file, readonly=readonly)
    assert file.read_bytes() == before


def test_a_stamp_of_an_older_release_on_newer_tables(file):
    stamp(file, 1)
    with pytest.raises(StoreCorrupt):
        SqliteStore(file)
    assert stamp(file) == 1


def test_who_only_looks_changes_no_schema(old):
    before = old.read_bytes()
    with pytest.raises(StoreOlder, match="schema 1") as refused:
        SqliteStore(old, readonly=True)
    assert "upgrade" in refused.value.remedy
    assert old.read_bytes() == before


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize(
    ("data", "refused"),
    [
        (bytes(4096), StoreCorrupt),
        (b"SQLite format 3\0", StoreCorrupt),
        (b"text, and no database" * 300, StoreCorrupt),
    ],
)
def test_a_file_that_is_no_database(tmp_path, data, refused, readonly):
    file = tmp_path / "team.db"
    file.write_bytes(data)
    with pytest.raises(refused):
        SqliteStore(file, readonly=readonly)
    assert file.read_bytes() == data


def test_an_empty_file(tmp_path):
    """Nothing is in it to look at; whoever writes makes a store of it."""
    file = tmp_path / "team.db"
    file.touch()
    with pytest.raises(StoreMissing):
        SqliteStore(file, readonly=True)
    SqliteStore(file).close()
    SqliteStore(file, readonly=True).close()


@pytest.mark.parametrize("readonly", [False, True])
def test_a_database_of_another_program(tmp_path, readonly):
    file = tmp_path / "team.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute("CREATE TABLE mine (x)")
    with pytest.raises(StoreCorrupt, match="another program"):
        SqliteStore(file, readonly=readonly)


def test_tables_that_are_not_there(tmp_path):
    file = tmp_path / "team.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        db.execute("CREATE TABLE log (seq)")
    with pytest.raises(StoreCorrupt):
        SqliteStore(file)


def test_a_process_notices_that_a_newer_release_has_changed_the_tables(file):
    with Workspace(f"sqlite:///{file}") as workspace, Workspace(f"sqlite:///{file}") as idle:
        ann, bob = workspace.agent("ann"), idle.agent("bob")
        bob.read("plan.md")
        # As a newer release would: in a transaction of its own.
        stamp(file, len(MIGRATIONS) + 1)
        with pytest.raises(StoreNewer):
            ann.write("plan.md", "two", overwrite=True)
        with pytest.raises(StoreNewer):
            bob.read("plan.md")
        with pytest.raises(StoreNewer):
            bob.read("plan.md")
        assert workspace._site.store.row("plan.md").row.state.version == 1
        stamp(file, len(MIGRATIONS))


def test_a_process_notices_that_the_file_was_put_back_to_an_older_schema(file, old):
    with closing(SqliteStore(file)) as store:
        stamp(file, 1)
        with pytest.raises(StoreOlder) as refused, store.transaction(publishes=True):
            pass
        assert "open it again" in refused.value.remedy
        stamp(file, len(MIGRATIONS))


def test_all_that_look_from_the_command_line_check_the_schema(file, old):
    stamp(file, len(MIGRATIONS) + 1)
    for words in (["status"], ["log"], ["show", "plan.md"], ["check"], ["export", "out"]):
        for which, code in ((file, "store-newer"), (old, "store-older")):
            done = CliRunner().invoke(app, [*words, "--store", f"sqlite:///{which}"])
            assert done.exit_code == 3, done.output
            assert code in done.stderr
    assert not Path("out").exists()
    done = CliRunner().invoke(app, ["upgrade", "--store", f"sqlite:///{old}"])
    assert "up to date" in done.stdout
    assert CliRunner().invoke(app, ["status", "--store", f"sqlite:///{old}"]).exit_code == 0
