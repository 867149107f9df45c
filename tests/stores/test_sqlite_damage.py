"""A damaged SQLite file: every answer is right or a typed error, and `check` lists damage."""

from __future__ import annotations

import logging
import random
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from soaking import times

from coherence import Conflict, Workspace
from coherence.errors import StoreCorrupt, StoreFault, UnknownArtifact, UnknownVersion
from coherence.messages import Acquire
from coherence.stores.opening import open_store
from coherence.stores.promises import refused
from coherence.stores.records import Tally
from coherence.stores.sqlite import SqliteStore

TEXTS = [f"n{number}.md" for number in range(5)]
VERSIONS = 7
PAGE_BYTES = 4096


class Wrong(AssertionError):
    """A damaged file was answered by what is neither right nor a typed error."""


def make(file: Path) -> dict[tuple[str, int], str | bytes | None]:
    """A store of a few artifacts, deletions, differences, pins; what each version holds."""
    chance = random.Random(3)
    truth: dict[tuple[str, int], str | bytes | None] = {}
    with Workspace(f"sqlite:///{file}") as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        for name in TEXTS:
            text = ""
            for version in range(1, VERSIONS + 1):
                text += f"line of {name} {version} {'lorem ipsum ' * chance.randrange(60)}\n"
                ann.write(name, text)
                truth[name, version] = text
            bob.read(name)
        ann.write("bin", b"\x00\xff" * 500)
        truth["bin", 1] = b"\x00\xff" * 500
        ann.write("gone.md", "text")
        ann.delete("gone.md")
        truth["gone.md", 1], truth["gone.md", 2] = "text", None
        workspace.pin(f"{TEXTS[0]}@2")
        # Somebody held a grant and somebody waited when the process was killed.
        requester = ann._session
        requester.ask(TEXTS[1], Acquire(None))
        bob._session.ask(TEXTS[1], Acquire(60.0))
        for session in (requester, bob._session):
            session.leave = lambda: None
        store = open_store(f"sqlite:///{file}")
        store.tally([Tally("2026-11-29", agent, TEXTS[0], hits=7) for agent in ("ann", "bob")])
        store.refuse(refused(TEXTS[0], 0.0, "-lorem\n+ipsum\n"), 9)
        store.close()
        workspace.close()
    return truth


def damaged(data: bytes, chance: random.Random) -> tuple[str, bytes]:
    """`data` with one kind of damage somewhere, and what it is."""
    bad = bytearray(data)
    kind = chance.choice(["flip", "flip", "flip", "bytes", "page", "zero", "cut", "header"])
    at = chance.randrange(len(bad))
    if kind == "flip":
        bad[at] ^= 1 << chance.randrange(8)
    elif kind == "header":
        at = chance.randrange(100)
        bad[at] = chance.randrange(256)
    elif kind == "bytes":
        for _ in range(chance.randrange(1, 20)):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
    elif kind == "cut":
        del bad[at:]
    else:
        at -= at % PAGE_BYTES
        page = slice(at, at + PAGE_BYTES)
        size = len(bad[page])
        bad[page] = chance.randbytes(size) if kind == "page" else bytes(size)
    return f"{kind} at {at}", bytes(bad)


def try_all(file: Path, truth: dict[tuple[str, int], str | bytes | None]) -> str:
    """Do everything that can be done to a damaged store; what became of it, in a word.

    Raises `Wrong` where an answer is wrong, and whatever is not typed.
    """
    faults = list(_looked(file, truth))
    try:
        workspace = Workspace(f"sqlite:///{file}")
    except StoreFault:
        return "not opened"
    try:
        seen = [*faults, *_used(workspace, truth)]
        said = workspace.check()
    finally:
        try:
            workspace.close()
        except StoreFault:
            seen = ["close"]
    if seen and said:
        return "refused, and found"
    return "refused" if seen else "found" if said else "unharmed"


def _looked(file: Path, truth):
    """By a store that only reads."""
    try:
        store = open_store(f"sqlite:///{file}", create=False, readonly=True)
    except StoreFault:
        yield "open"
        return
    try:
        for name, version in truth:
            for look in (
                store.mark,
                store.head,
                store.members,
                lambda name=name: store.names(deleted=bool(name)),
                lambda name=name: store.row(name),
                lambda name=name: store.history(name),
                lambda name=name: store.rows([name]),
                lambda name=name: store.latest([name]),
                lambda name=name, version=version: _proved(store, truth, name, version),
                lambda name=name: _proved_cut(store, truth, name),
            ):
                try:
                    look()
                except StoreFault:
                    yield "look"
        looks = (store.revisions, store.listing, store.refusals, store.tallies, store.now)
        for look in looks:
            try:
                look()
            except StoreFault:
                yield "look"
        list(store.check())
    finally:
        store.close()


def _proved(store, truth, name, version):
    found = store.read(name, version)
    if found is not None and truth[name, version] not in (found[1], None):
        raise Wrong(f"{name}@{version} reads {found[1]!r:.80}")


def _proved_cut(store, truth, name):
    seen = store.cut([name])[0][name]
    if seen.content is not None and seen.content != truth.get((name, seen.version)):
        raise Wrong(f"{name}@{seen.version} is {seen.content!r:.80} in a cut")


