"""Protocol tables, and the one loop that runs them.

An automaton is a literal table ``(state, event) -> row``.  A row names its small named operations,
the next state, the TLA+ action and its source.  `Automaton.step` finds the row, runs its operations
on a scratch copy of the state and freezes the result.  No other code changes protocol state.  There
are three kinds of cell:

* a *row*: as above; an empty list of operations and ``=`` for the state mean "ignored";
* a *stall*: the event must wait; the driver keeps it and offers it again.  Nothing changes;
* *nothing*: the event cannot happen in this state.  It raises `Impossible`.

After a row has run, an automaton may find that an internal event follows, such as "the last
acknowledgement is in" or "an agent waits and the artifact is free".  An internal event has its own
rows, which run in the same step.

``coherence tables`` prints both tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Generic, NoReturn, TypeAlias, TypeVar

from message_passing.errors import CallerError, Impossible
from message_passing.process import Command, Event, Step, Time

S = TypeVar("S")
X = TypeVar("X", bound="Scratch[Any]")

SAME = "="
Runs: TypeAlias = tuple[Callable[[X], None], ...]
Compiled: TypeAlias = tuple[Runs[X], Any, str]
"""A cell to be run: its functions, the next state, the action."""


class Stalled(CallerError):
    """The process is busy with an earlier request of the same caller."""

    remedy = "wait for the answer to the request under way; a driver queues requests"


@dataclass(frozen=True)
class Op(Generic[X]):
    """One named operation of a row: its text in the printed table, and its function."""

    text: str
    run: Callable[[X], None]
    #: The operation's cost, as an effect of `coherence.tokens`; empty if it is free.
    tokens: str = ""


@dataclass(frozen=True)
class Row(Generic[X]):
    """In any of the states `at`, when any of the events `on` happens: run `do`, go to `to`.

    `at` and `on` are lists separated by spaces; ``=`` for `to` is the state itself.
    """

    at: str
    on: str
    do: tuple[Op[X], ...]
    to: str
    action: str
    source: str
    stall: bool = False

    @property
    def tokens(self) -> str:
        """The token effect of the row."""
        return ", ".join(op.tokens for op in self.do if op.tokens)


def Stall(at: str, on: str, source: str) -> Row[Any]:
    """A row that makes its events wait."""
    return Row(at, on, (), SAME, "Stall", source, stall=True)


class Scratch(Generic[S]):
    """A state being rewritten by one step, with the commands so far."""

    __slots__ = ("at", "now", "out")

    at: Any
    now: Time
    out: list[Command[Any, Any]]

    def freeze(self) -> S:
        """The state after the step."""
        raise NotImplementedError


class Table(Generic[X]):
    """A named automaton as data: states in order, events in order of first appearance, cells.

    Raises `ValueError` for a cell given twice or a state that is not among `states`.
    """

    def __init__(self, name: str, states: Iterable[str], rows: Iterable[Row[X]]) -> None:
        self.name = name
        self.states = tuple(states)
        member = {str(state): state for state in self.states}
        self.rows = tuple(rows)
        self.cells: dict[tuple[str, str], Row[X]] = {}
        for row in self.rows:
            for at, on in product(row.at.split(), row.on.split()):
                if at not in member or row.to not in (*member, SAME):
                    raise ValueError(f"{name}: unknown state in {row.at} -> {row.to}")
                if (at, on) in self.cells:
                    raise ValueError(f"{name}: cell ({at}, {on}) is given twice")
                self.cells[at, on] = replace(row, at=at, on=on)
        self.events = tuple(dict.fromkeys(on for row in self.rows for on in row.on.split()))
        #: state -> event -> cell
        self.compiled: dict[Any, dict[str, Compiled[X]]]
        self.compiled = {at: _Cells(name, at) for at in self.states}
        for (at, on), row in self.cells.items():
            runs: Runs[X] = tuple(op.run for op in row.do)
            if row.stall:
                runs = (_stalling(f"{name}: {on} must wait in {at}"),)
            self.compiled[at][on] = (runs, member.get(row.to, member[at]), row.action)

    def changed(self, at: str, on: str, row: Row[X] | None) -> Table[X]:
        """A copy with one cell replaced, or removed where `row` is None: a mutant."""
        cells = {**self.cells, (at, on): row}
        return Table(self.name, self.states, [cell for cell in cells.values() if cell is not None])


class _Cells(dict[str, Compiled[X]]):
    """The cells of one state.  Raises `Impossible` for an event without a cell."""

    def __init__(self, name: str, at: str) -> None:
        super().__init__()
        self.name, self.at = name, at

    def __missing__(self, on: str) -> NoReturn:
        raise Impossible(f"{self.name}: {on} cannot happen in {self.at}")


def _stalling(why: str) -> Callable[[Any], None]:
    def stall(x: Any) -> None:
        raise Stalled(why)

    return stall


class Automaton(Generic[S, X]):
    """A process whose every transition is a row of its table."""

    table: Table[X]
    #: Makes a scratch copy from this process, its state and the time.
    scratch: Callable[[Any, S, Time], X]

    def classify(self, x: X, event: Event[Any, Any]) -> str:
        """The table's name for `event` in the state that `x` holds: its kind and its guards.

        Stores the event's details in `x`.
        """
        raise NotImplementedError

    def follows(self, x: X) -> str | None:
        """The internal event that follows by itself, or None where the step is complete."""
        return None

    def step(self, state: S, event: Event[Any, Any], now: Time) -> Step[S]:
        """One transition; see `message_passing.process.Process.step`.

        Raises `Impossible` for a cell that cannot be reached and `Stalled` for one that must wait.
        """
        x = self.scratch(self, state, now)
        compiled = self.table.compiled
        runs, to, action = compiled[x.at][self.classify(x, event)]
        while True:
            for run in runs:
                run(x)
            x.at = to
            on = self.follows(x)
            if on is None:
                return Step(x.freeze(), tuple(x.out), action)
            runs, to, _ = compiled[x.at][on]
