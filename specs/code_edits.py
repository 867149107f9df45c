"""Small mistakes in a function: its syntax tree, changed in one place.

The operators are the classical ones (King and Offutt, "A Fortran Language System for Mutation-based
Software Testing", 1991: relational, logical and arithmetic operator replacement, statement
deletion), with those that the protocols here call for: a dropped conjunct, a dropped filter, a
slice of the other end, a dropped field of ``replace``, another name of a row.

Library mutators (cosmic-ray, mutmut) change files and run a test command for each change, in a
process of its own: seconds a mutant.  The judges here run in one process and take milliseconds.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TypeAlias

Function: TypeAlias = ast.FunctionDef
#: What takes a node's place, after the name of the operator.
Swap: TypeAlias = tuple[str, ast.AST]

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPPOSITES = {"min": "max", "max": "min", "any": "all", "all": "any"}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {ast.Add: ast.Sub, ast.Sub: ast.Add}
_OF_CONDITIONS = ("negation", "always", "never", "filter")
#: Not code that runs, or code whose only purpose is a message or a type.
_IDLE = (ast.Assert, ast.JoinedStr, ast.Raise, ast.Import, ast.ImportFrom)
_DROPPED = (ast.Assign, ast.AugAssign, ast.Expr, ast.Continue, ast.Break, ast.Raise, ast.Delete)


@dataclass(frozen=True)
class Edit:
    """One change of one function: the operator, the texts before and after, and the new tree.

    `in_condition`: the change lies in a condition, that is, in the test of an ``if``, ``while`` or
    conditional expression, or in the filter of a comprehension.
    """

    operator: str
    before: str
    after: str
    tree: Function
    in_condition: bool
    #: Counts changes of equal texts in one function, from 1.
    ordinal: int = 1

    def __str__(self) -> str:
        again = f" ({self.ordinal})" if self.ordinal > 1 else ""
        return f"{self.before} => {self.after}{again}"


@dataclass(frozen=True)
class _Site:
    """A node of the function, with the texts that show a change of it."""

    node: ast.AST
    #: The smallest expression or simple statement around it that reads well by itself.
    shown: ast.AST
    in_condition: bool


def edits(function: Function) -> Iterator[Edit]:
    """Every change of `function`, in the order of its text.  Equal results are given once."""
    seen = {ast.unparse(function)}
    texts: Counter[tuple[str, str]] = Counter()
    names, bound_once = _returned_names(function), _bound_once(function)
    for site in _sites(function):
        for operator, other in _swaps(site.node, names, site.in_condition):
            if operator == "statement" and _binds(site.node) <= bound_once:
                continue
            tree = deepcopy(function, {id(site.node): other})
            text = ast.unparse(tree)
            if text in seen:
                continue
            seen.add(text)
            before, after = _texts(site, other)
            texts[before, after] += 1
            in_condition = site.in_condition or operator in _OF_CONDITIONS
            edit = Edit(operator, before, after, tree, in_condition)
            yield replace(edit, ordinal=texts[before, after])


def _texts(site: _Site, other: ast.AST) -> tuple[str, str]:
    if isinstance(site.node, ast.stmt):
        head = _head(site.node)
        return head, "(dropped)" if isinstance(other, ast.Pass) else _head(other)
    shown = deepcopy(site.shown, {id(site.node): other})
    return _head(site.shown), _head(shown)


def _head(node: ast.AST) -> str:
    """The text of a node; of a compound statement, its first line."""
    return " ".join(ast.unparse(node).splitlines()[0].split())


def _returned_names(function: Function) -> list[str]:
    """The different texts that a function returns: a classifier's names of rows."""
    constants = (
        node.value
        for found in ast.walk(function)
        if isinstance(found, ast.Return) and found.value is not None
        for node in ast.walk(found.value)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    return list(dict.fromkeys(value for value in constants if value))


def _bound_once(function: Function) -> set[str]:
    """Names that one statement binds: without this statement every use raises at once."""
    bound = Counter(
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )
    bound += Counter(node.arg for node in ast.walk(function) if isinstance(node, ast.arg))
    return {name for name, times in bound.items() if times == 1}


def _binds(statement: ast.AST) -> set[str]:
    """The names that a statement binds; ``=`` where it does something else."""
    if not isinstance(statement, ast.Assign):
        return {"="}
    every = [node for target in statement.targets for node in ast.walk(target)]
    if any(isinstance(node, ast.Attribute | ast.Subscript) for node in every):
        return {"="}
    return {node.id for node in every if isinstance(node, ast.Name)}


def _sites(function: Function) -> Iterator[_Site]:
    for statement in _body(function):
        yield from _below(_Site(statement, statement, in_condition=False))


def _body(function: Function) -> Sequence[ast.stmt]:
    first = function.body[0]
    has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return function.body[1:] if has_docstring else function.body


def _below(site: _Site) -> Iterator[_Site]:
    """`site` and the sites in it."""
    node = site.node
    if isinstance(node, _IDLE):
        if isinstance(node, ast.Raise):
            yield site
        return
    yield site
    tests = _tests(node)
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "type_comment", "args") and not isinstance(
            node, ast.Call
        ):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.expr_context):
                continue
            inside = site.in_condition or child in tests
            yield from _below(_Site(child, _shown(site, child), inside))


