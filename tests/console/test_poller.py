"""What a page learns of a store: everything, then what moved; by looking, and only if asked."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import pytest
from console_client import PLAN, Running, shown, source, working

from coherence import BadArgument, Workspace
from coherence.errors import StoreFault
from coherence.stores.backup import unpacked
from coherence.stores.faulty import Faulty
from coherence.stores.opening import open_store, put_back
from coherence.workspace.overview import overview
from coherence_console.context import Context, Source
from coherence_console.poller import Poller
from coherence_console.server import serve

THREAD = "coherence console: team"


def looking() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == THREAD]


class Page:
    """What a page makes of the events, as static/lib/team.js does."""

    def __init__(self) -> None:
        self.look = -1
        self.rows: dict[str, object] = {}
        self.agents: list[str] = []
        self.refused: list[object] = []

    def hear(self, kind: str, event: dict) -> None:
        assert kind in ("team", "moved")
        if kind == "moved" and event["look"] <= self.look:
            return
        assert kind == "team" or event["look"] == self.look + 1, "an event was lost"
        self.look = event["look"]
        if kind == "team":
            self.rows = {}
        self.rows |= {row["artifact"]: row for row in event["artifacts"]}
        for name in event.get("gone", ()):
            del self.rows[name]
        if event["agents"] is not None:
            self.agents = [each["agent"] for each in event["agents"]]
        if event["refused"] is not None:
            self.refused = event["refused"]


def follow(stream, page: Page, wanted) -> None:
    """Hear events until `wanted` holds; the test's timeout ends a wait in vain."""
    while not wanted(page):
        page.hear(*stream.next())


class Stores:
    """A workspace and a console that sees it from outside, on each kind of store."""

    def __init__(self, kind: str, folder: Path, server) -> None:
        self.url = {
            "memory": lambda: "memory://",
            "sqlite": lambda: f"sqlite:///{folder}/team.db",
            "postgres": lambda: server().fresh(),
        }[kind]()
        self.workspace = Workspace(self.url)

    def source(self) -> Source:
        if self.url == "memory://":
            store = self.workspace._site.store
            return Source(lambda: store, "this program", "memory", lambda _: None)
        return source(self.url)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def stores(request, tmp_path):
    made = Stores(request.param, tmp_path, lambda: request.getfixturevalue("postgres"))
    yield made
    made.workspace.close()


@pytest.mark.slow
def test_a_page_learns_what_moves_on_every_store(stores):
    ann, bob = stores.workspace.agent("ann"), stores.workspace.agent("bob")
    ann.write(PLAN, "one")
    ann.write("gone.md", "one")
    with shown(Context(source=stores.source(), hz=20.0)) as running, running.stream() as stream:
        page = Page()
        page.hear(*stream.next())
        assert set(page.rows) == {PLAN, "gone.md"}
        bob.read(PLAN)
        follow(stream, page, lambda page: len(page.rows[PLAN]["copies"]) == 2)
        with bob.edit(PLAN) as draft:
            follow(stream, page, lambda page: page.rows[PLAN]["holder"] == "bob")
            assert page.rows[PLAN]["until"] > page.rows[PLAN]["at"]
            waiting = threading.Thread(target=ann.update, args=(PLAN, str.upper))
            waiting.start()
            follow(stream, page, lambda page: page.rows[PLAN]["waiting"])
            assert page.rows[PLAN]["waiting"][0]["agent"] == "ann"
            draft.text = "two"
        waiting.join(60)
        follow(stream, page, lambda page: page.rows[PLAN]["version"] == 3)
        ann.delete("gone.md")
        follow(stream, page, lambda page: "gone.md" not in page.rows)
        cat = stores.workspace.agent("cat")
        cat.read(PLAN)
        follow(stream, page, lambda page: "cat" in page.agents)
        found = {row.artifact: row for row in overview(stores.workspace._site.store).artifacts}
        assert page.rows[PLAN]["copies"] == list(found[PLAN].copies)


@pytest.mark.slow
def test_a_process_that_was_killed_leaves_the_page(team, url, running, mortal):
    team.agent("ann").read(PLAN)
    zed = mortal(url, "zed", "hold")
    with running.stream() as stream:
        page = Page()
        page.hear(*stream.next())
        follow(stream, page, lambda page: page.rows[PLAN]["holder"] == "zed")
        assert "zed" in page.agents
        zed.kill()
        follow(stream, page, lambda page: page.rows[PLAN]["holder"] == "")
        follow(stream, page, lambda page: "zed" not in page.agents)


def test_sums_of_tokens_are_shared_by_pages(team, running, monkeypatch):
    monkeypatch.setattr("coherence_console.team.SUM_S", 1e9)
    first = running.get("/api/tokens")
    assert first["total"]["reads"] > 0
    team.agent("ann").read("notes/a.md")
    team.stats()
    assert running.get("/api/tokens") == first
    monkeypatch.setattr("coherence_console.team.SUM_S", 0.0)
    assert running.get("/api/tokens")["total"]["reads"] > first["total"]["reads"]


def test_two_pages_and_one_look(team, running):
    """A page that comes later takes nothing from one that listens already."""
    with running.stream() as first, running.stream() as second:
        pages = Page(), Page()
        for page, stream in zip(pages, (first, second), strict=True):
            page.hear(*stream.next())
        agent = team.agent("ann")
        for number in range(20):
            agent.write(f"{number}.md", "text")
            running.get("/api/team")
        for page, stream in zip(pages, (first, second), strict=True):
            follow(stream, page, lambda page: "19.md" in page.rows)
        assert pages[0].rows == pages[1].rows
        assert len(looking()) == 1


