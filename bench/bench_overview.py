"""What `coherence status --watch` costs: CPU of a look at a workspace, in milliseconds.

    python bench/bench_overview.py

Looks are at a SQLite file, opened to read as the command does.  *at rest*: nothing was committed
since the last look; *moved*: so many artifacts were written; *first*: everything is read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import closing
from statistics import median
from time import process_time

from coherence import Workspace
from coherence.stores.opening import open_store
from coherence.workspace.overview import Observer

ARTIFACTS, AGENTS, ROUNDS = 2_000, 50, 9


def spent_ms(work: Callable[[], object]) -> float:
    begun = process_time()
    work()
    return (process_time() - begun) * 1000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/team.db"
        with Workspace(url) as workspace:
            agents = [workspace.agent(f"agent-{n}") for n in range(AGENTS)]
            for number in range(ARTIFACTS):
                agents[number % AGENTS].write(f"docs/{number:04}.md", "text\n" * 20)
            with closing(open_store(url, create=False, readonly=True)) as store:
                figures = {"first": [spent_ms(Observer(store).look) for _ in range(ROUNDS)]}
                observer = Observer(store)
                observer.look()
                figures["at rest"] = [spent_ms(observer.look) for _ in range(ROUNDS)]
                for moved in (1, 25, 100):
                    found = figures[f"{moved} moved"] = []
                    for _ in range(ROUNDS):
                        for number in range(moved):
                            agents[0].update(f"docs/{number:04}.md", lambda text: text + "!\n")
                        found.append(spent_ms(observer.look))
    print(f"{ARTIFACTS:,} artifacts, {AGENTS} agents, median of {ROUNDS}")
    for what, times in figures.items():
        print(f"{what:10} {median(times):8.2f} ms")


if __name__ == "__main__":
    main()
