"""A backup of every store: whole, of one moment, a store of its own; and put back under others."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from coherence import Conflict, Fenced, Lazy, Served, Workspace
from coherence.errors import (
    BadArgument,
    PathTaken,
    StoreCorrupt,
    StoreFault,
    StoreFull,
    StoreLinked,
    StoreMissing,
    StoreNewer,
    StoreReplaced,
    UnknownArtifact,
)
from coherence.messages import Acquire
from coherence.stores import sqlite_copy
from coherence.stores.backup import unpacked
from coherence.stores.opening import open_store, put_back
from coherence.stores.port import Place
from coherence.stores.schema import MIGRATIONS
from coherence.stores.sqlite_transaction import change

DATA = Path(__file__).with_name("data")
STORES = ["memory", "sqlite", "postgres"]
SHARED = STORES[1:]
TEXT = "".join(f"line {number}\n" for number in range(200))


@pytest.fixture
def url(request, tmp_path):
    """Where a new store is."""
    kind = request.param
    if kind == "postgres":
        return request.getfixturevalue("postgres").fresh()
    return "memory://" if kind == "memory" else f"sqlite:///{tmp_path}/team.db"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "backup.db"


def fill(workspace):
    """All kinds of things, and what each version holds."""
    ann, bob = workspace.agent("ann"), workspace.agent("bob")
    truth = {}
    for version in range(1, 6):
        truth["plan.md", version] = TEXT + f"version {version}\n"
        ann.write("plan.md", truth["plan.md", version])
    bob.read("plan.md")
    truth["code", 1] = bytes(range(256)) * 20
    bob.write("code", truth["code", 1])
    truth["gone.md", 1], truth["gone.md", 2] = "text", b""
    bob.write("gone.md", "text")
    bob.delete("gone.md")
    truth["\u8a08\u753b/a'b.md", 1] = "\U0001f642"
    ann.write("\u8a08\u753b/a'b.md", "\U0001f642")
    workspace.pin("plan.md@2")
    return truth


def contents(store):
    return {
        (name, entry.version): store.read(name, entry.version)[1]
        for name in store.names(deleted=True)
        for entry in store.history(name)
    }


@pytest.mark.parametrize("url", STORES, indirect=True)
def test_it_is_a_store_that_holds_all(url, file):
    with Workspace(url) as workspace:
        truth = fill(workspace)
        workspace.agent("ann")._session.ask("plan.md", Acquire(None))
        assert workspace.row("plan.md").row.state.owner == "ann"
        workspace.backup(file)
        names = workspace.names(), workspace.names(deleted=True)
        histories = [
            [(entry.version, entry.author, entry.pinned) for entry in workspace.history(name)]
            for name in names[1]
        ]
        identity, head = workspace.identity, workspace._site.store.head()
    assert os.listdir(file.parent).count("backup.db") == 1
    assert not [name for name in os.listdir(file.parent) if name.startswith((".", "backup.db-"))]
    with Workspace(f"sqlite:///{file}") as kept:
        assert kept.check() == []
        assert contents(kept._site.store) == truth
        assert (kept.names(), kept.names(deleted=True)) == names
        assert [
            [(entry.version, entry.author, entry.pinned) for entry in kept.history(name)]
            for name in names[1]
        ] == histories
        assert (kept.identity == identity) == (url != "memory://")
        assert kept._site.store.head().seq == head.seq
        assert kept._site.store.head().generation not in (0, head.generation)
        assert kept.members() == []
        home = kept.row("plan.md").row
        assert (home.state.owner, home.state.sharers, home.timers) == ("", (), ())
        entry = kept.history("plan.md")[-1]
        assert abs(entry.at - os.stat(file).st_mtime) < 3600, "by the clock on the wall"
        eve = kept.agent("eve")
        eve.update("plan.md", lambda text: text + "more")
        assert eve.read("plan.md").version == 6


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("url", STORES, indirect=True)
def test_it_is_of_one_moment_whoever_writes(url, file, tmp_path):
    """Each artifact's history is the beginning of what was acknowledged, and no writer waited."""
    spaces = [Workspace(url) for _ in range(1 if url == "memory://" else 2)]
    stop, acknowledged, failed = threading.Event(), {}, []
    rounds = {name: threading.Event() for name in "abc"}

    def write(number, name):
        agent = spaces[number % len(spaces)].agent(name)
        mine = acknowledged[name] = []
        try:
            while not stop.is_set():
                text = f"{name} {len(mine) + 1} " * 300
                agent.write(name, text)
                mine.append(text)
                if len(mine) == 20:
                    rounds[name].set()
        except BaseException as error:
            failed.append(error)

    threads = [
        threading.Thread(target=write, args=(number, name)) for number, name in enumerate(rounds)
    ]
    for thread in threads:
        thread.start()
    for event in rounds.values():
        assert event.wait(60)
    taken = []
    try:
        for number in range(4):
            before = {name: len(mine) for name, mine in acknowledged.items()}
            target = tmp_path / f"backup-{number}.db"
            spaces[0].backup(target)
            after = {name: len(mine) + 1 for name, mine in acknowledged.items()}
            taken.append((target, before, after))
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
        for space in spaces:
            space.close()
    assert not failed
    for target, before, after in taken:
        with closing(open_store(f"sqlite:///{target}", create=False, readonly=True)) as store:
            assert list(store.check()) == []
            for name, mine in acknowledged.items():
                newest = store.row(name).row.state.version
                assert before[name] <= newest <= after[name]
                kept = contents(store)
                for version in range(max(1, newest - 63), newest + 1):
                    assert kept[name, version] == mine[version - 1]


