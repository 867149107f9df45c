"""The row mutator: what would notice if a cell of a table were wrong.

    python tests/coherence/mutation.py [--runs N] > tests/coherence/mutants.txt

The mutants are those of `specs.mutants`.  Each is put before three judges: random teams under the
invariants (`fuzzing`), the transcripts, the row tests.  Only the runs and transcripts that reach
the cell are played: the others are equal.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Annotated, Any

import cells
import play
import typer
from fuzzing import CASES, Run
from rich.progress import track

from coherence.table import Table
from message_passing.errors import Impossible
from specs.mutants import Cell, Mutant, mutants, watched


class Judges:
    """Who catches a mutant.  `runs` random runs of each case are looked at for cells."""

    def __init__(self, runs: int, tries: int = 40) -> None:
        self.tries = tries
        self.pinned = {name: cells.pinned(name) for name in cells.TABLES}
        self.texts = {path.stem: path.read_text(encoding="utf-8") for path in play.TRANSCRIPTS}
        #: Which runs and which transcripts reach a cell.
        self.runs: dict[Cell, list[tuple[str, int]]] = defaultdict(list)
        self.transcripts: dict[Cell, list[str]] = defaultdict(list)
        for seed in range(runs):
            for case in CASES:
                for cell in self._seen(lambda tables, c=case, s=seed: Run(CASES[c], s, tables)()):
                    self.runs[cell].append((case, seed))
        for stem, text in self.texts.items():
            for cell in self._seen(lambda tables, t=text: play.played(t, tables)):
                self.transcripts[cell].append(stem)

    def _seen(self, work: Callable[[dict[str, Table[Any]]], Any]) -> set[Cell]:
        seen: set[Cell] = set()
        work(watched(seen))
        return seen

    def simulation(self, mutant: Mutant) -> str:
        """What the random runs say: the invariant or demand that broke, or nothing."""
        tables = {mutant.cell[0]: mutant.table}
        for case, seed in self.runs[mutant.cell][: self.tries]:
            try:
                Run(CASES[case], seed, tables)()
            except Impossible:
                return "impossible"
            except Exception as error:
                return str(getattr(error, "name", "") or type(error).__name__)
        return ""

    def transcript(self, mutant: Mutant) -> str:
        """The first transcript that comes out differently, or nothing."""
        tables = {mutant.cell[0]: mutant.table}
        for stem in self.transcripts[mutant.cell]:
            try:
                if play.played(self.texts[stem], tables) != self.texts[stem]:
                    return stem
            except Exception:
                return stem
        return ""

    def rows(self, mutant: Mutant) -> bool:
        """Whether the row tests see it."""
        name, at, on = mutant.cell
        try:
            seen = cells.outcome(name, at, on, mutant.table)
        except Exception:
            return True
        return seen != self.pinned[name][at, on]

    def verdict(self, mutant: Mutant) -> tuple[str, str]:
        """(judge, what it named): the first judge in the order of the module's head, or none."""
        if broken := self.simulation(mutant):
            return "simulation", broken
        if stem := self.transcript(mutant):
            return "transcripts", stem
        return ("rows", "") if self.rows(mutant) else ("none", "")


def main(
    runs: Annotated[int, typer.Option(help="Random runs of each case.")] = 40,
    table: Annotated[str, typer.Option(help="Only this table's mutants.")] = "",
) -> None:
    """Judge every mutant, and print how many fell to whom."""
    judges = Judges(runs)
    every = [m for name in cells.TABLES if table in ("", name) for m in mutants(name)]
    by: Counter[tuple[str, str, str]] = Counter()
    named: Counter[str] = Counter()
    missed: dict[str, list[str]] = defaultdict(list)
    for mutant in track(every, description="mutants", console=_stderr()):
        judge, what = judges.verdict(mutant)
        by[mutant.cell[0], mutant.kind, judge] += 1
        if judge == "simulation":
            named[what] += 1
        else:
            missed[judge].append(str(mutant))
    columns = ("simulation", "transcripts", "rows", "none")
    typer.echo(f"{'table':8}{'change':10}" + "".join(f"{c:>12}" for c in columns) + f"{'all':>8}")
    kinds = sorted({key[:2] for key in by})
    for name, kind in [*kinds, ("all", "")]:
        counts = [
            sum(n for (t, k, j), n in by.items() if j == c and (name in (t, "all")) and kind in k)
            for c in columns
        ]
        typer.echo(f"{name:8}{kind:10}" + "".join(f"{n:>12}" for n in counts) + f"{sum(counts):>8}")
    typer.echo("\nWhat the simulation named:")
    for what, count in named.most_common():
        typer.echo(f"  {count:5} {what}")
    for judge in ("none", "rows"):
        typer.echo(f"\nCaught by {'nothing' if judge == 'none' else 'the row tests only'}:")
        typer.echo("\n".join(f"  {name}" for name in missed[judge]) or "  -")


def _stderr() -> Any:
    from rich.console import Console

    return Console(stderr=True)


if __name__ == "__main__":
    typer.run(main)
