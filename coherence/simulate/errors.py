"""Errors in a request to simulate: leaves of the one error tree.

::

    CallerError
    ├── UnknownScenario    neither a shipped name nor a readable file
    ├── InvalidScenario    a file, or a ``--set``, that does not describe a scenario
    ├── UnknownChoice      a strategy or rule set that does not exist
    ├── UnknownPrices      neither a shipped price model nor a readable file
    ├── InvalidPrices      a file that does not describe price models
    └── InvalidSweep       a file, or an ``--over``, that does not describe a sweep
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from message_passing.errors import CallerError


class UnknownScenario(CallerError):
    """No scenario of this name is shipped, and no such file can be read."""


class InvalidScenario(CallerError):
    """The text does not describe a scenario; the message names file, key and allowed values."""


class UnknownChoice(CallerError):
    """A word that must be one of a closed list is not in it."""


class UnknownPrices(CallerError):
    """No price model of this name is shipped, and no such file can be read."""

    remedy = "`--prices list` prints the shipped models; a file is TOML, one table for each model"


class InvalidPrices(CallerError):
    """The text does not describe price models; the message names file, key and allowed values."""

    remedy = "mend the file; the prices in docs/experiments.md are an example"


class InvalidSweep(CallerError):
    """The request does not describe a grid; the message names file, key and allowed values."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``, did you mean X?`` for a near miss, else the empty string."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""
