"""Pages: the same bytes from the same figures, readable by machines, by eyes and on paper.

`test_a_page_in_a_browser` needs Chromium (apt install chromium) and playwright (pip install
playwright).
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from coherence.simulate import catalogue, cli
from coherence.simulate.experiments import compare, prices
from coherence.simulate.experiments.billing import Prompting
from coherence.simulate.experiments.figures import Ratio
from coherence.simulate.experiments.play import play
from coherence.simulate.experiments.strategies import STRATEGIES
from coherence.simulate.experiments.workload import of_scenario
from coherence.simulate.pages import said, saving
from coherence.simulate.pages.compared import page_of
from coherence.simulate.pages.page import Chart, Curve, Mark, Page, Panel
from coherence.simulate.pages.saving import NoReport, PageNotSaved, rendered, save
from coherence.simulate.pages.timeline import Happening, HappeningKind, recorded

pytest.importorskip("jinja2", reason="pages need jinja2")
pytest.importorskip("matplotlib", reason="pages need matplotlib")
pytest.importorskip("scipy", reason="intervals need scipy")

CLAUDE = prices.shipped()["claude-opus-5"]
CSS = (Path(saving.__file__).parent / "page.css").read_text(encoding="utf-8")


def compared(*names: str, cuts: float = 0.05, **changes: object) -> Page:
    scenarios = tuple(catalogue.find(name, ["runs=3", "steps=15"]) for name in names)
    plan = compare.Plan(scenarios, (CLAUDE,), cuts=cuts, **changes)
    return page_of(plan, compare.run(plan), "coherence simulate compare")


@pytest.fixture(scope="module")
def page() -> Page:
    return compared("planning", "write-heavy")


@pytest.fixture(scope="module")
def charted(page) -> Page:
    points = tuple(Mark(float(x), 0.1 * x, 0.02) for x in (2, 4, 8))
    saved = Panel("saved", (Curve("lazy", points), Curve("adaptive", points)), is_percent=True)
    stale = Panel("stale reads", (Curve("lazy", points[:2]), Curve("adaptive", points)))
    return msgspec.structs.replace(page, charts=(Chart("Agents", "agents", (saved, stale)),))


@pytest.fixture(scope="module")
def text(charted) -> str:
    return rendered(charted)


# What a page contains


class Elements(HTMLParser):
    """The elements of a page, and the text of each."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.found if name == tag]


@pytest.mark.slow
def test_a_page_has_the_question_the_answer_the_command_and_every_figure(page, text):
    words = " ".join("".join(Elements(text).texts).split())
    assert page.question in words
    assert said.answer(page.comparisons) in words
    assert page.command in words
    for row in page.comparisons:
        if row.strategy != row.against:
            for saved in (row.saved_transferred, row.saved_bill):
                assert said.shown(saved, percent=True) in words
        for multiple in (row.above_of_floor, row.above_of_append_only, row.above_of_offline):
            assert said.shown(multiple, percent=False) in words
        assert f"{row.stale_reads_mean:.1f}" in words
    assert "was told the content" in words
    assert "plan.md@1" in words
    assert words.count("lost its context") > 1


def test_machines_can_read_it(text):
    """Heads of tables, titles of pictures, unique names, links that lead somewhere."""
    found = Elements(text)
    assert found.named("html") == [{"lang": "en"}]
    assert all(head.get("scope") in ("col", "row") for head in found.named("th"))
    tables = len(found.named("table"))
    assert tables == 2 * 2 + 2 + 1
    names = [attrs["id"] for _, attrs in found.found if "id" in attrs]
    assert len(names) == len(set(names))
    pictures = found.named("svg")
    assert len(pictures) == 2 * 3 + 1 + 1
    for picture in pictures:
        assert picture["role"] == "img"
        assert set(picture["aria-labelledby"].split()) <= set(names)
    pointed = [attrs["href"] for _, attrs in found.found if "href" in attrs]
    pointed += re.findall(r"url\((#[^)]+)\)", text)
    assert {name.removeprefix("#") for name in pointed} <= set(names)
    for name in (attrs["aria-labelledby"] for attrs in found.named("section")):
        assert name in names


