"""Loops of any length, cut at their heads: each is followed for one arbitrary round.

A loop over a symbolic collection has no last round that a run could reach.  So the source of a
function is compiled again with each loop cut, as a proof by loop invariants cuts it (Floyd,
"Assigning Meanings to Programs", 1967):

* before the loop, `Cut.enter` proves the invariant, and gives every variable that the loop changes
  an arbitrary value of which only the invariant is known;
* the run then either leaves the loop, or does one round and proves the invariant again in
  `Cut.back`, which ends the run or, if the loop is over, lets it leave.

What a loop changes is read off its source.  A variable for which `enter` has no value is `Unset`
behind the loop's head, and nothing can be done with it before the code assigns it.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from specs.symbolic.engine import Pruned


class Cut(Protocol):
    """The invariants of a function's loops; `loop` is the function's name, a dot and a count."""

    def enter(self, loop: str, local: Mapping[str, Any]) -> Mapping[str, Any]:
        """Prove the invariant; the arbitrary values of the variables that the loop changes."""
        ...

    def some(self, loop: str, values: Any) -> Iterator[Any]:
        """For the loop over `values`: no value, or one arbitrary value of those left."""
        ...

    def back(self, loop: str, local: Mapping[str, Any]) -> bool:
        """Prove the invariant after a round, or find that the loop is over: whether it is."""
        ...


class Unset:
    """The value of a variable that a loop may have changed and of which nothing is known."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError("a variable that a loop changes has no invariant")

    __bool__ = __eq__ = __hash__ = None  # type: ignore[assignment]


UNSET = Unset()
_CHANGING = {"append", "insert", "extend", "pop", "update", "add", "clear"}


def cut(
    function: Callable[..., Any], cuts: Cut, turned: Sequence[tuple[str, str]] = ()
) -> Callable[..., Any]:
    """`function` with its loops cut; `turned` are replacements in its source, each made once."""
    source = textwrap.dedent(inspect.getsource(function))
    for old, new in turned:
        assert source.count(old) == 1, (old, source.count(old))
        source = source.replace(old, new)
    tree = _Cutter(function.__name__).visit(ast.parse(source))
    ast.fix_missing_locations(tree)
    names = {**vars(sys.modules[function.__module__]), "_cuts": _Head(cuts)}
    exec(compile(tree, f"<{function.__qualname__}, cut>", "exec"), names)
    found: Callable[..., Any] = names[function.__name__]
    return found


class _Head:
    """What the compiled code calls."""

    def __init__(self, cuts: Cut) -> None:
        self._cuts = cuts

    def enter(self, loop: str, changed: Sequence[str], local: Mapping[str, Any]) -> list[Any]:
        given = self._cuts.enter(loop, local)
        return [given.get(name, UNSET) for name in changed]

    def some(self, loop: str, values: Any) -> Iterator[Any]:
        return self._cuts.some(loop, values)

    def back(self, loop: str, local: Mapping[str, Any]) -> None:
        if not self._cuts.back(loop, local):
            raise Pruned


class _Cutter(ast.NodeTransformer):
    def __init__(self, name: str) -> None:
        self._name, self._count = name, 0

    def visit_While(self, node: ast.While) -> Any:
        loop, enter = self._begun(node)
        self.generic_visit(node)
        leave = ast.If(ast.UnaryOp(ast.Not(), node.test), [*node.orelse, ast.Break()], [])
        return [enter, _once([leave, *node.body], [_back(loop)])]

    def visit_For(self, node: ast.For) -> Any:
        assert not node.orelse, "no loop over a collection has an else"
        assert not any(isinstance(part, ast.Break) for part in ast.walk(node))
        loop, enter = self._begun(node)
        self.generic_visit(node)
        some = _call("some", ast.Constant(loop), node.iter)
        return [enter, ast.For(node.target, some, [_once(node.body, []), _back(loop)], [])]

    def _begun(self, node: ast.While | ast.For) -> tuple[str, ast.stmt]:
        loop = f"{self._name}.{self._count}"
        self._count += 1
        changed = sorted(_changed(node))
        listed = ast.Tuple([ast.Constant(name) for name in changed], ast.Load())
        values = _call("enter", ast.Constant(loop), listed, _local())
        targets: list[ast.expr] = [ast.Name(name, ast.Store()) for name in changed]
        return loop, ast.Assign([ast.Tuple(targets, ast.Store())], values)


def _changed(loop: ast.AST) -> set[str]:
    """The variables that a loop assigns, or changes in place."""
    found = set()
    for node in ast.walk(loop):
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attr)):
                if attr in _CHANGING:
                    found.add(name)
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store()):
                found.add(name)
    return found


def _once(body: list[ast.stmt], orelse: list[ast.stmt]) -> ast.stmt:
    # A `continue` of the body ends the only round; a `break` skips the else.
    return ast.For(
        ast.Name("_once", ast.Store()), ast.Tuple([ast.Constant(0)], ast.Load()), body, orelse
    )


def _call(name: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(
        ast.Attribute(ast.Name("_cuts", ast.Load()), name, ast.Load()), [*arguments], []
    )


def _local() -> ast.expr:
    return ast.Call(ast.Name("locals", ast.Load()), [], [])


def _back(loop: str) -> ast.stmt:
    return ast.Expr(_call("back", ast.Constant(loop), _local()))
