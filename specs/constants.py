"""Constants of a model as options of a command: the parameters of the function that makes it."""

from __future__ import annotations

import argparse
import enum
import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from inspect import Parameter
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from specs.checker.errors import UsageError
from specs.sources import Source
from specs.usage import Parser

_SCALARS = (bool, int, float, str)


def parser_of(source: Source, taken: Collection[str]) -> argparse.ArgumentParser:
    """A parser with an option for each constant; ``--model-KEY`` where `taken` has the key.

    An option takes an integer, a number, a text, a truth value, a member of an enumeration by its
    name, or a choice of literals.  A constant of another type keeps its default.  Raises
    `UsageError` for a constant of another type without default.
    """
    parser = Parser(prog=source.name, add_help=False, allow_abbrev=False)
    group = parser.add_argument_group(f"constants of {source.name}")
    for key, parameter in source.parameters.items():
        form = _form(parameter)
        required = parameter.default is Parameter.empty
        if form is not None:
            told = "required" if required else f"default {_shown(parameter.default)}"
            group.add_argument(_flag(key, taken), dest=key, required=required, help=told, **form)
        elif required:
            raise UsageError(
                f"the constant {key!r} of {source.name} cannot be given as an option",
                remedy="annotate it as int, float, str, bool, Literal or Enum, or give a default",
            )
    return parser


def parse(source: Source, arguments: list[str], taken: Collection[str]) -> dict[str, Any]:
    """The constants that `arguments` give; ends the command with code 2 for other arguments."""
    chosen = vars(parser_of(source, taken).parse_args(arguments))
    return {key: value for key, value in chosen.items() if value is not None}


def from_texts(source: Source, given: Mapping[str, str]) -> dict[str, Any]:
    """The constants that texts give, as an address or a file has them; see `parser_of`.

    A truth value is "true" or "false".  Raises `UsageError`.
    """
    chosen: dict[str, Any] = {}
    for key, text in given.items():
        parameter = source.parameters.get(key)
        form = None if parameter is None else _form(parameter)
        if form is None:
            names = [name for name, each in source.parameters.items() if _form(each) is not None]
            raise UsageError(
                f"{source.name} has no constant {key[:40]!r}",
                remedy=f"one of {', '.join(names)}" if names else "it has none",
            )
        read = form.get("type", _truth)
        try:
            chosen[key] = read(text)
        except (ValueError, KeyError, argparse.ArgumentTypeError):
            wanted = form.get("metavar", "true or false")
            raise UsageError(
                f"{text[:40]!r} cannot be a value of the constant {key!r}",
                remedy=f"a value: {wanted}",
            ) from None
    return chosen


def as_texts(constants: Mapping[str, Any]) -> dict[str, str]:
    """The texts of constants that `from_texts` reads."""
    return {key: _text(value) for key, value in constants.items()}


def texts_of(source: Source) -> dict[str, str]:
    """The constants that can be given as texts, with their defaults; "" without default."""
    return {
        key: "" if parameter.default is Parameter.empty else _text(parameter.default)
        for key, parameter in source.parameters.items()
        if _form(parameter) is not None
    }


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.name if isinstance(value, enum.Enum) else str(value)


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text]


def options_of(source: Source, taken: Collection[str]) -> Iterator[str]:
    """The options of `parser_of`, required ones without brackets."""
    for key, parameter in source.parameters.items():
        form = _form(parameter)
        if form is not None:
            flag = f"{_flag(key, taken)} {form.get('metavar', '')}".rstrip()
            yield flag if parameter.default is Parameter.empty else f"[{flag}]"


def as_options(constants: Mapping[str, Any]) -> str:
    """Constants as the options that give them, for a shell."""
    return " ".join(_options(constants))


def _options(constants: Mapping[str, Any]) -> Iterator[str]:
    for key, value in constants.items():
        flag = key.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{flag}" if value else f"--no-{flag}"
        else:
            yield f"--{flag} {shlex.quote(str(value))}"


def _flag(key: str, taken: Collection[str]) -> str:
    return f"--{'model_' * (key in taken)}{key}".replace("_", "-")


def _shown(value: Any) -> str:
    # argparse expands percent signs of a help text.
    return (value.name if isinstance(value, enum.Enum) else repr(value)).replace("%", "%%")


def _form(parameter: Parameter) -> dict[str, Any] | None:
    """The arguments of `add_argument` for a parameter; None for a type that has no option."""
    for kind in (*_arms(parameter.annotation), type(parameter.default)):
        if kind is bool:
            return {"action": argparse.BooleanOptionalAction}
        if kind in _SCALARS:
            return {"type": kind, "metavar": kind.__name__.upper()}
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return {"type": _member(kind), "metavar": "|".join(kind.__members__)}
        if get_origin(kind) is Literal:
            return {"type": _literal(get_args(kind)), "metavar": _metavar(get_args(kind))}
    return None


def _metavar(values: tuple[Any, ...]) -> str:
    text = "|".join(map(str, values))
    # argparse wraps a usage at brackets and spaces.
    return text if re.fullmatch(r"[\w.:/|+-]+", text) else "CHOICE"


def _arms(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _member(kind: type[enum.Enum]) -> Callable[[str], enum.Enum]:
    def member(text: str) -> enum.Enum:
        if text not in kind.__members__:
            raise argparse.ArgumentTypeError(f"{text!r} is not {' or '.join(kind.__members__)}")
        return kind[text]

    return member


def _literal(values: tuple[Any, ...]) -> Callable[[str], Any]:
    by_text = {str(value): value for value in values}

    def literal(text: str) -> Any:
        if text not in by_text:
            raise argparse.ArgumentTypeError(f"{text!r} is not {' or '.join(by_text)}")
        return by_text[text]

    return literal
