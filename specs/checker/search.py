"""Common parts of the engines: the form of an exploration, budgets, and state properties.

All engines search breadth first, one level at a time, and stop between levels.  So their counts do
not depend on the order of states within a level, and all engines give the same figures, also for a
violated model.
"""

from __future__ import annotations

import gc
import time
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from specs.checker.composite import Composite
from specs.checker.errors import PropertyError
from specs.checker.model import Action, Model, Property
from specs.checker.part import memory_mib
from specs.checker.purity import Repeater
from specs.checker.result import Budget, Moment, OnProgress, Progress

#: A property's answer for one state: nothing, antecedent true, or decided.
NOTHING, MET, DECIDED = 0, 1, 2

#: A search reads the clock after this many states at the latest.
STATES_BETWEEN_CHECKS = 4096


@dataclass(slots=True)
class StateGraph:
    """A stored state graph in three integer arrays: edges of state i are offsets[i:i+1]."""

    initial: Sequence[int]
    offsets: array[int]
    targets: array[int]
    labels: array[int]
    actions: list[Action]

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass
class Exploration(ABC):
    """A finished search.  States are named by their number in the order of discovery."""

    engine: str
    distinct: int = 0
    generated: int = 0
    depth: int = 0
    actions: set[str] = field(default_factory=set)
    #: Why it ended early; "" also if a violation ended it.
    stopped: str = ""
    #: First state that decides each property (violates an `always`, witnesses a `reachable`); for a
    #: claim on steps, a state with a step that violates it.
    decided: dict[str, int] = field(default_factory=dict)
    #: Properties whose antecedent was true somewhere, or that some step was about.
    met: set[str] = field(default_factory=set)
    deadlock: int | None = None
    #: Whether every reachable state was expanded.
    complete: bool = False
    #: Whether the search left out states that others stand for.
    partial: bool = False
    #: How many known states are outside `within`, and were not expanded.
    beyond: int = 0
    #: How many threads or processes searched, and why no more did where one searched alone.
    workers: int = 1
    alone: str = "this engine uses one core"
    step_calls: int = 0
    compile_s: float = 0.0
    notes: list[str] = field(default_factory=list)
    #: Calls that are repeated once more when the search has ended.
    repeaters: list[Repeater] = field(default_factory=list)

    def every_state(self) -> Iterator[Any]:
        """All plain states that the search knows, those out of bounds too."""
        return map(self.state, range(self.distinct + self.beyond))

    @abstractmethod
    def path(self, state: int) -> list[Moment]:
        """A shortest path from an initial state to `state`."""

    @abstractmethod
    def graph(self) -> StateGraph:
        """The whole graph; only of a complete search."""

    @abstractmethod
    def evaluate(self, predicate: Callable[[Any], bool], what: str) -> bytearray:
        """`predicate` in every state, as 0 and 1.  `what` names it in an error."""

    @abstractmethod
    def state(self, state: int) -> Any:
        """The plain state with this number."""


class Watch:
    """Holds a search to its budget and reports on it, about once a second."""

    def __init__(self, budget: Budget, on_progress: OnProgress | None = None) -> None:
        self._budget = budget
        self._on_progress = on_progress
        self._start = time.perf_counter()
        self._reported = self._start
        #: Resident size of other processes that search.
        self.elsewhere_mib = 0.0

    @property
    def elapsed_s(self) -> float:
        """Seconds since the search began."""
        return time.perf_counter() - self._start

    def exceeded(self, distinct: int, generated: int, depth: int, queue: int) -> str:
        """Which limit has been passed, in words, or ""."""
        now = time.perf_counter()
        budget = self._budget
        if budget.states is not None and distinct > budget.states:
            return f"budget of {budget.states} states"
        if budget.seconds is not None and now - self._start > budget.seconds:
            return f"budget of {budget.seconds:g} s"
        if budget.memory_mib is not None and self._memory_mib() > budget.memory_mib:
            return f"budget of {budget.memory_mib:g} MiB"
        if self._on_progress is not None and now - self._reported >= 1.0:
            self._reported = now
            self._on_progress(
                Progress(distinct, generated, depth, queue, now - self._start, self._memory_mib())
            )
        return ""

    def _memory_mib(self) -> float:
        return memory_mib() + self.elsewhere_mib