def test_writers_of_a_file_that_is_copied_do_not_make_it_begin_again(tmp_path, file):
    """Each step would otherwise see that the file has changed since the one before."""
    with Workspace(f"sqlite:///{tmp_path}/team.db") as workspace:
        ann = workspace.agent("ann")
        for number in range(200):
            ann.write(f"n{number}.md", os.urandom(8000))
        steps = []

        def write_between(done, total):
            steps.append(done)
            writer = threading.Thread(target=ann.write, args=("n0.md", os.urandom(8000)))
            writer.start()
            writer.join(60)
            assert not writer.is_alive(), "a backup holds nobody up"

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(sqlite_copy, "PAGES", 64)
            workspace.backup(file, progress=write_between)
        assert len(steps) > 5
        assert steps == sorted(steps), "it began again"
    with Workspace(f"sqlite:///{file}") as kept:
        assert kept.check() == []
        assert [entry.version for entry in kept.history("n0.md")] == [1]


# The file.


@pytest.fixture
def team(tmp_path):
    with Workspace(f"sqlite:///{tmp_path}/team.db") as workspace:
        fill(workspace)
        yield workspace


def test_a_file_that_is_there_is_replaced_only_on_demand(team, file):
    file.write_text("precious")
    with pytest.raises(PathTaken):
        team.backup(file)
    assert file.read_text() == "precious"
    team.backup(file, force=True)
    with Workspace(f"sqlite:///{file}") as kept:
        assert kept.check() == []
        assert sorted(os.listdir(file.parent))[:2] == ["backup.db", "backup.db-shm"]
        # A store in use keeps its log beside the file, which would then be beside another.
        with pytest.raises(PathTaken, match="in use"):
            team.backup(file, force=True)
    (file.parent / "link.db").symlink_to(file.parent / "none")
    with pytest.raises(PathTaken):
        team.backup(file.parent / "link.db")


def test_it_is_seen_by_those_who_see_the_store(team, tmp_path, file):
    (tmp_path / "team.db").chmod(0o600)
    team.backup(file)
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_store_is_no_backup_of_itself(team, tmp_path):
    for force in (False, True):
        for path in (tmp_path / "team.db", tmp_path / "." / "team.db"):
            with pytest.raises(PathTaken):
                team.backup(path, force=force)
    assert team.check() == []


def test_a_folder_that_is_not_there(team, tmp_path):
    with pytest.raises(StoreMissing):
        team.backup(tmp_path / "none" / "backup.db")


def test_what_cannot_be_written_leaves_nothing_behind(team, file):
    def full(done, total):
        raise sqlite3_error(sqlite3.SQLITE_FULL)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(StoreFull):
        team.backup(file, progress=full)
    with pytest.raises(KeyboardInterrupt):
        team.backup(file, progress=stop)
    assert not [name for name in os.listdir(file.parent) if "backup" in name]
    team.agent("ann").write("plan.md", "goes on", overwrite=True)


def sqlite3_error(code):
    error = sqlite3.OperationalError("on purpose")
    error.sqlite_errorcode = code
    return error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
def test_a_disk_that_is_full(team, tmp_path, monkeypatch):
    """By a limit on the size of files, which ends a copy half way."""
    import resource
    import signal

    team.agent("ann").write("large", os.urandom(300_000))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StoreFault):
            team.backup(tmp_path / "backup.db")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert not [name for name in os.listdir(tmp_path) if "backup" in name]
    team.backup(tmp_path / "backup.db")


