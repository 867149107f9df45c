"""The cost of an open console: to the writers, to its server and to the browser.

Two processes of 25 agents each read and write 2,000 artifacts of one SQLite file, at 200 operations
a second in all, with a console and one page that listens, and without.  The figure is the writers'
CPU time an operation, in alternating pairs, judged by Wilcoxon's signed-rank test; beside it is
what the server has spent.  With `--page` a real page is opened in Chromium instead (the extra
`browser`, apt install chromium): how soon it shows rows, updates a second, the CPU time of the main
thread and of its tasks, frames while it scrolls, and the time that a filter takes.

    python bench/bench_console.py [--pairs 9] [--seconds 4] [--rate 200]
    python bench/bench_console.py --page [--seconds 15] [--rate 200]
"""

from __future__ import annotations

import argparse
import http.client
import multiprocessing as mp
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from itertools import product
from pathlib import Path

import msgspec

from coherence import Conflict, GrantTimeout, Workspace

ARTIFACTS, AGENTS, PROCESSES = 2000, 50, 2
CONSOLE = "from coherence_console.cli import app; app(prog_name='coherence console')"
#: Chromium's rules for a task that a reader notices.
LONG_MS = 50


def name(number: int) -> str:
    return f"docs/part-{number // 100:02}/section-{number % 100:03}.md"


def fill(path: Path) -> None:
    """A store as a team leaves it."""
    draw = random.Random(1)
    with Workspace(f"sqlite:///{path}") as workspace:
        agents = [workspace.agent(f"agent-{number:02}") for number in range(AGENTS)]
        for number in range(ARTIFACTS):
            draw.choice(agents).write(name(number), "text\n" * draw.randrange(1, 60))


def work(number: int, path: str, rate: float, seconds: float, told) -> None:
    """One process of agents: mostly updates of the same few hundred, some drafts, some stale."""
    draw = random.Random(number)
    workspace = Workspace(f"sqlite:///{path}")
    share = AGENTS // PROCESSES
    agents = [workspace.agent(f"agent-{number * share + each:02}") for each in range(share)]
    for agent in agents:
        for each in draw.sample(range(400), 60):
            agent.read(name(each))
    told.put(None)
    begun, cpu, done = time.monotonic(), time.process_time(), 0
    while (now := time.monotonic()) < begun + seconds:
        due = begun + done / rate
        if due > now:
            threading.Event().wait(due - now)
        done += 1
        agent, each = draw.choice(agents), min(int(draw.expovariate(1 / 150)), ARTIFACTS - 1)
        try:
            agent.read(name(each))
            if draw.random() < 0.05:
                with agent.edit(name(each), wait_s=1.0) as draft:
                    draft.text = (draft.text + "x")[-1500:]
            elif draw.random() < 0.05:
                draw.choice(agents).update(name(each), lambda text: text[-1500:] + "y")
                agent.write(name(each), "stale")
            else:
                agent.update(name(each), lambda text: text[-1500:] + "z")
        except (Conflict, GrantTimeout):
            pass
    told.put((done, time.process_time() - cpu))
    told.close()
    told.join_thread()
    os._exit(0)  # leaving takes longer than the work, and is not measured


class Load:
    """The writers, who begin when the block does."""

    def __init__(self, path: Path, rate: float, seconds: float) -> None:
        context = mp.get_context("spawn")
        self.told = context.Queue()
        given = (str(path), rate / PROCESSES, seconds, self.told)
        self.running = [context.Process(target=work, args=(n, *given)) for n in range(PROCESSES)]

    def __enter__(self) -> Load:
        for process in self.running:
            process.start()
        for _ in self.running:
            self.told.get(timeout=120)
        return self

    def __exit__(self, *_error: object) -> None:
        for process in self.running:
            process.join()

    def cpu_ms(self) -> tuple[float, int]:
        """CPU milliseconds an operation, and the operations."""
        found = [self.told.get(timeout=120) for _ in self.running]
        done = sum(count for count, _ in found)
        return 1e3 * sum(cpu for _, cpu in found) / done, done


