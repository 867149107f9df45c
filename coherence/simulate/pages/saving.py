"""Renders a page and writes its file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from tempfile import NamedTemporaryFile

import msgspec

from coherence.simulate.experiments.figures import Comparison, Ratio
from coherence.simulate.pages import said
from coherence.simulate.pages.page import Curve, Page, Panel
from message_passing.errors import EnvironmentFault


class NoReport(EnvironmentFault):
    """The libraries that make pages are not installed."""

    remedy = "pip install jinja2 matplotlib"


class PageNotSaved(EnvironmentFault):
    """The file cannot be written; a file that was there is as it was."""

    remedy = "name a file in a folder that exists and has room"


def require() -> None:
    """Raise `NoReport` if a page cannot be made, which a command asks before it runs anything."""
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise NoReport(f"a page cannot be made: {error}") from error


def save(page: Page, file: Path) -> None:
    """Write the page, whole or not at all.  Raises `NoReport` and `PageNotSaved`."""
    text = rendered(page)
    temporary: Path | None = None
    try:
        with NamedTemporaryFile(
            "w", encoding="utf-8", dir=file.parent, prefix=f".{file.name}.", delete=False
        ) as out:
            temporary = Path(out.name)
            out.write(text)
        # The file of a temporary name is private; a page is like any other file.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, file)
    except OSError as error:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()
        raise PageNotSaved(f"{file}: cannot be written: {error.strerror or error}") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def rendered(page: Page) -> str:
    """The page as HTML.  The same page gives the same text.  Raises `NoReport`."""
    require()
    from jinja2 import Environment, StrictUndefined

    from coherence.simulate.pages.lanes import lanes
    from coherence.simulate.pages.pictures import curves

    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    environment.filters |= {
        "percent": lambda ratio: said.shown(ratio, percent=True),
        "multiple": lambda ratio: said.shown(ratio, percent=False),
        "saved": lambda row, field: _saved(row, getattr(row, field), " %"),
        "thousands": _thousands,
        "stale": lambda count: "not counted" if count is None else f"{count:.1f}",
        "places": _places,
        "at": _at,
    }
    folder = files(__package__)
    template = environment.from_string((folder / "page.html").read_text(encoding="utf-8"))
    text = template.render(
        page=page,
        answer=page.answer or (said.answer(page.comparisons) if page.comparisons else ""),
        style=(folder / "page.css").read_text(encoding="utf-8"),
        groups=list(_groups(page.comparisons)),
        charts=[
            (chart, curves(chart, f"curves-{number}")) for number, chart in enumerate(page.charts)
        ],
        lanes=lanes(page.timeline, "lanes") if page.timeline else None,
    )
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


class Group(msgspec.Struct, frozen=True):
    """The comparisons of one scenario under one price model, with their pictures."""

    scenario: str
    prices: str
    rows: tuple[Comparison, ...]
    pictures: tuple[str, ...]

    @property
    def undercuts(self) -> bool:
        """Whether a strategy costs less than the floor."""
        return any(row.above_of_floor.value < 1 for row in self.rows)


def _groups(comparisons: Sequence[Comparison]) -> Iterator[Group]:
    from coherence.simulate.pages.pictures import Bar, bars, multiples

    if not comparisons:
        return
    ours = {said.subject(comparisons), "shipped"}
    found = groupby(comparisons, key=lambda row: (row.prices, row.scenario))
    for number, ((prices, scenario), each) in enumerate(found):
        rows = tuple(each)

        def bar(row: Comparison, ratio: Ratio, *words: str) -> Bar:
            return Bar(row.strategy, ratio.value, ratio.interval, words, row.strategy in ours)

        tokens = [
            bar(row, row.saved_transferred, _saved(row, row.saved_transferred), _stale(row))
            for row in rows
        ]
        bill = [bar(row, row.saved_bill, _saved(row, row.saved_bill)) for row in rows]
        times = [
            (
                bar(row, row.above_of_floor, said.shown(row.above_of_floor, percent=False)),
                bar(row, row.above_of_append_only),
                bar(row, row.above_of_offline),
            )
            for row in rows
        ]
        key, where = f"group-{number}", f"{scenario}, prices of {prices}"
        against = rows[0].against
        yield Group(
            scenario,
            prices,
            rows,
            (
                bars(
                    tokens,
                    f"{key}-tokens",
                    f"Transferred tokens saved against {against}: {where}",
                    ("% saved", "stale"),
                ),
                bars(
                    bill,
                    f"{key}-bill",
                    f"Whole bill saved against {against}: {where}",
                    ("% saved",),
                ),
                multiples(
                    times,
                    f"{key}-times",
                    f"Multiples of three references, in money: {where}",
                    ("floor", "append-only floor", "offline choice"),
                ),
            ),
        )


def _places(panel: Panel) -> list[float]:
    return sorted({point.x for curve in panel.curves for point in curve.points})


def _at(curve: Curve, x: float, is_percent: bool) -> str:
    found = next((point for point in curve.points if point.x == x), None)
    if found is None:
        return ""
    return said.shown(Ratio(found.value, found.interval), percent=is_percent)


def _saved(row: Comparison, ratio: Ratio, unit: str = "") -> str:
    if row.strategy == row.against:
        return "baseline"
    return said.shown(ratio, percent=True).removesuffix(" %") + unit


def _stale(row: Comparison) -> str:
    return "-" if row.stale_reads_mean is None else f"{row.stale_reads_mean:.1f}"


def _thousands(tokens: float) -> str:
    return f"{tokens / 1_000:,.{1 if tokens < 1_000_000 else 0}f}"
