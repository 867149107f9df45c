"""Mutants of functions: the guards of the protocols, and the bodies of their operations.

A mutant is the code of one function with one of the changes of `specs.code_edits`.
`specs.code_swap` puts it in place of the shipped function while it is judged.

The judges, in this order:

1. every call of a step that the models below make, with the shipped code.  Where all results are
   equal, the mutant has the same state graph, and the model need not be searched, unless its
   driver calls the code itself;
2. the models whose calls differ, smallest first.  A mutant is *caught* if a property is violated,
   and *noticed* if a count differs from the shipped one;
3. the tests of a checkout, for what is left: *killed*, by the test that fails.

What no judge sees is *explained* in ``mutants.toml``, or it *survives*.  An explanation of a mutant
that does not exist, or that a judge sees, is an error.
"""

from __future__ import annotations

import ast
import inspect
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from message_passing.process import Step
from specs import catalogue
from specs.checker.check import check
from specs.checker.errors import CheckerError, UsageError
from specs.checker.result import Budget, Result, Verdict
from specs.code_edits import Edit, edits
from specs.code_swap import (
    SEARCH_TURNS,
    STEP_TURNS,
    TEST_STEPS,
    TEST_TURNS,
    EndlessStep,
    Turns,
    memory_bounded,
    replaced,
)
from specs.code_targets import TARGETS, TIMED, Target

EXPLANATIONS = Path(__file__).with_name("mutants.toml")

CAUGHT, NOTICED, KILLED, EXPLAINED, SURVIVES = HOWS = (
    "caught",
    "noticed",
    "killed",
    "explained",
    "survives",
)
GUARDS, BODIES = KINDS = ("guards", "bodies")
ENDLESS = "a step that never ends"
COUNTS = "counts"
#: A search ends at so many states, or with a mutant at so many times those of the shipped code.
STATES_MAX, GROWTH_MAX, SMALL = 80_000, 2, 2_000
#: For a mutant that was noticed, larger models than these are not searched for a violation.
NOTICED_MAX = 3_000
#: A change of steps that leaves the counts of so many models as they were is not visible to models:
#: a timer disarmed that is not armed, a message to the application.
VAIN_MAX = 4
Key: TypeAlias = tuple[int, Any, Any]
#: The step that a call gave, or the text of the error that it raised.
Outcome: TypeAlias = Step[Any] | str
#: The first test that fails while the mutant is in place, or "".
Tests: TypeAlias = Callable[[Sequence[str]], str]


@dataclass(frozen=True)
class CodeMutant:
    """One function of the shipped code with one change."""

    target: str
    module: str
    #: The name in the module, as ``Class.method``.
    name: str
    kind: str
    edit: Edit

    def __str__(self) -> str:
        return f"{self.module.rpartition('.')[2]}.{self.name}: {self.edit}"


@dataclass(frozen=True)
class Judgement:
    """How a mutant was judged, by what, and the length of the counterexample if it was caught."""

    mutant: CodeMutant
    how: str
    by: str = ""
    steps: int | None = None


# The mutants.


def target_of(name: str) -> Target:
    """The target of that name.  Raises `UsageError`."""
    if name not in TARGETS:
        raise UsageError(f"no mutants of {name!r}", remedy="one of " + ", ".join(TARGETS))
    return TARGETS[name]


def code_mutants(name: str, kinds: Sequence[str] = KINDS) -> Iterator[CodeMutant]:
    """The mutants of a target, function by function."""
    return (mutant for mutant in _every(name) if mutant.kind in kinds)


@cache
def _every(name: str) -> tuple[CodeMutant, ...]:
    return tuple(_made(name))


def _made(name: str) -> Iterator[CodeMutant]:
    target = target_of(name)
    for module, left_out in target.modules.items():
        for function, tree in _functions(module).items():
            if function.rpartition(".")[2] in {*left_out, "__init__", "__repr__"}:
                continue
            guard = function in target.guards.get(module, ())
            for edit in edits(tree):
                kind = GUARDS if guard or edit.in_condition else BODIES
                yield CodeMutant(name, module, function, kind, edit)


