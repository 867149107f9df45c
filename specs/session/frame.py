"""What a reader is shown of one place on a path: the same record for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from specs.checker.chart import Chart, chart_of
from specs.checker.errors import CheckerError, UsageError
from specs.checker.model import Action
from specs.checker.result import Moment, Path
from specs.session.judging import DEADLOCK, Standing
from specs.session.session import Place, Session
from specs.session.tree import MISSING, Branch, tree
from specs.session.values import Slotted, escaped, label_of, parts_of, subject_of, text_of

#: Enabled actions that one frame lists, and steps of the path around the place that is shown.
CHOICES_MAX, STEPS_SHOWN = 200, 100
#: Actions for which a frame looks whether nothing is enabled after them.
LOOKED_AHEAD = 50
#: Characters of the text of one part, on demand.
PART_TEXT_MAX = 1_000_000


class Choice(msgspec.Struct, omit_defaults=True):
    """An action: one that is enabled, or one that was taken."""

    number: int
    label: str
    name: str
    process: str = ""
    kind: str = ""
    peer: str = ""
    subject: str = ""
    #: (destination, message)
    sent: list[tuple[str, str]] = []
    #: Whether the state stays as it is.
    idle: bool = False
    #: What is violated after it: properties, or "deadlock".
    violates: list[str] = []


class Frame(msgspec.Struct, omit_defaults=True):
    """One place on a path."""

    path: list[int]
    digest: str
    state: Branch
    enabled: list[Choice]
    properties: list[Standing]
    #: How many actions are enabled; `enabled` begins with number `enabled_from`.
    enabled_total: int
    enabled_from: int = 0
    #: Violated here: properties, and "deadlock".
    violated: list[str] = []
    #: Steps of the path, from number `steps_from` on (0: the first step).
    steps: list[Choice] = []
    steps_from: int = 0
    initial_states: int = 1
    processes: list[str] = []
    #: Whether `within` excludes this state, and what a limit of the model leaves out here.
    outside: bool = False
    left_out: list[str] = []
    #: Where the path is a lasso: the place that its loop begins at, and whether it does close.
    loop: int | None = None
    closes: bool = True
    #: The part of the path that `steps` has, drawn.
    chart: Chart | None = None
    #: Why nothing is known to be enabled: the model's own code raised.
    error: str = ""


def frame(
    session: Session,
    numbers: Sequence[int],
    *,
    loop: int | None = None,
    only: Collection[str] = (),
    enabled_from: int = 0,
) -> Frame:
    """The place that a path leads to; `only` projects it on some processes.

    Raises `NoSuchPath`, and `UsageError` for a process or a loop that the path does not have.
    """
    for name in only:
        if name not in session.processes:
            raise UsageError(f"no process {name[:40]!r}", remedy=f"of {session.processes}")
    if loop is not None and not 0 <= loop < len(numbers):
        raise UsageError(f"no loop from step {loop} of {len(numbers) - 1}", remedy="a step of it")
    places = session.places(numbers)
    here, before = places[-1], places[-2] if len(places) > 1 else None
    was = MISSING if before is None else before.state
    error, following = "", list[tuple[Action, Any]]()
    try:
        following = here.following
    except CheckerError as raised:
        error = escaped(str(raised))
    judge = session.judge
    standings = judge.standings(here.state, was, here.action)
    violated = [each.name for each in standings if each.here == "violated"]
    if judge.is_deadlock(here.state, not following and not error):
        violated.append(DEADLOCK)
    first = max(0, len(places) - 1 - STEPS_SHOWN)
    return Frame(
        path=list(numbers),
        digest=session.digest(numbers),
        state=_state(session, here.state, was, only),
        enabled=_enabled(session, here, following, only, enabled_from),
        enabled_total=len(following),
        enabled_from=enabled_from,
        properties=standings,
        violated=violated,
        steps=_taken(session, places, numbers, first),
        steps_from=first,
        initial_states=len(session.model.initial),
        processes=list(session.processes),
        outside=judge.is_outside(here.state),
        left_out=[label_of(each) for each in judge.left_out(here.state)][:CHOICES_MAX],
        loop=loop,
        closes=loop is None or session.closes(numbers, loop),
        chart=_chart(session, places, loop, only, first),
        error=error,
    )


def part(session: Session, numbers: Sequence[int], names: Sequence[str]) -> tuple[Branch, str]:
    """One part of the state that a path leads to, by the names that lead to it, and its text.

    For what a frame has cut.  Raises `NoSuchPath`, and `UsageError` for another name.
    """
    value = session.places(numbers)[-1].state
    value = by_name(session, value)
    for name in names:
        items = parts_of(value).items
        found = [each for key, each in items if key == name]
        if not found:
            raise UsageError(f"no part {'.'.join(names)[:80]!r}", remedy="a name of the tree")
        value = found[0]
    return tree(value, name=names[-1] if names else ""), text_of(value, PART_TEXT_MAX)


def by_name(session: Session, state: Any) -> Any:
    """The state in the form whose names a reader sees."""
    return Slotted(zip(session.slots, state, strict=True)) if session.slots else state


def _state(session: Session, state: Any, before: Any, only: Collection[str]) -> Branch:
    if not session.slots:
        return tree(state, before)
    was = before if before is MISSING else _kept(session, before, only)
    root = tree(_kept(session, state, only), was)
    processes = set(session.processes)
    for branch in root.parts:
        if processes and branch.name not in processes:
            branch.group = "channels" if "->" in branch.name else "bookkeeping"
    return root


def _kept(session: Session, state: Any, only: Collection[str]) -> Any:
    slots = zip(session.slots, state, strict=True)
    return Slotted(each for each in slots if not only or set(each[0].split("->")) & set(only))


def _enabled(
    session: Session,
    here: Place,
    following: Sequence[tuple[Action, Any]],
    only: Collection[str],
    first: int,
) -> list[Choice]:
    made: list[Choice] = []
    for number, (action, target) in enumerate(following[max(first, 0) :], max(first, 0)):
        if only and not {action.process, action.peer} & set(only):
            continue
        if len(made) == CHOICES_MAX:
            break
        choice = _choice(number, action)
        choice.idle = target == here.state
        if not choice.idle:
            choice.violates = _violated(session, here.state, action, target)
            if len(made) < LOOKED_AHEAD and _is_end(session, target):
                choice.violates.append(DEADLOCK)
        made.append(choice)
    return made


def _violated(session: Session, before: Any, action: Action | None, state: Any) -> list[str]:
    by_step = session.judge.violated_by_step(before, action, state)
    return session.judge.violated(state) + by_step


def _is_end(session: Session, state: Any) -> bool:
    try:
        return session.judge.is_deadlock(state, not session.model.successors(state))
    except CheckerError:
        return False


def _choice(number: int, action: Action) -> Choice:
    return Choice(
        number=number,
        label=label_of(action),
        name=escaped(action.name),
        process=escaped(action.process),
        kind=action.kind,
        peer=escaped(action.peer),
        subject="" if action.subject is None else subject_of(action.subject),
        sent=[(escaped(dst), subject_of(message)) for dst, message in action.sent],
    )


def _taken(
    session: Session, places: Sequence[Place], numbers: Sequence[int], first: int
) -> list[Choice]:
    made = []
    for at in range(first + 1, len(places)):
        before, place = places[at - 1], places[at]
        assert place.action is not None
        choice = _choice(numbers[at], place.action)
        choice.idle = before.state == place.state
        choice.violates = _violated(session, before.state, place.action, place.state)
        made.append(choice)
    if made and _is_end(session, places[-1].state):
        made[-1].violates.append(DEADLOCK)
    return made


def _chart(
    session: Session, places: Sequence[Place], loop: int | None, only: Collection[str], first: int
) -> Chart | None:
    if not session.processes and not any(p.action.process for p in places if p.action):
        return None
    path = Path(tuple(Moment(place.action, place.state) for place in places), loop)
    order = session.processes or session.slots
    return chart_of(path, label=subject_of, order=order, only=only, first=first + 1)
