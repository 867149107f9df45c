"""Progress on standard error, for runs longer than two seconds."""

from __future__ import annotations

import threading
from time import monotonic
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PATIENCE_S = 2.0


class Runs:
    """A bar on a terminal; elsewhere a plain line at most every two seconds."""

    def __init__(self, *, quiet: bool = False) -> None:
        console = Console(stderr=True)
        self._quiet = quiet
        self._terminal = console.is_terminal
        self._bar = Progress(
            TextColumn("simulating"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("runs", total=None)
        # A timer, since a single run may take long.
        self._timer = threading.Timer(PATIENCE_S, self._bar.start)
        self._timer.daemon = True
        self._told = monotonic()

    def __enter__(self) -> Runs:
        if self._terminal and not self._quiet:
            self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if self._bar.live.is_started:
            self._bar.stop()

    def advance(self, done: int, asked: int) -> None:
        """Show that `done` of `asked` runs are over."""
        self._bar.update(self._task, completed=done, total=asked)
        if self._terminal or self._quiet or monotonic() - self._told < PATIENCE_S:
            return
        self._told = monotonic()
        self._bar.console.print(f"simulated {done} of {asked} runs")
