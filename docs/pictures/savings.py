"""Draws what coherence saves on the paper's four scenarios, for light pages and for dark ones.

    python docs/pictures/savings.py

The figures are those of ``python -m coherence.simulate``: the strategy `lazy` under the engine's
rules, beside the two baselines.  The same figures give the same bytes, which a test compares with
the files that are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import msgspec

from coherence.simulate import catalogue, jobs
from coherence.simulate.measures import Record

HERE = Path(__file__).parent
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

WIDTH, LEFT, SCALE = 760, 150, 440
#: The height of a bar, the distance of two bars, and the room above each scenario.
BAR, STEP, GAP = 14, 17, 14
TOP = 62


class Theme(msgspec.Struct, frozen=True):
    """The colours of one picture.  The page's own background shows through."""

    name: str
    text: str
    faint: str
    broadcast: str
    refetch: str
    coherent: str


THEMES = (
    Theme("light", "#1f2328", "#59636e", "#c8ced5", "#8c959f", "#0969da"),
    Theme("dark", "#e6edf3", "#9198a1", "#3d444d", "#656c76", "#4493f8"),
)


def records() -> Sequence[Record]:
    """What ``python -m coherence.simulate`` prints under `lazy` and engine."""
    scenarios = [catalogue.find(name) for name in catalogue.CANONICAL]
    return jobs.simulate(scenarios, ("lazy",), ("engine",)).records


def picture(found: Sequence[Record], theme: Theme) -> str:
    """The picture as SVG: three bars for each record, as long as their tokens."""
    height = TOP + len(found) * (3 * STEP + GAP) + 8
    longest = max(record.broadcast_tokens_mean for record in found)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="{FONT}" font-size="12" role="img">',
        f"<title>{escape(_spoken(found))}</title>",
        _text(0, 18, "Tokens that a team of four puts into prompts", theme.text, 'font-size="15"'),
        *_legend(theme),
    ]
    for number, record in enumerate(found):
        y = TOP + number * (3 * STEP + GAP)
        share = catalogue.find(record.scenario).write_probability
        parts.append(_text(0, y + 11, record.scenario, theme.text, 'font-weight="600"'))
        parts.append(_text(0, y + 11 + STEP, f"{share:.0%} of actions write", theme.faint))
        for row, (tokens, fill, said) in enumerate(_bars(record, theme)):
            at, long = y + row * STEP, SCALE * tokens / longest
            parts.append(_bar(LEFT, at, long, BAR, fill))
            inked = theme.text if row == 2 else theme.faint
            parts.append(_text(LEFT + long + 6, at + 11, said, inked))
    return "\n".join([*parts, "</svg>", ""])


def _bars(record: Record, theme: Theme) -> Iterator[tuple[float, str, str]]:
    assert record.savings_mean is not None
    assert record.savings_vs_refetch_mean is not None
    yield record.broadcast_tokens_mean, theme.broadcast, _thousands(record.broadcast_tokens_mean)
    yield record.refetch_tokens_mean, theme.refetch, _thousands(record.refetch_tokens_mean)
    saved = (
        f"{record.savings_vs_refetch_mean:.0%} less than refetch, "
        f"{record.savings_mean:.0%} less than broadcast"
    )
    yield record.sync_tokens_mean, theme.coherent, f"{_thousands(record.sync_tokens_mean)}, {saved}"


def _thousands(tokens: float) -> str:
    return f"{tokens / 1000:,.0f} k"


def _legend(theme: Theme) -> Iterator[str]:
    x = 0
    for fill, said in (
        (theme.broadcast, "broadcast: every artifact to every agent in every step"),
        (theme.refetch, "refetch: the full text at every access"),
        (theme.coherent, "coherent"),
    ):
        yield _bar(x, 32, 12, 12, fill)
        yield _text(x + 18, 42, said, theme.faint)
        x += 34 + round(6.1 * len(said))


def _bar(x: float, y: float, width: float, height: float, fill: str) -> str:
    size = f'width="{width:.1f}" height="{height}"'
    return f'<rect x="{x}" y="{y}" {size} rx="2" fill="{fill}"/>'


def _text(x: float, y: float, said: str, fill: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y}" fill="{fill}" {more}>{escape(said)}</text>'.replace(
        " >", ">"
    )


def _spoken(found: Sequence[Record]) -> str:
    told = (
        f"{record.scenario} {_thousands(record.broadcast_tokens_mean)}, "
        f"{_thousands(record.refetch_tokens_mean)}, {_thousands(record.sync_tokens_mean)}"
        for record in found
    )
    return f"Tokens by broadcast, by refetching, and coherent: {'; '.join(told)}."


def pictures() -> dict[Path, str]:
    """The text of each file."""
    found = records()
    return {HERE / f"savings-{theme.name}.svg": picture(found, theme) for theme in THEMES}


if __name__ == "__main__":
    for path, text in pictures().items():
        path.write_text(text, encoding="utf-8")
