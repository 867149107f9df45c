"""An independent judge of certificates: it shares no code with any engine.

The judge knows the rules of the model (`initial`, `actions`, `within`, `terminal`), the predicates
and the fairness conditions.  It walks each path again, decides by itself whether a lasso is fair,
and for a verdict about all states searches them plainly: breadth first over a dict, with strongly
connected components by networkx.  `specs.certificate` says what a certificate holds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from functools import cached_property
from typing import Any

import networkx

from specs.certificate import Behaviour, Certificate, Claim, checksum_of
from specs.checker.canonical import digest, digest_of_set
from specs.checker.composite import Composite
from specs.checker.model import Action, Model, Property
from specs.checker.result import StateSet, Verdict

#: States that the judge searches; a certificate about more is not accepted.
STATES_MAX = 200_000
HOLDS, VIOLATED, UNDETERMINED = Verdict.HOLDS, Verdict.VIOLATED, Verdict.UNDETERMINED

#: A fairness class: the number of the condition, and the key of the class.
Class = tuple[int, Hashable]


class Refused(Exception):
    """The certificate proves nothing; the text says why."""


def require(truth: object, reason: str) -> None:
    """Refuse the certificate unless `truth`."""
    if not truth:
        raise Refused(reason)


class Space:
    """All states and steps of a model, found plainly, and the verdicts that follow from them."""

    def __init__(self, model: Model[Any, Any], states_max: int = STATES_MAX) -> None:
        self.model = model
        self.steps: dict[Any, list[tuple[Action, Any]]] = {}
        #: The length of a shortest path to each state, in the order of discovery.
        self.depths: dict[Any, int] = dict.fromkeys(model.initial, 0)
        queue = list(self.depths)
        for state in queue:
            if inside(model, state):
                self.steps[state] = model.successors(state)
                for _, target in self.steps[state]:
                    if target not in self.depths:
                        self.depths[target] = self.depths[state] + 1
                        queue.append(target)
            require(len(queue) <= states_max, f"more than {states_max:,} states to search again")

    @cached_property
    def states(self) -> StateSet:
        """The count and the digest that a certificate must name."""
        outside = len(self.depths) - len(self.steps)
        return StateSet(len(self.depths), outside, digest_of_set(self.depths))

    @cached_property
    def bounded(self) -> bool:
        """Whether a bound of the model was met."""
        return len(self.steps) < len(self.depths) or any(
            left_out(self.model, state) for state in self.steps
        )

    @cached_property
    def stuck(self) -> Any:
        """A nearest deadlock, or None."""
        return next((s for s, steps in self.steps.items() if is_stuck(self.model, s, steps)), None)

    def decide(self, prop: Property[Any]) -> Verdict:
        """The verdict on a property."""
        good = [state for state in self.depths if prop.predicate(self.model.seen(state))]
        met = [state for state in self.depths if prop.when and prop.when(self.model.seen(state))]
        match prop.kind:
            case "always":
                return HOLDS if not set(met if prop.when else self.depths) - set(good) else VIOLATED
            case "reachable":
                return HOLDS if good else UNDETERMINED if self.bounded else VIOLATED
            case "eventually":
                return self._avoids(set(self.model.initial), set(good))
        return self._avoids(set(met), set(good))

    def is_vacuous(self, prop: Property[Any]) -> bool:
        """Whether no state satisfies the antecedent."""
        when = prop.when
        return when is not None and not any(when(self.model.seen(s)) for s in self.depths)

    def _avoids(self, starts: set[Any], good: set[Any]) -> Verdict:
        """VIOLATED if a fair behaviour from one of `starts` never meets a good state."""
        region = starts - good
        todo = list(region)
        for state in todo:
            new = {target for _, target in self.steps.get(state, ())} - good - region
            region |= new
            todo += new
        if self._can_stay(region & self.steps.keys(), left_out):
            return VIOLATED
        escaped = region - self.steps.keys() or self._can_stay(region, lambda model, state: ())
        return UNDETERMINED if escaped else HOLDS

    def _can_stay(self, states: set[Any], left: Callable[..., Iterable[Action]]) -> bool:
        """Whether a fair behaviour can stay within some of these states for ever.

        Weak fairness asks it of each component; strong fairness takes the states away in which a
        class is enabled that the component never takes, and asks again (a Streett condition).
        """
        part = networkx.DiGraph()
        part.add_nodes_from(states)
        part.add_edges_from((s, t) for s in states for _, t in self.steps[s] if t in states)
        for component in networkx.strongly_connected_components(part):
            taken = classes(
                self.model,
                (a for s in component for a, t in self.steps[s] if t in component and t != s),
            )
            on = {s: enabled(self.model, s, self.steps[s], left(self.model, s)) for s in component}
            if any(not is_strong(self.model, c) for c in set.intersection(*on.values()) - taken):
                continue
            starved = {c for c in set.union(*on.values()) - taken if is_strong(self.model, c)}
            if not starved or self._can_stay({s for s in component if not on[s] & starved}, left):
                return True
        return False


def judge(
    certificate: Certificate,
    model: Model[Any, Any] | Composite[Any],
    states_max: int = STATES_MAX,
    *,
    graph: Space | None = None,
) -> str:
    """Why the certificate is refused, or "" if it is accepted.

    A verdict about all states is accepted only if there are at most `states_max`.  `graph` is that
    of the model, if the caller has searched it before.
    """
    plain = model.model() if isinstance(model, Composite) else model
    try:
        _judge(certificate, plain, lambda: graph or Space(plain, states_max))
    except Refused as refused:
        return str(refused)
    return ""


def _judge(certificate: Certificate, model: Model[Any, Any], search: Callable[[], Space]) -> None:
    require(certificate.checksum == checksum_of(certificate), "the checksum is another")
    require(certificate.model == model.name, f"it is about {certificate.model!r}")
    claims = {claim.name: claim for claim in certificate.claims}
    named = [(claim.name, claim.kind) for claim in certificate.claims]
    require(named == [(p.name, p.kind) for p in model.properties], "the claims are others")
    if certificate.deadlock is not None:
        states = _walk(model, certificate.deadlock)
        require(certificate.deadlock.loop is None, "a deadlock has no loop")
        require(inside(model, states[-1]), "the deadlock is out of bounds")
        stuck = is_stuck(model, states[-1], model.successors(states[-1]))
        require(stuck, "the deadlock goes on, or may end there")
    complete = not certificate.stopped and certificate.deadlock is None
    complete &= all(c.kind != "always" or c.verdict is not VIOLATED for c in claims.values())
    require(
        (certificate.states is not None)
        == (complete and certificate.reduction in ("", "symmetry")),
        "a complete search names its states, and no other",
    )
    graph = search() if complete else None
    if graph is not None:
        require(certificate.states in (graph.states, None), f"the states are {graph.states}")
        require(graph.stuck is None, "there is a deadlock")
    for prop in model.properties:
        try:
            _judge_claim(claims[prop.name], prop, model, graph, certificate.stopped)
        except Refused as refused:
            raise Refused(f"{prop.name!r}: {refused}") from None
    verdicts = {claim.verdict for claim in claims.values()}
    overall = HOLDS
    if certificate.stopped or UNDETERMINED in verdicts:
        overall = UNDETERMINED
    if certificate.deadlock is not None or VIOLATED in verdicts:
        overall = VIOLATED
    require(certificate.verdict is overall, f"together the claims are {overall.value}")


def _judge_claim(
    claim: Claim, prop: Property[Any], model: Model[Any, Any], graph: Space | None, stopped: str
) -> None:
    if graph is not None:
        decided = graph.decide(prop)
        require(claim.verdict is decided, f"it is {decided.value}")
    vacuous = graph is not None and graph.is_vacuous(prop)
    require(claim.vacuous == vacuous, "its antecedent " + ("is never met" if vacuous else "is met"))
    shown = VIOLATED if prop.kind != "reachable" else HOLDS
    by_path = claim.verdict is shown
    require(by_path or claim.verdict is UNDETERMINED or graph is not None, "nothing proves it")
    require(by_path or claim.path is None, "there is no path to show")
    require(not by_path or claim.path is not None, "a path is missing")
    require((claim.verdict is UNDETERMINED) == bool(claim.why), "only UNDETERMINED has a reason")
    if claim.verdict is UNDETERMINED and graph is not None:
        require(claim.why == "a bound was met", "the reason is another")
    elif claim.verdict is UNDETERMINED:
        require(claim.why == (stopped or "a violation ended the search"), "the reason is another")
    if claim.path is None:
        return
    states = _walk(model, claim.path)
    truths = [prop.predicate(model.seen(state)) for state in states]
    if not prop.is_liveness:
        require(claim.path.loop is None, "a state decides it, not a loop")
        require(truths[-1] == (shown is HOLDS), "the last state does not show it")
        met = prop.when is None or prop.when(model.seen(states[-1]))
        require(met, "the last state does not meet the antecedent")
        return
    loop = claim.path.loop
    if loop is None:
        raise Refused("no loop")
    require(not any(truths[loop:]), "the loop passes a good state")
    _judge_fairness(model, claim.path, states, loop)
    if prop.kind == "eventually":
        require(not any(truths), "the path passes a good state")
        return
    after = max((at for at, good in enumerate(truths) if good), default=-1) + 1
    met = any(prop.when is None or prop.when(model.seen(state)) for state in states[after:])
    require(met, "no state owes the good one")


def _walk(model: Model[Any, Any], path: Behaviour) -> list[Any]:
    """The states of a path, found again from the digests."""
    states = [state for state in model.initial if digest(state) == path.start]
    require(states, "the path begins elsewhere")
    del states[1:]
    for number, step in enumerate(path.steps):
        require(inside(model, states[-1]), f"step {number} begins out of bounds")
        found = (
            target
            for action, target in model.successors(states[-1])
            if action.name == step.action
            and digest(target) == step.state
            and digest(action) == step.label
        )
        try:
            states.append(next(found))
        except StopIteration:
            raise Refused(f"the model has no such step {number}, {step.action!r}") from None
    if path.loop is not None:
        require(0 <= path.loop < len(states), "the loop begins nowhere")
        require(states[path.loop] == states[-1], "the loop does not close")
    else:
        require(not path.fair, "only a loop is fair")
    return states


def _judge_fairness(model: Model[Any, Any], path: Behaviour, states: list[Any], loop: int) -> None:
    """Refuse a loop that neglects a class, and reasons that are none."""
    rest = len(states) - 1
    taken: dict[int, set[Class]] = {}
    for at in range(loop, rest):
        step = path.steps[at]
        for action, target in model.successors(states[at]):
            if target == states[at + 1] != states[at] and digest(action) == step.label:
                taken[at] = classes(model, [action])
    on = {
        at: enabled(model, states[at], model.successors(states[at]), left_out(model, states[at]))
        for at in range(loop, max(rest, loop + 1))
    }
    require(inside(model, states[loop]), "the loop is out of bounds")
    owed = set[Class]().union(*on.values())
    require(
        sorted((j.condition, j.of) for j in path.fair) == sorted((n, digest(k)) for n, k in owed),
        "the fairness classes of the loop are others",
    )
    of = {(number, digest(key)): (number, key) for number, key in owed}
    for justice in path.fair:
        each = of[justice.condition, justice.of]
        if justice.taken is not None:
            just = each in taken.get(justice.taken, ()) and justice.off is None
        else:
            just = not is_strong(model, each) and each not in on.get(justice.off, owed)  # type: ignore[arg-type]
        require(just, f"the loop neglects {model.fairness[each[0]].name}")


def inside(model: Model[Any, Any], state: Any) -> bool:
    """Whether the bound lets a state be expanded."""
    return model.within is None or model.within(model.seen(state))


def left_out(model: Model[Any, Any], state: Any) -> Collection[Action]:
    """The steps that the model's rules leave out in a state, to stay finite."""
    return list(model.limit.left_out(state)) if model.limit is not None else []


def is_stuck(model: Model[Any, Any], state: Any, steps: Collection[Any]) -> bool:
    """Whether a state within the bounds is a deadlock."""
    if steps or left_out(model, state):
        return False
    return model.terminal is None or not model.terminal(model.seen(state))


def classes(model: Model[Any, Any], actions: Iterable[Action]) -> set[Class]:
    """The fairness classes of some actions."""
    conditions = list(enumerate(model.fairness))
    return {(n, c.key(a)) for a in actions for n, c in conditions if c.key(a) is not None}


def enabled(
    model: Model[Any, Any],
    state: Any,
    steps: Iterable[tuple[Action, Any]],
    left: Iterable[Action],
) -> set[Class]:
    """The classes with a step that leaves `state`: stuttering is no step of an action."""
    leaving = [action for action, target in steps if target != state]
    return classes(model, [*leaving, *left])


def is_strong(model: Model[Any, Any], each: Class) -> bool:
    """Whether the condition of a class is strong fairness."""
    return model.fairness[each[0]].strong
