"""Random walks, for models too large to search: they find violations and prove nothing.

One seed gives one set of walks.  Several seeds can walk side by side in as many processes: see the
command line's `--simulate` and `--workers`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from typing import Any

from specs.checker.composite import Composite
from specs.checker.enabled import bound
from specs.checker.errors import UsageError
from specs.checker.model import Model, Property
from specs.checker.result import (
    INTERRUPTED,
    Budget,
    Finding,
    Moment,
    OnProgress,
    Path,
    Result,
    Verdict,
)
from specs.checker.search import (
    DECIDED,
    NOTHING,
    Watch,
    judge,
    judge_step,
    judged_in_states,
    judged_in_steps,
    may_rest,
    truth,
)
from specs.checker.tables import Tables


class _Plain:
    """Steps of a plain model."""

    def __init__(self, model: Model[Any, Any]) -> None:
        self.model = model
        self.initial = list(model.initial)

    def following(self, state: Any) -> list[tuple[Any, Any]]:
        return list(self.model.successors(state))

    def plain(self, state: Any) -> Any:
        return state

    def action(self, label: Any) -> Any:
        return label


class _Tabled:
    """Steps of a composite over packed states: rules are evaluated once a combination."""

    def __init__(self, composite: Composite[Any]) -> None:
        self.model = composite.model()
        self._tables = Tables(composite)
        self.initial = self._tables.initial
        self.following: Callable[[int], list[tuple[int, int]]] = self._tables.successors
        self.plain = self._tables.layout.unpack

    def action(self, label: int) -> Any:
        return self._tables.labels[label]


def simulate(
    model: Model[Any, Any] | Composite[Any],
    *,
    walks: int = 1_000,
    steps: int = 200,
    seed: int = 0,
    budget: Budget | None = None,
    on_progress: OnProgress | None = None,
) -> Result:
    """Take `walks` random walks of at most `steps` steps; stop at the first violation.

    The verdict is VIOLATED or UNDETERMINED.  `distinct` counts the different states met.
    Liveness properties are not judged.  Ctrl-C raises nothing: the result has the walks so far.
    """
    if walks < 1 or steps < 1:
        raise UsageError(f"{walks} walks of {steps} steps see nothing", remedy="at least one each")
    watch = Watch(budget or Budget(), on_progress)
    walker: _Plain | _Tabled
    walker = _Plain(bound(model)) if isinstance(model, Model) else _Tabled(bound(model))
    chance = random.Random(seed)
    walk = _Walk(walker)
    try:
        for number in range(walks):
            walk.take(chance, steps)
            if walk.violated or walk.deadlock is not None:
                break
            walk.stopped = watch.exceeded(len(walk.met), walk.generated, walk.depth, walks - number)
            if walk.stopped:
                break
    except KeyboardInterrupt:
        walk.stopped = INTERRUPTED
    return walk.result(model, seed, watch.elapsed_s)


class _Walk:
    """The states and actions that the walks so far have met."""

    def __init__(self, walker: _Plain | _Tabled) -> None:
        self._walker: Any = walker
        self._model = walker.model
        self._judged = judged_in_states(walker.model.properties)
        self._stepwise = judged_in_steps(walker.model.properties)
        self.met: set[Hashable] = set()
        self.generated = self.depth = 0
        #: Walks that ended outside `within`.
        self.beyond = 0
        self.actions: set[str] = set()
        self.antecedents: set[str] = set()
        self.paths: dict[str, Path] = {}
        self.why: dict[str, str] = {}
        self.violated = False
        self.deadlock: Path | None = None
        self.stopped = ""

    def take(self, chance: random.Random, steps: int) -> None:
        """One walk."""
        walker = self._walker
        state = walker.initial[chance.randrange(len(walker.initial))]
        trail: list[tuple[Any, Any]] = [(None, state)]
        self._judge_start(state, trail)
        if self.violated:
            return
        for _ in range(steps):
            if state not in self.met:
                self.met.add(state)
                self._judge(state, trail)
                if self.violated:
                    return
            within = self._model.within
            if within is not None and not truth(within, self._seen(state), "`within`"):
                self.beyond += 1
                return
            following = walker.following(state)
            if not following:
                if not may_rest(self._model, walker.plain(state)):
                    self.deadlock = self._path(trail)
                return
            before = state
            label, state = following[chance.randrange(len(following))]
            self.generated += 1
            self.actions.add(walker.action(label).name)
            trail.append((label, state))
            self.depth = max(self.depth, len(trail) - 1)
            if self._stepwise and state != before:
                self._judge_step(before, trail)
                if self.violated:
                    return

    def _seen(self, state: Any) -> Any:
        return self._model.seen(self._walker.plain(state))

    def _judge(self, state: Any, trail: list[tuple[Any, Any]]) -> None:
        view = self._seen(state)
        for prop in self._judged:
            said = judge(prop, view)
            if said != NOTHING:
                self.antecedents.add(prop.name)
            if said == DECIDED and prop.name not in self.paths:
                self.paths[prop.name] = self._path(trail)
                if prop.kind == "always":
                    self.violated = True
                    return

    def _judge_start(self, state: Any, trail: list[tuple[Any, Any]]) -> None:
        for prop in self._stepwise:
            view = self._seen(state)
            if not truth(prop.predicate, view, prop):
                assert prop.steps is not None
                self._violate(prop, trail, prop.steps.reason_at_start(view))
                return

    def _judge_step(self, before: Any, trail: list[tuple[Any, Any]]) -> None:
        """Judge the last step of a walk."""
        label, after = trail[-1]
        step = self._seen(before), self._walker.action(label), self._seen(after)
        for prop in self._stepwise:
            if judge_step(prop, *step) == DECIDED:
                assert prop.steps is not None
                self._violate(prop, trail, prop.steps.reason(*step))
                return

    def _violate(self, prop: Property[Any], trail: list[tuple[Any, Any]], why: str) -> None:
        self.paths[prop.name] = self._path(trail)
        self.why[prop.name] = why
        self.violated = True

    def _path(self, trail: list[tuple[Any, Any]]) -> Path:
        walker = self._walker
        return Path(
            tuple(
                Moment(None if label is None else walker.action(label), walker.plain(state))
                for label, state in trail
            )
        )

    def result(self, model: Any, seed: int, seconds: float) -> Result:
        """The walks, as a result."""
        findings = []
        for prop in model.properties:
            path = self.paths.get(prop.name)
            verdict = Verdict.UNDETERMINED
            if path is not None:
                verdict = Verdict.VIOLATED if prop.is_invariant else Verdict.HOLDS
            findings.append(Finding(prop, verdict, path, why=self.why.get(prop.name, "")))
        failed = self.violated or self.deadlock is not None
        calls = getattr(model, "step_calls", None)
        limit = self._model.limit
        return Result(
            model=model.name,
            engine=f"simulation, seed {seed}",
            verdict=Verdict.VIOLATED if failed else Verdict.UNDETERMINED,
            distinct=len(self.met),
            generated=self.generated,
            depth=self.depth,
            actions=frozenset(self.actions),
            never_taken=model.alphabet - self.actions,
            findings=tuple(findings),
            deadlock=self.deadlock,
            stopped=self.stopped or ("" if failed else "random walks prove nothing"),
            bounded=bool(self.beyond) or (limit is not None and limit.was_met()),
            seconds=seconds,
            step_calls=calls() if calls is not None else 0,
            notes=(f"{self.beyond:,} walks ended outside `within`",) if self.beyond else (),
        )
