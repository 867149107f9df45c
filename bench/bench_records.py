"""Records of a store: what a tally adds to a write, a refused write, and looks at 2,000 artifacts.

    python bench/bench_records.py [URL] [--rounds N]

Without a URL, a SQLite file in a new folder.  A round writes with and without a tally in turns, and
ratios are those within one round, so that what else the machine does shows in both.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter, process_time

from coherence.contents import Limits, check_content
from coherence.states import HomeState
from coherence.stores.archive import archive_of
from coherence.stores.opening import open_store
from coherence.stores.port import Entry, HomeRow, Store
from coherence.stores.promises import publish, refused
from coherence.stores.records import Tally

ARTIFACTS = 2_000
CALLS = 20
COUNTED = [Tally("2026-11-29", "ann", "plan.md", full=2, served_tokens=800, writes=1)]


def write(store: Store, text: str, tallies: list[Tally]) -> None:
    """The next version of plan.md, as a workspace writes it."""
    handle = check_content(text, Limits())
    with store.transaction(publishes=True) as tx:
        stored = tx.load("plan.md")
        version = stored.row.state.version + 1 if stored is not None else 1
        row = HomeRow(HomeState(version=version, content=handle))
        tx.save("plan.md", row, stored.revision if stored is not None else 0)
        tx.publish("plan.md", Entry(version, handle, "ann", tx.now), text)
        tx.append("plan.md", version, "ann", ())
        if tallies:
            tx.tally(tallies)


def each_us(call: Callable[[], object], clock: Callable[[], float]) -> float:
    """The time of one of `CALLS` calls, in microseconds."""
    begun = clock()
    for _ in range(CALLS):
        call()
    return (clock() - begun) / CALLS * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", nargs="?", default="")
    parser.add_argument("--rounds", type=int, default=50)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = archive_of(open_store(arguments.url or f"sqlite:///{folder}/team.db"))
        try:
            measure(store, arguments.rounds)
        finally:
            store.close()


def measure(store: Store, rounds: int) -> None:
    """Print a line for each call."""
    for what, clock in (("CPU", process_time), ("wall", perf_counter)):
        plain: list[float] = []
        counted: list[float] = []
        for _ in range(rounds):
            for times, tallies in ((plain, []), (counted, COUNTED)):
                times.append(each_us(partial(write, store, "text", tallies), clock))
        ratio = median(one / other for one, other in zip(counted, plain, strict=True))
        print(f"write {median(plain):.0f} us {what}, with a tally {ratio:.3f} of that")
    for number in range(ARTIFACTS):
        publish(store, f"docs/section-{number % 40:02}/note-{number:04}.md", "text")
    names = [name for name, _, _ in store.revisions()]
    calls: dict[str, Callable[[], object]] = {
        f"revisions of {len(names)}": store.revisions,
        f"rows of {len(names)}": lambda: store.rows(names),
        f"newest versions of {len(names)}": lambda: store.latest(names),
        "rows of 20": lambda: store.rows(names[:20]),
        "now": store.now,
        "a refused write": lambda: store.refuse(refused("plan.md", 0.0, "-a\n+b\n"), 100),
    }
    for what, call in calls.items():
        cpu, wall = (
            [each_us(call, clock) for _ in range(10)] for clock in (process_time, perf_counter)
        )
        print(f"{what}: {median(cpu):.0f} us CPU, {median(wall):.0f} us wall")


if __name__ == "__main__":
    main()
