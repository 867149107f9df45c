"""A state as a tree, with what differs from the state before marked down to the leaf.

A tree is bounded: branches that differ come first, and a branch says how many of its parts were
left out.  `Session.part` shows any of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from specs.session.values import Kind, Parts, is_bare, is_default, parts_of, text_of

#: "within": a part below differs.  "removed": a part of the state before.
Mark: TypeAlias = Literal["", "within", "changed", "added", "removed"]

#: Branches of one tree, and those of one value that stay as they were.
BRANCHES_MAX = 2_000
UNCHANGED_MAX = 100
#: Two sequences of more parts are not searched for parts that moved along.
MOVED_MAX = 200


class Missing:
    """The value of a part that one of two states does not have."""


MISSING = Missing()


class Branch(msgspec.Struct, omit_defaults=True):
    """A value in a state."""

    name: str
    kind: Kind = "leaf"
    #: The class of a record; "" for Python's own.
    type: str = ""
    text: str = ""
    mark: Mark = ""
    #: The text of the value before, where it is "changed".
    was: str = ""
    #: Whether the value says nothing: at its default, None, zero or empty.
    quiet: bool = False
    #: A group that the reader may fold: "channels" or "bookkeeping".
    group: str = ""
    parts: list[Branch] = []
    #: How many parts are left out.
    cut: int = 0


def tree(value: Any, before: Any = MISSING, name: str = "", size: int = BRANCHES_MAX) -> Branch:
    """The tree of a value; marked, if there is a value before."""
    root = Branch(name, mark="" if before is MISSING else mark_of(value, before))
    left = size
    # Branches that differ go first, so that they are in the tree if it has to be cut.
    differing, others = deque([(root, value, before)]), deque[tuple[Branch, Any, Any]]()
    while differing or others:
        branch, new, old = (differing or others).popleft()
        _describe(branch, new, old)
        parts = _parts(branch, new, old)
        equal = 0
        for child, new_part, old_part in parts:
            same = child.mark == ""
            equal += same
            if left <= 0 or (same and equal > UNCHANGED_MAX):
                branch.cut += 1
                continue
            left -= 1
            branch.parts.append(child)
            (others if same else differing).append((child, new_part, old_part))
    return root


def _describe(branch: Branch, new: Any, old: Any) -> None:
    shown = old if new is MISSING else new
    branch.text = text_of(shown)
    branch.quiet = branch.quiet or is_bare(shown)
    if branch.mark == "changed":
        branch.was = text_of(old)


def _parts(branch: Branch, new: Any, old: Any) -> Iterator[tuple[Branch, Any, Any]]:
    """The parts of a branch, with their values now and before; sets the branch's kind."""
    shown = old if new is MISSING else new
    now = parts_of(shown)
    branch.kind, branch.type = now.kind, now.type
    if new is MISSING or old is MISSING or branch.mark in ("", "changed"):
        pairs = [(name, each, MISSING) for name, each in now.items]
        return _branches(branch, shown, pairs, marked=False)
    return _branches(branch, new, _paired(now, parts_of(old)), marked=True)


def _branches(
    branch: Branch, owner: Any, pairs: Sequence[tuple[str, Any, Any]], *, marked: bool
) -> Iterator[tuple[Branch, Any, Any]]:
    for name, new, old in pairs:
        child = Branch(name)
        if marked:
            child.mark = mark_of(new, old)
        else:
            child.mark = branch.mark if branch.mark == "removed" else ""
        child.quiet = branch.kind == "record" and is_default(owner, name, new)
        if branch.mark == "removed":
            yield child, MISSING, new
        else:
            yield child, new, old


def mark_of(new: Any, old: Any) -> Mark:
    """How a value differs from the one before."""
    if old is MISSING:
        return "added"
    if new is MISSING:
        return "removed"
    if new == old:
        return ""
    now, then = parts_of(new), parts_of(old)
    alike = now.kind == then.kind and now.type == then.type
    return "within" if alike and now.kind != "leaf" else "changed"


def _paired(now: Parts, then: Parts) -> list[tuple[str, Any, Any]]:
    """Each part now beside the same part before."""
    if now.kind == "sequence":
        return list(_aligned(now.items, then.items))
    if now.kind == "set":
        return _members(now.items, then.items)
    before = dict(then.items)
    pairs = [(name, value, before.get(name, MISSING)) for name, value in now.items]
    kept = {name for name, _ in now.items}
    return pairs + [(name, MISSING, old) for name, old in then.items if name not in kept]


def _aligned(
    now: list[tuple[str, Any]], then: list[tuple[str, Any]]
) -> Iterator[tuple[str, Any, Any]]:
    """Sequences by their common beginning and end: a queue loses its head and gains a tail."""
    first = 0
    shorter = min(len(now), len(then))
    while first < shorter and now[first][1] == then[first][1]:
        first += 1
    last = 0
    while last < shorter - first and now[-1 - last][1] == then[-1 - last][1]:
        last += 1
    # Places that are left on both sides are compared, unless one side merely moved along.
    middle, gone = now[first : len(now) - last], then[first : len(then) - last]
    overlap = 0
    if first + last < shorter and len(middle) + len(gone) <= MOVED_MAX:
        overlap = next(
            (
                size
                for size in range(min(len(middle), len(gone)), 0, -1)
                if [each for _, each in middle[:size]] == [each for _, each in gone[-size:]]
            ),
            0,
        )
    for name, value in now[:first]:
        yield name, value, value
    if overlap:
        yield from ((name, MISSING, old) for name, old in gone[:-overlap])
        yield from ((name, value, value) for name, value in middle[:overlap])
        yield from ((name, value, MISSING) for name, value in middle[overlap:])
    else:
        both = min(len(middle), len(gone))
        for (name, value), (_, old) in zip(middle[:both], gone[:both], strict=True):
            yield name, value, old
        yield from ((name, value, MISSING) for name, value in middle[both:])
        yield from ((name, MISSING, old) for name, old in gone[both:])
    for name, value in now[len(now) - last :]:
        yield name, value, value


def _members(now: list[tuple[str, Any]], then: list[tuple[str, Any]]) -> list[tuple[str, Any, Any]]:
    """Sets member by member, in one order."""
    here, there = [value for _, value in now], [value for _, value in then]
    before, after = frozenset(there), frozenset(here)
    ordered = parts_of(before | after).items
    pairs = []
    for number, (_, value) in enumerate(ordered):
        new = value if value in after else MISSING
        old = value if value in before else MISSING
        pairs.append((str(number), new, old))
    return pairs
