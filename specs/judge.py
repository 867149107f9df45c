"""An independent judge of certificates: it shares no code with any engine.

The judge knows the rules of the model (`initial`, `actions`, `within`, `limit`, `terminal`), the
predicates and the fairness conditions.  It walks each path again and decides by itself whether a
lasso is fair.  Verdicts about all states it finds again in its own `Space`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from specs.certificate import Behaviour, Certificate, Claim, checksum_of
from specs.checker.canonical import digest
from specs.checker.composite import Composite
from specs.checker.model import Action, Model, Property
from specs.checker.result import Verdict
from specs.space import (
    STATES_MAX,
    Space,
    TooLarge,
    allows,
    classes,
    enabled,
    inside,
    is_strong,
    is_stuck,
    left_out,
    satisfies,
)
from specs.until import core, true_on

HOLDS, VIOLATED, UNDETERMINED = Verdict.HOLDS, Verdict.VIOLATED, Verdict.UNDETERMINED
ENDED = "a violation ended the search"
BOUNDED = "a bound was met"

#: The states of a path, each with the action that led to it.
Moments = list[tuple[Action | None, Any]]


class Refused(Exception):
    """The certificate proves nothing; the text says why."""


def require(truth: object, reason: str) -> None:
    """Refuse the certificate unless `truth`."""
    if not truth:
        raise Refused(reason)


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
    except (Refused, TooLarge) as refused:
        return str(refused)
    return ""


def _judge(certificate: Certificate, model: Model[Any, Any], search: Callable[[], Space]) -> None:
    require(certificate.checksum == checksum_of(certificate), "the checksum is another")
    require(certificate.model == model.name, f"it is about {certificate.model!r}")
    claims = list(zip(model.properties, certificate.claims, strict=False))
    require(len(claims) == len(model.properties) == len(certificate.claims), "other claims")
    require(all((p.name, p.kind) == (c.name, c.kind) for p, c in claims), "other claims")
    if certificate.deadlock is not None:
        require(certificate.deadlock.loop is None, "a deadlock has no loop")
        _, last = _walk(model, certificate.deadlock)[-1]
        stuck = inside(model, last) and is_stuck(model, last, model.successors(last))
        require(stuck, "the deadlock goes on, or may end there")
    violated = any(prop.is_invariant and claim.verdict is VIOLATED for prop, claim in claims)
    ended = certificate.stopped or (ENDED if violated or certificate.deadlock is not None else "")
    names_states = not ended and certificate.reduction != "partial order"
    require((certificate.states is not None) == names_states, "only a full search names all states")
    graph = None if ended else search()
    if graph is not None:
        require(certificate.states in (graph.states, None), f"the states are {graph.states}")
        require(graph.stuck is None, "there is a deadlock")
    for prop, claim in claims:
        try:
            _judge_claim(claim, prop, model, graph, ended or BOUNDED)
        except Refused as refused:
            raise Refused(f"{prop.name!r}: {refused}") from None
    verdicts = {claim.verdict for _, claim in claims}
    overall = UNDETERMINED if certificate.stopped or UNDETERMINED in verdicts else HOLDS
    if certificate.deadlock is not None or VIOLATED in verdicts:
        overall = VIOLATED
    require(certificate.verdict is overall, f"together the claims are {overall.value}")


def _judge_claim(
    claim: Claim, prop: Property[Any], model: Model[Any, Any], graph: Space | None, why: str
) -> None:
    verdict, vacuous = (claim.verdict, False) if graph is None else graph.decide(prop)
    require(claim.verdict is verdict, f"it is {verdict.value}")
    require(claim.vacuous == vacuous, f"vacuous is {vacuous}")
    require(claim.why == (why if verdict is UNDETERMINED else ""), "the reason is another")
    if verdict is UNDETERMINED:
        require(claim.path is None, "a path that decides nothing")
    elif verdict is (HOLDS if prop.kind == "reachable" else VIOLATED):
        if claim.path is None:
            raise Refused("no path shows it")
        _judge_path(claim.path, prop, model)
    else:
        require(graph is not None, "nothing proves it")
        require(claim.path is None, "a path that shows nothing")


def _judge_path(path: Behaviour, prop: Property[Any], model: Model[Any, Any]) -> None:
    """Refuse a path that does not show the verdict on a property."""
    moments = _walk(model, path)
    if prop.formula is not None:
        if path.loop is None:
            raise Refused("no loop")
        _judge_fairness(model, path, moments, path.loop)
        # The last state of a closed loop is the first one of the loop again.
        places = moments[: max(len(moments) - 1, path.loop + 1)]
        rows = [{n: satisfies(model, p, state) for n, p in prop.meaning} for _, state in places]
        require(not true_on(rows, path.loop, core(prop.formula)), "the lasso satisfies it")
        return
    require(path.loop is None, "a state decides it, not a loop")
    action, last = moments[-1]
    good = satisfies(model, prop.predicate, last)
    if prop.steps is None:
        met = prop.when is None or satisfies(model, prop.when, last)
        require(met and good == (prop.kind == "reachable"), "the last state shows nothing")
    elif action is None:
        require(not good, "it may begin so")
    else:
        before = moments[-2][1]
        allowed = before == last or allows(model, prop, before, action, last)
        require(allowed is False, "the last step is allowed")


def _walk(model: Model[Any, Any], path: Behaviour) -> Moments:
    """The states of a path, found again from the digests."""
    state = next((state for state in model.initial if digest(state) == path.start), None)
    require(state in model.initial, "the path begins elsewhere")
    moments: Moments = [(None, state)]
    for number, step in enumerate(path.steps):
        require(inside(model, state), f"step {number} begins out of bounds")
        wanted = step.action, step.label, step.state
        for action, state in model.successors(state):  # noqa: B020
            if (action.name, digest(action), digest(state)) == wanted:
                moments.append((action, state))
                break
        else:
            raise Refused(f"the model has no such step {number}, {step.action!r}")
    if path.loop is None:
        require(not path.fair, "only a loop is fair")
    else:
        require(0 <= path.loop < len(moments), "the loop begins nowhere")
        require(moments[path.loop][1] == state, "the loop does not close")
        require(inside(model, state), "the loop is out of bounds")
    return moments


def _judge_fairness(model: Model[Any, Any], path: Behaviour, moments: Moments, loop: int) -> None:
    """Refuse a loop that neglects a class, and reasons that prove nothing."""
    states = [state for _, state in moments]
    last = len(states) - 1
    on = {
        at: enabled(model, states[at], model.successors(states[at]), left_out(model, states[at]))
        for at in range(loop, max(last, loop + 1))
    }
    taken = {
        at: classes(model, [action])
        for at in range(loop, last)
        if (action := moments[at + 1][0]) is not None and states[at] != states[at + 1]
    }
    reasons = {(reason.condition, reason.of): reason for reason in path.fair}
    require(len(reasons) == len(path.fair), "two reasons for one class")
    for each in set[tuple[int, Hashable]]().union(*on.values()):
        number, key = each
        reason = reasons.pop((number, digest(key)), None)
        name = model.fairness[number].name
        if reason is None:
            raise Refused(f"no reason why the loop does not neglect {name}")
        if reason.off is None:
            just = each in taken.get(-1 if reason.taken is None else reason.taken, ())
        else:
            just = reason.taken is None and not is_strong(model, each)
            just &= reason.off in on and each not in on[reason.off]
        require(just, f"the loop neglects {name}")
    require(not reasons, "a reason for a class that is never enabled in the loop")