def _used(workspace: Workspace, truth):
    try:
        agent = workspace.agent("eve")
    except StoreFault:
        agent = None
        yield "join"
    for name in dict.fromkeys(name for name, _ in truth):
        try:
            workspace.history(name)
        except (StoreFault, UnknownArtifact):
            yield "history"
        if agent is None:
            continue
        newest = max(version for each, version in truth if each == name)
        try:
            view = agent.read(name)
            if view.content != truth.get((name, view.version), view):
                raise Wrong(f"{view.ref} reads {view.content!r:.80}")
            if view.version != newest:
                raise Wrong(f"{view.ref} is read as the current version")
        except UnknownArtifact:
            if truth[name, newest] is not None:
                yield "unknown"
        except StoreFault:
            yield "read"
        for version in {1, newest // 2 or 1, newest}:
            try:
                view = agent.read(name, version=version)
                if view.content != truth[name, version]:
                    raise Wrong(f"{view.ref} reads {view.content!r:.80}")
            except (StoreFault, UnknownArtifact, UnknownVersion):
                if truth[name, version] is not None:
                    yield "version"
        if name == TEXTS[1] or truth[name, newest] is None:
            continue  # a dead holder's lease is not waited for
        try:
            agent.update(name, lambda text: text, wait_s=0)
            workspace.pin(f"{name}@1")
        except (StoreFault, UnknownArtifact, Conflict):
            yield "update"
    try:
        workspace.gc()
    except StoreFault:
        yield "gc"


@pytest.fixture(autouse=True)
def quiet(caplog):
    """What the log says of damage is not looked at."""
    caplog.set_level(logging.CRITICAL, "coherence")


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@pytest.fixture(scope="module")
def whole(folder):
    """The bytes of a closed store's file, and what each version of it holds."""
    truth = make(folder / "team.db")
    return (folder / "team.db").read_bytes(), truth


def lay(folder, data):
    """A file of these bytes, and nothing beside it."""
    file = folder / "bad.db"
    for name in ("bad.db", "bad.db-wal", "bad.db-shm", "bad.db-journal"):
        (folder / name).unlink(missing_ok=True)
    file.write_bytes(data)
    return file


def attack(folder, whole, seeds):
    data, truth = whole
    became = Counter()
    for seed in seeds:
        what, bad = damaged(data, random.Random(seed))
        try:
            became[try_all(lay(folder, bad), truth)] += 1
        except BaseException as error:
            raise AssertionError(f"seed {seed}, {what}: {error!r}") from error
    return became


def test_a_whole_file_is_in_order(folder, whole):
    data, truth = whole
    assert try_all(lay(folder, data), truth) == "unharmed"


@pytest.mark.slow
def test_damage_is_refused_or_harmless(folder, whole):
    became = attack(folder, whole, range(100))
    assert became["refused, and found"] > 10, became
    assert became["not opened"] > 2, became


def index_of_names(folder, data):
    """Where its page is in the file."""
    with closing(sqlite3.connect(lay(folder, data))) as db:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_artifact_1'"
        at = (db.execute(query).fetchone()[0] - 1) * PAGE_BYTES
    return range(at, at + PAGE_BYTES)


@pytest.mark.slow
def test_a_damaged_index_of_names_is_found(folder, whole):
    """One that hides a name, or leads to another artifact: nothing that is read is another's."""
    data, truth = whole
    hits, chance = 0, random.Random(5)
    for at in index_of_names(folder, data):
        if data[at]:
            bad = bytearray(data)
            bad[at] ^= 1 << chance.randrange(8)
            became = try_all(lay(folder, bad), truth)
            assert became != "refused", f"byte {at}: check() finds nothing"
            hits += became == "refused, and found"
    assert hits > 30


def test_an_index_that_leads_to_another_artifact(folder, whole):
    """Its content is as it was written, and none of what was asked for."""
    data, _ = whole
    page = index_of_names(folder, data)
    index = data[page.start : page.stop]
    one, other = TEXTS[3].encode(), TEXTS[4].encode()
    assert index.count(one + b"\x04") == index.count(other + b"\x05") == 1
    index = index.replace(one + b"\x04", one + b"\x05").replace(other + b"\x05", other + b"\x04")
    swapped = data[: page.start] + index + data[page.stop :]
    with closing(SqliteStore(lay(folder, swapped))) as store:
        for look in (
            lambda: store.row(TEXTS[3]),
            lambda: store.history(TEXTS[3]),
            lambda: store.read(TEXTS[3], 1),
        ):
            with pytest.raises(StoreCorrupt):
                look()
        with pytest.raises(StoreCorrupt), store.transaction(publishes=False) as tx:
            tx.load(TEXTS[3])
        assert list(store.check())


@pytest.mark.parametrize(
    ("table", "written", "damaged"),
    [
        ("the text of a table", b"PRIMARY KEY, until", b"PRIMARY KEY, untim"),
        ("the content of a row", b"\xa7content\x94", b"\xa7contenu\x94"),
        ("the sharers of a row", b"\xa7sharers", b"\xa7sharert"),
    ],
)
def test_damage_that_changes_a_name_is_found(folder, whole, table, written, damaged):
    """What is not there under its name must not be taken for nothing."""
    data, truth = whole
    assert data.count(written)
    assert try_all(lay(folder, data.replace(written, damaged)), truth) == "refused, and found"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_damage_of_hundreds_of_kinds(folder, whole):
    became = attack(folder, whole, range(1_000, 1_000 + times(700)))
    assert became["refused, and found"] > times(140), became
