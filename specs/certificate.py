"""Certificates: what `specs.judge` needs to judge a verdict without trusting an engine.

A certificate is one JSON object, the encoding of `Certificate` below.  States and labels are named
by digests of their canonical encodings (`specs.checker.canonical`), which an engine cannot invent:
a judge finds them again by the rules of the model alone.

What proves a verdict:

=================  ==============================================================================
always VIOLATED    a path whose last state refutes the predicate
reachable HOLDS    a path whose last state satisfies it
liveness VIOLATED  a lasso, and for each fairness class of its loop why the class is not neglected
deadlock           a path whose last state has no steps
all others         the count and the digest of the set of all states; partial-order reduction has
                   none, and is judged by its verdicts alone
UNDETERMINED       the reason: a budget, a bound that was met, or a violation that ended the search
=================  ==============================================================================
"""

from __future__ import annotations

from typing import Any

import msgspec

from specs.checker.canonical import digest
from specs.checker.composite import Composite
from specs.checker.errors import UsageError
from specs.checker.model import Action, Fairness, Model
from specs.checker.result import Budget, Finding, Path, Result, StateSet, Verdict

FORM = 1


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step: the action's name, the digest of its label, the digest of the state after it."""

    action: str
    label: str
    state: str


class Justice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a loop does not neglect one class of a fairness condition.

    `taken` is the index of a step of the loop that belongs to the class.  A weak class may have
    `off` instead: the index of a state of the loop in which no step of the class is enabled.
    """

    #: The index of the condition in the model.
    condition: int
    #: The digest of the class, which the condition's key gives.
    of: str
    taken: int | None = None
    off: int | None = None


class Behaviour(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A path: the digest of its first state, and the steps.  State i is the one before step i.

    With `loop` the steps from that index on repeat for ever; a loop without steps is stuttering.
    """

    start: str
    steps: tuple[Step, ...]
    loop: int | None = None
    fair: tuple[Justice, ...] = ()


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The verdict on one property.  `why` is the reason of UNDETERMINED, else empty."""

    name: str
    kind: str
    verdict: Verdict
    vacuous: bool
    path: Behaviour | None
    why: str


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the model is from, as `python -m specs check` takes it: a name and the constants."""

    name: str
    constants: dict[str, Any] = {}


class Certificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The result of one check.  `checksum` is of all other fields: see `checksum_of`."""

    form: int
    origin: Origin
    model: str
    engine: str
    #: "", "symmetry" or "partial order".
    reduction: str
    budget: Budget
    verdict: Verdict
    #: Why the search ended early, or "".
    stopped: str
    states: StateSet | None
    deadlock: Behaviour | None
    claims: tuple[Claim, ...]
    checksum: str = ""


def certify(
    result: Result,
    model: Model[Any, Any] | Composite[Any],
    origin: Origin,
    *,
    budget: Budget | None = None,
    reduction: str = "",
) -> Certificate:
    """The certificate of a result that `check` gave with ``digest=True``.

    Raises `ModelError` if a state or a label has no canonical form.
    """
    plain = model.model() if isinstance(model, Composite) else model
    unsigned = Certificate(
        form=FORM,
        origin=origin,
        model=result.model,
        engine=result.engine,
        reduction=reduction,
        budget=budget or Budget(),
        verdict=result.verdict,
        stopped=result.stopped,
        states=result.states,
        deadlock=_behaviour(plain, result.deadlock),
        claims=tuple(
            Claim(
                finding.name,
                finding.claim.kind,
                finding.verdict,
                finding.vacuous,
                None
                if finding.verdict is Verdict.UNDETERMINED
                else _behaviour(plain, finding.path),
                _why(finding, result),
            )
            for finding in result.findings
        ),
    )
    return signed(unsigned)


def signed(certificate: Certificate) -> Certificate:
    """The certificate with the checksum of its other fields."""
    return msgspec.structs.replace(certificate, checksum=checksum_of(certificate))


def checksum_of(certificate: Certificate) -> str:
    """The digest of the JSON text of the certificate with an empty checksum, keys sorted.

    A checksum detects a damaged file.  The judge finds out whether the content is true.
    """
    unsigned = msgspec.structs.replace(certificate, checksum="")
    return digest(msgspec.json.encode(unsigned, order="sorted"))


def written(certificate: Certificate) -> bytes:
    """The certificate as JSON."""
    return msgspec.json.format(msgspec.json.encode(certificate), indent=1) + b"\n"


def read(text: bytes) -> Certificate:
    """The certificate in `text`.  Raises `UsageError` for other text, and another form."""
    try:
        form = msgspec.json.decode(text, type=dict[str, Any]).get("form")
        if form != FORM:
            raise UsageError(
                f"a certificate of form {form!r}, not {FORM}", remedy="certify the model again"
            )
        return msgspec.json.decode(text, type=Certificate)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(
            f"not a certificate: {error}", remedy="python -m specs check NAME --certify FILE"
        ) from error


def _why(finding: Finding, result: Result) -> str:
    if finding.verdict is not Verdict.UNDETERMINED:
        return ""
    if result.stopped:
        return result.stopped
    ended = result.deadlock is not None or any(
        each.claim.is_invariant and each.verdict is Verdict.VIOLATED for each in result.findings
    )
    return "a violation ended the search" if ended else "a bound was met"


def _behaviour(model: Model[Any, Any], path: Path | None) -> Behaviour | None:
    if path is None:
        return None
    first, *others = path.moments
    steps = [
        Step(moment.action.name, digest(moment.action), digest(moment.state))
        for moment in others
        if moment.action is not None
    ]
    fair = () if path.loop is None else tuple(_justice(model, path, path.loop))
    return Behaviour(digest(first.state), tuple(steps), path.loop, fair)


def _justice(model: Model[Any, Any], path: Path, loop: int) -> list[Justice]:
    """A reason for each class that has a step in some state of the loop."""
    states = [moment.state for moment in path.moments]
    last = max(loop + 1, len(path))
    enabled = [_enabled(model, state) for state in states[loop:last]]
    taken: dict[tuple[int, str], int] = {}
    for index in range(loop, len(path)):
        action = path.moments[index + 1].action
        if action is not None and states[index] != states[index + 1]:
            for each in _classes(model.fairness, action):
                taken.setdefault(each, index)
    found = []
    for each in sorted(set().union(*enabled)):
        off = next((loop + i for i, classes in enumerate(enabled) if each not in classes), None)
        found.append(Justice(*each, taken.get(each), None if each in taken else off))
    return found


def _enabled(model: Model[Any, Any], state: Any) -> set[tuple[int, str]]:
    found: set[tuple[int, str]] = set()
    for action, following in model.successors(state):
        if following != state:
            found |= _classes(model.fairness, action)
    for action in model.limit.left_out(state) if model.limit is not None else ():
        found |= _classes(model.fairness, action)
    return found


def _classes(fairness: Any, action: Action) -> set[tuple[int, str]]:
    conditions: list[Fairness] = list(fairness)
    keys = [(number, condition.key(action)) for number, condition in enumerate(conditions)]
    return {(number, digest(key)) for number, key in keys if key is not None}
