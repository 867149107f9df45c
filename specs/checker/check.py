"""`check`: choose an engine, search, judge every property, and give paths as evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, TypeAlias

from specs.checker.bounds import (
    is_bounded,
    is_proof,
    left_out_of,
    notes_on_bounds,
    verdict_of_lasso,
)
from specs.checker.composite import Composite
from specs.checker.enabled import EnabledIn, bound
from specs.checker.errors import UsageError
from specs.checker.fairness import Classes, require_actions
from specs.checker.formula import Formula, holds_on, is_tested
from specs.checker.liveness import FairGraph, Lasso
from specs.checker.model import Model, Property
from specs.checker.neglect import AbstractClasses
from specs.checker.product import accepted
from specs.checker.purity import impure
from specs.checker.reference import explore as explore_plainly
from specs.checker.result import (
    INTERRUPTED,
    Budget,
    Finding,
    Moment,
    OnProgress,
    Path,
    Result,
    StateSet,
    Verdict,
)
from specs.checker.search import (
    DECIDED,
    Exploration,
    StateGraph,
    Watch,
    few_collections,
    judge,
    may_rest,
    truth,
    violating_step,
)
from specs.checker.switches import fewest_switches
from specs.checker.tableau import automaton_of

Engine: TypeAlias = Literal["auto", "reference", "table", "numba"]

ENGINES: tuple[Engine, ...] = ("auto", "reference", "table", "numba")


@few_collections()
def check(
    model: Model[Any, Any] | Composite[Any],
    *,
    engine: Engine = "auto",
    budget: Budget | None = None,
    symmetry: bool = False,
    por: bool = False,
    workers: int = 1,
    digest: bool = False,
    on_progress: OnProgress | None = None,
) -> Result:
    """Check every property of `model`.

    `symmetry` and `por` reduce the search: see `specs.checker.symmetry` and `specs.checker.por`.
    `workers` is how many threads of the kernel, or processes of the table engine, may share a large
    search; a note says if one did it alone. The counts, the verdicts and the lengths of paths stay
    the same; of several shortest paths another one may be shown each time.
    With `digest` the result of a complete search has a `StateSet`; `por` does not find all states.
    Raises `ModelError` for a model that cannot be explored, `PropertyError` if a predicate gives no
    answer, and `UsageError` for an unsupported request (symmetry with liveness, for example).
    Running out of budget and Ctrl-C raise nothing: the verdict is UNDETERMINED.
    """
    if engine not in ENGINES:
        raise UsageError(f"no engine {engine!r}", remedy="one of " + ", ".join(ENGINES))
    if symmetry and any(prop.is_liveness for prop in model.properties):
        raise UsageError(
            f"symmetry with a liveness property ({model.name!r})",
            remedy="a reduced graph merges behaviours that fairness tells apart; check without",
        )
    require_workers(workers)
    watch = Watch(budget or Budget(), on_progress)
    claims, model = model.properties, bound(model)
    if por:
        found = _explore_partly(model, engine, symmetry, watch)
    else:
        found = _explore(model, engine, symmetry, watch, workers=workers, digest=digest)
    for repeat in found.repeaters:
        repeat.once_more()
    plain = model.model() if isinstance(model, Composite) else model
    findings = _findings(plain, found, watch)
    deadlock = None
    if found.deadlock is not None:
        deadlock = Path(tuple(found.path(found.deadlock)))
        deadlock = fewest_switches(plain, deadlock, partial(_is_stuck, plain))
    return Result(
        model=model.name,
        engine=found.engine,
        verdict=_overall(findings, found),
        distinct=found.distinct,
        generated=found.generated,
        depth=found.depth,
        actions=frozenset(found.actions),
        never_taken=model.alphabet - found.actions,
        findings=tuple(map(_on, findings, claims)),
        deadlock=deadlock,
        stopped=found.stopped,
        bounded=is_bounded(model, found),
        seconds=watch.elapsed_s - found.compile_s,
        compile_s=found.compile_s,
        step_calls=found.step_calls,
        notes=(*found.notes, *_note_on(workers, found), *notes_on_bounds(model, found, findings)),
        states=_state_set(plain, found) if digest and found.complete and not por else None,
    )


def require_workers(workers: int) -> None:
    """Raise `UsageError` unless it is a number of workers."""
    if workers < 1:
        raise UsageError(f"{workers} workers", remedy="1 or more")


def _note_on(workers: int, found: Exploration) -> Iterator[str]:
    if workers > found.workers:
        yield f"one of {workers} workers searched; {found.alone}"


def _on(finding: Finding, claim: Property[Any]) -> Finding:
    """The finding, on the property as the model states it."""
    return finding if finding.claim is claim else replace(finding, claim=claim)


def _explore(
    model: Model[Any, Any] | Composite[Any],
    engine: Engine,
    symmetry: bool,
    watch: Watch,
    *,
    workers: int,
    digest: bool,
) -> Exploration:
    if isinstance(model, Model):
        if engine in ("table", "numba") or symmetry:
            raise UsageError(
                f"{model.name!r} is a plain model: no tables and no symmetry",
                remedy="give the model as a Composite or a System",
            )
        found: Exploration = explore_plainly(model, watch)
        if engine == "auto":
            found.notes.append("engine: reference, for a model that is not made of components")
        return found
    if engine == "reference":
        if symmetry:
            raise UsageError("the reference engine does not reduce", remedy="engine='table'")
        found = explore_plainly(model.model(), watch)
        found.step_calls = model.step_calls() if model.step_calls is not None else 0
        return found
    from specs.checker.engines import explore as explore_tables

    return explore_tables(
        model, watch, engine=engine, symmetry=symmetry, workers=workers, digest=digest
    )


def _explore_partly(
    model: Model[Any, Any] | Composite[Any], engine: Engine, symmetry: bool, watch: Watch
) -> Exploration:
    if isinstance(model, Model):
        raise UsageError(
            f"{model.name!r} is a plain model: what its steps look at is not seen, so no "
            "partial-order reduction",
            remedy="give the model as a Composite or a System",
        )
    if symmetry:
        raise UsageError("partial-order reduction with symmetry", remedy="one or the other")
    if engine != "auto":
        raise UsageError(
            f"the {engine} engine does not reduce by partial order", remedy="engine='auto'"
        )
    from specs.checker.por import explore as explore_partly

    return explore_partly(model, watch)


def _state_set(model: Model[Any, Any], found: Exploration) -> StateSet:
    from specs.checker.canonical import digest_of_set

    count = outside = 0

    def counted() -> Iterator[Any]:
        nonlocal count, outside
        for state in found.every_state():
            count += 1
            if model.within is not None:
                outside += not truth(model.within, model.seen(state), "`within`")
            yield state

    digest = digest_of_set(counted())
    return StateSet(count, outside, digest)


def _overall(findings: Sequence[Finding], found: Exploration) -> Verdict:
    verdicts = {finding.verdict for finding in findings}
    if found.deadlock is not None or Verdict.VIOLATED in verdicts:
        return Verdict.VIOLATED
    if found.stopped or Verdict.UNDETERMINED in verdicts:
        return Verdict.UNDETERMINED
    return Verdict.HOLDS


def _findings(model: Model[Any, Any], found: Exploration, watch: Watch) -> list[Finding]:
    """One finding a property.  A search that ended early leaves some properties undecided."""
    fair: FairGraph | None = None
    strict: FairGraph | None = None
    findings = []
    for prop in model.properties:
        if prop.is_liveness:
            # An interrupt while one is judged ends the judging of all.
            if not found.complete or found.stopped:
                findings.append(Finding(prop, Verdict.UNDETERMINED))
                continue
            try:
                if fair is None:
                    fair = _fair_graph(model, found)
                path = _lasso_of(model, prop, found, fair)
                if path is not None and path.loop is not None and not is_proof(model, path):
                    strict = strict or fair.counting(left_out_of(model, found, len(fair.graph)))
                    other = _lasso_of(model, prop, found, strict)
                    path = other if other is not None and other.loop is not None else path
                if path is not None and path.loop is not None:
                    tidy = fewest_switches(model, path, lambda state: True)
                    path = tidy if _refutes(model, prop, tidy) else path
            except KeyboardInterrupt:
                found.stopped = INTERRUPTED
                findings.append(Finding(prop, Verdict.UNDETERMINED))
                continue
            verdict, why = verdict_of_lasso(model, path), ""
            if prop.fair is not None and path is not None and path.loop is not None:
                why = f"the loop neglects {_neglected(model, prop, path)} of the abstract model"
            findings.append(Finding(prop, verdict, path, _is_vacuous(prop, found), why))
            continue
        decided = found.decided.get(prop.name)
        path = None if decided is None else Path(tuple(found.path(decided)))
        if prop.steps is not None:
            findings.append(_step_finding(model, prop, found, path))
            continue
        if prop.kind == "always":
            if path is not None:
                path = fewest_switches(model, path, partial(_decides, model, prop))
            verdict = Verdict.VIOLATED if path is not None else _if_complete(found, Verdict.HOLDS)
        else:
            nowhere = Verdict.UNDETERMINED if is_bounded(model, found) else Verdict.VIOLATED
            verdict = Verdict.HOLDS if path is not None else _if_complete(found, nowhere)
        findings.append(Finding(prop, verdict, path, _is_vacuous(prop, found)))
    return findings


def _step_finding(
    model: Model[Any, Any], prop: Property[Any], found: Exploration, way: Path | None
) -> Finding:
    """The finding on a claim on steps; `way` leads to the state from which one violates it."""
    if way is None:
        verdict = _if_complete(found, Verdict.HOLDS)
        return Finding(prop, verdict, vacuous=_is_vacuous(prop, found))
    assert prop.steps is not None
    if not len(way) and not truth(prop.predicate, model.seen(way.last), prop):
        why = prop.steps.reason_at_start(model.seen(way.last))
        return Finding(prop, Verdict.VIOLATED, way, why=why)
    tidy = fewest_switches(model, way, lambda state: violating_step(model, prop, state) is not None)
    step = violating_step(model, prop, tidy.last)
    if step is None:
        raise impure(f"{prop} about steps from {tidy.last!r}", "a violation", "none")
    action, after = step
    why = prop.steps.reason(model.seen(tidy.last), action, model.seen(after))
    return Finding(prop, Verdict.VIOLATED, Path((*tidy.moments, Moment(action, after))), why=why)


def _is_vacuous(prop: Property[Any], found: Exploration) -> bool:
    can_be = prop.when is not None or prop.steps is not None or prop.is_liveness
    return can_be and found.complete and prop.name not in found.met


def _decides(model: Model[Any, Any], prop: Property[Any], state: Any) -> bool:
    return judge(prop, model.seen(state)) == DECIDED


def _is_stuck(model: Model[Any, Any], state: Any) -> bool:
    return not model.successors(state) and not may_rest(model, state)


def _refutes(model: Model[Any, Any], prop: Property[Any], path: Path) -> bool:
    """Whether a lasso refutes a liveness property: another way into the loop may pass the good."""
    assert path.loop is not None
    if prop.fair is not None:
        return bool(_neglected(model, prop, path))
    assert prop.formula is not None
    # The last moment of a closed loop is the first one of the loop again.
    places = path.moments[:-1] if path.loop < len(path) else path.moments
    states = [
        {name: truth(each, model.seen(moment.state), prop) for name, each in prop.meaning}
        for moment in places
    ]
    return not holds_on(prop.formula, states, path.loop)


def _neglected(model: Model[Any, Any], prop: Property[Any], path: Path) -> str:
    """Which fairness of an abstract model the loop of a path neglects, or ""."""
    assert prop.fair is not None
    return prop.fair.neglected([model.seen(moment.state) for moment in path.moments[path.loop :]])


def _if_complete(found: Exploration, verdict: Verdict) -> Verdict:
    return verdict if found.complete else Verdict.UNDETERMINED


def _fair_graph(model: Model[Any, Any], found: Exploration) -> FairGraph:
    inside = None
    if found.beyond and model.within is not None:
        inside = found.evaluate(model.within, "`within`")
    graph = found.graph()
    found.notes += require_actions(
        model.fairness, graph.actions, model.alphabet, is_bounded=is_bounded(model, found)
    )
    return FairGraph(graph, Classes(model.fairness, graph.actions), inside)


def _lasso_of(
    model: Model[Any, Any], prop: Property[Any], found: Exploration, fair: FairGraph
) -> Path | None:
    """A fair behaviour that refutes a liveness property, or None.

    A formula takes the product of the graph with an automaton.  Four kinds of property need none:
    their behaviours avoid some states, or visit some states again and again.
    """
    if prop.fair is not None:
        states = (model.seen(found.state(number)) for number in range(len(fair.graph)))
        classes = AbstractClasses(prop.fair, [prop.fair.stands_for(state) for state in states])
        if classes.tested:
            found.met.add(prop.name)
        lasso = classes.neglected(fair)
        return None if lasso is None else _as_path(lasso, found, fair.graph)
    assert prop.formula is not None
    truths = {
        name: each.in_graph(model, found, fair.graph)
        if isinstance(each, EnabledIn)
        else found.evaluate(each, str(prop))
        for name, each in prop.meaning
    }
    if is_tested(prop.formula, truths, fair.graph.initial):
        found.met.add(prop.name)
    match prop.kind:
        case "eventually":
            lasso = fair.eventually(truths["good"])
        case "leads_to":
            lasso = fair.leads_to(truths["when"], truths["good"])
        case "infinitely_often":
            lasso = fair.leads_to(bytearray(b"\1" * len(fair.graph)), truths["good"])
        case "eventually_always":
            lasso = fair.visiting([bytearray(not each for each in truths["good"])])
        case _:
            lasso = accepted(fair, automaton_of(Formula("~", (prop.formula,))), truths)
    return None if lasso is None else _as_path(lasso, found, fair.graph)


def _as_path(lasso: Lasso, found: Exploration, graph: StateGraph) -> Path:
    """The lasso as a path: the way to it, then its states and the loop back."""
    states = [found.state(number) for number in lasso.states]
    moments = found.path(lasso.states[0])
    stem = len(moments) - 1
    for label, state in zip(lasso.labels, states[1:], strict=False):
        moments.append(Moment(graph.actions[label], state))
    if lasso.loop is not None and len(lasso.labels) == len(lasso.states):
        closing = graph.actions[lasso.labels[-1]]
        moments.append(Moment(closing, states[lasso.loop]))
    return Path(tuple(moments), None if lasso.loop is None else stem + lasso.loop)
