"""The models that the console shows, each explored by one session.

A model is one of those that ship, or the one that the command line has named.  A file of a user
runs code, so no request can name another one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any, ClassVar, Final, TypeVar

from coherence_console.aside import Aside
from coherence_console.context import Context
from message_passing.errors import CallerError, ToolkitError
from specs import catalogue
from specs.checker.errors import CheckerError, UsageError
from specs.constants import as_texts, from_texts
from specs.session import Session
from specs.sources import Source, find, sources

#: Models, with their constants, whose states are remembered.
SESSIONS_MAX: Final = 8
T = TypeVar("T")


class ModelRaised(CallerError):
    """A user's model raised where the checker expects an answer."""

    remedy: ClassVar[str] = "mend the model: `coherence specs check` shows its traceback"  # type: ignore[misc]


class ModelTrouble(CallerError):
    """What the checker says of a model, of a property or of a call."""

    def __init__(self, error: CheckerError) -> None:
        super().__init__(error.args[0], remedy=error.remedy)
        self.code: str = error.code  # type: ignore[misc]


class Models:
    """All models by name.  From any thread.

    Their own code runs aside, so that a model which never answers holds up nothing else.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._files = Aside()
        self._named: dict[str, Source] | None = None
        self._explored: OrderedDict[tuple[str, tuple[tuple[str, str], ...]], _Explored]
        self._explored = OrderedDict()
        self._lock = Lock()

    def named(self) -> dict[str, Source]:
        """The models that the command line has named; runs their file when it is first asked for.

        Raises `CheckerError`, and `ModelBusy`.
        """
        return self._files.ask(self._read)

    def _read(self) -> dict[str, Source]:
        if self._named is None:
            name = self._context.model
            found = sources(name) if name and name not in catalogue.names() else []
            named = {each.name: each for each in found}
            if len(found) == 1:
                named[name] = found[0]
            self._named = named
        return self._named

    def source(self, name: str) -> Source:
        """The model with that name.  Raises `CheckerError`, and `ModelBusy`."""
        if name in catalogue.names():
            return find(name)
        found = self.named().get(name)
        if found is None:
            # Not `find`, which runs files and imports modules by their names.
            raise UsageError(f"no model {name[:80]!r}", remedy="one of the list of models")
        return found

    def settings(self, name: str, given: Mapping[str, str]) -> dict[str, str]:
        """The constants that differ from their defaults: those given, or those of the command."""
        return dict(given or (self._context.constants if name == self._context.model else {}))

    def ask(self, name: str, settings: Mapping[str, str], call: Callable[[Session], T]) -> T:
        """What `call` returns for the session of a model.

        Raises what it raises, `CheckerError`, and `ModelBusy`.
        """
        source = self.source(name)
        constants = from_texts(source, settings)
        key = name, tuple(sorted(settings.items()))
        with self._lock:
            explored = self._explored.setdefault(key, _Explored(source, constants))
            self._explored.move_to_end(key)
            let_go = []
            while len(self._explored) > SESSIONS_MAX:
                let_go.append(self._explored.popitem(last=False)[1])
        for each in let_go:
            each.aside.end()
        try:
            return explored.aside.ask(lambda: call(explored.session))
        except (CheckerError, ToolkitError):
            raise
        except Exception as error:
            if source.shipped:
                raise
            raise ModelRaised(f"{name}: {type(error).__name__}: {error}") from error

    def end(self) -> None:
        """Wait for no model any more.  Idempotent."""
        with self._lock:
            asides = [self._files, *(each.aside for each in self._explored.values())]
        for each in asides:
            each.end()


@dataclass
class _Explored:
    """A model, and the thread of its code."""

    source: Source
    constants: Mapping[str, Any]
    aside: Aside = field(default_factory=Aside)

    @cached_property
    def session(self) -> Session:
        return Session(self.source.build(self.constants))


def settings_of(case: catalogue.Case) -> dict[str, str]:
    """The constants of a pinned case as texts."""
    return as_texts(case.constants)
