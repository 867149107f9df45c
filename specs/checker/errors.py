"""Errors in a model, a property or a call.  Each names a remedy.

::

    CheckerError
    ├── ModelError           the model: unhashable states, no initial state, an action that raises
    │   └── ImpureStep       equal arguments gave different results, or an argument was changed
    ├── PropertyError        a property raised, answered neither True nor False, or names nothing
    └── UsageError           the call: a budget of zero, an engine that cannot take the model
"""

from __future__ import annotations

from typing import ClassVar


class CheckerError(Exception):
    """Root of the checker's errors.  `code` is stable: match on it, never on the text."""

    code: ClassVar[str] = "checker"
    remedy: str = ""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        if remedy:
            self.remedy = remedy

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text} ({self.remedy})" if self.remedy else text


class ModelError(CheckerError):
    """The model cannot be explored."""

    code = "model"


class ImpureStep(ModelError):
    """A step, a rule or a predicate is not a function of its arguments: verdicts mean nothing.

    Equal arguments gave different results, an argument was changed, or a rule read slots of the
    state after it had answered.
    """

    code = "impure"


class PropertyError(CheckerError):
    """A property could not be evaluated in some state."""

    code = "property"


class UsageError(CheckerError):
    """The call asks for something that the checker does not do."""

    code = "usage"