class Server:
    """`coherence console` in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CONSOLE, *arguments],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        address, _, self.token = self.url.partition("/#token=")
        self.port = int(address.rpartition(":")[2])
        self.events = self.bytes = 0

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def listen(self) -> None:
        """As one page does, in a thread of this process."""
        line = http.client.HTTPConnection("127.0.0.1", self.port)
        line.request("GET", "/api/team/events", headers={"Authorization": f"Bearer {self.token}"})
        answer = line.getresponse()
        answer.readline()
        answer.readline()

        def read() -> None:
            for text in iter(answer.readline, b""):
                self.events += text.startswith(b"event: moved")
                self.bytes += len(text)

        threading.Thread(target=read, daemon=True).start()

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(60)


def once(full: Path, folder: Path, rate: float, seconds: float, *, console: bool):
    """One run on a copy of its own: the writers' figure, and the server's if there is one."""
    path = folder / "run.db"
    for old in folder.glob("run.db*"):
        old.unlink()
    for part in full.parent.glob(f"{full.name}*"):
        shutil.copy(part, folder / part.name.replace(full.name, "run.db"))
    server = Server("--store", f"sqlite:///{path}") if console else None
    if server:
        server.listen()
    with Load(path, rate, seconds) as load:
        before, began = server.cpu_s() if server else 0.0, time.monotonic()
        events, sent = (server.events, server.bytes) if server else (0, 0)
        ms, done = load.cpu_ms()
    spent = None
    if server:
        took = time.monotonic() - began
        cpu = 100 * (server.cpu_s() - before) / took
        spent = (cpu, (server.events - events) / took, (server.bytes - sent) / took)
        server.end()
    return ms, done, spent


def signed_rank(differences: list[float]) -> float:
    """Wilcoxon's two-sided p, exactly, by all signs."""
    given = [each for each in differences if each]
    order = sorted(range(len(given)), key=lambda n: abs(given[n]))
    ranks = {n: rank for rank, n in enumerate(order, 1)}
    total = len(given) * (len(given) + 1) / 2
    seen = abs(sum(ranks[n] for n, each in enumerate(given) if each > 0) - total / 2)
    sums = [
        sum(rank for rank, sign in enumerate(signs, 1) if sign)
        for signs in product((0, 1), repeat=len(given))
    ]
    return sum(abs(each - total / 2) >= seen for each in sums) / len(sums)


def writers(full: Path, folder: Path, options: argparse.Namespace) -> None:
    without, beside, servers = [], [], []
    for pair in range(options.pairs):
        for console in (False, True) if pair % 2 else (True, False):
            ms, done, spent = once(full, folder, options.rate, options.seconds, console=console)
            (beside if console else without).append(ms)
            if spent:
                servers.append(spent)
        print(
            f"pair {pair + 1}: {without[-1]:.3f} without, {beside[-1]:.3f} with, {done} operations"
        )
    plain, open_ = statistics.median(without), statistics.median(beside)
    p = signed_rank([b - a for a, b in zip(without, beside, strict=True)])
    print(f"CPU an operation: {plain:.3f} ms without, {open_:.3f} ms with: {open_ / plain:.3f}")
    print(f"Wilcoxon's p of {options.pairs} pairs: {p:.3f}")
    print(
        f"server: {statistics.median(s[0] for s in servers):.1f} % of a core, "
        f"{statistics.median(s[1] for s in servers):.1f} events a second, "
        f"{statistics.median(s[2] for s in servers) / 1e3:.0f} kB a second"
    )


WATCH = """
window.frames_seen = 0;
const frame = () => { frames_seen++; requestAnimationFrame(frame); };
requestAnimationFrame(frame);
"""
COUNTS = "import('/static/lib/team.js').then(team => [team.tick.value, frames_seen])"
#: The time from a change to the frame that shows it.
FILTER = """
text => new Promise(done => {
  const field = document.querySelector('input[type=search]'), from = performance.now();
  field.value = text;
  field.dispatchEvent(new Event('input', {bubbles: true}));
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - from)));
})
"""
SCROLL = """
() => new Promise(done => {
  const box = document.querySelector('.matrix'), times = [];
  let last = performance.now(), n = 0;
  const step = now => {
    times.push(now - last);
    last = now;
    box.scrollTop += 120;
    if (++n < 120) requestAnimationFrame(step); else done(times.slice(1));
  };
  requestAnimationFrame(step);
})
"""


