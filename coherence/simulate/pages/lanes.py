"""The picture of a timeline: a lane for each agent, and a mark for each thing that happened."""

from __future__ import annotations

from collections import Counter
from typing import Final

from markupsafe import Markup

from coherence.simulate.pages.pictures import FONT, INKS, drawn, part, placed
from coherence.simulate.pages.timeline import HappeningKind, Timeline

WIDTH: Final = 900
LANE: Final = 46

#: Of each kind: shape, colour, size, and place above the lane (below 0: under it).
_MARKS: Final[dict[HappeningKind, tuple[str, str, float, float]]] = {
    HappeningKind.TOLD: ("s", "tell", 7, 0.27),
    HappeningKind.SIGNALLED: ("D", "tell", 5, 0.27),
    HappeningKind.SHOWN: ("_", "tell", 8, 0.27),
    HappeningKind.ASKED: ("v", "ask", 7, -0.27),
    HappeningKind.READ: ("o", "read", 4.5, 0.0),
    HappeningKind.WROTE: ("*", "write", 11, 0.0),
    HappeningKind.LOST: ("x", "lost", 8, 0.0),
}


def lanes(timeline: Timeline, key: str) -> Markup:
    """Draw; agents have numbers from 1."""
    counts = Counter(each.kind for each in timeline.happenings)
    kinds = [kind for kind in _MARKS if counts[kind]]
    top, bottom = 24 * ((len(kinds) + 3) // 4) + 6, 42
    with drawn(top + bottom + LANE * len(timeline.agents), WIDTH) as (figure, done):
        axes = placed(figure, 66, top, 10, bottom)
        lane = {agent: number for number, agent in enumerate(timeline.agents)}
        axes.set_ylim(len(lane) - 0.5, -0.5)
        axes.set_xlim(timeline.first - 1, timeline.last + 1)
        axes.set_yticks(range(len(lane)), labels=[f"agent {agent + 1}" for agent in lane])
        axes.tick_params(axis="y", length=0)
        axes.tick_params(axis="x", length=3)
        axes.set_xlabel("step")
        axes.grid(True, axis="y")
        for name in ("left", "bottom"):
            axes.spines[name].set_visible(False)
        handles = []
        for kind in kinds:
            shape, ink, size, up = _MARKS[kind]
            mine = [each for each in timeline.happenings if each.kind is kind]
            is_open = kind is HappeningKind.SIGNALLED
            (line,) = axes.plot(
                [each.step for each in mine],
                [lane[each.agent] - up for each in mine],
                linestyle="none",
                marker=shape,
                markersize=size,
                color=INKS[ink],
                markerfacecolor="none" if is_open else INKS[ink],
                markeredgewidth=1.6 if shape in "x_" or is_open else 0,
            )
            handles.append(line)
        figure.legend(
            handles,
            [kind.value for kind in kinds],
            loc="upper left",
            ncols=4,
            fontsize=FONT,
            handletextpad=0.1,
            columnspacing=1.4,
            borderaxespad=0.1,
        )
    said = ", ".join(f"{counts[kind]} times an agent {kind.value}" for kind in kinds)
    return part(done[0], key, timeline.title, f"{said}. The list below has every one.")
