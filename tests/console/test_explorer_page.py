"""The explorer in a browser: drawn in four kinds of windows, and walked by keyboard."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("uvicorn")

pytest.importorskip("playwright")

from console_browser import KINDS, Viewer, chromium
from playwright.sync_api import expect

from coherence_console.context import Context
from coherence_console.server import Console, Served
from specs import catalogue
from specs.checker import check
from specs.checker.itf import itf
from specs.models.mesi import mesi
from specs.session import Session

pytestmark = pytest.mark.slow

BROKEN = "/explorer/mesi?set=broken%3Dswmr"
ODD = """
from specs.checker import Action, Model, always
name = "<img src=x onerror=alert(1)>\\u202eevil"
def actions(n):
    for k in range(3):
        yield Action(name, f"p{k}", "deliver", "p0", "<b>x</b>"), n + 1
odd = Model("odd", [0], actions, [always("</script><script>alert(2)</script>", lambda n: n < 2)])
"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as made:
        yield made


@pytest.fixture(scope="module")
def served():
    with Served(Console(Context(model="mesi"))) as made:
        yield made


@pytest.fixture
def viewer(browser, served):
    made = Viewer(browser, served.url)
    yield made
    made.close()


def path_of(page):
    return parse_qs(urlsplit(page.url).query).get("path", ["0"])[0]