def test_it_loads_nothing_and_runs_nothing(text):
    assert not re.search(r"<(script|link|iframe|img|object)\b|@import|src=|https?:", text)


def test_texts_are_escaped(page):
    odd = msgspec.structs.replace(
        page,
        question="<b>bold</b> & more?",
        comparisons=tuple(
            msgspec.structs.replace(row, scenario="a <i> & b") for row in page.comparisons[:3]
        ),
    )
    text = rendered(odd)
    assert "<b>" not in text
    assert "<i>" not in text
    assert "&lt;i&gt; &amp; b" in text


def test_a_page_of_curves_alone(charted):
    page = msgspec.structs.replace(charted, comparisons=(), timeline=None, answer="It grows.")
    text = rendered(page)
    assert "It grows." in text
    assert "20.0 ± 2.0 %" in text
    assert "<td></td>" in text  # the third place has stale reads of no strategy


# Sentences


def test_the_answer_has_an_interval_for_each_figure(page):
    text = said.answer(page.comparisons)
    assert text.count(". ") == 1
    mine = [row for row in page.comparisons if row.strategy == "adaptive"]
    for row in mine:
        assert said.shown(row.saved_bill, percent=True) in text
    assert text.count("±") == 6
    assert "stale reads a run" in text


def test_equal_bills_are_not_won_by_order():
    (push, adaptive) = compared("planning", strategies=("push_delta", "adaptive")).comparisons
    equal = msgspec.structs.replace(push, bill_mean=adaptive.bill_mean)
    assert "no strategy shown has a lower mean bill than adaptive" in said.answer([equal, adaptive])
    lower = msgspec.structs.replace(push, bill_mean=adaptive.bill_mean * 0.9)
    assert "push_delta has the lowest mean bill" in said.answer([lower, adaptive])
    assert "bill is" not in said.answer([adaptive]).partition(" times the floor")[2]


def test_ratios_are_shown_with_a_minus_and_one_run_without_an_interval():
    assert said.shown(Ratio(-0.1234, 0.02), percent=True) == "−12.3 ± 2.0 %"
    assert said.shown(Ratio(-0.0001, None), percent=True) == "0.0 %"
    assert said.shown(Ratio(12.345, 0.5), percent=False) == "12.3 ± 0.5"


# The timeline


def told(
    workload, strategy: str
) -> list[tuple[int, int, HappeningKind, tuple[tuple[int, int], ...]]]:
    line = recorded(workload, ["a"], strategy, CLAUDE)
    return [(each.step, each.agent, each.kind, each.about) for each in line.happenings]


@pytest.fixture
def short(make_workload):
    """Agent 0 reads, agent 1 writes, agent 0 reads again, loses its context, and reads."""
    actions = [(0, 0, 0, False), (1, 1, 0, True), (2, 0, 0, False), (3, 0, 0, False)]
    return make_workload(actions, [100], [[(0, 5)]], cuts=[False, False, False, True])


def test_a_difference_is_told_and_a_lost_text_is_asked_for(short):
    v1, v2 = ((0, 1),), ((0, 2),)
    assert told(short, "adaptive") == [
        (0, 0, HappeningKind.ASKED, v1),
        (0, 0, HappeningKind.READ, v1),
        (1, 1, HappeningKind.ASKED, v1),
        (1, 1, HappeningKind.WROTE, v2),
        (2, 0, HappeningKind.TOLD, v2),
        (2, 0, HappeningKind.READ, v2),
        (3, 0, HappeningKind.LOST, ()),
        (3, 0, HappeningKind.ASKED, v2),
        (3, 0, HappeningKind.READ, v2),
    ]


