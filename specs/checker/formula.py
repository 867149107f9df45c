r"""Temporal formulas: their syntax, a parser, and their truth on a lasso.

The operators are those of TLA+, with its precedence: ``~ [] <>`` bind tightest; then ``/\ \/``;
then ``~> <=>``; then ``=>``.  As in TLA+, operators of one rank are not mixed without parentheses.
Two more have the rank of ``~>``: ``p U q`` is "q at some time, and p until then", and ``p W q`` the
same without the promise of q.

There is no "next": the truth of a formula must not depend on how often a behaviour stutters, for
steps of other components are stuttering (Lamport 1983, "What good is temporal logic?").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from specs.checker.errors import PropertyError


@dataclass(frozen=True, slots=True)
class Formula:
    """An operator and its operands; an atom is an operator without operands and has a name."""

    operator: str
    operands: tuple[Formula, ...] = ()
    name: str = ""

    def __str__(self) -> str:
        if not self.operands:
            return self.name or self.operator
        shown = [f"({each})" if len(each.operands) > 1 else str(each) for each in self.operands]
        if len(shown) == 1:
            return self.operator + shown[0]
        return f" {self.operator} ".join(shown)

    def atoms(self) -> Iterator[str]:
        """The names of its atoms, in order, repetitions included."""
        if self.operator == ATOM:
            yield self.name
        for each in self.operands:
            yield from each.atoms()


ATOM = "atom"
TRUE, FALSE = Formula("TRUE"), Formula("FALSE")
PREFIX = ("~", "[]", "<>")
TEMPORAL = frozenset({"[]", "<>", "~>", "U", "W"})

#: Infix operators by rank, those that bind weakest first.
RANKS: tuple[tuple[str, ...], ...] = (("=>",), ("~>", "<=>", "U", "W"), ("/\\", "\\/"))
#: Operators that may be repeated without parentheses.
ASSOCIATIVE = ("/\\", "\\/")

#: Operators of other notations, and what to write here.
ELSEWHERE = {
    "X": "there is no next-state operator: it would see stuttering; claim steps with every_step",
    "'": "there is no next-state operator: it would see stuttering; claim steps with every_step",
    "G": "write []",
    "F": "write <>",
    "R": "write W: p R q is q W (p /\\ q)",
    "!": "write ~",
    "->": "write =>",
    "<->": "write <=>",
    "&&": "write /\\",
    "&": "write /\\",
    "||": "write \\/",
    "|": "write \\/",
    "ENABLED": "make it an atom: e=enabled('Action')",
}


def atom(name: str) -> Formula:
    """The formula that a state satisfies if the predicate of this name does."""
    return Formula(ATOM, (), name)


def is_of_states(formula: Formula) -> bool:
    """Whether single states decide it."""
    return formula.operator not in TEMPORAL and all(map(is_of_states, formula.operands))


def is_tested(
    formula: Formula, truths: Mapping[str, Sequence[int]], initial: Sequence[int]
) -> bool:
    """Whether the antecedents of a formula are true in some state that it speaks of.

    `truths` gives, for each atom, its truth in each reachable state.  A formula without antecedent
    is tested.
    """
    parts = formula.operands
    match formula.operator:
        case "~>" if is_of_states(parts[0]):
            return _is_met(parts[0], truths, None)
        case "=>" if is_of_states(parts[0]):
            return _is_met(parts[0], truths, initial)
        case "[]" if parts[0].operator == "=>" and is_of_states(parts[0].operands[0]):
            return _is_met(parts[0].operands[0], truths, None)
        case "/\\":
            return all(is_tested(part, truths, initial) for part in parts)
    return True


def _is_met(
    formula: Formula, truths: Mapping[str, Sequence[int]], initial: Sequence[int] | None
) -> bool:
    """Whether a formula of states is true in some reachable state, or in some initial one."""
    names = sorted(set(formula.atoms()))
    if initial is None:
        rows = set(zip(*(truths[name] for name in names), strict=True))
    else:
        rows = {tuple(truths[name][state] for name in names) for state in initial}
    # A constant is true in all states, or in none.
    rows = rows or {()}
    return any(
        holds_on(formula, [dict(zip(names, map(bool, row), strict=True))], 0) for row in rows
    )


# Parsing.


class Token(NamedTuple):
    """A piece of the text, and where it begins."""

    text: str
    at: int


_TOKENS = re.compile(
    r"\s*(<=>|<->|=>|->|~>|\[\]|<>|/\\|\\/|&&|\|\||[()~!&|']|[^\W\d]\w*|$|.)", re.S
)


def parse(text: str, names: Sequence[str]) -> Formula:
    """The formula that `text` says about atoms of these names.

    Raises `PropertyError` with the place of the first mistake.
    """
    return _Parser(text, names).parse()


class _Parser:
    def __init__(self, text: str, names: Sequence[str]) -> None:
        self._text = text
        self._names = names
        self._tokens = [
            Token(match.group(1), match.start(1)) for match in _TOKENS.finditer(text.rstrip())
        ]
        self._place = 0

    def parse(self) -> Formula:
        formula = self._infix(0)
        if self._next.text:
            self._fail(self._next, "an operator or the end was expected")
        return formula

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _take(self) -> Token:
        token = self._next
        self._place += 1
        return token

    def _infix(self, rank: int) -> Formula:
        """A formula of operators that bind at least as tightly as `rank`."""
        if rank == len(RANKS):
            return self._prefix()
        formula = self._infix(rank + 1)
        first = ""
        while self._next.text in RANKS[rank]:
            operator = self._take()
            if first and (operator.text != first or first not in ASSOCIATIVE):
                self._fail(operator, f"{first} and {operator.text} need parentheses")
            first = operator.text
            formula = Formula(first, (formula, self._infix(rank + 1)))
        return formula

    def _prefix(self) -> Formula:
        token = self._take()
        if token.text in PREFIX:
            return Formula(token.text, (self._prefix(),))
        if token.text == "(":
            formula = self._infix(0)
            if self._next.text != ")":
                self._fail(self._next, "a ) was expected")
            self._take()
            return formula
        if token.text in ("TRUE", "FALSE"):
            return Formula(token.text)
        if token.text in self._names:
            return atom(token.text)
        if token.text.isidentifier() and token.text not in (*ELSEWHERE, "U", "W"):
            known = ", ".join(self._names) or "none"
            self._fail(token, f"no atom has this name; there are: {known}")
        self._fail(token, "an atom, ~, [], <> or ( was expected")

    def _fail(self, token: Token, expected: str) -> NoReturn:
        remedy = ELSEWHERE.get(token.text, expected)
        found = repr(token.text) if token.text else "the end"
        raise PropertyError(
            f"formula: {found} at column {token.at + 1}\n  {self._text}\n  {' ' * token.at}^\n",
            remedy=remedy,
        )


# Truth.


def holds_on(formula: Formula, states: Sequence[Mapping[str, bool]], loop: int) -> bool:
    """Whether the behaviour ``states``, whose states from `loop` on repeat for ever, satisfies it.

    Each state gives the truth of each atom.  By the fixpoints of each operator, innermost first.
    """
    return _truths(formula, states, loop)[0]


def _truths(formula: Formula, states: Sequence[Mapping[str, bool]], loop: int) -> list[bool]:
    """The truth of a formula at each place of a lasso."""
    parts = [_truths(each, states, loop) for each in formula.operands]
    everywhere, nowhere = [True] * len(states), [False] * len(states)
    match formula.operator, parts:
        case "atom", []:
            return [state[formula.name] for state in states]
        case "TRUE", []:
            return everywhere
        case "FALSE", []:
            return nowhere
        case "~", [one]:
            return [not p for p in one]
        case "[]", [one]:
            return _fixpoint(one, nowhere, loop, start=True)
        case "<>", [one]:
            return _fixpoint(everywhere, one, loop, start=False)
        case "U", [one, other]:
            return _fixpoint(one, other, loop, start=False)
        case "W", [one, other]:
            return _fixpoint(one, other, loop, start=True)
        case "~>", [one, other]:
            later = _fixpoint(everywhere, other, loop, start=False)
            answered = [not p or q for p, q in zip(one, later, strict=True)]
            return _fixpoint(answered, nowhere, loop, start=True)
        case operator, [one, other]:
            return [_JUNCTIONS[operator](p, q) for p, q in zip(one, other, strict=True)]
    raise AssertionError(formula.operator)


_JUNCTIONS: dict[str, Callable[[bool, bool], bool]] = {
    "/\\": lambda p, q: p and q,
    "\\/": lambda p, q: p or q,
    "=>": lambda p, q: not p or q,
    "<=>": lambda p, q: p == q,
}


def _fixpoint(stays: Sequence[bool], ends: Sequence[bool], loop: int, *, start: bool) -> list[bool]:
    """The fixpoint of ``x = ends or (stays and next x)``: the least, or from True the greatest."""
    found = [start] * len(stays)
    for _ in range(2):  # once around the loop, and once more with what that gave
        after = found[loop]
        for place in reversed(range(len(stays))):
            found[place] = ends[place] or (stays[place] and after)
            after = found[place]
    return found