class Traced:
    """The tasks of the page's main thread while the block runs, by CPU time and by the clock."""

    def __init__(self, browser, tab) -> None:
        self._browser, self._tab = browser, tab
        self.cpu_ms: list[float] = []
        self.wall_ms: list[float] = []

    def __enter__(self) -> Traced:
        self._browser.start_tracing(page=self._tab, categories=["toplevel", "devtools.timeline"])
        self._began = time.monotonic()
        return self

    def __exit__(self, *_error: object) -> None:
        self.took = time.monotonic() - self._began
        events = msgspec.json.decode(self._browser.stop_tracing())["traceEvents"]
        main = {
            (each["pid"], each["tid"])
            for each in events
            if each["name"] == "thread_name" and each["args"]["name"] == "CrRendererMain"
        }
        for each in events:
            if each["name"].endswith("RunTask") and (each["pid"], each["tid"]) in main:
                self.cpu_ms.append(each.get("tdur", 0) / 1e3)
                self.wall_ms.append(each.get("dur", 0) / 1e3)

    def told(self) -> str:
        share = sum(self.cpu_ms) / self.took / 10
        long = [f"{each:.0f}" for each in self.cpu_ms if each > LONG_MS]
        waited = sum(each > LONG_MS for each in self.wall_ms)
        return (
            f"main thread {share:.1f} % of a core; longest task {max(self.cpu_ms):.0f} ms of CPU, "
            f"over {LONG_MS} ms: {', '.join(long) or 'none'} ({waited} by the clock)"
        )


def page(full: Path, folder: Path, options: argparse.Namespace) -> None:
    from playwright.sync_api import sync_playwright

    path = folder / "run.db"
    for part in full.parent.glob(f"{full.name}*"):
        shutil.copy(part, folder / part.name.replace(full.name, "run.db"))
    server = Server("--store", f"sqlite:///{path}")
    with sync_playwright() as started, Load(path, options.rate, options.seconds) as load:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        tab = browser.new_page(viewport={"width": 1280, "height": 800})
        tab.add_init_script(WATCH)
        began = time.monotonic()
        with Traced(browser, tab) as opening:
            tab.goto(server.url)
            tab.wait_for_selector(".matrix [data-row]")
            opened = time.monotonic() - began
        print(f"opened in {opened:.2f} s; {opening.told()}")
        with Traced(browser, tab) as quiet:
            first, cpu, began = tab.evaluate(COUNTS), server.cpu_s(), time.monotonic()
            tab.wait_for_timeout(5000)
            last, took = tab.evaluate(COUNTS), time.monotonic() - began
            share = 100 * (server.cpu_s() - cpu) / took
        ticks, frames = ((b - a) / took for a, b in zip(first, last, strict=True))
        rates = f"{ticks:.1f} updates, {frames:.0f} frames"
        print(f"watched: {rates} a second")
        print(f"  {quiet.told()}; server {share:.1f} %")
        with Traced(browser, tab) as filtered:
            texts = ("section-01", "agent-1", "", "part-19", "")
            took = [tab.evaluate(FILTER, text) for text in texts]
        print(f"filter: {', '.join(f'{each:.0f}' for each in took)} ms; {filtered.told()}")
        with Traced(browser, tab) as scrolled:
            times = tab.evaluate(SCROLL)
        print(
            f"scrolling: {1e3 / statistics.mean(times):.0f} frames a second, "
            f"longest {max(times):.0f} ms; {scrolled.told()}"
        )
        heap = tab.evaluate("performance.memory.usedJSHeapSize") / 1e6
        ms, done = load.cpu_ms()
        print(f"heap {heap:.0f} MB; {done} operations at {ms:.3f} ms of CPU")
        browser.close()
    server.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    # A page is watched while the agents still work.
    options.seconds = options.seconds or (15.0 if options.page else 4.0)
    with tempfile.TemporaryDirectory() as folder:
        full = Path(folder) / "full.db"
        fill(full)
        (page if options.page else writers)(full, Path(folder), options)


if __name__ == "__main__":
    main()
