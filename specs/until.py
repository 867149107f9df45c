r"""Temporal formulas in terms of one temporal operator, for the judge.

Every formula of `specs.checker.formula` is put in terms of true, atoms, not, and, and until.  What
remains open in a state of a behaviour is then the truth of the untils: ``p U q`` is true if q is,
or if p is and ``p U q`` is true in the next state, and q does come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from specs.checker.formula import Formula

#: ("true",), ("atom", name), ("not", p), ("and", p, q) or ("until", p, q).
Core = tuple[Any, ...]
TRUE: Core = ("true",)


def core(formula: Formula) -> Core:
    """The formula in terms of until."""
    parts = [core(part) for part in formula.operands]
    p, q = (*parts, TRUE, TRUE)[:2]
    match formula.operator:
        case "atom":
            return ("atom", formula.name)
        case "TRUE":
            return TRUE
        case "FALSE":
            return ("not", TRUE)
        case "~":
            return ("not", p)
        case "/\\":
            return ("and", p, q)
        case "\\/":
            return ("not", ("and", ("not", p), ("not", q)))
        case "=>":
            return ("not", ("and", p, ("not", q)))
        case "<=>":
            return ("and", ("not", ("and", p, ("not", q))), ("not", ("and", q, ("not", p))))
        case "U":
            return ("until", p, q)
        case "W":
            return ("not", ("until", ("not", q), ("and", ("not", p), ("not", q))))
        case "<>":
            return ("until", TRUE, p)
        case "[]":
            return ("not", ("until", TRUE, ("not", p)))
        case "~>":
            return ("not", ("until", TRUE, ("and", p, ("not", ("until", TRUE, q)))))
    raise AssertionError(formula.operator)


def untils(formula: Core) -> Iterator[Core]:
    """The untils in a formula, inner ones first."""
    if formula[0] != "atom":
        for part in formula[1:]:
            yield from untils(part)
    if formula[0] == "until":
        yield formula


def truth(formula: Core, atoms: Mapping[str, bool], given: Mapping[Core, bool]) -> bool:
    """The truth of a formula in a state: `given` tells the untils."""
    match formula:
        case ("atom", name):
            return atoms[name]
        case ("not", part):
            return not truth(part, atoms, given)
        case ("and", one, other):
            return truth(one, atoms, given) and truth(other, atoms, given)
        case ("until", _, _):
            return given[formula]
    return True


def true_on(states: Sequence[Mapping[str, bool]], loop: int, formula: Core) -> bool:
    """Whether a lasso satisfies a formula: the states from `loop` on repeat for ever."""
    following = [*range(1, len(states)), loop]
    given: list[dict[Core, bool]] = [{} for _ in states]
    for each in untils(formula):
        _, holds, ends = each
        for place, atoms in enumerate(states):
            given[place][each] = truth(ends, atoms, given[place])
        # Twice round: a promise travels back from the loop's begin to its end, and then further.
        for place in [*reversed(range(len(states)))] * 2:
            if truth(holds, states[place], given[place]):
                given[place][each] |= given[following[place]][each]
    return truth(formula, states[0], given[0])


def is_tested(formula: Formula, all_states: Sequence[Any], initial: Sequence[Any]) -> bool:
    """Whether the antecedent of an implication is true somewhere; the rows tell the atoms."""
    parts = formula.operands
    match formula.operator:
        case "/\\":
            return all(is_tested(part, all_states, initial) for part in parts)
        case "~>":
            return _is_met(core(parts[0]), all_states)
        case "=>":
            return _is_met(core(parts[0]), initial)
        case "[]" if parts[0].operator == "=>":
            return _is_met(core(parts[0].operands[0]), all_states)
    return True


def _is_met(antecedent: Core, states: Sequence[Mapping[str, bool]]) -> bool:
    return bool([*untils(antecedent)]) or any(truth(antecedent, each, {}) for each in states)
