"""The console in Chromium, as a reader has it: four kinds of pages, and what goes wrong on them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[1]
#: The accessibility rules; `make vendor` brings them, and no release contains them.
AXE = ROOT / "vendor" / "node_modules" / "axe-core" / "axe.min.js"
#: By name: the colour scheme, and the size of the window.
KINDS = {
    "light1280": ("light", 1280, 800),
    "dark1280": ("dark", 1280, 800),
    "light390": ("light", 390, 844),
    "dark390": ("dark", 390, 844),
}


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser.  Skips the test without the extra `browser` or Chromium: `make browser`."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip("needs the extra `browser`")
    if program is None:
        pytest.skip("needs Chromium (apt install chromium)")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Viewer:
    """A page of one kind.  `url` is the one that the command prints."""

    def __init__(self, browser: Any, url: str, kind: str = "light1280") -> None:
        scheme, width, height = KINDS[kind]
        self.base = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        self._context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            reduced_motion="reduce",
        )
        self.page = self._context.new_page()
        #: Console messages, exceptions, and requests to other hosts.
        self.trouble: list[str] = []
        self.page.on("console", lambda each: self.trouble.append(f"{each.type}: {each.text}"))
        self.page.on("pageerror", lambda each: self.trouble.append(f"raised: {each}"))
        self.page.on("request", lambda each: self._asked(each.url))
        self.page.goto(url)
        self.page.wait_for_selector("h1")

    def _asked(self, url: str) -> None:
        if not url.startswith((f"{self.base}/", "data:", f"blob:{self.base}/")):
            self.trouble.append(f"elsewhere: {url}")

    def visit(self, path: str, shown: str = "h1") -> None:
        """Open a path, and wait for what should be shown."""
        self.page.goto(self.base + path)
        self.page.wait_for_selector(shown)

    def axe(self) -> list[str]:
        """What the accessibility rules find on the page; skips where they are not installed."""
        if not AXE.exists():
            pytest.skip("needs axe-core (make vendor)")
        # The rules are evaluated from outside the page, so the policy of the page stays in force.
        # A report's frame is sandboxed: no rule can be asked there, and the attempt is a warning.
        session = self._context.new_cdp_session(self.page)
        frame = session.send("Page.getFrameTree")["frameTree"]["frame"]["id"]
        world = session.send("Page.createIsolatedWorld", {"frameId": frame, "worldName": "axe"})
        where = {"contextId": world["executionContextId"]}
        session.send("Runtime.evaluate", {"expression": AXE.read_text("utf-8"), **where})
        found = session.send(
            "Runtime.evaluate",
            {
                "expression": "axe.run({iframes: false})"
                ".then(found => found.violations.map(each => "
                "`${each.id}: ${each.nodes[0].html.slice(0, 120)}`))",
                "awaitPromise": True,
                "returnByValue": True,
                **where,
            },
        )
        session.detach()
        return list(found["result"]["value"])

    @property
    def is_wide(self) -> bool:
        """Whether the page scrolls sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > innerWidth"))

    def close(self) -> None:
        """Close the page."""
        self._context.close()