def at_step(page, step):
    expect(page).to_have_title(re.compile(rf"step {step}\b"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_view_in_every_window(browser, served, kind):
    viewer = Viewer(browser, served.url, kind)
    lasso = Session(mesi(requests=1, live=True))
    found = check(mesi(requests=1, live=True)).counterexample
    numbers = ".".join(map(str, lasso.follow(found)))
    views = {
        "/explorer": ".panel",
        BROKEN: ".choices button",
        f"{BROKEN}&path=0.1.3.0.0": ".tag.bad",
        f"/explorer/mesi?set=requests%3D1&set=live%3Dtrue&path={numbers}&loop={found.loop}": (
            ".lasso"
        ),
    }
    for path, shown in views.items():
        viewer.visit(path, shown)
        assert viewer.page.locator("h1").count() == 1
        assert not viewer.is_wide, path
        viewer.page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
        assert viewer.axe() == [], path
    assert viewer.trouble == []
    viewer.close()


def test_the_command_line_opens_its_model(viewer):
    viewer.page.wait_for_selector(".choices button")
    assert urlsplit(viewer.page.url).path == "/explorer/mesi"
    assert "token" not in viewer.page.url


def test_a_journey_by_keyboard(viewer):
    page = viewer.page
    viewer.visit(BROKEN, ".choices button")
    for key, step, path in [
        ("2", 1, "0.1"),
        ("4", 2, "0.1.3"),
        ("1", 3, "0.1.3.0"),
        ("ArrowLeft", 2, "0.1.3"),
        ("ArrowLeft", 1, "0.1"),
        ("ArrowRight", 2, "0.1.3"),
        ("End", 3, "0.1.3.0"),
        ("1", 4, "0.1.3.0.0"),
    ]:
        page.keyboard.press(key)
        at_step(page, step) if step < 4 else page.wait_for_selector("text=Violated here: swmr")
        assert path_of(page) == path
    expect(page).to_have_url(re.compile("at="))
    where = page.url
    page.keyboard.press("Home")
    at_step(page, 0)
    page.go_back()
    page.wait_for_selector("text=Violated here: swmr")
    assert page.url == where
    page.keyboard.press("r")
    at_step(page, 5)
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    assert "one random step" in page.locator("dialog").inner_text()
    assert viewer.trouble == []


def test_from_opening_to_standing_on_the_violation(viewer):
    page = viewer.page
    viewer.visit(BROKEN, ".choices button")
    page.get_by_role("button", name="Check all states").click()
    page.get_by_role("link", name=re.compile("To the violation")).wait_for()
    page.keyboard.press("v")
    page.wait_for_selector("text=Violated here")
    assert page.locator(".verdicts .tag.bad").first.is_visible()
    for drawn in (".sequence .message", ".changed"):
        page.wait_for_selector(drawn, state="attached")


def test_a_check_beside_a_page_that_stays_usable(viewer):
    page = viewer.page
    viewer.visit("/explorer/mesi?set=caches%3D3&set=live%3Dtrue", ".choices button")
    page.get_by_role("button", name="Check all states").click()
    page.get_by_role("button", name="Cancel").wait_for()
    page.keyboard.press("1")
    at_step(page, 1)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("cancelled").wait_for()
    assert viewer.trouble == []


def test_a_lasso_begins_again_at_its_end(viewer):
    page = viewer.page
    model = catalogue.factory("causal-endless")()
    path = check(model).counterexample
    numbers = Session(model).follow(path)
    assert (len(path), path.loop) == (18, 4)
    way = ".".join(map(str, numbers))
    viewer.visit(f"/explorer/causal-endless?path={way}&loop=4", ".lasso path")
    page.get_by_text("From step 4 on it repeats for ever").wait_for()
    assert page.locator(".steps .looping").count() == 14
    page.keyboard.press("ArrowRight")
    at_step(page, 5)
    page.keyboard.press("ArrowLeft")
    at_step(page, 4)
    page.keyboard.press("End")
    at_step(page, 18)
    short = ".".join(map(str, numbers[:-1]))
    viewer.visit(f"/explorer/causal-endless?path={short}&loop=4", ".steps")
    page.get_by_text("The path does not return to step 4").wait_for()


def test_another_initial_state(viewer):
    page = viewer.page
    viewer.visit("/explorer/token-ring", ".choices button")
    page.get_by_role("button", name="Next", exact=True).click()
    expect(page).to_have_url(re.compile("path=1"))
    page.get_by_text("Initial state 2 of").wait_for()
    page.keyboard.press("1")
    expect(page).to_have_url(re.compile(r"path=1\.0"))


def test_a_search_on_the_path_and_beyond(viewer):
    page = viewer.page
    viewer.visit("/explorer/die-hard", ".choices button")
    page.get_by_label("Field").fill("1")
    page.get_by_label("Value").fill("4")
    page.get_by_role("button", name="Nearest state").click()
    at_step(page, 6)
    page.get_by_role("button", name="On this path").click()
    page.wait_for_selector("text=True at 1 step")
    page.get_by_label("Field").fill("a..b")
    page.get_by_role("button", name="On this path").click()
    page.wait_for_selector("text=names no field")


def test_a_path_that_leads_elsewhere_says_so(viewer):
    viewer.visit("/explorer/mesi?path=0.0&at=0123456789abcdef", ".notice.warn")
    assert "lead elsewhere" in viewer.page.locator(".notice").inner_text()
    assert "at=0123456789abcdef" in viewer.page.url, "the link is not mended silently"
    viewer.visit("/explorer/mesi?path=0.0.77", ".notice.warn")
    assert "Shown: the path up to step 1" in viewer.page.locator(".notice").inner_text()


def test_only_some_processes(viewer):
    page = viewer.page
    viewer.visit("/explorer/mesi?path=0.0.0", ".sequence")
    page.get_by_role("checkbox", name="b", exact=True).check()
    expect(page).to_have_url(re.compile("only=b"))
    page.wait_for_selector("text=of other processes left out")
    choices = page.locator(".choices button")
    expect(choices.filter(has_not_text=re.compile(r"\(b, |from b"))).to_have_count(0)
    assert choices.count() > 0


def test_a_trace_goes_out_and_comes_in(viewer, tmp_path):
    page = viewer.page
    viewer.visit(f"{BROKEN}&path=0.1.3.0.0", ".sequence")
    with page.expect_download() as downloading:
        page.get_by_role("button", name="ITF", exact=True).click()
    file = tmp_path / "path.itf.json"
    downloading.value.save_as(file)
    broken = mesi(broken="swmr")
    assert file.read_bytes() == itf(Session(broken).path([0, 1, 3, 0, 0]), broken.slots)
    viewer.visit(BROKEN, ".choices button")
    page.locator("input[type=file]").set_input_files(file)
    page.wait_for_selector("text=Violated here: swmr")
    viewer.visit("/explorer/die-hard", ".choices button")
    page.locator("input[type=file]").set_input_files(file)
    page.wait_for_selector("text=The model does not have this path")
    page.keyboard.press("ArrowRight")
    at_step(page, 1)
    assert page.locator(".changed").count() > 0
    assert viewer.trouble == []


def test_names_of_others_are_text(browser, tmp_path):
    file = tmp_path / "odd_names.py"
    file.write_text(ODD)
    with Served(Console(Context(model=str(file)))) as served:
        viewer = Viewer(browser, served.url)
        page = viewer.page
        page.on("dialog", lambda dialog: viewer.trouble.append(dialog.message))
        page.wait_for_selector(".choices button")
        page.keyboard.press("1")
        at_step(page, 1)
        page.keyboard.press("1")
        page.wait_for_selector("text=Violated here")
        assert page.locator("script").count() == 1
        assert page.locator("main img").count() == 0
        assert "\\u202e" in page.locator(".choices").inner_text()
        assert viewer.trouble == []
        viewer.close()


def test_the_state_is_filtered_and_defaults_are_hidden(viewer):
    page = viewer.page
    viewer.visit("/explorer/mesi?path=0.0", ".sequence")
    state = page.locator(".panel", has=page.get_by_role("heading", name="State"))
    assert "dead_through" not in state.inner_text()
    state.get_by_role("checkbox").check()
    assert "dead_through" in state.inner_text()
    state.get_by_label("Filter").fill("home")
    assert "CacheState" not in state.inner_text()
    page.keyboard.press("Tab")
    page.keyboard.press("1")
    at_step(page, 2)
    assert state.get_by_label("Filter").input_value() == "home", "kept from step to step"


def test_a_large_state_is_cut_and_can_be_had(browser, tmp_path):
    file = tmp_path / "large_state.py"
    file.write_text(
        "from specs.checker import Model\n"
        "big = tuple((f'k{n}', 'x' * 400) for n in range(3_000))\n"
        "model = Model('big', [big], lambda s: [('more', (*s, ('last', 'y')))])\n"
    )
    with Served(Console(Context(model=str(file)))) as served:
        viewer = Viewer(browser, served.url)
        page = viewer.page
        page.wait_for_selector(".choices button")
        page.get_by_text("2,900 parts are not shown").wait_for()
        page.get_by_role("button", name="whole text").first.click()
        page.wait_for_selector(".whole")
        assert "x" * 400 in page.locator(".whole").inner_text()
        page.keyboard.press("1")
        at_step(page, 1)
        assert page.locator(".changed", has_text="last").count() == 1
        viewer.close()


def test_a_path_of_a_thousand_steps(viewer):
    page = viewer.page
    path = ".".join(["0"] + ["0", "2"] * 500)
    viewer.visit(f"/explorer/die-hard?path={path}", ".steps")
    at_step(page, 1000)
    assert "900 earlier steps" in page.locator(".steps").inner_text()
    page.keyboard.press("ArrowLeft")
    at_step(page, 999)
    page.keyboard.press("Home")
    at_step(page, 0)
    page.keyboard.press("End")
    at_step(page, 1000)
