"""From a temporal formula to an automaton: a generalised Büchi automaton with labels on its nodes.

The construction of Gerth, Peled, Vardi and Wolper 1995, "Simple on-the-fly automatic verification
of linear temporal logic": a node is a way to satisfy some obligations now, and the obligations that
this leaves for later.  Two nodes that say the same of now and of later are one.

It is our own because no kept library makes such automata.  Of those on PyPI in November 2026,
ltlf2dfa translates formulas over finite traces, hoax executes automata that others made, and flloat
and fodtlmon have had no release for years.  The known translators (Spot, Owl, ltl2ba) are absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from specs.checker.formula import FALSE, TRUE, Formula


@dataclass(frozen=True, slots=True)
class Node:
    """Requirements on a state, and obligations from the next state on."""

    #: Atoms that must be true, and atoms that must be false.
    true: frozenset[str]
    false: frozenset[str]
    later: frozenset[Formula]
    #: For each promise of the formula, whether nothing of it is left open here.
    kept: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Automaton:
    """The nodes of an automaton; node i may be followed by each of ``following[i]``.

    A behaviour is accepted if some run over it visits a node that keeps promise k again and again,
    for each k.  Nodes from which nothing is accepted are left out.
    """

    nodes: Sequence[Node]
    initial: Sequence[int]
    following: Sequence[Sequence[int]]
    promises: int


def automaton_of(formula: Formula) -> Automaton:
    """The automaton that accepts the behaviours that satisfy `formula`."""
    wanted = normal(formula)
    promises = tuple(dict.fromkeys(each for each in _parts(wanted) if each.operator == "U"))
    numbers: dict[Node, int] = {}
    following: list[list[int]] = []

    def number(obligations: frozenset[Formula]) -> list[int]:
        found = []
        for node in _ways(obligations, promises):
            found.append(numbers.setdefault(node, len(numbers)))
        return list(dict.fromkeys(found))

    initial = number(frozenset({wanted}))
    nodes = list(numbers)
    while len(following) < len(nodes):
        following.append(number(nodes[len(following)].later))
        nodes = list(numbers)
    return _pruned(nodes, initial, following, len(promises))


def _parts(formula: Formula) -> Iterator[Formula]:
    yield formula
    for each in formula.operands:
        yield from _parts(each)


# Negation normal form, of atoms and their negations with /\, \/, U and its dual R.


def normal(formula: Formula, *, negated: bool = False) -> Formula:
    """The formula, or its negation, with negations of atoms only."""
    parts = formula.operands
    match formula.operator:
        case "atom":
            return Formula("~", (formula,)) if negated else formula
        case "TRUE" | "FALSE":
            return TRUE if (formula.operator == "TRUE") != negated else FALSE
        case "~":
            return normal(parts[0], negated=not negated)
        case "/\\" | "\\/":
            one, other = (normal(part, negated=negated) for part in parts)
            return _junction("/\\" if (formula.operator == "/\\") != negated else "\\/", one, other)
        case "=>":
            return normal(_or(_not(parts[0]), parts[1]), negated=negated)
        case "<=>":
            same = _and(*parts), _and(*map(_not, parts))
            return normal(_or(*same), negated=negated)
        case "<>":
            return normal(Formula("U", (TRUE, parts[0])), negated=negated)
        case "[]":
            return normal(Formula("U", (TRUE, _not(parts[0]))), negated=not negated)
        case "~>":
            after = _or(_not(parts[0]), Formula("<>", (parts[1],)))
            return normal(Formula("[]", (after,)), negated=negated)
        case "U":
            one, other = (normal(part, negated=negated) for part in parts)
            return Formula("R" if negated else "U", (one, other))
        case "W":
            # p W q is q R (p \/ q).
            dual = _not(parts[1]), _not(_or(*parts))
            return normal(Formula("U", dual), negated=not negated)
    raise AssertionError(formula.operator)


def _not(formula: Formula) -> Formula:
    return Formula("~", (formula,))


def _and(one: Formula, other: Formula) -> Formula:
    return Formula("/\\", (one, other))


def _or(one: Formula, other: Formula) -> Formula:
    return Formula("\\/", (one, other))


def _junction(operator: str, one: Formula, other: Formula) -> Formula:
    """One of two formulas in normal form, or both, shortened where one is constant."""
    rules, absorbs = (TRUE, FALSE) if operator == "/\\" else (FALSE, TRUE)
    if one == absorbs or other == absorbs:
        return absorbs
    if one in (rules, other):
        return other
    return one if other == rules else Formula(operator, (one, other))


# The tableau.


def _ways(obligations: frozenset[Formula], promises: Sequence[Formula]) -> Iterator[Node]:
    """All ways to satisfy some obligations, as nodes."""
    start = (tuple(sorted(obligations, key=str)), frozenset[Formula](), frozenset[Formula]())
    todo = [start]
    while todo:
        open_now, done, later = todo.pop()
        if not open_now:
            yield _node(done, later, promises)
            continue
        formula, rest = open_now[0], open_now[1:]
        if formula in done:
            todo.append((rest, done, later))
            continue
        now = done | {formula}
        match formula.operator:
            case "TRUE":
                todo.append((rest, done, later))
            case "FALSE":
                pass
            case "atom" | "~":
                if normal(formula, negated=True) not in done:
                    todo.append((rest, now, later))
            case "/\\":
                todo.append(((*formula.operands, *rest), now, later))
            case "\\/":
                todo += [((each, *rest), now, later) for each in reversed(formula.operands)]
            case "U":
                one, other = formula.operands
                todo += [((one, *rest), now, later | {formula}), ((other, *rest), now, later)]
            case "R":
                one, other = formula.operands
                todo += [
                    ((other, *rest), now, later | {formula}),
                    ((one, other, *rest), now, later),
                ]


def _node(done: frozenset[Formula], later: frozenset[Formula], promises: Sequence[Formula]) -> Node:
    return Node(
        frozenset(each.name for each in done if each.operator == "atom"),
        frozenset(each.operands[0].name for each in done if each.operator == "~"),
        later,
        tuple(
            promise not in done or promise.operands[1] in done or promise.operands[1] == TRUE
            for promise in promises
        ),
    )


def _pruned(
    nodes: Sequence[Node],
    initial: Sequence[int],
    following: Sequence[Sequence[int]],
    promises: int,
) -> Automaton:
    """The automaton without the nodes from which no run is accepted."""
    # Loading it takes longer than a small search, and only formulas need it.
    import networkx

    graph = networkx.DiGraph((i, j) for i, each in enumerate(following) for j in each)
    alive: set[int] = set()
    for component in networkx.strongly_connected_components(graph):
        moves = any(j in component for i in component for j in following[i])
        if moves and all(any(nodes[i].kept[k] for i in component) for k in range(promises)):
            alive |= component | set().union(*(networkx.ancestors(graph, i) for i in component))
    kept = [i for i in range(len(nodes)) if i in alive]
    place = {i: new for new, i in enumerate(kept)}
    return Automaton(
        [nodes[i] for i in kept],
        [place[i] for i in initial if i in alive],
        [[place[j] for j in following[i] if j in alive] for i in kept],
        promises,
    )
