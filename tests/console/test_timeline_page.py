"""Timeline and Reports in a browser: drawn in four kinds of windows, and used by keyboard."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("playwright")

from console_browser import KINDS, Viewer, chromium
from console_client import PLAN, source, working
from playwright.sync_api import expect

from causal import Hybrid, Unicast
from coherence import Recorder, Workspace
from coherence_console.context import Context
from coherence_console.intervals import Drawing, Kind
from coherence_console.recordings import Recording
from coherence_console.server import Console, Served
from coherence_console.timeline import Recorded
from message_passing.netmodel import NetworkModel, Uniform
from message_passing.network import Guarantee
from message_passing.simulator import Simulator
from message_passing.trace import TraceWriter

pytestmark = pytest.mark.slow

#: What an artifact's name may hold of what a page could take for something else.
ODD = "notes/a's & b {x}.md"
SCRIPT = "<img src=x onerror=alert(1)>\u202egnp.exe"
ROWS = [
    {"strategy": name, "runs": 3, "bill_mean": 10.0 * n, "bill_interval": 0.5}
    for n, name in enumerate(("lazy", "eager", SCRIPT), 1)
]
REPORT = """<!DOCTYPE html><html lang="en"><head><title>What is saved?</title>
<style>p {{ color: rgb(1, 2, 3) }}</style></head><body><p>figures</p>
{}</body></html>"""
HOSTILE = """<script>document.querySelector("p").textContent = "ran"; alert(1)</script>
<img src="{url}" onerror="alert(2)" alt=""><link rel="stylesheet" href="{url}">
<iframe src="{url}" title=""></iframe><form action="{url}"><button>Send</button></form>
<meta http-equiv="refresh" content="0; url={url}"><a href="{url}" target="_top">Away</a>"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as made:
        yield made


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("shown")
    with (
        Recorder(folder / "team") as recorder,
        Workspace(recorder=recorder) as workspace,
    ):
        ann, bob, cat = (workspace.agent(name) for name in ("ann", "bob", "cat"))
        for name in (PLAN, "src/api.py", ODD):
            ann.write(name, "one\n")
            with bob.edit(name) as draft:
                draft.text += "two\n"
            cat.read(name)
            ann.update(name, lambda text: text + "three\n")
    draw, links = Random(3), Guarantee.ORDERED
    team = ("planner", "coder", SCRIPT)
    with (folder / "causal.ndjson").open("wb") as file:
        simulator = Simulator(
            {name: Hybrid(name, team, links=links) for name in team},
            network=NetworkModel(guarantee=links, latency=Uniform(0.5, 5.0)),
            trace=TraceWriter(file),
        )
        for number in range(20):
            src, dst = draw.sample(team, 2)
            simulator.invoke(src, Unicast(dst, number), at=draw.uniform(0, 20))
        simulator.run()
    reports = folder / "reports"
    reports.mkdir()
    (reports / "page.html").write_text(REPORT.format(""))
    (reports / "other.html").write_text(REPORT.format("").replace("What", "How"))
    (reports / "a.json").write_text(json.dumps(ROWS))
    (reports / "b.json").write_text(json.dumps([row | {"bill_mean": 11.0} for row in ROWS]))
    context = Context(traces=(folder / "team", folder / "causal.ndjson"), reports=reports)
    with Served(Console(context)) as made:
        yield made


@pytest.fixture
def viewer(browser: Any, served: Served) -> Iterator[Viewer]:
    made = Viewer(browser, served.url)
    yield made
    made.close()


def query(page: Any) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def drawn(page: Any) -> None:
    """Wait until the chart has its size."""
    expect(page.locator(".gantt canvas")).to_have_attribute("width", re.compile(r"\d{3,}"))


def colours(page: Any) -> int:
    """How many colours the chart has."""
    return page.evaluate(
        """() => {
            const canvas = document.querySelector('.gantt canvas');
            const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            const found = new Set();
            for (let n = 0; n < data.length; n += 4) found.add(data.slice(n, n + 4).join());
            return found.size;
        }"""
    )


