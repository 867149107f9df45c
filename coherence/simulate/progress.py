"""Progress on standard error, for runs longer than two seconds."""

from __future__ import annotations

import threading
from datetime import timedelta
from time import monotonic
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PATIENCE_S = 2.0


class Runs:
    """A bar on a terminal; elsewhere a plain line at most every two seconds, with the time left.

    `verb` and `unit` say what is done, and to what.
    """

    def __init__(self, *, quiet: bool = False, verb: str = "simulated", unit: str = "runs") -> None:
        console = Console(stderr=True)
        self._quiet, self._verb, self._unit = quiet, verb, unit
        self._terminal = console.is_terminal
        self._bar = Progress(
            TextColumn(f"{unit} {verb}"),
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
        #: When the first progress was told, and how much had been done by then.
        self._begun: tuple[float, int] | None = None

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
        """Show that `done` of `asked` are over."""
        now = monotonic()
        if self._begun is None:
            self._begun = now, done
        self._bar.update(self._task, completed=done, total=asked)
        if self._terminal or self._quiet or now - self._told < PATIENCE_S:
            return
        self._told = now
        began, first = self._begun
        left = remaining(now - began, done - first, asked - done)
        self._bar.console.print(f"{self._verb} {done} of {asked} {self._unit}{left}")


def remaining(elapsed_s: float, done: int, left: int) -> str:
    """How long what is `left` will take, as text, if it goes on as it went; or nothing."""
    if done <= 0 or left <= 0:
        return ""
    seconds = round(elapsed_s / done * left)
    return f", {timedelta(seconds=seconds)} left"
