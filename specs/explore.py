"""Walk a state space step by step in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from message_passing.console import terminal_width
from specs.checker.chart import text_chart
from specs.checker.composite import Composite
from specs.checker.model import Model
from specs.checker.result import Path
from specs.session import Branch, Session, frame

HELP = "a number takes that action, b goes back, c draws the chart so far, q ends"


def explore(
    model: Model[Any, Any] | Composite[Any],
    ask: Callable[[str], str],
    say: Callable[[str], None],
) -> Path:
    """Walk as the answers of `ask` say, until "q" or the end of input; return the path."""
    session, numbers = Session(model), [0]
    say(HELP)
    while True:
        say("\n".join(lines(session, numbers)))
        try:
            answer = ask("> ").strip()
        except EOFError:
            answer = "q"
        if answer == "q":
            return session.path(numbers)
        if answer == "b":
            del numbers[max(1, len(numbers) - 1) :]
        elif answer == "c":
            say(text_chart(session.path(numbers), terminal_width()))
        elif answer.isdecimal() and 1 <= int(answer) <= _enabled(session, numbers):
            numbers.append(int(answer) - 1)
        else:
            say(HELP)


def lines(session: Session, numbers: list[int]) -> Iterator[str]:
    """The state with what has changed, what it violates, and the enabled actions from number 1."""
    shown = frame(session, numbers)
    yield f"step {len(numbers) - 1}"
    yield from (f"  {line}" for line in _state(shown.state))
    for name in shown.violated:
        yield f"  VIOLATED {name!r}"
    for standing in shown.properties:
        if standing.why:
            yield f"  {standing.name!r}: {standing.why}"
    if shown.outside:
        yield "  outside `within`: a check does not go on from here"
    for choice in shown.enabled:
        after = " (changes nothing)" * choice.idle
        after += f"  → violates {', '.join(choice.violates)}" if choice.violates else ""
        yield f"  {choice.number + 1:3} {choice.label}{after}"
    if shown.enabled_total > len(shown.enabled):
        yield f"      and {shown.enabled_total - len(shown.enabled):,} more"
    if shown.error:
        yield f"  {shown.error}"
    elif not shown.enabled_total:
        yield "  nothing is enabled"


def _enabled(session: Session, numbers: list[int]) -> int:
    return len(session.places(numbers)[-1].following)


def _state(root: Branch) -> Iterator[str]:
    """The parts of a state; of a system, channels and bookkeeping only if they say something."""
    if root.kind != "record":
        yield root.text
        yield from (f"    {line}" for line in _changes(root, ""))
        return
    for branch in root.parts:
        if not (branch.group and branch.quiet and not branch.mark):
            yield f"{branch.name} = {branch.text}"
        yield from (f"    {line}" for line in _changes(branch, branch.name))


def _changes(branch: Branch, name: str) -> Iterator[str]:
    """What differs from the state before, to the leaf."""
    if branch.mark == "changed":
        yield f"{name}: {branch.was} → {branch.text}".removeprefix(": ")
    elif branch.mark in ("added", "removed"):
        yield f"{name}: {branch.mark} {branch.text}"
    elif branch.mark == "within":
        for each in branch.parts:
            yield from _changes(each, f"{name}.{each.name}" if name else each.name)