PAGES = {
    "/timeline/team": ".gantt canvas",
    "/timeline/team?by=agent&at=0": "h2:has-text('Details')",
    "/timeline/causal.ndjson": ".gantt canvas",
    "/timeline/causal.ndjson?at=m3": "h2:has-text('Details')",
    "/timeline/nothing": ".notice",
    "/reports": "table",
    "/reports/page.html": "iframe",
    "/reports/page.html?with=other.html": "iframe",
    "/reports/a.json": "table",
    "/reports/a.json?with=b.json": "h2:has-text('Figures')",
    "/reports/nothing": ".notice",
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_view_is_drawn_without_trouble(browser: Any, served: Served, kind: str) -> None:
    viewer = Viewer(browser, served.url, kind)
    for path, shown in PAGES.items():
        viewer.visit(path, shown)
        if path.startswith("/timeline/") and "nothing" not in path:
            drawn(viewer.page)
            assert colours(viewer.page) > 10, path
        expect(viewer.page.locator("h1")).to_have_count(1)
        assert viewer.axe() == [], path
        assert not viewer.is_wide, path
    assert viewer.trouble == []
    viewer.close()


def test_the_window_moves_by_keys_and_is_in_the_address(viewer: Viewer) -> None:
    viewer.visit("/timeline/team", ".gantt canvas")
    page = viewer.page
    said = page.locator(".said")
    expect(said).to_contain_text("intervals")
    assert query(page) == {}
    page.keyboard.press("+")
    page.wait_for_url("**from=**")
    narrow = query(page)
    width = float(narrow["to"]) - float(narrow["from"])
    page.keyboard.press("ArrowRight")
    page.wait_for_url(lambda url: narrow["from"] not in url)
    moved = query(page)
    assert float(moved["to"]) - float(moved["from"]) == pytest.approx(width)
    assert float(moved["from"]) == pytest.approx(float(narrow["from"]) + width / 4)
    page.keyboard.press("-")
    page.wait_for_url(lambda url: moved["from"] not in url)
    page.keyboard.press("0")
    page.wait_for_url(lambda url: "?" not in url)
    # The same address shows the same window.
    page.keyboard.press("+")
    page.wait_for_url("**from=**")
    expect(said).not_to_contain_text("…")
    text = said.inner_text()
    page.reload()
    expect(said).to_have_text(text)
    assert viewer.trouble == []


def test_a_bar_is_chosen_by_keys_and_explained(viewer: Viewer) -> None:
    viewer.visit("/timeline/team", ".gantt canvas")
    page = viewer.page
    expect(page.locator(".said")).to_contain_text("intervals")
    page.keyboard.press("j")
    details = page.locator("section", has=page.get_by_role("heading", name="Details"))
    expect(details).to_contain_text("how it ended")
    expect(details.get_by_role("table")).to_contain_text("GetM from bob")
    first = query(page)["at"]
    page.keyboard.press("j")
    page.wait_for_url(lambda url: not url.endswith(f"at={first}"))
    page.keyboard.press("k")
    page.wait_for_url(f"**at={first}")
    page.keyboard.press("Escape")
    expect(details).to_have_count(0)
    assert viewer.trouble == []


def test_a_bar_is_chosen_by_a_click_and_by_the_table(viewer: Viewer) -> None:
    viewer.visit("/timeline/causal.ndjson", ".gantt canvas")
    page = viewer.page
    drawn(page)
    page.get_by_text("The same as tables").click()
    table = page.get_by_role("region", name="Messages")
    table.get_by_role("button", name="Details").first.press("Enter")
    page.wait_for_url("**at=m**")
    details = page.locator("section", has=page.get_by_role("heading", name="Details"))
    expect(details).to_contain_text("delivered")
    expect(details).to_contain_text("→")
    page.get_by_role("region", name="Intervals").get_by_role("button", name="Details").first.click()
    expect(details).to_contain_text("why")
    assert viewer.trouble == []


def test_a_filter_removes_rows_and_kinds(viewer: Viewer) -> None:
    viewer.visit("/timeline/team", ".gantt canvas")
    page = viewer.page
    names = page.locator(".names .group")
    expect(names).to_have_count(3)
    page.get_by_label("Agent or artifact").fill("src")
    expect(names).to_have_count(1)
    expect(page.locator(".said")).to_contain_text("of 9 lanes")
    page.get_by_label("copy").uncheck()
    page.wait_for_url("**hide=copy**")
    page.get_by_label("Rows by").select_option("agent")
    expect(names.first).to_have_text("ann")
    page.get_by_label("Agent or artifact").fill("nobody at all")
    expect(page.get_by_text("Nothing in this window.")).to_be_visible()
    page.get_by_label("Agent or artifact").fill("")
    expect(page.locator(".gantt canvas")).to_be_visible()
    drawn(page)
    assert colours(page) > 10
    assert viewer.trouble == []


def test_the_pointer_moves_and_zooms(viewer: Viewer) -> None:
    viewer.visit("/timeline/causal.ndjson?from=5&to=15", ".gantt canvas")
    page = viewer.page
    drawn(page)
    box = page.locator(".gantt canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + 60
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 100, y, steps=4)
    page.mouse.up()
    page.wait_for_url(lambda url: "from=5&" not in url)
    panned = query(page)
    assert float(panned["to"]) - float(panned["from"]) == pytest.approx(10)
    assert float(panned["from"]) > 5
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    page.wait_for_url(lambda url: panned["from"] not in url)
    zoomed = query(page)
    assert float(zoomed["to"]) - float(zoomed["from"]) == pytest.approx(8)
    assert viewer.trouble == []


def test_names_are_shown_as_text(viewer: Viewer) -> None:
    page = viewer.page
    dialogs = []
    page.on("dialog", lambda each: (dialogs.append(each), each.dismiss()))
    for path, region in (
        ("/timeline/causal.ndjson", ".names"),
        ("/reports/a.json", "table"),
        ("/reports/a.json?with=b.json", "main"),
    ):
        viewer.visit(path, region)
        expect(page.locator("main")).to_contain_text("<img src=x onerror=alert(1)>\\u202egnp.exe")
        assert page.locator("main img").count() == 0
    viewer.visit("/timeline/team", ".names")
    expect(page.locator(".names")).to_contain_text(ODD)
    assert dialogs == []
    assert viewer.trouble == []


def test_a_report_may_do_nothing(browser: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        away = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/x"
        (tmp_path / "page.html").write_text(REPORT.format(HOSTILE.format(url=away)))
        with Served(Console(Context(reports=tmp_path))) as made:
            viewer = Viewer(browser, made.url)
            page = viewer.page
            dialogs = []
            page.on("dialog", lambda each: (dialogs.append(each), each.dismiss()))
            viewer.visit("/reports", "table")
            link = page.get_by_role("link", name="What is saved?")
            link.focus()
            page.keyboard.press("Enter")
            expect(page.locator("h1")).to_have_text("What is saved?")
            frame = page.frame_locator("iframe")
            expect(frame.locator("p")).to_have_text("figures")
            colour = frame.locator("p").evaluate("node => getComputedStyle(node).color")
            assert colour == "rgb(1, 2, 3)"
            frame.get_by_role("button", name="Send").click()
            frame.get_by_role("link", name="Away").click()
            assert page.locator("iframe").get_attribute("sandbox") == ""
            assert page.url.startswith(viewer.base)
            assert dialogs == []
            viewer.close()
        # A browser may connect before it decides, but it sends nothing.
        elsewhere.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                connection, _ = elsewhere.accept()
                with connection:
                    connection.settimeout(10)
                    assert connection.recv(1) == b""


def test_two_results_are_compared(viewer: Viewer) -> None:
    viewer.visit("/reports/a.json", "table")
    page = viewer.page
    page.get_by_label("Beside").select_option("b.json")
    page.wait_for_url("**with=b.json")
    expect(page.get_by_role("heading", name="bill mean")).to_be_visible()
    row = page.get_by_role("row", name="lazy")
    expect(row).to_contain_text("+10.0 %")
    expect(row).to_contain_text("within")
    expect(page.get_by_role("row", name="eager")).not_to_contain_text("within")
    page.get_by_role("button", name="Swap").press("Enter")
    page.wait_for_url("**/reports/b.json?with=a.json")
    assert viewer.trouble == []


def test_a_live_store_is_followed(browser: Any, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/team.db"
    with (
        working(url) as workspace,
        Served(Console(Context(source=source(url), hz=20.0))) as made,
    ):
        viewer = Viewer(browser, made.url)
        viewer.visit("/timeline/live", ".said")
        page = viewer.page
        expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "true")
        ann = workspace.agent("ann")
        with ann.edit(PLAN) as draft:
            expect(page.get_by_label("held")).to_be_visible()
            draft.text += "sampled\n"
        page.get_by_text("The same as tables").click()
        expect(page.get_by_role("region", name="Intervals")).to_contain_text("sampled")
        page.keyboard.press("0")
        page.wait_for_url("**from=**")
        expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "false")
        page.get_by_role("button", name="Follow").click()
        page.wait_for_url(lambda url: "?" not in url)
        assert viewer.axe() == []
        assert viewer.trouble == []
        viewer.close()


def long_recording() -> Recording:
    draw, drawing = Random(1), Drawing()
    for number in range(50_000):
        lane = drawing.lane(f"agent-{number % 50}", f"artifact-{number % 2000}")
        kind = (Kind.COPY, Kind.HELD, Kind.WAITS)[number % 3]
        drawing.interval(lane, kind, number / 10, number / 10 + draw.expovariate(1), "@1")
        drawing.end = number / 10 + 1
    return Recording(drawing.chart(), {})


def test_a_timeline_of_50_000_intervals(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = long_recording()
    monkeypatch.setattr(Recorded, "read", lambda self: whole)
    (tmp_path / "long.ndjson").write_bytes(b"")
    with Served(Console(Context(traces=(tmp_path / "long.ndjson",)))) as made:
        viewer = Viewer(browser, made.url)
        viewer.visit("/timeline/long.ndjson", ".gantt canvas")
        page = viewer.page
        said = page.locator(".said")
        expect(said).to_contain_text("48,000 more intervals")
        assert page.locator(".names > div").count() < 80, "rows that are not in view are not made"
        assert page.evaluate("document.querySelector('.gantt canvas').height") < 2000
        for _ in range(12):
            page.keyboard.press("+")
        expect(said).not_to_contain_text("more intervals")
        assert viewer.trouble == []
        viewer.close()