@cache
def _functions(module: str) -> Mapping[str, ast.FunctionDef]:
    """The functions and methods of a module that run, by name."""
    tree = ast.parse(inspect.getsource(import_module(module)))
    found: dict[str, ast.FunctionDef] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and not _is_abstract(method):
                    found[f"{node.name}.{method.name}"] = method
    return found


def _is_abstract(method: ast.FunctionDef) -> bool:
    """Whether a method is only a place for those of subclasses."""
    decorators = {ast.unparse(decorator) for decorator in method.decorator_list}
    body = [ast.unparse(statement) for statement in method.body]
    only_text = len(body) == 1 and isinstance(method.body[0], ast.Expr)
    return "abstractmethod" in decorators or only_text or body[1:] == ["raise NotImplementedError"]


# The judges.


@dataclass
class _Searched:
    """A model, its result with the shipped code, and every call of a step that the search made."""

    model: str
    constants: Mapping[str, Any]
    result: Result
    calls: dict[Key, tuple[Any, Outcome]]

    @property
    def is_timed(self) -> bool:
        """Whether the moment of a timer matters to the model."""
        return self.model in TIMED

    @property
    def most(self) -> int:
        """The states of a mutant's search: those of the same part if the model was not searched to
        its end.
        """
        if self.result.stopped:
            return STATES_MAX
        return max(GROWTH_MAX * self.result.distinct, SMALL)


@dataclass
class Bench:
    """Judges the mutants of one target.  Models are searched once, when the first is judged."""

    target: Target
    tests: Tests | None = None
    explained: Mapping[str, str] = field(default_factory=dict)
    turns: Turns = field(default_factory=Turns)

    def __post_init__(self) -> None:
        self._models: list[_Searched] = []

    def judge(self, mutant: CodeMutant) -> Judgement:
        """The first judge that sees the mutant."""
        models = self._searched()
        with self._loops_counted(), self.installed(mutant), memory_bounded():
            found = self._by_models(mutant, models) or self._by_tests(mutant)
        reason = self.explained.get(str(mutant))
        if reason is None:
            return found or Judgement(mutant, SURVIVES)
        if found is not None:
            raise UsageError(
                f"explained, but {found.how} by {found.by}: {mutant}",
                remedy=f"delete its line from {EXPLANATIONS.name}",
            )
        return Judgement(mutant, EXPLAINED, reason)

    @contextmanager
    def installed(self, mutant: CodeMutant) -> Iterator[None]:
        """The mutant in place of the shipped function."""
        self.turns.begin()
        with replaced(mutant.module, mutant.name, mutant.edit.tree, self.turns):
            yield

    @contextmanager
    def _loops_counted(self) -> Iterator[None]:
        """The loops that a mutant may make endless, counted: those of the target's modules."""
        if not self.target.loops:
            yield
            return
        (module, name), *rest = self.target.loops
        inner = Bench(Target(models=(), modules={}, loops=tuple(rest)), turns=self.turns)
        tree = _functions(module)[name]
        with replaced(module, name, tree, self.turns, whole=False), inner._loops_counted():
            yield

    def _by_models(self, mutant: CodeMutant, models: Sequence[_Searched]) -> Judgement | None:
        noticed: Judgement | None = None
        vain = 0
        for searched in models:
            if vain == VAIN_MAX or (noticed and searched.result.distinct > NOTICED_MAX):
                break
            if mutant.module not in self.target.rules and not self._differs(searched):
                continue
            if self.turns.is_over():
                return Judgement(mutant, CAUGHT, ENDLESS)
            self.turns.begin(SEARCH_TURNS)
            try:
                result = _search(searched.model, searched.constants, searched.most)
            except (EndlessStep, MemoryError):
                # In a property, or in the text of a state: a step's own errors become findings.
                return Judgement(mutant, CAUGHT, ENDLESS)
            except CheckerError as error:
                return Judgement(mutant, CAUGHT, type(error).__name__)
            found = _compared(mutant, searched.result, result)
            if found is not None and found.how == CAUGHT:
                return Judgement(mutant, CAUGHT, ENDLESS) if self.turns.is_over() else found
            noticed = noticed or found
            vain += noticed is None
        return noticed

    def _by_tests(self, mutant: CodeMutant) -> Judgement | None:
        if self.tests is None:
            return None
        self.turns.begin()
        with self._steps_bounded():
            failed = self.tests(self.target.tests)
        return Judgement(mutant, KILLED, failed) if failed else None

    @contextmanager
    def _steps_bounded(self) -> Iterator[None]:
        """Each step of a process ends, and all of them together: a mutant may answer for ever."""
        kind = self.target.steps()
        shipped, left = kind.step, TEST_STEPS

        def step(process: Any, state: Any, event: Any, now: float) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise EndlessStep("more steps than all tests take")
            self.turns.begin(TEST_TURNS)
            return shipped(process, state, event, now)

        kind.step = step
        try:
            yield
        finally:
            kind.step = shipped

    def _differs(self, searched: _Searched) -> bool:
        """Whether some call gives another step, in the eyes of the model."""
        for (_, state, event), (process, outcome) in searched.calls.items():
            self.turns.begin(STEP_TURNS)
            found = _outcome(process.step, state, event)
            if found != outcome and (searched.is_timed or _timeless(found) != _timeless(outcome)):
                return True
        return False

    def _searched(self) -> Sequence[_Searched]:
        if not self._models:
            large = {id(chosen) for chosen in self.target.whole}
            for chosen in (*self.target.models, *self.target.whole):
                most = None if id(chosen) in large else STATES_MAX
                with _recorded(self.target.steps()) as calls:
                    result = _search(*chosen, most)
                self._models.append(_Searched(*chosen, result, calls))
            self._models.sort(key=lambda searched: searched.result.distinct)
        return self._models


