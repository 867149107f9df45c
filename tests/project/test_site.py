"""The documentation site: its pages and its navigation, and in a browser what a reader sees.

`test_the_site_in_a_browser` needs Chromium (apt install chromium; pip install playwright) and is
skipped without it.
"""

from __future__ import annotations

import functools
import http.server
import os
import re
import runpy
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

ROOT = Path(__file__).parents[2]
STAGE = runpy.run_path(str(ROOT / "docs" / "stage.py"))
CONFIG = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
#: Pages of each kind: text, tables with diagrams, a reference, a framework's, code, wide tables.
SEEN = (
    "index.html",
    "tables.html",
    "architecture.html",
    "adapters/langgraph.html",
    "api/workspace.html",
    "api/policies.html",
    "studies/3-the-references.html",
)


def listed(nav: list) -> Iterator[str]:
    """The pages of the navigation."""
    for entry in nav:
        for value in entry.values():
            yield from listed(value) if isinstance(value, list) else [value]


def test_every_page_is_in_the_navigation():
    pages = {name for name in STAGE["pages"]() if name.endswith(".md")}
    # The source of a file is reached by a link, and the README is what visitors of the code see.
    pages = {name for name in pages if not name.startswith("source/")} - {"readme.md"}
    nav = list(listed(CONFIG["nav"]))
    assert sorted(nav) == sorted(pages), "zensical.toml and docs/ differ"


def test_every_public_name_is_in_the_reference():
    import causal
    import coherence

    said = "".join(text for name, text in STAGE["pages"]().items() if name.startswith("api/"))
    for package in (coherence, causal):
        for name in package.__all__:
            assert said.count(f"::: {package.__name__}.{name}\n") == 1


def test_a_link_to_a_file_leads_to_its_source(tmp_path):
    page = ROOT / "README.md"
    sources: set[Path] = set()
    text = "[a](examples/ten_lines.py) [b](docs/causal.md#rules-of-use) [c](https://a.b/c.md)\n"
    text += "```sh\n[a](examples/own_policy.py)\n```\n"

    class Said(type(page)):
        def read_text(self, **_kwargs):
            return text

    shown = STAGE["page"](Said(page), sources)
    assert "[a](source/examples/ten_lines.py.md)" in shown
    assert "[b](causal.md#rules-of-use)" in shown
    assert "[c](https://a.b/c.md)" in shown
    assert "[a](examples/own_policy.py)" in shown
    assert sources == {ROOT / "examples/ten_lines.py"}


# The site as it is built


class Links(HTMLParser):
    """What a page links to or loads, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") in ("stylesheet", "preload", "icon"):
            self.loads.append(given["href"])
        elif given.get("src"):
            self.loads.append(given["src"])
        self.anchors |= {given[key] for key in ("id", "name") if given.get(key)}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built from the checkout in a folder of its own."""
    programs = [ROOT / ".venv-docs" / "bin", Path(sys.executable).parent]
    search = os.pathsep.join([*map(str, programs), os.environ["PATH"]])
    zensical = shutil.which("zensical", path=search)
    if zensical is None:
        pytest.skip("zensical is not installed: make docs")
    folder = tmp_path_factory.mktemp("site")
    for name in ("adapters", "causal", "coherence", "docs", "message_passing", "specs"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "zensical.toml", folder)
    STAGE["stage"](folder / "build" / "docs")
    done = subprocess.run(
        [zensical, "build", "--strict"],
        cwd=folder,
        # Beside it is ruff, which mkdocstrings calls to break signatures.
        env=os.environ | {"PATH": search},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    # Of a docstring that cannot be found zensical warns, even if it is strict.
    assert "No issues found" in said
    assert not re.search(r"warning|error", said, re.IGNORECASE), said
    return folder / "site"


def parsed(site: Path) -> dict[Path, Links]:
    return {page: Links(page.read_text(encoding="utf-8")) for page in site.rglob("*.html")}


@pytest.mark.slow
def test_every_link_of_the_site_leads_somewhere(site):
    pages = parsed(site)
    broken = []
    for page, found in pages.items():
        for link in found.links + found.loads:
            if re.match(r"(https?|mailto|data):", link) or page.name == "404.html":
                continue
            path, anchor = urldefrag(link)
            target = (page.parent / unquote(path)).resolve() if path else page
            target = target / "index.html" if target.is_dir() else target
            known = pages.get(target)
            if not target.exists() or (anchor and known and unquote(anchor) not in known.anchors):
                broken.append(f"{page.relative_to(site)}: {link}")
    assert broken == []


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere(site):
    loads = {load for found in parsed(site).values() for load in found.loads}
    assert loads
    assert [load for load in loads if re.match(r"(https?:)?//", load)] == []


@pytest.mark.slow
def test_each_public_name_is_rendered(site):
    import coherence

    pages = parsed(site)
    anchors = set().union(*(found.anchors for found in pages.values()))
    assert [name for name in coherence.__all__ if f"coherence.{name}" not in anchors] == []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"::</p>|:\w+:<code>", text), f"{page}: a docstring is not Markdown"


@pytest.fixture
def address(site) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_args):
            pass

    handler = functools.partial(Quiet, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_the_site_in_a_browser(address):
    """No error, no request elsewhere, nothing wider than the window; search finds a page."""
    browsers = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    faults = []
    with browsers.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            for width in (1280, 390):
                page = browser.new_page(
                    viewport={"width": width, "height": 900}, color_scheme=scheme
                )
                page.on(
                    "console",
                    lambda said: said.type in ("error", "warning") and faults.append(said.text),
                )
                page.on("pageerror", lambda error: faults.append(str(error)))
                page.on(
                    "request",
                    lambda sent: (
                        sent.url.startswith((address, "data:", "blob:")) or faults.append(sent.url)
                    ),
                )
                for name in SEEN:
                    page.goto(address + name)
                    page.wait_for_load_state("networkidle")
                    root = "document.documentElement"
                    wide = page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")
                    if wide > 0:
                        faults.append(f"{name} at {width}: {wide} pixels too wide")
                    shown = page.evaluate(
                        "[...document.querySelectorAll('img')].filter(i => i.offsetWidth).map("
                        "i => [i.src, i.naturalWidth])"
                    )
                    for source, pixels in shown:
                        assert pixels > 0, source
                        assert f"-{scheme}.svg" in source or "pictures/" not in source
                page.close()
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address + "index.html")
        page.wait_for_load_state("networkidle")
        page.keyboard.press("Control+k")
        page.wait_for_function("document.activeElement !== document.body")
        page.keyboard.type("GrantTimeout", delay=20)
        found = "a[href*='api/errors.html?'][href$='#coherence.GrantTimeout']"
        page.locator(found).first.wait_for(timeout=10_000)
        browser.close()
    assert faults == []
