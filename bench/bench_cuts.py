"""Cuts against reads one by one, and rows that are locked together against one row.

    python bench/bench_cuts.py [--postgres URL]

Without an address PostgreSQL is measured on a server of its own, with fsync off, if its programs
are installed.  A read one by one is the row and its version, as a command reads.  *held*: the cut
leaves out all contents.  Medians of the rounds, in milliseconds, interleaved.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from coherence.stores.opening import open_store
from coherence.stores.port import Store
from coherence.stores.promises import publish, write

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
CUT, LOCKED, ROUNDS = 20, 32, 101
TEXT = "a line of text in an artifact\n" * 100


def works(store: Store) -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    names = [f"docs/{number:02}.md" for number in range(LOCKED)]
    for name in names:
        publish(store, name, name + TEXT)
    asked = names[:CUT]
    held = {
        name: (each.version, each.entry.handle.digest)
        for name, each in store.cut(asked)[0].items()
        if each.entry is not None
    }

    def one_by_one() -> None:
        for name in asked:
            stored = store.row(name)
            assert stored is not None
            store.read(name, stored.row.state.version)

    def lock(number: int) -> None:
        with store.transaction(publishes=False) as tx:
            tx.load_all(names[:number])

    def commit(number: int) -> None:
        with store.transaction(publishes=True) as tx:
            tx.load_all(names[:number])
            write(tx, names[0], TEXT)

    return {
        f"cut of {CUT}": lambda: store.cut(asked),
        f"cut of {CUT}, held": lambda: store.cut(asked, held),
        f"{CUT} one by one": one_by_one,
        "listing": store.listing,
        "lock 1": lambda: lock(1),
        f"lock {LOCKED}": lambda: lock(LOCKED),
        "write 1": lambda: commit(1),
        f"write 1, load {LOCKED}": lambda: commit(LOCKED),
    }


def measured(store: Store) -> dict[str, float]:
    """The median of each, in milliseconds."""
    todo = works(store)
    times: dict[str, list[float]] = {name: [] for name in todo}
    for number in range(-5, ROUNDS):  # the first are to warm up
        for name, work in todo.items():
            begun = perf_counter()
            work()
            if number >= 0:
                times[name].append((perf_counter() - begun) * 1000)
    return {name: median(each) for name, each in times.items()}


@contextmanager
def urls(postgres: str | None) -> Iterator[dict[str, str]]:
    """The stores that can be had here."""
    from postgres_server import Server, programs

    found = programs()
    server = Server(found) if found is not None and postgres is None else None
    with tempfile.TemporaryDirectory() as folder:
        stores = {"memory": "memory://", "sqlite": f"sqlite:///{folder}/team.db"}
        try:
            if server is not None:
                stores["postgres"] = server.fresh()
            elif postgres is not None:
                stores["postgres"] = postgres
            yield stores
        finally:
            if server is not None:
                server.close()


def main(
    postgres: Annotated[str | None, typer.Option(help="the address of a database")] = None,
) -> None:
    with urls(postgres) as stores:
        seen = {}
        for kind, url in stores.items():
            with closing(open_store(url)) as store:
                seen[kind] = measured(store)
    table = Table("ms", *seen)
    for name in next(iter(seen.values())):
        table.add_row(name, *(f"{figures[name]:.3f}" for figures in seen.values()))
    for over, under in (
        (f"{CUT} one by one", f"cut of {CUT}"),
        (f"lock {LOCKED}", "lock 1"),
        (f"write 1, load {LOCKED}", "write 1"),
    ):
        ratios = (f"{figures[over] / figures[under]:.1f}" for figures in seen.values())
        table.add_row(f"{over} / {under}", *ratios)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
