"""The models and their pinned results, one line each: the constants last, as options of `check`."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from specs import catalogue
from specs.catalogue import Case
from specs.constants import as_options, options_of
from specs.sources import sources

#: Of the further lines of a case that is too long for a terminal: below its constants.
INDENT = 32


def lines(name: str | None, taken: Collection[str]) -> Iterator[str]:
    """The shipped models, one of them, or the models of a file or module.

    `taken` are the options that `check` has itself.
    Raises `UsageError`, and `ModelError` for a module that fails.
    """
    if name is not None and name not in catalogue.names():
        for source in sources(name):
            yield f"{source.name}  {' '.join(options_of(source, taken))}".rstrip()
        return
    for each in catalogue.names() if name is None else [name]:
        yield f"{each:14} {catalogue.about(each)}"
        for case in catalogue.cases(each):
            yield "    " + _case(case)


def _case(case: Case) -> str:
    states = f"{case.distinct:,}" if case.distinct is not None else ""
    text = f"{case.time:6} {states:>10}  {case.expect.value:8}  {as_options(case.constants)}"
    return f"{text}  ({case.violates})" if case.violates else text.rstrip()