def test_a_signal_is_told_apart_from_a_text(short):
    assert [kind for step, _, kind, _ in told(short, "lazy") if step == 2] == [
        HappeningKind.SIGNALLED,
        HappeningKind.ASKED,
        HappeningKind.READ,
    ]
    assert [kind for step, _, kind, _ in told(short, "slot_tail") if step == 2] == [
        HappeningKind.SHOWN,
        HappeningKind.READ,
    ]
    assert [kind for step, _, kind, _ in told(short, "inject") if step == 3][:2] == [
        HappeningKind.LOST,
        HappeningKind.TOLD,
    ]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_watching_changes_no_figure_and_misses_no_token(strategy):
    scenario = catalogue.find("churn", ["steps=20"])
    workload = of_scenario(scenario, 1, 0.1)
    names = [artifact.name for artifact in scenario.artifacts]
    line = recorded(workload, names, strategy, CLAUDE)
    costs = play(workload, STRATEGIES[strategy], CLAUDE, Prompting())
    unsaid = 0
    if strategy.startswith("shipped"):
        # A notice that is repeated is not another event.
        unsaid = costs.transferred_tokens - sum(each.tokens for each in line.happenings)
        assert unsaid > 0
    assert sum(each.tokens for each in line.happenings) + unsaid == costs.transferred_tokens
    assert not line.is_partial


def test_a_long_run_is_cut_and_says_so():
    scenario = catalogue.find("planning", ["agents=20", "steps=100"])
    line = recorded(of_scenario(scenario, 1), ["a", "b", "c"], "lazy", CLAUDE)
    assert line.is_partial
    assert line.agents == tuple(range(8)) == tuple(sorted({h.agent for h in line.happenings}))
    assert line.first == 0
    assert line.last < 20
    page = Page(question="?", command="c", timeline=line)
    assert f"Steps 0 to {line.last} of 8 agents" in rendered(page)
    assert isinstance(line.happenings[0], Happening)


def test_of_a_long_run_calls_of_many_agents_are_shown(make_workload):
    """For 500 steps agent 0 works alone, then agents 1 to 3 read what it has written."""
    actions = [(step, 0, 0, step == 499) for step in range(500)]
    actions += [(step, agent, 0, False) for step in range(500, 600) for agent in (1, 2, 3)]
    line = recorded(make_workload(actions, [100], [[(0, 5)]], agents=4), ["a"], "lazy", CLAUDE)
    assert line.first == 400
    assert {each.agent for each in line.happenings} == {0, 1, 2, 3}
    assert min(each.step for each in line.happenings) == 400
    assert any(each.kind is HappeningKind.WROTE for each in line.happenings)


# Colours


def themes() -> dict[str, dict[str, str]]:
    """The variables of each style: that of light pages, of dark ones, of paper."""
    light, dark, printed = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    found = [
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", text)) for text in (light, dark, printed)
    ]
    return dict(zip(("light", "dark", "print"), found, strict=True))


