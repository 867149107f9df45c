"""The Timeline's routes: what they answer, what they refuse, and what a live store shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

pytest.importorskip("uvicorn")

from console_client import PLAN, Running, shown, source, working

from coherence import Recorder, Workspace
from coherence.stores.opening import open_store
from coherence.workspace.overview import Observer
from coherence_console import serve
from coherence_console.context import Context
from coherence_console.sampled import Sampled
from coherence_console.windows import AT_MOST

BIDI = "\u202egnp.exe"


def recorded(folder: Path, *names: str) -> Path:
    with Recorder(folder) as recorder, Workspace(recorder=recorder) as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        for name in names or (PLAN,):
            ann.write(name, "one")
            with bob.edit(name) as draft:
                draft.text += "!"
            ann.read(name)
    return folder


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    runs = recorded(tmp_path_factory.mktemp("a") / "runs", PLAN, "notes/a.md")
    other = recorded(tmp_path_factory.mktemp("b") / "runs")
    damaged = tmp_path_factory.mktemp("c") / "damaged.ndjson"
    damaged.write_text('{"trace":99,"start":0}\n')
    nowhere = tmp_path_factory.mktemp("d") / "nowhere"
    with shown(Context(traces=(runs, other, damaged, nowhere))) as made:
        yield made


def test_what_can_be_shown(asked: Running) -> None:
    found = asked.get("/api/timeline")["sources"]
    assert [each["id"] for each in found] == ["runs", "runs-2", "damaged.ndjson", "nowhere"]
    assert {each["kind"] for each in found} == {"recording"}
    assert "No such file" in found[3]["problem"]
    assert asked.get("/api/console")["has"]["timeline"]


def test_a_window_and_one_interval(asked: Running) -> None:
    whole = asked.get("/api/timeline/runs")
    assert {lane["artifact"] for lane in whole["lanes"]} == {PLAN, "notes/a.md"}
    assert whole["from"] == whole["first"] == 0.0
    assert whole["to"] == whole["last"]
    assert whole["more"] == {"intervals": 0, "marks": 0, "arrows": 0}
    held = [each for each in whole["intervals"] if each["kind"] == "held"]
    assert [each["why"] for each in held] == ["published @2"] * 2
    assert all(each["exact"] for each in whole["intervals"])
    detail = asked.get(f"/api/timeline/runs/interval/{held[0]['id']}")
    assert detail["interval"] == held[0]
    assert detail["lane"]["agent"] == "bob"
    assert [step["action"] for step in detail["steps"]][:2] == ["GetM", "DataM"]
    narrow = asked.get(
        f"/api/timeline/runs?from={held[0]['from']}&to={held[0]['to']}&who=BOB&hide=copy&max=1"
    )
    assert [each["id"] for each in narrow["intervals"]] == [held[0]["id"]]


def test_the_shapes_are_those_of_the_page(asked: Running) -> None:
    whole = asked.get("/api/timeline/runs")
    assert set(whole) == {
        *("v", "source", "start", "unit", "first", "last", "from", "to", "lanes", "intervals"),
        *("marks", "arrows", "more", "lanes_of_whole", "lanes_left", "kinds", "agents"),
        *("artifacts", "remarks", "live", "sampled_since"),
    }
    assert whole["v"] == 1
    assert set(whole["lanes"][0]) == {"id", "agent", "artifact"}
    assert set(whole["marks"][0]) == {"lane", "kind", "at", "label"}
    number = whole["intervals"][0]["id"]
    detail = asked.get(f"/api/timeline/runs/interval/{number}")
    assert set(detail) == {"v", "interval", "lane", "steps", "more"}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 200),
        ("?from=-1e300&to=1e300", 200),
        ("?from=5&to=5", 200),
        ("?max=0", 200),
        ("?max=99999999", 200),
        ("?who=%F0%9F%90%8D", 200),
        ("?span=0", 200),
        ("?span=-3", 200),
        ("?from=nan", 400),
        ("?to=inf", 400),
        ("?from=1e999", 400),
        ("?from=0x10", 400),
        ("?from=2&to=1", 400),
        ("?max=-1", 400),
        ("?max=1.5", 400),
    ],
)
def test_parameters(asked: Running, query: str, status: int) -> None:
    found = asked.send(f"/api/timeline/runs{query}")
    assert found.status == status, found
    if status == 200:
        assert found.json["from"] < found.json["to"]
        assert len(found.json["intervals"]) <= AT_MOST


@pytest.mark.parametrize(
    "path",
    [
        "/api/timeline/nothing",
        "/api/timeline/live",
        "/api/timeline/..%2Fruns",
        "/api/timeline/runs/interval/999999",
        "/api/timeline/runs/interval/-1",
        "/api/timeline/runs/interval/x",
        "/api/timeline/runs/interval/99999999999999999999999999999999",
    ],
)
def test_what_is_not_there_is_all_the_same(asked: Running, path: str) -> None:
    found = asked.send(path)
    assert (found.status, found.json["code"]) == (404, "not-there")


def test_a_recording_that_cannot_be_read_says_why(asked: Running) -> None:
    found = asked.send("/api/timeline/damaged.ndjson")
    assert (found.status, found.json["code"]) == (400, "bad-trace")
    assert "form 99" in found.json["message"]
    assert found.json["remedy"]
    assert asked.send("/api/timeline/nowhere").status == 500


def test_without_the_token_nothing_is_told(asked: Running) -> None:
    for path in ("/api/timeline", "/api/timeline/runs"):
        assert asked.send(path, headers={"Authorization": None}).status == 401


def test_a_recording_that_grows_is_read_again(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "runs")
    file = folder / "plan.md.ndjson"
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:4]) + lines[4][:20])
    with shown(Context(traces=(folder,))) as asked:
        before = asked.get("/api/timeline/runs")
        assert "ends in a part of a line" in before["remarks"][0]
        file.write_bytes(whole)
        after = asked.get("/api/timeline/runs")
        assert not after["remarks"]
        assert after["last"] > before["last"]


# A live store.


def test_a_live_store_has_publishes_exactly_and_the_rest_as_sampled(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/team.db"
    with working(url) as workspace, shown(Context(source=source(url), hz=20.0)) as asked:
        (listed,) = asked.get("/api/timeline")["sources"]
        assert listed["kind"] == "live"
        ann = workspace.agent("ann")
        with asked.stream() as stream:
            assert stream.next()[0] == "team"
            with ann.edit(PLAN) as draft:
                while True:
                    found = asked.get("/api/timeline/live?span=600")
                    if found["intervals"]:
                        break
                    stream.next()
                draft.text += "sampled\n"
            while asked.get("/api/timeline/live?span=600")["intervals"][0]["to"] is None:
                stream.next()
            found = asked.get("/api/timeline/live?span=600")
        (held,) = found["intervals"]
        lanes = {lane["id"]: (lane["agent"], lane["artifact"]) for lane in found["lanes"]}
        assert (held["kind"], lanes[held["lane"]], held["exact"]) == ("held", ("ann", PLAN), False)
        assert found["live"]
        assert found["first"] <= found["sampled_since"] <= held["from"] <= held["to"]
        published = [
            (lanes[each["lane"]], each["label"])
            for each in found["marks"]
            if each["kind"] == "published"
        ]
        history = [((entry.author, PLAN), f"@{entry.version}") for entry in open_history(url, PLAN)]
        assert [each for each in published if each[0][1] == PLAN] == history
        (refused,) = [each for each in found["marks"] if each["kind"] == "refused"]
        assert lanes[refused["lane"]] == ("cat", PLAN)
        detail = asked.get(f"/api/timeline/live/interval/{held['id']}")
        assert detail["steps"] == []


def open_history(url: str, artifact: str):
    store = open_store(url, create=False, readonly=True)
    try:
        return store.history(artifact)
    finally:
        store.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_looks_that_miss_a_change_of_holder_do_not_join_two_holds(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    url = (
        f"sqlite:///{tmp_path}/team.db"
        if kind == "sqlite"
        else request.getfixturevalue("postgres").fresh()
    )
    with Workspace(url) as workspace:
        ann = workspace.agent("ann")
        ann.write(PLAN, "one")
        store = open_store(url, create=False, readonly=True)
        observer, sampled = Observer(store), Sampled()

        def look() -> None:
            observer.look()
            sampled.look(observer.seen)

        for number in range(3):
            with ann.edit(PLAN) as draft:
                look()
                draft.text += str(number)
        look()
        sampled.read(store)
        chart, since = sampled.chart()
        store.close()
    held = [each for each in chart.intervals if each.kind == "held"]
    assert len(held) == 3
    assert all(each.end is not None and not each.exact for each in held)
    assert [each.label for each in chart.marks] == ["@1", "@2", "@3", "@4"]
    assert since is not None


def test_a_sampled_timeline_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coherence_console.sampled.KEPT_MAX", 20)
    with Workspace(f"sqlite:///{tmp_path}/team.db") as workspace:
        ann = workspace.agent("ann")
        ann.write(PLAN, "one")
        store = open_store(f"sqlite:///{tmp_path}/team.db", create=False, readonly=True)
        observer, sampled = Observer(store), Sampled()
        for number in range(30):
            with ann.edit(PLAN) as draft:
                observer.look()
                sampled.look(observer.seen)
                draft.text = str(number)
        chart, _ = sampled.chart()
        store.close()
    assert len(chart.intervals) <= 21
    assert "no longer kept" in chart.remarks[0]


def test_a_store_that_went_back_begins_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/team.db"
    with Workspace(url) as workspace:
        workspace.agent("ann").write(PLAN, "one")
        workspace.backup(tmp_path / "backup.db")
        workspace.agent("ann").write(PLAN, "two")
    sampled = Sampled()
    store = open_store(url, create=False, readonly=True)
    sampled.read(store)
    store.close()
    assert [each.label for each in sampled.chart()[0].marks] == ["@1", "@2"]
    store = open_store(f"sqlite:///{tmp_path}/backup.db", create=False, readonly=True)
    sampled.read(store)
    store.close()
    assert [each.label for each in sampled.chart()[0].marks] == ["@1"]


def test_nothing_is_written_to_the_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/team.db"
    with working(url):
        store = open_store(url)
        before = store.mark()
        with shown(Context(source=source(url))) as asked:
            for _ in range(3):
                asked.get("/api/timeline/live")
        assert store.mark() == before
        store.close()


def test_a_workspace_in_memory_is_shown_by_its_program() -> None:
    with Workspace() as workspace, serve(workspace) as console:
        workspace.agent("ann").write(PLAN, "one")
        parts = urlsplit(console.url)
        token = parts.fragment.removeprefix("token=")
        request = Request(
            f"http://{parts.netloc}/api/timeline/live",
            headers={"Authorization": f"Bearer {token}"},
        )
        with urlopen(request, timeout=60) as answer:
            found = json.load(answer)
    assert [each["label"] for each in found["marks"]] == ["@1"]
