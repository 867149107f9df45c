"""Another code for a function, in place and for a while: ``function.__code__``.

Tables, subclasses and modules that hold the function run the other code, and no file changes.  The
loops of the other code count their turns, so that one that never ends is ended by their number.
"""

from __future__ import annotations
import __future__

import ast
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import CodeType, FunctionType
from typing import Any

from specs.checker.errors import UsageError

#: Turns of loops and calls of the mutant in one step of a model, in one search, and in any run.
STEP_TURNS, SEARCH_TURNS, TURNS_MAX = 10_000, 200_000, 1_000_000
#: Turns in one step of a test, which may deliver a thousand messages, and steps of all tests.
TEST_TURNS, TEST_STEPS = 30_000, 200_000
#: Bytes of address space while a mutant runs: one expression may double a state at each step.
MEMORY_MAX = 4 << 30


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


@contextmanager
def memory_bounded(most: int = MEMORY_MAX) -> Iterator[None]:
    """An allocation beyond `most` bytes raises `MemoryError`, where the system has such limits."""
    if find_spec("resource") is None:
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    bounds = [bound for bound in (most, soft, hard) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(bounds), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


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


@contextmanager
def mistaken(module: str, name: str, before: str, after: str) -> Iterator[None]:
    """A function of a module with the text `after` in place of `before`, for a while.

    Raises `UsageError` unless `before` is there once.
    """
    source = inspect.getsource(function_of(module, name))
    if source.count(before) != 1:
        raise UsageError(
            f"{module}.{name} has {before!r} {source.count(before)} times",
            remedy="say the mistake in the words of today's code",
        )
    (tree,) = ast.parse(source.replace(before, after)).body
    assert isinstance(tree, ast.FunctionDef)
    with replaced(module, name, tree, Turns()):
        yield
