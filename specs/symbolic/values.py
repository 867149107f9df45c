"""Symbolic values: integers and truth values of the executed code, as terms of the solver.

`Number` stands for an `int` of any size, also where the code tests for the type.  An operation that
has no term raises `NoTerm`, so nothing is computed from the integer beneath.  The exception are
built-ins that read an `int` without asking it, as `range` and slices do: a step that is executed
must not use a symbolic value there, and those of `coherence` do not.
"""

from __future__ import annotations

from typing import Any, NoReturn

import z3

from specs.symbolic.engine import Execution


class NoTerm(TypeError):
    """The executed code does something with a symbolic value for which there is no term."""


def term(value: Any) -> Any:
    """The term of a value: a symbolic one, a number, or nothing, which is 0.  A term is its own."""
    if isinstance(value, Number | Truth):
        return value.term
    if isinstance(value, z3.ExprRef):
        return value
    if value is None or value == "":
        return z3.IntVal(0)
    if isinstance(value, float):
        return z3.RealVal(value)
    return z3.IntVal(value)


class Truth:
    """A symbolic condition; the code that asks for its truth forks."""

    __slots__ = ("path", "term")

    def __init__(self, path: Execution, condition: Any) -> None:
        self.path, self.term = path, condition

    def __bool__(self) -> bool:
        return self.path.decide(self.term)


class Number(int):
    """A symbolic number, name or content.  Two of them are equal if their terms are."""

    path: Execution
    term: Any

    def __new__(cls, path: Execution, of: Any) -> Number:
        made = super().__new__(cls)
        made.path, made.term = path, of
        return made

    def __add__(self, other: Any) -> Any:
        return Number(self.path, self.term + term(other))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return Number(self.path, self.term - term(other))

    def __rsub__(self, other: Any) -> Any:
        return Number(self.path, term(other) - self.term)

    def __eq__(self, other: object) -> Any:
        return Truth(self.path, self.term == term(other))

    def __ne__(self, other: object) -> Any:
        return Truth(self.path, self.term != term(other))

    def __lt__(self, other: Any) -> Any:
        return Truth(self.path, self.term < term(other))

    def __le__(self, other: Any) -> Any:
        return Truth(self.path, self.term <= term(other))

    def __gt__(self, other: Any) -> Any:
        return Truth(self.path, self.term > term(other))

    def __ge__(self, other: Any) -> Any:
        return Truth(self.path, self.term >= term(other))

    def __bool__(self) -> bool:
        return self.path.decide(self.term != 0)

    def __repr__(self) -> str:
        return str(self.term)


def _refused(name: str) -> Any:
    def refuse(self: Number, *_: Any) -> NoReturn:
        raise NoTerm(f"{name} of the symbolic value {self.term}")

    return refuse


# Everything else that an int can do would compute with the integer beneath.
_KEPT = {"__new__", "__init__", "__class__", "__getattribute__", "__doc__", "__dir__"}
_KEPT |= {"__init_subclass__", "__subclasshook__", "__setattr__", "__delattr__", "__sizeof__"}
for _name in set(dir(int)) - _KEPT - set(vars(Number)):
    _refusal = _refused(_name)
    setattr(Number, _name, _refusal if callable(getattr(int, _name)) else property(_refusal))
