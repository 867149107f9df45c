"""Charts of paths: a message-sequence chart for the terminal, for Mermaid and as SVG."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from html import escape
from textwrap import fill

import msgspec

from specs.checker.model import Action
from specs.checker.result import Path

ARRIVALS = ("deliver", "duplicate", "drop")


def processes_of(path: Path) -> list[str]:
    """All processes of a path, in the order in which they appear."""
    names: dict[str, None] = {}
    for action in path.actions:
        if action.kind in ARRIVALS:
            names[action.peer] = None
        names[action.process] = None
    return list(names)


def text_chart(path: Path, width: int | None = None) -> str:
    """One line a step: the process, the arriving message and its sender, the sent messages.

    A path whose actions name no process is a list of its actions and states.  Where a state has
    named fields (a dataclass, a named tuple, a tuple of pairs), each step tells those that it
    changes.  A chart that is wider than `width` names messages by their types alone; if that is too
    wide, too, it becomes a list of steps.
    """
    names = processes_of(path)
    if names in ([], [""]):
        return "\n".join(_wrapped(line, width) for line in _plain_lines(path))
    for label in (str, _type_name):
        lines = list(_lanes(path, names, label))
        if width is None or all(len(line) <= width for line, _ in lines):
            break
    else:
        return "\n".join(_wrapped(line, width) for line in _list(path))
    shown = [
        f"{line}{told}"
        if width is None or len(line) + len(told) <= width
        else f"{line}\n{_wrapped(told.strip(), width, indent=6)}".lstrip(" \n")
        for line, told in lines
    ]
    if label is _type_name:
        shown.append("Fields of messages: on a wider terminal, in a pipe, or by --itf FILE.")
    return "\n".join(shown)


def _lanes(
    path: Path, names: Sequence[str], label: Callable[[object], str]
) -> Iterator[tuple[str, str]]:
    """The lines of a chart, each with the changed fields that belong after it."""
    told = [f"  [{line}]" if line else "" for line in _told(path)]
    widths = [max(len(name), 3) for name in names]
    for action in path.actions:
        if action.kind in ARRIVALS and action.peer != action.process:
            need = len(label(action.subject)) + 4
            _make_room(widths, names.index(action.peer), names.index(action.process), need)
    starts = [sum(widths[:i]) + i * 2 for i in range(len(names))]
    header = "  ".join(name.ljust(width) for name, width in zip(names, widths, strict=True))
    yield f"step  {header}  action", ""
    if told[0]:
        yield f"      {' ' * len(header)}", told[0]
    for number, action in enumerate(path.actions, 1):
        cells = _cells(action, names, starts, len(header), label)
        sends = "".join(f"  → {dst}: {label(message)}" for dst, message in action.sent)
        yield f"{number:4}  {cells}  {_did(action, label)}{sends}".rstrip(), told[number]
        if path.loop == number:
            ends = number == len(path)
            rest = "here nothing happens any more" if ends else "from here on it repeats for ever"
            yield f"      {'─' * len(header)}  {rest}", ""


def _list(path: Path) -> Iterator[str]:
    """The steps as sentences, for a terminal that is too narrow for lanes."""
    for number, (action, told) in enumerate(
        zip(path.actions, list(_told(path))[1:], strict=True), 1
    ):
        came = f" {action.subject} from {action.peer}" if action.kind in ARRIVALS else ""
        sends = "".join(f"; to {dst}: {message}" for dst, message in action.sent)
        changed = f"  [{told}]" if told else ""
        yield f"{number:4}  {action.process}: {_did(action, str)}{came}{sends}{changed}"
        if path.loop == number:
            rest = "it repeats for ever" if number < len(path) else "nothing happens any more"
            yield f"      ── from here on {rest}"


def _wrapped(line: str, width: int | None, indent: int = 0) -> str:
    """`line` in lines of `width` columns, of which all but the first are indented."""
    if width is None or len(line) + indent <= width:
        return " " * indent + line
    first = " " * indent + line[: len(line) - len(line.lstrip())]
    rest = " " * max(indent, 6)
    return fill(line.strip(), width, initial_indent=first, subsequent_indent=rest)


def _type_name(subject: object) -> str:
    """The text of a message up to its fields."""
    return str(subject).partition("(")[0]


def _plain_lines(path: Path) -> Iterator[str]:
    for number, (moment, told) in enumerate(zip(path.moments, _told(path), strict=True)):
        yield f"{number:4}  {moment.action or 'initially'}: {told or repr(moment.state)}"
        if path.loop == number:
            rest = "it repeats for ever" if number < len(path) else "nothing happens any more"
            yield f"      ── from here on {rest}"


def _told(path: Path) -> Iterator[str]:
    """For each state its changed fields, for the first one all; "" for states without fields."""
    before: dict[str, object] = {}
    for number, moment in enumerate(path.moments):
        fields = fields_of(moment.state)
        if number == 0 or fields.keys() != before.keys():
            yield ", ".join(f"{name}={value!r}" for name, value in fields.items())
        else:
            changed = [
                f"{name}: {before[name]!r} → {value!r}"
                for name, value in fields.items()
                if value != before[name]
            ]
            yield ", ".join(changed) or ("nothing changes" if fields else "")
        before = fields


def fields_of(state: object) -> dict[str, object]:
    """The named fields of a state; empty if it is a bare value."""
    for listed in ("_fields", "__struct_fields__", "__dataclass_fields__"):
        names = getattr(state, listed, None)
        if names is not None:
            return {name: getattr(state, name) for name in names}
    if isinstance(state, tuple) and all(_is_named(part) for part in state):
        pairs = dict(state)
        return pairs if len(pairs) == len(state) else {}
    return {}


def _is_named(part: object) -> bool:
    return isinstance(part, tuple) and len(part) == 2 and isinstance(part[0], str)


def _make_room(widths: list[int], one: int, other: int, need: int) -> None:
    low, high = sorted((one, other))
    have = sum(widths[low:high]) + 2 * (high - low)
    widths[high - 1] += max(0, need - have)


def _did(action: Action, label: Callable[[object], str] = str) -> str:
    about = "" if action.subject is None or action.kind in ARRIVALS else f" {label(action.subject)}"
    kind = "" if action.kind in ("", "deliver") else f" ({action.kind}{about})"
    return action.name + kind


def _cells(
    action: Action,
    names: Sequence[str],
    starts: Sequence[int],
    width: int,
    label: Callable[[object], str],
) -> str:
    row = [" "] * width
    for start in starts:
        row[start] = "│"
    here = starts[names.index(action.process)]
    if action.kind in ARRIVALS and action.peer != action.process:
        there = starts[names.index(action.peer)]
        low, high = sorted((here, there))
        row[low + 1 : high] = "─" * (high - low - 1)
        text = label(action.subject)[: high - low - 3]
        at = low + 1 + (high - low - 1 - len(text)) // 2
        row[at : at + len(text)] = text
        if action.kind == "drop":
            row[high - 1 if here > there else low + 1] = "╳"
        else:
            row[high - 1 if here > there else low + 1] = "▶" if here > there else "◀"
            row[here] = "●"
    else:
        row[here] = "●"
    return "".join(row)


def mermaid_chart(path: Path) -> str:
    """The path as a Mermaid sequence diagram."""
    names = processes_of(path)
    alias = {name: f"p{i}" for i, name in enumerate(names)}
    lines = ["sequenceDiagram"]
    lines += [f"    participant {alias[name]} as {name or 'model'}" for name in names]
    for number, action in enumerate(path.actions, 1):
        if action.kind in ARRIVALS:
            arrow = "-x" if action.kind == "drop" else "->>"
            message = _one_line(str(action.subject))
            lines.append(f"    {alias[action.peer]}{arrow}{alias[action.process]}: {message}")
        lines.append(f"    Note over {alias[action.process]}: {number} {_one_line(_did(action))}")
        if path.loop == number:
            over = f"{alias[names[0]]},{alias[names[-1]]}"
            lines.append(f"    Note over {over}: from here on it repeats for ever")
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    return " ".join(text.replace(";", ",").replace("#", "no. ").split())


class Arrow(msgspec.Struct, frozen=True):
    """A message in the chart: sent in one step, received in a later one."""

    src: str
    dst: str
    sent: int
    taken: int
    text: str
    lost: bool


class Dot(msgspec.Struct, frozen=True):
    """A step in the chart, on the lane of its process."""

    step: int
    lane: str
    text: str


class Chart(msgspec.Struct, frozen=True):
    """A sequence diagram: lanes from left to right, steps from above, and messages between."""

    lanes: tuple[str, ...]
    dots: tuple[Dot, ...]
    arrows: tuple[Arrow, ...]
    #: The first step that is drawn, and the last one.
    first: int
    last: int
    #: The step after which a lasso repeats; at the end nothing happens any more.
    loop: int | None = None


def chart_of(
    path: Path,
    *,
    label: Callable[[object], str] = str,
    order: Sequence[str] = (),
    only: Collection[str] = (),
    first: int = 1,
) -> Chart:
    """The diagram of a path from step `first` on.

    `order` are lanes in their order, those that the path lacks left out; `only` keeps some
    processes, and the messages to and from them.
    """
    names = processes_of(path)
    names = [name for name in order if name in names] + [n for n in names if n not in order]
    dots = [
        Dot(step, action.process, _did(action, label))
        for step, action in enumerate(path.actions, 1)
        if step >= first and (not only or action.process in only)
    ]
    arrows = [
        arrow
        for arrow in arrows_of(path, label, first)
        if not only or {arrow.src, arrow.dst} & {*only}
    ]
    drawn = {dot.lane for dot in dots} | {end for each in arrows for end in (each.src, each.dst)}
    lanes = tuple(name for name in names if name in drawn)
    return Chart(lanes, tuple(dots), tuple(arrows), first, len(path), path.loop)


def arrows_of(path: Path, label: Callable[[object], str] = str, first: int = 1) -> list[Arrow]:
    """Every arrival with the step that sent it: the earliest that was not matched, or the last.

    Those that arrive before step `first` are left out.
    """
    sent: dict[tuple[str, str, object], list[int]] = {}
    arrows = []
    for step, action in enumerate(path.actions, 1):
        if action.kind in ARRIVALS:
            steps = sent.get((action.peer, action.process, action.subject), [step])
            start = steps.pop(0) if len(steps) > 1 else steps[0]
            if step >= first:
                text, lost = label(action.subject), action.kind == "drop"
                arrows.append(Arrow(action.peer, action.process, start, step, text, lost))
        for dst, message in action.sent:
            sent.setdefault((action.process, dst, message), []).append(step)
    return arrows


LANE, ROW, TOP = 190, 34, 60


def svg_chart(path: Path) -> str:
    """The path as a self-contained SVG: lifelines, steps, and messages from send to arrival."""
    chart = chart_of(path)
    x = {name: 90 + LANE * i for i, name in enumerate(chart.lanes)}
    height = TOP + ROW * (chart.last + 1)
    width = LANE * len(chart.lanes) + 120
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
        '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#246"/></marker></defs>',
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for name in chart.lanes:
        parts.append(
            f'<text x="{x[name]}" y="24" text-anchor="middle" font-weight="bold">'
            f"{escape(name or 'model')}</text>"
            f'<line x1="{x[name]}" y1="34" x2="{x[name]}" y2="{height - 10}" stroke="#bbb"/>'
        )
    for arrow in chart.arrows:
        parts.append(_svg_arrow(arrow, x))
    for dot in chart.dots:
        at, y = x[dot.lane], TOP + ROW * dot.step
        parts.append(
            f'<circle cx="{at}" cy="{y}" r="4" fill="#246"/>'
            f'<text x="{at + 8}" y="{y + 4}">{dot.step} {escape(dot.text)}</text>'
        )
    if chart.loop is not None:
        y = TOP + ROW * chart.loop + ROW // 2
        what = "repeats for ever" if chart.loop < chart.last else "nothing happens any more"
        parts.append(
            f'<line x1="10" y1="{y}" x2="{width - 10}" y2="{y}" stroke="#a33" '
            f'stroke-dasharray="4"/><text x="12" y="{y - 4}" fill="#a33">{what}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _svg_arrow(arrow: Arrow, x: dict[str, int]) -> str:
    x1, x2 = x[arrow.src], x[arrow.dst]
    y1, y2 = TOP + ROW * arrow.sent, TOP + ROW * arrow.taken
    colour = "#a33" if arrow.lost else "#246"
    end = "" if arrow.lost else ' marker-end="url(#head)"'
    return (
        f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}"{end}/>'
        f'<text x="{(x1 + x2) // 2}" y="{(y1 + y2) // 2 - 5}" text-anchor="middle" '
        f'fill="{colour}">{"✕ " if arrow.lost else ""}{escape(arrow.text)}</text>'
    )