def test_a_closed_workspace_has_no_backup(tmp_path, file):
    for url in ("memory://", f"sqlite:///{tmp_path}/team.db"):
        workspace = Workspace(url)
        workspace.close()
        with pytest.raises(Exception, match="closed"):
            workspace.backup(file)
        assert not file.exists()


# Putting back.


def restore(file, url):
    with unpacked(file) as backup:
        put_back(backup, url)


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_a_store_becomes_what_it_was(url, file):
    with Workspace(url) as workspace:
        truth = fill(workspace)
        workspace.backup(file)
        identity, before = workspace.identity, workspace._site.store.head()
        ann = workspace.agent("ann")
        ann.write("plan.md", "lost")
        ann.write("lost.md", "lost")
    restore(file, url)
    with Workspace(url) as workspace:
        store = workspace._site.store
        assert workspace.identity == identity
        assert contents(store) == truth
        assert workspace.check() == []
        assert workspace.members() == []
        assert store.head().seq == before.seq
        assert store.head().generation != before.generation
        assert len(store.since(Place(0)).entries) == before.seq
        eve = workspace.agent("eve")
        assert str(eve.write("lost.md", "again")) == "lost.md@1"
        with eve.edit("plan.md") as draft:
            draft.text += "more"
        assert draft.ref.version == 6


@pytest.mark.parametrize("url", SHARED, indirect=True)
@pytest.mark.parametrize("there", [False, True], ids=["new", "in place of another"])
def test_a_store_becomes_what_another_was(url, file, there):
    """Its identity too: the refs that hold are those of the backup."""
    with Workspace() as workspace:
        truth = fill(workspace)
        workspace.backup(file)
    if there:
        with Workspace(url) as workspace:
            workspace.agent("eve").write("other.md", "of another store")
    restore(file, url)
    with Workspace(url) as workspace, Workspace(f"sqlite:///{file}") as kept:
        assert contents(workspace._site.store) == truth
        assert workspace.check() == []
        assert workspace.identity == kept.identity
        workspace.agent("eve").write("new.md", "goes on")


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_processes_that_are_running_meet_another_history(url, file):
    """Nobody is told that nothing has changed, and no work is lost without a word."""
    policy = Lazy(grant_lease=60.0, validity=60.0)
    with Workspace(url, policy=policy) as one, Workspace(url, policy=policy) as two:
        ann, bob = one.agent("ann"), two.agent("bob")
        ann.write("plan.md", TEXT + "1")
        two.backup(file)
        for number in range(2, 5):
            ann.write("plan.md", TEXT + f"lost {number}")
        two._site.follower.fetch()
        lost = bob.read("plan.md").ref
        assert lost.version == 4

        def draft():
            with ann.edit("plan.md") as draft:
                draft.text += " and more"
                restore(file, url)
                two._site.follower.fetch()
                assert bob.read("plan.md").text == TEXT + "1"
                for number in range(2, 5):
                    bob.write("plan.md", TEXT + f"new {number}")

        with pytest.raises((Conflict, Fenced)):
            draft()
        assert bob.read("plan.md").text == TEXT + "new 4"
        again = bob.read("plan.md", have=lost)
        assert again.served is not Served.UNCHANGED
        assert again.text == TEXT + "new 4"
        one._site.follower.fetch()
        assert ann.read("plan.md").text == TEXT + "new 4"
        ann.write("plan.md", TEXT + "by ann")
        assert one.check() == []


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_a_process_is_told_that_the_store_is_another_now(url, file):
    with Workspace() as other:
        other.agent("eve").write("plan.md", "of another")
        other.backup(file)
    with Workspace(url) as workspace:
        ann = workspace.agent("ann")
        ann.write("plan.md", "one")
        ann.read("plan.md")
        restore(file, url)
        with pytest.raises(StoreReplaced):
            workspace._site.follower.fetch()
        with pytest.raises(StoreReplaced):
            workspace._site.follower.fetch()


def bells(store):
    return store._connections.query("SELECT port FROM bell")


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_whoever_waits_hears_that_the_store_was_put_back(url, file):
    with Workspace(url) as workspace:
        fill(workspace)
        workspace.backup(file)
        woken = threading.Event()
        store = workspace._site.store
        head = store.head()

        def wait():
            while not store.since(head).foreign:
                store.wait(head.seq, 60.0)
            woken.set()

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        ready = threading.Event()
        while not ready.wait(0.01):
            # Until it is known to others where it waits.
            if not url.startswith("sqlite:") or bells(store):
                ready.set()
        restore(file, url)
        assert woken.wait(60)
        thread.join(60)


