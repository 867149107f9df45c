"""Draws what is saved of tokens and of money, for light pages and for dark ones.

    python docs/pictures/savings.py

The figures are those of study 2 in ``simulations/results``, which `make studies` makes again and
which ends by calling this script.  The same figures give the same bytes, which a test compares with
the files that are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import msgspec

from coherence.simulate import catalogue
from coherence.simulate.studies.rows import Figures, of_csv
from coherence.simulate.studies.writing import one

HERE = Path(__file__).parent
ROWS = HERE.parents[1] / "simulations" / "results" / "2-strong-baselines" / "get.csv"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

SCENARIOS = ("planning", "development", "churn", "write-heavy")
#: What is drawn of each scenario, and how a reader would call it.
BARS = {
    "slot_tail": "a slot at the tail",
    "lazy": "whole texts (the paper's)",
    "lazy_delta": "differences when asked for",
    "adaptive": "the adaptive rule",
}
#: The two halves: a saving, and its heading.
HALVES = {"saved_transferred": "Transferred tokens", "saved_bill": "The whole bill"}

WIDTH, LEFT, HALF, SCALE = 860, 122, 362, 190
BAR, STEP, GAP, TOP = 12, 16, 14, 84


class Theme(msgspec.Struct, frozen=True):
    """The colours of one picture.  The page's own background shows through."""

    name: str
    text: str
    faint: str
    bars: tuple[str, ...]


THEMES = (
    Theme("light", "#1f2328", "#59636e", ("#8c959f", "#59636e", "#218bff", "#0550ae")),
    Theme("dark", "#e6edf3", "#9198a1", ("#656c76", "#9198a1", "#388bfd", "#a5d6ff")),
)


def picture(rows: Sequence[Figures], theme: Theme) -> str:
    """The picture as SVG: two halves, and in each four bars for each scenario."""
    height = TOP + len(SCENARIOS) * (len(BARS) * STEP + GAP) + 4
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="{FONT}" font-size="12" role="img">',
        f"<title>{escape(_spoken(rows))}</title>",
        _text(0, 18, "As a share of a conditional GET's; shorter is better", theme.text, 15),
        *_legend(theme),
    ]
    for half, (field, heading) in enumerate(HALVES.items()):
        left = LEFT + HALF * half
        parts.append(_text(left, TOP - 10, heading, theme.text, weight=600))
        for number, scenario in enumerate(SCENARIOS):
            top = TOP + number * (len(BARS) * STEP + GAP)
            if half == 0:
                share = catalogue.find(scenario).write_probability
                parts.append(_text(0, top + 10, scenario, theme.text, weight=600))
                parts.append(_text(0, top + 10 + STEP, f"{share:.0%} writes", theme.faint))
            line = left + SCALE
            parts.append(
                f'<path d="M{line} {top - 3}v{len(BARS) * STEP + 2}" stroke="{theme.bars[1]}" '
                'stroke-dasharray="2 3"/>'
            )
            for row, name in enumerate(BARS):
                mine = one(rows, scenario=scenario, strategy=name)
                parts += _bar(left, top + row * STEP, mine, field, theme, theme.bars[row])
    return "\n".join([*parts, "</svg>", ""])


def _bar(
    left: float, top: float, row: Figures, field: str, theme: Theme, fill: str
) -> Iterator[str]:
    share, interval = _share(row, field)
    longest = 1.12  # beyond it a bar ends in an arrow
    long = SCALE * min(share, longest)
    yield f'<rect x="{left}" y="{top}" width="{long:.1f}" height="{BAR}" fill="{fill}"/>'
    if share > longest:
        end = left + long
        yield f'<path d="M{end:.1f} {top}l8 {BAR / 2}l-8 {BAR / 2}z" fill="{fill}"/>'
    else:
        low, high = (SCALE * max(0, share + side * interval) for side in (-1, 1))
        middle = top + BAR / 2
        yield (
            f'<path d="M{left + low:.1f} {middle}H{left + high:.1f}" stroke="{theme.text}" '
            'stroke-width="1.5"/>'
        )
    said = f"{100 * share:,.0f} % ± {100 * interval:.0f}"
    end = long + 12 if share > longest else max(long, SCALE * (share + interval)) + 6
    yield _text(left + end, top + 10, said, theme.text)


def _share(row: Figures, field: str) -> tuple[float, float]:
    """The cost as a share of the baseline's, with its interval."""
    saved, interval = row[field], row[f"{field}_interval"]
    assert isinstance(saved, (int, float))
    assert isinstance(interval, (int, float))
    return 1 - saved, float(interval)


def _legend(theme: Theme) -> Iterator[str]:
    x = 0
    for fill, said in zip(theme.bars, BARS.values(), strict=True):
        yield f'<rect x="{x}" y="34" width="12" height="12" fill="{fill}"/>'
        yield _text(x + 18, 44, said, theme.faint)
        x += 40 + round(6.4 * len(said))


def _text(
    x: float, y: float, said: str, fill: str, size: int | None = None, weight: int | None = None
) -> str:
    more = (f' font-size="{size}"' if size else "") + (f' font-weight="{weight}"' if weight else "")
    return f'<text x="{x:.1f}" y="{y}" fill="{fill}"{more}>{escape(said)}</text>'


def _spoken(rows: Sequence[Figures]) -> str:
    told = []
    for scenario in SCENARIOS:
        for field, heading in HALVES.items():
            shares = (
                f"{said} {100 * _share(one(rows, scenario=scenario, strategy=name), field)[0]:.0f}"
                for name, said in BARS.items()
            )
            told.append(f"{scenario}, {heading.lower()}: {', '.join(shares)}")
    return f"Percent of what a conditional GET costs. {'; '.join(told)}."


def pictures() -> dict[Path, str]:
    """The text of each file."""
    rows = of_csv(ROWS.read_text(encoding="utf-8"))
    return {HERE / f"savings-{theme.name}.svg": picture(rows, theme) for theme in THEMES}


if __name__ == "__main__":
    for path, text in pictures().items():
        path.write_text(text, encoding="utf-8")