def _tests(node: ast.AST) -> Sequence[ast.expr]:
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        return [node.test]
    return node.ifs if isinstance(node, ast.comprehension) else []


def _shown(above: _Site, child: ast.AST) -> ast.AST:
    """What shows a change of `child`: a comparison, a call or a statement around it."""
    if isinstance(child, ast.stmt | ast.BoolOp | ast.Compare | ast.IfExp):
        return child
    if isinstance(above.node, ast.If | ast.While) and child is above.node.test:
        return child
    return above.shown


def _swaps(node: ast.AST, names: Sequence[str], in_condition: bool) -> Iterator[Swap]:
    match node:
        case ast.Compare():
            yield from _of_comparison(node)
        case ast.BoolOp():
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield "connective", ast.BoolOp(other, node.values)
            for value in node.values:
                rest = [v for v in node.values if v is not value]
                yield "conjunct", rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
        case ast.UnaryOp(op=ast.Not()):
            yield "negation", node.operand
        case ast.BinOp(op=op) if type(op) in _ARITHMETIC:
            yield "arithmetic", ast.BinOp(node.left, _ARITHMETIC[type(op)](), node.right)
        case ast.AugAssign(op=op) if type(op) in _ARITHMETIC:
            yield "arithmetic", ast.AugAssign(node.target, _ARITHMETIC[type(op)](), node.value)
        case ast.Constant():
            yield from _of_constant(node, names, in_condition)
        case ast.Call():
            yield from _of_call(node)
        case ast.Slice():
            yield from _of_slice(node)
        case ast.comprehension(ifs=[_, *_]):
            for test in node.ifs:
                rest = [t for t in node.ifs if t is not test]
                yield "filter", ast.comprehension(node.target, node.iter, rest, node.is_async)
    for test in _tests(node):
        yield from _of_test(node, test)
    if isinstance(node, _DROPPED):
        yield "statement", ast.Pass()


def _of_comparison(node: ast.Compare) -> Iterator[Swap]:
    for place, op in enumerate(node.ops):
        ops = [*node.ops]
        ops[place] = _COMPARISONS[type(op)]()
        yield "comparison", ast.Compare(node.left, ops, node.comparators)
    if len(node.ops) > 1:
        # A chain is a conjunction.
        yield "conjunct", ast.Compare(node.left, node.ops[:-1], node.comparators[:-1])
        yield "conjunct", ast.Compare(node.comparators[0], node.ops[1:], node.comparators[1:])


def _of_constant(node: ast.Constant, names: Sequence[str], in_condition: bool) -> Iterator[Swap]:
    value = node.value
    if isinstance(value, bool):
        yield "constant", ast.Constant(not value)
    elif isinstance(value, int):
        yield "constant", ast.Constant(value + 1)
        if value:
            yield "constant", ast.Constant(value - 1)
    elif value in names[:-1] and not in_condition:
        yield "name", ast.Constant(names[names.index(value) + 1])
    elif value in names[1:] and not in_condition:
        yield "name", ast.Constant(names[0])


def _of_call(node: ast.Call) -> Iterator[Swap]:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name in _OPPOSITES:
        yield "opposite", ast.Call(ast.Name(_OPPOSITES[name], ast.Load()), node.args, node.keywords)
    if name == "replace":
        for keyword in node.keywords:
            rest = [k for k in node.keywords if k is not keyword]
            yield "field", ast.Call(node.func, node.args, rest)


def _of_slice(node: ast.Slice) -> Iterator[Swap]:
    if node.lower is not None and node.upper is None:
        lower = node.lower.operand if isinstance(node.lower, ast.UnaryOp) else node.lower
        yield "slice", ast.Slice(None, lower, None)
    elif node.upper is not None and node.lower is None:
        yield "slice", ast.Slice(node.upper, None, None)


def _of_test(node: ast.AST, test: ast.expr) -> Iterator[Swap]:
    """The condition negated, forgotten (always true), or with its statement left out."""
    if isinstance(node, ast.comprehension):
        yield "negation", deepcopy(node, {id(test): ast.UnaryOp(ast.Not(), test)})
        return
    new: list[tuple[str, ast.expr]] = []
    if not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
        new.append(("negation", ast.UnaryOp(ast.Not(), test)))
    if not isinstance(node, ast.While):
        new += [("always", ast.Constant(True)), ("never", ast.Constant(False))]
    for operator, other in new:
        yield operator, deepcopy(node, {id(test): other})
