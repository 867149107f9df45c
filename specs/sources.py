"""Where a model of the command line comes from: the manifest, a Python file, or a module.

``FILE.py`` and ``FILE.py:NAME`` run the file; the modules beside it can be imported, as ``python
FILE.py`` has it.  ``package.module`` and ``package.module:NAME`` import the module.  NAME is a
model, or a function that makes one from constants.  Without NAME there must be only one: models at
the top of the module count, and functions that are annotated to return a model.
"""

from __future__ import annotations

import inspect
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from itertools import dropwhile
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin, get_type_hints

from specs import catalogue
from specs.checker.composite import Composite
from specs.checker.errors import CheckerError, ModelError, UsageError
from specs.checker.model import Model

AnyModel: TypeAlias = Model[Any, Any] | Composite[Any]
Factory: TypeAlias = Callable[..., AnyModel]

_FILE = re.compile(r"(?P<place>.*\.py)(?::(?P<name>\w+))?")
_MODULE = re.compile(r"(?P<place>[\w.]+)(?::(?P<name>\w+))?")
_OURS = str(Path(__file__).parent)


@dataclass(frozen=True)
class Source:
    """A model by its name on the command line: a function of constants."""

    name: str
    factory: Factory
    #: Whether the manifest lists the model and pins its results.
    shipped: bool = False

    @cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """The constants, with their types where those can be resolved."""
        try:
            hints = get_type_hints(self.factory)
        except Exception:  # a hint may name what only a type checker imports
            hints = {}
        return {
            name: parameter.replace(annotation=hints.get(name, parameter.annotation))
            for name, parameter in inspect.signature(self.factory).parameters.items()
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        }

    def case_of(self, constants: Mapping[str, Any]) -> catalogue.Case | None:
        """The pinned case with these constants, if the manifest has one."""
        return catalogue.case_of(self.name, constants) if self.shipped else None

    def build(self, constants: Mapping[str, Any]) -> AnyModel:
        """The model with these constants.

        Raises `ModelError` if a function outside the manifest raises or returns another type.
        """
        try:
            made = self.factory(**constants)
        except CheckerError:
            raise
        except Exception as error:
            if self.shipped:
                raise
            raise ModelError(f"{self.name} raised {_words(error)}") from error
        if not isinstance(made, Model | Composite):
            raise ModelError(
                f"{self.name} returned a {type(made).__name__}", remedy=_how_to_make(made)
            )
        return made


def find(name: str) -> Source:
    """The model with this name.  Raises `UsageError`, or `ModelError` if a module fails."""
    if name in catalogue.names():
        return Source(name, catalogue.factory(name), shipped=True)
    place, attribute, module = _opened(name)
    found = models(module)
    if attribute:
        return Source(name, _named(module, attribute, place, found))
    if len(found) != 1:
        raise _ambiguous(module, place, found)
    (factory,) = found.values()
    return Source(name, factory)


def sources(name: str) -> list[Source]:
    """All models of a file or module, or the one that is named.  Raises what `find` raises."""
    place, attribute, module = _opened(name)
    found = models(module)
    if attribute or not found:
        return [find(name)]
    return [Source(f"{place}:{key}", factory) for key, factory in found.items()]


def models(module: ModuleType) -> dict[str, Factory]:
    """The models of a module, and its functions that are annotated to return one, by name."""
    found: dict[str, Factory] = {}
    known: set[int] = set()
    for name, value in vars(module).items():
        if name.startswith("_") or id(value) in known:
            continue
        if isinstance(value, Model | Composite):
            found[name] = _constant(value)
        elif _defines(module, value) and _gives_a_model(value):
            found[name] = value
        known.add(id(value))
    return found


def tail(error: BaseException) -> str:
    """The traceback of the cause of `error` between lines outside the checker, or ""."""
    cause = error.__cause__
    if cause is None:
        return ""
    frames = list(dropwhile(_is_ours, traceback.extract_tb(cause.__traceback__)))
    while frames and _is_ours(frames[-1]):
        del frames[-1]
    if not frames and not isinstance(cause, SyntaxError):
        return ""
    told = traceback.TracebackException.from_exception(cause)
    told.stack = traceback.StackSummary.from_list(frames)
    return "".join(told.format(chain=False)).rstrip()