def test_an_id_of_one_artifact_that_is_anothers_after_a_restore(tmp_path):
    """By SQLite's own means, under a process that has read the artifact."""
    path, old = tmp_path / "team.db", tmp_path / "old.db"
    with Workspace(f"sqlite:///{path}") as workspace:
        ann = workspace.agent("ann")
        ann.write("a.md", "a")
        copy(path, old)
        ann.write("b.md", "b")
        ann.write("b.md", "b again")
        assert ann.read("b.md", version=1).text == "b"
        copy(old, path)
        with Workspace(f"sqlite:///{path}") as other:
            other.agent("carl").write("c.md", "secret")
            for look in (lambda: ann.read("b.md", version=1), lambda: ann.history("b.md")):
                with pytest.raises(UnknownArtifact):
                    look()
            assert workspace._site.store.read("b.md", 1) is None
            assert str(ann.write("b.md", "b anew", expect=0)) == "b.md@1"
            assert other.agent("carl").read("c.md", version=1).text == "secret"
            assert other.check() == []


def copy(source, target):
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as two:
        one.backup(two)


def test_what_is_running_goes_on_being_rung(tmp_path, file):
    url = f"sqlite:///{tmp_path}/team.db"
    with Workspace(url) as workspace:
        fill(workspace)
        workspace.backup(file)
        connections = workspace._site.store._connections
        change(connections, "INSERT INTO bell VALUES (?, ?)", 9, 4e9)
        restore(file, url)
        assert bells(workspace._site.store) == [(9,)]


def test_a_store_that_is_damaged_is_healed(tmp_path, file):
    path = tmp_path / "team.db"
    with Workspace(f"sqlite:///{path}") as workspace:
        truth = fill(workspace)
        workspace.backup(file)
    data = bytearray(path.read_bytes())
    data[3 * 4096 :] = os.urandom(len(data) - 3 * 4096)
    path.write_bytes(data)
    with pytest.raises(StoreFault):
        restore(path, f"sqlite:///{tmp_path}/other.db")
    restore(file, f"sqlite:///{path}")
    with Workspace(f"sqlite:///{path}") as workspace:
        assert workspace.check() == []
        assert contents(workspace._site.store) == truth


def test_what_is_no_store_is_left_alone(tmp_path, team, file):
    team.backup(file)
    text = tmp_path / "notes.txt"
    text.write_text("precious " * 1000)
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE mine (x)")
    newer = tmp_path / "newer.db"
    shutil.copy(file, newer)
    with closing(sqlite3.connect(newer)) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    link = tmp_path / "link.db"
    for path, refused in ((text, StoreCorrupt), (other, StoreCorrupt), (newer, StoreNewer)):
        before = path.read_bytes()
        with pytest.raises(refused):
            restore(file, f"sqlite:///{path}")
        assert path.read_bytes() == before
        with pytest.raises(refused):
            restore(path, f"sqlite:///{tmp_path}/new.db")
        assert not (tmp_path / "new.db").exists()
    with pytest.raises(BadArgument):
        restore(file, f"sqlite:///{file}")
    os.link(file, link)
    with pytest.raises(StoreLinked):
        restore(link, f"sqlite:///{tmp_path}/new.db")


def test_a_backup_of_an_older_release(tmp_path):
    url = f"sqlite:///{tmp_path}/team.db"
    old = tmp_path / "old.db"
    shutil.copy(DATA / "schema-1.db", old)
    restore(old, url)
    with Workspace(url) as workspace:
        assert workspace.check() == []
        assert workspace.names() == ["code.bin", "held.md", "plan.md"]
        assert workspace.row("held.md").row.state.owner == ""
        assert workspace.members() == []
        with workspace.agent("eve").edit("held.md") as draft:
            draft.text += "more"


def test_grants_go_on_from_a_number_that_nobody_knows(tmp_path, file):
    """Also where one backup is put back twice."""
    url = f"sqlite:///{tmp_path}/team.db"
    epochs = set()
    with Workspace(url) as workspace:
        fill(workspace)
        workspace.backup(file)
        for _ in range(3):
            restore(file, url)
            epochs.add(workspace.row("plan.md").row.state.epoch)
    assert len(epochs) == 3
