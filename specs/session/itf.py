"""Traces of other tools in the Informal Trace Format: read, followed in a model, or only shown.

A file is data from elsewhere: its size, depth and length are bounded, and it names no code.
`specs.checker.itf` writes the format.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from specs.checker.errors import UsageError
from specs.checker.itf import itf_value
from specs.session.frame import STEPS_SHOWN, Choice, Frame
from specs.session.session import Session
from specs.session.tree import MISSING, tree
from specs.session.values import Pairs, escaped

#: Bytes of a file, levels of a value, states of a trace.
SIZE_MAX, DEPTH_MAX, STATES_MAX = 5_000_000, 64, 10_000


class ForeignFile(UsageError):
    """A file that is not ITF, or is too large."""

    code = "not-itf"
    remedy = "a trace of `coherence specs check --itf`, or of Apalache, in the format ITF"


@dataclass(frozen=True, slots=True)
class ForeignTrace:
    """A trace as its file has it."""

    variables: tuple[str, ...]
    #: For each state the values of the variables, as JSON has them.
    states: tuple[tuple[Any, ...], ...]
    #: What the file says of each step; "" where it says nothing.
    actions: tuple[str, ...]
    loop: int | None = None

    def follow(self, session: Session) -> list[int]:
        """The trace as numbers of actions, as far as the model has it; see `Session.follow`."""
        names = session.slots or ("state",)
        if sorted(names) != sorted(self.variables):
            return []
        order = [self.variables.index(name) for name in names]
        states = [tuple(_form(state[at]) for at in order) for state in self.states]

        def form(state: Any) -> Any:
            values = state if session.slots else (state,)
            return tuple(_form(itf_value(each)) for each in values)

        return session.followed(states, self.actions, form)


def read_itf(data: bytes) -> ForeignTrace:
    """The trace in a file; raises `ForeignFile`."""
    if len(data) > SIZE_MAX:
        raise ForeignFile(f"{len(data):,} bytes: more than {SIZE_MAX:,}")
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ForeignFile(f"not JSON: {escaped(str(error))[:200]}") from None
    if _depth(document) > DEPTH_MAX:
        raise ForeignFile(f"values of more than {DEPTH_MAX} levels")
    if not isinstance(document, dict):
        raise ForeignFile("no object with `vars` and `states`")
    variables, states = document.get("vars"), document.get("states")
    if not _is_list_of(variables, str) or not variables or len(set(variables)) < len(variables):
        raise ForeignFile("`vars` are not the names of variables")
    if not _is_list_of(states, dict) or not states:
        raise ForeignFile("`states` are not the states of a trace")
    if len(states) > STATES_MAX:
        raise ForeignFile(f"{len(states):,} states: more than {STATES_MAX:,}")
    for number, state in enumerate(states):
        if missing := [name for name in variables if name not in state]:
            raise ForeignFile(f"state {number} has no {escaped(missing[0])[:40]!r}")
    loop = document.get("loop")
    if loop is not None and (type(loop) is not int or not 0 <= loop < len(states)):
        raise ForeignFile("`loop` is not the number of a state")
    return ForeignTrace(
        tuple(variables),
        tuple(tuple(state[name] for name in variables) for state in states),
        tuple(map(_action, states)),
        loop,
    )


def foreign_frame(trace: ForeignTrace, step: int) -> Frame:
    """One state of a trace without its model: no enabled actions, no properties.

    Raises `UsageError` for a step that the trace does not have.
    """
    if not 0 <= step < len(trace.states):
        raise UsageError(f"no step {step} of {len(trace.states) - 1}", remedy="a smaller number")
    state = _shown(trace, step)
    first = max(0, step - STEPS_SHOWN)
    return Frame(
        path=[step],
        digest="",
        state=tree(state, _shown(trace, step - 1) if step else MISSING),
        enabled=[],
        enabled_total=0,
        properties=[],
        steps=[
            Choice(number, escaped(action) or f"step {number}", escaped(action))
            for number, action in enumerate(trace.actions[first + 1 : step + 1], first + 1)
        ],
        steps_from=first,
        loop=trace.loop,
    )


def _shown(trace: ForeignTrace, step: int) -> dict[str, Any]:
    return {
        name: value_of(value)
        for name, value in zip(trace.variables, trace.states[step], strict=True)
    }


def value_of(given: Any) -> Any:
    """A value of a file, as a hashable value that a tree can show."""
    if isinstance(given, list):
        return tuple(map(value_of, given))
    if not isinstance(given, dict):
        return given
    if len(given) == 1:
        ((key, inner),) = given.items()
        if key == "#bigint" and isinstance(inner, str):
            return _integer(inner)
        if key == "#tup" and isinstance(inner, list):
            return tuple(map(value_of, inner))
        if key == "#set" and isinstance(inner, list):
            return frozenset(map(value_of, inner))
        if key == "#map" and _is_map(inner):
            return Pairs(frozenset((value_of(each), value_of(of)) for each, of in inner))
        if key == "#unserializable":
            return value_of(inner)
    return tuple((str(key), value_of(inner)) for key, inner in given.items())


def _integer(text: str) -> int | str:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdecimal() and len(digits) < 4_000 else text


def _form(given: Any) -> Any:
    """A value for comparison: the order of sets, maps and fields says nothing."""
    if isinstance(given, list):
        return tuple(map(_form, given))
    if not isinstance(given, dict):
        return type(given).__name__, given
    if len(given) == 1:
        ((key, inner),) = given.items()
        if key == "#tup" and isinstance(inner, list):
            return tuple(map(_form, inner))
        if key == "#set" and isinstance(inner, list):
            return key, frozenset(map(_form, inner))
        if key == "#map" and _is_map(inner):
            return key, frozenset((_form(each), _form(of)) for each, of in inner)
        if key == "#bigint" and isinstance(inner, str):
            return "int", _integer(inner)
    return "{}", frozenset((key, _form(inner)) for key, inner in given.items())


def _action(state: dict[str, Any]) -> str:
    meta = state.get("#meta")
    if not isinstance(meta, dict):
        return ""
    action = meta.get("action", "")
    return action if isinstance(action, str) else ""


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(each, kind) for each in value)


def _is_map(value: Any) -> bool:
    return _is_list_of(value, list) and all(len(pair) == 2 for pair in value)


def _depth(document: Any) -> int:
    """How deep a document is, up to one level more than is allowed."""
    level: Collection[Any] = [document]
    depth = 0
    while level and depth <= DEPTH_MAX:
        depth += 1
        level = [inner for each in level for inner in _inner(each)]
    return depth


def _inner(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return [*value.values()]
    return value if isinstance(value, list) else ()
