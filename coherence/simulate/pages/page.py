"""What a page contains, as plain values."""

from __future__ import annotations

import msgspec

from coherence.simulate.experiments.figures import Comparison
from coherence.simulate.pages.timeline import Timeline


class Mark(msgspec.Struct, frozen=True):
    """A value of a curve, with half the width of its 95 % interval."""

    x: float
    value: float
    interval: float | None = None


class Curve(msgspec.Struct, frozen=True):
    """One strategy, or one measure, over a parameter."""

    name: str
    points: tuple[Mark, ...]


class Panel(msgspec.Struct, frozen=True):
    """Curves on one scale; of values that are shares, `is_percent` shows percent."""

    y: str
    curves: tuple[Curve, ...]
    is_percent: bool = False
    is_log: bool = False


class Chart(msgspec.Struct, frozen=True):
    """Panels one below the other, over the same parameter `x`.

    Tokens are never shown without staleness: both are panels of one chart.
    """

    title: str
    x: str
    panels: tuple[Panel, ...]
    is_log: bool = False
    #: Of an axis without numbers: its values, in their order, at the places 0, 1, ...
    labels: tuple[str, ...] = ()


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a page shows.  Texts are plain, not HTML."""

    question: str
    #: The command that made the page.
    command: str
    #: Two sentences; made from `comparisons` if empty.
    answer: str = ""
    #: The set-up, as pairs of a name and a value.
    facts: tuple[tuple[str, str], ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    charts: tuple[Chart, ...] = ()
    timeline: Timeline | None = None
    remarks: tuple[str, ...] = ()
