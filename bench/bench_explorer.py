"""The time that a reader of the console's explorer waits, in Chromium.

How soon `mesi` with three caches (1,924,732 states) opens, and a link to the end of a path; the
time from a key to the frame that shows its step; and for every pinned case that is violated, from
opening the model to standing on the violation, with the check of all its states between.  A state
that is never reached is a violation without a place, so it is listed and not timed.

    python bench/bench_explorer.py [--keys 400] [--only TEXT]

Times are by the clock, so the machine should have nothing else to do.  It needs the extra `browser`
and Chromium (apt install chromium).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import time
from urllib.parse import urlencode

from bench_console import Server

from coherence_console.models import settings_of
from specs import catalogue
from specs.checker import Verdict

LARGE = [("set", "caches=3"), ("set", "live=true")]
#: The time from a key to the frame that shows what it did.
KEY = """
key => new Promise(done => {
  const from = performance.now();
  const shown = () => document.querySelector('[role=status] .number')?.textContent;
  const before = shown();
  const took = () => performance.now() - from;
  const step = () => shown() !== before ? done(took()) : requestAnimationFrame(step);
  dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
  requestAnimationFrame(step);
})
"""


def link(name: str, *parts: tuple[str, str]) -> str:
    return f"/explorer/{name}?{urlencode(parts)}"


def opened(tab, url: str, shown: str = ".choices button") -> float:
    began = time.monotonic()
    tab.goto(url)
    tab.wait_for_selector(shown)
    return time.monotonic() - began


def percentile(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


def walk(tab, base: str, keys: int) -> None:
    """Opening, keys, and a link to where they led."""
    print(f"mesi, three caches: opened in {opened(tab, base + link('mesi', *LARGE)):.2f} s")
    further = tab.get_by_role("button", name="Random step")
    times: dict[str, list[float]] = {"r": [], "ArrowLeft": [], "ArrowRight": []}
    where, steps = tab.url, 0
    while sum(map(len, times.values())) < keys:
        while further.is_enabled():
            times["r"].append(tab.evaluate(KEY, "r"))
        where, steps = tab.url, int(re.search(r"step (\d+)", tab.title())[1])
        for key in ("ArrowLeft", "ArrowRight") * (steps // 2):
            times[key].append(tab.evaluate(KEY, key))
        tab.evaluate(KEY, "Home")
    for key, took in times.items():
        print(
            f"  key to frame, {key} ({len(took)}): median {statistics.median(took):.0f} ms, "
            f"95 % {percentile(took, 0.95):.0f} ms, longest {max(took):.0f} ms"
        )
    tab.goto("about:blank")
    print(f"  a link to step {steps}: {opened(tab, where, '.steps'):.2f} s")


def violations(tab, base: str, only: str) -> None:
    """From opening a model to standing on its violation."""
    from playwright.sync_api import TimeoutError

    took: dict[str, float] = {}
    missed = []
    for case in catalogue.cases():
        parts = [("set", f"{key}={value}") for key, value in settings_of(case).items()]
        if case.expect is not Verdict.VIOLATED or only not in (where := link(case.name, *parts)):
            continue
        tab.goto("about:blank")
        began = time.monotonic()
        tab.goto(base + where)
        tab.get_by_role("button", name="Check all states").click()
        try:
            tab.get_by_role("link", name=re.compile("To the violation")).click()
            tab.wait_for_selector("text=Violated here")
        except TimeoutError:
            missed.append(where)
        else:
            took[where] = time.monotonic() - began
    slow = {where: each for where, each in took.items() if each > 2}
    print(
        f"{len(took)} violated cases: median {statistics.median(took.values()):.2f} s, "
        f"95 % {percentile(list(took.values()), 0.95):.2f} s, over 2 s: {len(slow)}"
    )
    for where in missed:
        print(f"  no place in 20 s: {where}")
    for where, each in sorted(slow.items(), key=lambda item: -item[1]):
        print(f"  {each:.1f} s {where}")


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=int, default=400)
    parser.add_argument("--only", default="", help="cases whose address contains this")
    options = parser.parse_args()
    server = Server("--model", "mesi")
    print(f"1 min load {os.getloadavg()[0]:.1f}")
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        tab = browser.new_page(viewport={"width": 1280, "height": 800})
        tab.set_default_timeout(20_000)
        tab.goto(server.url)
        tab.wait_for_selector("h1")
        base = server.url.partition("/#")[0]
        walk(tab, base, options.keys)
        violations(tab, base, options.only)
        browser.close()
    server.end()


if __name__ == "__main__":
    main()
