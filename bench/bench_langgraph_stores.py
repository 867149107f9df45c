"""CoherentStore beside LangGraph's stores for databases, and what a process keeps of many items.

    python bench/bench_langgraph_stores.py [sqlite] [postgres] [memory] [--rounds N]

CPU microseconds a call of the whole process, medians over rounds in which the stores take turns,
and their ratio to LangGraph's store.  The forms: the workspace alone, by its URL; on PostgreSQL the
same with ``Lazy(validity=0)``, where each get is validated; LangGraph's store, wrapped.

`memory` puts 100,000 items of 500 bytes and says how many megabytes the process has grown after
each tenth of them.  A store that is wrapped keeps none of them here, so that what is seen is ours.

Needs langgraph-checkpoint-sqlite and langgraph-checkpoint-postgres, which come with psycopg_pool.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from langgraph.store.base import BaseStore, GetOp
from langgraph.store.memory import InMemoryStore

from coherence import Lazy, Workspace
from coherence_langgraph import CoherentStore

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

NS = ("proj", "team")
MANY = ("many",)
VALUE = {"plan": "x" * 2_000}
ITEMS = 5_000
PUT = 100_000

Work = Callable[[], object]
Forms = dict[str, BaseStore]
NUMBERS = count()


def works(store: BaseStore) -> dict[str, tuple[int, Work]]:
    """What is measured: how many calls a round has, and the call."""
    coherent = isinstance(store, CoherentStore)
    writer = store.as_agent("w") if coherent else store
    readers = [store.as_agent(f"r{n}") if coherent else store for n in range(4)]
    for n in range(ITEMS):
        writer.put(MANY, f"k{n}", {"n": n, "kind": "even" if n % 2 == 0 else "odd"})
    for agent in (writer, *readers):
        put(writer)
        agent.get(NS, "k")

    def shared() -> None:
        put(writer)
        for reader in readers:
            reader.get(NS, "k")

    gets = [GetOp(MANY, f"k{n}") for n in range(10)]
    return {
        "get": (200, lambda: writer.get(NS, "k")),
        "put": (50, lambda: put(writer)),
        "1 put, 4 gets": (20, shared),
        f"search of {ITEMS:,}": (
            5,
            lambda: writer.search(MANY, filter={"kind": "odd"}, limit=10),
        ),
        "batch of 10 gets": (20, lambda: writer.batch(gets)),
    }


def put(store: BaseStore) -> None:
    store.put(NS, "k", {**VALUE, "number": next(NUMBERS)})


def beside(forms: Forms, rounds: int) -> None:
    """Prints one line for each kind of call."""
    each = {name: works(store) for name, store in forms.items()}
    print(f"{'CPU us a call, and ratio':26}" + "".join(f"{name:>24}" for name in forms))
    for what in next(iter(each.values())):
        spent: dict[str, list[float]] = {name: [] for name in forms}
        for _ in range(rounds):
            for name in forms:
                calls, work = each[name][what]
                start = time.process_time()
                for _ in range(calls):
                    work()
                spent[name].append((time.process_time() - start) / calls * 1e6)
        medians = [statistics.median(times) for times in spent.values()]
        cells = (f"{one:16,.0f} {one / medians[0]:6.2f}x" for one in medians)
        print(f"{what:26}" + "".join(cells), flush=True)


@contextmanager
def sqlite() -> Iterator[Forms]:
    from langgraph.store.sqlite import SqliteStore

    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())

        def plain(name: str) -> BaseStore:
            store = stack.enter_context(SqliteStore.from_conn_string(f"{folder}/{name}.db"))
            store.setup()
            return store

        yield {
            "SqliteStore": plain("plain"),
            "workspace": stack.enter_context(CoherentStore(f"sqlite:///{folder}/url.db")),
            "wrapped": stack.enter_context(CoherentStore(plain("wrapped"))),
        }


@contextmanager
def postgres() -> Iterator[Forms]:
    import postgres_server
    from langgraph.store.postgres import PostgresStore

    programs = postgres_server.programs()
    if programs is None:
        sys.exit(postgres_server.MISSING)
    server = postgres_server.Server(programs)
    try:
        with ExitStack() as stack:

            def plain() -> BaseStore:
                store = stack.enter_context(PostgresStore.from_conn_string(server.fresh()))
                store.setup()
                return store

            validated = stack.enter_context(Workspace(server.fresh(), policy=Lazy(validity=0)))
            yield {
                "PostgresStore": plain(),
                "workspace": stack.enter_context(CoherentStore(server.fresh())),
                "validity=0": stack.enter_context(CoherentStore(validated)),
                "wrapped": stack.enter_context(CoherentStore(plain())),
            }
    finally:
        server.close()


def grown() -> None:
    """Prints what each form has grown by, in processes of their own."""
    for form in ("sqlite", "wrapped, workspace sqlite", "wrapped"):
        subprocess.run([sys.executable, __file__, "--grow", form], check=True)


def grow(form: str) -> None:
    """Puts many items by one process; a tenth at a time, how much larger it is."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/team.db"
        if form == "sqlite":
            store = CoherentStore(url)
        else:
            store = CoherentStore(_Nowhere(), workspace=None if form == "wrapped" else url)
        before, sizes = resident_mb(), []
        for number in range(PUT):
            store.put(("many", str(number % 100)), f"k{number}", {"text": "x" * 500, "n": number})
            if (number + 1) % (PUT // 10) == 0:
                sizes.append(f"{resident_mb() - before:4.0f}")
        print(f"MB grown, {form:26}" + " ".join(sizes), flush=True)


class _Nowhere(InMemoryStore):
    """Keeps nothing."""

    def batch(self, ops: Any) -> list[Any]:
        return [None for _ in ops]


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", help="sqlite, postgres, memory; all if none is named")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--grow", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.grow:
        grow(options.grow)
        return
    known = {"sqlite": sqlite, "postgres": postgres, "memory": None}
    for what in options.what or known:
        if what not in known:
            parser.error(f"{what!r}: choose from {', '.join(known)}")
        if (opened := known[what]) is None:
            grown()
            continue
        try:
            with opened() as forms:
                beside(forms, options.rounds)
        except ModuleNotFoundError as error:
            print(f"{what}: not measured, {error.name} is not installed; see --help")


if __name__ == "__main__":
    main()
