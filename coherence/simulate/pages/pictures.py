"""Pictures by matplotlib as parts of a page: text is text, and colours are those of the page.

matplotlib draws with stand-ins for colours, which become variables of the page's style sheet, so
that one picture fits light pages, dark pages and paper.  Nothing in a picture depends on the day,
the machine or the order of hashes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

import msgspec
from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from coherence.simulate.pages.page import Chart, Panel

#: Colours of the page's style sheet, each with the stand-in that matplotlib draws with.
INKS: Final = {
    name: f"#0000{number:02x}"
    for number, name in enumerate(
        ("ink", "faint", "rule", "ours", "other", "tell", "ask", "read", "write", "lost"), 1
    )
}
#: Of curves: colours of the style sheet, beside which shapes tell them apart.
CURVES: Final = tuple(
    (f"curve-{number}", f"#0001{number:02x}", marker)
    for number, marker in enumerate("os^DvPX*<>", 1)
)
_STAND_INS = {value: name for name, value in INKS.items()}
_STAND_INS |= {value: name for name, value, _ in CURVES}

#: Units of a picture; texts are 12 of them high, and 72 are an inch of matplotlib.
WIDTH: Final = 440
UNITS: Final = 72
FONT: Final = 12

_STYLE: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "coherence",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": FONT,
    "text.color": INKS["ink"],
    "axes.edgecolor": INKS["rule"],
    "axes.labelcolor": INKS["faint"],
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INKS["rule"],
    "ytick.color": INKS["rule"],
    "xtick.labelcolor": INKS["faint"],
    "ytick.labelcolor": INKS["ink"],
    "grid.color": INKS["rule"],
    "grid.linewidth": 0.6,
    "axes.grid": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "axes.unicode_minus": True,
    "path.simplify": False,
}


@contextmanager
def drawn(height: float, width: float = WIDTH) -> Iterator[tuple[Figure, list[str]]]:
    """A figure of this size in units; the list gets its SVG when the block ends."""
    with rc_context(cast(Any, _STYLE)):
        figure = Figure(figsize=(width / UNITS, height / UNITS))
        FigureCanvasSVG(figure)
        done: list[str] = []
        yield figure, done
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None})
        done.append(out.getvalue())


def placed(figure: Figure, left: float, top: float, right: float, bottom: float) -> Any:
    """Axes with these margins, in units."""
    width, height = (UNITS * size for size in figure.get_size_inches())
    return figure.add_axes(
        (left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height)
    )


def part(svg: str, key: str, title: str, description: str) -> Markup:
    """The drawing as an element of a page in which no other has this `key`."""
    body = svg[svg.index("<svg") :]
    view = re.search(r'viewBox="([^"]+)"', body)
    assert view is not None
    body = body[body.index(">") + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'<style type="text/css">.*?</style>', "", body, flags=re.DOTALL)
    # Only identifiers that something refers to stay, with the key before them.
    used = set(re.findall(r'(?:url\(#|xlink:href="#)([\w.-]+)', body))
    body = re.sub(
        r' id="([^"]+)"', lambda found: f' id="{key}-{found[1]}"' if found[1] in used else "", body
    )
    body = re.sub(r"url\(#", f"url(#{key}-", body)
    body = re.sub(r'xlink:href="#', f'href="#{key}-', body)
    body = re.sub(r"#[0-9a-f]{6}\b", _variable, body)
    body = re.sub(r" *\n *", "\n", body)
    body = re.sub(r"<!--.*?-->\n", "", body)
    # Texts have the page's font: of matplotlib's they keep size and place.
    body = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", body)
    head = (
        f'<svg viewBox="{view[1]}" role="img" aria-labelledby="{key}-title {key}-desc">\n'
        f'<title id="{key}-title">{escape(title)}</title>\n'
        f'<desc id="{key}-desc">{escape(description)}</desc>'
    )
    return Markup(head + body.replace("</defs>\n<defs>\n", "").rstrip() + "\n")


def _variable(found: re.Match[str]) -> str:
    name = _STAND_INS.get(found[0])
    return found[0] if name is None else f"var(--{name})"


# Rows: a strategy each, as bars or as marks.


class Bar(msgspec.Struct, frozen=True):
    """A value with its interval, and the words at its right."""

    name: str
    value: float
    interval: float | None
    words: tuple[str, ...]
    is_ours: bool = False


ROW: Final = 21
_LEFT: Final = 118
#: The room for a row's first word, and for each other.
_WORD, _MORE = 104, 52


def bars(rows: Sequence[Bar], key: str, title: str, heads: Sequence[str]) -> Markup:
    """Shares from -100 % to 100 % as bars; `heads` stand above the words of the rows.

    A bar that is longer ends in an arrow at the edge.
    """
    right = _WORD + _MORE * (len(heads) - 1)
    top, bottom = 24, 26
    with drawn(top + bottom + ROW * len(rows)) as (figure, done):
        axes = placed(figure, _LEFT, top, right, bottom)
        _rows(axes, [row.name for row in rows])
        low = -1.0 if any(row.value < 0 for row in rows) else 0.0
        axes.set_xlim(low, 1)
        axes.set_xticks(
            [-1, 0, 1] if low else [0, 0.5, 1],
            labels=["−100 %", "0", "100 %"] if low else ["0", "50 %", "100 %"],
        )
        axes.axvline(0, color=INKS["faint"], linewidth=0.8)
        for y, row in enumerate(rows):
            ink = INKS["ours" if row.is_ours else "other"]
            shown = max(low, min(1.0, row.value))
            axes.barh(y, shown, height=0.62, color=ink, linewidth=0)
            if row.value < low:
                axes.plot([low], [y], marker="<", color=ink, markersize=9, clip_on=False)
            elif row.interval:
                axes.errorbar(shown, y, xerr=row.interval, color=INKS["ink"], linewidth=1.2)
            _words(axes, y, row.words)
        _words(axes, -0.95, heads, INKS["faint"])
    return part(done[0], key, title, _listed(rows, heads))


def multiples(
    rows: Sequence[tuple[Bar, Bar, Bar]], key: str, title: str, names: Sequence[str]
) -> Markup:
    """For each strategy its multiples of three references, on a scale of powers.

    A row's three bars are of one strategy; the words of the first stand at the right.
    """
    top, bottom = 50, 26
    with drawn(top + bottom + ROW * len(rows)) as (figure, done):
        axes = placed(figure, _LEFT, top, _WORD, bottom)
        _rows(axes, [first.name for first, _, _ in rows])
        values = [bar.value for row in rows for bar in row if 0 < bar.value < float("inf")]
        axes.set_xscale("log")
        low, high = min([*values, 1.0]) / 1.15, max([*values, 1.5]) * 1.15
        axes.set_xlim(low, high)
        ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if low <= tick <= high]
        axes.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.grid(True, axis="x")
        axes.axvline(1, color=INKS["faint"], linewidth=1)
        shapes = (("o", "ours"), ("s", "other"), ("^", "ask"))
        for number, (name, (shape, ink)) in enumerate(zip(names, shapes, strict=True)):
            for y, row in enumerate(rows):
                bar = row[number]
                axes.errorbar(
                    bar.value,
                    y + (number - 1) * 0.2,
                    xerr=bar.interval or None,
                    marker=shape,
                    markersize=5.5,
                    color=INKS[ink],
                    linewidth=1,
                    label=name if y == 0 else None,
                )
        for y, (first, _, _) in enumerate(rows):
            _words(axes, y, first.words)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(
            [handle[0] for handle in handles],
            labels,
            loc="upper left",
            ncols=len(names),
            fontsize=FONT,
            handletextpad=0.1,
            columnspacing=0.9,
            borderaxespad=0.1,
        )
        _words(axes, -0.95, ["× floor"], INKS["faint"])
    return part(done[0], key, title, _listed([first for first, _, _ in rows], ["times the floor"]))


def _rows(axes: Any, names: Sequence[str]) -> None:
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), labels=names)
    axes.tick_params(axis="y", length=0, pad=6)
    axes.tick_params(axis="x", length=3)
    axes.spines["left"].set_visible(False)


def _words(axes: Any, y: float, words: Sequence[str], ink: str | None = None) -> None:
    for number, word in enumerate(words):
        axes.annotate(
            word,
            (1, y),
            xycoords=("axes fraction", "data"),
            xytext=(_WORD + _MORE * number, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            annotation_clip=False,
            color=ink or INKS["ink"],
        )


def _listed(rows: Sequence[Bar], heads: Sequence[str]) -> str:
    said = (
        f"{row.name}: "
        + ", ".join(f"{word} {head}" for head, word in zip(heads, row.words, strict=True))
        for row in rows
    )
    return "; ".join(said) + "."


# Curves over a parameter.


def curves(chart: Chart, key: str) -> Markup:
    """The panels of a chart, one below the other, with one legend."""
    names = list(dict.fromkeys(curve.name for panel in chart.panels for curve in panel.curves))
    inks = {name: CURVES[number % len(CURVES)] for number, name in enumerate(names)}
    legend, each = 18 * ((len(names) + 2) // 3) + 8, 180
    with drawn(legend + each * len(chart.panels) + 42) as (figure, done):
        shown: dict[str, Any] = {}
        for number, panel in enumerate(chart.panels):
            rest = len(chart.panels) - 1 - number
            # The heading of a panel and the last number of the one above need room.
            below = 42 + each * rest + (10 if rest else 0)
            axes = placed(figure, 58, legend + 20 + each * number, 12, below)
            _panel(axes, chart, panel, inks, shown)
            if not rest:
                axes.set_xlabel(chart.x)
            else:
                axes.tick_params(axis="x", labelbottom=False)
        figure.legend(
            list(shown.values()),
            list(shown),
            loc="upper left",
            ncols=3,
            fontsize=FONT,
            handletextpad=0.4,
            columnspacing=1,
            borderaxespad=0.1,
        )
    what = "; ".join(panel.y for panel in chart.panels)
    description = f"{what}, over {chart.x}, for {', '.join(names)}. The table has every value."
    return part(done[0], key, chart.title, description)


def _panel(
    axes: Any,
    chart: Chart,
    panel: Panel,
    inks: dict[str, tuple[str, str, str]],
    shown: dict[str, Any],
) -> None:
    if chart.is_log:
        axes.set_xscale("log")
    if panel.is_log:
        axes.set_yscale("log")
    for curve in panel.curves:
        _, ink, marker = inks[curve.name]
        drawn_ = axes.errorbar(
            [point.x for point in curve.points],
            [point.value for point in curve.points],
            yerr=[point.interval or 0 for point in curve.points],
            color=ink,
            marker=marker,
            markersize=5,
            linewidth=0 if chart.labels else 1.4,
            elinewidth=1,
        )
        shown.setdefault(curve.name, drawn_[0])
    xs = sorted({point.x for curve in panel.curves for point in curve.points})
    if chart.labels:
        axes.set_xticks(range(len(chart.labels)), labels=chart.labels)
        axes.set_xlim(-0.5, len(chart.labels) - 0.5)
    elif len(xs) <= 8:
        axes.set_xticks(xs, labels=[f"{x:g}" for x in xs])
        axes.set_xticks([], minor=True)
    if panel.is_percent:
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    if not panel.is_log and all(point.value >= 0 for c in panel.curves for point in c.points):
        axes.set_ylim(bottom=0)
    axes.grid(True, axis="y")
    axes.tick_params(length=3, labelcolor=INKS["faint"])
    axes.set_title(panel.y, loc="left", fontsize=FONT, color=INKS["ink"], x=-46 / 350)