@contextmanager
def few_collections() -> Iterator[None]:
    """Collect garbage less often for a while: a search makes many objects that stay, no cycles."""
    before = gc.get_threshold()
    gc.set_threshold(200_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def truth(predicate: Callable[[Any], bool], view: Any, what: object) -> bool:
    """`predicate(view)`; raises `PropertyError` about `what` if it raises or gives no answer."""
    try:
        answer = predicate(view)
    except Exception as error:
        raise PropertyError(
            f"{what} raised {type(error).__name__}: {error}; in state {view!r}",
            remedy="a predicate must answer in every reachable state, and name what exists there",
        ) from error
    if answer is True or answer is False:
        return answer
    raise PropertyError(
        f"{what} answered {answer!r} in state {view!r}",
        remedy="a predicate must answer True or False",
    )


def is_cut(model: Model[Any, Any] | Composite[Any], state: Any) -> bool:
    """Whether the model's limit leaves out a step in a plain state."""
    return model.limit is not None and any(True for _ in model.limit.left_out(state))


def may_rest(model: Model[Any, Any] | Composite[Any], state: Any) -> bool:
    """Whether a plain state without successors is terminal, or only the limit has stopped it."""
    if model.terminal is not None:
        seen = state if model.view is None else model.view(state)
        if truth(model.terminal, seen, "`terminal`"):
            return True
    return is_cut(model, state)


def judge(prop: Property[Any], view: Any) -> int:
    """The answer of a property for one state: `NOTHING`, `MET` or `DECIDED`."""
    if prop.kind == "reachable":
        return DECIDED if truth(prop.predicate, view, prop) else NOTHING
    if prop.when is not None and not truth(prop.when, view, prop):
        return NOTHING
    if not truth(prop.predicate, view, prop):
        return DECIDED
    return MET if prop.when is not None else NOTHING


def judge_step(prop: Property[Any], before: Any, action: Action, after: Any) -> int:
    """The answer of a property for one step that changes the state, given the two views."""
    assert prop.steps is not None
    try:
        allowed = prop.steps.allows(before, action, after)
    except PropertyError:
        raise
    except Exception as error:
        raise PropertyError(
            f"{prop} raised {type(error).__name__}: {error}; in {action} from {before!r}",
            remedy="a claim on steps must answer True or False for every step",
        ) from error
    if allowed is None:
        return NOTHING
    return MET if allowed else DECIDED


def violating_step(
    model: Model[Any, Any], prop: Property[Any], state: Any
) -> tuple[Action, Any] | None:
    """The first step from `state` that violates a claim on steps, or None.

    A state outside `within` has no steps.
    """
    if model.within is not None and not truth(model.within, model.seen(state), "`within`"):
        return None
    before = model.seen(state)
    for action, after in model.successors(state):
        if after != state and judge_step(prop, before, action, model.seen(after)) == DECIDED:
            return action, after
    return None


def judge_start(
    found: Exploration, properties: Sequence[Property[Any]], start: Callable[[], Iterable[Any]]
) -> bool:
    """Judge claims on initial states, given the views of states 0, 1, ...; True if one fails."""
    for prop in judged_in_steps(properties):
        for number, view in enumerate(start()):
            if not truth(prop.predicate, view, prop):
                found.decided[prop.name] = number
                return True
    return False


def judged_in_states(properties: Sequence[Property[Any]]) -> list[Property[Any]]:
    """The properties that single states decide."""
    return [prop for prop in properties if not prop.is_liveness and prop.steps is None]


def judged_in_steps(properties: Sequence[Property[Any]]) -> list[Property[Any]]:
    """The properties that single steps decide."""
    return [prop for prop in properties if prop.steps is not None]