def contrast(one: str, other: str) -> float:
    """As in WCAG 2.2."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_texts_and_marks_stand_out(theme):
    colours = themes()[theme]
    assert set(colours) == set(themes()["light"])
    for name in ("ink", "faint", "link"):
        for ground in ("page", "panel"):
            assert contrast(colours[name], colours[ground]) >= 4.5, name
    for name, colour in colours.items():
        if name not in ("page", "panel", "rule"):
            assert contrast(colour, colours["page"]) >= 3, name


def test_every_colour_of_a_picture_is_one_of_the_page(text):
    pictures = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert set(re.findall(r"var\(--([\w-]+)\)", text)) <= set(themes()["light"])
    assert set(re.findall(r"#[0-9a-f]{6}\b", pictures)) == set()


# The command, and files


def call(*arguments: str, code: int = 0):
    result = CliRunner().invoke(cli.app, ["compare", *arguments])
    assert result.exit_code == code, result.output
    return result


SHORT = ("planning", "--seeds", "2", "--set", "steps=15", "-s", "shipped", "-s", "adaptive")


@pytest.mark.slow
def test_the_command_shows_itself_wherever_the_file_is(tmp_path):
    (tmp_path / "deep").mkdir()
    files = [tmp_path / "page.html", tmp_path / "deep" / "page.html"]
    for file in files:
        assert "adaptive" in call(*SHORT, "--html", str(file)).stdout
    text = files[0].read_text(encoding="utf-8")
    assert text == files[1].read_text(encoding="utf-8")
    words = re.sub(r"</?span>", "", re.search(r"<code>(.*?)</code>", text)[1])
    assert words == (
        "coherence simulate compare planning --strategy shipped --strategy adaptive --seeds 2"
        " --set steps=15 --html page.html"
    )
    assert os.stat(files[0]).st_mode & 0o777 == 0o666 & ~saving._umask()


@pytest.mark.slow
def test_two_programs_write_the_same_bytes(tmp_path):
    """Whatever the hashes are, and whether scripts of another day ran before."""
    texts = []
    for seed in ("0", "4242"):
        file = tmp_path / seed / "page.html"
        file.parent.mkdir()
        subprocess.run(
            [sys.executable, "-m", "coherence.simulate", "compare", *SHORT, "--html", file],
            env=os.environ | {"PYTHONHASHSEED": seed, "SOURCE_DATE_EPOCH": seed},
            check=True,
            capture_output=True,
        )
        texts.append(file.read_bytes())
    assert texts[0] == texts[1]


def test_without_the_libraries_nothing_is_run(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.setattr(compare, "run", lambda *_: pytest.fail("ran"))
    result = call(*SHORT, "--html", str(tmp_path / "page.html"), code=3)
    assert "pip install jinja2 matplotlib" in result.stderr
    assert issubclass(NoReport, Exception)


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_page_that_cannot_be_written_leaves_the_old_one(page, tmp_path, monkeypatch, number):
    file = tmp_path / "page.html"
    file.write_text("old")

    def refuse(*_args: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PageNotSaved, match=os.strerror(number)):
        save(page, file)
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]
    assert file.read_text() == "old"


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    said_ = call(*SHORT, "--html", str(tmp_path / "no" / "page.html"), code=3).stderr
    assert "page.html: cannot be written: No such file" in said_


# A browser


def listen(page, faults: list[str]) -> None:
    page.on("console", lambda told: faults.append(told.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda sent: sent.url.startswith("file:") or faults.append(sent.url))


@pytest.mark.slow
def test_a_page_in_a_browser(charted, tmp_path):
    """No error, no request, nothing wider than the window, no text on another one."""
    reason = "pip install playwright; apt install chromium"
    browsers = pytest.importorskip("playwright.sync_api", reason=reason)
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip(f"chromium is not installed: {reason}")
    file = tmp_path / "page.html"
    save(charted, file)
    faults: list[str] = []
    grounds = {}
    with browsers.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for media, scheme, width in (
            ("screen", "light", 1280),
            ("screen", "dark", 1280),
            ("screen", "light", 360),
            ("print", "dark", 760),
        ):
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.emulate_media(media=media, color_scheme=scheme)
            listen(page, faults)
            page.goto(file.as_uri())
            where = f"{media} {scheme} {width}"
            wide = page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            if wide > 0:
                faults.append(f"{where}: {wide} pixels too wide")
            faults += [f"{where}: {fault}" for fault in page.evaluate(OVERLAPS)]
            small = page.evaluate(SMALLEST)
            if small < 9:
                faults.append(f"{where}: a text of {small} pixels")
            grounds[media, scheme] = page.evaluate(
                "getComputedStyle(document.body).backgroundColor"
            )
            page.close()
        browser.close()
    assert faults == []
    assert grounds["screen", "dark"] == "rgb(13, 17, 23)"
    assert grounds["screen", "light"] == grounds["print", "dark"] == "rgb(255, 255, 255)"


#: Texts of one picture that cover each other, or that stand outside it.
OVERLAPS = """
[...document.querySelectorAll('svg')].flatMap(svg => {
  const frame = svg.getBoundingClientRect();
  const all = [...svg.querySelectorAll('text')];
  const texts = all.map(t => [t.textContent, t.getBoundingClientRect()]);
  const out = texts.filter(([, b]) => b.left < frame.left - 1 || b.right > frame.right + 1
    || b.top < frame.top - 1 || b.bottom > frame.bottom + 1).map(([t]) => `outside: ${t}`);
  texts.forEach(([s, a], i) => texts.slice(i + 1).forEach(([t, b]) => {
    const x = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (x > 1 && y > 4) out.push(`${s} covers ${t}`);
  }));
  return out;
})
"""
#: The height of the smallest letters, as they appear.
SMALLEST = """
Math.min(...[...document.querySelectorAll('text')].map(
  t => parseFloat(getComputedStyle(t).fontSize) * t.ownerSVGElement.getBoundingClientRect().width
    / t.ownerSVGElement.viewBox.baseVal.width))
"""
