"""The engines for composites: tables in Python or the compiled kernel, on one core or several."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

from specs.checker import table
from specs.checker.composite import Composite
from specs.checker.search import Exploration, Watch, judged_in_steps
from specs.checker.table import TableSearch

#: From this many states on the kernel repays its start-up, and `auto` switches to it.
KERNEL_FROM = 300_000

#: For the kernel look-ups are cheap and missing entries expensive: fuse less.
KERNEL_FUSE_KEYS_MAX = 256


def explore(
    composite: Composite[Any],
    watch: Watch,
    *,
    engine: str,
    symmetry: bool,
    workers: int = 1,
    digest: bool = False,
) -> Exploration:
    """Search with the table engine, or with the compiled kernel if asked for and possible.

    `digest` says that all states will be asked for.
    """
    reason = "" if engine == "table" else why_no_kernel(symmetry)
    if engine == "table" or reason:
        found: Exploration = _table_search(composite, watch, symmetry, workers, digest).run()
        if reason:
            found.notes.append(f"engine: table; the kernel was not used: {reason}")
        return found
    search = TableSearch(composite, watch)
    found = search.run(states_max=KERNEL_FROM if engine == "auto" else table.WARM_UP)
    if found.stopped != table.HANDED_OVER:
        found.alone = "so few states repay no others"
        if engine == "auto":
            found.notes.append(f"engine: table, for fewer than {KERNEL_FROM:,} states")
        return found
    started = watch.elapsed_s
    from specs.checker.compiled import WORDS_MAX, CompiledSearch

    loading_s = watch.elapsed_s - started
    if search.tables.layout.width > 64 * WORDS_MAX:
        again = _table_search(composite, watch, symmetry, workers, digest).run()
        again.notes.append(f"engine: table; a state takes {search.tables.layout.width} bits")
        return again
    known = search.found.order()
    latest = known[len(known) // 2 :: len(known) // (2 * table.FUSE_SAMPLE) + 1]
    search.tables.rebundle(latest, KERNEL_FUSE_KEYS_MAX)
    compiled = CompiledSearch(composite, search.tables, watch, workers).run()
    compiled.compile_s += loading_s
    if compiled.workers > 1:
        compiled.notes.append(f"shared by {compiled.workers} threads")
    compiled.notes.append(f"engine: numba, exact states of {search.tables.layout.width} bits")
    return compiled


def why_no_kernel(symmetry: bool) -> str:
    """Why the compiled kernel cannot take this search, or ""."""
    if symmetry:
        return "it does not reduce by symmetry"
    if find_spec("numba") is None:
        return "numba is not installed (pip install numba)"
    return ""


def _table_search(
    composite: Composite[Any], watch: Watch, symmetry: bool, workers: int, digest: bool
) -> TableSearch:
    """The search in this process, or the one that processes share."""
    alone = (
        "a search under symmetry is not divided"
        if symmetry
        else "a search that judges steps is not divided by the table engine"
        if judged_in_steps(composite.properties)
        else "there is no program to start others with"
        if not sys.executable
        else ""
    )
    if workers == 1 or alone:
        search = TableSearch(composite, watch, symmetry=symmetry)
        search.found.alone = alone
        return search
    from specs.checker.partitioned import PartitionedSearch

    keep = digest or any(prop.is_liveness for prop in composite.properties)
    return PartitionedSearch(composite, watch, workers=workers, keep=keep)