def _search(model: str, constants: Mapping[str, Any], most: int | None) -> Result:
    built = catalogue.factory(model)(**constants)
    result = check(built, engine="table", budget=Budget(states=most))
    if result.interrupted:
        raise KeyboardInterrupt
    return result


def _compared(mutant: CodeMutant, shipped: Result, result: Result) -> Judgement | None:
    if result.verdict is Verdict.VIOLATED:
        if result.deadlock is not None:
            return Judgement(mutant, CAUGHT, "deadlock", len(result.deadlock))
        failed = next(f for f in result.findings if f.verdict is Verdict.VIOLATED)
        steps = len(failed.path) if failed.path is not None else None
        return Judgement(mutant, CAUGHT, failed.name, steps)
    return Judgement(mutant, NOTICED, COUNTS) if _size(result) != _size(shipped) else None


def _size(result: Result) -> tuple[int, int, int, int]:
    return result.distinct, result.generated, result.depth, result.step_calls


@contextmanager
def _recorded(kind: type[Any]) -> Iterator[dict[Key, tuple[Any, Outcome]]]:
    """Every different call of the step of a kind of process, and what it gave."""
    calls: dict[Key, tuple[Any, Outcome]] = {}
    shipped = kind.step

    def step(process: Any, state: Any, event: Any, now: float) -> Any:
        key = id(process), state, event
        if key not in calls:
            calls[key] = process, _outcome(shipped.__get__(process), state, event)
        return shipped(process, state, event, now)

    kind.step = step
    try:
        yield calls
    finally:
        kind.step = shipped


def _timeless(outcome: Outcome) -> Any:
    """A step without the moments at which its timers are due."""
    if isinstance(outcome, str):
        return outcome
    commands = [
        msgspec.structs.replace(command, at=0.0) if hasattr(command, "at") else command
        for command in outcome.commands
    ]
    return outcome.state, outcome.action, commands


def _outcome(step: Callable[..., Step[Any]], state: Any, event: Any) -> Outcome:
    try:
        return step(state, event, 0.0)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


# Explanations.


def explanations(name: str) -> dict[str, str]:
    """The explained mutants of a target: why each changes nothing that matters.

    Raises `UsageError` if one of them is not a mutant of today's code.
    """
    text: dict[str, dict[str, str]] = tomllib.loads(EXPLANATIONS.read_text(encoding="utf-8"))
    found = text.get(name, {})
    stale = found.keys() - {str(mutant) for mutant in code_mutants(name)}
    if stale:
        raise UsageError(
            f"explained, but no mutant of the code: {'; '.join(sorted(stale))}",
            remedy=f"judge the mutants of {name} again, and mend {EXPLANATIONS.name}",
        )
    return found
