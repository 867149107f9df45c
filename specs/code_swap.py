"""Another code for a function, in place and for a while: ``function.__code__``.

Tables, subclasses and modules that hold the function run the other code, and no file changes.  The
loops of the other code count their turns, so that one that never ends is ended by their number.
"""

from __future__ import annotations
import __future__

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import CodeType, FunctionType
from typing import Any

#: Turns of loops and calls of the mutant in one step, in one search, and in one run of the tests.
STEP_TURNS, SEARCH_TURNS, TURNS_MAX = 10_000, 200_000, 5_000_000


class EndlessStep(Exception):
    """A mutant turned in a loop for longer than any step does."""


class Turns:
    """Counts turns, and ends a run that has too many."""

    def __init__(self) -> None:
        self.left = TURNS_MAX

    def begin(self, most: int = TURNS_MAX) -> None:
        """Begin another run."""
        self.left = most

    def __call__(self) -> None:
        """Count one turn.  Raises `EndlessStep`."""
        self.left -= 1
        if self.left < 0:
            raise EndlessStep("more turns than a run of all steps takes")

    def is_over(self) -> bool:
        """Whether the run had too many."""
        return self.left < 0


_TURN = "__turn__"


class _Counting(ast.NodeTransformer):
    """Counts a turn at the beginning of the function and of each pass through a ``while``."""

    def counted(self, tree: ast.FunctionDef, *, whole: bool) -> ast.FunctionDef:
        self.generic_visit(tree)
        if whole:
            tree.body.insert(0, self._turn())
        return tree

    def visit_While(self, node: ast.While) -> ast.While:
        self.generic_visit(node)
        node.body.insert(0, self._turn())
        return node

    @staticmethod
    def _turn() -> ast.Expr:
        return ast.Expr(ast.Call(ast.Name(_TURN, ast.Load()), [], []))


def _compiled(module: str, name: str, tree: ast.FunctionDef, *, whole: bool) -> CodeType:
    """The code of a changed function, in the same class, so that its free variables are equal."""
    # A copy, without what runs when the function is defined.
    (copied,) = ast.parse(ast.unparse(tree)).body
    assert isinstance(copied, ast.FunctionDef)
    copied.decorator_list = []
    body: ast.stmt = _Counting().counted(copied, whole=whole)
    owner, _, plain = name.rpartition(".")
    if owner:
        body = ast.ClassDef(owner, [], [], [body], [])
    unit = ast.fix_missing_locations(ast.Module([body], []))
    flags = __future__.annotations.compiler_flag
    code: CodeType = compile(unit, f"<mutant of {module}>", "exec", flags=flags, dont_inherit=True)
    for part in ([owner] if owner else []) + [plain]:
        code = _named(code, part)
    return code


def _named(code: CodeType, name: str) -> CodeType:
    """The code of a function or class that `code` defines."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and constant.co_name == name:
            return constant
    raise LookupError(name)


def function_of(module: str, name: str) -> FunctionType:
    """The shipped function of that name; of a property, the one that computes it."""
    found: Any = import_module(module)
    for part in name.split("."):
        found = vars(found)[part]
    found = getattr(found, "fget", found)
    found = getattr(found, "__func__", found)
    assert isinstance(found, FunctionType)
    return found


@contextmanager
def replaced(
    module: str, name: str, tree: ast.FunctionDef, turns: Turns, *, whole: bool = True
) -> Iterator[None]:
    """The function runs `tree`; `turns` counts its loops and, if `whole`, its calls.

    The shipped code is back afterwards.
    """
    function = function_of(module, name)
    shipped, names = function.__code__, function.__globals__
    before = names.get(_TURN)
    function.__code__ = _compiled(module, name, tree, whole=whole)
    names[_TURN] = turns
    try:
        yield
    finally:
        function.__code__ = shipped
        if before is None:
            del names[_TURN]
