"""Fills the figures into the text of a study.

In the template the name of a block stands for its rows, in their order.  Filters beside those of
jinja2:

* ``rows | where(scenario="planning")``: the rows with these values; ``| one(...)`` the only one;
* ``row | pct("saved_bill")``: 47.6 ± 2.4 %, ``row | times("above_of_floor")``: 1.09 ± 0.01, with
  the interval that the row has;
* ``row | effect("saved_bill")``: *saves 47.6 ± 2.4 %*, *costs 25.0 ± 4.4 % more*, or that the
  interval contains 0: no text claims more than the interval does;
* ``rows | column("scenario")``: the different values, in their order;
* ``rows | least("above_of_floor")``, ``most``: the row with the least or the largest value;
* ``words | listed``: *a, b and c*.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from coherence.simulate.experiments.figures import Ratio
from coherence.simulate.pages.said import shown
from coherence.simulate.pages.saving import require
from coherence.simulate.studies.rows import Cell, Figures
from coherence.simulate.studies.study import InvalidStudy, Study

COLUMNS: Final = 120

SAME: Final = 0.0005
"""Shares that differ by less are shown as equal."""

_FIGURE = re.compile(r"[−\d.,]+ ± [\d.,]+(?: %)?|[\d.,]+ %")


def written(study: Study, rows: Mapping[str, Sequence[Figures]]) -> str:
    """The text of the study with its figures.  Raises `InvalidStudy` and `NoReport`."""
    require()
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import SandboxedEnvironment

    environment = SandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters |= {
        "where": where,
        "one": one,
        "pct": percent,
        "times": times,
        "effect": effect,
        "column": column,
        "least": least,
        "most": most,
        "listed": listed,
    }
    try:
        return flowing(environment.from_string(study.text).render(rows))
    except (TemplateError, LookupError, TypeError, ValueError) as error:
        line = getattr(error, "lineno", None)
        where_ = f"{study.name}, line {line}" if line else study.name
        raise InvalidStudy(f"{where_}: the finding cannot be written: {error}") from error


def where(rows: Iterable[Figures], **values: Cell) -> list[Figures]:
    """The rows that have these values."""
    return [row for row in rows if all(row[name] == value for name, value in values.items())]


def one(rows: Iterable[Figures], **values: Cell) -> Figures:
    """The only row that has these values.  Raises `LookupError`."""
    found = where(rows, **values)
    if len(found) != 1:
        raise LookupError(f"{len(found)} rows have {values}, not one")
    return found[0]


def _ratio(row: Figures, name: str) -> Ratio:
    value, interval = row[name], row.get(f"{name}_interval")
    if isinstance(value, str) or value is None:
        raise TypeError(f"{name} is {value!r}, not a number")
    return Ratio(value, None if interval is None else float(interval))


def percent(row: Figures, name: str) -> str:
    """A share as percent."""
    return shown(_ratio(row, name), percent=True)


def times(row: Figures, name: str) -> str:
    """A multiple."""
    return shown(_ratio(row, name), percent=False)


def effect(row: Figures, name: str) -> str:
    """A saving in words: no claim of better or worse where the interval contains 0."""
    saved = _ratio(row, name)
    if abs(saved.value) < SAME:
        return "costs the same"
    if saved.interval is not None and abs(saved.value) <= saved.interval:
        return f"saves or costs nothing that is certain ({shown(saved, percent=True)})"
    if saved.value < 0:
        return f"costs {shown(Ratio(-saved.value, saved.interval), percent=True)} more"
    return f"saves {shown(saved, percent=True)}"


def column(rows: Iterable[Figures], name: str) -> list[Cell]:
    """The different values of a column, in the order of the rows."""
    return list(dict.fromkeys(row[name] for row in rows))


def least(rows: Iterable[Figures], name: str) -> Figures:
    """The row with the least value of a column."""
    return min(rows, key=lambda row: _number(row, name))


def most(rows: Iterable[Figures], name: str) -> Figures:
    """The row with the largest value of a column."""
    return max(rows, key=lambda row: _number(row, name))


def _number(row: Figures, name: str) -> Any:
    return row[name]


def flowing(text: str) -> str:
    """The text with paragraphs and items filled again: figures have changed the length of lines."""
    blocks = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    blocks[::2] = [
        "\n\n".join(_filled(part) for part in re.split(r"\n{2,}", b)) for b in blocks[::2]
    ]
    return "".join(blocks)


def _filled(paragraph: str) -> str:
    if re.match(r"\s*(\||#|<)", paragraph):
        return paragraph
    begin, end = re.match(r"\n*", paragraph), re.search(r"\n*$", paragraph)
    assert begin is not None
    assert end is not None
    items = re.split(r"\n(?=- )", paragraph.strip("\n"))
    filled = (
        textwrap.fill(
            _FIGURE.sub(lambda found: found[0].replace(" ", "\0"), " ".join(item.split())),
            COLUMNS,
            subsequent_indent="  " if item.startswith("- ") else "",
            break_long_words=False,
            break_on_hyphens=False,
        ).replace("\0", " ")
        for item in items
    )
    return begin[0] + "\n".join(filled) + end[0]


def listed(words: Iterable[object]) -> str:
    """Words as a list within a sentence."""
    *most_, last = [str(word) for word in words] or ["none"]
    return f"{', '.join(most_)} and {last}" if most_ else last
