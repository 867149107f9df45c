"""The team, an artifact and an agent in Chromium, as a reader has them, by pointer and by keys."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

import pytest
from console_browser import KINDS, Viewer, chromium
from console_client import PLAN, Running, shown, source, working

from coherence import Workspace
from coherence_console.context import Context
from coherence_console.server import Console, Served, serve

#: Each page, and what is there once it is drawn.
PAGES = {
    "/team": ".matrix [data-row], .card",
    "/team?show=contested&order=name": ".matrix [data-row], .card",
    "/team?artifact=plan.md": ".details, .card",
    "/team?filter=no-such-thing": "text=No artifact matches.",
    "/artifact/plan.md": ".text tr.add",
    "/artifact/plan.md?view=blame": ".text td",
    "/artifact/plan.md?view=content": ".text td",
    "/artifact/gone.md": "text=This artifact was deleted.",
    "/artifact/data.bin?view=content": "text=3 B of bytes",
    "/agent/bob": "text=Versions published",
    "/nowhere": "text=There is no such page.",
}
#: Pages of what is not there, for which the browser itself reports the answer 404.
MISSING = {
    "/artifact/nothing": "text=No version",
    "/agent/nobody": "text=knows no agent",
}


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def viewer(browser, running):
    seen = Viewer(browser, running.url)
    yield seen
    seen.close()


@pytest.mark.slow
def test_what_an_agent_does_is_seen_at_once(team, viewer):
    page = viewer.page
    page.wait_for_selector(f"text={PLAN}")
    assert "token" not in page.url
    assert page.evaluate("document.cookie") == ""
    with team.agent("ann").edit(PLAN) as draft:
        page.wait_for_selector(".matrix .cell.held")
        assert page.locator(".matrix .busy .grant").inner_text().endswith("left")
        draft.text = "# Other\n"
    page.wait_for_selector(".matrix .row:not(.busy) >> text=@3")
    team.agent("dan").write("new/é.md", "text")
    page.wait_for_selector("text=new/é.md")
    assert viewer.trouble == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_page_is_whole(browser, shared, kind):
    viewer = Viewer(browser, shared.url, kind)
    faults = {}
    for path, there in (PAGES | MISSING).items():
        viewer.visit(path, there)
        if found := viewer.axe():
            faults[path] = found
        if viewer.is_wide:
            faults[path] = [*faults.get(path, []), "it scrolls sideways"]
        assert viewer.page.locator("h1").count() == 1
    viewer.close()
    assert faults == {}
    assert len([each for each in viewer.trouble if "404" in each]) == len(MISSING)
    assert [each for each in viewer.trouble if "404" not in each] == []


@pytest.mark.slow
def test_the_team_by_keys_alone(viewer):
    page, keys = viewer.page, viewer.page.keyboard
    page.wait_for_selector(".matrix [data-row]")
    keys.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    keys.press("Enter")
    keys.press("Shift+?")
    page.wait_for_selector("dialog[open] >> text=go to the filter")
    keys.press("Escape")
    keys.press("/")
    keys.type("plan")
    page.wait_for_function("() => document.querySelectorAll('.matrix [data-row]').length === 1")
    assert page.url.endswith("filter=plan")
    for _ in range(3):  # the filter, what is shown, the order, the matrix
        keys.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "grid"
    for _ in range(5):
        keys.press("ArrowRight")
    active = page.evaluate(
        "document.getElementById(document.activeElement.getAttribute('aria-activedescendant'))"
        ".getAttribute('aria-label')"
    )
    assert active.startswith("bob: ")
    assert "wrote the current version" in active
    keys.press("Enter")
    page.wait_for_selector(".details >> text=bob")
    keys.press("Escape")
    page.wait_for_selector(".details", state="detached")
    keys.press("Home")
    keys.press("Enter")
    page.wait_for_selector(".text tr.add")
    assert page.evaluate("document.activeElement.tagName") == "H1"
    keys.press("b")
    page.wait_for_selector("[aria-label=Blame]")
    keys.press("[")
    page.wait_for_function("() => location.search.includes('b=1')")
    keys.press("]")
    page.wait_for_function("() => location.search.includes('b=2')")
    page.go_back()
    page.wait_for_selector(".matrix [data-row]")
    assert viewer.trouble == []


@pytest.mark.slow
def test_a_pause_holds_what_is_shown(team, viewer):
    page = viewer.page
    page.wait_for_selector(".matrix [data-row]")
    page.keyboard.press("p")
    page.wait_for_selector("button >> text=Go on")
    team.agent("ann").write("later.md", "text")
    page.wait_for_selector("text=Go on (1 moved)")
    assert page.locator("text=later.md").count() == 0
    page.keyboard.press("p")
    page.wait_for_selector("text=later.md")
    page.click("text=Keys")
    page.uncheck("text=Single keys act")
    page.click("text=Close")
    page.keyboard.press("p")
    assert page.locator("button >> text=Go on").count() == 0
    assert viewer.trouble == []


#: Names that no artifact can be given, put into the file by hand, and one of an earlier release.
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    '"><script>alert(1)</script>',
    "\u202egnp.exe",
    "javascript:alert(1)",
    "../../etc/passwd",
    "a b%2f?x=1#token=evil",
)


@pytest.mark.slow
def test_hostile_names_and_contents_are_text(browser, tmp_path, monkeypatch):
    path = tmp_path / "team.db"
    url = f"sqlite:///{path}"
    with working(url) as workspace:
        agent = workspace.agent("<b>eve</b>".replace("<", "(").replace(">", ")"))
        for number, name in enumerate(HOSTILE):
            agent.write(f"name-{number}", f"</script><script>alert(1)</script>\n{name}\n")
    with closing(sqlite3.connect(path)) as db, db:
        for number, name in enumerate(HOSTILE):
            db.execute("UPDATE artifact SET name = ? WHERE name = ?", (name, f"name-{number}"))
    with shown(Context(source=source(url))) as running:
        viewer = Viewer(browser, running.url)
        page = viewer.page
        page.on("dialog", lambda each: viewer.trouble.append(f"dialog: {each.message}"))
        for name in HOSTILE:
            visible = name.replace("\u202e", r"\u202e")
            viewer.visit("/team?order=name", ".matrix [data-row]")
            link = page.locator(".matrix .first a", has_text=re.compile(re.escape(visible[-12:])))
            link.first.click()
            page.wait_for_selector(".text tr.add")
            assert page.locator("h1").inner_text() == visible
            assert page.locator(".text").first.inner_text().count("alert(1)") >= 1
            viewer.visit(page.url.removeprefix(viewer.base), ".text tr.add")
            assert page.locator("h1 bdi").inner_text() == visible
        assert page.locator("script").count() == 1
        assert page.locator("img").count() == 0
        viewer.close()
    assert viewer.trouble == []


@pytest.mark.slow
def test_without_the_token_there_is_nothing_to_see(browser, shared):
    viewer = Viewer(browser, f"{shared.base}/#token=wrong")
    page = viewer.page
    page.wait_for_selector("text=Open the URL that the command printed")
    assert PLAN not in page.content()
    # A tab that was opened without it takes the token when its URL is pasted.
    page.goto(shared.url)
    page.wait_for_selector(f"text={PLAN}")
    viewer.close()
    assert [each for each in viewer.trouble if "401" not in each] == []


@pytest.mark.slow
def test_a_browser_that_the_command_opens_gets_the_token_by_a_code(browser, team, url):
    console = Console(Context(source=source(url)))
    with Served(console):
        viewer = Viewer(browser, console.url_once)
        viewer.page.wait_for_selector(f"text={PLAN}")
        viewer.page.reload()
        viewer.page.wait_for_selector(f"text={PLAN}")
        assert "#" not in viewer.page.url
        viewer.close()
    assert viewer.trouble == []


@pytest.mark.slow
def test_another_site_learns_nothing(browser, shared):
    """A page of another port asks with all that a browser lets it."""
    with shown(Context()) as other:
        viewer = Viewer(browser, other.url)
        page = viewer.page
        page.goto("about:blank")
        asked = (
            "fetch('{0}/api/team', {{mode: '{1}', headers: {2}}}).then(r => r.type + r.status,"
            " e => 'refused')"
        )
        found = [
            page.evaluate(asked.format(shared.base, "cors", "{}")),
            page.evaluate(
                asked.format(shared.base, "cors", f"{{Authorization: 'Bearer {shared.token}'}}")
            ),
            page.evaluate(asked.format(shared.base, "no-cors", "{}")),
        ]
        assert found == ["refused"] * 3
        viewer.close()


@pytest.mark.slow
def test_a_console_that_ends_is_said_and_one_that_comes_back_is_heard(browser, team, url):
    running = Running(Context(source=source(url), hz=20.0))
    viewer = Viewer(browser, running.url)
    page = viewer.page
    page.wait_for_selector("text=live")
    running.close()
    page.wait_for_selector("text=the console does not answer")
    viewer.close()


@pytest.mark.slow
def test_a_workspace_in_memory_in_a_browser(browser):
    with Workspace() as workspace:
        workspace.agent("ann").write(PLAN, "one\n")
        with serve(workspace) as served:
            viewer = Viewer(browser, served.url)
            viewer.visit(f"/artifact/{PLAN}", ".text tr.add")
            year = viewer.page.locator("time").first.get_attribute("datetime")[:4]
            assert int(year) > 2000
            viewer.close()
            assert viewer.trouble == []


@pytest.mark.slow
def test_contested_artifacts_come_first_and_no_row_jumps_under_the_pointer(team, viewer):
    page = viewer.page
    names = "[...document.querySelectorAll('.matrix [data-row] .first')].map(e => e.title)"
    page.wait_for_function(f"() => {names}[0] === 'plan.md'")  # a write of it was refused
    page.locator(".matrix [data-row]").first.hover()
    with team.agent("ann").edit("notes/a.md"), team.agent("bob").edit("data.bin"):
        page.wait_for_selector(".matrix .cell.held >> nth=1")
        assert page.evaluate(names)[0] == "plan.md"
        page.mouse.move(5, 5)
        page.select_option("label:has-text('Show') select", "held")
        page.wait_for_function(f"() => {names}.join() === 'data.bin,notes/a.md'")
        page.select_option("label:has-text('Order') select", "name")
        assert "order=name&" in page.url or page.url.endswith("order=name")
    page.wait_for_selector("text=No artifact matches.")
    assert viewer.trouble == []


@pytest.mark.slow
def test_a_large_artifact_is_cut_and_that_is_said(team, viewer):
    agent = team.agent("ann")
    agent.write("long.md", "x" * 900_000)
    agent.write("many.md", "".join(f"line {n}\n" for n in range(80_000)))
    viewer.visit("/artifact/long.md?view=content", "text=896,000 more characters")
    viewer.visit("/artifact/many.md", "text=lines are not shown")
    assert viewer.page.locator(".text tr").count() <= 1501
    viewer.visit("/artifact/many.md?view=blame", "text=more lines are not shown")
    assert viewer.trouble == []