def _is_ours(frame: traceback.FrameSummary) -> bool:
    return frame.filename.startswith((_OURS, "<frozen importlib"))


def _opened(name: str) -> tuple[str, str, ModuleType]:
    """The file or module that a name gives, the name within, or "", and the module itself."""
    parts = _FILE.fullmatch(name)
    if parts is not None:
        return parts["place"], parts["name"] or "", _run(Path(parts["place"]))
    parts = _MODULE.fullmatch(name)
    if parts is None or (parts["name"] is None and "." not in name):
        raise UsageError(
            f"no model {name!r}",
            remedy=f"one of {', '.join(catalogue.names())}; or FILE.py, or my.module:NAME",
        )
    return parts["place"], parts["name"] or "", _import(parts["place"])


def _run(path: Path) -> ModuleType:
    """The module that a file defines; the file runs once."""
    full = path.resolve()
    # Not the stem alone: a file may be named like a module that is in use.  Processes of walks
    # give the file the same name, so that its classes can be pickled.
    digest = blake2b(str(full).encode(), digest_size=8).hexdigest()
    name = f"file_{re.sub(r'[^a-zA-Z0-9]', '_', full.stem)}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    if not full.is_file():
        raise UsageError(f"no file {path}", remedy="the path of a Python file")
    spec = spec_from_file_location(name, full)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    if str(full.parent) not in sys.path:
        sys.path.insert(0, str(full.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ModelError(f"{_where(error, full, path)}: {_words(error)}") from error
    return module


def _import(name: str) -> ModuleType:
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ModelError(f"{name} cannot be imported: {_words(error)}") from error
        raise UsageError(
            f"no module {error.name!r}", remedy="a module on the path or in this folder, or FILE.py"
        ) from None
    except (Exception, SystemExit) as error:
        raise ModelError(f"{name} cannot be imported: {_words(error)}") from error


def _where(error: BaseException, full: Path, path: Path) -> str:
    """The file and line of an error in a file: the innermost line of that file."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{path if error.filename == str(full) else error.filename}:{error.lineno}"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(full)]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _words(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _named(module: ModuleType, name: str, place: str, found: Mapping[str, Factory]) -> Factory:
    if name in found:
        return found[name]
    try:
        value = getattr(module, name)
    except AttributeError:
        raise UsageError(f"no {name!r} in {place}", remedy=_choice(found)) from None
    if isinstance(value, Model | Composite):
        return _constant(value)
    if not callable(value):
        raise UsageError(
            f"{place}:{name} is a {type(value).__name__}, not a model",
            remedy=_how_to_make(value),
        )
    made: Factory = value
    return made


def _ambiguous(module: ModuleType, place: str, found: Mapping[str, Factory]) -> UsageError:
    if found:
        names = ", ".join(f"{place}:{name}" for name in found)
        return UsageError(f"{place} has {len(found)} models", remedy=f"name one: {names}")
    functions = [name for name, value in vars(module).items() if _defines(module, value)]
    if not functions:
        return UsageError(
            f"{place} has no model", remedy="define a Model or a Composite at the top of the file"
        )
    names = ", ".join(f"{place}:{name}" for name in functions if not name.startswith("_"))
    return UsageError(
        f"{place} has no model, and no function that is annotated to return one",
        remedy=f"annotate it, or name it: {names}",
    )


def _choice(found: Mapping[str, Factory]) -> str:
    return f"one of {', '.join(found)}" if found else "the module has no model"


def _how_to_make(value: Any) -> str:
    if hasattr(value, "model"):
        return "a system becomes a model with its properties: call its method `model`"
    return "give a Model, a Composite, or a function that returns one"


def _constant(model: AnyModel) -> Factory:
    return lambda: model


def _defines(module: ModuleType, value: Any) -> bool:
    return inspect.isfunction(value) and value.__module__ == module.__name__


def _gives_a_model(function: Callable[..., Any]) -> bool:
    try:
        hint = get_type_hints(function).get("return")
    except Exception:  # see `parameters`
        text = str(function.__annotations__.get("return", ""))
        return re.match(r"(\w+\.)*(Model|Composite)\b", text) is not None
    kinds = get_args(hint) if _is_union(hint) else (hint,)
    return all((get_origin(kind) or kind) in (Model, Composite) for kind in kinds)


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, UnionType)