def test_nothing_runs_while_no_page_is_open(team, url):
    opened = []

    def opening():
        opened.append(1)
        return open_store(url, create=False, readonly=True)

    with shown(Context(source=Source(opening, "", "sqlite"), hz=20.0)) as running:
        running.get("/api/console")
        assert (opened, looking()) == ([], [])
        with running.stream() as stream:
            stream.next()
            (thread,) = looking()
        thread.join(60)
        assert looking() == []
        with running.stream() as stream:
            assert stream.next()[0] == "team"
            assert len(looking()) == 1
    assert looking() == []


def test_looking_writes_not_one_byte(team, url):
    files = sorted(Path(url.removeprefix("sqlite:///")).parent.iterdir())
    with shown(Context(source=source(url), hz=20.0)) as running, running.stream() as stream:
        stream.next()
        team.agent("ann").write(PLAN, "other", overwrite=True)
        stream.next()
        with closing(open_store(url, create=False, readonly=True)) as store:
            store.mark()
            before = {path: path.read_bytes() for path in files if path.suffix != ".db-shm"}
            mark, moved = store.mark(), running.get("/api/team")
            running.get("/api/artifact?name=plan.md")
            running.get("/api/agent?name=ann")
            running.get("/api/tokens")
            assert store.mark() == mark
        assert moved["artifacts"]
        for path in before:
            if not path.name.endswith("-shm"):
                assert path.read_bytes() == before[path]


class Failing:
    """A store that does not answer while `fault` is set."""

    def __init__(self, store) -> None:
        self._store = store
        self.fault: Exception | None = None

    def __getattr__(self, name):
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def call(*words, **named):
            if self.fault is not None and name != "close":
                raise self.fault
            return found(*words, **named)

        return call


@pytest.mark.slow
def test_a_store_that_fails_is_reported_and_opened_again(team, url):
    stores: list[Failing] = []

    def opening():
        stores.append(Failing(open_store(url, create=False, readonly=True)))
        return stores[-1]

    context = Context(source=Source(opening, "", "sqlite"), hz=20.0)
    with shown(context) as running, running.stream() as stream:
        assert stream.next()[0] == "team"
        first = stores[-1]
        first.fault = StoreFault("the disk is gone", remedy="mount it")
        kind, told = stream.next()
        assert (kind, told["code"]) == ("trouble", "store-fault")
        assert (told["message"], told["remedy"]) == ("the disk is gone", "mount it")
        team.agent("ann").write("after.md", "text")
        page = Page()
        follow(stream, page, lambda page: "after.md" in page.rows)
        assert stores[-1] is not first


def test_a_look_that_fails_at_any_moment_loses_nothing(team, url):
    at = 0
    while True:
        at += 1
        with closing(open_store(url, create=False, readonly=True)) as store:
            faulty = Faulty(store, at, lambda: StoreFault("now"))
            poller = Poller(Source(lambda store=faulty: store, "", "sqlite", lambda _: None), 5.0)
            try:
                poller.look()
            except StoreFault:
                assert faulty.moments == at
            else:
                break
            found = poller.whole()
            assert found.artifacts == overview(store).artifacts
            assert [each.agent for each in found.agents] == ["ann", "bob", "cat"]
            assert len(found.refused) == 1
            poller.close()
    assert at > 5


def test_a_store_that_is_not_there_is_told_to_a_page(tmp_path):
    where = source(f"sqlite:///{tmp_path}/none.db")
    with shown(Context(source=where, hz=20.0)) as running:
        found = running.send("/api/team")
        assert (found.status, found.json["code"]) == (503, "store-missing")
        with running.stream() as stream:
            assert stream.next()[0] == "trouble"
            with working(f"sqlite:///{tmp_path}/none.db"):
                page = Page()
                while PLAN not in page.rows:  # it may be there after the first look
                    if (heard := stream.next())[0] != "trouble":
                        page.hear(*heard)


def test_a_store_that_was_restored_begins_again(team, url, tmp_path):
    backup = tmp_path / "backup.db"
    team.backup(backup)
    agent = team.agent("ann")
    agent.write("later.md", "text")
    with shown(Context(source=source(url), hz=20.0)) as running, running.stream() as stream:
        page = Page()
        page.hear(*stream.next())
        assert "later.md" in page.rows
        team.close()
        restore(backup, url)
        page.look = -1
        heard = stream.next()
        while heard[0] == "trouble":
            heard = stream.next()
        if heard[0] == "moved":
            page.look = heard[1]["look"] - 1
        page.hear(*heard)
        follow(stream, page, lambda page: "later.md" not in page.rows)
        assert PLAN in page.rows


def restore(backup: Path, url: str) -> None:
    with unpacked(backup) as found:
        put_back(found, url)


def test_memory_is_seen_from_inside_the_program():
    with Workspace() as workspace:
        workspace.agent("ann").write(PLAN, "one")
        with serve(workspace) as served:
            running = Running.__new__(Running)
            address, _, running.token = served.url.partition("/#token=")
            running.port = int(address.rpartition(":")[2])
            assert [row["artifact"] for row in running.get("/api/team")["artifacts"]] == [PLAN]
        workspace.agent("ann").write(PLAN, "two")


def test_a_shared_store_is_not_served_from_inside(team):
    with pytest.raises(BadArgument, match="coherence console --store"):
        serve(team)
